"""When the operator writes: never while the cluster has what is desired, always when it has not."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from easel_crds.runtimeprofile import RuntimeProfile
from easel_operator.apply import covers
from easel_operator.desired import children
from support.api_defaults import canonical, stored
from support.builders import runtime_profile
from support.cluster_objects import cluster_model

Json = dict[str, Any]
Path = tuple[str | int, ...]

_PROFILES = {
    "default": runtime_profile(),
    "everything": runtime_profile(
        image="example.org/runtime:1",
        imagePullPolicy="Always",
        imagePullSecrets=["registry", "mirror"],
        resources={"cpu": "0.5", "memory": "16384Mi", "ephemeralStorage": "1.5Gi"},
        gpuResource="nvidia.com/gpu.shared",
        nodeTerms=[{"match": [{"key": "a", "operator": "Exists"}, {"key": "b", "values": ["1", "2"]}]}],
        tolerations=[{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, {"operator": "Exists"}],
        priorityClassName="high",
        runtimeClassName="nvidia",
        cache={"persistentVolumeClaim": "weights"},
        hubToken={"name": "hub"},
        env=[{"name": "HF_HUB_OFFLINE", "value": "1"}],
        terminationGraceSeconds=0,
    ),
    "host path": runtime_profile(cache={"hostPath": "/mnt/weights"}),
    "odd sizes": runtime_profile(resources={"cpu": "1e3", "memory": "0.5Gi"}, cache={"size": "1024Gi"}),
}


def _desired(profile: RuntimeProfile | None = None, **spec: Any) -> dict[str, Json]:
    documents = children(cluster_model(**spec), profile or runtime_profile(), 2, "easel-runtime:1")
    return {document["kind"]: document for document in documents}


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every scalar in a document, and every empty object or list."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, number))
    else:
        yield path, value


def _place(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


_CASES = [(profile, kind) for profile in _PROFILES for kind in _desired()]


@pytest.mark.parametrize(("profile", "kind"), _CASES)
def test_what_the_api_server_made_of_it_covers_it(profile: str, kind: str) -> None:
    desired = _desired(_PROFILES[profile])[kind]
    assert covers(stored(desired), desired)


@pytest.mark.parametrize(("profile", "kind"), _CASES)
def test_every_single_field_of_ours_that_somebody_changed_is_noticed(profile: str, kind: str) -> None:
    desired = _desired(_PROFILES[profile])[kind]
    live = stored(desired)
    for path, value in _leaves(desired):
        changed = deepcopy(live)
        place = _place(changed, path[:-1])
        match value:
            case bool():
                place[path[-1]] = not value
            case int():
                place[path[-1]] = value + 1
            case str():
                place[path[-1]] = "7" if place[path[-1]] != "7" else "8"
            case _:
                place[path[-1]] = None
        assert not covers(changed, desired), path


@pytest.mark.parametrize(("profile", "kind"), _CASES)
def test_every_single_field_of_ours_that_somebody_took_away_is_noticed(profile: str, kind: str) -> None:
    desired = _desired(_PROFILES[profile])[kind]
    live = stored(desired)
    for path, _ in _leaves(desired):
        for length in range(1, len(path) + 1):
            changed = deepcopy(live)
            del _place(changed, path[: length - 1])[path[length - 1]]
            assert not covers(changed, desired), path[:length]


def test_nothing_covers_what_is_not_there() -> None:
    for desired in _desired().values():
        assert not covers(None, desired)


def test_what_others_add_is_theirs() -> None:
    desired = _desired()
    deployment = stored(desired["Deployment"])
    deployment["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "3"
    deployment["metadata"]["labels"]["team"] = "images"
    deployment["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "2026-01-01"
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "istio-proxy", "image": "istio"})
    pod["volumes"].append({"name": "istio-certs", "emptyDir": {}})
    pod["containers"][1]["env"].insert(0, {"name": "INJECTED", "value": "1"})
    deployment["status"] = {"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]}
    assert covers(deployment, desired["Deployment"])


def test_named_items_may_come_in_any_order_and_others_may_not() -> None:
    desired = _desired(_PROFILES["everything"])["Deployment"]
    live = stored(desired)
    live["spec"]["template"]["spec"]["containers"][0]["env"].reverse()
    live["spec"]["template"]["spec"]["volumes"].reverse()
    assert covers(live, desired)
    live["spec"]["template"]["spec"]["tolerations"].reverse()
    assert not covers(live, desired)


def test_one_toleration_or_node_term_more_is_a_difference() -> None:
    desired = _desired()["Deployment"]
    for path in (("tolerations",), ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")):
        live = stored(desired)
        place = _place(live["spec"]["template"]["spec"], path)
        (place["nodeSelectorTerms"] if isinstance(place, dict) else place).append({"key": "more"})
        assert not covers(live, desired)


@pytest.mark.parametrize("written", ["0.5", "500m", ".5", "0.50", "5e-1"])
def test_a_quantity_may_be_written_in_any_way(written: str) -> None:
    desired = _desired(runtime_profile(resources={"cpu": written}))["Deployment"]
    live = stored(desired)
    resources = live["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == "500m"
    assert covers(live, desired)


def test_only_quantities_are_compared_as_quantities() -> None:
    desired = _desired(runtime_profile(env=[{"name": "A", "value": "1000"}]))["Deployment"]
    live = stored(desired)
    assert covers(live, desired)
    variable = next(one for one in live["spec"]["template"]["spec"]["containers"][0]["env"] if one["name"] == "A")
    variable["value"] = "1k"
    assert not covers(live, desired)


def test_true_is_not_one() -> None:
    assert not covers({"a": "true"}, {"a": True})
    assert not covers({"a": 80}, {"a": "80"})
    assert not covers({"a": {"b": 1}}, {"a": [1]})
    assert not covers({"a": "text"}, {"a": {"b": 1}})
    assert not covers({"a": None}, {"a": []})


def test_a_variable_with_an_empty_value_is_stored_without_it() -> None:
    desired = _desired(runtime_profile(env=[{"name": "EMPTY", "value": ""}]))["Deployment"]
    assert covers(stored(desired), desired)


def test_a_quantity_that_is_none_is_for_the_api_server_to_refuse() -> None:
    assert not covers({"requests": {"cpu": "2"}}, {"requests": {"cpu": "lots"}})


_GIVEN_UP = {
    "a variable": runtime_profile(env=[{"name": "HF_HUB_OFFLINE", "value": "1"}]),
    "a pull secret": runtime_profile(imagePullSecrets=["registry"]),
    "the hub token": runtime_profile(hubToken={"name": "hub"}),
    "the runtime class": runtime_profile(runtimeClassName="nvidia"),
    "the priority class": runtime_profile(priorityClassName="high"),
    "a toleration": runtime_profile(tolerations=[{"key": "k"}]),
    "the claim": runtime_profile(cache={"persistentVolumeClaim": "weights"}),
    "the directory": runtime_profile(cache={"hostPath": "/mnt/weights"}),
    "the GPU's other name": runtime_profile(gpuResource="nvidia.com/gpu.shared"),
    "a node term": runtime_profile(nodeTerms=[{"match": [{"key": "a", "operator": "Exists"}]}]),
}


@pytest.mark.parametrize("what", _GIVEN_UP)
def test_what_the_profile_no_longer_says_is_taken_back(what: str) -> None:
    live = stored(_desired(_GIVEN_UP[what])["Deployment"])
    assert not covers(live, _desired()["Deployment"])


@pytest.mark.parametrize(
    ("quantity", "form"),
    [("0.5", "500m"), ("16384Mi", "16Gi"), ("1.5Gi", "1536Mi"), ("1000", "1k"), ("2", "2"), ("0", "0"), ("50G", "50G")],
)
def test_the_api_server_s_form_of_quantities(quantity: str, form: str) -> None:
    assert canonical(quantity) == form
