"""What one step of training sees: crops of drawn pictures, what they are to become, and what is said about it."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import trange

from easel_demo.edits import EDITS, WEIGHTS
from easel_demo.pictures import picture
from easel_demo.prompts import prompt

SIDE: Final = 176
"""Of the drawn pictures."""
_SIZES: Final = ((32, 32), (32, 32), (32, 32), (40, 24), (24, 40), (48, 48), (48, 48), (64, 64), (96, 64), (96, 144))
"""Heights and widths of crops; most are small, because many samples teach more than large ones."""
_NO_TEXT, _NO_PICTURE = 0.06, 0.04
"""How often the prompt alone is left out, and how often the picture too: what guidance compares with. A picture without
a prompt stays as it was, so that an empty prompt keeps it, and guidance says how strong an edit is."""


@dataclass(frozen=True)
class Samples:
    """Of one step."""

    before: torch.Tensor
    """(count, 3, height, width), 0 to 1."""
    after: torch.Tensor
    prompts: list[str]
    seen: torch.Tensor
    """(count, 1, 1, 1): 0 where the picture must not be seen, else 1."""


def pool(file: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """`count` drawn pictures, kept in `file`: (count, SIDE, SIDE, 3)."""
    if not file.is_file():
        drawn = np.stack(
            [np.asarray(picture(seed + place, SIDE)) for place in trange(count, desc="pictures", mininterval=10)]
        )
        np.save(file, drawn)
    pictures: NDArray[np.uint8] = np.load(file)
    return pictures


def crops(pictures: NDArray[np.uint8], size: tuple[int, int], count: int, chance: random.Random) -> torch.Tensor:
    """Parts of some of the pictures, at this height and width, some made smaller, mirrored, in other colours."""
    high, wide = size
    made = []
    for _ in range(count):
        whole = pictures[chance.randrange(len(pictures))]
        scale = min(chance.choice((1, 1, 1.5, 2, 3)), SIDE / max(size))
        rows, columns = int(high * scale), int(wide * scale)
        top, left = chance.randint(0, SIDE - rows), chance.randint(0, SIDE - columns)
        part = torch.from_numpy(whole[top : top + rows, left : left + columns]).permute(2, 0, 1).float() / 255
        if scale > 1:
            part = functional.interpolate(part[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
        part = part[chance.sample(range(3), 3)]
        made.append(part.flip(-1) if chance.random() < 0.5 else part)
    return torch.stack(made).clamp(0, 1)  # rounding leaves some a hair above 1


def samples(pictures: NDArray[np.uint8], pixels: int, chance: random.Random) -> Samples:
    """As many as have about `pixels` pixels together."""
    size = chance.choice(_SIZES)
    count = max(1, round(pixels / (size[0] * size[1])))
    before = crops(pictures, size, count, chance)
    after, prompts, seen = [], [], []
    for part in before:
        edit, said, is_seen = _wish(chance)
        after.append(EDITS[edit](part))
        prompts.append(said)
        seen.append(float(is_seen))
    return Samples(before, torch.stack(after), prompts, torch.tensor(seen).view(-1, 1, 1, 1))


def _wish(chance: random.Random) -> tuple[str, str, bool]:
    """An edit, what is said of it, and whether the picture may be seen."""
    edit = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    kind = chance.random()
    if kind < _NO_PICTURE:
        return edit, "", False
    if kind < _NO_PICTURE + _NO_TEXT:
        return "keep", "", True
    return edit, prompt(edit, chance), True
