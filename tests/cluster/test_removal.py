"""What was installed can be removed, and then nothing is left of it."""

import json
from collections.abc import Iterator

import pytest

from support.builders import manifest
from support.easel_release import Release
from support.kubectl import Namespace, kubectl


def _traces() -> set[str]:
    """Every object, of whichever kind, in whose metadata "easel" occurs; but for Events, which tell of the past."""
    kinds = kubectl("api-resources", "--verbs=list", "--output=name").split()
    asked = ",".join(kind for kind in kinds if not kind.startswith("events"))
    objects = json.loads(kubectl("get", asked, "--all-namespaces", "--output=json"))["items"]
    return {
        f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
        for one in objects
        if "easel" in json.dumps(one["metadata"] | {"managedFields": None})
    }


@pytest.fixture
def removed(easel: Release, namespace: Namespace, simulated_gpus: str) -> Iterator[set[str]]:
    """The traces of Easel before it was removed; afterwards it is there again for other tests."""
    namespace.apply(
        manifest("warm", modelId=f"{namespace}/warm", warmReplicas=1, gpu={"memory": simulated_gpus}),
        manifest("cold", modelId=f"{namespace}/cold"),
    )
    namespace.wait_ready("warm")
    before = _traces()
    easel.uninstall()
    yield before
    easel.install()


def test_after_the_documented_removal_nothing_is_left(removed: set[str], namespace: Namespace) -> None:
    for kind in (
        "ImageModel",
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "Pod",
        "EndpointSlice",
    ):
        assert any(trace.startswith(f"{kind} {namespace}/") for trace in removed), f"{kind} was not there to be removed"
    assert _traces() == set()
