"""Scenes to measure with, of a kind that is never trained: a harbour, with houses, boats, waves and their lights."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_WALLS = ("#c8452f", "#e0b04a", "#e9e2d0", "#5f86a8", "#9a5b3c", "#7fa37a", "#d98c7a")
_SAILS = ("#f6f1e4", "#d8432c", "#2c5fa3", "#efc64a")


def harbour(seed: int, width: int, height: int) -> Image.Image:
    """A harbour of `width` x `height` pixels: another one from each seed."""
    chance = np.random.default_rng(seed)
    wide, high = 2 * width, 2 * height  # drawn twice as large, then reduced: smooth edges
    art = _sky(chance, wide, high)
    draw = ImageDraw.Draw(art)
    shore = high * chance.uniform(0.45, 0.6)
    _town(chance, draw, wide, shore)
    _sea(chance, draw, (wide, high), shore)
    for _ in range(int(chance.integers(2, 6))):
        _boat(chance, draw, (chance.uniform(0.05, 0.95) * wide, chance.uniform(shore * 1.1, high * 0.95)), high / 6)
    return art.resize((width, height), Image.Resampling.LANCZOS)


def _sky(chance: np.random.Generator, wide: int, high: int) -> Image.Image:
    top, bottom = chance.uniform((30, 70, 120), (110, 150, 220)), chance.uniform((170, 170, 160), (250, 230, 220))
    way = np.linspace(0, 1, high)[:, None, None]
    art = Image.fromarray(np.broadcast_to(top + (bottom - top) * way, (high, wide, 3)).astype(np.uint8))
    clouds = Image.new("L", art.size)
    pencil = ImageDraw.Draw(clouds)
    for _ in range(12):
        x, y, size = chance.uniform(0, wide), chance.uniform(0, high / 3), high * chance.uniform(0.02, 0.08)
        pencil.ellipse((x - 3 * size, y - size, x + 3 * size, y + size), 190)
    art.paste("white", mask=clouds.filter(ImageFilter.GaussianBlur(high / 60)))
    return art


def _town(chance: np.random.Generator, draw: ImageDraw.ImageDraw, wide: int, shore: float) -> None:
    """Houses with roofs and windows, side by side on the shore."""
    left = -0.02 * wide
    while left < wide:
        across, tall = wide * chance.uniform(0.05, 0.14), shore * chance.uniform(0.25, 0.6)
        top, right = shore - tall, left + across
        draw.rectangle((left, top, right, shore), str(chance.choice(_WALLS)))
        roof = [(left - 3, top), ((left + right) / 2, top - tall * chance.uniform(0.15, 0.4)), (right + 3, top)]
        draw.polygon(roof, str(chance.choice(("#7a2f22", "#4b4a52", "#93503a"))))
        pane = across / 7
        for x in np.arange(left + pane, right - pane, 2 * pane):
            for y in np.arange(top + pane, shore - pane, 2.2 * pane):
                light = "#ffe9a0" if chance.random() < 0.3 else "#2d3a4a"
                draw.rectangle((x, y, x + pane, y + 1.3 * pane), light)
        left = right


def _sea(chance: np.random.Generator, draw: ImageDraw.ImageDraw, size: tuple[int, int], shore: float) -> None:
    """Rows of waves, the nearer the larger and the darker."""
    wide, high = size
    colour = chance.uniform((20, 80, 100), (70, 130, 160))
    row = shore
    while row < high:
        near = (row - shore) / (high - shore)
        red, green, blue = (colour * (1.3 - 0.6 * near) + chance.normal(0, 6, 3)).clip(0, 255).astype(int).tolist()
        length, start = wide * (0.02 + 0.05 * near), chance.uniform(0, 7)
        crest = [(x, row + high * 0.006 * math.sin(start + 6.3 * x / length)) for x in range(0, wide + 4, 4)]
        draw.polygon([*crest, (wide, high), (0, high)], (red, green, blue))
        row += high * (0.012 + 0.03 * near)


def _boat(chance: np.random.Generator, draw: ImageDraw.ImageDraw, place: tuple[float, float], size: float) -> None:
    x, y = place
    length = size * chance.uniform(0.6, 1.4)
    hull = [(x - length, y - length / 4), (x + length, y - length / 4), (x + 0.7 * length, y), (x - 0.7 * length, y)]
    draw.polygon(hull, str(chance.choice(_WALLS)), "#26202a")
    draw.line((x, y - length / 4, x, y - 2 * length), "#3a2a20", 3)
    sail = [(x + 4, y - 0.4 * length), (x + 4, y - 1.9 * length), (x + 0.9 * length, y - 0.4 * length)]
    draw.polygon(sail, str(chance.choice(_SAILS)))
