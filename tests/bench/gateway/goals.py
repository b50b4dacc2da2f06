"""The gateway's goals by name, in the order of the table."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bench.gateway import holding, latency, throughput
from bench.gateway.sides import Stage
from bench.table import Finding

Goal = Callable[[Stage], list[Finding]]
"""Measures; its docstring says how."""

GOALS: Final[Mapping[str, Goal]] = MappingProxyType(
    {
        "G1": latency.added,
        "G2": throughput.throughput,
        "G3": latency.steady,
        "G4": holding.memory,
        "G5": holding.waking,
    }
)
