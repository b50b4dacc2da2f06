"""What a LoRA's file holds, looked at before any of it reaches the model. Whoever made the file is not to be trusted.

diffusers takes how a LoRA was trained from the file and configures peft by it. That can switch on dropout, which makes
each picture another; initialisations that change the model's own weights; and regular expressions that never come to
an end. So only what tells the size of the weights is let through.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

_OTHER_KINDS: Final = {"dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "lokr_": "LoKr", "hada_": "LoHa"}
"""What they are called, by what is in the names of their tensors."""
_NUMBERS: Final = frozenset({"r", "lora_alpha"})
_PATTERNS: Final = frozenset({"rank_pattern", "alpha_pattern"})
_SWITCHES: Final = frozenset({"use_rslora", "lora_bias"})
_MODULE: Final = re.compile(r"\^?[\w.]+", re.ASCII)


class Unfit(Exception):
    """The file is no LoRA for this model; the message says why."""


@dataclass
class Content:
    """What was found in a file."""

    tensors: int = 0
    """Of the LoRA's weights, in diffusers' form."""

    def check_loaded(self, tensors: Sequence[torch.Tensor]) -> None:
        """Refuse if what the model has of the LoRA is not all of it; diffusers would leave out what has no place."""
        if len(tensors) != self.tensors or any(tensor.is_meta for tensor in tensors):
            raise Unfit("parts of it have no place in this model")


@contextmanager
def checked(pipeline: Any, file: Path) -> Iterator[Content]:
    """Within it `pipeline.load_lora_weights` loads `file` only if that is a LoRA, and keeps to what is let through.

    Raises:
        Unfit: it is none; also from within `load_lora_weights`.
    """
    _check_names(file)
    parts = [part for part in pipeline._lora_loadable_modules if getattr(pipeline, part, None) is not None]  # noqa: SLF001
    content = Content()
    read = pipeline.lora_state_dict

    def lora_state_dict(*arguments: Any, **more: Any) -> tuple[Any, ...]:
        tensors, *alphas, description = read(*arguments, **more)
        _check_tensors(tensors, parts)
        if not all(math.isfinite(alpha) for found in alphas for alpha in (found or {}).values()):
            raise Unfit("it holds numbers that are not finite")
        content.tensors = len(tensors)
        return tensors, *alphas, description and _without_surprises(description, tensors)

    pipeline.lora_state_dict = lora_state_dict
    try:
        yield content
    finally:
        del pipeline.lora_state_dict


def _check_names(file: Path) -> None:
    try:
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
    except SafetensorError as error:
        raise Unfit("its file is damaged, or not safetensors") from error
    for mark, kind in _OTHER_KINDS.items():
        if any(mark in name for name in names):
            raise Unfit(f"it is a {kind}, and only plain LoRAs are loaded")
    if not any("lora" in name for name in names):
        raise Unfit("its file holds no LoRA")


def _check_tensors(tensors: Mapping[str, torch.Tensor], parts: Collection[str]) -> None:
    for name, tensor in tensors.items():
        if "lora" not in name or name.partition(".")[0] not in parts:
            raise Unfit(f"it has weights for {name.partition('.lora')[0]}, which this model has not")
        if not torch.isfinite(tensor).all():
            raise Unfit("it holds numbers that are not finite")


def _without_surprises(description: Mapping[str, Any], tensors: Collection[str]) -> dict[str, Any]:
    """Of each part's settings (`unet.r`, ...) those that are let through; the tensors say for which layers they are."""
    kept: dict[str, Any] = {}
    for key, value in description.items():
        name = key.rpartition(".")[2]
        if name in _NUMBERS and _is_number(value):
            kept[key] = value
        elif name in _PATTERNS and isinstance(value, dict):
            if not all(_MODULE.fullmatch(module) and _is_number(number) for module, number in value.items()):
                raise Unfit(f"the {name} in its file is not a list of layers")
            kept[key] = value
        elif name in _SWITCHES:
            kept[key] = value is True
    for tensor in sorted(tensors):
        part, _, path = tensor.partition(".")
        layers = kept.setdefault(f"{part}.target_modules", [])
        layer = path.partition(".lora")[0].removeprefix("text_model.")
        if layer not in layers[-1:]:
            layers.append(layer)
    return kept


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
