"""The operator's process in the test bed, for what only a dying or a sleeping one shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from support.kubectl import Namespace, eventually

_COMMAND = ["-m", "easel_operator"]
_DEPLOYMENT = "deployment/easel-operator"


def kill(last: Callable[[], None] = lambda: None) -> None:
    """SIGKILL, as by the kernel that is out of memory; the kubelet starts it again.

    What `last` does happens before it and is the last thing that reaches the process, which has no time for it.
    """
    process = _find()
    process.suspend()
    try:
        last()
    finally:
        process.kill()
    eventually(lambda: not _is_operator(process))


@contextmanager
def asleep() -> Iterator[None]:
    """It does nothing meanwhile, and learns of everything afterwards."""
    process = _find()
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def away(system: Namespace) -> Iterator[None]:
    """There is no operator meanwhile."""
    system("scale", _DEPLOYMENT, "--replicas=0")
    try:
        eventually(lambda: not system.list("pods", "app.kubernetes.io/component=operator"))
        yield
    finally:
        system("scale", _DEPLOYMENT, "--replicas=1")
        system("rollout", "status", _DEPLOYMENT, "--timeout=120s")


def start_anew(system: Namespace) -> None:
    """Another one takes its place, however long the kubelet would have waited before it starts a failing one."""
    system("delete", "pods", "--selector=app.kubernetes.io/component=operator")
    system("rollout", "status", _DEPLOYMENT, "--timeout=120s")


def _find() -> psutil.Process:
    """Sees what runs in the pods of this cluster's nodes, and nothing of other clusters."""
    (found,) = eventually(
        lambda: [one for one in psutil.process_iter() if _is_operator(one)], lambda all_: len(all_) == 1
    )
    return found


def _is_operator(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:] == _COMMAND
    except psutil.Error:
        return False
