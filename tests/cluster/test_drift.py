"""What others change of a model's children is soon as it was; what they add is theirs."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from support import meddling
from support.builders import manifest
from support.kubectl import Document, Namespace, eventually
from support.meddling import KINDS, MODEL, Change, owned

_SOON: Final = 10.0
"""Seconds within which the operator must have put back what others changed."""


@pytest.fixture(scope="module")
def whole(namespace: Namespace, simulated_gpus: str) -> dict[str, Document]:
    """The children of a model as Easel made them, by kind."""
    spec = {"modelId": f"{namespace}/{MODEL}", "warmReplicas": 1, "maxReplicas": 2, "gpu": {"memory": simulated_gpus}}
    namespace.apply(manifest(MODEL, **spec))
    namespace.wait_ready(MODEL)
    return {kind: _child(namespace, kind) for kind in KINDS}


@pytest.fixture
def children(namespace: Namespace, whole: dict[str, Document]) -> Iterator[dict[str, Document]]:
    """The same; a child that is not as it was after a test is made anew for the next one."""
    yield whole
    for kind in KINDS:
        if _child(namespace, kind) != whole[kind]:
            namespace("delete", kind, meddling.CHILD, "--ignore-not-found")
    eventually(lambda: {kind: _child(namespace, kind) for kind in KINDS} == whole)


def _child(namespace: Namespace, kind: str) -> Document:
    """What of the model's child is Easel's; empty if there is none."""
    found = namespace.find(kind, meddling.CHILD)
    return owned(found) if found is not None else {}


@pytest.mark.parametrize("change", list(meddling.changes()), ids=str)
def test_what_others_change_is_put_back(change: Change, namespace: Namespace, children: dict[str, Document]) -> None:
    before = namespace.get(change.kind, meddling.CHILD)["metadata"]["resourceVersion"]
    namespace(*change.command)

    def put_back() -> bool:
        found = namespace.find(change.kind, meddling.CHILD) or {"metadata": {}}
        changed = found["metadata"].get("resourceVersion") != before
        return changed and owned(found) == children[change.kind]

    eventually(put_back, seconds=_SOON)
    namespace("wait", "--for=condition=Scheduled", f"im/{MODEL}", "--timeout=30s")


def test_what_others_add_stays(namespace: Namespace, children: dict[str, Document]) -> None:
    template = {
        "metadata": {"annotations": {"example.org/cost-centre": "42"}},
        "spec": {
            "containers": [
                {"name": "mesh", "image": "mesh:1"},
                {"name": "runtime", "env": [{"name": "INJECTED", "value": "1"}]},
            ]
        },
    }
    injected = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": meddling.CHILD},
        "spec": {"template": template},
    }
    namespace("apply", "--server-side", "--field-manager=mesh", "-f", "-", given=json.dumps(injected))
    namespace("annotate", "service", meddling.CHILD, "example.org/balancer=internal")
    namespace("label", "service", meddling.CHILD, "team=images")
    # Now Easel has to write both objects.
    namespace("scale", f"deployment/{meddling.CHILD}", "--replicas=2")
    namespace("label", "service", meddling.CHILD, "app.kubernetes.io/name-")
    deployment = eventually(
        lambda: namespace.get("deployment", meddling.CHILD), lambda found: found["spec"]["replicas"] == 1, _SOON
    )
    service = eventually(
        lambda: namespace.get("service", meddling.CHILD),
        lambda found: "app.kubernetes.io/name" in found["metadata"]["labels"],
        _SOON,
    )
    assert deployment["spec"]["template"]["metadata"]["annotations"]["example.org/cost-centre"] == "42"
    containers = {one["name"]: one for one in deployment["spec"]["template"]["spec"]["containers"]}
    assert containers["mesh"]["image"] == "mesh:1"
    assert {"name": "INJECTED", "value": "1"} in containers["runtime"]["env"]
    assert service["metadata"]["annotations"]["example.org/balancer"] == "internal"
    assert service["metadata"]["labels"]["team"] == "images"
