"""Leases as gateways write them, and as nobody should: what is asked of models becomes runtimes, rubbish nothing."""

import json
from collections.abc import Iterator
from time import monotonic
from typing import Final

import pytest

from easel_crds.demand import LEASE_SECONDS
from support import operator_process
from support.easel_release import Release
from support.fleet import Fleet
from support.kubectl import Namespace, eventually
from support.leases import lease_with

_RUBBISH: Final = {
    "empty": "",
    "no-json": "\\u0000{",
    "no-object": '["MODEL"]',
    "no-counts": '{"MODEL": ["2", null]}',
    "negative": '{"MODEL": [-1, -1]}',
    "countless": '{"MODEL": [' + "9" * 400 + ", 0]}",
    "deep": "[" * 100_000,
    "no-such-models": '{"nowhere/none": [1, 0], "/": [1, 0], "/none": [1, 0], "nowhere/": [1, 0]}',
    "paths": '{"MODEL/status": [1, 0], "MODEL?watch=true": [1, 0], "../..": [1, 0]}',
}
"""What may stand in a Lease that passes for a gateway's, by name of the Lease."""


@pytest.fixture
def fleet(easel: Release, namespace: Namespace, simulated_gpus: str) -> Iterator[Fleet]:
    """Models of one test, gone after it."""
    found = Fleet(namespace, easel.system, simulated_gpus)
    yield found
    found.clear()


@pytest.fixture
def rubbish(fleet: Fleet, easel: Release) -> Iterator[None]:
    """Leases that no gateway would write. Whatever they do to the operator ends with them."""
    for name, text in _RUBBISH.items():
        lease = lease_with(name, text.replace("MODEL", f"{fleet.namespace}/aimed-at"))
        # `apply` would keep a second copy of such a long text in an annotation.
        fleet.system("create", "-f", "-", given=json.dumps(lease))
    yield
    fleet.ask_no_more()
    operator_process.start_anew(easel.system)


def test_demand_scales_from_none_to_two_at_once_and_lapses_when_nobody_renews_it(fleet: Fleet) -> None:
    fleet.apply(fleet.model("asked", idle_seconds=1))
    fleet.wait_ready()
    since = monotonic()
    fleet.ask("asked")
    fleet.wait_for(2, "asked")
    eventually(lambda: fleet.pods("asked"), lambda pods: not pods)
    assert monotonic() - since >= LEASE_SECONDS
    model = eventually(lambda: fleet.get("asked"), lambda one: not one["status"]["replicas"])
    told = [(decision["replicas"], decision["reason"]) for decision in model["status"]["scaleDecisions"]]
    assert told == [
        (0, "no more were needed for 1 seconds"),
        (2, "0 requests in flight and 2 waiting, 1 for each replica"),
    ]


def test_only_the_gateways_of_the_release_are_believed(fleet: Fleet) -> None:
    fleet.apply(fleet.model("believed"), fleet.model("slandered"))
    fleet.wait_ready()
    fleet.ask("slandered", where=fleet.namespace)
    fleet.ask("believed")
    fleet.wait_for(2, "believed")
    assert fleet.get("slandered")["status"]["scaleDecisions"] == []
    assert fleet.pods("slandered") == []


def test_rubbish_in_leases_harms_nobody(fleet: Fleet, easel: Release, rubbish: None) -> None:
    operator_process.kill()  # it must be able to begin with them, too
    fleet.apply(fleet.model("aimed-at"), fleet.model("other"))
    fleet.wait_ready()
    fleet.ask("aimed-at", "other")
    fleet.wait_for(2, "aimed-at", "other")
    told = easel.system("logs", "--selector=app.kubernetes.io/component=operator", "--tail=-1")
    assert "Traceback" not in told
