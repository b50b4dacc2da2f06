"""docs/benchmarks.md, written whole from what was measured."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.machine import ROOT
from bench.reasons import REASONS
from bench.table import Finding, markdown, number

FILE: Final[Path] = ROOT / "docs" / "benchmarks.md"

_HEAD: Final = """\
# Benchmarks

Written by `make bench WRITE=--write`. Ratios carry over to other machines, milliseconds do not. Both sides of each were
measured in the same run, taking turns, with random weights. Tiny pipelines make the work around the model look larger
than it is: a real image takes seconds. In brackets: where a median would be nine times in ten, were it measured again.
"""
_HOW: Final = """\
## How it was measured

The side that is measured has one core and one thread of torch, whoever measures has another: callers never take time
from a server. Processes that are not having their turn are stopped. The tiny pipelines are made by
`tests/support/hub.py`; the code is `tests/bench`. One goal alone: `make bench GOALS=C4`.
"""


def page(
    findings: Sequence[Finding],
    goals: Mapping[str, Callable[..., object]],
    facts: Mapping[str, str],
    *,
    head: str = _HEAD,
    how: str = _HOW,
) -> str:
    """The whole page; `head` and `how` are what is the same whatever was found."""
    parts = [
        head,
        "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n",
        markdown(findings) + "\n",
        _missed(findings),
        how,
        "\n".join(f"**{name}.** {_text(goal)}\n" for name, goal in goals.items()),
    ]
    return "\n".join(part for part in parts if part)


def _missed(findings: Sequence[Finding]) -> str:
    missed = [finding for finding in findings if finding.verdict == "missed"]
    if not missed:
        return ""
    lines = []
    for finding in missed:
        reason = REASONS.get(finding.goal, "not yet explained")
        lines.append(
            f"- {finding.goal}, {finding.what}: {number(finding.measured)}, wanted {finding.wanted}; {reason}."
        )
    return "\n".join(["## Missed", "", *lines, ""])


def _text(goal: Callable[..., object]) -> str:
    return " ".join(inspect.cleandoc(goal.__doc__ or "").split("\n")).replace("  ", " ")
