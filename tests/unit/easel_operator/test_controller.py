"""From what happens in a cluster to what is looked at: workers, resyncs, and what goes wrong on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import kopf
import pytest

from easel_crds.demand import Demand
from easel_kube.client import ApiError, Kube
from easel_kube.kinds import Kind
from easel_operator import workqueue
from easel_operator.controller import Controller
from easel_operator.settings import Settings
from support.cluster_objects import KEY, NAMESPACE, at, child_path, cluster_model, lease, model_document, written
from support.object_store import Answer, ObjectStore, kube_at, object_store, refusal

Json = dict[str, Any]
_MODELS = f"/apis/easel.dev/v1alpha1/namespaces/{NAMESPACE}/imagemodels"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/easel-system/leases"
_LIST_OF_LEASES = "/apis/coordination.k8s.io/v1/leases"


class Operator:
    """A controller that works, the API server's objects, and the events that a watch would bring."""

    def __init__(self, store: ObjectStore, controller: Controller) -> None:
        self.store, self.controller = store, controller

    def put(self, name: str = "demo", **more: Any) -> Json:
        document = model_document(name, **more)
        self.store.put(_MODELS, document)
        return document

    def change(self, name: str = "demo", **more: Any) -> None:
        """An ImageModel is made or changed, and the watch tells."""
        self.controller.model_changed(self.put(name, **more))

    def reason(self, name: str = "demo") -> str:
        """Reason of the condition Ready; empty before anything was said."""
        conditions = self.store.objects[f"{_MODELS}/{name}"].get("status", {}).get("conditions", [])
        return next((str(one["reason"]) for one in conditions if one["type"] == "Ready"), "")

    def replicas(self) -> int | None:
        deployment = self.store.objects.get(child_path("Deployment"))
        return None if deployment is None else int(deployment["spec"]["replicas"])

    def looks(self, name: str = "demo") -> int:
        """How often the model was looked at."""
        return sum(one.method == "GET" and one.path == f"{_MODELS}/{name}" for one in self.store.requests)


@pytest.fixture
async def store() -> AsyncIterator[ObjectStore]:
    async with object_store() as running:
        yield running


@asynccontextmanager
async def _working(controller: Controller) -> AsyncIterator[None]:
    """The controller works until the context ends."""
    running = asyncio.create_task(controller.run())
    try:
        yield
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _operating(store: ObjectStore, **settings: Any) -> AsyncIterator[Operator]:
    async with kube_at(store.url) as kube:
        controller = Controller(kube, Settings(**settings), "host-1")
        async with _working(controller):
            yield Operator(store, controller)


@pytest.fixture
async def operator(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    monkeypatch.setattr(workqueue, "_FIRST_PAUSE", 0.001)
    async with _operating(store) as running:
        yield running


async def test_at_the_start_everything_is_looked_at(operator: Operator) -> None:
    operator.put(warmReplicas=1)
    operator.put("other", fromTheFuture=1)
    await operator.controller.resync()
    await operator.store.until(lambda: operator.reason() == "Starting" and operator.reason("other") == "Invalid")


async def test_what_was_asked_for_before_the_start_counts(operator: Operator) -> None:
    operator.put(maxReplicas=4)
    operator.store.put(_LEASES, lease({KEY: Demand(1, 2)}))
    await operator.controller.resync()
    await operator.store.until(lambda: operator.replicas() == 2)


async def test_the_start_fails_where_the_api_server_does_not_tell(operator: Operator) -> None:
    operator.store.answers["GET", _LIST_OF_LEASES] = refusal(403, "leases is forbidden")
    with pytest.raises(ApiError, match="leases is forbidden"):
        await operator.controller.resync()


async def test_a_model_that_is_new_is_looked_at(operator: Operator) -> None:
    operator.change(warmReplicas=1)
    await operator.store.until(lambda: operator.reason() == "Starting")


async def test_a_model_that_cannot_be_read_is_told_so(operator: Operator) -> None:
    operator.change(fromTheFuture=1)
    await operator.store.until(lambda: operator.reason() == "Invalid")


async def test_when_the_older_goes_the_younger_is_in_force(operator: Operator) -> None:
    operator.change("old", modelId="a/b", warmReplicas=1)
    operator.change("new", modelId="a/b", warmReplicas=1, metadata={"creationTimestamp": written(at(1))})
    await operator.store.until(lambda: operator.reason("new") == "DuplicateModelId")
    operator.controller.model_gone(operator.store.objects.pop(f"{_MODELS}/old"))
    await operator.store.until(lambda: operator.reason("new") == "Starting")


async def test_a_child_leads_to_its_model(operator: Operator) -> None:
    operator.change(warmReplicas=1)
    await operator.store.until(lambda: operator.reason() == "Starting")
    operator.controller.child_changed(operator.store.objects.pop(child_path("Service")))
    await operator.store.until(lambda: child_path("Service") in operator.store.objects)


async def test_a_profile_leads_to_those_that_name_it(operator: Operator) -> None:
    operator.change(profile="large", warmReplicas=1)
    operator.change("other", warmReplicas=1)
    await operator.store.until(lambda: (operator.reason(), operator.reason("other")) == ("ProfileNotFound", "Starting"))
    operator.store.requests.clear()
    profile = {"apiVersion": "easel.dev/v1alpha1", "kind": "RuntimeProfile", "metadata": {"name": "large"}, "spec": {}}
    operator.store.put("/apis/easel.dev/v1alpha1/runtimeprofiles", profile)
    operator.controller.profile_changed("large")
    await operator.store.until(lambda: operator.reason() == "Starting")
    assert operator.looks("other") == 0


async def test_demand_leads_to_its_model(operator: Operator) -> None:
    operator.change(maxReplicas=4)
    await operator.store.until(lambda: operator.reason() == "ScaledToZero")
    operator.controller.demand_changed(lease({KEY: Demand(0, 7)}))
    await operator.store.until(lambda: operator.replicas() == 4)
    looks = operator.looks()
    operator.controller.gateway_gone(lease({KEY: Demand(0, 7)}))
    await operator.store.until(lambda: operator.looks() > looks)


async def test_demand_for_what_does_not_exist_concerns_nobody(operator: Operator) -> None:
    operator.controller.demand_changed(lease({KEY: Demand(0, 7)}))
    await operator.store.until(operator.looks)
    assert operator.store.writes == []


@pytest.mark.usefixtures("caplog")
async def test_what_failed_is_tried_again_until_it_works(operator: Operator) -> None:
    operator.store.answers["PATCH", child_path("Service")] = refusal(500, "etcdserver: leader changed")
    operator.change(warmReplicas=1)
    await operator.store.until(lambda: operator.looks() >= 3)
    assert operator.reason() == ""
    operator.store.answers.clear()
    await operator.store.until(lambda: operator.reason() == "Starting")


async def test_one_model_that_nobody_can_handle_does_not_stop_the_others(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    operator.store.objects[child_path("Deployment")] = {"metadata": {"name": "easel-demo"}}  # without a spec
    operator.change(warmReplicas=1)
    await operator.store.until(lambda: operator.looks() >= 2)
    operator.change("other", warmReplicas=1)
    await operator.store.until(lambda: operator.reason("other") == "Starting")
    assert "team/demo: the operator failed" in caplog.text


_UNREADABLE = lease('{"team/demo":' + "[" * 200_000)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda store: store.answers.update({("GET", ".*s"): refusal(500, "down")}), id="an error"),
        pytest.param(lambda store: store.answers.update({("GET", ".*s"): Answer(body=b"<html>")}), id="no JSON"),
        pytest.param(lambda store: store.put(_LEASES, _UNREADABLE), id="a Lease that nobody can read"),
    ],
)
@pytest.mark.usefixtures("caplog")
async def test_a_resync_that_fails_is_not_the_last(store: ObjectStore, spoil: Callable[[ObjectStore], None]) -> None:
    async with _operating(store, resync_seconds=0.01) as operator:
        spoil(store)
        before = len(store.requests)
        await store.until(lambda: len(store.requests) > before + 4)
        store.answers.clear()
        operator.put(warmReplicas=1)  # and no watch tells
        await store.until(lambda: operator.reason() == "Starting")


class _Meanwhile(Kube):
    """Something happens between the API server's list of ImageModels and its arrival."""

    happens: Callable[[], None] | None = None

    async def list(self, kind: Kind, namespace: str = "", labels: str = "", fields: str = "") -> list[Json]:
        found = await super().list(kind, namespace, labels, fields)
        if kind.plural == "imagemodels" and self.happens is not None:
            self.happens()
        return found


async def test_what_a_watch_told_during_a_resync_is_not_forgotten(store: ObjectStore) -> None:
    async with kube_at(store.url) as plain:
        kube = _Meanwhile(plain._api, "easel")
        operator = Operator(store, Controller(kube, Settings(), "host-1"))
        kube.happens = lambda: operator.change("old", modelId="a/b", warmReplicas=1)
        await operator.controller.resync()
        operator.change("new", modelId="a/b", warmReplicas=1, metadata={"creationTimestamp": written(at(1))})
        async with _working(operator.controller):
            await store.until(lambda: operator.reason("new"))
    assert operator.reason("new") == "DuplicateModelId"


async def test_a_gateway_that_went_unseen_asks_for_nothing_after_a_resync(store: ObjectStore) -> None:
    async with kube_at(store.url) as kube:
        operator = Operator(store, Controller(kube, Settings(), "host-1"))
        operator.put(maxReplicas=4)
        store.put(_LEASES, lease({KEY: Demand(0, 7)}))
        await operator.controller.resync()
        del store.objects[f"{_LEASES}/gateway-1"]
        await operator.controller.resync()
        async with _working(operator.controller):
            await store.until(operator.reason)
    assert (operator.replicas(), operator.reason()) == (0, "ScaledToZero")


async def test_what_kopf_hands_over_is_read_like_any_other_document(operator: Operator) -> None:
    first = model_document("first", modelId="a/b")
    operator.controller.model_changed(kopf.Body(cast("kopf.RawBody", first)))
    second = cluster_model("second", modelId="a/b", metadata={"creationTimestamp": written(at(1))})
    older = operator.controller._inventory.older(second)
    assert older is not None
    assert older.name == "first"
