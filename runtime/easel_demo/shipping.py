"""From trained parts to the folder that is shipped: diffusers' layout, in half precision."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

from diffusers import StableDiffusionInstructPix2PixPipeline

from easel_demo import networks

_CARD: Final = "README.md"


def pipeline(vae: Any, unet: Any, text_encoder: Any, tokenizer: Any) -> Any:
    """The parts as the pipeline that callers meet."""
    made: Any = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def ship(pipeline: Any, folder: Path) -> None:
    """Write `pipeline` into `folder`, in the place of all that was there but its card.

    The text encoder stays in full precision: who loads the folder without saying a type gets the parts of diffusers in
    full precision, and those of transformers as they are.
    """
    for found in folder.iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        elif found.name != _CARD:
            found.unlink()
    halves = pipeline.vae, pipeline.unet
    for half in halves:
        half.half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    for half in halves:
        half.float()
    for settings in folder.rglob("*.json"):
        _tidy(settings)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes files for their owner alone, and others install them


def _tidy(settings: Path) -> None:
    """Take out of a file of settings where its part was before, and what AutoencoderTiny writes and warns of."""
    read = json.loads(settings.read_text())
    if not isinstance(read, dict):
        return
    unwanted = {"_name_or_path"} | ({"block_out_channels"} if read.get("_class_name") == "AutoencoderTiny" else set())
    if unwanted & read.keys():
        settings.write_text(json.dumps({key: read[key] for key in read if key not in unwanted}, indent=2) + "\n")
