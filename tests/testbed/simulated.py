"""Nodes that are only objects (kwok): hundreds at once, pods there are Ready at once, and nothing runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from testbed.api import create, kubectl
from testbed.control_plane import issue_kubeconfig
from testbed.daemons import running, start, wait_until
from testbed.state import GPU, NodeSpec, State

CAPACITY: Final = {"cpu": "32", "memory": "128Gi", "ephemeral-storage": "500Gi", "pods": "110"}
_MARK: Final = "kwok.x-k8s.io/node"
"""Annotation of the nodes that kwok plays; Karpenter's provider sets it too."""
_PODS: Final = "10.64.0.0/12"
"""Addresses that lead nowhere."""


def start_kwok(state: State) -> None:
    """Plays the kubelet of every node with its mark, from now on."""
    if running("kwok", state.logs):
        return
    stages = (state.programs / "kwok").resolve().parent / "stages.yaml"
    flags = [
        f"--kubeconfig={issue_kubeconfig(state, 'kwok')}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={_MARK}=fake",
        f"--config={stages}",
        "--node-lease-duration-seconds=40",
        f"--cidr={_PODS}",
    ]
    start("kwok", [state.programs / "kwok", *flags], state.logs)


def add_simulated(state: State, specs: Sequence[NodeSpec], capacity: Mapping[str, str], seconds: float = 60) -> None:
    """Adds such nodes and returns when all are ready."""
    start_kwok(state)
    create(state, [node_object(spec, capacity) for spec in specs])
    names = {spec.name for spec in specs}
    kwok = running("kwok", state.logs)
    daemons = [kwok] if kwok else []

    def ready() -> bool:
        form = r'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} '
        told = kubectl(state, "get", "nodes", "--output", form + r"{.spec.taints[*].key}{'\n'}{end}").splitlines()
        usable = {line.split()[0] for line in told if " True" in line and "not-ready" not in line}
        return names <= usable

    wait_until(f"{len(names)} simulated nodes are ready", ready, *daemons, seconds=seconds, interval=0.2)


def node_object(spec: NodeSpec, capacity: Mapping[str, str]) -> dict[str, Any]:
    """The Node; `capacity` in Kubernetes' quantities, over CAPACITY."""
    amounts = {**CAPACITY, **capacity} | ({GPU: str(spec.gpus)} if spec.gpus else {})
    labels = {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels | spec.all_labels(), "annotations": {_MARK: "fake"}},
        "spec": {"taints": spec.taints()},
        "status": {"capacity": amounts, "allocatable": amounts},
    }
