"""Waits, out of reach of the terminal, until a cluster is gone, and removes what it has left.

Started with the reading end of a pipe as standard input. Only the process that started the cluster and process 1 of
the cluster hold the writing end, so its end is theirs, however they die.
"""

import signal
import sys
from pathlib import Path

from testbed import leftovers


def main(folder: Path) -> int:
    """Exit code 1 when something could not be removed."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.stdin.read()
    return 0 if leftovers.remove(folder) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
