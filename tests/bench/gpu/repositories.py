"""Repositories of the true size, in the layout of the Hub's cache: made here, at random, in bfloat16."""

from functools import partial
from pathlib import Path
from typing import Any

from bench.gpu.architectures import MODELS, VAE, Architecture
from support import hub
from support.tiny_parts import tokenizer_of_letters


def add_all(cache: Path, *, tiny: bool) -> None:
    """Adds every model of `MODELS` to `cache`; those of one architecture share their files.

    `tiny`: the ones of the tests instead.
    """
    if tiny:
        hub.add_upstream(cache, *MODELS)
        return
    written: dict[int, Path] = {}
    for model_id, architecture in MODELS.items():
        same = written.get(id(architecture))
        how = partial(write, architecture) if same is None else partial(_link, same)
        written[id(architecture)] = hub.add_repository(cache, model_id, how)


def write(architecture: Architecture, folder: Path) -> None:
    """Writes a repository of this architecture, with random weights made on the GPU."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = tokenizer_of_letters(folder)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    kinds = (CLIPTextModel, CLIPTextModelWithProjection)
    torch.manual_seed(0)
    with torch.device("cuda"):
        made_of: dict[str, Any] = {
            "vae": diffusers.AutoencoderKL(**VAE, scaling_factor=architecture.scaling_factor),
            "unet": diffusers.UNet2DConditionModel(**architecture.unet),
        }
        for suffix, kind, text in zip(("", "_2"), kinds, architecture.text, strict=False):
            made_of[f"text_encoder{suffix}"] = kind(CLIPTextConfig(**text, **special))
            made_of[f"tokenizer{suffix}"] = tokenizer
    more: dict[str, Any] = {"add_watermarker": False}
    if len(architecture.text) == 1:
        more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    scheduler = getattr(diffusers, architecture.scheduler)(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    pipeline = getattr(diffusers, architecture.pipeline)(**made_of, scheduler=scheduler, **more)
    pipeline.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)


def _link(same: Path, folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(same, target_is_directory=True)
