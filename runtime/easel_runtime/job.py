"""One request on its way through the model's thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from easel_runtime.encoding import Encode, Encoded, encode_png
from easel_runtime.engine import Cancelled, Defaults, Engine, Generation

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Output:
    """One image of an answer."""

    seed: int
    nsfw: bool
    file: Encoded


@dataclass(frozen=True)
class Step:
    """How far a request has come; all numbers count from 1."""

    image: int
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
    """A request that waits or is in work. `run` is for the model's thread, the rest for any."""

    generation: Generation
    steps: int
    """Steps of each image."""
    encode: Encode = encode_png
    watch: Watch | None = None
    on_step: Callable[[float | None], None] = lambda _: None
    """Called after each step with its seconds; None for an image's first, which has the picture's way in before it."""
    started: bool = False

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()
        self._since: float | None = None

    def cancel(self) -> None:
        """Nobody waits for it any more: stop before the next step."""
        self._cancelled.set()

    def run(self, engine: Engine, encoders: Executor) -> list[Future[Output]]:
        """Make every image, in the order of the seeds, and hand each to `encoders`.

        Of an image only its file is kept: while one is made, at most one before it is still being encoded.

        Raises:
            Cancelled: `cancel` was called.
            Exception: whatever `engine` or an encoder raises.
        """
        made: list[Future[Output]] = []
        for number, seed in enumerate(self.generation.seeds, start=1):
            if self._cancelled.is_set():
                raise Cancelled
            self._since = None
            picture = engine.generate(self.generation, seed, partial(self._on_step, number))
            if made:
                made[-1].result()
            made.append(encoders.submit(_output, seed, picture, self.encode))
        return made

    def _on_step(self, image: int, step: int) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        now = time.perf_counter()
        self.on_step(None if self._since is None else now - self._since)
        self._since = now
        if self.watch is not None:
            self.watch(Step(image, len(self.generation.seeds), step, max(step, self.steps)))


def _output(seed: int, picture: "Image", encode: Encode) -> Output:
    return Output(seed, nsfw=False, file=encode(picture))
