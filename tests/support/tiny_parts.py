"""The parts of Stable Diffusion pipelines, tiny and with random weights, for the repositories of `hub`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

CHANNELS: Final = 4
"""Of a latent image."""
WORDS: Final = 32
"""Width of a text encoder's output."""
_LATENT_SIZE: Final = 25
"""Makes the latents of random weights about as large as the 5.5 that the usual `scaling_factor` undoes."""
SD_UNET: Final[Mapping[str, Any]] = {"cross_attention_dim": WORDS, "sample_size": 64}
SDXL_UNET: Final[Mapping[str, Any]] = {
    "cross_attention_dim": 2 * WORDS,
    "sample_size": 128,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + WORDS,
}


def parts(folder: Path, seed: int, **of_unet: Any) -> dict[str, Any]:
    """What both kinds are made of, with random weights by `seed`; `folder` is for what is written on the way."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    tokenizer = tokenizer_of_letters(folder)
    return {
        "vae": _vae(),
        "unet": unet(**of_unet),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WORDS,
                projection_dim=WORDS,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        ),
        "tokenizer": tokenizer,
    }


def _vae() -> Any:
    """A VAE whose latents are a picture and not mostly noise: as large as those of trained ones, and as certain."""
    import diffusers
    import torch

    vae = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 16, 16],
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=CHANNELS,
    )
    with torch.no_grad():
        means, log_variances = slice(CHANNELS), slice(CHANNELS, 2 * CHANNELS)
        vae.quant_conv.weight[means] *= _LATENT_SIZE
        vae.quant_conv.bias[means] = 0
        vae.quant_conv.weight[log_variances] = 0
        vae.quant_conv.bias[log_variances] = -20
        vae.post_quant_conv.weight /= _LATENT_SIZE
    return vae


def unet(**more: Any) -> Any:
    """A UNet of two levels."""
    import diffusers

    return diffusers.UNet2DConditionModel(
        **{
            "in_channels": CHANNELS,
            "out_channels": CHANNELS,
            "block_out_channels": [16, 32],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
            "attention_head_dim": 8,
            "norm_num_groups": 8,
            **more,
        }
    )


def safety_checker() -> tuple[Any, Any]:
    """A checker with random opinions, and what makes its input."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(
            text_config={**tiny, "projection_dim": 16},
            vision_config={**tiny, "image_size": 32, "patch_size": 16, "projection_dim": 16},
            projection_dim=16,
        )
    )
    return checker, CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def tokenizer_of_letters(folder: Path) -> Any:
    """CLIP's tokenizer with single ASCII letters for words."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("!"), 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(vocab=str(vocabulary), merges=str(merges), model_max_length=77)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
