"""The networks of Stable Diffusion 1.5, 2.1 and XL as their model cards' configurations describe them, as data.

Speed does not depend on the weights, so random ones will do. What diffusers has as its own default is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


def _fixed(**values: Any) -> Mapping[str, Any]:
    return MappingProxyType(values)


SD15_UNET: Final = _fixed(cross_attention_dim=768, sample_size=64)
PIX2PIX_UNET: Final = _fixed(**SD15_UNET, in_channels=8)
SD21_UNET: Final = _fixed(
    cross_attention_dim=1024, sample_size=64, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True
)
SDXL_UNET: Final = _fixed(
    cross_attention_dim=2048,
    sample_size=128,
    block_out_channels=[320, 640, 1280],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block=[1, 2, 10],
    attention_head_dim=[5, 10, 20],
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
VAE: Final = _fixed(
    block_out_channels=[128, 256, 512, 512],
    down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4,
    layers_per_block=2,
    latent_channels=4,
    sample_size=512,
)
CLIP_L: Final = _fixed(
    hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
)
OPENCLIP_H: Final = _fixed(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=23,
    num_attention_heads=16,
    projection_dim=512,
    hidden_act="gelu",
)
OPENCLIP_BIGG: Final = _fixed(
    hidden_size=1280,
    intermediate_size=5120,
    num_hidden_layers=32,
    num_attention_heads=20,
    projection_dim=1280,
    hidden_act="gelu",
)


@dataclass(frozen=True)
class Architecture:
    """What a repository is made of."""

    pipeline: str
    scheduler: str
    unet: Mapping[str, Any]
    text: tuple[Mapping[str, Any], ...]
    """One text encoder, or two."""
    scaling_factor: float = 0.18215
    """Of the VAE's latents."""


_SDXL: Final = Architecture(
    "StableDiffusionXLPipeline", "EulerDiscreteScheduler", SDXL_UNET, (CLIP_L, OPENCLIP_BIGG), 0.13025
)
MODELS: Final[Mapping[str, Architecture]] = MappingProxyType(
    {
        "stabilityai/sd-turbo": Architecture(
            "StableDiffusionPipeline", "EulerDiscreteScheduler", SD21_UNET, (OPENCLIP_H,)
        ),
        "timbrooks/instruct-pix2pix": Architecture(
            "StableDiffusionInstructPix2PixPipeline", "EulerAncestralDiscreteScheduler", PIX2PIX_UNET, (CLIP_L,)
        ),
        "stabilityai/sdxl-turbo": _SDXL,
        "SG161222/RealVisXL_V4.0": _SDXL,
    }
)
"""By id."""
