"""The packages of a lock as wheels in the user's cache, so that images are built without a network."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NEWEST_GLIBC: Final = 36
"""Of 2.x: that of Debian bookworm."""


class NoWheels(Exception):
    """A lock's packages could not be had; the message holds pip's."""


def folder_of(lock: str, cache: Path, python: str) -> Path:
    """Folder with a wheel for each pin of `lock` (the text of a requirements file) for CPython `python` ("3.11").

    Downloaded once, by the pip of the Python that runs this, from wherever that is set up to get packages. Markers are
    judged by that Python too. Raises NoWheels.
    """
    name = hashlib.sha256(f"{lock} {python} {platform.machine()}".encode()).hexdigest()[:16]
    folder = cache / name
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".loading-") as loading:
        requirements = Path(loading, "requirements.txt")
        requirements.write_text(lock)
        (Path(loading) / "wheels").mkdir()
        _download(requirements, Path(loading, "wheels"), python)
        Path(loading, "wheels").rename(folder)
    return folder


def _download(requirements: Path, folder: Path, python: str) -> None:
    # The interpreter that the virtual environment was made with: uv makes environments without pip.
    pip = [str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")), "-m", "pip"]
    tags = [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    tags += [f"--platform={name}" for name in _platforms()]
    command = [
        *(*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *tags),
        *(f"--requirement={requirements}", f"--dest={folder}"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise NoWheels(f"{' '.join(pip)} could not download the packages of an image:\n{done.stderr.strip()}")


def _platforms() -> Iterator[str]:
    """pip takes what it is told literally, so every kind of wheel that fits is named."""
    machine = platform.machine()
    yield from (f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1))
    yield from (f"manylinux{year}_{machine}" for year in ("2014", "2010", "1"))
    yield f"linux_{machine}"
