"""Engines on diffusers. Importing this package imports neither torch nor diffusers; loading a model does."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from PIL.Image import Image

from easel_runtime.engine import Checker, Engine, Loaded, Lora, OnStep, Work
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

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        return self._loaded.fetch(loras)

    def load_checker(self) -> Checker:
        return self._loaded.load_checker()

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image]:
        return self._loaded.generate(batch, on_step)

    @property
    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the model was not loaded")
        return self._engine


def diffusers_engine(settings: Settings) -> Engine:
    """The engine that serves `settings.model_id` with diffusers."""
    return _LateEngine(settings)
