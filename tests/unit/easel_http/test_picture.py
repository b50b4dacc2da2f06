"""`open_picture`: what a file is, and whether it is too large, from its header alone."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from easel_http.errors import BadRequest, InvalidForm
from easel_http.picture import FORMATS, eight_bits, open_picture, picture_size
from support.pictures import encoded, picture, png

ROOM = 64 * 48
"""Pixels of `picture()`."""


@pytest.mark.parametrize("kind", FORMATS)
def test_every_listed_format_is_taken(kind: str) -> None:
    opened = open_picture(io.BytesIO(encoded(picture(), kind)), ROOM)
    assert (opened.format, opened.size) == (kind, (64, 48))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a cat", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", id="SVG"),
        pytest.param(b"%PDF-1.7\n", id="PDF"),
        pytest.param(bytes(1000), id="zeros"),
        pytest.param(encoded(picture(), "PPM"), id="PPM, which is not listed"),
        pytest.param(encoded(picture(), "ICO"), id="ICO, which is not listed"),
        pytest.param(encoded(picture(), "PDF"), id="PDF of a picture"),
    ],
)
def test_what_is_no_picture_of_a_listed_format_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="the image is none of PNG, JPEG, WEBP, GIF, BMP, TIFF"):  # and perhaps AVIF
        open_picture(io.BytesIO(data), ROOM)


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning:PIL")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept", [1, 4, 8, 12])
def test_a_header_that_is_cut_short_is_refused(kind: str, kept: int) -> None:
    with pytest.raises(BadRequest):
        open_picture(io.BytesIO(encoded(picture(), kind)[:kept]), ROOM)


def test_a_picture_of_exactly_the_bound_is_taken() -> None:
    open_picture(io.BytesIO(encoded(picture(64, 48))), 64 * 48)


def test_a_picture_over_the_bound_is_refused_with_its_size() -> None:
    with pytest.raises(InvalidForm) as caught:
        open_picture(io.BytesIO(encoded(picture(65, 48))), 64 * 48)
    assert caught.value.problems == (
        {
            "type": "value_error",
            "loc": ["body", "image"],
            "msg": "has more than 3072 pixels; make it smaller",
            "input": "65 x 48",
        },
    )


def claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims another size."""
    data = png()
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize(
    ("width", "height"),
    [
        pytest.param(10_000, 10_000, id="100 megapixels, of which Pillow warns"),
        pytest.param(20_000, 10_000, id="200 megapixels, which Pillow refuses"),
    ],
)
def test_a_bomb_is_refused_from_its_header(width: int, height: int) -> None:
    data = claiming(width, height)
    file = io.BytesIO(data)
    with pytest.raises(InvalidForm, match="has more than 4194304 pixels; make it smaller") as caught:
        open_picture(file, 4_194_304)
    assert caught.value.problems[0]["loc"] == ["body", "image"]
    assert file.tell() < 100 < len(data)


class Counting(io.BytesIO):
    """A file that knows how far it was read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


WEBP = {
    "lossy": {"lossless": False},
    "lossless": {"lossless": True},
    "extended": {"lossless": False, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"},
    "animated": {"save_all": True, "append_images": [picture(67, 45).rotate(180)]},
}


@pytest.mark.parametrize("options", WEBP.values(), ids=WEBP.keys())
def test_the_size_of_a_webp_file_is_found_without_reading_it(options: dict[str, object]) -> None:
    file = Counting(encoded(picture(67, 45), "WEBP", **options))
    assert picture_size(file, 67 * 45) == (67, 45)
    assert file.furthest == 30
    file.seek(0)
    with pytest.raises(InvalidForm, match=f"more than {67 * 45 - 1} pixels"):
        picture_size(file, 67 * 45 - 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_of_every_format_is_found(kind: str) -> None:
    assert picture_size(io.BytesIO(encoded(picture(), kind)), ROOM) == (64, 48)


def test_avif_is_taken_where_pillow_knows_it() -> None:
    assert ("AVIF" in FORMATS) is features.check("avif")


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF....WEBP", b"RIFF....WEBPVP9 " + bytes(40)])
def test_what_only_begins_like_webp_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        picture_size(io.BytesIO(data), ROOM)


LEVELS = np.arange(256).reshape(16, 16)


@pytest.mark.parametrize(
    ("stored", "mode"),
    [
        pytest.param((LEVELS * 257).astype(np.uint16), "I;16", id="16 bits"),
        pytest.param((LEVELS * 257).astype(np.int32), "I", id="16 bits in 32"),
        pytest.param(LEVELS.astype(np.int32), "I", id="8 bits in 32"),
        pytest.param((LEVELS * (2.0**31 - 1) / 255).astype(np.int32), "I", id="32 bits"),
        pytest.param((LEVELS / 255).astype(np.float32), "F", id="floating point to 1"),
        pytest.param(LEVELS.astype(np.float32), "F", id="floating point to 255"),
        pytest.param((LEVELS * 257).astype(np.float32), "F", id="floating point to 65535"),
        pytest.param((LEVELS * 1e12).astype(np.float32), "F", id="floating point to anything"),
        pytest.param(LEVELS.astype(np.uint8), "L", id="8 bits"),
    ],
)
def test_grey_of_more_bits_keeps_its_brightness(stored: "np.typing.NDArray[Any]", mode: str) -> None:
    opened = open_picture(io.BytesIO(encoded(Image.fromarray(stored), "TIFF")), 256)
    assert opened.mode == mode
    assert (np.asarray(eight_bits(opened)) == LEVELS).all()


def test_grey_below_black_is_black_and_what_is_no_number_does_no_harm() -> None:
    assert np.asarray(eight_bits(Image.fromarray(np.array([[-5, 0, 255]], np.int32)))).tolist() == [[0, 0, 255]]
    dark = Image.fromarray(np.array([[0.0, 0.0]], np.float32))
    assert np.asarray(eight_bits(dark)).tolist() == [[0, 0]]
    assert eight_bits(Image.fromarray(np.array([[np.nan, np.inf, 1.0]], np.float32))).size == (3, 1)


def test_colours_are_not_touched() -> None:
    image = picture()
    assert eight_bits(image) is image
