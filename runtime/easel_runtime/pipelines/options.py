"""How a pipeline is run that paints the same pictures faster, or in less memory: `Settings`' choices, applied."""

import os
import shutil
from typing import Any

import torch

from easel_runtime.engine import LoadError
from easel_runtime.settings import Settings


def apply_options(pipeline: Any, settings: Settings, device: torch.device) -> None:
    """Set up `pipeline`, which is on `device`, as `settings` say.

    Raises:
        LoadError: it has nothing that one of them could be applied to.
    """
    vae: Any = getattr(pipeline, "vae", None)
    if hasattr(vae, "enable_slicing"):
        # Pictures that are made side by side are decoded one by one: the VAE needs the most memory of all, and gains
        # nothing from company.
        vae.enable_slicing()
    if device.type == "cuda" if settings.channels_last is None else settings.channels_last:
        _channels_last(pipeline)
    if settings.fuse_qkv:
        _apply("EASEL_FUSE_QKV=true", pipeline, "fuse_qkv_projections")
    if settings.compile != "off":
        _compile(pipeline, settings.compile)


def _compile(pipeline: Any, choice: str) -> None:
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        raise LoadError("EASEL_COMPILE needs a C compiler, gcc or clang, which Easel's image of the runtime has not")
    if choice == "blocks":
        _apply("EASEL_COMPILE=blocks", pipeline, "compile_repeated_blocks")
        return
    _apply("EASEL_COMPILE=full", pipeline, "compile")
    # Not the VAE itself: pipelines call its methods `encode` and `decode`, which compiling it leaves as they are.
    for name in ("encoder", "decoder"):
        part = getattr(getattr(pipeline, "vae", None), name, None)
        if part is not None:
            part.compile()


def _apply(setting: str, pipeline: Any, method: str) -> None:
    """Call `method` of the network that denoises."""
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    what = type(pipeline if denoiser is None else denoiser).__name__
    try:
        getattr(denoiser, method)()
    except (AttributeError, ValueError) as error:
        raise LoadError(f"{setting} cannot be applied to {what}: leave it unset for this model") from error


def _channels_last(pipeline: Any) -> None:
    """Lay the weights of two-dimensional convolutions out as tensor cores read them, channels together."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            for weight in part.parameters():
                if weight.dim() == 4:  # by hand: `Module.to` stumbles over the three-dimensional ones beside them
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
