"""Pictures on their way in: decode what callers upload, fit it to a pipeline's grid. `encoding` has the way out.

Size rule: the result has the input's size, and the input is never stretched. A pipeline works on multiples of
a few pixels (8 for Stable Diffusion), so the picture is extended at its right and lower edge by repeating the last
column and row, and the result is cut back.
"""

from typing import BinaryIO, Final

from PIL import Image, ImageOps

from easel_http.errors import BadRequest
from easel_http.picture import eight_bits, open_picture

DECODERS: Final = 2
"""Pictures that are decoded side by side: a file may take ten times the memory of its picture meanwhile."""


def decode(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The picture in `file`: RGB, upright, its transparent parts on white.

    Raises:
        BadRequest: `file` is not a picture of a known format, or is damaged.
        InvalidForm: it has more than `max_pixels` pixels.
    """
    picture = open_picture(file, max_pixels)
    try:
        picture.load()
        return _opaque(eight_bits(_upright(picture)))
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder stumbles over in foreign bytes
        raise BadRequest(f"the image is damaged: {error}") from error


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except MemoryError:
        raise
    except Exception:  # EXIF that is none says nothing of the picture, which is in memory by now
        return picture


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def extend_to_multiple(picture: Image.Image, multiple: int) -> Image.Image:
    """`picture` with its last column and row repeated until both sides are multiples of `multiple`."""
    right, below = -picture.width % multiple, -picture.height % multiple
    if not right and not below:
        return picture
    import numpy as np

    return Image.fromarray(np.pad(np.asarray(picture), ((0, below), (0, right), (0, 0)), mode="edge"))
