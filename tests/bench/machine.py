"""The machine: which core is whose, and what it is called where numbers are published."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_SHOWN: Final = ("torch", "diffusers", "transformers", "Pillow", "isal", "FastAPI", "uvicorn")
BUSY: Final = 0.5
"""Load average of the last minute from which on numbers are not to be trusted."""


@dataclass(frozen=True)
class Cores:
    """Who may use which cores: the side that is measured, and whoever measures it."""

    measured: frozenset[int]
    measuring: frozenset[int]


@cache
def cores() -> Cores:
    """By EASEL_BENCH_CORES `one` each (first and last), `halves`, or `all` for both; found before any pinning."""
    allowed = sorted(os.sched_getaffinity(0))
    shares = {"one": 1, "halves": max(1, len(allowed) // 2), "all": len(allowed)}
    share = shares[os.environ.get("EASEL_BENCH_CORES", "one")]
    return Cores(frozenset(allowed[:share]), frozenset(allowed[-share:]))


def everywhere() -> frozenset[int]:
    """The cores of both sides together."""
    return cores().measured | cores().measuring


def pin(chosen: frozenset[int]) -> None:
    """This process, and those that it starts from now on, use these cores alone."""
    os.sched_setaffinity(0, chosen)


def is_busy() -> bool:
    """Whether others have been using the machine."""
    return os.getloadavg()[0] > BUSY


def processor() -> str:
    """The processor's own name."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def facts(shown: Sequence[str] = _SHOWN) -> dict[str, str]:
    """What the numbers depend on, the versions of `shown` among it; nothing that would say whose machine it is."""
    lock = (ROOT / "requirements" / "bench.txt").read_text()
    litserve = re.search(r"^litserve==(\S+)", lock, re.MULTILINE)
    versions = {name: version(name) for name in shown}
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores; to each side: {len(cores().measured)}",
        "system": f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items())
        + (f", LitServe {litserve[1]}" if litserve and shown is _SHOWN else ""),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
