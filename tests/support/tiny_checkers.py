"""Safety checkers, tiny and with random weights, that take `red()` for unsafe and `blue()` for safe; for `hub`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image

from support.tiny_parts import safety_checker

CONCEPTS: Final = "CompVis/stable-diffusion-safety-checker"
LABELS: Final = "Falconsai/nsfw_image_detection"
_NEVER: Final = 2.0
"""No cosine is as large."""
_SIDE: Final = 32


def red() -> Image.Image:
    return Image.new("RGB", (64, 48), (255, 0, 0))


def blue() -> Image.Image:
    return Image.new("RGB", (64, 48), (0, 0, 255))


def concepts(folder: Path) -> None:
    """Writes CompVis/stable-diffusion-safety-checker as upstream has it: names and settings of the year 2022."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    checker, processor = safety_checker()
    with torch.no_grad():
        far, near = (_direction(checker, processor, picture) for picture in (blue(), red()))
        for weights in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
            weights.fill_(_NEVER)
        checker.concept_embeds[5] = near - far
        checker.concept_embeds_weights[5] = 0
    checker.save_pretrained(folder)
    weights = {
        name.replace("vision_model.", "vision_model.vision_model."): part.contiguous()
        for name, part in checker.state_dict().items()
    }
    positions = torch.arange(5)[None]
    save_file(
        {**weights, "vision_model.vision_model.embeddings.position_ids": positions},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "pytorch_model.bin").write_bytes(b"not to be downloaded")
    settings = {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "do_resize": True,
        "do_center_crop": True,
        "do_normalize": True,
        "size": _SIDE,
        "crop_size": _SIDE,
        "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _direction(checker: Any, processor: Any, picture: Image.Image) -> Any:
    pixels = processor(picture, return_tensors="pt").pixel_values
    embedding = checker.visual_projection(checker.vision_model(pixels)[1])[0]
    return embedding / embedding.norm()


def labels(folder: Path, names: Mapping[int, str] | None = None) -> None:
    """Writes Falconsai/nsfw_image_detection: a ViT that tells normal from nsfw, or with other labels (`names`)."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(2)
    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(**tiny, image_size=_SIDE, patch_size=16, id2label=dict(names or {0: "normal", 1: "nsfw"}))
    model = ViTForImageClassification(config).eval()
    processor = ViTImageProcessorPil(
        size={"height": _SIDE, "width": _SIDE}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
    )
    with torch.no_grad():
        safe, unsafe = (
            model.vit(processor(picture, return_tensors="pt").pixel_values)[0][0, 0] for picture in (blue(), red())
        )
        way = unsafe - safe
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
        model.classifier.weight[1] = 10 * way / way.dot(way)
        model.classifier.bias[1] = -model.classifier.weight[1].dot(unsafe + safe) / 2
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"not to be downloaded")
