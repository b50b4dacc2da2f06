"""Demand for models: what gateways report and the operator scales by.

Each gateway replica writes one `coordination.k8s.io` Lease of its own, with the label `easel.dev/demand` and an
annotation of the same key. One writer per object, no conflicts, and few writes however many models there are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LEASE_SECONDS: Final = 30
"""A demand that its gateway has not renewed for so long counts no more: the gateway may be gone."""

_MOST: Final = 1_000_000
"""Requests that one gateway may report for one model; no gateway holds as many."""


@dataclass(frozen=True)
class ModelKey:
    """Which ImageModel: two namespaces may use one name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Demand:
    """Requests of one model."""

    in_flight: int = 0
    waiting: int = 0

    def __add__(self, other: "Demand") -> "Demand":
        return Demand(self.in_flight + other.in_flight, self.waiting + other.waiting)

    @property
    def requests(self) -> int:
        """In flight and waiting together."""
        return self.in_flight + self.waiting


def to_annotation(demands: Mapping[ModelKey, Demand]) -> str:
    """`demands` as the text of the Lease's annotation; models that nobody asks for are left out."""
    return json.dumps(
        {str(key): [demand.in_flight, demand.waiting] for key, demand in demands.items() if demand.requests},
        sort_keys=True,
        separators=(",", ":"),
    )


def from_annotation(text: str) -> dict[ModelKey, Demand]:
    """The demands in a Lease's annotation.

    Raises:
        ValueError: the text is not what `to_annotation` writes.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("the demand is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("the demand is not a JSON object")  # noqa: TRY004 (text that is wrong, not a type)
    demands: dict[ModelKey, Demand] = {}
    for key, counts in found.items():
        namespace, slash, name = key.partition("/")
        match counts:
            case [int(in_flight), int(waiting)] if slash and 0 <= in_flight <= _MOST and 0 <= waiting <= _MOST:
                demands[ModelKey(namespace, name)] = Demand(in_flight, waiting)
            case _:
                raise ValueError(f"the demand for {key!r} is {counts!r}, not two counts")
    return demands
