"""A Hub of this machine alone: tiny repositories with random weights, in the layout of the Hub's cache.

Importing this module imports neither torch nor diffusers; making a repository does.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
_SEED: Final = 20
_CHANNELS: Final = 4
"""Of a latent image."""
_WORDS: Final = 32
"""Width of a text encoder's output."""


def add_repository(cache: Path, model_id: str, write: Callable[[Path], None]) -> Path:
    """A repository whose branch main holds what `write` leaves in the folder it is given; the folder."""
    repository = cache / f"models--{model_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    write(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def of_class(name: str) -> Callable[[Path], None]:
    """Writes a repository that says it is of the pipeline class `name`, and holds nothing else."""
    return holding({"model_index.json": json.dumps({"_class_name": name, "_diffusers_version": "0.42.1"})})


def holding(files: Mapping[str, str]) -> Callable[[Path], None]:
    """Writes a repository of these text files."""

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_text(content)

    return write


def stable_diffusion(folder: Path) -> None:
    """Writes a StableDiffusionPipeline as 1.5 is: text-to-image, with the PNDM scheduler."""
    import diffusers

    parts = _parts(folder, cross_attention_dim=_WORDS, sample_size=64)
    _save(
        diffusers.StableDiffusionPipeline(
            **parts,
            scheduler=diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **_NOISE),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ),
        folder,
    )


def stable_diffusion_xl(folder: Path) -> None:
    """Writes a StableDiffusionXLPipeline: two text encoders, sizes as a condition, the Euler scheduler."""
    import diffusers
    from transformers import CLIPTextModelWithProjection

    parts = _parts(
        folder,
        cross_attention_dim=2 * _WORDS,
        sample_size=128,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _WORDS,
    )
    _save(
        diffusers.StableDiffusionXLPipeline(
            **parts,
            text_encoder_2=CLIPTextModelWithProjection(parts["text_encoder"].config),
            tokenizer_2=parts["tokenizer"],
            scheduler=diffusers.EulerDiscreteScheduler(**_NOISE),
        ),
        folder,
    )


_NOISE: Final[Mapping[str, Any]] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def _parts(folder: Path, **unet: Any) -> dict[str, Any]:
    """What both kinds are made of."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(_SEED)
    tokenizer = _tokenizer(folder)
    return {
        "vae": diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[8, 8, 16, 16],
            layers_per_block=1,
            norm_num_groups=8,
            latent_channels=_CHANNELS,
        ),
        "unet": diffusers.UNet2DConditionModel(
            in_channels=_CHANNELS,
            out_channels=_CHANNELS,
            block_out_channels=[16, 32],
            layers_per_block=1,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
            attention_head_dim=8,
            norm_num_groups=8,
            **unet,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=_WORDS,
                projection_dim=_WORDS,
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


def _tokenizer(folder: Path) -> Any:
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


def _save(pipeline: Any, folder: Path) -> None:
    pipeline.save_pretrained(folder, safe_serialization=True)


def copied(source: Path, *without: str) -> Callable[[Path], None]:
    """Writes a repository like the one in `source`, less what `without` names."""

    def write(folder: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*without))

    return write
