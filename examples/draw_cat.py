"""Draw `cat.png`, the sample picture: the project drew it itself, with this script alone.

Run it from any folder with `python examples/draw_cat.py`; the same picture comes out every time.
"""

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Point = tuple[float, float]
Shape = list[Point]

WIDTH, HEIGHT, SCALE = 512, 384, 4  # drawn four times as large, then reduced: smooth edges
LARGE = (WIDTH * SCALE, HEIGHT * SCALE)
AXIS = 336  # the column the cat is symmetrical about
STRIPE, SHADE, CREAM, INK, PINK = "#a04a16", "#6b2a12", "#fff4e2", "#33190f", "#ee9a94"
GREENS = ("#3f8f33", "#2f7a2c", "#5fae3e", "#7cc04a", "#27692a")
PETALS = ("#e3262e", "#ffffff", "#ffd42a", "#e3262e", "#a95bd6")


def curve(*points: Point, closed: bool = True) -> Shape:
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
    turns = [math.tau * i / 60 for i in range(60)]
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


def stroke(start: float, end: float, *points: Point) -> list[Shape]:
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
        points = [(x * SCALE, y * SCALE) for x, y in shape]
        ImageDraw.Draw(mask).polygon(points, fill=round(255 * alpha))
    return mask.filter(ImageFilter.GaussianBlur(blur * SCALE)) if blur else mask


def gradient(first: str, last: str, top: int, bottom: int) -> Image.Image:
    """Make a layer of one colour above `top` that has turned into the other at `bottom`."""
    low, high = (y * 255 // HEIGHT for y in (top, bottom))
    ramp = Image.linear_gradient("L").resize(LARGE)
    return ImageOps.colorize(ramp, first, last, blackpoint=low, whitepoint=high)


def draw_landscape(image: Image.Image) -> None:
    """Draw the sun, the clouds, the hills and the trees on them."""
    for radius, blur, alpha in ((95, 40, 0.6), (48, 14, 0.8), (25, 0.6, 1)):
        image.paste("#fff3b0", mask=cover(oval(96, 76, radius, radius), blur=blur, alpha=alpha))
    puffs = ((-34, 4, 22, 9), (-14, -6, 20, 15), (10, -10, 22, 18), (34, 2, 24, 11), (0, 6, 50, 8))
    for x, y, k in ((212, 56, 1.0), (452, 92, 1.15), (30, 150, 0.7), (222, 134, 0.55)):
        cloud = [oval(x + a * k, y + b * k, c * k, d * k) for a, b, c, d in puffs]
        image.paste(gradient("#ffffff", "#a9cbe8", y - 4, y + 18), mask=cover(*cloud, blur=1.6))
    for top, colour, bend in ((186, "#6484bd", 1.9), (210, "#4a9a66", 4), (238, "#4a9c38", 0)):
        ridge = [(x, top + 14 * math.sin(x / 62 + bend)) for x in range(-4, WIDTH + 4)]
        ground = cover([*ridge, (WIDTH, HEIGHT), (0, HEIGHT)])
        image.paste(gradient(colour, "#b4dc8c", top - 10, top + 60), mask=ground)
    for x, y, k in ((40, 216, 15), (66, 222, 11), (168, 211, 9), (452, 200, 11), (484, 199, 17)):
        image.paste("#5a3a22", mask=cover(*stroke(4, 3, (x, y + k * 1.6), (x, y))))
        image.paste(gradient("#58a548", "#174a2c", y - k, y + k), mask=cover(oval(x, y, k, k * 1.2)))


def draw_meadow(image: Image.Image, chance: random.Random, top: int, bottom: int) -> None:
    """Draw grass and flowers, from the farthest row to the nearest."""
    draw = ImageDraw.Draw(image)
    for y in range(top * SCALE, bottom * SCALE, 2 * SCALE):
        near = y / 160 - 5.6  # how large things look
        for _ in range(110):
            x, tall, lean = chance.uniform(0, LARGE[0]), 16 + 26 * near * chance.random(), near * 5
            blade = [(x, y + 16), (x + chance.gauss(0, lean), y - tall), (x + 4 + 3 * near, y + 16)]
            draw.polygon(blade, fill=chance.choice(GREENS))
        x, petal = chance.uniform(0, LARGE[0]), chance.choice(PETALS)
        for spot in oval(x, y, 4 + 5 * near, 4 + 5 * near)[::12]:
            draw.circle(spot, 3 + 4 * near, fill=petal)
        draw.circle((x, y), 2 + 3 * near, fill="#f2b01e")


def draw_fur(image: Image.Image, shapes: list[Shape], dark: list[Shape], pale: list[Shape]) -> None:
    """Draw a furry part of the cat with its dark and pale markings, lit from the upper left."""
    part, chance = cover(*shapes), random.Random(3)
    image.paste(gradient("#f8ac4c", "#d9762a", 80, 345), mask=part)
    image.paste(STRIPE, mask=ImageChops.multiply(part, cover(*dark, blur=0.8, alpha=0.8)))
    image.paste(CREAM, mask=ImageChops.multiply(part, cover(*pale, blur=2)))
    for colour in ("#ffe6b8", "#7c3510"):
        roots = [(chance.uniform(250, 500), chance.uniform(60, 350)) for _ in range(3000)]
        hairs = [[(x, y), (x + 1, y), (x + (x - AXIS) * 0.05, y + 8)] for x, y in roots]
        image.paste(colour, mask=ImageChops.multiply(part, cover(*hairs, alpha=0.3)))
    for shift, colour in ((-7 * SCALE, SHADE), (5 * SCALE, "#fff0c0")):
        moved = ImageChops.offset(cover(*shapes, blur=6), shift, shift // 2)
        rim = ImageChops.multiply(cover(*shapes, alpha=0.6), ImageChops.invert(moved))
        image.paste(colour, mask=rim)


def draw_cat(image: Image.Image) -> None:
    """Draw the sitting cat: shadow, tail, body, legs, ears, head, face and whiskers."""
    image.paste("#123d18", mask=cover(oval(AXIS + 25, 346, 110, 13), blur=7, alpha=0.7))
    tail = stroke(24, 15, (385, 332), (428, 334), (454, 306), (446, 268), (456, 238), (474, 234))
    rings = [ring for y in (252, 270, 288, 306) for ring in stroke(6, 6, (434, y), (468, y + 3))]
    draw_fur(image, tail, rings, [oval(476, 233, 11, 14)])
    bands = [both(*stroke(9, 1, (80, y), (50, y + 4), (30, y + 16))) for y in (222, 244, 268, 292)]
    torso = curve((0, 170), (34, 190), (46, 232), (60, 272), (70, 314), (58, 346), (0, 348))
    thigh = curve((34, 330), (44, 294), (66, 290), (76, 318), (70, 346), (40, 348))
    for part, pale in ((torso, oval(0, 0, 1, 1)), (thigh, oval(50, 347, 22, 9))):
        draw_fur(image, both(part), [shape for band in bands for shape in band], both(pale))
    draw_fur(image, both(*stroke(26, 24, (15, 226), (18, 280), (17, 340))), [], [])
    bib = curve((-6, 176), (30, 190), (27, 222), (12, 240), (0, 262), (-8, 230))
    front = cover(*both(bib, oval(18, 344, 17, 9)), blur=1.5)
    image.paste(gradient("#e3c8a4", CREAM, 186, 214), mask=front)
    image.paste(SHADE, mask=cover(oval(AXIS + 3, 188, 46, 14), blur=6, alpha=0.6))
    ear = curve((12, 112), (28, 92), (48, 72), (57, 100), (58, 138), (30, 130))
    draw_fur(image, both(ear), [], [])
    pit = curve((24, 112), (35, 97), (46, 85), (51, 102), (51, 124))
    image.paste(PINK, mask=cover(*both(pit), blur=1))
    marks = [stroke(2, 6, (x * 0.8, 132), (x, 118), (x * 1.2, 104)) for x in (4, 14, 24)]
    marks += [stroke(1, 5, (40, y + 3), (52, y), (68, y - 4)) for y in (150, 162)]
    skull = curve((-4, 106), (26, 108), (49, 122), (62, 153), (54, 175), (29, 189), (-4, 192))
    muzzle = both(oval(10, 171, 16, 12), oval(0, 182, 14, 9), oval(0, 150, 5, 18))
    draw_fur(image, both(skull), both(*sum(marks, [])), muzzle)
    lids = curve((11, 151), (24, 134.5), (39, 142), (27, 158))
    image.paste(INK, mask=cover(*both(lids)))
    image.paste(gradient("#3f9a3c", "#d6ec6a", 136, 158), mask=cover(*both(oval(25, 147, 10, 10))))
    mouth = stroke(1.8, 1.2, (0, 167), (1, 173), (7, 177), (14, 174))
    image.paste(INK, mask=cover(*both(*mouth, oval(24.5, 146.5, 4.6, 8.4))))
    image.paste(PINK, mask=cover(*both(curve((-1, 160), (7, 161), (4, 165), (-1, 168)))))
    white = [oval(AXIS + x, 142.5, 2.8, 2.8) for x in (-28, 22)]  # the light in the eyes
    for y in (-7, 1, 9):
        white += both(*stroke(1.4, 0.8, (18, 170 + y / 3), (46, 168 + y), (78, 172 + 2 * y)))
    image.paste("#ffffff", mask=cover(*white))


def main() -> None:
    """Draw the picture and write it beside this script."""
    chance, image = random.Random(7), gradient("#1f6fd0", "#d5ecf7", 0, 215)
    draw_landscape(image)
    draw_meadow(image, chance, 242, 346)
    draw_cat(image)
    draw_meadow(image, chance, 356, 392)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    small.save(Path(__file__).with_name("cat.png"), optimize=True)


if __name__ == "__main__":
    main()
