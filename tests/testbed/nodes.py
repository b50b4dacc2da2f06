"""Real nodes: adding, killing, starting again and removing them. From any process inside the cluster's namespaces."""

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed import certificates, leftovers, network
from testbed.api import kubectl, remove_nodes
from testbed.control_plane import issue_kubeconfig
from testbed.daemons import Daemon, Failed, running, start, wait_until
from testbed.node_init import cgroup_of, logs_of
from testbed.state import GPU, NodeFolder, NodeSpec, State

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_USER = "system:node:"


def prepare_node(state: State, spec: NodeSpec) -> NodeFolder:
    """Makes a node's folder and certificates. Raises Failed when there can be no such node."""
    if not _NAME.fullmatch(spec.name) or len(_USER + spec.name) > certificates.LONGEST_NAME:
        raise Failed(f"{spec.name!r} cannot be a node's name")
    node = state.node(spec.name)
    with _numbering(state):
        taken = {other.index for other in state.nodes()}
        if node.spec.exists():
            raise Failed(f"there is a node {spec.name} already")
        index = next((number for number in range(1, network.NODES + 1) if number not in taken), None)
        if index is None:
            raise Failed(f"there are {network.NODES} nodes already")
        node.root.mkdir()
        node.spec.write_text(json.dumps({"index": index, "spec": asdict(spec)}))
    set_gpus(node, spec.gpus)
    file = f"node-{spec.name}"
    addresses = [spec.name, network.node_address(index)]
    issue_kubeconfig(state, file, _USER + spec.name, "system:nodes", addresses)
    return node


def set_gpus(node: NodeFolder, count: int, unhealthy: Sequence[int] = ()) -> None:
    """Says how many GPUs a node has from now on, and which of them are broken; its kubelet tells within a second."""
    if count and not node.read_spec().gpus:
        raise Failed(f"{node.name} was made without GPUs, so there is no device plugin")
    fresh = node.gpus.with_suffix(".new")
    fresh.write_text(json.dumps({"count": count, "unhealthy": list(unhealthy)}))
    fresh.replace(node.gpus)


def switch_on(state: State, node: NodeFolder) -> Daemon:
    """Starts a node, new or dead, without waiting for it."""
    if power(state, node) is not None:
        raise Failed(f"{node.name} runs already")
    network.connect(node.network, node.index)
    logs = logs_of(state, node.name)
    logs.mkdir(parents=True, exist_ok=True)
    namespaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
    program = [sys.executable, "-m", "testbed.node_init", str(state.root), node.name]
    variables = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]))
    return start("node", ["nsenter", f"--net={node.network}", "unshare", *namespaces, *program], logs, variables)


def power(state: State, node: NodeFolder) -> Daemon | None:
    """The process on which the node's life depends, if it lives."""
    return running("node", logs_of(state, node.name))


def wait_for_node(state: State, node: NodeFolder, process: Daemon, since: datetime, seconds: float = 120) -> None:
    """Returns when pods can run there. Raises Failed with what the node's programs have said last."""
    gpus = json.loads(node.gpus.read_text())["count"]

    def ready() -> bool:
        told = kubectl(state, "get", "node", node.name, "--ignore-not-found", "--output=json")
        return bool(told) and is_usable(json.loads(told), gpus, since)

    try:
        wait_until(f"Node {node.name} is ready", ready, process, seconds=seconds, interval=0.2)
    except Failed as error:
        logs = [Daemon(0, log) for log in sorted(logs_of(state, node.name).glob("*.log")) if log.stem != "node"]
        raise Failed("\n".join([str(error), *map(str, logs)])) from None


def is_usable(node: Mapping[str, Any], gpus: int, since: datetime) -> bool:
    """Whether a Node takes pods, has so many GPUs, and its kubelet has said so since then, not in an earlier life."""
    conditions = {one["type"]: one for one in node["status"].get("conditions", [])}
    ready = conditions.get("Ready")
    if ready is None or ready["status"] != "True":
        return False
    if datetime.fromisoformat(ready["lastHeartbeatTime"]) < since.replace(microsecond=0):
        return False
    held_back = {taint["key"] for taint in node["spec"].get("taints", [])} & {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
    return not held_back and amount(node, GPU) == gpus


def amount(node: Mapping[str, Any], resource: str, kind: str = "allocatable") -> int:
    """How much of an extended resource a Node can give to pods, or of another `kind`: capacity."""
    return int(node["status"].get(kind, {}).get(resource, "0"))


def wait_for_gpus(state: State, name: str, count: int, healthy: int) -> None:
    """Returns when a Node says that it has so many GPUs and can give so many of them to pods."""

    def told() -> bool:
        node = json.loads(kubectl(state, "get", "node", name, "--output=json"))
        return (amount(node, GPU, "capacity"), amount(node, GPU)) == (count, healthy)

    wait_until(f"Node {name} has {count} GPUs, {healthy} of them healthy", told, interval=0.1)


def now() -> datetime:
    """For `wait_for_node`, before a node is switched on."""
    return datetime.now(UTC)


def kill(state: State, node: NodeFolder) -> None:
    """Pulls the plug. The Node, and the pods that ran there, stay in the API until somebody notices."""
    if process := power(state, node):
        process.kill()
    network.disconnect(node.network, node.index)
    cgroup = cgroup_of(state, node.name)
    wait_until(f"The processes of {node.name} have ended", lambda: leftovers.remove_cgroups(cgroup), seconds=30)


def remove(state: State, node: NodeFolder) -> None:
    """Kills a node and removes it, and the pods that ran there, from the API."""
    kill(state, node)
    remove_nodes(state, [node.name])
    shutil.rmtree(node.root)
    shutil.rmtree(logs_of(state, node.name))


@contextmanager
def _numbering(state: State) -> Iterator[None]:
    with (state.root / "numbering.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
