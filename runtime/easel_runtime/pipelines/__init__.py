"""Engines on diffusers. Importing this package imports neither torch nor diffusers; loading a model does."""

import os

from PIL.Image import Image

from easel_runtime.engine import Engine, Generation, Loaded, OnStep
from easel_runtime.settings import Settings


class _LateEngine:
    """Imports torch and diffusers at `load`, on the model's thread, so that the port listens long before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None

    def load(self) -> Loaded:
        # transformers reads it when it is imported, and warns of every image processor it could have.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
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
