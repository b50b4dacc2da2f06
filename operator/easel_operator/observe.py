"""What is: everything that one reconcile looks at, read from the API server."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import InvalidManifest, Problem, parse
from easel_crds.metadata import Label, child_name
from easel_crds.runtimeprofile import DEFAULT_PROFILE, RuntimeProfile
from easel_kube.client import Json, Kube
from easel_kube.kinds import EVENTS, NODES, PODS, RUNTIME_PROFILES
from easel_operator import pods
from easel_operator.desired import CHILDREN
from easel_operator.pods import Pod

_GPU_PRODUCT: Final = "nvidia.com/gpu.product"
_SCHEDULERS: Final = ("default-scheduler",)


@dataclass(frozen=True)
class Observed:
    """One ImageModel and all that belongs to it."""

    model: ImageModel
    profile: RuntimeProfile | None
    """None if there is none of the name."""
    children: Mapping[str, Json | None]
    """By kind."""
    pods: tuple[Pod, ...]
    autoscaler: str
    gpu: str

    @property
    def replicas(self) -> int:
        """What the Deployment asks for; 0 without one."""
        deployment = self.children["Deployment"]
        return 0 if deployment is None else int(deployment["spec"].get("replicas", 1))

    @property
    def cache_stays(self) -> bool:
        """Whether weights outlive the pods that have read them."""
        cache = None if self.profile is None else self.profile.spec.cache
        return cache is not None and bool(cache.persistent_volume_claim or cache.host_path)

    @property
    def refused(self) -> str:
        """Why the API server refuses to make pods, if it does."""
        deployment = self.children["Deployment"] or {}
        for condition in deployment.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return str(condition.get("message") or condition.get("reason") or "it gives no reason")
        return ""

    @property
    def foreign(self) -> str:
        """A child that is not this model's ("Service easel-x"), if there is one."""
        foreign = ((kind, child) for kind, child in self.children.items() if child and not self._owns(child))
        return next((f"{kind} {child['metadata']['name']}" for kind, child in foreign), "")

    @property
    def predecessor(self) -> bool:
        """Whether a child is left of an ImageModel of the same name, which the garbage collector is about to remove."""
        owners = (_controller(child) for child in self.children.values() if child)
        return any(
            (owner["kind"], owner["name"]) == (self.model.kind, self.model.name)
            and owner["uid"] != self.model.metadata.uid
            for owner in owners
            if owner is not None
        )

    def _owns(self, child: Json) -> bool:
        owner = _controller(child)
        if owner is None:  # left behind by `kubectl delete --cascade=orphan`
            return str(child["metadata"].get("labels", {}).get(Label.MODEL)) == self.model.name
        return str(owner["uid"]) == self.model.metadata.uid


def _controller(child: Json) -> Json | None:
    return next((one for one in child["metadata"].get("ownerReferences", ()) if one.get("controller")), None)


async def observe(kube: Kube, model: ImageModel) -> Observed:
    """Read what belongs to `model`."""
    namespace, name = model.metadata.namespace, child_name(model.name)
    profile, documents, children = await asyncio.gather(
        read_profile(kube, model.spec.profile),
        kube.list(PODS, namespace, labels=f"{Label.MODEL}={model.name}"),
        asyncio.gather(*(kube.get(kind, namespace, name) for kind in CHILDREN.values())),
    )
    seen = tuple(map(pods.from_json, documents))
    autoscaler, nodes = await asyncio.gather(_autoscaler(kube, namespace, seen), _nodes(kube, seen))
    return Observed(
        model=model,
        profile=profile,
        children=dict(zip(CHILDREN, children, strict=True)),
        pods=tuple(replace(pod, lost=pod.node in nodes and not _answers(nodes[pod.node])) for pod in seen),
        autoscaler=autoscaler,
        gpu=_gpu(nodes),
    )


async def read_profile(kube: Kube, name: str) -> RuntimeProfile | None:
    """The RuntimeProfile `name`; the default one is always there.

    Raises:
        InvalidManifest: this version cannot read it.
    """
    document = await kube.get(RUNTIME_PROFILES, "", name)
    if document is None:
        return DEFAULT_PROFILE if name == DEFAULT_PROFILE.name else None
    try:
        profile = parse(document)
    except InvalidManifest as error:
        message = f"the RuntimeProfile {name} cannot be read: {error}"
        raise InvalidManifest((Problem(("spec", "profile"), message),)) from error
    return profile if isinstance(profile, RuntimeProfile) else None


async def _autoscaler(kube: Kube, namespace: str, seen: tuple[Pod, ...]) -> str:
    """The last words about a pod without a node from whoever is not the scheduler: that is the autoscaler."""
    pod = next((one for one in seen if one.alive and one.unschedulable), None)
    if pod is None:
        return ""
    found = await kube.list(EVENTS, namespace, fields=f"regarding.uid={pod.uid}")
    said = [event for event in found if event.get("note") and _speaker(event) not in _SCHEDULERS]
    return str(max(said, key=_when)["note"]) if said else ""


def _speaker(event: Mapping[str, Any]) -> str:
    return str(event.get("reportingController") or event.get("deprecatedSource", {}).get("component", ""))


def _when(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    return max(filter(None, times), default="")


async def _nodes(kube: Kube, seen: tuple[Pod, ...]) -> dict[str, Json]:
    """The nodes of the pods, by name."""
    names = sorted({pod.node for pod in seen if pod.alive and pod.node})
    found = await asyncio.gather(*(kube.get(NODES, "", name) for name in names))
    return {name: node for name, node in zip(names, found, strict=True) if node is not None}


def _answers(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _gpu(nodes: Mapping[str, Json]) -> str:
    """Product name of the GPU of the first node."""
    labels = (node["metadata"].get("labels", {}) for node in nodes.values())
    return next((str(of[_GPU_PRODUCT]) for of in labels if _GPU_PRODUCT in of), "")
