"""The demo model: a real InstructPix2Pix pipeline of toy size, made here on first use, so that it needs no network.

Its weights are random: it shows the whole path from request to picture, and paints noise.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Final

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from platformdirs import user_cache_path
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

MODEL_ID: Final = "easel/demo"
_RECIPE: Final = "1"
"""Part of the folder's name; raise it when the pipeline below changes."""
_SEED: Final = 20
_POSITIONS: Final = 77


def folder() -> Path:
    """The folder of the demo model in diffusers' layout, made if it is not there yet."""
    target = user_cache_path("easel") / "models" / f"demo-{_RECIPE}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".demo-"))
        try:
            _write(draft)
            draft.rename(target)  # whole or not at all, also with two makers at once
        except FileExistsError:
            pass
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def _write(target: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[8, 8, 16, 16],
            layers_per_block=1,
            norm_num_groups=8,
            latent_channels=4,
        )
        unet = UNet2DConditionModel(
            in_channels=8,  # four of noise, four of the input image
            out_channels=4,
            block_out_channels=[16, 32],
            layers_per_block=1,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
            attention_head_dim=8,
            cross_attention_dim=32,
            norm_num_groups=8,
        )
        tokenizer = _tokenizer(target)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=_POSITIONS,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=EulerAncestralDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(target, safe_serialization=True)


def _tokenizer(target: Path) -> CLIPTokenizer:
    """CLIP's tokenizer with single bytes for words: knows every text, merges nothing."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    source = target / "tokenizer"
    source.mkdir()
    vocabulary, merges = source / "vocab.json", source / "merges.txt"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    return CLIPTokenizer(vocab=str(vocabulary), merges=str(merges), model_max_length=_POSITIONS)
