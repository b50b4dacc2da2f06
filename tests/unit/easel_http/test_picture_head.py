"""The size of a picture from its first bytes is the one that Pillow finds, or is left open."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from easel_http.picture_head import size_of
from support.pictures import encoded, picture

SIZES = [(1, 1), (64, 48), (333, 7), (1025, 2)]


def jpeg(size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    picture(*size).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_the_usual_formats_tell(kind: str, size: tuple[int, int]) -> None:
    assert size_of(encoded(picture(*size), kind)) == size


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
def test_the_usual_modes_tell(mode: str) -> None:
    for kind in ("PNG", "BMP"):
        assert size_of(encoded(picture(30, 20).convert(mode), kind)) == (30, 20)


def test_a_webp_without_loss_or_with_transparency_tells() -> None:
    for options in ({"lossless": True}, {"exact": True}):
        file = io.BytesIO()
        picture(31, 17).convert("RGBA").save(file, "WEBP", **options)
        assert size_of(file.getvalue()) == (31, 17)


def test_a_progressive_jpeg_with_a_preview_before_its_size_tells() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 20_000
    assert size_of(jpeg((40, 30), progressive=True, exif=exif.tobytes(), comment=b"y" * 1000)) == (40, 30)


def test_a_bmp_from_top_to_bottom_tells() -> None:
    data = bytearray(encoded(picture(20, 10), "BMP"))
    data[22:26] = (-10).to_bytes(4, "little", signed=True)
    assert size_of(bytes(data)) == (20, 10)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_other_formats_are_left_to_a_decoder(kind: str) -> None:
    assert size_of(encoded(picture(20, 10), kind)) is None


def test_a_png_whose_header_is_damaged_is_left_to_a_decoder() -> None:
    data = bytearray(encoded(picture(20, 10), "PNG"))
    data[18] ^= 1
    assert size_of(bytes(data)) is None


@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]), cut=st.integers(0, 700), damage=st.binary(max_size=40))
def test_what_is_cut_or_damaged_is_wrong_at_worst_and_never_fails(kind: str, cut: int, damage: bytes) -> None:
    data = encoded(picture(16, 16), kind)
    size = size_of(data[:cut])
    assert size in (None, (16, 16))
    damaged = size_of(data[:cut] + damage + data[cut + len(damage) :])
    assert damaged is None or min(damaged) > 0


def test_a_jpeg_of_endless_segments_is_left_to_a_decoder() -> None:
    assert size_of(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 16_000) is None
