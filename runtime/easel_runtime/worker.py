"""The one owner of the model: a single thread loads it and makes every image, fed by a bounded queue.

Pipelines of diffusers are not thread-safe, and several threads on one GPU gain nothing; so callers queue, and
the event loop stays free to answer health checks meanwhile.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from easel_http.errors import ApiError, BadRequest, Busy, Failed, TimedOut, Unavailable
from easel_runtime.engine import Cancelled, Engine, Generation, GenerationError, Loaded, LoadError, OutOfMemory
from easel_runtime.images import encode_png

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Health(StrEnum):
    """The four words of the seed contract's `/health`."""

    LOADING = "LOADING"
    IDLE = "IDLE"
    OK = "OK"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Output:
    """One image of an answer."""

    seed: int
    nsfw: bool
    png: bytes


class Worker:
    """Loads the model once and makes images one at a time, first come, first served."""

    def __init__(self, engine: Engine, *, queue: int, deadline_seconds: float) -> None:
        """`queue`: most requests in work and waiting; `deadline_seconds`: longest time for one request."""
        self._engine = engine
        self._queue = queue
        self._deadline_seconds = deadline_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._running: set[threading.Event] = set()
        self.loaded: Loaded | None = None
        self.error = ""

    @property
    def health(self) -> Health:
        """LOADING until the model is in memory, then IDLE or OK (working); ERROR if it could not be loaded."""
        if self.error:
            return Health.ERROR
        if self.loaded is None:
            return Health.LOADING
        return Health.OK if self._running else Health.IDLE

    @property
    def in_flight(self) -> int:
        """Requests in work and waiting."""
        return len(self._running)

    async def load(self, on_failure: Callable[[str], None]) -> None:
        """Load the model on its thread; `on_failure` gets the reason if that fails."""
        try:
            self.loaded = await self._on_thread(self._engine.load)
        except LoadError as error:
            self.error = str(error)
        except Exception as error:
            _log.exception("loading failed")
            self.error = f"loading failed: {type(error).__name__}: {error}"
        if self.error:
            on_failure(self.error)

    def admit(self) -> Loaded:
        """What is loaded, if one more request can be taken now.

        Raises:
            Unavailable: the model is still loading, or could not be loaded.
            Busy: the queue is full.
        """
        if self.error:
            raise Unavailable(f"the model could not be loaded: {self.error}")
        if self.loaded is None:
            raise Unavailable("the model is still loading", retry_after=5)
        if len(self._running) >= self._queue:
            raise Busy(f"all {self._queue} places in the queue are taken", retry_after=1)
        return self.loaded

    async def generate(self, generation: Generation) -> list[Output]:
        """Every image of `generation`, in the order of its seeds. Cancelling stops the work within one step.

        Raises:
            Busy, Unavailable: as `admit`.
            BadRequest: the model refuses the request.
            Failed: the model failed.
            TimedOut: the deadline passed.
        """
        self.admit()
        cancelled = threading.Event()
        self._running.add(cancelled)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return [await self._one(generation, seed, cancelled) for seed in generation.seeds]
        except TimeoutError:
            raise TimedOut(f"the request took longer than {self._deadline_seconds:g} seconds") from None
        finally:
            cancelled.set()
            self._running.discard(cancelled)

    async def close(self) -> None:
        """Stop what is in work and give the thread back."""
        for cancelled in self._running:
            cancelled.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _one(self, generation: Generation, seed: int, cancelled: threading.Event) -> Output:
        def on_step(_: int) -> None:
            if cancelled.is_set():
                raise Cancelled

        try:
            image = await self._on_thread(lambda: self._engine.generate(generation, seed, on_step))
        except GenerationError as error:
            raise BadRequest(str(error)) from error
        except OutOfMemory as error:
            raise Failed(str(error)) from error
        except Cancelled as error:  # by `close`: whoever leaves is not told
            raise Unavailable("the runtime is stopping") from error
        except ApiError:
            raise
        except Exception as error:
            _log.exception("generation failed")
            raise Failed("the model failed at this request; the runtime's log has more") from error
        return Output(seed, nsfw=False, png=await asyncio.to_thread(encode_png, image))

    async def _on_thread(self, call: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(call)
        return await asyncio.wrap_future(future)
