"""The base of the images in the test bed: Debian with Python, from the mirror that this machine's apt uses.

Released images are built on the official Python image. That cannot be had without a registry; this can.
"""

import hashlib
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""Version of the suite's Python, for which wheels are chosen."""

_PACKAGES: Final = ("ca-certificates", "python3", "python3-pip", "python3-venv")
_LEFT_OUT: Final = (
    # What makes the official slim images slim.
    *("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"),
    # What debootstrap tells of this machine: its name, its servers, its mirror, when it ran.
    *("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "etc/machine-id", "var/log", "dev"),
)


class NoBase(Exception):
    """The base could not be made; the message says what to do."""


def key() -> str:
    """Changes when the base would."""
    return hashlib.sha256(f"{SUITE} {_PACKAGES} {_LEFT_OUT} {platform.machine()}".encode()).hexdigest()[:12]


def make(folder: Path) -> Path:
    """A tar of the base in `folder`, which is empty before; takes a minute or two. Raises NoBase."""
    if shutil.which("debootstrap") is None:
        raise NoBase("debootstrap is missing: apt-get install debootstrap")
    root, tar, log = folder / "root", folder / "base.tar", folder / "debootstrap.log"
    # Mounts of its own: debootstrap leaves some behind when it is killed, and the folder must be removable.
    command = [
        *("unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
        *(SUITE, str(root), _mirror()),
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    if done.returncode:
        lines = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise NoBase(f"{' '.join(command)} failed:\n{lines}")
    excluded = [f"--exclude=./{path}/*" if (root / path).is_dir() else f"--exclude=./{path}" for path in _LEFT_OUT]
    subprocess.run(["tar", "--numeric-owner", "-C", str(root), *excluded, "-cf", str(tar), "."], check=True)
    return tar


def _mirror() -> str:
    """The first address from which apt gets this suite."""
    wanted = f"{SUITE} main"
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoBase(f"apt-get could not be asked for its mirror: {error}") from error
    for line in listed.splitlines():
        if line.startswith(f"{wanted} "):
            return line.removeprefix(f"{wanted} ")
    raise NoBase(f"apt knows no mirror of Debian {SUITE}: add one to its sources and run apt-get update")
