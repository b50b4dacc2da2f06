"""docs/benchmarks-gateway.md, written whole from what was measured."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import page as pages
from bench.machine import ROOT
from bench.table import Finding

FILE: Final[Path] = ROOT / "docs" / "benchmarks-gateway.md"
SHOWN: Final = ("aiohttp", "FastAPI", "uvicorn", "uvloop", "httptools", "Pillow")
"""Packages whose versions matter here."""

_HEAD: Final = """\
# Benchmarks of the gateway

Written by `make bench-gateway WRITE=--write`. Ratios carry over to other machines, milliseconds do not. All sides were
measured in the same run, taking turns, in front of a stub runtime that answers at once. In brackets: where a median
would be nine times in ten, were it measured again.
"""
_HOW: Final = """\
## How it was measured

Everything is on one machine and its loopback. The side that is measured (gateway, proxy or echo) is one process on one
core; the stub runtime and the callers share another one, whichever side has its turn. The callers are protocols on
uvloop. Results are written to a file system in memory, the ledger to disk. The code is
`tests/bench/gateway`. One goal alone: `make bench-gateway GOALS=G2`.
"""


def page(findings: Sequence[Finding], goals: Mapping[str, Callable[..., object]], facts: Mapping[str, str]) -> str:
    """The whole page."""
    return pages.page(findings, goals, facts, head=_HEAD, how=_HOW)
