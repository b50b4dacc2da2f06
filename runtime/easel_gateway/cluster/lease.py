"""The gateway's demand, written to one Lease of its own: see `easel_crds.demand`.

At once when a model that nothing serves is asked for, else at a change and at most every two seconds; renewed while
there is demand, and left alone while there is none. Only the newest state is ever written.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from easel_crds.demand import LEASE_SECONDS, Demand, ModelKey, to_annotation
from easel_crds.metadata import Label
from easel_gateway.cluster.backoff import Backoff
from easel_gateway.settings import Pod
from easel_kube.client import ApiError, Kube
from easel_kube.kinds import LEASES

_log = logging.getLogger(__name__)
WRITE_SECONDS: Final = 2.0
"""Least time between two writes, unless somebody waits for a model that nothing serves."""
RENEW_SECONDS: Final = LEASE_SECONDS / 3
"""A demand that stays the same is written again this often."""
_LAST_SECONDS: Final = 5.0
"""Longest time of the last write."""

Demands = Mapping[ModelKey, Demand]


class DemandLease:
    """Keeps the Lease current. All methods belong on one event loop."""

    def __init__(
        self, kube: Kube, pod: Pod, *, write_seconds: float = WRITE_SECONDS, renew_seconds: float = RENEW_SECONDS
    ) -> None:
        self._kube = kube
        self._pod = pod
        self._write_seconds = write_seconds
        self._renew_seconds = renew_seconds
        self._demands: dict[ModelKey, Demand] = {}
        self._urgent: set[ModelKey] = set()
        self._written: Demands = {}
        """What was last sent."""
        self._certain = True
        """Whether it arrived."""
        self._tried_at = float("-inf")
        self._changed = asyncio.Event()

    def publish(self, key: ModelKey, demand: Demand, *, urgent: bool) -> None:
        """Have the demand for one model written; `urgent`: nothing serves it, and somebody waits."""
        if demand.requests:
            self._demands[key] = demand
        else:
            self._demands.pop(key, None)
        if urgent:
            self._urgent.add(key)
        else:
            self._urgent.discard(key)
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        backoff = Backoff()
        while True:
            await self._until_due()
            try:
                await self._write()
            except ApiError as error:
                if not backoff.failures:
                    _log.warning("the demand cannot be written, cold models stay cold: %s", error)
                await asyncio.sleep(backoff.pause())
            else:
                if backoff.failures:
                    _log.info("the demand is written again")
                backoff = Backoff()

    async def empty(self) -> None:
        """Say that there is no demand, as the last thing; a Lease that cannot be written runs out by itself."""
        self._demands.clear()
        if self._certain and not self._written:
            return
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._write()

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while (seconds := self._due_at() - loop.time()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if seconds == float("inf") else seconds):
                    await self._changed.wait()

    def _due_at(self) -> float:
        """When to write next (event loop time)."""
        known = self._written if self._certain else {}
        if self._urgent - known.keys():
            return float("-inf")
        if self._demands != self._written or not self._certain:
            return self._tried_at + self._write_seconds
        return self._tried_at + self._renew_seconds if self._demands else float("inf")

    async def _write(self) -> None:
        self._written, self._certain = dict(self._demands), False
        self._tried_at = asyncio.get_running_loop().time()
        await self._kube.apply(LEASES, lease(self._pod, self._written, datetime.now(UTC)))
        self._certain = True


def lease(pod: Pod, demands: Demands, now: datetime) -> dict[str, Any]:
    """The Lease that says `demands`; it goes when its pod goes."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {Label.DEMAND: "true"},
            "annotations": {Label.DEMAND: to_annotation(demands)},
            "ownerReferences": [owner],
        },
        "spec": {
            "holderIdentity": pod.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
