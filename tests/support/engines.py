"""A model that needs no torch: the outermost edge that tests of the runtime's HTTP side replace."""

import threading

from PIL import Image, ImageOps

from easel_runtime.engine import Defaults, Generation, Loaded, LoadError, OnStep


class ToyEngine:
    """Inverts the picture and mixes the seed in, one step at a time; `may_load` and `may_step` hold it back."""

    def __init__(self, *, defaults: Defaults | None = None, fails_to_load: str = "") -> None:
        self.defaults = defaults or Defaults(steps=4)
        self.fails_to_load = fails_to_load
        self.may_load = threading.Event()
        self.may_load.set()
        self.may_step = threading.Event()
        self.may_step.set()
        self.in_step = threading.Event()
        self.steps_done = 0
        self.generations: list[Generation] = []

    def load(self) -> Loaded:
        assert self.may_load.wait(30)
        if self.fails_to_load:
            raise LoadError(self.fails_to_load)
        return Loaded("toy", self.defaults, frozenset({"strength"}))

    def generate(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
        self.generations.append(generation)
        for step in range(generation.steps):
            self.in_step.set()
            assert self.may_step.wait(30)
            on_step(step + 1)
            self.steps_done += 1
        return ImageOps.posterize(ImageOps.invert(generation.image), 1 + seed % 8)
