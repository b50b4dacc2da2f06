"""Repositories of newer classes, tiny and with random weights: a transformer in the place of the UNet."""

from pathlib import Path
from typing import Any, Final

from support.tiny_parts import WORDS, tokenizer_of_letters

_LATENTS: Final = 4
_SEED: Final = 30


def stable_diffusion_3(folder: Path) -> None:
    """Writes a StableDiffusion3Pipeline without its third text encoder, which it may lack."""
    import diffusers
    import torch
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(_SEED)
    tokenizer = tokenizer_of_letters(folder)
    diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=32,
            in_channels=_LATENTS,
            out_channels=_LATENTS,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=2 * WORDS,
            caption_projection_dim=32,
            pooled_projection_dim=2 * WORDS,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        text_encoder=CLIPTextModelWithProjection(_text_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer)),
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(folder, safe_serialization=True)


def flux(folder: Path) -> None:
    """Writes a FluxPipeline as FLUX.1-dev is, with guidance as an input of its transformer."""
    import diffusers
    import torch
    from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5TokenizerFast

    torch.manual_seed(_SEED + 1)
    tokenizer = tokenizer_of_letters(folder)
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -1.0),
        *((chr(code), -2.0) for code in range(97, 123)),
    ]
    t5 = T5TokenizerFast(vocab=pieces, extra_ids=0)
    small = {"d_model": WORDS, "d_ff": 64, "d_kv": 8, "num_layers": 1, "num_heads": 4}
    diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=4 * _LATENTS,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WORDS,
            pooled_projection_dim=WORDS,
            guidance_embeds=True,
            axes_dims_rope=[4, 4, 8],
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=len(t5), **small)),
        tokenizer_2=t5,
    ).save_pretrained(folder, safe_serialization=True)


def _text_config(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
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


def _vae() -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 16, 16],
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=_LATENTS,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    )
