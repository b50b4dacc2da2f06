"""What one reconcile looks at, and what it makes of the documents of others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from easel_crds.manifest import InvalidManifest, stored_model
from easel_crds.metadata import Label
from easel_crds.runtimeprofile import DEFAULT_PROFILE
from easel_kube.client import Kube
from easel_operator.desired import CHILDREN
from easel_operator.observe import Observed, observe, read_profile
from support.cluster_objects import (
    MODEL_UID,
    NAMESPACE,
    child_path,
    cluster_model,
    deleted,
    homeless_pod,
    loading_pod,
    model_document,
    ready_pod,
)
from support.object_store import ObjectStore, kube_at, object_store

Json = dict[str, Any]
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_EVENTS = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
_PROFILES = "/apis/easel.dev/v1alpha1/runtimeprofiles"
_NODES = "/api/v1/nodes"


@pytest.fixture
async def store() -> AsyncIterator[ObjectStore]:
    async with object_store() as running:
        yield running


@pytest.fixture
async def kube(store: ObjectStore) -> AsyncIterator[Kube]:
    async with kube_at(store.url) as client:
        yield client


def _observed(**children: Json | None) -> Observed:
    return Observed(cluster_model(), DEFAULT_PROFILE, {**dict.fromkeys(CHILDREN), **children}, (), "", "")


def _child(owners: list[Json] | None = None, labels: dict[str, str] | None = None, **more: Any) -> Json:
    metadata: Json = {"name": "easel-demo", "namespace": NAMESPACE}
    if owners is not None:
        metadata["ownerReferences"] = owners
    if labels is not None:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": {}, **more}


def _owner(uid: str = MODEL_UID, **more: Any) -> Json:
    return {"apiVersion": "easel.dev/v1alpha1", "kind": "ImageModel", "name": "demo", "uid": uid, **more}


@pytest.mark.parametrize(
    ("deployment", "replicas"),
    [(None, 0), (_child(), 1), (_child(spec={"replicas": 0}), 0), (_child(spec={"replicas": 7}), 7)],
)
def test_how_many_the_deployment_asks_for(deployment: Json | None, replicas: int) -> None:
    assert _observed(Deployment=deployment).replicas == replicas


@pytest.mark.parametrize(
    ("conditions", "refused"),
    [
        ([], ""),
        ([{"type": "Available", "status": "True", "message": "fine"}], ""),
        ([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}], "exceeded quota"),
        ([{"type": "ReplicaFailure", "status": "False", "message": "exceeded quota"}], ""),
    ],
    ids=["none", "available", "refused", "no longer"],
)
def test_pods_that_the_api_server_refuses(conditions: list[Json], refused: str) -> None:
    assert _observed(Deployment=_child(status={"conditions": conditions})).refused == refused


def test_pods_that_are_refused_without_a_word_are_refused() -> None:
    assert _observed(Deployment=_child(status={"conditions": [{"type": "ReplicaFailure", "status": "True"}]})).refused


def test_a_deployment_without_a_status_refuses_nothing() -> None:
    assert _observed(Deployment=_child()).refused == ""
    assert _observed().refused == ""


@pytest.mark.parametrize(
    ("child", "foreign"),
    [
        pytest.param(_child([_owner(controller=True)]), False, id="ours"),
        pytest.param(_child([_owner("other"), _owner(controller=True)]), False, id="ours, and somebody's"),
        pytest.param(_child([_owner("old", controller=True)]), True, id="our predecessor's"),
        pytest.param(_child([_owner("argo", controller=True)], {Label.MODEL: "demo"}), True, id="labelled, not ours"),
        pytest.param(_child(labels={Label.MODEL: "demo"}), False, id="orphaned"),
        pytest.param(_child(labels={Label.MODEL: "other"}), True, id="another model's orphan"),
        pytest.param(_child(), True, id="somebody's without an owner"),
        pytest.param(_child([_owner("other")]), True, id="an owner that does not control"),
    ],
)
def test_whose_a_child_is(child: Json, foreign: bool) -> None:  # noqa: FBT001
    assert _observed(Service=child).foreign == ("Service easel-demo" if foreign else "")


def test_nothing_is_nobody_s() -> None:
    assert _observed().foreign == ""


async def test_everything_of_one_model_and_nothing_of_another(kube: Kube, store: ObjectStore) -> None:
    for kind in CHILDREN:
        store.put(child_path(kind).rpartition("/")[0], _child([_owner(controller=True)], kind=kind))
    store.put(_PODS, ready_pod(name="mine"))
    others = ready_pod(name="other")
    others["metadata"]["labels"][Label.MODEL] = "other"
    store.put(_PODS, others)
    found = await observe(kube, cluster_model())
    assert found.profile == DEFAULT_PROFILE
    assert {kind: child and child["kind"] for kind, child in found.children.items()} == {
        kind: kind for kind in CHILDREN
    }
    assert [pod.name for pod in found.pods] == ["mine"]
    assert (found.foreign, found.autoscaler, found.gpu) == ("", "", "")


async def test_of_a_new_model_there_is_nothing(kube: Kube) -> None:
    found = await observe(kube, cluster_model())
    assert found.children == dict.fromkeys(CHILDREN)
    assert (found.pods, found.replicas) == ((), 0)


def _profile(name: str = "default", **spec: Any) -> Json:
    return {
        "apiVersion": "easel.dev/v1alpha1",
        "kind": "RuntimeProfile",
        "metadata": {"name": name, "uid": "u", "generation": 1, "managedFields": []},
        "spec": spec,
    }


async def test_the_default_profile_is_there_unless_somebody_made_it(kube: Kube, store: ObjectStore) -> None:
    assert await read_profile(kube, "default") == DEFAULT_PROFILE
    store.put(_PROFILES, _profile(image="mine:1"))
    found = await read_profile(kube, "default")
    assert found is not None
    assert found.spec.image == "mine:1"


async def test_another_profile_must_be_made(kube: Kube, store: ObjectStore) -> None:
    assert await read_profile(kube, "large") is None
    store.put(_PROFILES, _profile("large"))
    found = await read_profile(kube, "large")
    assert found is not None
    assert found.name == "large"


async def test_a_profile_of_a_newer_version_cannot_be_read(kube: Kube, store: ObjectStore) -> None:
    store.put(_PROFILES, _profile(fromTheFuture=1))
    with pytest.raises(InvalidManifest, match="fromTheFuture"):
        await read_profile(kube, "default")


def test_an_image_model_is_read_with_what_the_api_server_added() -> None:
    document = model_document(metadata={"managedFields": [], "annotations": {"a": "b"}, "finalizers": []})
    assert stored_model(document).metadata.uid == MODEL_UID
    with pytest.raises(InvalidManifest):
        stored_model(_profile())


def _event(reporter: str, note: str | None, when: str, pod: str = "easel-demo-6b7f-homeless", **more: Any) -> Json:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{pod}.{reporter}.{when}", "namespace": NAMESPACE},
        "regarding": {"kind": "Pod", "name": pod, "uid": f"uid-of-{pod}"},
        "reportingController": reporter,
        "eventTime": None,
        "deprecatedSource": {"component": reporter},
        "deprecatedLastTimestamp": when,
        **({"note": note} if note is not None else {}),
        **more,
    }


_T1, _T2, _T3 = (f"2026-01-01T00:0{minute}:00Z" for minute in (1, 2, 3))


async def _said(kube: Kube, store: ObjectStore, *events: Json, pod: Json | None = None) -> str:
    store.put(_PODS, pod or homeless_pod())
    for event in events:
        store.put(_EVENTS, event)
    return (await observe(kube, cluster_model())).autoscaler


async def test_the_autoscaler_s_last_word_is_kept(kube: Kube, store: ObjectStore) -> None:
    first = _event("cluster-autoscaler", "pod didn't trigger scale-up: 1 max node group size reached", _T1)
    last = _event("cluster-autoscaler", "pod triggered scale-up: [{gpu 0->1 (max: 3)}]", _T2)
    assert await _said(kube, store, last, first) == "pod triggered scale-up: [{gpu 0->1 (max: 3)}]"


async def test_the_scheduler_is_no_autoscaler(kube: Kube, store: ObjectStore) -> None:
    scheduler = _event("default-scheduler", "0/3 nodes are available", _T3)
    assert await _said(kube, store, scheduler) == ""
    karpenter = _event("karpenter", "Pod should schedule on: nodeclaim/gpu-x", _T1)
    assert await _said(kube, store, scheduler, karpenter) == "Pod should schedule on: nodeclaim/gpu-x"


async def test_who_speaks_may_be_told_in_the_old_way(kube: Kube, store: ObjectStore) -> None:
    old = _event("", "0/3 nodes are available", _T1, deprecatedSource={"component": "default-scheduler"})
    assert await _said(kube, store, old) == ""


async def test_an_event_that_is_repeated_counts_when_it_was_last_seen(kube: Kube, store: ObjectStore) -> None:
    series = {"count": 9, "lastObservedTime": "2026-01-01T00:03:00.000000Z"}
    repeated = _event("karpenter", "again", _T1, deprecatedLastTimestamp=None, eventTime=_T1, series=series)
    assert await _said(kube, store, repeated, _event("karpenter", "once", _T2)) == "again"


async def test_other_pods_events_and_pods_with_a_node_say_nothing(kube: Kube, store: ObjectStore) -> None:
    other = _event("karpenter", "no instance type fits", _T1, pod="somebody")
    assert await _said(kube, store, other) == ""
    store.objects.clear()
    mine = _event("karpenter", "no instance type fits", _T1, pod="easel-demo-6b7f-loads")
    assert await _said(kube, store, mine, pod=loading_pod()) == ""


async def test_what_was_said_of_a_pod_that_leaves_is_past(kube: Kube, store: ObjectStore) -> None:
    assert await _said(kube, store, _event("karpenter", "no type fits", _T1), pod=deleted(homeless_pod())) == ""


async def test_an_event_without_a_note_stops_nothing(kube: Kube, store: ObjectStore) -> None:
    assert await _said(kube, store, _event("somebody", None, _T2)) == ""


async def test_the_gpu_is_that_of_the_node(kube: Kube, store: ObjectStore) -> None:
    store.put(_NODES, {"metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}}})
    store.put(_NODES, {"metadata": {"name": "bare"}})
    store.put(_PODS, ready_pod(node="gpu-1"))
    assert (await observe(kube, cluster_model())).gpu == "NVIDIA-L4"
    store.put(_PODS, ready_pod(node="bare"))
    assert (await observe(kube, cluster_model())).gpu == ""


@pytest.mark.parametrize("document", [homeless_pod(), deleted(ready_pod()), ready_pod(node="gone")])
async def test_without_a_pod_on_a_node_that_exists_no_gpu_is_known(
    kube: Kube, store: ObjectStore, document: Json
) -> None:
    store.put(_NODES, {"metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}}})
    store.put(_PODS, document)
    assert (await observe(kube, cluster_model())).gpu == ""
