"""Room on a disk: of repositories in one folder, those go that were asked for longest ago."""

import logging
import shutil
import stat
from pathlib import Path
from typing import Final

from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

_log = logging.getLogger(__name__)
_TRY_SECONDS: Final = 0.01
"""A lock that is not free at once is held by whoever uses what it guards."""


def make_room(folder: Path, locks: Path, most: int) -> None:
    """Delete repositories of `folder` until they have no more than `most` bytes together.

    Those stay whose lock in `locks` (a file of the same name) is held. A file that a process has open is there for it
    until it closes it.

    Raises:
        OSError: what may be deleted is not enough.
    """
    found = sorted((home.stat().st_mtime, _size(home), home) for home in folder.glob("models--*"))
    total = sum(size for _, size, _ in found)
    for _, size, home in found:
        if total <= most:
            return
        try:
            with WeakFileLock(locks / home.name, timeout=_TRY_SECONDS):
                _log.info("deleting %s: no room for all", home)
                shutil.rmtree(home, ignore_errors=True)
        except TimeoutError:
            continue
        total -= size
    if total > most:
        raise OSError(f"{folder} has {total} bytes that are in use, and may have {most}")


def _size(home: Path) -> int:
    """Bytes of the files below; names that lead to another of them do not count twice."""
    size = 0
    for path in home.rglob("*"):
        try:
            status = path.lstat()
        except OSError:  # gone just now
            continue
        size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size
