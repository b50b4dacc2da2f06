"""ImageModels in the hands of a Kubernetes user: explain, get, describe, scale, wait, delete."""

import json
import re

import pytest

from support.builders import manifest
from support.kubectl import Namespace, Refused, condition, eventually, kubectl


def test_explain_says_what_a_field_is_for(namespace: Namespace) -> None:
    text = kubectl("explain", "im.spec.price")
    assert "KIND:       ImageModel" in text
    assert "per input pixel" in text
    for field in ("amount", "currency", "perPixels"):
        assert re.search(rf"^  {field}\t<\w+>", text, re.MULTILINE), text


def test_get_shows_at_a_glance_what_matters(namespace: Namespace) -> None:
    namespace.apply(manifest("glance", modelId=f"{namespace}/glance", price={"amount": "2e-8"}))
    namespace.wait_ready("glance")
    heading, row = namespace("get", "im").splitlines()
    assert heading.split() == ["NAME", "MODEL", "MODE", "READY", "REPLICAS", "PRICE", "GPU", "REASON", "AGE"]
    assert row.split()[:8] == ["glance", f"{namespace}/glance", "on-demand", "True", "0", "2e-8", "20G", "ScaledToZero"]
    assert "http://easel-glance" in namespace("get", "im", "--output=wide")


def test_describe_tells_conditions_decisions_and_events(namespace: Namespace) -> None:
    namespace.apply(manifest("described", modelId=f"{namespace}/described", warmReplicas=1, gpu={"memory": "900G"}))
    eventually(lambda: namespace("describe", "im", "described"), lambda text: "NoFittingNode" in text)
    text = eventually(lambda: namespace("describe", "im", "described"), lambda text: "easel.dev/operator" in text)
    assert "warmReplicas asks for it" in text
    assert re.search(r"Warning\s+NoFittingNode\s+\S+\s+easel.dev/operator\s+no node has a free NVIDIA GPU", text)


def test_every_condition_says_for_which_generation_it_was_found(namespace: Namespace) -> None:
    namespace.apply(manifest("generations", modelId=f"{namespace}/generations"))
    namespace.wait_ready("generations")
    namespace("patch", "im", "generations", "--type=merge", "--patch", '{"spec":{"maxReplicas":3}}')
    model = eventually(lambda: namespace.get("im", "generations"), lambda one: one["status"]["observedGeneration"] == 2)
    conditions = model["status"]["conditions"]
    assert [one["type"] for one in conditions] == ["Accepted", "Cached", "Scheduled", "Loaded", "Serving", "Ready"]
    assert {one["observedGeneration"] for one in conditions} == {2}


def test_scale_pins_the_number_and_the_subresource_tells_it(namespace: Namespace, simulated_gpus: str) -> None:
    namespace.apply(manifest("scaled", modelId=f"{namespace}/scaled", gpu={"memory": simulated_gpus}))
    namespace.wait_ready("scaled")
    namespace("scale", "im/scaled", "--replicas=2")
    namespace("wait", "--for=jsonpath={.status.readyReplicas}=2", "im/scaled", "--timeout=60s")
    path = f"/apis/easel.dev/v1alpha1/namespaces/{namespace}/imagemodels/scaled/scale"
    scale = json.loads(kubectl("get", "--raw", path))
    assert scale["spec"]["replicas"] == 2
    assert scale["status"] == {"replicas": 2, "selector": "easel.dev/model=scaled"}
    assert len(namespace.list("pods", scale["status"]["selector"])) == 2
    assert namespace.get("im", "scaled")["status"]["mode"] == "pinned"
    namespace("scale", "im/scaled", "--replicas=0")
    namespace("wait", "--for=condition=Ready=false", "im/scaled", "--timeout=60s")
    ready = condition(namespace.get("im", "scaled"), "Ready")
    assert (ready["reason"], ready["message"]) == ("NotStarted", "spec.replicas pins the model to no runtimes")


def test_a_taken_model_id_is_told_and_freed_with_its_holder(namespace: Namespace) -> None:
    namespace.apply(manifest("first", modelId=f"{namespace}/taken"))
    namespace.wait_ready("first")
    namespace.apply(manifest("second", modelId=f"{namespace}/taken"))
    namespace("wait", "--for=condition=Accepted=false", "im/second", "--timeout=60s")
    accepted = condition(namespace.get("im", "second"), "Accepted")
    assert accepted["reason"] == "DuplicateModelId"
    assert f"{namespace}/first" in accepted["message"]
    assert namespace.find("deployment", "easel-second") is None
    namespace("delete", "im", "first")
    namespace.wait_ready("second")


def test_a_missing_profile_is_told_and_its_coming_noticed(namespace: Namespace) -> None:
    name = f"{namespace}-late"
    namespace.apply(manifest("waits", modelId=f"{namespace}/waits", profile=name))
    namespace("wait", "--for=condition=Accepted=false", "im/waits", "--timeout=60s")
    assert (
        condition(namespace.get("im", "waits"), "Ready")["message"] == f"there is no RuntimeProfile {name}: create it"
    )
    profile = {"apiVersion": "easel.dev/v1alpha1", "kind": "RuntimeProfile", "metadata": {"name": name}, "spec": {}}
    try:
        namespace.apply(profile)
        namespace.wait_ready("waits")
    finally:
        kubectl("delete", "runtimeprofile", name)


def test_what_belongs_to_somebody_else_is_left_alone(namespace: Namespace) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "easel-occupied"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1234}]},
    }
    namespace.apply(service)
    namespace.apply(manifest("occupied", modelId=f"{namespace}/occupied"))
    namespace("wait", "--for=condition=Accepted=false", "im/occupied", "--timeout=60s")
    assert condition(namespace.get("im", "occupied"), "Ready")["reason"] == "NotOwned"
    assert namespace.get("service", "easel-occupied")["spec"]["selector"] == {"app": "theirs"}
    namespace("delete", "service", "easel-occupied")
    namespace.wait_ready("occupied")
    assert namespace.get("service", "easel-occupied")["spec"]["selector"] == {"easel.dev/model": "occupied"}


def test_a_paused_model_keeps_what_it_has(namespace: Namespace, simulated_gpus: str) -> None:
    namespace.apply(manifest("still", modelId=f"{namespace}/still", warmReplicas=1, gpu={"memory": simulated_gpus}))
    namespace.wait_ready("still")
    namespace("patch", "im", "still", "--type=merge", "--patch", '{"spec":{"paused":true,"warmReplicas":0}}')
    namespace("wait", "--for=jsonpath={.status.mode}=paused", "im/still", "--timeout=60s")
    ready = condition(namespace.get("im", "still"), "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Paused")
    assert namespace.get("deployment", "easel-still")["spec"]["replicas"] == 1


def test_a_quota_that_forbids_the_pods_is_told_in_its_own_words(namespace: Namespace, simulated_gpus: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-gpus"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    namespace.apply(quota)
    try:
        model = manifest("forbidden", modelId=f"{namespace}/forbidden", warmReplicas=1, gpu={"memory": simulated_gpus})
        namespace.apply(model)
        namespace("wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=PodsRefused", "im/forbidden")
        assert "exceeded quota: no-gpus" in condition(namespace.get("im", "forbidden"), "Ready")["message"]
    finally:
        namespace("delete", "quota", "no-gpus")
    namespace.wait_ready("forbidden")


def test_a_field_that_does_not_exist_is_refused(namespace: Namespace) -> None:
    with pytest.raises(Refused, match=r'unknown field "spec\.nonsense"'):
        namespace("create", "-f", "-", given=json.dumps(manifest("odd", modelId="a/b", nonsense=1)))
