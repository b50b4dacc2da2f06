"""The calls of the API server at the HTTP edge: what is sent, and what becomes of every kind of answer."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.config import kube_config

from easel_kube import client as module
from easel_kube.client import ApiError, Kube, connected
from easel_kube.kinds import DEPLOYMENTS, EVENTS, IMAGE_MODELS, NODES, PODS, RUNTIME_PROFILES, SERVICES, Kind
from support.cluster_objects import NAMESPACE, model_document
from support.object_store import HOST, Answer, ObjectStore, kube_at, object_store, refusal

Json = dict[str, Any]
_ANY = ".*"
_MODELS = f"/apis/easel.dev/v1alpha1/namespaces/{NAMESPACE}/imagemodels"


@pytest.fixture
async def store() -> AsyncIterator[ObjectStore]:
    async with object_store() as running:
        yield running


@pytest.fixture
async def kube(store: ObjectStore) -> AsyncIterator[Kube]:
    async with kube_at(store.url) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "place", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("team",), "/api/v1/namespaces/team/pods"),
        (NODES, ("", "gpu-1"), "/api/v1/nodes/gpu-1"),
        (DEPLOYMENTS, ("team", "easel-demo"), "/apis/apps/v1/namespaces/team/deployments/easel-demo"),
        (
            IMAGE_MODELS,
            ("team", "demo", "status"),
            "/apis/easel.dev/v1alpha1/namespaces/team/imagemodels/demo/status",
        ),
        (RUNTIME_PROFILES, ("", "default"), "/apis/easel.dev/v1alpha1/runtimeprofiles/default"),
        (EVENTS, ("team",), "/apis/events.k8s.io/v1/namespaces/team/events"),
    ],
)
def test_where_the_api_serves_things(kind: Kind, place: tuple[str, ...], path: str) -> None:
    assert kind.path(*place) == path


@pytest.mark.parametrize(
    "name", ["../../../../api/v1/namespaces/default/services/kubernetes", "a/b", "..", "?x=1", "a#b"]
)
async def test_a_name_never_leads_elsewhere(kube: Kube, store: ObjectStore, name: str) -> None:
    # spec.profile of an ImageModel is any text of up to 63 characters.
    store.put("/api/v1/namespaces/default/services", {"kind": "Service", "metadata": {"name": "kubernetes"}})
    assert await kube.get(RUNTIME_PROFILES, "", name) is None
    assert all(one.path.startswith("/apis/easel.dev/v1alpha1/runtimeprofiles/") for one in store.requests)
    assert all(not one.query for one in store.requests)


async def test_an_object_is_read_with_the_token(kube: Kube, store: ObjectStore) -> None:
    store.put(_MODELS, model_document())
    assert await kube.get(IMAGE_MODELS, NAMESPACE, "demo") == model_document()
    (asked,) = store.requests
    assert (asked.method, asked.path, asked.query) == ("GET", f"{_MODELS}/demo", {})
    assert asked.headers["Authorization"] == "Bearer secret"
    assert asked.headers["Accept"] == "application/json"


async def test_what_is_not_there_is_none(kube: Kube) -> None:
    assert await kube.get(IMAGE_MODELS, NAMESPACE, "demo") is None
    assert await kube.list(PODS, NAMESPACE) == []


async def test_a_kind_that_the_api_server_does_not_know_has_no_objects(kube: Kube, store: ObjectStore) -> None:
    store.answers["GET", _ANY] = Answer(404, b"404 page not found\n", "text/plain")
    assert await kube.get(RUNTIME_PROFILES, "", "default") is None
    assert await kube.list(IMAGE_MODELS) == []


async def test_lists_are_narrowed_by_the_api_server(kube: Kube, store: ObjectStore) -> None:
    await kube.list(PODS, NAMESPACE, labels="easel.dev/model=demo")
    await kube.list(EVENTS, NAMESPACE, fields="regarding.uid=uid-of-pod")
    await kube.list(IMAGE_MODELS)
    assert [one.query for one in store.requests] == [
        {"labelSelector": "easel.dev/model=demo"},
        {"fieldSelector": "regarding.uid=uid-of-pod"},
        {},
    ]


@pytest.mark.parametrize("items", ["null", "[]"])
async def test_a_list_of_nothing_in_either_form(kube: Kube, store: ObjectStore, items: str) -> None:
    store.answers["GET", _ANY] = Answer(body=b'{"kind":"PodList","items":%s}' % items.encode())
    assert await kube.list(PODS) == []


@pytest.mark.parametrize(("subresource", "path"), [("", f"{_MODELS}/demo"), ("status", f"{_MODELS}/demo/status")])
async def test_applying_is_a_forced_server_side_apply(
    kube: Kube, store: ObjectStore, subresource: str, path: str
) -> None:
    store.put(_MODELS, model_document())
    document = {**model_document(), "status": {"mode": "warm"}}
    await kube.apply(IMAGE_MODELS, document, subresource)
    (asked,) = store.requests
    assert (asked.method, asked.path) == ("PATCH", path)
    assert asked.query == {"fieldManager": "easel", "force": "true"}
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.body == document


async def test_creating_is_a_post_to_the_collection(kube: Kube, store: ObjectStore) -> None:
    event = {"metadata": {"name": "demo.1", "namespace": NAMESPACE}, "note": "é"}
    assert await kube.create(EVENTS, NAMESPACE, event) == event
    (asked,) = store.requests
    assert (asked.method, asked.path) == ("POST", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.body == event


async def test_only_the_very_object_is_deleted(kube: Kube, store: ObjectStore) -> None:
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    store.put(pods, {"metadata": {"name": "x", "uid": "new"}})
    await kube.delete(PODS, NAMESPACE, "x", uid="old")
    await kube.delete(PODS, NAMESPACE, "gone", uid="old")
    assert f"{pods}/x" in store.objects
    await kube.delete(PODS, NAMESPACE, "x", uid="new")
    assert store.objects == {}
    assert [one.body for one in store.requests] == [{"preconditions": {"uid": uid}} for uid in ("old", "old", "new")]


Call = Callable[[Kube], Awaitable[object]]
_CALLS: dict[str, Call] = {
    "get": lambda kube: kube.get(PODS, NAMESPACE, "x"),
    "list": lambda kube: kube.list(PODS, NAMESPACE),
    "apply": lambda kube: kube.apply(PODS, {"metadata": {"name": "x", "namespace": NAMESPACE}}),
    "create": lambda kube: kube.create(PODS, NAMESPACE, {"metadata": {"name": "x"}}),
    "delete": lambda kube: kube.delete(PODS, NAMESPACE, "x", "uid"),
}


@pytest.fixture(params=_CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return _CALLS[request.param]


def _always(store: ObjectStore, answer: Answer) -> None:
    for method in ("GET", "PATCH", "POST", "DELETE"):
        store.answers[method, _ANY] = answer


async def test_what_the_api_server_refuses_it_says_itself(kube: Kube, store: ObjectStore, call: Call) -> None:
    message = 'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
    _always(store, refusal(403, message))
    with pytest.raises(ApiError) as caught:
        await call(kube)
    assert (caught.value.status, str(caught.value)) == (403, message)


@pytest.mark.parametrize("status", [400, 401, 409, 422, 429, 500, 503, 504])
async def test_every_status_of_a_refusal_is_told(kube: Kube, store: ObjectStore, status: int) -> None:
    _always(store, refusal(status, "no"))
    with pytest.raises(ApiError, match=r"^no$") as caught:
        await _CALLS["apply"](kube)
    assert caught.value.status == status


async def test_a_conflict_is_an_error_unless_something_else_is_deleted_by_it(kube: Kube, store: ObjectStore) -> None:
    _always(store, refusal(409, "the object has been modified"))
    await _CALLS["delete"](kube)
    for name in ("apply", "create"):
        with pytest.raises(ApiError, match="has been modified") as caught:
            await _CALLS[name](kube)
        assert caught.value.status == 409


@pytest.mark.parametrize(
    "body", [b"", b"Bad Gateway", b"<html>", b"null", b"[]", b'"text"', b"{}", b"\xff\xfe", b'{"message":""}']
)
async def test_a_proxy_that_speaks_otherwise_is_quoted_by_its_number(
    kube: Kube, store: ObjectStore, body: bytes
) -> None:
    _always(store, Answer(502, body, "text/html"))
    with pytest.raises(ApiError, match=r"^the API server answered 502$") as caught:
        await _CALLS["apply"](kube)
    assert caught.value.status == 502


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"{", b"\xff\xfe"])
async def test_an_answer_that_is_no_json_is_an_error_like_any_other(
    kube: Kube, store: ObjectStore, body: bytes
) -> None:
    _always(store, Answer(200, body, "text/html"))
    with pytest.raises(ApiError):
        await _CALLS["list"](kube)


async def test_an_api_server_that_cannot_be_reached(call: Call) -> None:
    with socket.create_server((HOST, 0)) as bound:
        port = bound.getsockname()[1]
    async with kube_at(f"http://{HOST}:{port}") as kube:
        with pytest.raises(ApiError, match=r"^the API server cannot be reached: .+") as caught:
            await call(kube)
    assert caught.value.status == 0


async def test_an_api_server_that_is_silent(
    kube: Kube, store: ObjectStore, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.05)
    store.silent = True
    with pytest.raises(ApiError, match=r"^the API server cannot be reached: .+") as caught:
        await call(kube)
    assert caught.value.status == 0
    assert len(store.requests) == 1


def test_no_answer_is_waited_for_longer_than_half_a_minute() -> None:
    assert 1 <= module._SECONDS <= 30


async def test_a_call_after_one_that_failed_works(kube: Kube, store: ObjectStore) -> None:
    _always(store, refusal(500, "try again"))
    with pytest.raises(ApiError):
        await kube.list(PODS)
    store.answers.clear()
    assert await kube.list(PODS) == []


async def test_a_kubeconfig_leads_to_its_cluster(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    cluster: Json = {"name": "here", "cluster": {"server": store.url}}
    user: Json = {"name": "me", "user": {"token": "mine"}}
    context: Json = {"name": "here", "context": {"cluster": "here", "user": "me"}}
    document = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "here"}
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **document}))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))  # it reads the variable on import
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with connected("easel") as kube:
        assert await kube.list(PODS) == []
    assert store.requests[0].headers["Authorization"] == "Bearer mine"


async def test_without_any_way_to_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    monkeypatch.setenv("KUBECONFIG", missing)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", missing)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError):
        async with connected("easel"):
            pass


async def test_documents_go_out_and_come_back_as_they_are(kube: Kube, store: ObjectStore) -> None:
    document = {"metadata": {"name": "x"}, "text": "é€😀\u0000\n", "numbers": [1, 1.5, -(2**40)], "none": None}
    store.put("/api/v1/namespaces/team/services", document)
    assert await kube.get(SERVICES, "team", "x") == json.loads(json.dumps(document))
