"""The engine that runs diffusers pipelines. Imported late, on the model's thread."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image

from easel_runtime.engine import Checker, Generation, GenerationError, Loaded, Lora, OnStep, OutOfMemory, Work
from easel_runtime.images import extend_to_multiple
from easel_runtime.pipelines.classes import defaults, keywords
from easel_runtime.pipelines.families import GENERIC, Family
from easel_runtime.pipelines.loading import load_model
from easel_runtime.pipelines.safety import load_checker
from easel_runtime.settings import Settings

_PARAMETERS: Final = ("negative_prompt", "strength", "image_guidance_scale", "num_inference_steps")
"""Form fields that pipelines know by the same name, if they know them."""


class DiffusersEngine:
    """One diffusers pipeline on the best device at hand."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipeline: Any = None
        self._scheduler: Any = None
        self._family: Family = GENERIC
        self._keywords: frozenset[str] = frozenset()
        self._multiple = 8

    def load(self) -> Loaded:
        """See `Engine.load`."""
        device = _best_device()
        model = load_model(self._settings, device)
        self._pipeline, self._family = model.pipeline, model.family
        self._scheduler = model.pipeline.scheduler
        self._keywords = keywords(type(model.pipeline))
        # Stable Diffusion 3 alone names apart what its transformer puts together of the VAE's latents.
        self._multiple = model.pipeline.image_processor.config.vae_scale_factor * getattr(
            model.pipeline, "patch_size", 1
        )
        return Loaded(
            str(device),
            defaults(self._family, type(model.pipeline)),
            self._ignores(),
            commit=model.commit,
            native_side=self._family.native_side,
            loras=self._family.loras,
        )

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        """See `Engine.fetch`."""
        if loras:
            raise GenerationError("this model does not take LoRAs")
        return ()

    def load_checker(self) -> Checker:
        """See `Engine.load_checker`."""
        device = torch.device(self._settings.safety_device or _best_device())
        return load_checker(self._settings.safety, self._settings.model_dir, device)

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image]:
        """See `Engine.generate`."""
        return [self._one(work.generation, work.seed, on_step) for work in batch]

    def _one(self, generation: Generation, seed: int, on_step: OnStep) -> Image:
        image = extend_to_multiple(generation.image, self._multiple)
        wanted = {**self._arguments(generation, image, seed), "callback_on_step_end": _step_callback(on_step)}
        # A scheduler counts steps and keeps past predictions; its copy starts without any, whatever ran before.
        self._pipeline.scheduler = copy.deepcopy(self._scheduler)
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

    def _arguments(self, generation: Generation, image: Image, seed: int) -> dict[str, Any]:
        """All that any pipeline may want to know of a request, by the names that diffusers has for it."""
        return {
            "prompt": generation.prompt,
            "image": image,
            # For pipelines that would else make another size of it.
            "width": image.width,
            "height": image.height,
            "_auto_resize": False,
            "negative_prompt": generation.negative_prompt,
            "num_inference_steps": generation.steps,
            self._family.guidance_keyword: generation.guidance_scale,
            "image_guidance_scale": generation.image_guidance_scale,
            "strength": generation.strength,
            # On the CPU, so that a seed means the same image on every device.
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "pil",
        }

    def _ignores(self) -> frozenset[str]:
        unknown = {name for name in _PARAMETERS if name not in self._keywords}
        if self._family.guidance_keyword not in self._keywords:
            unknown.add("guidance_scale")
        return self._family.ignores | unknown


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _step_callback(on_step: OnStep) -> Any:
    def callback(_: DiffusionPipeline, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    return callback
