"""The process on the machine that starts a cluster, stands by while it lives, and sees to it that nothing is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from testbed import binaries, leftovers, prerequisites
from testbed.inner import Plan
from testbed.state import Mount, NodeSpec, Settings

_PACKAGE_PATH = str(Path(__file__).parents[1])

_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc")


def prepare() -> None:
    """Builds and installs what is missing. Raises CannotHere or BuildFailed."""
    prerequisites.check()
    if binaries.missing():
        prerequisites.check_go()
        binaries.build()


def run(command: Sequence[str], nodes: Sequence[NodeSpec], images: Sequence[str], mounts: Sequence[Mount]) -> int:
    """Starts a cluster, runs the command inside, removes everything; the command's exit code."""
    prepare()
    leftovers.remove_of_dead_runs()
    folder, lock = leftovers.claim_folder()
    reading, writing = os.pipe()
    janitor = subprocess.Popen(
        [sys.executable, "-m", "testbed.janitor", folder],
        env=_environment(),
        stdin=reading,
        pass_fds=[lock],
        start_new_session=True,
    )
    os.close(reading)
    settings = Settings(leftovers.run_of(folder), list(images), list(mounts))
    plan = Plan(str(folder), settings, list(nodes), list(command), [writing, lock])
    try:
        return _stand_by(plan)
    finally:
        os.close(writing)
        os.close(lock)
        if janitor.wait():
            sys.stderr.write(f"testbed: not all of {leftovers.cgroup_of(settings.run)} could be removed\n")


def _stand_by(plan: Plan) -> int:
    """Until the cluster ends. What ends this process, however suddenly, ends the cluster."""
    for name in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(name, lambda *_: None)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *_NAMESPACES, sys.executable, "-m", "testbed.inner", plan.to_json()],
        env=_environment(),
        pass_fds=plan.held,
    )
    signal.signal(signal.SIGTERM, lambda number, _: _forward(process.pid, number))
    return process.wait()


def _forward(parent: int, number: int) -> None:
    """Sends a signal on to process 1 of the cluster, since unshare takes none."""
    with suppress(OSError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(child), number)


def _environment() -> dict[str, str]:
    """The caller's, with this package importable."""
    paths = [_PACKAGE_PATH, *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
