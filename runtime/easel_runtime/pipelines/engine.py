"""The engine that runs diffusers pipelines. Imported late, on the model's thread."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image

from easel_runtime.engine import Checker, GenerationError, Loaded, Lora, OnStep, OutOfMemory, Work
from easel_runtime.images import extend_to_multiple
from easel_runtime.pipelines.adapters import Adapters
from easel_runtime.pipelines.classes import defaults, keywords
from easel_runtime.pipelines.families import GENERIC, SIDE_BY_SIDE, Family
from easel_runtime.pipelines.loading import load_model
from easel_runtime.pipelines.lora_files import LoraFiles
from easel_runtime.pipelines.memory import give_back, is_out_of_memory
from easel_runtime.pipelines.options import apply_options
from easel_runtime.pipelines.prompts import remember_prompts
from easel_runtime.pipelines.safety import load_checker
from easel_runtime.progress import hub_cache
from easel_runtime.settings import Settings

T = TypeVar("T")
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
        self._starved = False
        self._adapters = Adapters(None, None, 0)
        self._lora_files = LoraFiles(
            hub_cache(settings.model_dir) / "loras", settings.lora_disk_bytes, settings.loras.file_bytes
        )

    def load(self) -> Loaded:
        """See `Engine.load`."""
        device = _best_device()
        model = load_model(self._settings, device)
        apply_options(model.pipeline, self._settings, device)
        self._adapters = Adapters(
            model.pipeline,
            # Fused projections are copies of the ones that a LoRA would be added to, in their place.
            None if self._settings.fuse_qkv else model.family.loras,
            self._settings.lora_memory_bytes,
        )
        remember_prompts(model.pipeline, lambda: self._adapters.active)
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
            batches=type(model.pipeline).__name__ in SIDE_BY_SIDE,
            loras=self._adapters.base,
        )

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        """See `Engine.fetch`."""
        if loras and self._adapters.base is None:
            raise GenerationError("this model does not take LoRAs; leave `loras` out")
        # Nothing comes of a weight of 0, so nothing has to be had for it.
        wanted = [(repo_id, weight) for repo_id, weight in sorted(loras.items()) if weight]
        return tuple(Lora(repo_id, weight, self._lora_files.fetch(repo_id)) for repo_id, weight in wanted)

    def load_checker(self) -> Checker:
        """See `Engine.load_checker`."""
        device = torch.device(self._settings.safety_device or _best_device())
        return load_checker(self._settings.safety, self._settings.model_dir, device)

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image]:
        """See `Engine.generate`."""
        if self._starved:  # now, and not when it happened: until its error was forgotten nothing of it was free
            self._adapters.clear()
            give_back()
            self._starved = False
        images = [extend_to_multiple(work.generation.image, self._multiple) for work in batch]
        wanted = {**self._arguments(batch, images), "callback_on_step_end": _step_callback(on_step)}
        # A scheduler counts steps and keeps past predictions; its copy starts without any, whatever ran before.
        self._pipeline.scheduler = copy.deepcopy(self._scheduler)
        try:
            self._adapters.use(batch[0].generation.loras)
            result = self._pipeline(**{name: wanted[name] for name in wanted if name in self._keywords})
        except ValueError as error:
            # How diffusers says that the caller's values do not fit this pipeline.
            raise GenerationError(str(error)) from error
        except OutOfMemory:  # of a LoRA
            self._starved = True
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._starved = True
            raise OutOfMemory("there is too little memory for this request; send a smaller image") from error
        made: list[Image] = result.images
        if made[0].size != images[0].size:
            raise GenerationError(
                f"the model makes pictures of {made[0].width} x {made[0].height} only; send that size"
            )
        return [_cut_back(picture, work.generation.image.size) for work, picture in zip(batch, made, strict=True)]

    def _arguments(self, batch: Sequence[Work], images: list[Image]) -> dict[str, Any]:
        """All that any pipeline may want to know of requests that are alike, by the names that diffusers has for it."""
        generation = batch[0].generation
        return {
            "prompt": _rows([work.generation.prompt for work in batch]),
            "image": _rows(images),
            # For pipelines that would else make another size of it.
            "width": images[0].width,
            "height": images[0].height,
            "_auto_resize": False,
            "negative_prompt": _rows([work.generation.negative_prompt for work in batch]),
            "num_inference_steps": generation.steps,
            self._family.guidance_keyword: generation.guidance_scale,
            "image_guidance_scale": generation.image_guidance_scale,
            "strength": generation.strength,
            # On the CPU, so that a seed means the same image on every device; one for each picture, so that it means
            # the same in company.
            "generator": _rows([torch.Generator("cpu").manual_seed(work.seed) for work in batch]),
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


def _cut_back(picture: Image, size: tuple[int, int]) -> Image:
    return picture if picture.size == size else picture.crop((0, 0, *size))


def _rows(values: list[T]) -> T | list[T]:
    """One alone as every pipeline takes it, several as those in `SIDE_BY_SIDE` do."""
    return values if len(values) > 1 else values[0]


def _step_callback(on_step: OnStep) -> Any:
    def callback(_: DiffusionPipeline, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    return callback
