"""A Hub of this machine alone: tiny repositories with random weights, in the layout of the Hub's cache.

Those of the models that Easel is made for have their real ids, pipeline classes, component folders and schedulers.
`hub_endpoint` serves them over HTTP. Importing this module imports neither torch nor diffusers; making a repository
does.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from support.tiny_parts import CHANNELS, SD_UNET, SDXL_UNET, parts, safety_checker, unet

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
Write = Callable[[Path], None]
"""Writes a repository into the folder it is given."""

_SEED: Final = 20
_NOISE: Final[Mapping[str, Any]] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
_TRAILING: Final[Mapping[str, Any]] = {**_NOISE, "timestep_spacing": "trailing", "steps_offset": 1}


def add_repository(cache: Path, model_id: str, write: Write, commit: str = COMMIT) -> Path:
    """A repository whose branch main is at `commit` and holds what `write` leaves in its folder; the folder."""
    repository = cache / f"models--{model_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    write(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return snapshot


# What repositories can be made of -------------------------------------------------------------------------------


def of_class(name: str) -> Write:
    """Writes a repository that says it is of the pipeline class `name`, and holds nothing else."""
    return holding({"model_index.json": json.dumps({"_class_name": name, "_diffusers_version": "0.42.1"})})


def holding(files: Mapping[str, str]) -> Write:
    """Writes a repository of these text files."""

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)

    return write


def copied(source: Path, *without: str) -> Write:
    """Writes a repository like the one in `source`, less what `without` names."""

    def write(folder: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*without))

    return write


def both(*writes: Write) -> Write:
    """Writes a repository of all that `writes` write."""

    def write(folder: Path) -> None:
        for one in writes:
            one(folder)

    return write


# The repositories of upstream, tiny -----------------------------------------------------------------------------


def stable_diffusion(folder: Path) -> None:
    """Writes a StableDiffusionPipeline as 1.5 is: text-to-image, with the PNDM scheduler."""
    import diffusers

    _stable_diffusion(folder, diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **_NOISE))


def sd_turbo(folder: Path) -> None:
    """Writes stabilityai/sd-turbo."""
    import diffusers

    _stable_diffusion(folder, diffusers.EulerDiscreteScheduler(**_TRAILING), seed=_SEED + 1)


def instruct_pix2pix(folder: Path) -> None:
    """Writes timbrooks/instruct-pix2pix: a UNet that also sees the picture, and a safety checker."""
    import diffusers

    made_of = parts(folder, _SEED + 2, **{**SD_UNET, "in_channels": 2 * CHANNELS})
    checker, extractor = safety_checker()
    diffusers.StableDiffusionInstructPix2PixPipeline(
        **made_of,
        scheduler=diffusers.EulerAncestralDiscreteScheduler(**_NOISE),
        safety_checker=checker,
        feature_extractor=extractor,
    ).save_pretrained(folder, safe_serialization=True)


def stable_diffusion_xl(folder: Path) -> None:
    """Writes stabilityai/stable-diffusion-xl-base-1.0, in full precision and as the fp16 variant."""
    import diffusers

    _stable_diffusion_xl(folder, diffusers.EulerDiscreteScheduler(**_NOISE))


def sdxl_turbo(folder: Path) -> None:
    """Writes stabilityai/sdxl-turbo."""
    import diffusers

    _stable_diffusion_xl(folder, diffusers.EulerAncestralDiscreteScheduler(**_TRAILING), seed=_SEED + 3)


def realvisxl(folder: Path) -> None:
    """Writes SG161222/RealVisXL_V4.0, whose repository names a scheduler that is not the one of its card."""
    import diffusers

    _stable_diffusion_xl(folder, diffusers.EulerDiscreteScheduler(**_NOISE), seed=_SEED + 4)


def realvisxl_lightning(folder: Path) -> None:
    """Writes SG161222/RealVisXL_V4.0_Lightning as Livepeer's volumes hold it: the fp16 variant alone."""
    import diffusers

    _stable_diffusion_xl(folder, diffusers.EulerDiscreteScheduler(**_NOISE), seed=_SEED + 5, full=False)


def sdxl_lightning(folder: Path) -> None:
    """Writes ByteDance/SDXL-Lightning: a UNet for each number of steps, in one file each, and no pipeline."""
    import torch
    from safetensors.torch import save_file

    for steps in (2, 4, 8):
        torch.manual_seed(_SEED + 10 + steps)
        save_file(unet(**SDXL_UNET).half().state_dict(), folder / f"sdxl_lightning_{steps}step_unet.safetensors")
        (folder / f"sdxl_lightning_{steps}step_lora.safetensors").write_bytes(b"not to be downloaded")
    (folder / "README.md").write_text("its card")


UPSTREAM: Final[Mapping[str, Write]] = {
    "timbrooks/instruct-pix2pix": instruct_pix2pix,
    "stabilityai/sd-turbo": sd_turbo,
    "stabilityai/sdxl-turbo": sdxl_turbo,
    "stabilityai/stable-diffusion-xl-base-1.0": stable_diffusion_xl,
    "ByteDance/SDXL-Lightning": sdxl_lightning,
    "SG161222/RealVisXL_V4.0": realvisxl,
    "SG161222/RealVisXL_V4.0_Lightning": realvisxl_lightning,
}
"""By id; each repository is at `COMMIT`, but the base of SDXL-Lightning at the commit that Easel pins."""


def add_upstream(cache: Path, *model_ids: str) -> None:
    """Adds these repositories of `UPSTREAM`, or all, to `cache`."""
    from easel_runtime.pipelines.families import SDXL_BASE

    for model_id in model_ids or UPSTREAM:
        commit = SDXL_BASE.revision if model_id == SDXL_BASE.repo_id else COMMIT
        add_repository(cache, model_id, UPSTREAM[model_id], commit)


def _stable_diffusion(folder: Path, scheduler: Any, seed: int = _SEED) -> None:
    import diffusers

    diffusers.StableDiffusionPipeline(
        **parts(folder, seed, **SD_UNET),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    (folder / "everything.safetensors").write_bytes(b"not to be downloaded")


def _stable_diffusion_xl(folder: Path, scheduler: Any, seed: int = _SEED, *, full: bool = True) -> None:
    import diffusers
    import torch
    from transformers import CLIPTextModelWithProjection

    made_of = parts(folder, seed, **SDXL_UNET)
    pipeline = diffusers.StableDiffusionXLPipeline(
        **made_of,
        text_encoder_2=CLIPTextModelWithProjection(made_of["text_encoder"].config),
        tokenizer_2=made_of["tokenizer"],
        scheduler=scheduler,
        add_watermarker=False,
    )
    if full:
        pipeline.save_pretrained(folder, safe_serialization=True)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True, variant="fp16")
    (folder / "everything.safetensors").write_bytes(b"not to be downloaded")
