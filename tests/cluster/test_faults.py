"""What others break, and what the operator's death breaks, is whole again soon, and nobody else is harmed."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import httpx2
import pytest

from easel_crds.demand import LEASE_SECONDS, Demand, ModelKey
from support import meddling, operator_process
from support.builders import manifest
from support.easel_release import Release
from support.kubectl import SECONDS, Document, Namespace, condition, eventually
from support.leases import demand_lease, lease_with
from support.meddling import KINDS, Change, owned

_SOON: Final = 10.0
"""Seconds within which the operator must have put back what others changed."""
_EVERYTHING: Final = "im,leases,pods"


@pytest.fixture
def models(namespace: Namespace, simulated_gpus: str) -> Iterator[Namespace]:
    """The namespace, in which every model is made by the test and gone after it."""
    yield namespace
    namespace("delete", _EVERYTHING, "--selector=easel.dev/kept!=true")
    eventually(lambda: namespace.list("deployments,services,pods", "easel.dev/model,easel.dev/model!=touched") == [])


@pytest.fixture(scope="module")
def touched(namespace: Namespace, simulated_gpus: str) -> dict[str, Document]:
    """The children of a model that others will meddle with, as Easel made them."""
    model = manifest(
        meddling.MODEL, modelId=f"{namespace}/touched", warmReplicas=1, maxReplicas=2, gpu={"memory": simulated_gpus}
    )
    model["metadata"]["labels"] = {"easel.dev/kept": "true"}
    namespace.apply(model)
    namespace.wait_ready(meddling.MODEL)
    return {kind: _child(namespace, kind) for kind in KINDS}


@pytest.fixture
def untouched(namespace: Namespace, touched: dict[str, Document]) -> Iterator[dict[str, Document]]:
    """The same, and whatever a test could not have put back is made anew for the next."""
    yield touched
    for kind in KINDS:
        if _child(namespace, kind) != touched[kind]:
            namespace("delete", kind, "easel-touched", "--ignore-not-found")
            eventually(lambda kind=kind: _child(namespace, kind) == touched[kind])


def _child(namespace: Namespace, kind: str) -> Document:
    """What is Easel's of a child of the model that is meddled with; empty if there is none."""
    found = namespace.find(kind, "easel-touched")
    return owned(found) if found is not None else {}


def _on_demand(namespace: Namespace, name: str, memory: str, **spec: Any) -> Document:
    scaling = {"targetInFlight": 1, "idleSeconds": 600}
    spec = {"modelId": f"{namespace}/{name}", "maxReplicas": 2, "scaling": scaling, "gpu": {"memory": memory}, **spec}
    return manifest(name, **spec)


def _asked(namespace: Namespace, *names: str) -> Document:
    """The Lease of a gateway with two requests for each of the models."""
    return demand_lease("gateway", {ModelKey(namespace.name, name): Demand(waiting=2) for name in names})


def _wait_serving(namespace: Namespace, replicas: int, *names: str) -> None:
    models = [f"im/{name}" for name in names]
    namespace("wait", f"--for=jsonpath={{.status.readyReplicas}}={replicas}", *models, f"--timeout={SECONDS:.0f}s")


def _pods(namespace: Namespace, model: str) -> list[Document]:
    return namespace.list("pods", f"easel.dev/model={model}")


@pytest.mark.parametrize("change", meddling.changes(), ids=str)
def test_what_others_change_is_put_back(change: Change, namespace: Namespace, untouched: dict[str, Document]) -> None:
    before = namespace.get(change.kind, "easel-touched")["metadata"]
    namespace(*change.command)

    def whole() -> bool:
        found = namespace.find(change.kind, "easel-touched")
        return (
            found is not None
            and found["metadata"]["resourceVersion"] != before["resourceVersion"]
            and (owned(found) == untouched[change.kind])
        )

    eventually(whole, seconds=_SOON)


def test_what_others_add_stays(namespace: Namespace, untouched: dict[str, Document]) -> None:
    namespace("annotate", "deployment,service", "easel-touched", "example.org/cost-centre=42")
    namespace("label", "service", "easel-touched", "team=images")
    template = {
        "containers": [
            {"name": "mesh", "image": "mesh:1"},
            {"name": "runtime", "env": [{"name": "INJECTED", "value": "1"}]},
        ]
    }
    injected = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "easel-touched"},
        "spec": {"template": {"spec": template}},
    }
    namespace("apply", "--server-side", "--field-manager=mesh", "-f", "-", given=json.dumps(injected))
    namespace("scale", "deployment/easel-touched", "--replicas=2")  # has Easel write
    replicas = eventually(
        lambda: namespace.get("deployment", "easel-touched"), lambda one: one["spec"]["replicas"] == 1, _SOON
    )
    assert replicas["metadata"]["annotations"]["example.org/cost-centre"] == "42"
    containers = {one["name"]: one for one in replicas["spec"]["template"]["spec"]["containers"]}
    assert containers["mesh"]["image"] == "mesh:1"
    assert {"name": "INJECTED", "value": "1"} in containers["runtime"]["env"]
    namespace("label", "service", "easel-touched", "easel.dev/model-")
    labels = eventually(
        lambda: namespace.get("service", "easel-touched")["metadata"]["labels"],
        lambda found: "easel.dev/model" in found,
        _SOON,
    )
    assert labels["team"] == "images"
