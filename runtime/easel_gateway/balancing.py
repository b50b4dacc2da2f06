"""Which endpoint gets a request: one that has its LoRAs, if there is any, and the one with the fewest requests."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from easel_gateway.directory import Endpoint

ROOM: Final = 2
"""Requests at one endpoint at a time: a runtime works on one, however many its model's `targetInFlight` allows."""
AVOID_SECONDS: Final = 1.0
"""How long an endpoint that did not take a request gets no other; by then the directory knows more."""
LONGEST_AVOID_SECONDS: Final = 10.0
"""The same after failures in a row, each of which doubles it: one that fails fast would else get every request."""
_LORAS: Final = 16
"""LoRAs that an endpoint is thought to have in its memory: the last ones that it was asked for."""
NO_LORAS: Final[frozenset[str]] = frozenset()


@dataclass
class _Load:
    """What is known of one endpoint."""

    in_flight: int = 0
    avoided: int = 0
    """Reasons to give it nothing at present."""
    failures: int = 0
    """In a row."""
    loras: OrderedDict[str, None] = field(default_factory=OrderedDict)


class Balancer:
    """The endpoints of one model."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._loads: dict[str, _Load] = {}

    def choose(self, endpoints: Iterable[Endpoint], loras: Collection[str] = NO_LORAS) -> Endpoint | None:
        """The endpoint for a request with `loras`: none if each is full or avoided.

        One that has the LoRAs comes before one that is emptier, since loading them takes longer than waiting for a
        picture; but where it has no room, an endpoint without them is better than none.
        """
        best: tuple[int, int, str] | None = None
        chosen = None
        for endpoint in endpoints:
            load = self._loads.get(endpoint.name)
            if load is None:
                rank = (len(loras), 0, endpoint.name)
            elif load.avoided or load.in_flight >= ROOM:
                continue
            else:
                rank = (sum(one not in load.loras for one in loras) if loras else 0, load.in_flight, endpoint.name)
            if best is None or rank < best:
                best, chosen = rank, endpoint
        return chosen

    def take(self, endpoint: Endpoint, loras: Iterable[str] = NO_LORAS) -> None:
        """`endpoint` gets one more request."""
        load = self._load(endpoint)
        load.in_flight += 1
        self.in_flight += 1
        for one in loras:
            load.loras[one] = None
            load.loras.move_to_end(one)
        while len(load.loras) > _LORAS:
            load.loras.popitem(last=False)

    def give_back(self, endpoint: Endpoint) -> None:
        """A request at `endpoint` has ended."""
        self._load(endpoint).in_flight -= 1
        self.in_flight -= 1

    def avoid(self, endpoint: Endpoint, *, failed: bool) -> float:
        """Give `endpoint` nothing until `forgive`; seconds after which that should be called."""
        load = self._load(endpoint)
        load.avoided += 1
        if failed:
            load.failures += 1
        return min(LONGEST_AVOID_SECONDS, AVOID_SECONDS * 2.0 ** min(max(load.failures - 1, 0), 10))

    def forgive(self, endpoint: Endpoint) -> None:
        """One reason to avoid `endpoint` is over."""
        if (load := self._loads.get(endpoint.name)) is not None and load.avoided:
            load.avoided -= 1

    def worked(self, endpoint: Endpoint) -> None:
        """`endpoint` answered as it should."""
        self._load(endpoint).failures = 0

    def retain(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget what is known of others than `endpoints`, unless they still have requests."""
        names = {endpoint.name for endpoint in endpoints}
        for name in [name for name, load in self._loads.items() if name not in names and not load.in_flight]:
            del self._loads[name]

    def _load(self, endpoint: Endpoint) -> _Load:
        load = self._loads.get(endpoint.name)
        if load is None:
            load = self._loads[endpoint.name] = _Load()
        return load
