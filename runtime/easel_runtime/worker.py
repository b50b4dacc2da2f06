"""The one owner of the model: a single thread loads it and makes every image, fed by a bounded queue.

Pipelines of diffusers are not thread-safe, and several threads on one GPU gain nothing; so callers queue, and
the event loop stays free to answer health checks meanwhile. Here is what the event loop does; `model_thread` has the
thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Final

from easel_http.errors import Busy, TimedOut, Unavailable
from easel_runtime.account import told
from easel_runtime.encoding import Encode, encode_png
from easel_runtime.engine import Engine, Generation, Loaded, LoadError
from easel_runtime.faults import Faults
from easel_runtime.finishing import Finishing, Output
from easel_runtime.job import Job, Watch, steps_run
from easel_runtime.metrics import Metrics
from easel_runtime.model_thread import ModelThread, restarts
from easel_runtime.progress import Download
from easel_runtime.safety import SafetyCheck
from easel_runtime.settings import Settings
from easel_runtime.trial import trial, warm_up

_log = logging.getLogger(__name__)
_LOADING_SECONDS: Final = 5
"""When to ask again while the model loads and nothing better is known."""
_PROBE_SIDE: Final = 64
"""Side of the picture that shows, after a failure, whether the model works at all."""


class Health(StrEnum):
    """The four words of the seed contract's `/health`."""

    LOADING = "LOADING"
    IDLE = "IDLE"
    OK = "OK"
    ERROR = "ERROR"


class Worker:
    """Loads the model once and makes images, first come, first served by request."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, download: Download) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self.download = download
        self.safety = SafetyCheck(
            settings.safety, engine.load_checker, metrics, deadline_seconds=settings.deadline_seconds
        )
        self._faults = Faults(lambda: trial(engine, settings.parameters, self.loaded, _PROBE_SIDE))
        self._model = ModelThread(engine, Finishing(self.safety), self._faults, metrics, self._end)
        self._places = 0
        self._on_failure: Callable[[str], None] = lambda _: None
        self.loaded: Loaded | None = None
        self.warming_up = False
        self.error = ""
        self._closed = False
        metrics.follow(in_flight=lambda: self.in_flight, queue=lambda: self.waiting)

    @property
    def health(self) -> Health:
        """LOADING until the model is in memory, then IDLE or OK (working); ERROR when only a restart can help."""
        if self.error or self.stalled:
            return Health.ERROR
        if self.loaded is None:
            return Health.LOADING
        return Health.OK if self._places else Health.IDLE

    @property
    def in_flight(self) -> int:
        """Requests that hold a place: their body is being read, they wait, are in work or being answered."""
        return self._places

    @property
    def ahead(self) -> int:
        """Requests that a new one would have before it."""
        return len(self._model.jobs)

    @property
    def waiting(self) -> int:
        """Requests that wait for the model."""
        return sum(job.started is None for job in self._model.jobs)

    @property
    def stalled(self) -> bool:
        """Whether the model's thread has been at one step for longer than a whole request may take."""
        since = self._model.sign_of_life
        return since is not None and time.monotonic() - since > self._settings.deadline_seconds

    async def load(self, on_failure: Callable[[str], None]) -> None:
        """Load the model on its thread and warm it up; `on_failure` gets the reason if that fails, now or later."""
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self.download.watch())
        try:
            with self.download.announced():
                loaded = await asyncio.wrap_future(self._model.call(self._engine.load))
                await self.safety.require()
            self._metrics.note_load()
            self.warming_up = True
            await asyncio.wrap_future(self._model.call(partial(self._warm_up, loaded)))
            self.loaded = loaded
            _log.info("ready", extra={"device": loaded.device})
        except LoadError as error:
            self.error = str(error)
        except Exception as error:
            _log.exception("loading failed")
            self.error = f"loading failed: {type(error).__name__}: {error}"
        finally:
            self.warming_up = False
            watching.cancel()
        if self.error:
            on_failure(self.error)

    @contextmanager
    def admit(self) -> Iterator[Loaded]:
        """A place in the queue until the context ends; what is loaded.

        Raises:
            Unavailable: the model is still loading, could not be loaded, or needs a restart.
            Busy: the queue is full.
        """
        if self.loaded is None:
            raise self._not_loaded()
        if self.error:
            raise restarts(self.error)
        if self._places >= self._settings.queue:
            raise Busy(
                f"all {self._settings.queue} places in the queue are taken", retry_after=self._model.pace.until_free()
            )
        self._places += 1
        try:
            yield self.loaded
        finally:
            self._places -= 1

    async def generate(
        self, generation: Generation, *, encode: Encode = encode_png, watch: Watch | None = None
    ) -> list[Output]:
        """Every image of `generation`, in the order of its seeds. Cancelling stops the work within one step.

        Raises:
            Unavailable: the runtime is stopping, or needs a restart.
            BadRequest: the model refuses the request.
            Failed: the model failed.
            TimedOut: the deadline passed.
        """
        job = self._job(generation, encode, watch)
        try:
            with told(job, self._settings.model_id):
                future = self._model.submit(job)
                async with asyncio.timeout(self._settings.deadline_seconds):
                    made = await asyncio.wrap_future(future)
                    return [await asyncio.wrap_future(each) for each in made]
        except TimeoutError:
            raise TimedOut(f"the request took longer than {self._settings.deadline_seconds:g} seconds") from None
        except asyncio.CancelledError:
            self._metrics.cancelled.inc()
            raise
        finally:
            self._model.discard(job)

    async def close(self) -> None:
        """Stop what is in work and give the threads back."""
        if not self._closed:
            self._closed = True
            self._model.close()

    def _job(self, generation: Generation, encode: Encode, watch: Watch | None) -> Job:
        if self.loaded is None:
            raise self._not_loaded()
        batch = self._settings.batch if self.loaded.batches else 1
        return Job(generation, steps_run(generation, self.loaded.defaults), encode, watch, batch)

    def _end(self, reason: str) -> None:
        self.error = reason
        self._loop.call_soon_threadsafe(self._on_failure, reason)

    def _warm_up(self, loaded: Loaded) -> None:
        if warm_up(self._engine, self._settings, loaded):
            self._metrics.note_first_image()

    def _not_loaded(self) -> Unavailable:
        if self.error:
            return Unavailable(f"the model could not be loaded: {self.error}")
        state = self.download.state
        left = None if state is None else state.seconds_left
        return Unavailable("the model is still loading", retry_after=int(left or 0) + _LOADING_SECONDS)
