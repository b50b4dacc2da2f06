"""`python -m easel_demo.gallery` draws docs/pictures/demo.jpg: the sample picture and what becomes of it."""

import logging
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image, ImageDraw, ImageFont

from easel_demo.measuring import edited

_ROOT: Final = Path(__file__).parents[2]
_SIDES: Final = (256, 192)
_LINE: Final = 22
_SAID: Final = (
    "make it black and white",
    "turn it into an old photo",
    "make it night",
    "make it look like sunset",
    "add a blue tint to it",
    "make it brighter",
    "invert the colors",
)


def main() -> None:
    """Edit, and lay the pictures out with what was said above each."""
    loaded: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        _ROOT / "runtime" / "easel_runtime" / "demo_model", dtype=torch.float32, local_files_only=True
    )
    loaded.set_progress_bar_config(disable=True)
    with Image.open(_ROOT / "examples" / "cat.png") as file:
        cat = file.convert("RGB").resize(_SIDES, Image.Resampling.LANCZOS)
    shown = [("examples/cat.png", cat), *((said, edited(loaded, cat, said)) for said in _SAID)]
    wide, high = _SIDES[0], _SIDES[1] + _LINE
    sheet = Image.new("RGB", (4 * wide, 2 * high), "white")
    for place, (said, picture) in enumerate(shown):
        left, top = place % 4 * wide, place // 4 * high
        ImageDraw.Draw(sheet).text((left + 6, top + 3), said, "black", ImageFont.load_default(14))
        sheet.paste(picture, (left, top + _LINE))
    target = _ROOT / "docs" / "pictures" / "demo.jpg"
    target.parent.mkdir(exist_ok=True)
    sheet.save(target, quality=88, optimize=True)


if __name__ == "__main__":
    logging.getLogger("diffusers.pipelines").setLevel(logging.ERROR)  # it expects another class of autoencoder
    main()
