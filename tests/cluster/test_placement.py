"""Where runtimes may run: what users read while there is no such place, and what happens when one comes or breaks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.builders import manifest
from support.kubectl import SECONDS, Document, Namespace, condition, eventually, kubectl
from testbed.cluster import Cluster, InstanceType, NodeSpec, node_pool


@contextmanager
def _simulated(testbed: Cluster, *specs: NodeSpec, capacity: dict[str, str] | None = None) -> Iterator[None]:
    """Nodes on which pods are Ready at once."""
    testbed.add_simulated(specs, capacity)
    try:
        yield
    finally:
        testbed.remove_simulated([spec.name for spec in specs])


@pytest.fixture
def models(namespace: Namespace) -> Iterator[Namespace]:
    """The namespace, for models of one test, gone with their pods after it."""
    yield namespace
    namespace("delete", "im", "--all")
    eventually(lambda: namespace.list("pods"), lambda left: not left)


def _model(namespace: Namespace, name: str, memory: str, **spec: Any) -> Document:
    return manifest(name, **{"modelId": f"{namespace}/{name}", "warmReplicas": 1, "gpu": {"memory": memory}, **spec})


def _wait_unplaced(namespace: Namespace, name: str) -> str:
    """What an ImageModel says while no node fits."""
    reason = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NoFittingNode"
    namespace("wait", f"--for={reason}", f"im/{name}", "--timeout=60s")
    model = namespace.get("im", name)
    scheduled, ready = condition(model, "Scheduled"), condition(model, "Ready")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "NoFittingNode")
    assert (ready["status"], ready["message"]) == ("False", scheduled["message"])
    return str(ready["message"])


def _places(namespace: Namespace, name: str) -> list[str]:
    """Names of the nodes that a model's pods were given; empty for those that have none."""
    pods = namespace.list("pods", f"easel.dev/model={name}")
    return sorted(pod["spec"].get("nodeName", "") for pod in pods)


def test_a_model_that_fits_nowhere_says_why_and_starts_by_itself_when_a_node_comes(
    models: Namespace, testbed: Cluster
) -> None:
    models.apply(_model(models, "large", "3T"))
    message = _wait_unplaced(models, "large")
    assert message.startswith("no node has a free NVIDIA GPU of at least 3T; the scheduler says: 0/")
    assert "didn't match Pod's node affinity" in message
    fields = "regarding.name=large,type=Warning,reason=NoFittingNode"
    told = eventually(lambda: models("get", "events.events.k8s.io", f"--field-selector={fields}", "--output=json"))
    (event,) = json.loads(told)["items"]
    assert event["note"] in f"{message} ..."
    models("wait", "--for=condition=Ready=false", "im/large", "--timeout=1s")
    with _simulated(testbed, NodeSpec("large", gpus=1, gpu_memory=2_900_000, product="NVIDIA-X")):
        model = models.wait_ready("large")
        assert model["metadata"]["generation"] == 1
        assert not [one for one in model["status"]["conditions"] if "no node" in one["message"]]
        assert (_places(models, "large"), model["status"]["gpu"]) == (["large"], "NVIDIA-X")
        models("delete", "im", "large")


def test_a_gpu_must_have_the_memory_and_not_a_mebibyte_less(models: Namespace, testbed: Cluster) -> None:
    # 20e9 bytes are 19073.5 MiB. The real node gpu20 is kept out, so that pods go where they can be seen to go.
    sizes = {16376: 2, 19073: 2, 19074: 1, 19195: 1}
    specs = [
        NodeSpec(f"mib-{memory}", gpus=gpus, gpu_memory=memory, tainted=memory > 19073)
        for memory, gpus in sizes.items()
    ]
    kubectl("cordon", "gpu20")
    try:
        with _simulated(testbed, *specs):
            models.apply(_model(models, "threshold", "20G", replicas=3))
            message = eventually(lambda: _wait_unplaced_one_of(models, "threshold"))
            assert _places(models, "threshold") == ["", "mib-19074", "mib-19195"]
            assert "2 Insufficient nvidia.com/gpu" in message
            models("delete", "im", "threshold")
    finally:
        kubectl("uncordon", "gpu20")


def _wait_unplaced_one_of(namespace: Namespace, name: str) -> str:
    """The same where other runtimes of the model answer, so that it is Ready; empty until then."""
    model = namespace.get("im", name)
    scheduled = condition(model, "Scheduled")
    if model.get("status", {}).get("readyReplicas") != 2 or scheduled["reason"] != "NoFittingNode":
        return ""
    assert condition(model, "Ready")["message"] == "2 of 3 runtimes answer"
    return str(scheduled["message"])


def test_a_node_term_of_the_profile_opens_a_node_that_no_known_label_describes(
    models: Namespace, testbed: Cluster
) -> None:
    profile = {"apiVersion": "easel.dev/v1alpha1", "kind": "RuntimeProfile", "metadata": {"name": f"{models}-own"}}
    kubectl("apply", "-f", "-", given=json.dumps(profile | {"spec": {}}))
    try:
        node = NodeSpec("own-label", labels={"example.org/machine": "dgx-1"})
        with _simulated(testbed, node, capacity={"nvidia.com/gpu": "1"}):
            models.apply(_model(models, "own", "3T", profile=f"{models}-own"))
            _wait_unplaced(models, "own")
            term = {"match": [{"key": "example.org/machine", "operator": "In", "values": ["dgx-1", "dgx-2"]}]}
            kubectl("apply", "-f", "-", given=json.dumps(profile | {"spec": {"nodeTerms": [term]}}))
            models.wait_ready("own", seconds=10)  # sooner than it looks again by itself
            assert _places(models, "own") == ["own-label"]
            models("delete", "im", "own")
    finally:
        kubectl("delete", "runtimeprofile", f"{models}-own")


@pytest.fixture
def karpenter(testbed: Cluster) -> Iterator[None]:
    """An autoscaler for which a GPU that is too small is the cheapest."""
    testbed.start_karpenter(
        [
            InstanceType("cpu", price=0.1),
            InstanceType("gpu-16", price=0.5, gpus=1, gpu_memory=16376, product="NVIDIA-T4"),
            InstanceType("gpu-24", price=1.0, gpus=1, gpu_memory=23034, product="NVIDIA-L4"),
        ],
        [node_pool(idle="0s")],
    )
    yield
    testbed.stop_karpenter()


def test_an_autoscaler_brings_the_fitting_node_and_takes_it_away_and_says_if_it_has_none(
    karpenter: None, models: Namespace
) -> None:
    # More than the real node gpu20 has.
    models.apply(_model(models, "scaled", "22G"), _model(models, "too-large", "100G"))
    model = models.wait_ready("scaled")
    (node,) = _places(models, "scaled")
    labels = json.loads(kubectl("get", "node", node, "--output=json"))["metadata"]["labels"]
    assert labels["node.kubernetes.io/instance-type"] == "gpu-24"
    assert model["status"]["gpu"] == "NVIDIA-L4"
    message = eventually(lambda: _wait_unplaced(models, "too-large"), lambda text: "the autoscaler says: " in text)
    assert "Failed to schedule pod" in message.partition("the autoscaler says: ")[2]
    models("delete", "im", "--all")
    kubectl("wait", "--for=delete", f"node/{node}", f"--timeout={SECONDS:.0f}s")


@pytest.fixture
def own_node(testbed: Cluster) -> Iterator[str]:
    """A real node with one GPU that is larger than any other."""
    testbed.add_node(NodeSpec("own", gpus=1, gpu_memory=700_000, product="NVIDIA-OWN"))
    yield "own"
    testbed.remove_node("own")


def test_a_node_that_dies_and_a_gpu_that_breaks_are_told_and_come_back_by_themselves(
    models: Namespace, testbed: Cluster, own_node: str
) -> None:
    models.apply(_model(models, "fragile", "700G", modelId="easel/demo"))
    models.wait_ready("fragile")
    testbed.kill_node(own_node)
    models("wait", "--for=condition=Ready=false", "im/fragile", "--timeout=60s")
    dead = models.get("im", "fragile")
    testbed.start_node(own_node)
    models.wait_ready("fragile")
    testbed.set_gpus(own_node, 1, unhealthy=[0])
    models("delete", "pods", "--selector=easel.dev/model=fragile")
    assert "Insufficient nvidia.com/gpu" in _wait_unplaced(models, "fragile")
    testbed.set_gpus(own_node, 1)
    models("wait", "--for=condition=Scheduled", "im/fragile", "--timeout=60s")
    assert dead["status"]["readyReplicas"] == 0
    assert own_node in condition(dead, "Ready")["message"], "users must read that it is the node"
