"""A tiny edit through the whole engine: to warm it up, and to ask whether it works at all."""

import logging
from typing import Final

from PIL import Image

from easel_crds.parameters import Parameters
from easel_http.fields import ImageToImageFields
from easel_runtime.engine import Engine, GenerationError, Loaded, Work
from easel_runtime.generation import resolve

_log = logging.getLogger(__name__)
_STEPS: Final = 2
"""The first step of a run is often another path than the ones after it."""


def trial(engine: Engine, parameters: Parameters, loaded: Loaded | None, side: int) -> None:
    """Edit a grey square of `side` pixels, as a caller would who leaves all to the model.

    That the model refuses so small a picture is no failure: it answered.

    Raises:
        Exception: whatever `engine` raises.
    """
    if loaded is None:
        return
    fields = ImageToImageFields(prompt="a grey square", seed=0, num_inference_steps=min(_STEPS, loaded.defaults.steps))
    generation = resolve(fields, Image.new("RGB", (side, side), "grey"), parameters, loaded.defaults)
    try:
        engine.generate([Work(generation, generation.seeds[0])], lambda _: None)
    except GenerationError as error:
        _log.info("no trial with %d x %d pixels: %s", side, side, error)
