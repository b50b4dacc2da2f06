"""What is: everything that one reconcile looks at, read from the API server."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
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

    def _owns(self, child: Json) -> bool:
        metadata = child["metadata"]
        owner = next((one for one in metadata.get("ownerReferences", ()) if one.get("controller")), None)
        if owner is None:  # left behind by `kubectl delete --cascade=orphan`
            return str(metadata.get("labels", {}).get(Label.MODEL)) == self.model.name
        return str(owner["uid"]) == self.model.metadata.uid


async def observe(kube: Kube, model: ImageModel) -> Observed:
    """Read what belongs to `model`."""
    namespace, name = model.metadata.namespace, child_name(model.name)
    profile, documents, children = await asyncio.gather(
        read_profile(kube, model.spec.profile),
        kube.list(PODS, namespace, labels=f"{Label.MODEL}={model.name}"),
        asyncio.gather(*(kube.get(kind, namespace, name) for kind in CHILDREN.values())),
    )
    seen = tuple(map(pods.from_json, documents))
    autoscaler, gpu = await asyncio.gather(_autoscaler(kube, namespace, seen), _gpu(kube, seen))
    return Observed(model, profile, dict(zip(CHILDREN, children, strict=True)), seen, autoscaler, gpu)


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


async def _gpu(kube: Kube, seen: tuple[Pod, ...]) -> str:
    """Product name of the GPU of the first pod's node."""
    node = min((pod.node for pod in seen if pod.alive and pod.node), default="")
    document = await kube.get(NODES, "", node) if node else None
    return str(document["metadata"].get("labels", {}).get(_GPU_PRODUCT, "")) if document else ""
