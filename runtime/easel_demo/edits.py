"""What the demo model learns: edits of pictures as formulas. Pixels are tensors of (..., 3, height, width), 0 to 1."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch.nn import functional

Edit = Callable[[torch.Tensor], torch.Tensor]

_LUMA: Final = (0.299, 0.587, 0.114)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(_LUMA, dtype=pixels.dtype).view(3, 1, 1)
    return (pixels * weights).sum(-3, keepdim=True).expand_as(pixels)


def _colour(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(3, 1, 1)


def _graded(saturation: float, dark: tuple[float, ...], light: tuple[float, ...]) -> Edit:
    """Less (or more) of the colours, then black becomes `dark` and white `light`."""
    low, high = _colour(*dark), _colour(*light)

    def edit(pixels: torch.Tensor) -> torch.Tensor:
        grey = _grey(pixels)
        return (low + (high - low) * (grey + saturation * (pixels - grey))).clamp(0, 1)

    return edit


def _sketch(pixels: torch.Tensor) -> torch.Tensor:
    """Dark lines where a pixel is darker than what is around it, on white."""
    grey = _grey(pixels)
    rows = grey.reshape(-1, 3, *grey.shape[-2:])
    around = rows
    for _ in range(2):
        around = functional.avg_pool2d(functional.pad(around, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return (1 - 3 * (around - rows - 0.01).clamp(min=0)).clamp(0, 1).reshape(pixels.shape)


EDITS: Final[Mapping[str, Edit]] = MappingProxyType(
    {
        "keep": lambda pixels: pixels,
        "black and white": _grey,
        "old photo": _graded(0.1, (0.16, 0.1, 0.05), (0.98, 0.9, 0.72)),
        "brighter": lambda pixels: 1 - (1 - pixels) ** 1.8,
        "darker": lambda pixels: 0.5 * pixels,
        "night": _graded(0.5, (0.0, 0.01, 0.05), (0.3, 0.4, 0.66)),
        "sunset": _graded(0.5, (0.18, 0.05, 0.14), (1.0, 0.7, 0.38)),
        "red": _graded(0.35, (0.16, 0.0, 0.0), (1.0, 0.5, 0.45)),
        "green": _graded(0.35, (0.0, 0.12, 0.02), (0.5, 0.98, 0.5)),
        "blue": _graded(0.35, (0.0, 0.03, 0.18), (0.5, 0.68, 1.0)),
        "yellow": _graded(0.35, (0.12, 0.1, 0.0), (1.0, 0.92, 0.4)),
        "purple": _graded(0.35, (0.1, 0.0, 0.16), (0.85, 0.5, 1.0)),
        "vivid": _graded(1.8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "contrast": lambda pixels: (0.5 + 1.6 * (pixels - 0.5)).clamp(0, 1),
        "invert": lambda pixels: 1 - pixels,
        "sketch": _sketch,
    }
)
"""By name. "keep" is for instructions that the model does not know, and for none."""

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    dict.fromkeys(EDITS, 1.0) | {"keep": 3.0, "invert": 2.0, "sketch": 2.0, "brighter": 1.5, "contrast": 1.5}
)
"""How often each is trained: what is hard to learn more often."""
