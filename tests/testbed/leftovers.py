"""What a cluster leaves outside its namespaces, and its removal: the folder's name and cgroups."""

import fcntl
import os
import select
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

PREFIX: Final = "easel-testbed-"
"""Of the names of the folder and of the cgroups."""
_PLACE: Final = Path("/tmp")  # noqa: S108 - whatever TMPDIR says, so that every run sees the others'
_SECONDS: Final = 20.0


def claim_folder() -> tuple[Path, int]:
    """A new folder for a cluster, and a lock on it that lasts as long as any process holds the descriptor."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_PLACE))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # between those two, another start may have taken it for that of a dead run
            return folder, lock
        os.close(lock)


def run_of(folder: Path) -> str:
    """Identity of the cluster whose folder it is."""
    return folder.name.removeprefix(PREFIX)


def cgroup_of(run: str) -> str:
    """Name of the cgroup under which all of a cluster's are."""
    return f"{PREFIX}{run}"


def remove(folder: Path, seconds: float = _SECONDS) -> bool:
    """Removes what a dead cluster has left; whether all of it could be removed.

    Its processes may still be dying, so this is tried again for so many seconds.
    """
    deadline = monotonic() + seconds
    while not remove_cgroups(cgroup_of(run_of(folder))):
        if monotonic() > deadline:
            return False
        select.select([], [], [], 0.05)
    with suppress(FileNotFoundError):
        folder.rmdir()
    return True


def remove_of_dead_runs() -> None:
    """Removes what clusters have left whose janitor was killed too."""
    names = {path.name for hierarchy in _hierarchies() for path in hierarchy.glob(f"{PREFIX}*")}
    for folder in {*_PLACE.glob(f"{PREFIX}*"), *(_PLACE / name for name in names)}:
        with _lock_of(folder) as is_dead:
            if is_dead:
                remove(folder, seconds=0)


@contextmanager
def _lock_of(folder: Path) -> Iterator[bool]:
    """Whether no process holds the lock on a cluster's folder any more; if so, this one does meanwhile."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _hierarchies() -> list[Path]:
    """Roots of every cgroup hierarchy, of v1 and of v2."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(point) for _, point, kind, *_ in lines if kind in ("cgroup", "cgroup2")]


def make_cgroups(name: str) -> None:
    """Makes a cgroup of that path in every hierarchy, able to hold others."""
    for hierarchy in _hierarchies():
        folder = hierarchy
        for part in Path(name).parts:
            _pass_controllers_on(folder)
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (folder / file).exists() and not (hierarchy / "cgroup.controllers").exists():
                    (folder / file).write_text((parent / file).read_text())


def _pass_controllers_on(folder: Path) -> None:
    """In v2, a cgroup has the controllers that the one above lets it have."""
    with suppress(OSError):  # the hierarchy beside those of v1 has none, and others may have been here before
        names = (folder / "cgroup.controllers").read_text().split()
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in names))


def remove_cgroups(name: str) -> bool:
    """Removes a cgroup, with those in it, from every hierarchy; whether none is left."""
    left = False
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                left = True
    return not left
