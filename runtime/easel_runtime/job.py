"""One request on its way through the model's thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from PIL.Image import Image

from easel_http.errors import ApiError
from easel_http.logs import REQUEST_ID
from easel_runtime.encoding import Encode, Encoded, encode_png
from easel_runtime.engine import Defaults, Generation, Work
from easel_runtime.finishing import Finishing, Output


@dataclass(frozen=True)
class Step:
    """How far a request has come; all numbers count from 1."""

    image: int
    """Of images that are made side by side, the first."""
    images: int
    step: int
    steps: int


Watch = Callable[[Step], None]
"""Called on the model's thread after each step, so it must be quick."""


def steps_run(generation: Generation, defaults: Defaults) -> int:
    """How many steps a pipeline runs for each image: of a partial edit, the share that `strength` says."""
    return max(1, int(generation.steps * generation.strength)) if defaults.partial else generation.steps


@dataclass(eq=False)
class Job:
    """A request that waits or is in work. `cancel` and what is read are for any thread, the rest is for the model's.

    Of an image only its file is kept: while some are made, `batch` at most, no more than `batch` before them are still
    pictures. Times are those of `time.monotonic`.
    """

    generation: Generation
    steps: int
    """Steps of each image."""
    encode: Encode = encode_png
    watch: Watch | None = None
    batch: int = 1
    """Most images that are made in one call."""
    queued: float = field(default_factory=time.monotonic)
    started: float | None = None
    """When its first image was begun; None while it waits."""
    ended: float | None = None
    """When its last image was made, or it failed."""
    encoded: list[tuple[float, float]] = field(default_factory=list)
    """When the encoding of each image began and ended."""
    largest: int = 0
    """Most images that were made in one call, its own and others'."""
    failure: ApiError | None = None
    request_id: str = field(default_factory=REQUEST_ID.get)

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()
        self._made: list[Future[Output]] = []
        self._room = threading.Semaphore(2 * self.batch)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._cancelled.is_set()

    @property
    def left(self) -> int:
        """Images that are still to be made; 0 when it was cancelled, or failed."""
        if self.cancelled or self.failure is not None or any(_failed(output) for output in self._made):
            return 0
        return len(self.generation.seeds) - len(self._made)

    @property
    def next_image(self) -> int:
        """Number of the image that is made next, counted from 1."""
        return len(self._made) + 1

    def cancel(self) -> None:
        """Nobody waits for it any more: stop before the next step."""
        self._cancelled.set()
        self._room.release(len(self.generation.seeds))

    def take(self, most: int, *, wait: bool) -> list[Work]:
        """Its next images, `most` at most; without `wait` only as many as there is room for by now."""
        taken = []
        for seed in self.generation.seeds[len(self._made) : len(self._made) + min(most, self.left)]:
            if not self._room.acquire(blocking=wait) or not self.left:
                break
            taken.append(Work(self.generation, seed))
        return taken

    def begin(self, batch: int) -> None:
        """Images of it are made now, in a call that makes `batch`."""
        self.largest = max(self.largest, batch)
        if self.started is None:
            self.started = time.monotonic()

    def tell(self, image: int, step: int) -> None:
        """`step` of the `image`s that are made now is done."""
        if self.watch is not None and not self.cancelled:
            self.watch(Step(image, len(self.generation.seeds), step, max(step, self.steps)))

    def deliver(self, seed: int, picture: Image, finishing: Finishing) -> None:
        """Hand `picture` on to `finishing`; nobody wants it if the request has left, or failed."""
        if not self.left:
            return
        output = finishing.submit(self.generation, seed, picture, self._encode)
        output.add_done_callback(lambda _: self._room.release())
        self._made.append(output)

    def outcome(self) -> list[Future[Output]]:
        """Every image, in the order of the seeds; where finishing one failed, the last ones may not have been made.

        Raises:
            ApiError: it failed.
        """
        self.ended = time.monotonic()
        if self.failure is not None:
            raise self.failure
        return self._made

    def _encode(self, picture: Image) -> Encoded:
        began = time.monotonic()
        try:
            return self.encode(picture)
        finally:
            self.encoded.append((began, time.monotonic()))


def _failed(output: Future[Output]) -> bool:
    return output.done() and (output.cancelled() or output.exception() is not None)
