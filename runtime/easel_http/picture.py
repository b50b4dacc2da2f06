"""What an uploaded file is, found from its header alone: nothing is decoded before its size is known to be fine."""

import warnings
from typing import BinaryIO, Final

from PIL import Image, UnidentifiedImageError

from easel_http.errors import BadRequest, InvalidForm

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are taken, by Pillow's names; of several frames the first counts."""


def open_picture(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The picture in `file`, opened but not yet decoded.

    Raises:
        BadRequest: `file` holds no picture of a known format.
        InvalidForm: it has more than `max_pixels` pixels (height x width).
    """
    try:
        with warnings.catch_warnings():
            # Ours is the bound that counts; Pillow's own warning would only repeat it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels, str(error)) from error
    except UnidentifiedImageError as error:
        raise BadRequest(f"the image is none of {', '.join(FORMATS)}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadRequest(f"the image is damaged: {error}") from error
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_large(max_pixels, f"{width} x {height}")
    return picture


def _too_large(max_pixels: int, given: str) -> InvalidForm:
    return InvalidForm.at("image", f"has more than {max_pixels} pixels; make it smaller", given=given)
