import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import leftovers

TESTS = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def hierarchies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two, like those of cgroup v1, and a place for folders."""
    folders = [tmp_path / "cgroup" / name for name in ("cpu", "cpuset")]
    for folder in folders:
        folder.mkdir(parents=True)
    for file in ("cpuset.cpus", "cpuset.mems"):
        (folders[1] / file).write_text("0-1")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(leftovers, "_hierarchies", lambda: folders)
    monkeypatch.setattr(leftovers, "_PLACE", tmp_path / "tmp")
    return folders


def test_cgroups_are_made_and_removed_everywhere(hierarchies: list[Path], tmp_path: Path) -> None:
    (hierarchies[0] / "easel-testbed-x/node/pod").mkdir(parents=True)
    (hierarchies[1] / "easel-testbed-x/node").mkdir(parents=True)
    assert leftovers.remove_cgroups("easel-testbed-x")
    assert [path for folder in hierarchies for path in folder.glob("easel*")] == []
    leftovers.make_cgroups("easel-testbed-x/node")
    assert all((folder / "easel-testbed-x/node").is_dir() for folder in hierarchies)


def test_a_cgroup_that_is_in_use_stays(hierarchies: list[Path]) -> None:
    busy = hierarchies[0] / "easel-testbed-x/node"
    busy.mkdir(parents=True)
    (busy / "process").touch()
    assert not leftovers.remove_cgroups("easel-testbed-x")
    assert busy.is_dir()


def test_what_a_living_cluster_has_stays_and_what_a_dead_one_left_goes(hierarchies: list[Path]) -> None:
    living, living_lock = leftovers.claim_folder()
    dead, dead_lock = leftovers.claim_folder()
    for folder in (living, dead):
        (hierarchies[0] / folder.name / "node").mkdir(parents=True)
    os.close(dead_lock)
    (hierarchies[0] / "easel-testbed-without-folder").mkdir()
    leftovers.remove_of_dead_runs()
    assert living.is_dir()
    assert not dead.exists()
    assert [path.name for path in hierarchies[0].iterdir()] == [living.name]
    os.close(living_lock)


def test_the_janitor_waits_until_nobody_holds_the_pipe(tmp_path: Path) -> None:
    folder = tmp_path / f"{leftovers.PREFIX}x"
    folder.mkdir()
    command = [sys.executable, "-m", "testbed.janitor", str(folder)]
    janitor = subprocess.Popen(command, stdin=subprocess.PIPE, env={"PYTHONPATH": str(TESTS)})
    with pytest.raises(subprocess.TimeoutExpired):
        janitor.wait(0.5)
    assert folder.is_dir()
    janitor.communicate()
    assert janitor.returncode == 0
    assert not folder.exists()
