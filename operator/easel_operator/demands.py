"""What all gateways together ask for, from their Leases."""

import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from easel_crds.demand import LEASE_SECONDS, Demand, ModelKey, from_annotation
from easel_crds.metadata import Label

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Report:
    renewed: str
    """The Lease's renewTime: only compared, never read, because clocks differ."""
    seen: float
    """When this renewal was first seen here."""
    demands: Mapping[ModelKey, Demand]


class Demands:
    """The last report of each gateway. Times are those of one monotonic clock."""

    def __init__(self) -> None:
        self._reports: dict[str, _Report] = {}

    def note(self, lease: Mapping[str, Any], now: float) -> set[ModelKey]:
        """Take over what `lease` says; the models of which it asks for more or less than before."""
        uid = lease["metadata"]["uid"]
        renewed = str(lease.get("spec", {}).get("renewTime"))
        before = self._reports.get(uid)
        text = lease["metadata"].get("annotations", {}).get(Label.DEMAND, "{}")
        try:
            demands = from_annotation(text)
        except ValueError as error:
            _log.warning("the demand of gateway %s cannot be read: %s", lease["metadata"]["name"], error)
            demands = {}
        seen = now if before is None or before.renewed != renewed else before.seen
        self._reports[uid] = _Report(renewed, seen, demands)
        counted = before is not None and now - before.seen < LEASE_SECONDS
        old = before.demands if before is not None and counted else {}
        return {key for key in (*old, *demands) if old.get(key) != demands.get(key)}

    def keep(self, uids: Container[str]) -> None:
        """Forget every gateway whose Lease is not among `uids`."""
        self._reports = {uid: report for uid, report in self._reports.items() if uid in uids}

    def forget(self, uid: str) -> set[ModelKey]:
        """The gateway of this Lease is gone; the models that it asked for."""
        report = self._reports.pop(uid, None)
        return set() if report is None else set(report.demands)

    def of(self, key: ModelKey, now: float) -> Demand:
        """What is asked of a model by gateways that were heard of lately."""
        counts = (report.demands.get(key) for report in self._reports.values() if now - report.seen < LEASE_SECONDS)
        return reduce(add, (count for count in counts if count is not None), Demand())

    def expires(self, key: ModelKey, now: float) -> float | None:
        """Seconds until a demand for `key` would lapse if it were not renewed; None if there is none."""
        left = [report.seen + LEASE_SECONDS - now for report in self._reports.values() if key in report.demands]
        return min((seconds for seconds in left if seconds > 0), default=None)
