"""How many replicas each model ought to have: demand and the memory of past need, turned into decisions."""

from collections.abc import Iterable
from dataclasses import dataclass

from easel_crds.demand import ModelKey
from easel_crds.imagemodel import ImageModel
from easel_operator.demands import Demands
from easel_operator.inventory import key_of
from easel_operator.pods import Pod
from easel_operator.scaling import Need, desired_replicas, needed_replicas, next_release, reason_for


@dataclass(frozen=True)
class Decision:
    """How many replicas, why, and until when this holds if nothing happens."""

    replicas: int
    reason: str
    look_again: float | None
    """Seconds after which time alone may change the decision; None: never."""


@dataclass
class _Memory:
    uid: str
    """Of the model; one that was made again under the same name remembers nothing."""
    need: Need
    needed: int
    """What was needed when last asked, which held until now."""


class Autoscaler:
    """Remembers when replicas were last needed. Times are those of one monotonic clock."""

    def __init__(self, demands: Demands) -> None:
        self._demands = demands
        self._memories: dict[ModelKey, _Memory] = {}

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._memories.pop(key, None)

    def decide(self, model: ImageModel, current: int, pods: Iterable[Pod], now: float) -> Decision:
        """What `model` ought to have at `now`; `current` is what its Deployment asks for."""
        key, spec, uid = key_of(model), model.spec, model.metadata.uid
        demand = self._demands.of(key, now)
        needed = needed_replicas(spec, demand.requests)
        if any(pod.loading for pod in pods):
            # Its load is paid for; whether it is still needed is asked when it is ready.
            needed = max(needed, min(current, spec.max_replicas))
        # What runs when the operator starts was needed a moment ago, for all it knows.
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            memory = self._memories[key] = _Memory(uid, Need(), needed=current)
        memory.need = memory.need.noted(max(needed, memory.needed), now)
        memory.needed = needed
        replicas = desired_replicas(spec, memory.need, now)
        return Decision(
            replicas=replicas,
            reason=reason_for(spec, demand, replicas, current),
            look_again=min(
                filter(None, (next_release(spec, memory.need, now), self._demands.expires(key, now))), default=None
            ),
        )
