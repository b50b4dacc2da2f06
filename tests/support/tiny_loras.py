"""LoRAs for the tiny models of `hub`, as repositories: made with peft, saved by diffusers or as by kohya's scripts.

Importing this module imports neither torch nor diffusers; making a repository does.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from support.hub import Write
from support.tiny_parts import SD_UNET, SDXL_UNET, parts, unet

NAME: Final = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file."""
RANK: Final = 4
_ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
_CONVOLUTIONS: Final = ("conv1", "conv2")
_OF_WORDS: Final = ("q_proj", "k_proj", "v_proj", "out_proj")


def for_sd(seed: int = 1, *, name: str = NAME, words: bool = False, targets: Sequence[str] = _ATTENTION) -> Write:
    """Writes a LoRA for Stable Diffusion; `words`: for its text encoder too."""

    def write(folder: Path) -> None:
        import diffusers

        layers = {"unet_lora_layers": _layers(unet(**SD_UNET), targets, seed)}
        if words:
            layers["text_encoder_lora_layers"] = _layers(_text_encoder(folder), _OF_WORDS, seed)
        diffusers.StableDiffusionPipeline.save_lora_weights(folder, weight_name=name, **layers)

    return write


def for_words(seed: int = 1) -> Write:
    """Writes a LoRA for Stable Diffusion's text encoder alone."""

    def write(folder: Path) -> None:
        import diffusers

        layers = _layers(_text_encoder(folder), _OF_WORDS, seed)
        diffusers.StableDiffusionPipeline.save_lora_weights(folder, text_encoder_lora_layers=layers)

    return write


def for_sdxl(seed: int = 1) -> Write:
    """Writes a LoRA for SDXL and both of its text encoders."""

    def write(folder: Path) -> None:
        import diffusers
        from transformers import CLIPTextModelWithProjection

        first = _text_encoder(folder)
        second = CLIPTextModelWithProjection(first.config)
        diffusers.StableDiffusionXLPipeline.save_lora_weights(
            folder,
            unet_lora_layers=_layers(unet(**SDXL_UNET), _ATTENTION, seed),
            text_encoder_lora_layers=_layers(first, _OF_WORDS, seed),
            text_encoder_2_lora_layers=_layers(second, _OF_WORDS, seed + 1),
        )

    return write


def convolutional(seed: int = 1) -> Write:
    """Writes a LoRA for the convolutions of Stable Diffusion, which `for_sd` leaves alone."""
    return for_sd(seed, targets=_CONVOLUTIONS)


def kohya(seed: int = 1, *, alpha: float = RANK, name: str = "style.safetensors") -> Write:
    """Writes the LoRA of `for_sd(seed, words=True)` as kohya's scripts do, with half the weight at half the `alpha`."""

    def write(folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        named = {}
        for prefix, layers in {
            "lora_unet": _layers(unet(**SD_UNET), _ATTENTION, seed),
            "lora_te_text_model": _layers(_text_encoder(folder), _OF_WORDS, seed),
        }.items():
            for path, tensor in layers.items():
                module, _, matrix = path.rpartition(".lora_")
                flat = f"{prefix}_{module.replace('.', '_')}"
                named[f"{flat}.lora_{'down' if matrix == 'A.weight' else 'up'}.weight"] = tensor
                named[f"{flat}.alpha"] = torch.tensor(float(alpha))
        save_file(named, folder / name)

    return write


def described(write: Write, **more: Any) -> Write:
    """Writes what `write` does, with the UNet's settings of peft in the file's head, as newer trainers save it."""

    def write_described(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        write(folder)
        description = {"unet.r": RANK, "unet.lora_alpha": RANK, "unet.target_modules": list(_ATTENTION)}
        description |= {f"unet.{key}": value for key, value in more.items()}
        tensors = load_file(folder / NAME)
        save_file(tensors, folder / NAME, {"format": "pt", "lora_adapter_metadata": json.dumps(description)})

    return write_described


def changed(write: Write, change: Any) -> Write:
    """Writes what `write` does, with its tensors (by name) as `change` gives them back."""

    def write_changed(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        write(folder)
        save_file(change(load_file(folder / NAME)), folder / NAME, {"format": "pt"})

    return write_changed


def _text_encoder(folder: Path) -> Any:
    return parts(folder, 0, **SD_UNET)["text_encoder"]


def _layers(model: Any, targets: Sequence[str], seed: int) -> Mapping[str, Any]:
    """The weights of a LoRA for `model`, large enough to be seen."""
    import torch
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model

    generator = torch.Generator().manual_seed(seed)
    inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(targets)), model)
    return {
        path: 0.3 * torch.randn(tensor.shape, generator=generator)
        for path, tensor in sorted(get_peft_model_state_dict(model).items())
    }
