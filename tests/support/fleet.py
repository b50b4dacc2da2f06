"""Several ImageModels on simulated GPUs, whose runtimes answer at once: for what many of them come to."""

from dataclasses import dataclass
from typing import Any, Final

from easel_crds.demand import Demand, ModelKey
from easel_crds.metadata import Label, child_name
from support.builders import manifest
from support.kubectl import Document, Namespace, eventually
from support.leases import BY_HAND, demand_lease
from support.meddling import KINDS, owned

_SECONDS: Final = 90
"""Longest wait of one kubectl, shorter than that for kubectl, so that it can say what it has waited for."""
_EVERYTHING: Final = ",".join((*KINDS, "endpointslices", "replicasets", "pods"))


@dataclass(frozen=True)
class Fleet:
    """The models of one namespace."""

    namespace: Namespace
    system: Namespace
    """Where the gateways are whose word counts."""
    memory: str
    """What GPUs they need, as a quantity."""

    def model(self, name: str, idle_seconds: int = 600, **spec: Any) -> Document:
        """A model on demand, with up to two runtimes, each for one request at a time."""
        scaling = {"targetInFlight": 1, "idleSeconds": idle_seconds}
        found = {"modelId": f"{self.namespace}/{name}", "maxReplicas": 2, "scaling": scaling}
        return manifest(name, **found, gpu={"memory": self.memory}, **spec)

    def apply(self, *documents: Document) -> None:
        """Until they are there, whatever becomes of them."""
        self.namespace.apply(*documents)

    def ask(self, *names: str, where: Namespace | None = None) -> None:
        """The Lease of a gateway that has two requests for each of these models, and never renews it."""
        demands = {ModelKey(self.namespace.name, name): Demand(waiting=2) for name in names}
        (where or self.system).apply(demand_lease("asks", demands))

    def ask_no_more(self) -> None:
        """Removes the Leases made by hand."""
        for namespace in (self.namespace, self.system):
            namespace("delete", "leases", f"--selector={BY_HAND}")

    def wait_ready(self) -> None:
        """All of them."""
        self.namespace("wait", "--for=condition=Ready", "im", "--all", f"--timeout={_SECONDS}s")

    def wait_for(self, replicas: int, *names: str) -> None:
        """Until so many runtimes answer of each."""
        models = [f"im/{name}" for name in names]
        field = f"jsonpath={{.status.readyReplicas}}={replicas}"
        self.namespace("wait", f"--for={field}", *models, f"--timeout={_SECONDS}s")

    def get(self, name: str) -> Document:
        """The ImageModel."""
        return self.namespace.get("im", name)

    def pods(self, name: str) -> list[str]:
        """The identities of a model's pods."""
        return sorted(pod["metadata"]["uid"] for pod in self.namespace.list("pods", f"{Label.MODEL}={name}"))

    def children(self, name: str) -> list[Document]:
        """What Easel has made for a model."""
        return self.namespace.list(",".join(KINDS), f"{Label.MODEL}={name}")

    def names(self, kind: str) -> list[str]:
        """Of all objects of a kind that belong to models."""
        return sorted(one["metadata"]["name"] for one in self.namespace.list(kind, Label.MODEL))

    def left(self, name: str = "") -> list[Document]:
        """All that there is for one model, or for any."""
        return self.namespace.list(_EVERYTHING, f"{Label.MODEL}={name}" if name else Label.MODEL)

    def clear(self) -> None:
        """Removes all of them, and every demand."""
        self.ask_no_more()
        self.namespace("delete", "im", "--all")
        eventually(self.left, lambda left: not left)

    def state(self) -> dict[str, Any]:
        """All that Easel decides, by kind and name, without times and identities, which no two runs share."""
        found: dict[str, Any] = {}
        for one in self.namespace.list(",".join(KINDS), Label.MODEL):
            for owner in one["metadata"]["ownerReferences"]:
                owner.pop("uid")
            found[f"{one['kind']} {one['metadata']['name']}"] = owned(one)
        for one in self.namespace.list("im"):
            # What it decided right before it died, and had not yet told, is missing in the history.
            kept = one["status"].keys() - {"scaleDecisions", "coldStartSeconds"}
            for each in one["status"]["conditions"]:
                each.pop("lastTransitionTime")
            found[f"{one['kind']} {one['metadata']['name']}"] = {key: one["status"][key] for key in kept}
        return found


def names_of(*models: str) -> list[str]:
    """Of the children of these models."""
    return sorted(map(child_name, models))
