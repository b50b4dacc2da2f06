"""What goes into the images, and when they are built again; that they build and run is for the cluster tests."""

import ast
import base64
import fnmatch
import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from testbed import debian, images, oci, wheels

IMAGES = sorted(images.DOCKERFILES)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the sources, to change."""
    copy = tmp_path / "sources"
    for name in ("crds", "operator", "runtime", "requirements"):
        shutil.copytree(images.ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", ".dockerignore"):
        shutil.copy(images.ROOT / name, copy / name)
    monkeypatch.setattr(images, "ROOT", copy)
    return copy


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder in which programs are found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def packages(name: str) -> dict[str, list[bytes]]:
    """The packages of ours in an image, with their modules."""
    found: dict[str, list[bytes]] = {}
    for path, content in images.image(name).files.items():
        if path.endswith(".py"):
            found.setdefault(Path(path).parts[1], []).append(content)
    return found


def imported(module: bytes) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names if name.startswith("easel_")}


def change(source: Path) -> None:
    source.write_text(f"{source.read_text()}\n")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_the_packages_of_ours_that_its_own_needs_and_no_other(name: str) -> None:
    held = packages(name)
    needed = {f"easel_{name}"}
    looked_at: set[str] = set()
    while needed - looked_at:
        package = (needed - looked_at).pop()
        looked_at.add(package)
        needed |= {other for module in held[package] for other in imported(module)}
    assert set(held) == needed


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_its_package_as_nobody(name: str) -> None:
    dockerfile = (images.ROOT / images.DOCKERFILES[name]).read_text()
    assert "\nUSER 65532:65532\n" in dockerfile
    assert f'\nENTRYPOINT ["/opt/easel/bin/python", "-m", "easel_{name}"]\n' in dockerfile


@pytest.mark.parametrize("name", IMAGES)
def test_builds_see_everything_that_is_copied_into_an_image(name: str) -> None:
    seen = re.findall(r"^!(.*)$", (images.ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = set(images.image(name).files) - {images.DOCKERFILES[name], ".dockerignore"}
    for path in copied:
        assert any(fnmatch.fnmatch(path, each) or path.startswith(f"{each}/") for each in seen), path


def test_a_changed_source_changes_just_the_images_that_have_it(sources: Path) -> None:
    def kept() -> dict[str, Path]:
        return {name: images.image(name).archive for name in IMAGES}

    before = kept()
    change(sources / "operator/easel_operator/scaling.py")
    after = kept()
    assert {name for name in IMAGES if after[name] != before[name]} == {"operator"}
    change(sources / "crds/easel_crds/money.py")
    assert set(kept().values()).isdisjoint(after.values())


def test_what_python_compiled_and_the_time_of_files_change_nothing(sources: Path) -> None:
    before = images.image("operator").archive
    compiled = sources / "operator/easel_operator/__pycache__/scaling.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"compiled")
    os.utime(sources / "operator/easel_operator/scaling.py", (0, 0))
    assert images.image("operator").archive == before


def test_an_archive_that_is_there_is_not_built_again(programs: Path) -> None:
    expected = [images.image(name).archive for name in ("gateway", "operator")]
    expected[0].parent.mkdir(parents=True)
    for path in expected:
        path.write_bytes(b"archive")
    assert images.archives(["gateway", "operator"]) == expected
    assert [path.read_bytes() for path in expected] == [b"archive", b"archive"]


def test_without_buildah_it_says_how_to_get_it(programs: Path) -> None:
    with pytest.raises(images.NotBuilt, match="apt-get install buildah"):
        images.archives(["operator"])
    assert not list(images.image("operator").archive.parent.glob(".building-*"))


def test_the_command_knows_which_images_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["images", "operator", "toaster"])
    with pytest.raises(SystemExit, match="no such image: toaster; there are operator, gateway, runtime"):
        images.main()


def test_the_light_lock_has_pins_of_the_runtime_with_their_hashes_and_nothing_large() -> None:
    pin = re.compile(r"^(\S+)==(\S+) .*\\\n((?:    --hash=sha256:\w{64}(?: \\)?\n)+)", re.MULTILINE)
    pins = pin.findall(images.light_lock())
    names = {name for name, _, _ in pins}
    assert {"pydantic", "pydantic-settings", "pyyaml"} <= names
    assert not {"torch", "diffusers", "transformers", "numpy", "kubernetes"} & names
    runtime = (images.ROOT / "requirements/runtime.txt").read_text()
    assert set(pins) <= set(pin.findall(runtime))


def test_an_archive_holds_one_image_of_the_layout_under_its_full_name(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    shared, own, foreign = (add_blob(layout, content) for content in (b"shared", b"own", b"foreign"))
    wanted = add_image(layout, "operator", [shared, own])
    add_image(layout, "gateway", [shared, foreign])
    oci.write_archive(layout, "operator", "docker.io/library/easel-operator:0.1.0", tmp_path / "archive.tar")
    with tarfile.open(tmp_path / "archive.tar") as tar:
        tar.extract("index.json", tmp_path, filter="data")
        held = {name.rpartition("/")[2] for name in tar.getnames() if name.startswith("blobs/sha256/")}
    (manifest,) = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert manifest["digest"] == wanted
    assert manifest["annotations"]["io.containerd.image.name"] == "docker.io/library/easel-operator:0.1.0"
    config = json.loads((layout / "blobs" / wanted.replace(":", "/")).read_text())["config"]["digest"]
    assert held == {digest.removeprefix("sha256:") for digest in (wanted, config, shared, own)}


def test_pruning_a_layout_leaves_what_a_tag_leads_to(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    add_image(layout, "operator", [add_blob(layout, b"layer")])
    before = set((layout / "blobs/sha256").iterdir())
    add_blob(layout, b"of an image that was built before")
    oci.prune(layout)
    assert set((layout / "blobs/sha256").iterdir()) == before


def add_blob(layout: Path, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return f"sha256:{digest}"


def add_image(layout: Path, tag: str, layers: list[str]) -> str:
    config = add_blob(layout, f"config of {tag}".encode())
    named = {"config": {"digest": config}, "layers": [{"digest": layer} for layer in layers]}
    manifest = add_blob(layout, json.dumps(named).encode())
    index = layout / "index.json"
    entries = json.loads(index.read_text())["manifests"] if index.is_file() else []
    entry = {"mediaType": "m", "digest": manifest, "size": 1, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index.write_text(json.dumps({"manifests": [*entries, entry]}))
    return manifest


def test_wheels_are_fetched_once_and_checked_against_the_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = make_wheel(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.parent))
    lock = f"thing==1.0 --hash=sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}\n"
    folder = wheels.folder_of(lock, tmp_path / "wheels", debian.PYTHON)
    assert [path.name for path in folder.iterdir()] == [source.name]
    source.unlink()
    assert wheels.folder_of(lock, tmp_path / "wheels", debian.PYTHON) == folder
    with pytest.raises(wheels.NoWheels, match="thing"):
        wheels.folder_of(f"thing==1.0 --hash=sha256:{'0' * 64}\n", tmp_path / "wheels", debian.PYTHON)
    assert list((tmp_path / "wheels").iterdir()) == [folder]


def make_wheel(folder: Path) -> Path:
    """A wheel of a package without content."""
    path = folder / "links/thing-1.0-py3-none-any.whl"
    path.parent.mkdir()
    files = {
        "thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\n"
        for name, content in files.items()
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr("thing-1.0.dist-info/RECORD", f"{record}thing-1.0.dist-info/RECORD,,\n")
    return path


def test_the_base_comes_from_where_apt_gets_the_suite(programs: Path, tmp_path: Path) -> None:
    add_program(programs, "debootstrap", "")
    add_program(
        programs,
        "apt-get",
        f"echo '{debian.SUITE}-updates main http://no/'; echo '{debian.SUITE} main http://mirror/debian'",
    )
    add_program(programs, "unshare", 'echo "$@"; exit 1')
    with pytest.raises(debian.NoBase, match=rf"debootstrap .* {debian.SUITE} \S+ http://mirror/debian failed"):
        debian.make(tmp_path)


def test_without_a_mirror_it_says_how_to_name_one(programs: Path, tmp_path: Path) -> None:
    add_program(programs, "debootstrap", "")
    add_program(programs, "apt-get", "echo 'noble main http://elsewhere/ubuntu'")
    with pytest.raises(debian.NoBase, match=f"no mirror of Debian {debian.SUITE}: add one"):
        debian.make(tmp_path)


def add_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
