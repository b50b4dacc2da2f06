from pathlib import Path

import pytest

from testbed import options
from testbed.state import Mount


def test_nodes_come_by_name_in_their_order() -> None:
    cpu, gpu = options.parse_nodes("cpu,gpu24")
    assert (cpu.name, cpu.gpus, cpu.taints()) == ("cpu", 0, [])
    assert (gpu.name, gpu.gpus, gpu.gpu_memory, gpu.product) == ("gpu24", 1, 23034, "NVIDIA-L4")


def test_there_may_be_no_nodes() -> None:
    assert options.parse_nodes("") == []


def test_the_taint_can_be_left_out() -> None:
    (tainted,), (open_to_all,) = options.parse_nodes("gpu16"), options.parse_nodes("gpu16", tainted=False)
    assert tainted.taints() == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert open_to_all.taints() == []


@pytest.mark.parametrize("text", ["gpu23", "cpu,gpu24,cpu"])
def test_unknown_and_repeated_nodes_are_refused(text: str) -> None:
    with pytest.raises(options.Unknown):
        options.parse_nodes(text)


def test_a_mount_is_read_only_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert options.parse_mount(f"{tmp_path}:/var/lib/x") == Mount(str(tmp_path), "/var/lib/x")
    assert options.parse_mount(f"{tmp_path}:/var/lib/x:rw") == Mount(str(tmp_path), "/var/lib/x", writable=True)


@pytest.mark.parametrize(
    "text", ["{}", "{}:", "{}:x", "{}:/x", "{}:/var/lib/x:rwx", ":/var/lib/x", "{}/absent:/var/lib/x"]
)
def test_what_is_no_mount_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(options.Unknown):
        options.parse_mount(text.format(tmp_path))


def test_images_are_those_named_or_else_those_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.tar", "a.tar", "note.txt"):
        (tmp_path / name).touch()
    assert options.images([]) == []
    monkeypatch.setenv(options.IMAGES_VARIABLE, str(tmp_path))
    assert options.images([]) == [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]
    assert options.images([str(tmp_path / "b.tar")]) == [str(tmp_path / "b.tar")]
    with pytest.raises(options.Unknown, match=r"c\.tar"):
        options.images([str(tmp_path / "c.tar")])
