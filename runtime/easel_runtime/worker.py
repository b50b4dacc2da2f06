"""The one owner of the model: a single thread loads it and makes every image, fed by a bounded queue.

Pipelines of diffusers are not thread-safe, and several threads on one GPU gain nothing; so callers queue, and
the event loop stays free to answer health checks meanwhile.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

from easel_http.errors import ApiError, Busy, TimedOut, Unavailable
from easel_runtime.encoding import Encode, encode_png
from easel_runtime.engine import Cancelled, Engine, Generation, Loaded, LoadError, OutOfMemory
from easel_runtime.faults import Faults
from easel_runtime.finishing import Finishing, Output
from easel_runtime.job import Job, Watch, steps_run
from easel_runtime.metrics import Metrics
from easel_runtime.pace import Pace
from easel_runtime.progress import Download
from easel_runtime.safety import SafetyCheck
from easel_runtime.settings import Settings
from easel_runtime.trial import trial, warm_up

T = TypeVar("T")
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
    """Loads the model once and makes images one at a time, first come, first served by request."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, download: Download) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self.download = download
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self.safety = SafetyCheck(
            settings.safety, engine.load_checker, metrics, deadline_seconds=settings.deadline_seconds
        )
        self._finishing = Finishing(self.safety)
        self._pace = Pace()
        self._faults = Faults(lambda: trial(engine, settings.parameters, self.loaded, _PROBE_SIDE))
        self._places = 0
        self._jobs: set[Job] = set()
        self._sign_of_life: float | None = None
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
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        """Requests that wait for the model."""
        return sum(not job.started for job in tuple(self._jobs))

    @property
    def stalled(self) -> bool:
        """Whether the model's thread has been at one step for longer than a whole request may take."""
        since = self._sign_of_life
        return since is not None and time.monotonic() - since > self._settings.deadline_seconds

    async def load(self, on_failure: Callable[[str], None]) -> None:
        """Load the model on its thread and warm it up; `on_failure` gets the reason if that fails, now or later."""
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self.download.watch())
        try:
            with self.download.announced():
                loaded = await self._on_thread(self._engine.load)
                await self.safety.require()
            self._metrics.note_load()
            self.warming_up = True
            await self._on_thread(partial(self._warm_up, loaded))
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
            raise self._restarts()
        if self._places >= self._settings.queue:
            raise Busy(f"all {self._settings.queue} places in the queue are taken", retry_after=self._pace.until_free())
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
        steps = generation.steps if self.loaded is None else steps_run(generation, self.loaded.defaults)
        job = Job(generation, steps, encode, watch, self._on_step)
        queued = time.monotonic()
        self._jobs.add(job)
        try:
            future = self._thread.submit(contextvars.copy_context().run, self._work, job, queued)
            async with asyncio.timeout(self._settings.deadline_seconds):
                made = await asyncio.wrap_future(future)
                return [await asyncio.wrap_future(each) for each in made]
        except TimeoutError:
            raise TimedOut(f"the request took longer than {self._settings.deadline_seconds:g} seconds") from None
        except asyncio.CancelledError:
            self._metrics.cancelled.inc()
            raise
        finally:
            job.cancel()
            self._jobs.discard(job)

    async def close(self) -> None:
        """Stop what is in work and give the threads back."""
        if self._closed:
            return
        self._closed = True
        for job in self._jobs:
            job.cancel()
        # What waits is not thrown away but ends by itself, each with its answer; `finishing` is needed until then.
        self._thread.submit(self._finishing.close)
        self._thread.shutdown(wait=False)

    def _work(self, job: Job, queued: float) -> list[Future[Output]]:
        """`job` from its start to its end, on the model's thread."""
        if self.error:
            raise self._restarts()
        began = time.monotonic()
        job.started = True
        self._metrics.wait.observe(began - queued)
        self._sign_of_life = began
        self._pace.begin(job.generation)
        seconds: float | None = None
        failure: ApiError
        try:
            made = job.run(self._engine, self._finishing)
        except Cancelled:  # by `close`: whoever leaves is not told
            failure = Unavailable("the runtime is stopping", retry_after=_LOADING_SECONDS)
        except Exception as error:
            self._metrics.out_of_memory.inc(isinstance(error, OutOfMemory))
            failure = self._faults.answer(error, job.generation)
        else:
            seconds = time.monotonic() - began
            self._faults.worked(job.generation)
            self._metrics.note_images(len(job.generation.seeds), job.generation.image.size)
            return made
        finally:
            self._sign_of_life = None
            self._pace.end(job.generation, seconds)
        if self._faults.fatal:
            self._end(self._faults.fatal)
        raise failure  # here, where it does not carry the model's own error, and with it the GPU's memory, along

    def _end(self, reason: str) -> None:
        self.error = reason
        self._loop.call_soon_threadsafe(self._on_failure, reason)

    def _on_step(self, seconds: float | None) -> None:
        self._sign_of_life = time.monotonic()
        if seconds is not None:
            self._metrics.step.observe(seconds)

    def _warm_up(self, loaded: Loaded) -> None:
        if warm_up(self._engine, self._settings, loaded):
            self._metrics.note_first_image()

    def _not_loaded(self) -> Unavailable:
        if self.error:
            return Unavailable(f"the model could not be loaded: {self.error}")
        state = self.download.state
        left = None if state is None else state.seconds_left
        return Unavailable("the model is still loading", retry_after=int(left or 0) + _LOADING_SECONDS)

    def _restarts(self) -> Unavailable:
        return Unavailable(f"this runtime starts anew: {self.error}", retry_after=_LOADING_SECONDS)

    async def _on_thread(self, call: Callable[[], T]) -> T:
        future: Future[T] = self._thread.submit(contextvars.copy_context().run, call)
        return await asyncio.wrap_future(future)
