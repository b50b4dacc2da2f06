"""The objects that ought to exist for an ImageModel: names, owners, what runtimes may do, and what they are told."""

import json
import re
from typing import Any

import pytest

from easel_crds.metadata import FIELD_MANAGER, Env
from easel_crds.runtimeprofile import RuntimeProfile
from easel_operator.desired import children
from support.builders import runtime_profile
from support.cluster_objects import NAMESPACE, cluster_model

Json = dict[str, Any]
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def _children(name: str = "demo", profile: RuntimeProfile | None = None, replicas: int = 1, **spec: Any) -> list[Json]:
    return list(children(cluster_model(name, **spec), profile or runtime_profile(), replicas, "easel-runtime:1"))


def _deployment(profile: RuntimeProfile | None = None, replicas: int = 1, **spec: Any) -> Json:
    return _children(profile=profile, replicas=replicas, **spec)[-1]


def _pod(profile: RuntimeProfile | None = None, **spec: Any) -> Json:
    pod: Json = _deployment(profile, **spec)["spec"]["template"]["spec"]
    return pod


def _container(profile: RuntimeProfile | None = None, **spec: Any) -> Json:
    (container,) = _pod(profile, **spec)["containers"]
    assert isinstance(container, dict)
    return container


def _environment(profile: RuntimeProfile | None = None, **spec: Any) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in _container(profile, **spec)["env"]}


def test_what_pods_refer_to_is_made_before_them() -> None:
    kinds = [document["kind"] for document in _children()]
    assert kinds == ["ServiceAccount", "Service", "PodDisruptionBudget", "Deployment"]


def test_every_child_is_labelled_and_owned_so_that_it_goes_with_its_model() -> None:
    for document in _children():
        metadata = document["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("easel-demo", NAMESPACE)
        assert metadata["labels"] == {
            "app.kubernetes.io/name": "easel",
            "app.kubernetes.io/component": "runtime",
            "app.kubernetes.io/managed-by": FIELD_MANAGER,
            "easel.dev/model": "demo",
        }
        (owner,) = metadata["ownerReferences"]
        assert owner == {
            "apiVersion": "easel.dev/v1alpha1",
            "kind": "ImageModel",
            "name": "demo",
            "uid": "uid-of-demo",
            "controller": True,
            "blockOwnerDeletion": True,
        }


@pytest.mark.parametrize("name", ["a", "7", "7-of-9", "a" * 50, "0" * 50])
def test_names_and_labels_are_valid_whatever_the_model_s_name(name: str) -> None:
    for document in _children(name, modelId="a/b"):
        assert _SERVICE_NAME.fullmatch(document["metadata"]["name"])
        assert all(_LABEL.fullmatch(value) for value in document["metadata"]["labels"].values())


def test_every_selector_is_the_model_alone_and_selects_the_pods() -> None:
    _, service, budget, deployment = _children()
    selectors = [service["spec"]["selector"], *(one["spec"]["selector"]["matchLabels"] for one in (budget, deployment))]
    assert selectors == [{"easel.dev/model": "demo"}] * 3
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= selectors[0].items()


def test_two_models_of_one_namespace_share_nothing() -> None:
    names = [{(one["kind"], one["metadata"]["name"]) for one in _children(name, modelId="a/b")} for name in ("a", "b")]
    assert not names[0] & names[1]


def test_the_service_leads_to_the_port_that_the_container_names() -> None:
    (port,) = _children()[1]["spec"]["ports"]
    assert port == {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}
    assert _container()["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]
    assert _environment()["PORT"] == "8000"


def test_a_drain_takes_one_runtime_at_a_time_and_is_never_stopped() -> None:
    assert _children()[2]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_the_deployment_has_as_many_runtimes_as_were_decided(replicas: int) -> None:
    assert _deployment(replicas=replicas)["spec"]["replicas"] == replicas


def test_a_rollout_needs_no_spare_gpu() -> None:
    strategy = _deployment()["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def test_no_autoscaler_moves_a_runtime_to_save_a_node() -> None:
    annotations = _deployment()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"


def test_runtimes_run_with_the_least_rights() -> None:
    account, pod, container = _children()[0], _pod(), _container()
    assert account["automountServiceAccountToken"] is pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    # What the "restricted" Pod Security Standard asks for.
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-3g.20gb"])
def test_one_gpu_is_requested_and_limited_alike(resource: str) -> None:
    resources = _container(runtime_profile(gpuResource=resource))["resources"]
    assert resources["requests"][resource] == resources["limits"][resource] == "1"
    assert [name for name in resources["limits"] if "/" in name] == [resource]


def test_amounts_come_from_the_profile() -> None:
    amounts = {"cpu": "500m", "memory": "8Gi", "ephemeralStorage": "1Gi"}
    resources = _container(runtime_profile(resources=amounts))["resources"]
    assert resources["requests"] == {
        "cpu": "500m",
        "memory": "8Gi",
        "ephemeral-storage": "1Gi",
        "nvidia.com/gpu": "1",
    }
    assert resources["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "1"}


def test_the_kubelet_waits_longer_than_the_runtime() -> None:
    profile = runtime_profile(terminationGraceSeconds=300)
    assert _pod(profile)["terminationGracePeriodSeconds"] > int(_environment(profile)["EASEL_GRACE_SECONDS"]) == 300


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        ({}, {"emptyDir": {"sizeLimit": "50Gi"}}),
        ({"size": "9Gi"}, {"emptyDir": {"sizeLimit": "9Gi"}}),
        ({"persistentVolumeClaim": "weights"}, {"persistentVolumeClaim": {"claimName": "weights"}}),
        ({"hostPath": "/mnt/w"}, {"hostPath": {"path": "/mnt/w", "type": "Directory"}}),
    ],
    ids=str,
)
def test_weights_lie_where_the_profile_says(cache: Json, volume: Json) -> None:
    pod = _pod(runtime_profile(cache=cache))
    assert {one["name"]: one for one in pod["volumes"]}["cache"] == {"name": "cache", **volume}


def test_every_place_that_a_runtime_writes_to_is_a_volume() -> None:
    mounts = {one["mountPath"]: one["name"] for one in _container()["volumeMounts"]}
    assert mounts == {"/tmp": "tmp", "/var/cache/easel": "cache"}  # noqa: S108
    assert set(mounts.values()) == {one["name"] for one in _pod()["volumes"]}
    environment = _environment()
    assert environment["HF_HOME"].startswith("/var/cache/easel/")
    assert environment["XDG_CACHE_HOME"] == "/var/cache/easel"


def test_the_kubelet_looks_for_last_words_where_the_runtime_leaves_them() -> None:
    container = _container()
    assert _environment()[Env.TERMINATION_LOG] == container["terminationMessagePath"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(("image", "used"), [("", "easel-runtime:1"), ("mine:2", "mine:2")])
def test_the_image_is_the_profile_s_or_the_operator_s(image: str, used: str) -> None:
    assert _container(runtime_profile(image=image))["image"] == used


def test_classes_are_named_only_if_the_profile_names_them() -> None:
    assert not {"priorityClassName", "runtimeClassName"} & _pod().keys()
    pod = _pod(runtime_profile(priorityClassName="high", runtimeClassName="nvidia"))
    assert (pod["priorityClassName"], pod["runtimeClassName"]) == ("high", "nvidia")


def test_the_hub_token_comes_from_its_secret_and_is_nowhere_else() -> None:
    (token,) = (
        one
        for one in _container(runtime_profile(hubToken={"name": "hub", "key": "read"}))["env"]
        if one["name"] == "HF_TOKEN"
    )
    assert token == {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "read"}}}
    assert "HF_TOKEN" not in _environment()


@pytest.mark.parametrize("name", ["HF_TOKEN", "HF_HOME", "PORT", "MODEL_ID", "EASEL_TERMINATION_LOG"])
def test_no_variable_is_said_twice(name: str) -> None:
    # The API server refuses to merge such a list, with status 500.
    profile = runtime_profile(env=[{"name": name, "value": "mine"}], hubToken={"name": "hub"})
    names = [one["name"] for one in _container(profile)["env"]]
    assert sorted(names) == sorted(set(names))


def test_a_profile_may_move_the_hub_s_folder_but_not_the_port() -> None:
    profile = runtime_profile(env=[{"name": "HF_HOME", "value": "/elsewhere"}, {"name": "PORT", "value": "1"}])
    assert _environment(profile)["HF_HOME"] == "/elsewhere"
    assert _environment(profile)["PORT"] == "8000"


def test_readiness_is_asked_more_often_than_life() -> None:
    container = _container()
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["readinessProbe"]["periodSeconds"] < container["livenessProbe"]["periodSeconds"]


@pytest.mark.parametrize(
    "spec",
    [
        {"warmReplicas": 1},
        {"maxReplicas": 9},
        {"price": {"amount": "1"}},
        {"scaling": {"idleSeconds": 5}},
        {"paused": True},
    ],
    ids=str,
)
def test_what_concerns_no_runtime_replaces_none(spec: Json) -> None:
    assert _deployment(**spec) == _deployment()


@pytest.mark.parametrize(
    "spec", [{"revision": "v2"}, {"gpu": {"memory": "24Gi"}}, {"parameters": {"maxImages": 1}}], ids=str
)
def test_what_concerns_runtimes_replaces_them(spec: Json) -> None:
    assert _deployment(**spec)["spec"]["template"] != _deployment()["spec"]["template"]


def test_documents_are_plain_json() -> None:
    for document in _children(profile=runtime_profile(hubToken={"name": "hub"}, env=[{"name": "A", "value": "1"}])):
        assert json.loads(json.dumps(document)) == document
