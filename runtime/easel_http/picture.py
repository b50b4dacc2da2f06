"""What an uploaded file is, found from its header alone: nothing is decoded before its size is known to be fine."""

from typing import BinaryIO, Final, cast

from PIL import Image, UnidentifiedImageError, features

from easel_http.careful import open_carefully
from easel_http.errors import BadRequest, InvalidForm
from easel_http.picture_head import size_of

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", *(["AVIF"] if features.check("avif") else []))
"""Formats that are taken, by Pillow's names; of several frames the first counts."""

_TILE_PIXELS: Final = 1 << 20
"""A tile may always be so large: 1024 x 1024 is the largest usual one."""
_WHITES: Final = (2.0**8 - 1, 2.0**16 - 1, 2.0**31 - 1)
"""Of grey in 8, 16 and (signed) 32 bits."""

# Ours is the bound that counts, and it is kept before anything is decoded; Pillow's own would only warn beside it.
Image.MAX_IMAGE_PIXELS = None


def open_picture(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The picture in `file`, opened but not yet decoded (a WebP or AVIF file is read whole).

    Raises:
        BadRequest: `file` holds no picture of a known format.
        InvalidForm: it has more than `max_pixels` pixels (height x width).
    """
    try:
        picture, pixels = open_carefully(file, FORMATS)
    except UnidentifiedImageError as error:
        raise BadRequest(f"the image is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # whatever a decoder stumbles over in foreign bytes
        raise BadRequest(f"the image is damaged: {error}") from error
    _check_pixels(*picture.size, max_pixels)
    if pixels > max(max_pixels, _TILE_PIXELS):
        raise BadRequest("the image has tiles that are much larger than itself")
    return picture


def eight_bits(picture: Image.Image) -> Image.Image:
    """`picture`, its grey scaled to 8 bits if it has more; Pillow's own conversion makes all that is above 255 white.

    Files of 32 bits and of floating point do not say which value is white: it is the lowest usual one that no pixel
    exceeds.
    """
    if picture.mode.startswith("I;16"):
        white = _WHITES[1]
    elif picture.mode in ("I", "F"):
        brightest = cast("tuple[float, float]", picture.getextrema())[1]
        usual = _WHITES if picture.mode == "I" else (1.0, *_WHITES)
        white = next((white for white in usual if brightest <= white), brightest)
    else:
        return picture
    # The half rounds; the conversion to L cuts off.
    return picture.convert("F").point(lambda value: value * (255 / white) + 0.5).convert("L")


def picture_size(file: BinaryIO, max_pixels: int) -> tuple[int, int]:
    """Width and height of the picture in `file`; reads no more than its header (of AVIF, the whole file).

    Raises:
        BadRequest, InvalidForm: as `open_picture`.
    """
    # Pillow reads the whole of a WebP file.
    size = size_of(head) if (head := file.read(30)).startswith(b"RIFF") else None
    if size is None:
        file.seek(0)
        return open_picture(file, max_pixels).size
    _check_pixels(*size, max_pixels)
    return size


def size_in_head(head: bytes, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of the picture whose file begins with `head`; None if they cannot be told from that alone.

    Quick enough for an event loop; whether the rest of the file is sound is not looked at.

    Raises:
        InvalidForm: it has more than `max_pixels` pixels.
    """
    size = size_of(head)
    if size is not None:
        _check_pixels(*size, max_pixels)
    return size


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InvalidForm.at(
            "image", f"has more than {max_pixels} pixels; make it smaller", given=f"{width} x {height}"
        )
