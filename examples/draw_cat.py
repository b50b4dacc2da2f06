"""Draw `cat.png`, the sample picture: the project drew it itself, with this script alone.

Run it from any folder with `python examples/draw_cat.py`; the same picture comes out every time.
"""

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Shape = list[tuple[float, float]]

WIDTH, HEIGHT, SCALE = 512, 384, 4  # drawn four times as large, then reduced: smooth edges
LARGE = (WIDTH * SCALE, HEIGHT * SCALE)
AXIS = 336  # the column the cat is symmetrical about
STRIPE, SHADE, CREAM, INK, PINK = "#a04a16", "#6b2a12", "#fff4e2", "#33190f", "#ee9a94"
GREENS = ("#3f8f33", "#2f7a2c", "#5fae3e", "#7cc04a", "#27692a")
PETALS = ("#e3262e", "#ffffff", "#ffd42a", "#a95bd6")


def curve(*points: tuple[float, float], closed: bool = True) -> Shape:
    """Lay a Catmull-Rom curve through the points."""
    knots = [points[-1], *points, *points[:2]] if closed else [points[0], *points, points[-1]]
    found: Shape = []
    for near in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for t in (step / 48 for step in range(48)):
            w = (2 * t**2 - t**3 - t, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
            x, y = (sum(k * p[i] for k, p in zip(w, near, strict=True)) / 2 for i in (0, 1))
            found.append((x, y))
    return found


def oval(x: float, y: float, rx: float, ry: float) -> Shape:
    """Outline an ellipse."""
    return [(x + rx * math.cos(i / 10), y + ry * math.sin(i / 10)) for i in range(63)]


def stroke(start: float, end: float, *points: tuple[float, float]) -> list[Shape]:
    """Follow the curve through the points with discs whose width goes from `start` to `end`."""
    line = curve(*points, closed=False)
    radii = [(start + (end - start) * i / len(line)) / 2 for i in range(len(line))]
    return [oval(x, y, radius, radius) for (x, y), radius in zip(line, radii, strict=True)]


def both(*shapes: Shape) -> list[Shape]:
    """Place shapes, given as offsets from the cat's axis, on either side of it."""
    return [[(AXIS + side * x, y) for x, y in shape] for shape in shapes for side in (-1, 1)]


def cover(*shapes: Shape, blur: float = 0, alpha: float = 1) -> Image.Image:
    """Make the mask of everything inside the shapes, softened and thinned as asked."""
    mask = Image.new("L", LARGE)
    for shape in shapes:
        ImageDraw.Draw(mask).polygon([(x * SCALE, y * SCALE) for x, y in shape], int(255 * alpha))
    return mask.filter(ImageFilter.GaussianBlur(blur * SCALE)) if blur else mask


def gradient(first: str, last: str, top: int, bottom: int) -> Image.Image:
    """Make a layer of one colour above `top` that has turned into the other at `bottom`."""
    ramp = Image.linear_gradient("L").resize(LARGE)
    return ImageOps.colorize(ramp, first, last, None, top * 255 // HEIGHT, bottom * 255 // HEIGHT)


def draw_landscape(art: Image.Image) -> None:
    """Draw the sun, the clouds, the hills and the trees on them."""
    for radius, blur, alpha in ((95, 40, 0.6), (48, 14, 0.8), (25, 0.6, 1)):
        art.paste("#fff3b0", mask=cover(oval(96, 76, radius, radius), blur=blur, alpha=alpha))
    puffs = ((-34, 4, 22, 9), (-14, -6, 20, 15), (10, -10, 22, 18), (34, 2, 24, 11), (0, 6, 50, 8))
    for x, y, k in ((212, 56, 1.0), (452, 92, 1.15), (30, 150, 0.7), (222, 134, 0.55)):
        cloud = [oval(x + a * k, y + b * k, c * k, d * k) for a, b, c, d in puffs]
        art.paste(gradient("#ffffff", "#a9cbe8", y - 4, y + 18), mask=cover(*cloud, blur=1.6))
    for top, colour, bend in ((186, "#6484bd", 1.9), (210, "#4a9a66", 4), (238, "#4a9c38", 0)):
        ridge = [(x, top + 14 * math.sin(x / 62 + bend)) for x in range(WIDTH + 1)]
        hill = cover([*ridge, (WIDTH, HEIGHT), (0, HEIGHT)])
        art.paste(gradient(colour, "#b4dc8c", top - 10, top + 60), mask=hill)
    for x, y, k in ((40, 216, 15), (66, 222, 11), (168, 211, 9), (452, 200, 11), (484, 199, 17)):
        art.paste("#5a3a22", mask=cover(oval(x, y + k, 2, k)))
        art.paste(gradient("#58a548", "#174a2c", y - k, y + k), mask=cover(oval(x, y, k, k)))


def draw_meadow(art: Image.Image, top: int, bottom: int) -> None:
    """Draw grass and flowers, from the farthest row to the nearest."""
    draw, chance = ImageDraw.Draw(art), random.Random(top)
    for y in range(top * SCALE, bottom * SCALE, 2 * SCALE):
        near = y / 160 - 5.6  # how large things look
        for _ in range(110):
            x, tall, lean = chance.uniform(0, LARGE[0]), 16 + 26 * near * chance.random(), near * 5
            blade = [(x, y + 16), (x + chance.gauss(0, lean), y - tall), (x + 4 + 3 * near, y + 16)]
            draw.polygon(blade, fill=chance.choice(GREENS))
        x, high, petal = chance.uniform(0, LARGE[0]), y - 22 * near, chance.choice(PETALS)
        for spot in oval(x, high, 4 + 5 * near, 4 + 5 * near)[::13]:
            draw.circle(spot, 3 + 4 * near, fill=petal)
        draw.circle((x, high), 2 + 3 * near, fill="#f2b01e")


def draw_fur(art: Image.Image, shapes: list[Shape], dark: list[Shape], pale: list[Shape]) -> None:
    """Draw a furry part of the cat with its dark and pale markings, lit from the upper left."""
    part, chance = cover(*shapes), random.Random(3)
    art.paste(gradient("#f8ac4c", "#d9762a", 80, 345), mask=part)
    art.paste(STRIPE, mask=ImageChops.multiply(part, cover(*dark, blur=0.8, alpha=0.8)))
    for colour in ("#ffe6b8", "#7c3510"):
        roots = [(chance.uniform(250, 500), chance.uniform(60, 350)) for _ in range(3000)]
        hairs = [[(x, y), (x + 1, y), (x + (x - AXIS) * 0.05, y + 8)] for x, y in roots]
        art.paste(colour, mask=ImageChops.multiply(part, cover(*hairs, alpha=0.3)))
    art.paste(CREAM, mask=ImageChops.multiply(part, cover(*pale, blur=2)))
    for shift, colour in ((-7 * SCALE, SHADE), (5 * SCALE, "#fff0c0")):
        moved = ImageChops.offset(cover(*shapes, blur=6), shift, shift // 2)
        art.paste(colour, mask=ImageChops.subtract(part, moved, scale=1.6))


def draw_cat(art: Image.Image) -> None:
    """Draw the sitting cat: shadow, tail, body, legs, ears, head, face and whiskers."""
    art.paste("#123d18", mask=cover(oval(AXIS + 25, 346, 110, 13), blur=7, alpha=0.7))
    tail = stroke(24, 15, (385, 332), (428, 334), (454, 306), (446, 268), (456, 238), (474, 234))
    rings = [ring for y in (252, 270, 288, 306) for ring in stroke(6, 6, (434, y), (468, y + 3))]
    draw_fur(art, tail, rings, [oval(476, 233, 11, 14)])
    bars = [s for y in (222, 244, 268, 292) for s in stroke(9, 1, (80, y), (50, y), (30, y + 14))]
    draw_fur(art, both(curve((0, 172), (34, 190), (58, 268), (68, 314), (0, 350))), both(*bars), [])
    draw_fur(art, both(oval(54, 318, 22, 30)), both(*bars), both(oval(50, 347, 22, 9)))
    draw_fur(art, both(*stroke(26, 25, (15, 226), (18, 340))), [], both(oval(18, 349, 20, 16)))
    art.paste(CREAM, mask=cover(*both(curve((-6, 176), (30, 190), (26, 224), (0, 262))), blur=2))
    art.paste(SHADE, mask=cover(oval(AXIS, 186, 36, 16), blur=5, alpha=0.6))
    draw_fur(art, both(curve((12, 112), (28, 92), (48, 72), (57, 100), (58, 138))), [], [])
    art.paste(PINK, mask=cover(*both(curve((24, 112), (35, 97), (46, 85), (51, 102), (51, 124)))))
    skull = curve((-4, 106), (26, 108), (49, 122), (62, 153), (54, 175), (29, 189), (-4, 192))
    marks = [s for x in (4, 14, 24) for s in stroke(2, 6, (x * 0.8, 132), (x, 118), (x * 1.2, 104))]
    draw_fur(art, both(skull), both(*marks), both(oval(9, 174, 17, 14), oval(0, 150, 5, 18)))
    art.paste(INK, mask=cover(*both(curve((11, 151), (24, 134.5), (39, 142), (27, 158)))))
    art.paste(gradient("#3f9a3c", "#d6ec6a", 136, 158), mask=cover(*both(oval(25, 147, 10, 10))))
    mouth = stroke(2, 1.4, (0, 167), (1, 173), (7, 177), (14, 174))
    art.paste(INK, mask=cover(*both(*mouth, oval(25, 147, 4.7, 8.2))))
    art.paste(PINK, mask=cover(*both(curve((-1, 160), (7, 161), (4, 165), (-1, 168)))))
    pale = [s for y in (164, 170, 177) for s in stroke(1, 1, (18, 170), (46, y), (78, 2 * y - 170))]
    art.paste("#ffffff", mask=cover(*both(*pale, oval(23, 142, 2.8, 2.8))))


def main() -> None:
    """Draw the picture and write it beside this script."""
    art = gradient("#1f6fd0", "#d5ecf7", 0, 215)
    draw_landscape(art)
    draw_meadow(art, 242, 346)
    draw_cat(art)
    draw_meadow(art, 356, 392)
    small = art.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    small.save(Path(__file__).with_name("cat.png"), optimize=True)


if __name__ == "__main__":
    main()
