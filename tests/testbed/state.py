"""The folder in which a running cluster keeps everything, and the small files that its processes share."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

GPU: Final = "nvidia.com/gpu"
SETTINGS: Final = "settings.json"


@dataclass(frozen=True)
class Mount:
    """A folder of this machine that every node shows at `path`."""

    host: str
    path: str
    writable: bool = False


@dataclass(frozen=True)
class NodeSpec:
    """What a node is. Memory of a GPU is in MiB, as GPU feature discovery tells it."""

    name: str
    gpus: int = 0
    gpu_memory: int = 0
    product: str = ""
    tainted: bool = True
    """Nodes with GPUs repel pods that do not tolerate `nvidia.com/gpu`, as GPU pools of clouds do."""
    labels: dict[str, str] = field(default_factory=dict)

    def all_labels(self) -> dict[str, str]:
        """What `labels` says, over what GPU feature discovery would."""
        if not self.gpus:
            return self.labels
        found = {
            f"{GPU}.present": "true",
            f"{GPU}.count": str(self.gpus),
            f"{GPU}.memory": str(self.gpu_memory),
            f"{GPU}.product": self.product,
        }
        return found | self.labels

    def taints(self) -> list[dict[str, str]]:
        """As in a Node's spec."""
        return [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if self.gpus and self.tainted else []


@dataclass(frozen=True)
class Settings:
    """What is decided when a cluster starts and holds for all of its life."""

    run: str
    """Identity of the cluster among those of this machine; part of the names of its cgroups."""
    images: list[str]
    mounts: list[Mount]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        told = json.loads(text)
        return cls(told["run"], told["images"], [Mount(**one) for one in told["mounts"]])


@dataclass(frozen=True)
class NodeFolder:
    """What there is of one real node."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def spec(self) -> Path:
        return self.root / "node.json"

    @property
    def gpus(self) -> Path:
        """Which GPUs the node has now: {"count": 2, "unhealthy": [1]}."""
        return self.root / "gpus.json"

    @property
    def disk(self) -> Path:
        """Its /var/lib and /var/log, which outlive a reboot."""
        return self.root / "disk"

    @property
    def network(self) -> Path:
        """Handle of its network namespace."""
        return self.root.parents[1] / "networks" / self.name

    @property
    def index(self) -> int:
        """Its number; addresses derive from it."""
        number: int = json.loads(self.spec.read_text())["index"]
        return number

    def read_spec(self) -> NodeSpec:
        return NodeSpec(**json.loads(self.spec.read_text())["spec"])


@dataclass(frozen=True)
class State:
    """The folder of one cluster. Only processes inside its namespaces see what is in it."""

    root: Path

    @property
    def settings(self) -> Settings:
        return Settings.from_json((self.root / SETTINGS).read_text())

    @property
    def programs(self) -> Path:
        """Folder of every program: kubectl, helm and the daemons."""
        return self.root / "bin"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def kubeconfig(self) -> Path:
        """Of a cluster administrator."""
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """Every write to the API, a JSON object (audit.k8s.io/v1 Event) a line."""
        return self.logs / "audit.log"

    @property
    def shared(self) -> Path:
        """A folder that every node shows at /var/lib/easel-cache; uid 65532 may write."""
        return self.root / "shared"

    def node(self, name: str) -> NodeFolder:
        return NodeFolder(self.root / "nodes" / name)

    def nodes(self) -> list[NodeFolder]:
        """Every real node, also those that are dead."""
        return [NodeFolder(spec.parent) for spec in sorted(self.root.glob("nodes/*/node.json"))]
