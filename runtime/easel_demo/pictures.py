"""Pictures to learn from, all drawn here: the same one from the same seed."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Chance = np.random.Generator
Pixels = NDArray[np.float32]
Colour = tuple[int, int, int]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,!?"


def picture(seed: int, side: int) -> Image.Image:
    """A square picture of `side` pixels; which kind, colours and shapes come of `seed`."""
    chance = np.random.default_rng(seed)
    weights = np.array([weight for _, weight in _KINDS])
    kind = _KINDS[int(chance.choice(len(_KINDS), p=weights / weights.sum()))][0]
    return _exposed(chance, kind(chance, side))


def _colour(chance: Chance) -> Colour:
    """Greyish as often as strong, dark as often as light."""
    base = chance.uniform(0, 255)
    strength = chance.choice((20.0, 60.0, 140.0, 255.0))
    red, green, blue = np.clip(base + strength * chance.uniform(-0.7, 0.7, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def _near(chance: Chance, colour: Colour, by: float) -> Colour:
    red, green, blue = np.clip(np.array(colour) + chance.normal(0, by, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def _cloudy(chance: Chance, side: int, roughness: float) -> Pixels:
    """Noise whose amplitude falls with the frequency to the power `roughness`: mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1
    waves = np.fft.rfft2(chance.normal(size=(side, side))) / frequency**roughness
    waves[0, 0] = 0
    field = np.fft.irfft2(waves, (side, side))
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def _to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _noise(chance: Chance, side: int) -> Image.Image:
    """Clouds, leaves, rust: a common pattern of light, and some of each colour's own."""
    rough = chance.uniform(0.7, 1.8)
    light = _cloudy(chance, side, rough)[..., None] * chance.uniform(20, 70)
    tint = np.stack([_cloudy(chance, side, rough + 0.3) for _ in range(3)], -1) * chance.uniform(5, 45)
    return _to_image(np.array(_colour(chance), np.float32) + light + tint)


def _gradient(chance: Chance, side: int) -> Image.Image:
    """From one colour to another, in some direction, or out from some place."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    if chance.random() < 0.3:
        way = np.hypot(rows - chance.random(), columns - chance.random())
    else:
        angle = chance.uniform(0, 2 * math.pi)
        way = math.cos(angle) * rows + math.sin(angle) * columns
    way = (way - way.min()) / (np.ptp(way) + 1e-6)
    first, last = (np.array(_colour(chance), np.float32) for _ in range(2))
    return _to_image(first + (last - first) * way[..., None])


def _background(chance: Chance, side: int) -> Image.Image:
    return (_gradient, _gradient, _noise)[int(chance.integers(3))](chance, side)


def _blob(chance: Chance, side: int) -> list[tuple[float, float]]:
    """The outline of a stone, a leaf, a polygon."""
    corners = int(chance.integers(3, 12))
    x, y, radius = (*chance.uniform(0, side, 2), side * chance.uniform(0.03, 0.35))
    turn, flat = chance.uniform(0, 7), chance.uniform(0.3, 1)
    return [
        (
            x + radius * chance.uniform(0.6, 1) * math.cos(turn + 2 * math.pi * corner / corners),
            y + flat * radius * chance.uniform(0.6, 1) * math.sin(turn + 2 * math.pi * corner / corners),
        )
        for corner in range(corners)
    ]


def _mark(chance: Chance, draw: ImageDraw.ImageDraw, side: int) -> None:
    """One shape, line or dot."""
    colour, edge = _colour(chance), _colour(chance) if chance.random() < 0.3 else None
    x, y = chance.uniform(0, side, 2)
    wide, high = side * chance.uniform(0.03, 0.4, 2)
    match int(chance.integers(5)):
        case 0:
            draw.ellipse((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), colour, edge)
        case 1:
            draw.rectangle((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), colour, edge)
        case 2:
            draw.polygon(_blob(chance, side), colour, edge)
        case 3:
            places = [tuple(chance.uniform(0, side, 2)) for _ in range(int(chance.integers(2, 5)))]
            draw.line(places, colour, int(chance.integers(1, max(2, side // 24))))
        case _:
            for _ in range(int(chance.integers(5, 60))):
                x, y, size = *chance.uniform(0, side, 2), side * chance.uniform(0.003, 0.02)
                draw.ellipse((x - size, y - size, x + size, y + size), _near(chance, colour, 25))


def _shapes(chance: Chance, side: int) -> Image.Image:
    """Flat shapes before some background."""
    art = _background(chance, side)
    draw = ImageDraw.Draw(art)
    for _ in range(int(chance.integers(2, 25))):
        _mark(chance, draw, side)
    return art


def _text(chance: Chance, side: int) -> Image.Image:
    """Lines of letters, from small print to a poster."""
    art = _background(chance, side)
    draw = ImageDraw.Draw(art)
    for _ in range(int(chance.integers(1, 9))):
        size = side * float(chance.choice((0.05, 0.08, 0.14, 0.3)))
        letters = "".join(chance.choice(list(_LETTERS), int(chance.integers(3, 25))))
        place = (chance.uniform(-0.1, 0.7) * side, chance.uniform(-0.05, 0.95) * side)
        draw.text(place, letters, _colour(chance), ImageFont.load_default(size))
    return art


def _collage(chance: Chance, side: int) -> Image.Image:
    """Things with a texture, a shade and soft edges, one before the other: nearest to a photograph."""
    art = _noise(chance, side)
    for _ in range(int(chance.integers(3, 14))):
        mask = Image.new("L", (side, side))
        pencil = ImageDraw.Draw(mask)
        if chance.random() < 0.5:
            pencil.polygon(_blob(chance, side), 255)
        else:
            (x, y), (wide, high) = chance.uniform(0, side, 2), side * chance.uniform(0.05, 0.35, 2)
            pencil.ellipse((x - wide, y - high, x + wide, y + high), 255)
        if chance.random() < 0.5:
            shadow = mask.filter(ImageFilter.GaussianBlur(side * 0.02)).point(lambda value: value // 2)
            art.paste((0, 0, 0), (int(side * 0.02), int(side * 0.02)), shadow)
        if chance.random() < 0.6:
            mask = mask.filter(ImageFilter.GaussianBlur(chance.uniform(0.5, side * 0.015)))
        art.paste((_noise, _gradient)[int(chance.integers(2))](chance, side), mask=mask)
    return art


def _landscape(chance: Chance, side: int) -> Image.Image:
    """A sky and ridges, the nearer the darker, grass or trees on them."""
    art = _gradient(chance, side)
    draw = ImageDraw.Draw(art)
    if chance.random() < 0.6:
        x, y, size = (*chance.uniform(0, 0.5 * side, 2), side * chance.uniform(0.02, 0.1))
        draw.ellipse((x - size, y - size, x + size, y + size), _colour(chance))
    colour = _colour(chance)
    for top in np.sort(chance.uniform(0.3, 0.95, int(chance.integers(2, 6)))) * side:
        line = top + side * chance.uniform(0.01, 0.06) * _cloudy(chance, side, 1.6)[0]
        colour = _near(chance, colour, 40)
        draw.polygon([*enumerate(line.tolist()), (side, side), (0, side)], colour)
        tall, spread = side * chance.uniform(0.01, 0.1), chance.uniform(5, 40)
        for _ in range(int(chance.integers(0, 400))):
            x, y = chance.uniform(0, side), chance.uniform(top, side)
            blade = [(x, y), (x + chance.normal(0, tall / 4), y - tall * chance.random()), (x + tall / 6, y)]
            draw.polygon(blade, _near(chance, colour, spread))
    return art


_KINDS: Final[tuple[tuple[Callable[[Chance, int], Image.Image], float], ...]] = (
    (_noise, 2),
    (_gradient, 0.5),
    (_shapes, 2),
    (_text, 1),
    (_collage, 3),
    (_landscape, 3),
)
"""Kinds of pictures, and how often each is drawn."""


def _exposed(chance: Chance, art: Image.Image) -> Image.Image:
    """Now and then with grain, out of focus, or in other light."""
    pixels: NDArray[np.floating] = np.asarray(art.convert("RGB"), np.float32)
    if chance.random() < 0.3:
        pixels = pixels * chance.uniform(0.6, 1.1) + chance.uniform(-30, 40)
    if chance.random() < 0.3:
        pixels = pixels + chance.normal(0, chance.uniform(1, 12), (*pixels.shape[:2], 1))
    made = _to_image(np.asarray(pixels, np.float32))
    return made.filter(ImageFilter.GaussianBlur(chance.uniform(0.5, 2))) if chance.random() < 0.2 else made
