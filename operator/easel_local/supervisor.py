"""The operator's job on one machine: keeps the processes of every model as its manifest and its demand want them.

Level-based: each pass looks at what is and at what ought to be, never at what has changed. Implements the gateway's
`Directory`.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from easel_crds.demand import Demand
from easel_crds.imagemodel import SCALE_DECISIONS, ImageModel, ScaleDecision
from easel_crds.runtimeprofile import RuntimeProfile
from easel_gateway.directory import UNKNOWN_START_SECONDS, Endpoint, Entry
from easel_local.fleet import Restarts, plan
from easel_local.manifests import Manifests
from easel_local.process import RuntimeProcess, State
from easel_operator.desired.environment import runtime_environment
from easel_operator.scaling import Need, desired_replicas, needed_replicas, reason_for

_log = logging.getLogger(__name__)
_TICK_SECONDS: Final = 0.5
"""Longest time until the passing of time alone (idleness, the end of a pause) is noticed."""


@dataclass
class _Fleet:
    """What the supervisor knows of one model."""

    model: ImageModel
    profile: RuntimeProfile | None
    processes: list[RuntimeProcess] = field(default_factory=list)
    need: Need = field(default_factory=Need)
    demand: Demand = field(default_factory=Demand)
    served: int = 0
    restarts: Restarts = field(default_factory=Restarts)
    start_seconds: float = UNKNOWN_START_SECONDS
    decisions: deque[ScaleDecision] = field(default_factory=lambda: deque(maxlen=SCALE_DECISIONS))
    """Changes of the number of replicas, newest first."""

    def having(self, state: State) -> list[RuntimeProcess]:
        """Its processes in `state`."""
        return [process for process in self.processes if process.state is state]

    def decide(self, replicas: int) -> None:
        """There ought to be so many replicas from now on."""
        current = self.decisions[0].replicas if self.decisions else 0
        if replicas != current:
            reason = reason_for(self.model.spec, self.demand, replicas, current)
            self.decisions.appendleft(ScaleDecision(time=datetime.now(UTC), replicas=replicas, reason=reason))


@dataclass(frozen=True)
class Row:
    """One model, as the terminal shows it."""

    entry: Entry
    demand: Demand
    served: int
    replicas: int
    ready: int
    since: float | None
    """When the oldest of the processes that are starting was started (event loop time)."""


class Supervisor:
    """Owns every runtime process. All methods belong on one event loop."""

    def __init__(self, folder: Path) -> None:
        """`folder`: an empty private directory for the processes."""
        self._folder = folder
        self._fleets: dict[str, _Fleet] = {}
        self._stopping: dict[asyncio.Task[None], RuntimeProcess] = {}
        self._wake = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._numbers = itertools.count(1)

    def declare(self, manifests: Manifests) -> None:
        """Put `manifests` in force: new models, changed ones, removed ones."""
        models = manifests.models
        for name in self._fleets.keys() - models.keys():
            self._retire(self._fleets.pop(name))
        for name, model in models.items():
            fleet = self._fleets.setdefault(name, _Fleet(_numbered(model, 1), None))
            before = fleet.model
            generation = before.metadata.generation + (model.spec != before.spec)
            declared = (_numbered(model, generation), manifests.profile(model.spec.profile))
            if declared != (fleet.model, fleet.profile):
                fleet.model, fleet.profile = declared
                fleet.restarts = Restarts()  # what failed before may be mended now
        self._changed()

    async def run(self) -> None:
        """Reconcile at every change and at least every half second, until cancelled."""
        while True:
            self._wake.clear()
            for fleet in self._fleets.values():
                self._reconcile(fleet)
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """End every process, each within its grace period."""
        for name in list(self._fleets):
            self._retire(self._fleets.pop(name))
        await asyncio.gather(*self._stopping)

    def kill(self) -> None:
        """End every process at once."""
        for process in [*self._stopping.values(), *(p for fleet in self._fleets.values() for p in fleet.processes)]:
            process.kill()

    def rows(self) -> list[Row]:
        """Every model, in the order of their names."""
        return [self._row(fleet) for _, fleet in sorted(self._fleets.items())]

    def entries(self) -> Mapping[str, Entry]:
        """See `easel_gateway.directory.Directory`."""
        return {fleet.model.spec.model_id: self._entry(fleet) for fleet in self._fleets.values()}

    def report(self, model_id: str, demand: Demand) -> None:
        """See `easel_gateway.directory.Directory`."""
        for fleet in self._fleets.values():
            if fleet.model.spec.model_id == model_id and fleet.demand != demand:
                before = fleet.demand
                fleet.served += max(0, before.in_flight - demand.in_flight)
                fleet.demand = demand
                self._wake.set()

    def on_change(self, listener: Callable[[], None]) -> None:
        """See `easel_gateway.directory.Directory`."""
        self._listeners.append(listener)

    def _reconcile(self, fleet: _Fleet) -> None:
        now = asyncio.get_running_loop().time()
        self._settle(fleet, now)
        if fleet.profile is None or fleet.model.spec.paused:
            return
        spec = fleet.model.spec
        needed = needed_replicas(spec, fleet.demand.requests)
        if fleet.having(State.STARTING):
            # Its load is paid for; whether it is still needed is asked when it is ready.
            needed = max(needed, len(fleet.having(State.STARTING)) + len(fleet.having(State.READY)))
        fleet.need = fleet.need.noted(needed, now)
        environment = runtime_environment(fleet.model, fleet.profile)
        wanted = desired_replicas(spec, fleet.need, now)
        fleet.decide(wanted)
        steps = plan(fleet.processes, wanted, environment)
        for process in steps.stop:
            self._end(process, fleet.profile)
        if not fleet.restarts.paused(now):
            for _ in range(steps.start):
                self._start(fleet, environment)

    def _settle(self, fleet: _Fleet, now: float) -> None:
        """Take note of what the processes have become."""
        for process in fleet.processes:
            if process.state is State.READY and process.ready_at is not None:
                fleet.start_seconds = process.ready_at - process.started_at
                fleet.restarts.note_ready(process, now)
        for process in fleet.having(State.ENDED):
            fleet.processes.remove(process)
            if process.failure:  # else it was asked to
                _log.error("%s %s", process.name, process.failure)
                fleet.restarts.note_end(process, now)
                self._tell()

    def _start(self, fleet: _Fleet, environment: dict[str, str]) -> None:
        name = f"{fleet.model.name}-{next(self._numbers)}"
        _log.info("%s starts", name)
        fleet.processes.append(RuntimeProcess(name, environment, self._folder, self._changed))
        self._tell()

    def _retire(self, fleet: _Fleet) -> None:
        for process in fleet.processes:
            self._end(process, fleet.profile)

    def _end(self, process: RuntimeProcess, profile: RuntimeProfile | None) -> None:
        if process.state in (State.STOPPING, State.ENDED):
            return
        _log.info("%s stops", process.name)
        grace = 30 if profile is None else profile.spec.termination_grace_seconds
        task = asyncio.create_task(process.stop(grace), name=f"stop {process.name}")
        self._stopping[task] = process
        task.add_done_callback(self._stopping.pop)

    def _entry(self, fleet: _Fleet) -> Entry:
        now = asyncio.get_running_loop().time()
        ready = tuple(Endpoint(process.name, process.url) for process in fleet.having(State.READY))
        failure = fleet.restarts.reason if fleet.restarts.paused(now) else ""
        if fleet.profile is None:
            failure = f"there is no RuntimeProfile {fleet.model.spec.profile}"
        return Entry(
            fleet.model,
            ready,
            starting=bool(fleet.having(State.STARTING)),
            failure=failure,
            start_seconds=fleet.start_seconds,
            scale_decisions=tuple(fleet.decisions),
        )

    def _row(self, fleet: _Fleet) -> Row:
        starting = fleet.having(State.STARTING)
        return Row(
            entry=self._entry(fleet),
            demand=fleet.demand,
            served=fleet.served,
            replicas=len(fleet.processes),
            ready=len(fleet.having(State.READY)),
            since=min((process.started_at for process in starting), default=None),
        )

    def _changed(self) -> None:
        self._wake.set()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _numbered(model: ImageModel, generation: int) -> ImageModel:
    """`model` as its `generation`, which the API server counts on a cluster: from 1, one more with each other spec."""
    return model.model_copy(update={"metadata": model.metadata.model_copy(update={"generation": generation})})
