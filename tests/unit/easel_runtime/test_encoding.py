"""Pictures on their way out."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from easel_runtime.encoding import ENCODERS, encode_png
from support.pictures import encoded, picture

EXAMPLES = Path(__file__).parents[3] / "examples"
SIDES = st.integers(1, 40)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@given(width=SIDES, height=SIDES, seed=st.integers(0, 2**32 - 1))
def test_png_loses_nothing(width: int, height: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    for image in (picture(width, height), Image.fromarray(noise)):
        again = decoded(encode_png(image).data)
        assert (again.format, again.mode, again.size) == ("PNG", "RGB", image.size)
        assert ImageChops.difference(again, image).getbbox() is None


def test_png_is_what_its_specification_says_and_not_only_what_pillow_reads() -> None:
    data = encode_png(picture(5, 3)).data
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = [], 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4])
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert int.from_bytes(data[position + 8 + length : position + 12 + length]) == zlib.crc32(kind + body)
        chunks.append((kind, body))
        position += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[0][1] == bytes([0, 0, 0, 5, 0, 0, 0, 3, 8, 2, 0, 0, 0])
    assert len(zlib.decompress(chunks[1][1])) == 3 * (1 + 5 * 3)


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert encode_png(picture()) == encode_png(picture().copy())


def test_another_mode_comes_out_as_rgb() -> None:
    assert decoded(encode_png(picture().convert("L")).data).mode == "RGB"


def test_png_is_not_much_larger_than_pillows() -> None:
    cat = Image.open(EXAMPLES / "cat.png").convert("RGB").resize((512, 512))
    assert len(encode_png(cat).data) <= 1.2 * len(encoded(cat))


@pytest.mark.parametrize("kind", ["image/webp", "image/jpeg"])
def test_the_other_formats_keep_size_and_look(kind: str) -> None:
    file = ENCODERS[kind](picture())
    image = decoded(file.data)
    assert (file.media_type, f"image/{str(image.format).lower()}", image.size) == (kind, kind, picture().size)
    assert np.asarray(ImageChops.difference(image.convert("RGB"), picture())).mean() < 4
