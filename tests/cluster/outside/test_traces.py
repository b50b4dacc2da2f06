"""A cluster leaves nothing on the machine, however it ends. These tests start clusters and so run outside of any."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from support.kubectl import eventually
from testbed import leftovers

_TESTS = Path(__file__).parents[2]


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "testbed", "run", *arguments],
        env=os.environ | {"PYTHONPATH": str(_TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def _running() -> Iterator[tuple[subprocess.Popen[str], Path, list[psutil.Process]]]:
    """A cluster with a node, its folder, and every process of it; ended at once if the test has not."""
    before = set(_folders())
    with _start("--nodes=gpu24", "--", "sh", "-c", "echo it runs; exec sleep 3600") as outer:
        try:
            assert outer.stdout is not None
            assert outer.stdout.readline() == "it runs\n"
            (folder,) = set(_folders()) - before
            yield outer, folder, psutil.Process(outer.pid).children(recursive=True)
        finally:
            outer.kill()


def _folders() -> Iterator[Path]:
    return Path("/tmp").glob(f"{leftovers.PREFIX}*")  # noqa: S108 (where the test bed keeps them)


def _traces(folder: Path, processes: list[psutil.Process]) -> list[str]:
    cgroup, root = leftovers.cgroup_of(leftovers.run_of(folder)), Path("/sys/fs/cgroup")
    return [
        *(f"process {process.pid}" for process in processes if process.is_running()),
        *(line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line),
        *map(str, [*root.glob(cgroup), *root.glob(f"*/{cgroup}")]),
        *map(str, [folder] if folder.exists() else []),
    ]


def test_nothing_is_left_when_the_outer_process_is_killed() -> None:
    with _running() as (outer, folder, processes):
        names = {process.name() for process in processes}
        assert {"etcd", "kube-apiserver", "kubelet", "containerd"} <= names
        assert len(_traces(folder, processes)) > len(processes), "what is looked for must be there before"
        outer.send_signal(signal.SIGKILL)
        eventually(lambda: _traces(folder, processes), lambda left: not left, seconds=30)


def test_the_next_start_removes_what_nobody_was_left_to_remove() -> None:
    with _running() as (outer, folder, processes):
        (janitor,) = [process for process in processes if "testbed.janitor" in process.cmdline()]
        janitor.kill()
        outer.send_signal(signal.SIGKILL)
        eventually(lambda: [one for one in processes if one.is_running()], lambda left: not left, seconds=30)
        assert _traces(folder, processes), "without its janitor a cluster leaves something"
        with _start("--nodes=", "--", "sh", "-c", "exit 7") as following:
            assert following.wait() == 7
        assert _traces(folder, processes) == []
