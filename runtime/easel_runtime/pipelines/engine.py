"""The engine that runs diffusers pipelines. Imported late, on the model's thread."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image

from easel_runtime.engine import Generation, GenerationError, Loaded, Lora, OnStep, OutOfMemory, Work
from easel_runtime.images import extend_to_multiple
from easel_runtime.pipelines.adapters import Adapters
from easel_runtime.pipelines.classes import defaults, keywords
from easel_runtime.pipelines.families import GENERIC, Family
from easel_runtime.pipelines.loading import load_model
from easel_runtime.pipelines.lora_files import LoraFiles
from easel_runtime.progress import hub_cache
from easel_runtime.settings import Settings

_PARAMETERS: Final = ("negative_prompt", "strength", "image_guidance_scale", "num_inference_steps")
"""Form fields that pipelines know by the same name, if they know them."""
_WITHOUT_EFFECT: Final = frozenset({"safety_check"})
"""Form fields that nothing looks at yet."""


class DiffusersEngine:
    """One diffusers pipeline on the best device at hand."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipeline: Any = None
        self._scheduler: Any = None
        self._family: Family = GENERIC
        self._keywords: frozenset[str] = frozenset()
        self._multiple = 8
        self._adapters = Adapters(None, None, 0)
        self._lora_files = LoraFiles(
            hub_cache(settings.model_dir) / "loras", settings.lora_disk_bytes, settings.loras.file_bytes
        )

    def load(self) -> Loaded:
        """See `Engine.load`."""
        device = _best_device()
        model = load_model(self._settings, device)
        self._pipeline, self._family = model.pipeline, model.family
        self._scheduler = model.pipeline.scheduler
        self._keywords = keywords(type(model.pipeline))
        self._adapters = Adapters(model.pipeline, self._family.loras, self._settings.lora_memory_bytes)
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
            loras=self._adapters.base,
        )

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        """See `Engine.fetch`."""
        if loras and self._adapters.base is None:
            raise GenerationError("this model does not take LoRAs; leave `loras` out")
        # Nothing comes of a weight of 0, so nothing has to be had for it.
        wanted = [(repo_id, weight) for repo_id, weight in sorted(loras.items()) if weight]
        return tuple(Lora(repo_id, weight, self._lora_files.fetch(repo_id)) for repo_id, weight in wanted)

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image]:
        """See `Engine.generate`."""
        self._adapters.use(batch[0].generation.loras)
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
            self._adapters.clear()
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
        return _WITHOUT_EFFECT | self._family.ignores | unknown


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _step_callback(on_step: OnStep) -> Any:
    def callback(_: DiffusionPipeline, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    return callback
