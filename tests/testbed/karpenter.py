"""Karpenter, an autoscaler that makes simulated nodes for pods that have none, and removes them again."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from testbed import network
from testbed.api import environment, kubectl
from testbed.control_plane import issue_kubeconfig
from testbed.daemons import Failed, running, start, wait_until
from testbed.simulated import start_kwok
from testbed.state import GPU, State

_CLASS: Final = "default"
_HEALTH_PORT: Final = 18081
"""By default these are ports that programs under test have."""
_METRICS_PORT: Final = 18080
_LOOPS_SECONDS: Final = 90


@dataclass(frozen=True)
class InstanceType:
    """A kind of machine that can be had. Memory of a GPU in MiB, the price in any money for an hour."""

    name: str
    price: float
    cpu: str = "8"
    memory: str = "32Gi"
    gpus: int = 0
    gpu_memory: int = 0
    product: str = ""


def start_karpenter(state: State, types: Iterable[InstanceType], node_pools: Sequence[dict[str, Any]]) -> None:
    """Starts it with these types and pools and returns when it works."""
    if running("karpenter", state.logs):
        raise Failed("Karpenter runs already")
    start_kwok(state)
    crds = (state.programs / "karpenter").resolve().parent / "crds.yaml"
    kubectl(state, "apply", "--server-side", "-f", str(crds))
    kubectl(state, "wait", "--for=condition=Established", "--timeout=30s", "-f", str(crds))
    offered = state.root / "instance-types.json"
    offered.write_text(json.dumps([instance_type(one) for one in types]))
    variables = environment(state) | {
        "KUBECONFIG": issue_kubeconfig(state, "karpenter"),
        "SYSTEM_NAMESPACE": "kube-system",
        "DISABLE_LEADER_ELECTION": "true",
        "METRICS_PORT": str(_METRICS_PORT),
        "HEALTH_PROBE_PORT": str(_HEALTH_PORT),
        "BATCH_IDLE_DURATION": "500ms",
        "BATCH_MAX_DURATION": "3s",
        "INSTANCE_TYPES_FILE_PATH": str(offered),
    }
    process = start("karpenter", [state.programs / "karpenter"], state.logs, variables)
    wait_until("Karpenter works", lambda: network.healthy("127.0.0.1", _HEALTH_PORT, "/readyz"), process)
    node_class = {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": _CLASS}}
    everything = {"apiVersion": "v1", "kind": "List", "items": [node_class, *node_pools]}
    kubectl(state, "apply", "--server-side", "-f", "-", given=json.dumps(everything))


def stop_karpenter(state: State) -> None:
    """Has it remove its nodes, and ends it."""
    process = running("karpenter", state.logs)
    if process is None:
        return
    kubectl(state, "delete", "nodepools", "--all", "--wait=false")
    kubectl(state, "delete", "nodeclaims", "--all", "--wait=false")

    def gone() -> bool:
        return not kubectl(state, "get", "nodepools,nodeclaims", "--output=name")

    wait_until("Karpenter's nodes are gone", gone, process, seconds=_LOOPS_SECONDS, interval=0.5)
    process.kill()


def instance_type(one: InstanceType) -> dict[str, Any]:
    """As Karpenter's kwok provider reads it. The requirements of an offering become labels of its node."""
    labels = {"karpenter.sh/capacity-type": "on-demand", "topology.kubernetes.io/zone": "test-zone-a"}
    if one.gpus:
        labels |= {f"{GPU}.memory": str(one.gpu_memory), f"{GPU}.count": str(one.gpus), f"{GPU}.present": "true"}
        labels |= {f"{GPU}.product": one.product} if one.product else {}
    required = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
    resources = {"cpu": one.cpu, "memory": one.memory, "ephemeral-storage": "500Gi", "pods": "110"}
    return {
        "name": one.name,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": resources | ({GPU: str(one.gpus)} if one.gpus else {}),
        "offerings": [{"Price": one.price, "Available": True, "Requirements": required}],
    }


def node_pool(name: str = "default", *, tainted: bool = True, idle: str = "5s") -> dict[str, Any]:
    """A NodePool of every type on offer, whose empty nodes go after `idle`."""
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if tainted else []
    capacity = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}
    node_class = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": _CLASS}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "template": {"spec": {"nodeClassRef": node_class, "requirements": [capacity], "taints": taints}},
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": idle,
                "budgets": [{"nodes": "100%"}],
            },
        },
    }
