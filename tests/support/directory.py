"""A directory in memory: the models that a test declares, and the demand that the gateway reports for them."""

import asyncio
from collections.abc import Callable, Mapping

from easel_crds.demand import Demand
from easel_gateway.directory import Endpoint, Entry
from support.builders import image_model

MODEL_ID = "easel/demo"
"""`modelId` of `entry` unless the test says otherwise."""


def entry(*urls: str, name: str = "demo", starting: bool = False, failure: str = "", **spec: object) -> Entry:
    """A model whose endpoints, named `<name>-1` and so on, are at `urls`; `spec` as in `image_model`."""
    endpoints = tuple(Endpoint(f"{name}-{number}", url) for number, url in enumerate(urls, 1))
    return Entry(image_model(name, **spec), endpoints, starting=starting, failure=failure)


class MemoryDirectory:
    """An `easel_gateway.directory.Directory`; `reports` is everything it was told, oldest first."""

    def __init__(self, *entries: Entry) -> None:
        self._entries = {each.model.spec.model_id: each for each in entries}
        self._listeners: list[Callable[[], None]] = []
        self._reported = asyncio.Event()
        self.reports: list[tuple[str, Demand]] = []

    def entries(self) -> Mapping[str, Entry]:
        return dict(self._entries)

    def report(self, model_id: str, demand: Demand) -> None:
        self.reports.append((model_id, demand))
        self._reported.set()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def put(self, *entries: Entry) -> None:
        """Declare models, or declare them anew."""
        self._entries |= {each.model.spec.model_id: each for each in entries}
        self._tell()

    def remove(self, model_id: str = MODEL_ID) -> None:
        """Take a model away."""
        del self._entries[model_id]
        self._tell()

    def demand(self, model_id: str = MODEL_ID) -> Demand:
        """What was last reported for a model."""
        return next((demand for of, demand in reversed(self.reports) if of == model_id), Demand())

    async def reached(self, *, in_flight: int = 0, waiting: int = 0, model_id: str = MODEL_ID) -> None:
        """Return once this is what was last reported for a model."""
        async with asyncio.timeout(10):
            while self.demand(model_id) != Demand(in_flight, waiting):
                self._reported.clear()
                await self._reported.wait()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
