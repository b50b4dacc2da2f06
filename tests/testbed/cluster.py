"""The running cluster, for the end-to-end suite and everything else that runs inside."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from testbed import karpenter, nodes, simulated
from testbed.api import remove_nodes
from testbed.daemons import Failed
from testbed.karpenter import InstanceType, node_pool
from testbed.state import SETTINGS, Mount, NodeFolder, NodeSpec, State

__all__ = ["Cluster", "Failed", "InstanceType", "Mount", "NodeSpec", "node_pool"]


@dataclass(frozen=True)
class Cluster:
    """What can be done to a cluster from inside. Everything raises Failed when it does not work out.

    `state` names the folders and files: `state.kubeconfig`, `state.audit_log`, `state.logs`, and `state.shared`, which
    every node shows at /var/lib/easel-cache.
    """

    state: State

    @classmethod
    def current(cls) -> Self:
        """The cluster inside which this process runs."""
        # The suite's tests are run without EASEL_* variables, but kubectl's they have.
        named = os.environ.get("EASEL_TESTBED") or Path(os.environ.get("KUBECONFIG", "")).parent
        if not (Path(named) / SETTINGS).is_file():
            raise Failed("there is no cluster here: start with `python -m testbed run -- COMMAND`")
        return cls(State(Path(named)))

    def add_node(self, spec: NodeSpec) -> None:
        """Adds a real node and returns when pods can run there."""
        self._start(nodes.prepare_node(self.state, spec))

    def start_node(self, name: str) -> None:
        """Has a killed node come back, with what was on its disk, and returns when pods can run there."""
        self._start(self._node(name))

    def kill_node(self, name: str) -> None:
        """Pulls a node's plug: its pods are dead at once, and the API does not know."""
        nodes.kill(self.state, self._node(name))

    def remove_node(self, name: str) -> None:
        """Kills a node, and removes it and its pods from the API."""
        nodes.remove(self.state, self._node(name))

    def node_names(self) -> list[str]:
        """Of the real nodes, dead ones too."""
        return [node.name for node in self.state.nodes()]

    def set_gpus(self, name: str, count: int, unhealthy: Sequence[int] = ()) -> None:
        """Changes how many GPUs a real node has and which are broken; returns when the Node says so."""
        nodes.set_gpus(self._node(name), count, unhealthy)
        healthy = count - len({index for index in unhealthy if index < count})
        nodes.wait_for_gpus(self.state, name, count, healthy)

    def add_simulated(self, specs: Sequence[NodeSpec], capacity: Mapping[str, str] | None = None) -> None:
        """Adds nodes that are only objects, any number at once. `capacity` as {"cpu": "64", "memory": "1Ti"}."""
        simulated.add_simulated(self.state, specs, capacity or {})

    def remove_simulated(self, names: Sequence[str]) -> None:
        """Removes such nodes, and what was bound to them."""
        remove_nodes(self.state, names)

    def start_karpenter(
        self, types: Iterable[InstanceType], node_pools: Sequence[dict[str, Any]] | None = None
    ) -> None:
        """Starts an autoscaler that can have these machines; without pools, with one for all of them."""
        karpenter.start_karpenter(self.state, types, [node_pool()] if node_pools is None else node_pools)

    def stop_karpenter(self) -> None:
        """Removes its nodes and ends it."""
        karpenter.stop_karpenter(self.state)

    def _node(self, name: str) -> NodeFolder:
        node = self.state.node(name)
        if not node.spec.exists():
            raise Failed(f"there is no real node {name}")
        return node

    def _start(self, node: NodeFolder) -> None:
        since = nodes.now()
        nodes.wait_for_node(self.state, node, nodes.switch_on(self.state, node), since)
