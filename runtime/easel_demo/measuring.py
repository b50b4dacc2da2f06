"""How near the model comes to the formulas, on scenes that it never saw."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from easel_demo.edits import EDITS
from easel_demo.scenes import harbour

_SIZES: Final = ((256, 256), (320, 192), (144, 240))
_SAID: Final = {
    "keep": "add a lighthouse",
    "black and white": "make it black and white",
    "old photo": "turn it into an old photo",
    "invert": "invert the colors",
    "sketch": "turn it into a pencil sketch",
    "vivid": "make it more vivid",
    "contrast": "add more contrast to it",
}
"""What is said for an edit where it is not "make it ..." with its name."""


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """How alike two pictures of 0 to 1 are, in decibels: at 20 they differ by a tenth of the range, at 30 by 3 %."""
    return float(-10 * torch.log10((one - other).square().mean().clamp(min=1e-10)))


def pixels_of(image: Image.Image) -> torch.Tensor:
    """(3, height, width), 0 to 1."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def table(pipeline: Any) -> str:
    """A row of Markdown for each edit: what was said, PSNR by picture size, and what the autoencoder alone allows."""
    scenes = [harbour(seed, *size) for seed, size in enumerate(_SIZES)]
    rows = ["| edit | said | " + " | ".join(f"{wide} x {high}" for wide, high in _SIZES) + " | autoencoder alone |"]
    rows.append("| --- | --- |" + " --- |" * (len(_SIZES) + 1))
    for edit in EDITS:
        said = _SAID.get(edit, f"make it {edit}")
        found = " | ".join(f"{number:.1f}" for number in _measured(pipeline, scenes, edit, said))
        rows.append(f"| {edit} | {said} | {found} |")
    return "\n".join(rows) + "\n"


def _measured(pipeline: Any, scenes: list[Image.Image], edit: str, said: str) -> Iterator[float]:
    for scene in scenes:
        yield psnr(pixels_of(edited(pipeline, scene, said)), EDITS[edit](pixels_of(scene)))
    wanted = EDITS[edit](pixels_of(scenes[0]))[None] * 2 - 1
    with torch.inference_mode():
        yield psnr(pipeline.vae.decode(pipeline.vae.encode(wanted).latents).sample.clamp(-1, 1) / 2, wanted / 2)


def edited(pipeline: Any, scene: Image.Image, said: str) -> Image.Image:
    """What the pipeline makes of `scene`, as by default."""
    made: Image.Image = pipeline(
        said,
        scene,
        num_inference_steps=10,
        guidance_scale=1,
        generator=torch.Generator("cpu").manual_seed(7),
    ).images[0]
    return made
