"""Long-running programs: each in a session of its own, with a log and a file that holds its process id."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

# The process id and nothing else comes back through the pipe, which closes when the daemon takes the shell's place.
_LAUNCH: Final = 'echo $$; exec "$@" >>"$0" 2>&1 </dev/null'
_INTERVAL: Final = 0.05
_LINES: Final = 15


class Failed(Exception):
    """Something of the cluster did not start, or did not do in time what it was asked for."""


@dataclass(frozen=True)
class Daemon:
    """A program that was started, maybe by another process."""

    pid: int
    log: Path

    def lives(self) -> bool:
        """False for a zombie too, since its parent may not have asked for it yet."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return False

    def kill(self) -> None:
        """Ends it at once, and returns when it has ended."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [])
            finally:
                os.close(handle)

    def __str__(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LINES:]
        return f"The end of {self.log}:\n" + "\n".join(lines)


def start(name: str, command: Sequence[str | Path], logs: Path, environment: Mapping[str, str] | None = None) -> Daemon:
    """Starts a daemon whose parent is process 1, so that neither Ctrl-C nor the end of the caller reaches it."""
    log = logs / f"{name}.log"
    launched = subprocess.run(
        ["setsid", "--fork", "sh", "-c", _LAUNCH, log, *command],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    daemon = Daemon(int(launched.stdout), log)
    (logs / f"{name}.pid").write_text(str(daemon.pid))
    return daemon


def running(name: str, logs: Path) -> Daemon | None:
    """The daemon of that name, unless it has ended."""
    with suppress(FileNotFoundError):
        daemon = Daemon(int((logs / f"{name}.pid").read_text()), logs / f"{name}.log")
        return daemon if daemon.lives() else None
    return None


def wait_until(
    what: str, holds: Callable[[], bool], *daemons: Daemon, seconds: float = 60, interval: float = _INTERVAL
) -> None:
    """Returns when `holds()` does. Raises Failed when it takes too long, or a daemon that it needs ends."""
    deadline = monotonic() + seconds
    while not holds():
        for daemon in daemons:
            if not daemon.lives():
                raise Failed(f"{what}: {daemon.log.stem} has ended. {daemon}")
        if monotonic() > deadline:
            raise Failed("\n".join([f"{what}: not within {seconds:.0f} s.", *map(str, daemons)]))
        select.select([], [], [], interval)
