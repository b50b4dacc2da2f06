"""The one thread that owns the model: brings requests to their end, first come, first served.

Each request gets a turn, in the order in which they came, and in it all its images are made. Where several can be made
in one call (`EASEL_BATCH`), the images of the request whose turn it is fill the call first, then those of requests that
wait behind it and are alike; never does one wait for others to come. A call of several that fails is made again image
by image, so that no request fails because of its neighbours.
"""

import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from easel_http.errors import Unavailable
from easel_runtime.batch import kind
from easel_runtime.engine import Cancelled, Engine, OnStep, OutOfMemory, Work
from easel_runtime.faults import Faults, forget, is_sticky
from easel_runtime.finishing import Finishing, Output
from easel_runtime.job import Job
from easel_runtime.metrics import Metrics
from easel_runtime.pace import Pace, effort

T = TypeVar("T")
_log = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 5
"""When to ask again while a runtime ends: by then its callers know of another, or of its successor."""


@dataclass(frozen=True)
class Row:
    """One image of a call of the engine."""

    job: Job
    work: Work
    image: int
    """Its number within its request, counted from 1."""


class ModelThread:
    """A thread, and the requests that wait for it or are in work."""

    def __init__(
        self, engine: Engine, finishing: Finishing, faults: Faults, metrics: Metrics, on_fatal: Callable[[str], None]
    ) -> None:
        """`on_fatal` is called on the thread, with the reason, when only a restart can help."""
        self._engine = engine
        self._metrics = metrics
        self._finishing = finishing
        self._faults = faults
        self._on_fatal = on_fatal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._jobs: dict[Job, None] = {}
        self._most_pixels: int | None = None  # of a call; None: none was too large yet
        self.pace = Pace()
        self.sign_of_life: float | None = None
        """When the work in hand last made a step, by `time.monotonic`; None while there is none."""

    @property
    def jobs(self) -> Sequence[Job]:
        """Those that wait or are in work, in the order they came."""
        return tuple(self._jobs)  # in one go, as another thread may add to them

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Call `work` when all is done that was submitted before."""
        future: Future[T] = self._thread.submit(contextvars.copy_context().run, work)
        return future

    def submit(self, job: Job) -> Future[list[Future[Output]]]:
        """Queue `job`, until `discard`; see `Job.outcome` for what comes of it."""
        self._jobs[job] = None
        return self.call(lambda: self._turn(job))

    def discard(self, job: Job) -> None:
        """Nobody waits for `job` any more."""
        job.cancel()
        self._jobs.pop(job, None)

    def close(self) -> None:
        """Stop what is in work and give the threads back, without waiting for it."""
        for job in self.jobs:
            job.cancel()
        # What waits is not thrown away but ends by itself, each with its answer; `finishing` is needed until then.
        self._thread.submit(self._finishing.close)
        self._thread.shutdown(wait=False)

    def _turn(self, job: Job) -> list[Future[Output]]:
        """`job` to its end."""
        if job.left:
            self._work(job)
        if job.left:  # which nothing but the end of the model leaves
            job.failure = restarts(self._faults.fatal)
        elif job.cancelled:  # by `close`: whoever leaves is not told
            job.failure = Unavailable("the runtime is stopping", retry_after=_RETRY_SECONDS)
        return job.outcome()

    def _work(self, job: Job) -> None:
        began = self.sign_of_life = time.monotonic()
        made = 0
        self.pace.begin(effort(job.generation, job.left))
        try:
            while job.left and not self._faults.fatal:
                made += self._run(self._fill(job))
        finally:
            self.sign_of_life = None
            whole = made and job.failure is None and not job.cancelled
            self.pace.end(effort(job.generation, made), time.monotonic() - began if whole else None)

    def _fill(self, head: Job) -> list[Row]:
        """The images that are made next: those of `head`, then of others that may share the call."""
        size = self._fitting(head)
        rows = _rows(head, size, wait=True)
        if len(rows) < size:
            alike = kind(head.generation)
            for job in self.jobs:
                if job is not head and job.left and kind(job.generation) == alike:
                    rows += _rows(job, size - len(rows), wait=False)
        return rows

    def _run(self, rows: Sequence[Row]) -> int:
        """Make the images of `rows`, and note failures in the jobs that they end; how many were made."""
        error = self._attempt(rows)
        if error is None:
            return len(rows)
        if isinstance(error, Cancelled):
            return 0
        if len(rows) == 1 or is_sticky(error):
            self._fail(_jobs(rows), error)
            return 0
        self._note_batch(rows, error)
        forget(error)
        return sum(self._run([row]) for row in rows if row.job.left and not self._faults.fatal)

    def _attempt(self, rows: Sequence[Row]) -> Exception | None:
        """Make the images of `rows` in one call and hand them on; why that failed."""
        if not rows:  # whoever wanted them left meanwhile
            return None
        for job in _jobs(rows):
            if job.started is None:
                self._metrics.wait.observe(time.monotonic() - job.queued)
            job.begin(len(rows))
        self._metrics.batch.observe(len(rows))
        try:
            pictures = self._engine.generate([row.work for row in rows], self._stepping(rows))
        except Exception as error:
            return error
        generation = rows[0].work.generation
        self._faults.worked(generation)
        self._metrics.note_images(len(rows), generation.image.size)
        for row, picture in zip(rows, pictures, strict=True):
            row.job.deliver(row.work.seed, picture, self._finishing)
        return None

    def _stepping(self, rows: Sequence[Row]) -> OnStep:
        """What the engine calls after each step of `rows`."""
        firsts = {row.job: row.image for row in reversed(rows)}
        since: float | None = None

        def on_step(step: int) -> None:
            nonlocal since
            if all(job.cancelled for job in firsts):
                raise Cancelled
            now = self.sign_of_life = time.monotonic()
            # An image's first step has the picture's way in before it.
            self._metrics.note_step(len(rows), None if since is None else now - since)
            since = now
            for job, image in firsts.items():
                job.tell(image, step)

        return on_step

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """`error` ends `jobs`; if it is the model's end too, whichever of them it was, only the first is told of it."""
        for job in jobs:
            self._metrics.out_of_memory.inc(isinstance(error, OutOfMemory))
            job.failure = self._faults.answer(error, job.generation)
            if self._faults.fatal:
                self._on_fatal(self._faults.fatal)
                break

    def _note_batch(self, rows: Sequence[Row], error: Exception) -> None:
        pixels = len(rows) * _pixels(rows[0].job)
        if isinstance(error, OutOfMemory):
            self._most_pixels = pixels // 2
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        requests = [job.request_id for job in _jobs(rows)]
        _log.warning("a batch failed: %s", text, extra={"images": len(rows), "pixels": pixels, "requests": requests})

    def _fitting(self, job: Job) -> int:
        """How many images of `job`'s size may be made in one call, as far as is known."""
        if self._most_pixels is None:
            return job.batch
        return max(1, min(job.batch, self._most_pixels // _pixels(job)))


def restarts(reason: str) -> Unavailable:
    """The answer of a runtime that ends because of `reason`."""
    return Unavailable(f"this runtime starts anew: {reason}", retry_after=_RETRY_SECONDS)


def _rows(job: Job, most: int, *, wait: bool) -> list[Row]:
    first = job.next_image
    return [Row(job, work, image) for image, work in enumerate(job.take(most, wait=wait), start=first)]


def _jobs(rows: Sequence[Row]) -> Sequence[Job]:
    """Whose images `rows` are, each once."""
    return tuple(dict.fromkeys(row.job for row in rows))


def _pixels(job: Job) -> int:
    return job.generation.image.width * job.generation.image.height
