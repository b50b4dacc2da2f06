"""Passes over one ImageModel, against the objects of an API server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from easel_crds.demand import Demand
from easel_crds.manifest import stored_model
from easel_kube.client import ApiError
from easel_operator.autoscale import Autoscaler
from easel_operator.demands import Demands
from easel_operator.desired import CHILDREN
from easel_operator.inventory import Inventory
from easel_operator.reconcile import Reconciler
from support.cluster_objects import (
    KEY,
    NAMESPACE,
    at,
    child_path,
    crashing_pod,
    deleted,
    end,
    homeless_pod,
    lease,
    loading_pod,
    model_document,
    ready_pod,
    rejected_pod,
    written,
)
from support.object_store import ObjectStore, kube_at, object_store, refusal

Json = dict[str, Any]
_MODELS = f"/apis/easel.dev/v1alpha1/namespaces/{NAMESPACE}/imagemodels"
_MODEL = f"{_MODELS}/demo"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_DEPLOYMENT, _SERVICE = child_path("Deployment"), child_path("Service")
_QUOTA = "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 4, limited: 4"


@dataclass
class Cluster:
    """The API server's objects and an operator; nobody else does anything."""

    store: ObjectStore
    demands: Demands
    reconciler: Reconciler

    def declare(self, name: str = "demo", **more: Any) -> None:
        document = model_document(name, **more)
        self.store.put(_MODELS, document)
        self.reconciler.inventory.put(stored_model(document))

    def ask(self, waiting: int) -> None:
        """A gateway reports so many requests, now."""
        self.demands.note(lease({KEY: Demand(0, waiting)}), asyncio.get_running_loop().time())

    async def look(self, name: str = "demo") -> float | None:
        """One pass; what it asked for is then in `store.writes`."""
        self.store.requests.clear()
        return await self.reconciler.reconcile(type(KEY)(NAMESPACE, name))

    def status(self, name: str = "demo") -> Json:
        status: Json = self.store.objects[f"{_MODELS}/{name}"]["status"]
        return status

    def ready(self, name: str = "demo") -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        (ready,) = (one for one in self.status(name)["conditions"] if one["type"] == "Ready")
        return ready["status"], ready["reason"], ready["message"]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with object_store() as store, kube_at(store.url) as kube:
        demands = Demands()
        yield Cluster(store, demands, Reconciler(kube, Inventory(), Autoscaler(demands), "easel-runtime:1", "host-1"))


async def test_a_warm_model_gets_its_children_and_a_status(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=2, maxReplicas=2)
    assert await cluster.look() is None
    assert cluster.store.writes == [*(("PATCH", child_path(kind)) for kind in CHILDREN), ("PATCH", f"{_MODEL}/status")]
    assert cluster.store.objects[_DEPLOYMENT]["spec"]["replicas"] == 2
    assert cluster.ready() == ("False", "Starting", "a runtime is starting")
    (decision,) = cluster.status()["scaleDecisions"]
    assert (decision["replicas"], decision["reason"]) == (2, "warmReplicas asks for it")
    assert datetime.fromisoformat(decision["time"]).microsecond == 0


async def test_a_status_names_the_very_object_it_is_about(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    (written_status,) = (one for one in cluster.store.requests if one.path.endswith("/status"))
    assert written_status.body["metadata"] == {"name": "demo", "namespace": NAMESPACE, "uid": "uid-of-demo"}
    assert written_status.body.keys() == {"apiVersion", "kind", "metadata", "status"}


async def test_what_happened_is_told_in_events(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    assert [event["reason"] for event in cluster.store.events] == ["Scaled", "Starting"]
    cluster.store.put(_PODS, ready_pod())
    await cluster.look()
    assert [event["reason"] for event in cluster.store.events] == ["Serving"]


@pytest.mark.parametrize("pods", [[], [loading_pod()], [ready_pod()], [homeless_pod()], [crashing_pod(end(1))]])
async def test_where_nothing_changes_nothing_is_written(cluster: Cluster, pods: list[Json]) -> None:
    cluster.declare(warmReplicas=1)
    for pod in pods:
        cluster.store.put(_PODS, pod)
    await cluster.look()
    await cluster.look()
    assert (cluster.store.writes, cluster.store.events) == ([], [])


@pytest.mark.parametrize("kind", CHILDREN)
async def test_a_child_that_somebody_deleted_is_made_again_and_alone(cluster: Cluster, kind: str) -> None:
    cluster.declare(replicas=1)
    await cluster.look()
    del cluster.store.objects[child_path(kind)]
    await cluster.look()
    assert cluster.store.writes[0] == ("PATCH", child_path(kind))
    assert child_path(kind) in cluster.store.objects
    assert all(path in (child_path(kind), f"{_MODEL}/status") for _, path in cluster.store.writes)


async def test_a_number_that_somebody_else_set_is_set_back(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    cluster.store.objects[_DEPLOYMENT]["spec"]["replicas"] = 9
    await cluster.look()
    assert cluster.store.objects[_DEPLOYMENT]["spec"]["replicas"] == 1


async def test_on_demand_nothing_runs_until_somebody_asks(cluster: Cluster) -> None:
    cluster.declare(maxReplicas=4)
    assert await cluster.look() is None
    assert cluster.store.objects[_DEPLOYMENT]["spec"]["replicas"] == 0
    assert cluster.ready()[:2] == ("True", "ScaledToZero")
    cluster.ask(5)
    again = await cluster.look()
    assert cluster.store.objects[_DEPLOYMENT]["spec"]["replicas"] == 3
    assert again is not None
    assert 0 < again <= 30


async def test_a_paused_model_changes_nothing(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    cluster.declare(warmReplicas=2, maxReplicas=2, paused=True, metadata={"generation": 2})
    del cluster.store.objects[_SERVICE]
    cluster.store.put(_PODS, rejected_pod())
    assert await cluster.look() is None
    assert cluster.store.writes == [("PATCH", f"{_MODEL}/status")]
    assert cluster.ready()[:2] == ("False", "Paused")


async def test_a_paused_model_that_was_never_there_is_not_begun(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1, paused=True)
    await cluster.look()
    assert cluster.store.writes == [("PATCH", f"{_MODEL}/status")]


async def test_the_younger_of_one_model_id_is_refused_and_the_older_is_not(cluster: Cluster) -> None:
    cluster.declare("old", modelId="a/b", warmReplicas=1)
    cluster.declare("new", modelId="a/b", warmReplicas=1, metadata={"creationTimestamp": written(at(1))})
    await cluster.look("new")
    assert cluster.store.writes == [("PATCH", f"{_MODELS}/new/status")]
    assert cluster.ready("new")[:2] == ("False", "DuplicateModelId")
    assert "team/old" in cluster.ready("new")[2]
    await cluster.look("old")
    assert cluster.ready("old")[1] == "Starting"


async def test_without_its_profile_nothing_is_begun(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1, profile="large")
    await cluster.look()
    assert cluster.store.writes == [("PATCH", f"{_MODEL}/status")]
    assert cluster.ready() == ("False", "ProfileNotFound", "there is no RuntimeProfile large: create it")


async def test_what_belongs_to_somebody_else_is_not_touched_and_looked_at_again(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.objects[_SERVICE] = {"kind": "Service", "metadata": {"name": "easel-demo", "uid": "x"}, "spec": {}}
    assert await cluster.look() == 5
    assert cluster.store.writes == [("PATCH", f"{_MODEL}/status")]
    assert cluster.ready()[1] == "NotOwned"
    assert "Service easel-demo" in cluster.ready()[2]
    del cluster.store.objects[_SERVICE]
    assert await cluster.look() is None
    assert cluster.ready()[1] == "Starting"


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_what_the_api_server_refuses_is_told_and_tried_again_later(cluster: Cluster, status: int) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["PATCH", _DEPLOYMENT] = refusal(status, _QUOTA)
    assert await cluster.look() == 30
    assert cluster.ready() == ("False", "PodsRefused", f"the API server says: {_QUOTA}")
    assert cluster.status().get("scaleDecisions", []) == []
    cluster.store.answers.clear()
    await cluster.look()
    assert cluster.ready()[1] == "Starting"


async def test_a_refusal_without_a_word_is_a_refusal(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["PATCH", _DEPLOYMENT] = refusal(403, "")
    await cluster.look()
    assert cluster.ready()[1] == "PodsRefused"


async def test_pods_that_the_deployment_may_not_have_are_told(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": _QUOTA}
    cluster.store.objects[_DEPLOYMENT]["status"] = {"conditions": [failure]}
    assert await cluster.look() == 30
    assert cluster.ready() == ("False", "PodsRefused", f"the API server says: {_QUOTA}")


async def test_a_webhook_that_is_away_is_told(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    away = 'Internal error occurred: failed calling webhook "policy.example.org": connection refused'
    cluster.store.answers["PATCH", child_path("Deployment")] = refusal(500, away)
    assert await cluster.look() == 30
    assert cluster.ready() == ("False", "PodsRefused", f"the API server says: {away}")


async def test_the_other_children_are_applied_when_one_is_refused(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["PATCH", child_path("Service")] = refusal(403, "no")
    await cluster.look()
    assert {path for path in cluster.store.objects if path.endswith("easel-demo")} >= {child_path("Deployment")}


async def test_a_child_that_cannot_be_mended_makes_room_for_a_new_one(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    cluster.store.objects[child_path("Service")]["spec"]["ports"][0]["port"] = 81
    cluster.store.answers["PATCH", child_path("Service")] = refusal(422, 'ports[1].name: Duplicate value: "http"')
    cluster.store.answers["POST", ".*/services"] = refusal(409, "already exists")
    await cluster.look()
    assert child_path("Service") not in cluster.store.objects
    cluster.store.answers.clear()
    await cluster.look()
    assert cluster.store.objects[child_path("Service")]["spec"]["ports"][0]["port"] == 80


async def test_a_child_stays_when_its_successor_would_be_refused_too(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    cluster.store.objects[child_path("Deployment")]["spec"]["replicas"] = 5
    for method, path in (("PATCH", child_path("Deployment")), ("POST", ".*/deployments")):
        cluster.store.answers[method, path] = refusal(422, "spec.template: Invalid value")
    assert await cluster.look() == 30
    assert child_path("Deployment") in cluster.store.objects


@pytest.mark.parametrize("status", [401, 409, 429, 500, 503])
async def test_what_may_be_over_soon_is_an_error_and_nothing_is_told(cluster: Cluster, status: int) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["PATCH", child_path("ServiceAccount")] = refusal(status, "try again")
    with pytest.raises(ApiError, match="try again"):
        await cluster.look()
    assert "status" not in cluster.store.objects[_MODEL]


async def test_a_model_that_is_being_deleted_is_left_alone(cluster: Cluster) -> None:
    cluster.store.put(_MODELS, deleted(model_document(warmReplicas=1)))
    assert await cluster.look() is None
    assert [one.method for one in cluster.store.requests] == ["GET"]


async def test_a_model_that_is_gone_is_left_alone(cluster: Cluster) -> None:
    assert await cluster.look() is None
    assert [one.method for one in cluster.store.requests] == ["GET"]


async def test_a_model_that_this_version_cannot_read_is_told_so(cluster: Cluster) -> None:
    cluster.store.put(_MODELS, model_document(fromTheFuture=1))
    assert await cluster.look() is None
    assert cluster.ready()[:2] == ("False", "Invalid")
    assert "spec.fromTheFuture" in cluster.ready()[2]
    await cluster.look()
    assert cluster.store.writes == []


async def test_a_profile_that_this_version_cannot_read_is_named(cluster: Cluster) -> None:
    profile = {"apiVersion": "easel.dev/v1alpha1", "kind": "RuntimeProfile", "metadata": {"name": "large"}}
    cluster.store.put("/apis/easel.dev/v1alpha1/runtimeprofiles", {**profile, "spec": {"fromTheFuture": 1}})
    cluster.declare(warmReplicas=1, profile="large")
    await cluster.look()
    assert cluster.ready()[0] == "False"
    assert "RuntimeProfile large" in cluster.ready()[2]


async def test_pods_that_will_never_run_again_are_removed_and_others_are_not(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    await cluster.look()
    cluster.store.put(_PODS, rejected_pod(name="rejected"))
    cluster.store.put(_PODS, deleted(rejected_pod(name="leaving")))
    cluster.store.put(_PODS, crashing_pod(end(1), name="crashing"))
    made_by_hand = rejected_pod(name="by-hand")
    del made_by_hand["metadata"]["ownerReferences"]
    cluster.store.put(_PODS, made_by_hand)
    await cluster.look()
    assert [path for method, path in cluster.store.writes if method == "DELETE"] == [f"{_PODS}/rejected"]
    assert cluster.status()["lastFailure"]["pod"] == "rejected"


async def test_while_a_pod_has_no_node_the_autoscaler_is_asked_again(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.put(_PODS, homeless_pod())
    assert await cluster.look() == 15
    cluster.store.put(_PODS, loading_pod(name=homeless_pod()["metadata"]["name"]))
    assert await cluster.look() is None


async def test_events_that_cannot_be_written_stop_nothing(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["POST", ".*/events"] = refusal(403, "events is forbidden")
    await cluster.look()
    assert cluster.ready()[1] == "Starting"
    assert "events is forbidden" in caplog.text


async def test_a_status_that_cannot_be_written_is_an_error_and_is_written_next_time(cluster: Cluster) -> None:
    cluster.declare(warmReplicas=1)
    cluster.store.answers["PATCH", f"{_MODEL}/status"] = refusal(409, "uid mismatch")
    with pytest.raises(ApiError, match="uid mismatch"):
        await cluster.look()
    cluster.store.answers.clear()
    await cluster.look()
    assert cluster.ready()[1] == "Starting"


async def test_a_pinned_model_says_its_decision_once(cluster: Cluster) -> None:
    cluster.declare(replicas=3)
    await cluster.look()
    cluster.store.put(_PODS, ready_pod())
    await cluster.look()
    assert [one["reason"] for one in cluster.status()["scaleDecisions"]] == ["spec.replicas pins the number"]
    assert (cluster.status()["mode"], cluster.status()["readyReplicas"]) == ("pinned", 1)
