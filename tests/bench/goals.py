"""The goals by name, in the order of the table."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bench import codecs, exactness, leaving, overload, serving, starting, steps, uploading
from bench.table import Finding
from bench.tiny import Stage

Goal = Callable[[Stage], list[Finding]]
"""Measures; its docstring says how."""

GOALS: Final[Mapping[str, Goal]] = MappingProxyType(
    {
        "C1": uploading.upload,
        "C2": codecs.png,
        "C3": serving.health,
        "C4": serving.throughput,
        "C5": exactness.unbatched,
        "C6": exactness.batched,
        "C7": steps.per_step,
        "C10": starting.listening,
        "C11": overload.refusing,
        "C12": leaving.stopping,
    }
)
