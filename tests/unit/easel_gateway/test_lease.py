"""The demand in a gateway's Lease: when it is written, what it says, and what happens where it cannot be written."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from easel_crds.demand import Demand, ModelKey, from_annotation
from easel_gateway.cluster.lease import RENEW_SECONDS, WRITE_SECONDS, DemandLease
from easel_gateway.settings import Pod
from easel_kube.client import Kube, connected
from support.kube_api import KubeApi, Request, kube_api
from support.runtimes import until

A, B = ModelKey("default", "a"), ModelKey("other", "b")
POD = Pod(name="gateway-1", namespace="easel-system", uid="uid-of-gateway-1")
LONG = 1000.0
"""Seconds that no test lasts."""


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with kube_api() as running:
        yield running


@pytest.fixture
async def kube(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
    async with connected("easel-gateway") as client:
        yield client


@asynccontextmanager
async def writing(kube: Kube, write_seconds: float = LONG, renew_seconds: float = LONG) -> AsyncIterator[DemandLease]:
    """A lease that is kept current as long as the context lasts."""
    lease = DemandLease(kube, POD, write_seconds=write_seconds, renew_seconds=renew_seconds)
    task = asyncio.create_task(lease.run())
    try:
        yield lease
    finally:
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError), result


def said(request: Request) -> dict[ModelKey, Demand]:
    return from_annotation(request.body["metadata"]["annotations"]["easel.dev/demand"])


def everything_said(api: KubeApi) -> list[dict[ModelKey, Demand]]:
    return [said(request) for request in api.applied]


def test_the_intervals_are_those_of_the_contract() -> None:
    assert (WRITE_SECONDS, RENEW_SECONDS) == (2, 10)


async def test_what_is_written_is_a_lease_of_the_pod(api: KubeApi, kube: Kube) -> None:
    async with writing(kube) as lease:
        lease.publish(A, Demand(1, 2), urgent=False)
        await until(lambda: len(api.applied) == 1)
    (request,) = api.applied
    assert request.path == "/apis/coordination.k8s.io/v1/namespaces/easel-system/leases/gateway-1"
    assert request.query == {"fieldManager": "easel-gateway", "force": "true"}
    assert request.content_type == "application/apply-patch+yaml"
    renewed = datetime.fromisoformat(request.body["spec"].pop("renewTime"))
    assert abs(datetime.now(renewed.tzinfo) - renewed) < timedelta(minutes=1)
    assert request.body == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "gateway-1",
            "namespace": "easel-system",
            "labels": {"easel.dev/demand": "true"},
            "annotations": {"easel.dev/demand": '{"default/a":[1,2]}'},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "gateway-1", "uid": "uid-of-gateway-1"}],
        },
        "spec": {"holderIdentity": "gateway-1", "leaseDurationSeconds": 30},
    }


async def test_without_demand_nothing_is_written(api: KubeApi, kube: Kube) -> None:
    async with writing(kube, write_seconds=0, renew_seconds=0) as lease:
        lease.publish(A, Demand(), urgent=False)
        lease.publish(A, Demand(0, 1), urgent=True)
        lease.publish(A, Demand(), urgent=False)
        await asyncio.sleep(0)
        assert lease._due_at() == float("inf")
        await lease.empty()
    assert api.requests == []


async def test_a_cold_model_that_is_asked_for_is_written_at_once_and_others_later(api: KubeApi, kube: Kube) -> None:
    async with writing(kube) as lease:
        lease.publish(A, Demand(1, 0), urgent=False)
        await until(lambda: lease._certain and len(api.applied) == 1)
        lease.publish(A, Demand(2, 0), urgent=False)  # waits for its time
        await asyncio.sleep(0)
        lease.publish(B, Demand(0, 1), urgent=True)
        await until(lambda: lease._certain and len(api.applied) == 2)
        lease.publish(B, Demand(0, 9), urgent=True)  # it is known already that this one is wanted
        assert lease._due_at() == lease._tried_at + LONG
    assert everything_said(api) == [{A: Demand(1, 0)}, {A: Demand(2, 0), B: Demand(0, 1)}]


async def test_many_changes_are_few_writes_and_the_last_one_is_among_them(api: KubeApi, kube: Kube) -> None:
    gap = 0.1
    began = asyncio.get_running_loop().time()
    async with writing(kube, write_seconds=gap) as lease:
        for count in range(1, 51):
            lease.publish(A, Demand(count, 0), urgent=False)
            await asyncio.sleep(0.005)
        await until(lambda: said(api.applied[-1]) == {A: Demand(50, 0)})
    assert len(api.applied) <= 1 + (asyncio.get_running_loop().time() - began) / gap
    assert said(api.applied[0]) == {A: Demand(1, 0)}


async def test_what_changes_during_a_write_is_written_next_and_only_its_newest_state(api: KubeApi, kube: Kube) -> None:
    api.answering.clear()
    async with writing(kube, write_seconds=0) as lease:
        lease.publish(A, Demand(0, 1), urgent=True)
        await until(lambda: len(api.applied) == 1)
        for count in range(2, 9):
            lease.publish(A, Demand(0, count), urgent=True)
            await asyncio.sleep(0)
        api.answering.set()
        await until(lambda: lease._certain)
        await until(lambda: len(api.applied) == 2)
    assert everything_said(api) == [{A: Demand(0, 1)}, {A: Demand(0, 8)}]


async def test_a_demand_that_stays_is_renewed_until_it_ends(api: KubeApi, kube: Kube) -> None:
    gap = 0.05
    began = asyncio.get_running_loop().time()
    async with writing(kube, write_seconds=0, renew_seconds=gap) as lease:
        lease.publish(A, Demand(1, 0), urgent=False)
        await until(lambda: len(api.applied) == 4)
        assert asyncio.get_running_loop().time() - began >= 3 * gap
        lease.publish(A, Demand(), urgent=False)
        await until(lambda: said(api.applied[-1]) == {})
        await until(lambda: lease._certain)
        assert lease._due_at() == float("inf")
    assert everything_said(api) == [{A: Demand(1, 0)}] * (len(api.applied) - 1) + [{}]
    renewals = [request.body["spec"]["renewTime"] for request in api.applied]
    assert renewals == sorted(set(renewals))


@pytest.mark.parametrize("status", [500, 403, 404, 409, 429])
async def test_a_write_that_fails_is_tried_again_with_the_newest_state(
    api: KubeApi, kube: Kube, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO, "easel_gateway.cluster.lease")
    api.status = status
    async with writing(kube) as lease:
        lease.publish(A, Demand(0, 1), urgent=True)
        await until(lambda: len(api.applied) == 3)
        lease.publish(A, Demand(0, 5), urgent=True)
        api.status = 0
        await until(lambda: lease._certain)
        assert said(api.applied[-1]) == {A: Demand(0, 5)}
        await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0].endswith("as the test wants it")
    assert caplog.messages[1] == "the demand is written again"


async def test_where_nobody_knows_whether_a_write_arrived_it_is_written_again(api: KubeApi, kube: Kube) -> None:
    async with writing(kube, write_seconds=0) as lease:
        lease.publish(A, Demand(1, 0), urgent=False)
        await until(lambda: lease._certain and len(api.applied) == 1)
        api.goes_away = True
        lease.publish(A, Demand(), urgent=False)
        await until(lambda: len(api.applied) == 2)
        api.goes_away = False
        lease.publish(A, Demand(1, 0), urgent=False)  # as it was before the write of which nothing is known
        await until(lambda: len(api.applied) >= 3 and lease._certain)
        assert said(api.applied[-1]) == {A: Demand(1, 0)}


async def test_at_the_end_there_is_no_demand(api: KubeApi, kube: Kube) -> None:
    async with writing(kube) as lease:
        lease.publish(A, Demand(1, 0), urgent=False)
        await until(lambda: lease._certain and len(api.applied) == 1)
    await lease.empty()
    assert said(api.applied[-1]) == {}
    await lease.empty()
    assert len(api.applied) == 2


async def test_the_end_does_not_wait_for_an_api_server_that_is_away(api: KubeApi, kube: Kube) -> None:
    async with writing(kube) as lease:
        lease.publish(A, Demand(1, 0), urgent=False)
        await until(lambda: lease._certain and len(api.applied) == 1)
        api.status = 500
    async with asyncio.timeout(10):
        await lease.empty()
    assert len(api.applied) == 2
