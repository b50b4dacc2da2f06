"""Families of models as data: how each loads and runs. A new family is a new row; nothing else knows of models.

A model is looked up by its id first, because the authors of some chose settings that their repositories do not
state, and then by the pipeline class that its repository names. Where a row is silent, the repository's scheduler
and the defaults of the pipeline's own signature hold.

The numbers are the authors': the model cards of each repository, read in November 2026 and named beside the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True)
class Repository:
    """One state of a repository on the Hub."""

    repo_id: str
    revision: str
    """Branch, tag or commit."""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler class of diffusers, made from the repository's own settings and, before them, these."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Span:
    """A number of a request: its default (None: the pipeline's own) and how far callers may go."""

    default: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Family:
    """How the models of one family load and run."""

    pipeline: str | None = None
    """Class in diffusers; None: the one that diffusers maps to image-to-image."""
    weights: str | None = None
    """Repository of the weights, where the model's id is not one."""
    unet: str | None = None
    """File in that repository with the UNet, where it holds no pipeline; all else comes from `base`."""
    base: Repository | None = None
    """Where all but the UNet comes from."""
    scheduler: Scheduler | None = None
    """None: the repository's own."""
    steps: Span = Span(None, 1, 1000)
    guidance: Span = Span(None, 0, 100)
    image_guidance: Span = Span(None, 0, 100)
    strength: Span = Span(None, 0, 1)
    """Raised, besides, to where one step is run (`Defaults.partial`)."""
    guidance_keyword: str = "guidance_scale"
    """What the pipeline calls the guidance that a negative prompt works by."""
    ignores: frozenset[str] = frozenset()
    """Form fields that have no effect although the pipeline takes them."""
    native_side: int | None = None
    """Side in pixels of the square pictures that the model was trained on."""
    loras: str | None = None
    """For which base model LoRAs must be made to fit; None: none fit, or it is not known."""


NO_GUIDANCE: Final = Span(0, 0, 0)
"""For distilled models: the weights have the guidance in them, and more of it burns the picture."""
_NEGATIVE_PROMPT: Final = frozenset({"negative_prompt"})
"""Without guidance there is nothing that it could work by."""
_TRAILING: Final = MappingProxyType({"timestep_spacing": "trailing"})
SDXL_BASE: Final = Repository("stabilityai/stable-diffusion-xl-base-1.0", "462165984030d82259a11f4367a4eed129e94a7b")

STABLE_DIFFUSION: Final = Family(native_side=512, loras="Stable Diffusion")
STABLE_DIFFUSION_XL: Final = Family(native_side=1024, loras="SDXL")
STABLE_DIFFUSION_3: Final = Family(native_side=1024, loras="Stable Diffusion 3")
# Its guidance is an input of the network; a negative prompt would want `true_cfg_scale`, which the form has not.
FLUX: Final = Family(native_side=1024, loras="FLUX.1", ignores=_NEGATIVE_PROMPT)
# Here `guidance_scale` is for distilled variants that do not exist yet, and without effect.
QWEN_IMAGE: Final = Family(native_side=1024, loras="Qwen-Image", guidance_keyword="true_cfg_scale")

# github.com/timothybrooks/instruct-pix2pix: 100 steps of Euler ancestral, text 7.5, image 1.5. Below an image
# guidance of 1 the pipeline would leave out both guidances without a word.
INSTRUCT_PIX2PIX: Final = Family(
    "StableDiffusionInstructPix2PixPipeline",
    scheduler=Scheduler("EulerAncestralDiscreteScheduler"),
    steps=Span(100, 1, 1000),
    guidance=Span(7.5, 0, 100),
    image_guidance=Span(1.5, 1, 100),
    native_side=512,
    loras="Stable Diffusion",
)

# demo_model/README.md: without guidance its edits are nearest to what they should be; with 2 they are twice as strong.
# A LoRA for the large one is of the same classes, if not of the same size, and is refused when it does not fit.
DEMO: Final = replace(
    INSTRUCT_PIX2PIX,
    steps=Span(10, 1, 200),
    guidance=Span(1, 0, 2),
    image_guidance=Span(1.3, 1, 4),
    native_side=256,
)

# huggingface.co/stabilityai/sd-turbo and sdxl-turbo: one to four steps, no guidance; for image-to-image, two steps
# at strength 0.5, of which one is run.
SD_TURBO: Final = Family(
    "StableDiffusionImg2ImgPipeline",
    scheduler=Scheduler("EulerDiscreteScheduler", _TRAILING),
    steps=Span(2, 1, 4),
    guidance=NO_GUIDANCE,
    strength=Span(0.5, 0, 1),
    ignores=_NEGATIVE_PROMPT,
    native_side=512,
    loras="Stable Diffusion 2.1",
)
SDXL_TURBO: Final = Family(
    "StableDiffusionXLImg2ImgPipeline",
    scheduler=Scheduler("EulerAncestralDiscreteScheduler", _TRAILING),
    steps=Span(2, 1, 4),
    guidance=NO_GUIDANCE,
    strength=Span(0.5, 0, 1),
    ignores=_NEGATIVE_PROMPT,
    native_side=512,
    loras="SDXL",
)


def _sdxl_lightning(steps: int) -> Family:
    """huggingface.co/ByteDance/SDXL-Lightning: each UNet is for exactly its number of steps, without guidance.

    The card knows only text-to-image. Half of the schedule is run by default, so that the picture keeps its layout.
    """
    return Family(
        "StableDiffusionXLImg2ImgPipeline",
        weights="ByteDance/SDXL-Lightning",
        unet=f"sdxl_lightning_{steps}step_unet.safetensors",
        base=SDXL_BASE,
        scheduler=Scheduler("EulerDiscreteScheduler", _TRAILING),
        steps=Span(steps, steps, steps),
        guidance=NO_GUIDANCE,
        strength=Span(0.5, 0, 1),
        ignores=_NEGATIVE_PROMPT,
        native_side=1024,
        loras="SDXL",
    )


# huggingface.co/SG161222/RealVisXL_V4.0: 25 steps or more of DPM++ 2M Karras. Neither this card nor the next speaks of
# image-to-image but as the second pass of a larger picture, at strength 0.5 at most.
REALVISXL: Final = Family(
    "StableDiffusionXLImg2ImgPipeline",
    scheduler=Scheduler(
        "DPMSolverMultistepScheduler", MappingProxyType({"algorithm_type": "dpmsolver++", "use_karras_sigmas": True})
    ),
    steps=Span(30, 1, 1000),
    guidance=Span(5, 0, 100),
    strength=Span(0.5, 0, 1),
    native_side=1024,
    loras="SDXL",
)
# huggingface.co/SG161222/RealVisXL_V4.0_Lightning: four steps or more of DPM++ SDE Karras (to diffusers that is the
# single-step solver), guidance 1 to 2.
REALVISXL_LIGHTNING: Final = Family(
    "StableDiffusionXLImg2ImgPipeline",
    scheduler=Scheduler(
        "DPMSolverSinglestepScheduler",
        MappingProxyType({"algorithm_type": "dpmsolver++", "use_karras_sigmas": True, "lower_order_final": True}),
    ),
    steps=Span(6, 4, 12),
    guidance=Span(1.5, 0, 2),
    strength=Span(0.5, 0, 1),
    native_side=1024,
    loras="SDXL",
)

BY_MODEL: Final[Mapping[str, Family]] = {
    "easel/demo": DEMO,
    "timbrooks/instruct-pix2pix": INSTRUCT_PIX2PIX,
    "stabilityai/sd-turbo": SD_TURBO,
    "stabilityai/sdxl-turbo": SDXL_TURBO,
    "ByteDance/SDXL-Lightning": _sdxl_lightning(8),  # without a number Livepeer takes eight
    "ByteDance/SDXL-Lightning-2step": _sdxl_lightning(2),
    "ByteDance/SDXL-Lightning-4step": _sdxl_lightning(4),
    "ByteDance/SDXL-Lightning-8step": _sdxl_lightning(8),
    "SG161222/RealVisXL_V4.0": REALVISXL,
    "SG161222/RealVisXL_V4.0_Lightning": REALVISXL_LIGHTNING,
}

BY_CLASS: Final[Mapping[str, Family]] = {
    "StableDiffusionInstructPix2PixPipeline": INSTRUCT_PIX2PIX,  # which AutoPipelineForImage2Image does not know
    "StableDiffusionPipeline": STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": STABLE_DIFFUSION,
    "StableDiffusionXLPipeline": STABLE_DIFFUSION_XL,
    "StableDiffusionXLImg2ImgPipeline": STABLE_DIFFUSION_XL,
    "StableDiffusion3Pipeline": STABLE_DIFFUSION_3,
    "StableDiffusion3Img2ImgPipeline": STABLE_DIFFUSION_3,
    "FluxPipeline": FLUX,
    "FluxImg2ImgPipeline": FLUX,
    "FluxKontextPipeline": FLUX,
    "QwenImagePipeline": QWEN_IMAGE,
    "QwenImageImg2ImgPipeline": QWEN_IMAGE,
    "QwenImageEditPipeline": QWEN_IMAGE,
    "QwenImageEditPlusPipeline": QWEN_IMAGE,
}
"""By the `_class_name` in a repository's model_index.json."""

GENERIC: Final = Family()
"""Any other class that diffusers maps to image-to-image."""

SIDE_BY_SIDE: Final = frozenset(
    {
        "FluxImg2ImgPipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionXLImg2ImgPipeline",
    }
)
"""Pipeline classes that were seen to make each picture of a list as they make it alone, by its own prompt and seed.

Others refuse lists, or take the pictures in one for several views of a single request (Flux2, Qwen-Image-Edit-Plus).
"""

PRECISION: Final[Mapping[str, str]] = {"cuda": "bfloat16", "mps": "float16", "cpu": "float32"}
"""Type of the numbers, by type of device and for every family: what a cache holds must not decide the precision.

bfloat16 has the range of float32, so that nothing overflows as SDXL's VAE does in float16.
"""
