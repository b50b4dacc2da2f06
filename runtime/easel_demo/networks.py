"""The demo model's networks: InstructPix2Pix in small, of the very classes that the large ones are made of.

The sizes were chosen by the clock: with them one core edits 256 x 256 pixels in about a second.
"""

from typing import Any, Final

import torch
from diffusers import AutoencoderTiny, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENT_CHANNELS: Final = 8
"""Of the twelve numbers that two by two pixels have."""
MAGNITUDE: Final = 0.5
"""What the encoder multiplies by: so small that the decoder's tanh(x / 3) hardly bends anything."""
SCALING: Final = 2.5
"""Of latents to about unit variance, for the noise."""
POSITIONS: Final = 32
"""Tokens of a prompt; what is longer is cut off."""
_WORDS: Final = 48
_FEATURES: Final = 24
WIDTHS: Final = (24, 32, 48, 48)
"""Of the UNet, from the finest level to the coarsest."""


def vae(mean: torch.Tensor, axes: torch.Tensor) -> Any:
    """An autoencoder whose encoder is exact: two by two pixels in a row, less `mean`, along the principal `axes`.

    mean: (12,), axes: (LATENT_CHANNELS, 12), both of pixels from 0 to 1 in the order row, column, colour. The decoder
    is untrained: nearest-neighbour upsampling with convolutions cannot take pixels apart exactly.
    """
    made: Any = AutoencoderTiny(
        encoder_block_out_channels=(12, 12),
        num_encoder_blocks=(0, 0),
        decoder_block_out_channels=(_FEATURES, _FEATURES),
        num_decoder_blocks=(2, 1),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=SCALING,
    )
    colours, pixels, principal = made.encoder.layers
    for part in made.encoder.parameters():
        part.data.zero_()
    for colour in range(3):
        colours.weight.data[colour, colour, 1, 1] = 1
        for row in range(2):
            for column in range(2):  # a stride of two and a padding of one: the kernel's middle is on the upper left
                pixels.weight.data[(row * 2 + column) * 3 + colour, colour, 1 + row, 1 + column] = 1
    principal.weight.data[:, :, 1, 1] = MAGNITUDE * axes
    principal.bias.data[:] = -MAGNITUDE * axes @ mean
    made.encoder.requires_grad_(requires_grad=False)
    return made


def unet() -> Any:
    """A UNet that sees the noisy latents and the input's; the prompt steers it as the time does, and by attention."""
    made: Any = UNet2DConditionModel(
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
        # Attention between pixels would take minutes for large pictures.
        only_cross_attention=True,
        mid_block_only_cross_attention=True,
        attention_head_dim=4,  # heads, in spite of its name
        cross_attention_dim=_WORDS,
        norm_num_groups=2,  # more would lose how bright a picture is
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    _pass_through(made)
    return made


def _pass_through(unet: Any) -> None:
    """Have an untrained UNet hand what it is given to its last layer as it is, so that this need not be learned.

    Half of the noisy latents and half of the input's are in each of the two groups that are normalised together.
    """
    for name, part in unet.named_modules():
        if name.endswith("conv2") or name == "conv_out":
            part.weight.data.zero_()
            part.bias.data.zero_()
    half, group = LATENT_CHANNELS // 2, WIDTHS[0] // 2
    for first in (0, 1):
        for source, gain in ((0, 1.0), (LATENT_CHANNELS, SCALING)):
            for channel in range(half):
                row = unet.conv_in.weight.data[first * group + (half if source else 0) + channel]
                row.zero_()
                row[source + first * half + channel, 1, 1] = gain
    for block in unet.up_blocks[-1].resnets:
        mixed = block.conv_shortcut.weight.data  # of what comes from below, and then of what comes from the side
        below = mixed.shape[1] - WIDTHS[0]
        mixed[:, below:] = torch.eye(WIDTHS[0])[..., None, None]
        mixed[:, :below] *= 0.1


def text_encoder(tokenizer: CLIPTokenizer) -> Any:
    """CLIP's text model in small, untrained."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WORDS,
            intermediate_size=4 * _WORDS,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=POSITIONS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def scheduler() -> Any:
    """Stable Diffusion's noise; the networks predict velocity, which this scheduler takes and at no step is nothing."""
    return EulerAncestralDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="v_prediction"
    )
