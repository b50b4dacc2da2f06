"""What a gateway writes to say what is asked of it, written by hand."""

from typing import Any, Final

from easel_crds.demand import LEASE_SECONDS, Demand, ModelKey, to_annotation
from easel_crds.metadata import Label

BY_HAND: Final = "by-hand"
"""Label of these Leases, so that they can be told from a gateway's own."""


def demand_lease(name: str, demands: dict[ModelKey, Demand]) -> dict[str, Any]:
    """A gateway's Lease."""
    return lease_with(name, to_annotation(demands))


def lease_with(name: str, text: str) -> dict[str, Any]:
    """A Lease that passes for a gateway's and says `text`."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "labels": {Label.DEMAND: "true", BY_HAND: "true"},
            "annotations": {Label.DEMAND: text},
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }
