"""Engines on diffusers. Importing this package imports neither torch nor diffusers; loading a model does."""

import os
from typing import Final

from PIL.Image import Image

from easel_runtime.engine import Engine, Generation, Loaded, OnStep
from easel_runtime.settings import Settings

_BEFORE_IMPORT: Final = {
    # Threads of torch on the CPU sleep while they wait. Spinning, two runtimes on two cores were each 40 times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Else transformers warns of every image processor that it could have.
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Read by libraries at the moment they are loaded; the environment's own values win."""


class _LateEngine:
    """Imports torch and diffusers at `load`, on the model's thread, so that the port listens long before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None

    def load(self) -> Loaded:
        for name, value in _BEFORE_IMPORT.items():
            os.environ.setdefault(name, value)
        from easel_runtime.pipelines.engine import DiffusersEngine

        self._engine = DiffusersEngine(self._settings)
        return self._engine.load()

    def generate(self, generation: Generation, seed: int, on_step: OnStep) -> Image:
        if self._engine is None:
            raise RuntimeError("generate was called before load")
        return self._engine.generate(generation, seed, on_step)


def diffusers_engine(settings: Settings) -> Engine:
    """The engine that serves `settings.model_id` with diffusers."""
    return _LateEngine(settings)
