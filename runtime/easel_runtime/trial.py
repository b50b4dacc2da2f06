"""An edit of a grey square through the whole engine: to warm it up, and to ask whether it works at all."""

import logging
from typing import Final

from PIL import Image

from easel_crds.parameters import Parameters
from easel_http.fields import ImageToImageFields
from easel_runtime.engine import Engine, GenerationError, Loaded, LoadError, OutOfMemory, Work
from easel_runtime.generation import resolve
from easel_runtime.settings import Settings

_log = logging.getLogger(__name__)
_STEPS: Final = 2
"""The first step of a run is often another path than the ones after it."""
_SMALL_SIDE: Final = 64
"""Of a square that any device has memory for, if it has any left."""


def sides(wanted: int | None, loaded: Loaded) -> tuple[int, ...]:
    """Sides in pixels of the squares to warm up with: the first, or if there is too little memory for it the next.

    `wanted`: what the settings say; 0: none; None: on a CUDA GPU the model's native side, because kernels are chosen,
    compiled and given memory for each size anew, elsewhere a small one, because nothing of that is so there.
    """
    if wanted is not None:
        return (wanted,) if wanted else ()
    if loaded.native_side is not None and loaded.device.startswith("cuda"):
        return loaded.native_side, _SMALL_SIDE
    return (_SMALL_SIDE,)


def warm_up(engine: Engine, settings: Settings, loaded: Loaded) -> bool:
    """One edit, so that the first caller does not wait for what happens once; whether there was one.

    Raises:
        LoadError: the model leaves no memory to edit with.
        Exception: whatever else `engine` raises.
    """
    failure = ""
    for side in sides(settings.warm_up_side, loaded):
        try:
            trial(engine, settings.parameters, loaded, side)
            return True
        except OutOfMemory as error:
            failure = f"the model leaves too little memory to edit with: {error}"
        _log.warning("no warm-up with %d x %d pixels: %s", side, side, failure)
    if failure:
        raise LoadError(failure)
    return False


def trial(engine: Engine, parameters: Parameters, loaded: Loaded | None, side: int) -> None:
    """Edit a grey square of `side` x `side` pixels, as a caller would who leaves all to the model.

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
