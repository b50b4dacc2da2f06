"""A model that needs no torch: the outermost edge that tests of the runtime's HTTP side replace."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageOps, ImageStat

from easel_runtime.engine import Checker, Defaults, Generation, Loaded, LoadError, Lora, OnStep, OutOfMemory, Work


class ToyChecker:
    """Takes pictures that are mostly red for unsafe; `may_look` holds it back, and `error` is what it stumbles over."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.may_look = threading.Event()
        self.may_look.set()
        self.in_look = threading.Event()

    def is_unsafe(self, picture: Image.Image) -> bool:
        self.in_look.set()
        assert self.may_look.wait(30)
        if self.error is not None:
            raise self.error
        red, green, blue = ImageStat.Stat(picture).mean
        return red > green + blue


class ToyEngine:
    """Inverts the picture and mixes the seed in, one step at a time; `may_load` and `may_step` hold it back.

    It has memory for pictures of `room` pixels in one call, and raises what `errors` holds, one after the other, and
    what `poison` holds for a prompt whenever that is in a call.
    """

    def __init__(self, *, defaults: Defaults | None = None, fails_to_load: str = "", room: int = 1 << 30) -> None:
        self.defaults = defaults or Defaults(steps=4)
        self.fails_to_load = fails_to_load
        self.room = room
        self.errors: list[Exception] = []
        self.poison: dict[str, Exception] = {}
        self.may_load = threading.Event()
        self.may_load.set()
        self.may_step = threading.Event()
        self.may_step.set()
        self.in_step = threading.Event()
        self.before_step: Callable[[], object] = self._wait
        """Called on the model's thread before each step."""
        self.steps_done = 0
        self.generations: list[Generation] = []
        self.checker: Checker | None = None
        """None: the checker cannot be loaded."""
        self.may_load_checker = threading.Event()
        self.may_load_checker.set()
        self.checker_loads = 0
        self.batches: list[list[tuple[str, int]]] = []
        """Prompts and seeds of each call."""
        self.can_batch = True

    def load(self) -> Loaded:
        assert self.may_load.wait(30)
        if self.fails_to_load:
            raise LoadError(self.fails_to_load)
        return Loaded("toy", self.defaults, frozenset({"strength"}), batches=self.can_batch)

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        return tuple(Lora(name, loras[name], Path("no-such-file")) for name in sorted(loras))

    def load_checker(self) -> Checker:
        self.checker_loads += 1
        assert self.may_load_checker.wait(30)
        if self.checker is None:
            raise LoadError("there is no checker for toys")
        return self.checker

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image.Image]:
        self.batches.append([(work.generation.prompt, work.seed) for work in batch])
        if len(batch) == 1:
            return [self.edit(batch[0].generation, batch[0].seed, on_step)]
        self._make([work.generation for work in batch], on_step)
        return [_edited(work.generation, work.seed) for work in batch]

    def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
        self._make([generation], on_step)
        return _edited(generation, seed)

    def _make(self, generations: Sequence[Generation], on_step: OnStep) -> None:
        self.generations += generations
        if self.errors:
            raise self.errors.pop(0)
        for generation in generations:
            if generation.prompt in self.poison:
                raise self.poison[generation.prompt]
        if sum(generation.image.width * generation.image.height for generation in generations) > self.room:
            raise OutOfMemory("the toy has too little memory")
        for step in range(generations[0].steps):
            self.in_step.set()
            self.before_step()
            on_step(step + 1)
            self.steps_done += 1

    def _wait(self) -> None:
        assert self.may_step.wait(30)


def _edited(generation: Generation, seed: int) -> Image.Image:
    return ImageOps.posterize(ImageOps.invert(generation.image), 1 + seed % 8)


def stepping_by(pipe: Path) -> ToyEngine:
    """An engine that takes a byte from the named pipe `pipe` for each step: for a test in another process."""
    engine = ToyEngine()
    engine.before_step = lambda: reader.read(1)
    reader = pipe.open("rb", buffering=0)
    return engine
