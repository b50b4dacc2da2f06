"""One pass over one ImageModel: observe, decide, apply, say. Level-based: it never asks why it was called."""

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from easel_crds.conditions import Reason
from easel_crds.demand import ModelKey
from easel_crds.imagemodel import ImageModelStatus, ScaleDecision
from easel_crds.manifest import InvalidManifest, stored_model
from easel_kube.client import ApiError, Json, Kube
from easel_kube.kinds import EVENTS, IMAGE_MODELS, PODS
from easel_operator import events
from easel_operator.apply import apply_children
from easel_operator.autoscale import Autoscaler, Decision
from easel_operator.desired import children
from easel_operator.inventory import Inventory
from easel_operator.observe import Observed, observe
from easel_operator.status import Found, Verdict, ready_condition, status, status_of_invalid

_log = logging.getLogger(__name__)

_UNSCHEDULED_SECONDS: Final = 15
"""How often to ask what the autoscaler says, whose Events are not watched."""
_PREDECESSOR_SECONDS: Final = 1
"""How often to look whether the garbage collector has removed what an ImageModel of the same name has left."""
_FOREIGN_SECONDS: Final = 5
"""How often to look whether a foreign object is gone."""
_REFUSED_SECONDS: Final = 30
"""How often to try again what the API server refused: a quota may have been raised."""


@dataclass(frozen=True)
class Reconciler:
    """What every pass needs."""

    kube: Kube
    inventory: Inventory
    autoscaler: Autoscaler
    runtime_image: str
    instance: str
    """Name of this operator, for Events."""

    async def reconcile(self, key: ModelKey) -> float | None:
        """Bring `key` to where it ought to be; seconds until the next look that nothing else would cause."""
        document = await self.kube.get(IMAGE_MODELS, key.namespace, key.name)
        if document is None or "deletionTimestamp" in document["metadata"]:
            self.autoscaler.forget(key)
            self.inventory.remove(key, "")  # its children go with it: the garbage collector sees to that
            return None
        try:
            observed = await observe(self.kube, stored_model(document))
        except InvalidManifest as error:
            await self._write(document, status_of_invalid(document, str(error), _now()))
            return None
        if observed.predecessor:
            return _PREDECESSOR_SECONDS
        found = Found(
            model=observed.model,
            accepted=self._accepted(observed),
            wanted=observed.replicas,
            pods=observed.pods,
            refused=observed.refused,
            autoscaler=observed.autoscaler,
            gpu=observed.gpu,
            cache_stays=observed.cache_stays,
        )
        look_again: float | None = None
        if found.accepted.holds and observed.profile is not None and not observed.model.spec.paused:
            now = asyncio.get_running_loop().time()
            decision = self.autoscaler.decide(observed.model, observed.replicas, observed.pods, now)
            desired = children(observed.model, observed.profile, decision.replicas, self.runtime_image)
            found = await self._carry_out(observed, desired, found, decision)
            look_again = decision.look_again
        await self._say(found, document)
        return min(filter(None, (look_again, _patience(found))), default=None)

    def _accepted(self, observed: Observed) -> Verdict:
        older = self.inventory.older(observed.model)
        if older is not None:
            whose = f"{older.metadata.namespace}/{older.name}"
            return Verdict(
                holds=False, reason=Reason.DUPLICATE_MODEL_ID, message=f"the older ImageModel {whose} has this modelId"
            )
        if observed.profile is None:
            name = observed.model.spec.profile
            return Verdict(
                holds=False, reason=Reason.PROFILE_NOT_FOUND, message=f"there is no RuntimeProfile {name}: create it"
            )
        if foreign := observed.foreign:
            message = f"the {foreign} belongs to somebody else: delete it, or rename this ImageModel"
            return Verdict(holds=False, reason=Reason.NOT_OWNED, message=message)
        return Verdict(holds=True, reason=Reason.VALID)

    async def _carry_out(
        self, observed: Observed, desired: tuple[Json, ...], found: Found, decision: Decision
    ) -> Found:
        """Apply the children, remove pods that will never run again; what was found by it."""
        found = replace(found, wanted=decision.replicas)
        try:
            await apply_children(self.kube, desired, observed.children)
        except ApiError as error:
            if not _lasting(error):
                raise
            return replace(found, refused=str(error))
        for pod in observed.pods:
            if pod.phase == "Failed" and pod.replaceable and not pod.leaving:
                await self.kube.delete(PODS, observed.model.metadata.namespace, pod.name, pod.uid)
        told = observed.model.status.scale_decisions
        if decision.replicas == observed.replicas or (told and told[0].replicas == decision.replicas):
            return found  # nothing new: at most, somebody else's number was put right
        taken = ScaleDecision(time=_now(), replicas=decision.replicas, reason=decision.reason)
        return replace(found, decision=taken)

    async def _say(self, found: Found, document: Json) -> None:
        """Write the status if it is not what it was, and the Events of what has changed."""
        old, new = found.model.status, status(found, _now())
        await self._write(document, new)
        if found.decision is not None:
            await self._event(events.of_decision(found.model, found.decision, self.instance))
        ready = ready_condition(new)
        if ready is not None:
            await self._event(events.of_transition(found.model, ready_condition(old), ready, self.instance))

    async def _write(self, document: Json, new: ImageModelStatus) -> None:
        desired = new.model_dump(mode="json", by_alias=True, exclude_none=True)
        if document.get("status") == desired:
            return
        metadata = document["metadata"]
        body = {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": desired,
        }
        await self.kube.apply(IMAGE_MODELS, body, "status")

    async def _event(self, event: Json | None) -> None:
        if event is None:
            return
        try:
            await self.kube.create(EVENTS, event["metadata"]["namespace"], event)
        except ApiError as error:  # of an Event nothing depends
            _log.warning("an Event could not be written: %s", error)


def _lasting(error: ApiError) -> bool:
    """Whether the API server refuses what was asked, in contrast to trouble of its own, which passes.

    An admission webhook that is away counts as a refusal, although the API server calls it an error of its own.
    """
    return error.status in (400, 403, 422) or (error.status == 500 and "calling webhook" in str(error))


def _patience(found: Found) -> float | None:
    """Seconds after which to look again because what is in the way is not watched."""
    if found.accepted.reason is Reason.NOT_OWNED:
        return _FOREIGN_SECONDS
    if found.refused:
        return _REFUSED_SECONDS
    return _UNSCHEDULED_SECONDS if any(pod.unschedulable for pod in found.alive) else None


def _now() -> datetime:
    """In whole seconds, as Kubernetes writes times."""
    return datetime.now(UTC).replace(microsecond=0)
