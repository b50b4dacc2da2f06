"""The engine that runs diffusers pipelines. Imported late, on the model's thread."""

import inspect
from typing import Any, Final

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image

from easel_runtime.engine import Generation, GenerationError, Loaded, LoadError, OnStep, OutOfMemory
from easel_runtime.images import extend_to_multiple
from easel_runtime.pipelines.loading import load_pipeline
from easel_runtime.settings import Settings

_PARAMETERS: Final = frozenset(
    {"negative_prompt", "strength", "guidance_scale", "image_guidance_scale", "num_inference_steps"}
)
"""Form fields that pipelines know by the same name, if they know them."""


class DiffusersEngine:
    """One diffusers pipeline on the best device at hand."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipeline: Any = None
        self._keywords: frozenset[str] = frozenset()
        self._multiple = 8

    def load(self) -> Loaded:
        """See `Engine.load`."""
        device = _best_device()
        pipeline, family = load_pipeline(self._settings, device)
        self._keywords = _keywords(pipeline)
        self._multiple = pipeline.image_processor.config.vae_scale_factor
        self._pipeline = pipeline
        return Loaded(str(device), family.defaults, _PARAMETERS - self._keywords | {"safety_check"})

    def generate(self, generation: Generation, seed: int, on_step: OnStep) -> Image:
        """See `Engine.generate`."""
        image = extend_to_multiple(generation.image, self._multiple)
        wanted = {
            "prompt": generation.prompt,
            "image": image,
            # For pipelines that would else make another size of it.
            "width": image.width,
            "height": image.height,
            "_auto_resize": False,
            "negative_prompt": generation.negative_prompt,
            "num_inference_steps": generation.steps,
            "guidance_scale": generation.guidance_scale,
            "image_guidance_scale": generation.image_guidance_scale,
            "strength": _strength_of_one_step(generation.strength, generation.steps),
            # On the CPU, so that a seed means the same image on every device.
            "generator": torch.Generator("cpu").manual_seed(seed),
            "callback_on_step_end": _step_callback(on_step),
            "output_type": "pil",
        }
        try:
            result = self._pipeline(**{name: wanted[name] for name in wanted if name in self._keywords})
        except ValueError as error:
            # How diffusers says that the caller's values do not fit this pipeline.
            raise GenerationError(str(error)) from error
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory("the GPU has too little memory for this request; send a smaller image") from error
        made: Image = result.images[0]
        if made.size != image.size:
            raise GenerationError(f"the model makes pictures of {made.width} x {made.height} only; send that size")
        return made.crop((0, 0, *generation.image.size))


def _keywords(pipeline: Any) -> frozenset[str]:
    """What the pipeline can be given.

    Raises:
        LoadError: it is no pipeline for one picture and a prompt.
    """
    parameters = inspect.signature(pipeline.__call__).parameters
    more = {
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    } - {"prompt", "image"}
    if more or "image" not in parameters or not hasattr(pipeline, "image_processor"):
        wants = ", ".join(sorted(more)) or "no image"
        raise LoadError(f"{type(pipeline).__name__} does not edit an image by a prompt: it wants {wants}")
    return frozenset(parameters)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _strength_of_one_step(strength: float, steps: int) -> float:
    """`strength`, raised to where int(steps * strength), the number of steps that are run, is at least one."""
    return strength if int(steps * strength) >= 1 else min(1.0, (1 + 1e-9) / steps)


def _step_callback(on_step: OnStep) -> Any:
    def callback(_: DiffusionPipeline, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    return callback
