"""Pictures that are damaged, or lie, or are meant to exhaust who opens them; the same ones for the same seed."""

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from PIL import Image

from support.picture_bombs import BOMBS, chunk
from support.pictures import encoded, picture

Chance = random.Random
Mutation = Callable[[bytearray, Chance], None]
NUMBERS = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    60_000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
]


@dataclass(frozen=True)
class Upload:
    """A file as a caller sends it."""

    number: int
    origin: str
    """What it was made of and how."""
    data: bytes
    filename: str
    content_type: str

    def form(self) -> tuple[str, bytes]:
        """Content type and body of a form with it."""
        boundary = "easel-damaged-picture-boundary"
        kind = f"Content-Type: {self.content_type}\r\n" if self.content_type else ""
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="image"; filename="{self.filename}"\r\n{kind}\r\n'
        ).encode()
        return f"multipart/form-data; boundary={boundary}", body + self.data + f"\r\n--{boundary}--\r\n".encode()


FILENAMES = ["in.png", "", "cat.exe", "../../etc/passwd", "x" * 300, "Kätzchen.jpg", "a;b=c", "a%00.png", ".", "CON"]
TYPES = [
    "image/png",
    "",
    "image/jpeg",
    "text/html",
    "application/octet-stream",
    "image/svg+xml",
    "nonsense",
    "a/b; c=d",
]


def upload(seed: int, number: int) -> Upload:
    """The first ones are the `BOMBS`, all others are of `originals` with one to four mutations."""
    chance = Chance(f"{seed}/{number}")
    origin, data = _bomb(number) if number < len(BOMBS) else _mutated(chance)
    return Upload(number, origin, data, chance.choice(FILENAMES), chance.choice(TYPES))


def _bomb(number: int) -> tuple[str, bytes]:
    name = list(BOMBS)[number]
    return name, BOMBS[name]()


def _mutated(chance: Chance) -> tuple[str, bytes]:
    name = chance.choice(list(originals()))
    data = bytearray(originals()[name])
    fitting = [*ANYWHERE, *OF_FORMAT.get(name.partition(" ")[0], [])]
    chosen = [chance.choice(fitting) for _ in range(chance.choice((1, 1, 1, 2, 3, 4)))]
    for mutation in chosen:
        mutation(data, chance)
    return f"{name}: {', '.join(mutation.__name__ for mutation in chosen)}", bytes(data)


# Originals --------------------------------------------------------------------------------------------------------


@cache
def originals() -> Mapping[str, bytes]:
    """Good pictures of every format that is taken, in every mode that it has; the name begins with the format's."""
    colour = picture(48, 32)
    grey, wide = colour.convert("L"), grey_of_sixteen_bits()
    clear = colour.copy()
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:01 00:00:00"
    made = {
        **{f"PNG {image.mode}": _saved(image) for image in (colour, clear, grey, grey.convert("LA"), wide)},
        **{f"PNG {mode}": _saved(colour.convert(mode)) for mode in ("1", "P")},
        "PNG P with a transparent colour": _saved(colour.convert("P"), transparency=3),
        "PNG animated": _saved(colour, save_all=True),
        "PNG with EXIF": _saved(colour, exif=exif, dpi=(72, 72)),
        **{f"JPEG {mode}": _saved(colour.convert(mode), "JPEG") for mode in ("RGB", "L", "CMYK")},
        "JPEG progressive": _saved(colour, "JPEG", progressive=True),
        "JPEG with EXIF": _saved(colour, "JPEG", exif=exif),
        "JPEG of several pictures": _saved(colour, "MPO", save_all=True),
        "WEBP lossy": _saved(colour, "WEBP"),
        "WEBP lossless": _saved(clear, "WEBP", lossless=True),
        "WEBP animated with EXIF": _saved(colour, "WEBP", exif=exif, save_all=True),
        "GIF": _saved(colour.convert("P"), "GIF", comment=b"a cat"),
        "GIF animated": _saved(colour, "GIF", save_all=True),
        **{f"BMP {mode}": _saved(colour.convert(mode), "BMP") for mode in ("RGB", "RGBA", "L", "P", "1")},
        **{
            f"TIFF {mode}": _saved(colour.convert(mode), "TIFF") for mode in ("RGB", "RGBA", "L", "1", "CMYK", "F", "I")
        },
        **{
            f"TIFF by {way}": _saved(colour, "TIFF", compression=way)
            for way in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        },
        "TIFF of several pictures": _saved(colour, "TIFF", save_all=True),
        "AVIF": _saved(colour, "AVIF", speed=10),
        "AVIF with EXIF": _saved(clear, "AVIF", speed=10, exif=exif),
        "AVIF animated": _saved(colour, "AVIF", speed=10, save_all=True),
    }
    return {name: data for name, data in made.items() if data}


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    # Of copies, as Pillow keeps options of one format with the picture.
    more = {"append_images": [image.rotate(90), image.rotate(180)]} if options.get("save_all") else {}
    return encoded(image.copy(), kind, **options, **more)


def grey_of_sixteen_bits() -> Image.Image:
    return Image.linear_gradient("L").resize((48, 32)).convert("I").point(lambda value: value * 257).convert("I;16")


# Mutations of any file ----------------------------------------------------------------------------------------------


def _place(data: bytearray, chance: Chance, room: int = 1) -> int:
    """Somewhere, often near the start, where the headers are."""
    most = max(0, len(data) - room)
    return chance.randint(0, min(most, chance.choice((16, 64, 256, most))))


def bits(data: bytearray, chance: Chance) -> None:
    for _ in range(chance.choice((1, 2, 8, 64))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def number(data: bytearray, chance: Chance) -> None:
    size, order = chance.choice((1, 2, 4)), chance.choice(("little", "big"))
    at = _place(data, chance, size)
    value = chance.choice(NUMBERS) & (1 << 8 * size) - 1
    data[at : at + size] = value.to_bytes(size, "little" if order == "little" else "big")


def end(data: bytearray, chance: Chance) -> None:
    del data[_place(data, chance) :]


def gap(data: bytearray, chance: Chance) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 4, 100))]


def again(data: bytearray, chance: Chance) -> None:
    at = _place(data, chance)
    data[at:at] = data[at : at + chance.choice((1, 4, 50, 1000))] * chance.choice((1, 2, 30))


def swap(data: bytearray, chance: Chance) -> None:
    first, second = sorted((_place(data, chance), _place(data, chance)))
    size = min(chance.choice((1, 4, 20)), second - first)
    data[first : first + size], data[second : second + size] = data[second : second + size], data[first : first + size]


def junk(data: bytearray, chance: Chance) -> None:
    at = chance.choice((len(data), _place(data, chance)))
    data[at:at] = chance.randbytes(chance.choice((1, 10, 5000)))


def graft(data: bytearray, chance: Chance) -> None:
    other = originals()[chance.choice(list(originals()))]
    data[_place(data, chance) :] = other[chance.randrange(len(other)) :]


ANYWHERE: list[Mutation] = [bits, bits, number, number, end, gap, again, swap, junk, graft]


# Mutations that keep a format's own order, so that they get further into its decoder -------------------------------


def _chunks(data: bytearray) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((bytes(data[at + 4 : at + 8]), bytes(data[at + 8 : at + 8 + size])))
        at += 12 + size
    return found


def png_chunks(data: bytearray, chance: Chance) -> None:
    """Other chunks, or another order or content of them, with correct checksums."""
    parts = _chunks(data)
    if not parts:
        return
    at = chance.randrange(len(parts))
    kind, content = parts[at]
    inside = bytearray(content)
    (chance.choice([bits, number, end, junk]))(inside, chance)
    extra = chance.choice(
        [b"tRNS", b"PLTE", b"IDAT", b"IHDR", b"iCCP", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"zTXt", b"eXIf"]
    )
    match chance.randrange(5):
        case 0:
            parts[at] = kind, bytes(inside)
        case 1:
            parts.insert(at, (kind, content))
        case 2:
            parts.insert(at, (extra, chance.randbytes(chance.choice((0, 4, 26, 500)))))
        case 3:
            parts.pop(at)
        case _:
            chance.shuffle(parts)
    data[8:] = b"".join(chunk(*part) for part in parts)


def png_size(data: bytearray, chance: Chance) -> None:
    header = bytearray(data[16:29].ljust(13, b"\0"))
    struct.pack_into(">II", header, 0, chance.choice(NUMBERS), chance.choice(NUMBERS))
    data[8:33] = chunk(b"IHDR", bytes(header))


def jpeg_segments(data: bytearray, chance: Chance) -> None:
    """Another size, or a segment whose length, or content, is not true."""
    marker = chance.choice((b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xda", b"\xff\xe1", b"\xff\xdd"))
    at = data.find(marker)
    if at < 0:
        data[2:2] = marker + struct.pack(">H", chance.choice((0, 1, 2, 8, 500, 65535))) + chance.randbytes(40)
    elif marker in (b"\xff\xc0", b"\xff\xc2") and chance.random() < 0.7:
        data[at + 5 : at + 9] = struct.pack(">HH", chance.choice(NUMBERS) & 0xFFFF, chance.choice(NUMBERS) & 0xFFFF)
    else:
        data[at + 2 : at + 4] = struct.pack(">H", chance.choice(NUMBERS) & 0xFFFF)


def tiff_tags(data: bytearray, chance: Chance) -> None:
    """Other types, counts and values in the first directory."""
    if len(data) < 8:
        return
    (at,) = struct.unpack_from("<I", data, 4)
    count = struct.unpack_from("<H", data, at)[0] if at + 2 <= len(data) else 0
    for _ in range(chance.choice((1, 2, 3))):
        entry = at + 2 + 12 * chance.randrange(max(1, count))
        part, size = chance.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 4), (8, 4)))
        value = chance.choice((*NUMBERS, 254, 273, 277, 278, 322, 323, 338, 3, 4, 5, 12)) & (1 << 8 * size) - 1
        if entry + 12 <= len(data):
            data[entry + part : entry + part + size] = value.to_bytes(size, "little")


def gif_size(data: bytearray, chance: Chance) -> None:
    at = chance.choice((6, data.find(b",\0\0\0\0") + 5))
    data[at : at + 4] = struct.pack("<HH", chance.choice(NUMBERS) & 0xFFFF, chance.choice(NUMBERS) & 0xFFFF)


def bmp_header(data: bytearray, chance: Chance) -> None:
    at, size = chance.choice(((10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (46, 4)))
    value = chance.choice((*NUMBERS, 3, 4, 8, 16, 24, 32, 40, 124)) & (1 << 8 * size) - 1
    data[at : at + size] = value.to_bytes(size, "little")


def webp_chunks(data: bytearray, chance: Chance) -> None:
    kind = chance.choice((b"RIFF", b"VP8X", b"VP8 ", b"VP8L", b"ANMF", b"ALPH", b"EXIF"))
    at = max(0, data.find(kind))
    part = chance.choice((4, 8, 12, 14, 15))
    data[at + part : at + part + 3] = (chance.choice(NUMBERS) & 0xFFFFFF).to_bytes(3, "little")


def avif_boxes(data: bytearray, chance: Chance) -> None:
    """Another size of a box, or of the picture."""
    at = data.find(
        chance.choice((b"ispe", b"ispe", b"meta", b"iloc", b"iinf", b"av1C", b"mdat", b"irot", b"colr", b"Exif"))
    )
    if at >= 8:
        part = chance.choice((-4, 4, 8, 12))
        data[at + part : at + part + 4] = struct.pack(">I", chance.choice(NUMBERS))


def exif_garbage(data: bytearray, chance: Chance) -> None:
    """EXIF that is another's, or that is none."""
    order = chance.choice(("<", ">"))
    entries = b"".join(
        struct.pack(f"{order}HHII", 0x0112, chance.randrange(14), chance.choice(NUMBERS), chance.choice(NUMBERS))
        for _ in range(chance.choice((1, 1, 5, 300)))
    )
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    whole = magic + struct.pack(f"{order}IH", 8, chance.choice((len(entries) // 12, 0xFFFF))) + entries
    content = chance.choice((whole, chance.randbytes(60), whole[: chance.randrange(len(whole))]))
    if data.startswith(b"\x89PNG"):
        data[33:33] = chunk(b"eXIf", content)
    elif data.startswith(b"\xff\xd8"):
        data[2:2] = b"\xff\xe1" + struct.pack(">H", len(content) + 8) + b"Exif\0\0" + content


OF_FORMAT: Mapping[str, list[Mutation]] = {
    "PNG": [*[png_chunks] * 5, png_size, exif_garbage],
    "JPEG": [*[jpeg_segments] * 3, exif_garbage, exif_garbage],
    "WEBP": [webp_chunks] * 4,
    "GIF": [gif_size] * 3,
    "BMP": [bmp_header] * 4,
    "TIFF": [tiff_tags] * 6,
    "AVIF": [avif_boxes] * 5,
}
