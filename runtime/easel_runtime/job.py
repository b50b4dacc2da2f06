"""One request on its way through the model's thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from easel_runtime.encoding import Encode, encode_png
from easel_runtime.engine import Cancelled, Defaults, Engine, Generation, Work
from easel_runtime.finishing import Finishing, Output


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

    def run(self, engine: Engine, finishing: Finishing) -> list[Future[Output]]:
        """Make every image, in the order of the seeds, and hand each to `finishing`.

        Of an image only its file is kept: while one is made, at most one before it is still being finished.

        Raises:
            Cancelled: `cancel` was called.
            Exception: whatever `engine` or `finishing` raises.
        """
        made: list[Future[Output]] = []
        for number, seed in enumerate(self.generation.seeds, start=1):
            if self._cancelled.is_set():
                raise Cancelled
            self._since = None
            (picture,) = engine.generate([Work(self.generation, seed)], partial(self._on_step, number))
            if made:
                made[-1].result()
            made.append(finishing.submit(self.generation, seed, picture, self.encode))
        return made

    def _on_step(self, image: int, step: int) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        now = time.perf_counter()
        self.on_step(None if self._since is None else now - self._since)
        self._since = now
        if self.watch is not None:
            self.watch(Step(image, len(self.generation.seeds), step, max(step, self.steps)))
