"""How many replicas a model needs: pure functions of its spec, its demand and the time."""

from dataclasses import dataclass
from math import ceil

from easel_crds.demand import Demand
from easel_crds.imagemodel import ImageModelSpec


@dataclass(frozen=True)
class Need:
    """When replicas were last needed: `last[i]` is the time at which more than i were.

    Times fall with i, since whoever needs three replicas needs two.
    """

    last: tuple[float, ...] = ()

    def noted(self, replicas: int, now: float) -> "Need":
        """This need after `replicas` were found to be needed at `now`."""
        return Need((now,) * replicas + self.last[replicas:])


def needed_replicas(spec: ImageModelSpec, demand: int) -> int:
    """Replicas for `demand` requests in flight or waiting, without a look at the past."""
    return min(max(ceil(demand / spec.scaling.target_in_flight), spec.warm_replicas), spec.max_replicas)


def desired_replicas(spec: ImageModelSpec, need: Need, now: float) -> int:
    """Replicas that ought to run.

    Up at once, from 0 to N in one step; down only when one more has not been needed for `idleSeconds`.
    `spec.replicas` overrides all of it.
    """
    if spec.replicas is not None:
        return spec.replicas
    recent = sum(last + spec.scaling.idle_seconds > now for last in need.last)
    return min(max(recent, spec.warm_replicas), spec.max_replicas)


def next_release(spec: ImageModelSpec, need: Need, now: float) -> float | None:
    """Seconds after which `desired_replicas` falls by time alone; None if it does not."""
    if spec.replicas is not None:
        return None
    above = need.last[spec.warm_replicas : spec.max_replicas]
    left = [last + spec.scaling.idle_seconds - now for last in above]
    return min((seconds for seconds in left if seconds > 0), default=None)


def reason_for(spec: ImageModelSpec, demand: Demand, replicas: int, current: int) -> str:
    """Why there ought to be `replicas` and not `current`, in plain words."""
    if spec.replicas is not None:
        return "spec.replicas pins the number"
    if replicas < current:
        if replicas == spec.max_replicas:
            return "maxReplicas allows no more"
        return f"no more were needed for {spec.scaling.idle_seconds} seconds"
    if replicas == spec.warm_replicas:
        return "warmReplicas asks for it"
    in_flight, waiting = demand.in_flight, demand.waiting
    return f"{in_flight} requests in flight and {waiting} waiting, {spec.scaling.target_in_flight} for each replica"
