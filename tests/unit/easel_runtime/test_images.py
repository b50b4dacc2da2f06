"""Pictures in and out: every kind of upload becomes upright RGB, and nothing is lost or stretched."""

import contextlib
import io
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from easel_http.errors import ApiError, BadRequest, InvalidForm
from easel_http.picture import FORMATS
from easel_runtime.images import decode, extend_to_multiple
from support import picture_bombs
from support.pictures import encoded, picture, png

ROOM = 1 << 20
ORIENTATION = 0x0112


def decoded(data: bytes) -> Image.Image:
    image = decode(io.BytesIO(data), ROOM)
    assert image.mode == "RGB"
    return image


def difference(first: Image.Image, second: Image.Image) -> int:
    """The largest of any pixel and channel; the sizes must be equal."""
    assert first.size == second.size
    return int(np.asarray(ImageChops.difference(first, second)).max())


def mean_difference(first: Image.Image, second: Image.Image) -> float:
    """The mean over pixels and channels."""
    return float(np.asarray(ImageChops.difference(first, second)).mean())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_in_as_they_are(kind: str) -> None:
    assert difference(decoded(encoded(picture(), kind)), picture()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_in_nearly_as_they_are(kind: str) -> None:
    assert mean_difference(decoded(encoded(picture(), kind, quality=95)), picture()) < 4


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda image: image),
        (2, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        (3, lambda image: image.transpose(Image.Transpose.ROTATE_180)),
        (4, lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
        (5, lambda image: image.transpose(Image.Transpose.TRANSPOSE)),
        (6, lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        (7, lambda image: image.transpose(Image.Transpose.TRANSVERSE)),
        (8, lambda image: image.transpose(Image.Transpose.ROTATE_270)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_camera_held_askew_gives_an_upright_picture(
    kind: str, orientation: int, stored: Callable[[Image.Image], Image.Image]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert difference(decoded(encoded(stored(picture()), kind, exif=exif)), picture()) == 0


@pytest.mark.parametrize(
    "exif",
    [b"", b"garbage!", b"II*\0\x08\0\0\0\xff\xff", picture_bombs.exif(b"", (ORIENTATION, 2, 4, 0x41414141))],
    ids=["nothing", "no EXIF", "cut short", "a word"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif_that_makes_no_sense_is_not_looked_at(exif: bytes) -> None:
    assert difference(decoded(picture_bombs.png_with((b"eXIf", exif))), picture()) == 0


@pytest.mark.parametrize(
    ("alpha", "seen"), [(0, (255, 255, 255)), (51, (204, 214, 224)), (255, (0, 50, 100))], ids=["none", "some", "all"]
)
def test_transparent_parts_are_on_white(alpha: int, seen: tuple[int, ...]) -> None:
    assert decoded(encoded(Image.new("RGBA", (1, 1), (0, 50, 100, alpha)))).getpixel((0, 0)) == seen


def test_a_transparent_colour_of_a_palette_is_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    data = encoded(image, transparency=0)
    assert [decoded(data).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_a_transparent_colour_of_rgb_is_on_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (4, 5, 6))
    data = encoded(image, transparency=(1, 2, 3))
    assert [decoded(data).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (4, 5, 6)]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("P", "PNG"), ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("L", "JPEG")],
)
def test_other_modes_become_rgb(mode: str, kind: str) -> None:
    stored = picture().convert(mode)
    data = encoded(stored, kind, **({"quality": 95} if kind == "JPEG" else {}))
    assert Image.open(io.BytesIO(data)).mode == mode
    assert mean_difference(decoded(data), stored.convert("RGB")) <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_brightness(kind: str) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    data = encoded(Image.fromarray(levels * 257), kind)
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    assert difference(decoded(data), Image.fromarray(levels.astype(np.uint8)).convert("RGB")) == 0


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("P", (8, 8)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.putpalette([number * 100, 0, 0])
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert decoded(data).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_picture_that_ends_too_early_is_a_bad_request(kind: str) -> None:
    data = encoded(picture(200, 150), kind)
    with pytest.raises(BadRequest):
        decoded(data[: len(data) // 2])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300)
@given(kind=st.sampled_from(FORMATS), seed=st.integers(0, 2**32))
def test_a_damaged_picture_is_a_picture_or_a_refusal(kind: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    data = bytearray(encoded(picture(24, 16), kind))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(min(len(data), chance.choice((32, 200, len(data)))))] = chance.randrange(256)
    outcome: Image.Image | ApiError
    try:
        outcome = decode(io.BytesIO(bytes(data)), ROOM)
    except (BadRequest, InvalidForm) as refusal:
        outcome = refusal
    assert isinstance(outcome, ApiError) or outcome.mode == "RGB"


def test_a_picture_over_the_bound_is_refused() -> None:
    with pytest.raises(InvalidForm):
        decode(io.BytesIO(png(64, 48)), 64 * 48 - 1)


# The grid of a pipeline -----------------------------------------------------------------------------------------


@given(width=st.integers(1, 40), height=st.integers(1, 40), multiple=st.sampled_from([1, 8, 16]))
def test_extending_repeats_the_edges_and_keeps_every_pixel(width: int, height: int, multiple: int) -> None:
    original = picture(width, height)
    image = extend_to_multiple(original, multiple)
    assert (image.width % multiple, image.height % multiple) == (0, 0)
    assert (image.width - width, image.height - height) < (multiple, multiple)
    pixels, known = np.asarray(image), np.asarray(original)
    columns = np.minimum(np.arange(image.width), width - 1)
    rows = np.minimum(np.arange(image.height), height - 1)
    assert (pixels == known[rows][:, columns]).all()


def test_a_picture_that_fits_is_not_touched() -> None:
    image = picture(64, 48)
    assert extend_to_multiple(image, 8) is image


EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = [
    encoded(picture(), "JPEG", exif=EXIF),
    encoded(picture(), "WEBP", exif=EXIF),
    encoded(picture(), "PNG", exif=EXIF),
    encoded(picture(), "TIFF"),
    encoded(picture(), "GIF"),
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
@settings(max_examples=400)
@given(data=st.data())
def test_a_damaged_file_is_a_picture_or_the_callers_mistake(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadRequest, InvalidForm):
        assert decode(io.BytesIO(file), 10_000).mode == "RGB"
