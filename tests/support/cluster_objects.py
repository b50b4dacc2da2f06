"""Documents of a cluster, as the API server hands them out: ImageModels, runtime pods at every stage, Leases."""

from datetime import UTC, datetime, timedelta
from typing import Any

from easel_crds.demand import Demand, ModelKey, to_annotation
from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import parse
from easel_crds.metadata import Label, child_name
from easel_operator.pods import Pod, from_json
from support.builders import manifest

Json = dict[str, Any]

BORN = datetime(2026, 1, 1, tzinfo=UTC)
"""When everything was created, unless a test says otherwise."""
NAMESPACE = "team"
MODEL_UID = "uid-of-demo"
KEY = ModelKey(NAMESPACE, "demo")
"""The ImageModel of `model_document` unless a test says otherwise."""


def at(seconds: float) -> datetime:
    """A moment, in seconds after everything was created."""
    return BORN + timedelta(seconds=seconds)


def written(moment: datetime) -> str:
    """`moment` as Kubernetes writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def model_document(
    name: str = "demo", *, metadata: Json | None = None, status: Json | None = None, **spec: Any
) -> Json:
    """An ImageModel on a cluster."""
    document = manifest(name, **spec)
    document["metadata"] |= {
        "namespace": NAMESPACE,
        "uid": f"uid-of-{name}",
        "generation": 1,
        "resourceVersion": "41",
        "creationTimestamp": written(BORN),
        **(metadata or {}),
    }
    return document if status is None else {**document, "status": status}


def cluster_model(name: str = "demo", **more: Any) -> ImageModel:
    """The same, read; arguments as those of `model_document`."""
    model = parse(model_document(name, **more))
    assert isinstance(model, ImageModel)
    return model


def condition(kind: str, status: str, since: float | None = 0, **more: str) -> Json:
    """A condition of a pod; `since` in seconds after everything was created, None as from virtual kubelets."""
    moment = None if since is None else written(at(since))
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": moment, **more}


def pod_document(name: str = "easel-demo-6b7f-x2x4z", *, node: str = "", created: float = 0, **status: Any) -> Json:
    """A runtime pod with this status."""
    spec: Json = {"containers": [{"name": "runtime", "image": "easel-runtime:1"}], "restartPolicy": "Always"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "generateName": "easel-demo-6b7f-",
            "namespace": NAMESPACE,
            "uid": f"uid-of-{name}",
            "creationTimestamp": written(at(created)),
            "labels": {Label.MODEL: "demo", "pod-template-hash": "6b7f"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "easel-demo-6b7f",
                    "uid": "u",
                    "controller": True,
                }
            ],
        },
        "spec": {**spec, "nodeName": node} if node else spec,
        "status": {"qosClass": "Burstable", "phase": "Pending", **status},
    }


def _on_node(
    name: str, state: Json, last: Json, restarts: int, *, ready: float | None, node: str, created: float, phase: str
) -> Json:
    answers = "False" if ready is None else "True"
    conditions = [
        condition("PodReadyToStartContainers", "True", created),
        condition("Initialized", "True", created),
        condition("Ready", answers, created if ready is None else ready),
        condition("ContainersReady", answers, created if ready is None else ready),
        condition("PodScheduled", "True", created),
    ]
    container = {
        "name": "runtime",
        "image": "easel-runtime:1",
        "imageID": "",
        "state": state,
        "lastState": last,
        "ready": ready is not None,
        "started": "running" in state,
        "restartCount": restarts,
    }
    return pod_document(
        name, node=node, created=created, phase=phase, conditions=conditions, containerStatuses=[container]
    )


def new_pod(name: str = "easel-demo-6b7f-new") -> Json:
    """Just made: the scheduler has not looked at it."""
    return pod_document(name)


def homeless_pod(message: str = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", **more: Any) -> Json:
    """The scheduler found no node."""
    placed = condition("PodScheduled", "False", reason="Unschedulable", message=message)
    return pod_document(more.pop("name", "easel-demo-6b7f-homeless"), conditions=[placed], **more)


def waiting_pod(
    reason: str = "ContainerCreating", message: str = "", *, last: Json | None = None, restarts: int = 0, **more: Any
) -> Json:
    """The kubelet has it, and its container waits."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    given = {"name": "easel-demo-6b7f-waits", "node": "gpu-1", "created": 0, "phase": "Pending", **more}
    return _on_node(state=state, last=last or {}, restarts=restarts, ready=None, **given)


def loading_pod(*, last: Json | None = None, restarts: int = 0, **more: Any) -> Json:
    """Its container runs and does not answer yet."""
    state = {"running": {"startedAt": written(at(20))}}
    given = {"name": "easel-demo-6b7f-loads", "node": "gpu-1", "created": 0, "phase": "Running", **more}
    return _on_node(state=state, last=last or {}, restarts=restarts, ready=None, **given)


def ready_pod(since: float = 90, *, last: Json | None = None, restarts: int = 0, **more: Any) -> Json:
    """It answers, since so many seconds after everything was created."""
    state = {"running": {"startedAt": written(at(20))}}
    given = {"name": "easel-demo-6b7f-ready", "node": "gpu-1", "created": 0, "phase": "Running", **more}
    return _on_node(state=state, last=last or {}, restarts=restarts, ready=since, **given)


def ended_pod(end: Json, *, restarts: int = 0, **more: Any) -> Json:
    """Its container has ended, and nothing has become of it yet."""
    given = {"name": "easel-demo-6b7f-ended", "node": "gpu-1", "created": 0, "phase": "Running", **more}
    return _on_node(state=end, last={}, restarts=restarts, ready=None, **given)


def crashing_pod(end: Json, restarts: int = 3, **more: Any) -> Json:
    """Its container has ended again and again; the kubelet waits before the next try."""
    back_off = f"back-off 40s restarting failed container=runtime pod=easel-demo_{NAMESPACE}"
    return waiting_pod("CrashLoopBackOff", back_off, last=end, restarts=restarts, phase="Running", **more)


def rejected_pod(
    reason: str = "UnexpectedAdmissionError",
    message: str = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate 1",
    **more: Any,
) -> Json:
    """The kubelet would not have it: no container was ever made."""
    given = {"name": "easel-demo-6b7f-rejected", "node": "gpu-1", **more}
    return pod_document(phase="Failed", reason=reason, message=message, startTime=written(at(1)), **given)


def end(exit_code: int, reason: str = "Error", message: str = "", **more: Any) -> Json:
    """The state of a container that ran and ended."""
    ended: Json = {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": written(at(20)),
        "finishedAt": written(at(60)),
        "containerID": "containerd://1f",
    }
    return {"terminated": {**ended, **({"message": message} if message else {}), **more}}


def deleted(document: Json) -> Json:
    """The same object, being deleted."""
    leaving = {"deletionTimestamp": written(at(200)), "deletionGracePeriodSeconds": 130}
    return {**document, "metadata": {**document["metadata"], **leaving}}


def pod(document: Json) -> Pod:
    """The pod that `document` describes, as the operator sees it."""
    return from_json(document)


def lease(demands: dict[ModelKey, Demand] | str, renewed: float = 0, name: str = "gateway-1") -> Json:
    """A gateway's Lease, renewed so many seconds after everything was created."""
    text = demands if isinstance(demands, str) else to_annotation(demands)
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": "easel-system",
            "uid": f"uid-of-{name}",
            "labels": {Label.DEMAND: "true"},
            "annotations": {Label.DEMAND: text},
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": 30,
            "renewTime": f"{at(renewed):%Y-%m-%dT%H:%M:%S.%f}Z",
        },
    }


def child_path(kind: str, name: str = "demo") -> str:
    """Where the API serves the child of this kind."""
    roots = {
        "ServiceAccount": ("/api/v1", "serviceaccounts"),
        "Service": ("/api/v1", "services"),
        "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
        "Deployment": ("/apis/apps/v1", "deployments"),
    }
    root, plural = roots[kind]
    return f"{root}/namespaces/{NAMESPACE}/{plural}/{child_name(name)}"
