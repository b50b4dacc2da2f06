"""Files that would keep Pillow busy for minutes, or take gigabytes, are refused or read without that."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from easel_http.careful import CarefulFile
from easel_http.errors import BadRequest
from easel_http.picture import open_picture
from easel_runtime.images import decode
from support import picture_bombs as bombs
from support.pictures import encoded, picture

ROOM = 1 << 20


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(lambda: bombs.png_with(*[(b"prVt", b"")] * 30_000), "too many parts", id="chunks"),
        pytest.param(lambda: bombs.jpeg_with(*[(0xE5, b"a")] * 30_000), "too many parts", id="segments"),
        pytest.param(lambda: bombs.gif_with(b"!\x01\x01a\0", 30_000), "too many parts", id="extensions"),
        pytest.param(
            lambda: bombs.jpeg_with(*[(0xE1, b"Exif\0\0" + bytes(65_000))] * 135), "8 MiB of metadata", id="EXIF"
        ),
        pytest.param(lambda: bombs.tiff_in_strips(70_000), "the image is none of", id="strips"),
        pytest.param(lambda: bombs.tiff_with_a_tile(2048), "tiles that are much larger than itself", id="tile"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_what_would_take_long_or_much_is_refused(made: Callable[[], bytes], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        open_picture(io.BytesIO(made()), ROOM)


def test_pieces_after_the_header_are_counted_too() -> None:
    good = encoded(picture())
    end = good.index(b"IEND") - 4
    late = good[:end] + bombs.chunk(b"prVt", b"") * 30_000 + good[end:]
    opened = open_picture(io.BytesIO(late), ROOM)
    with pytest.raises(ValueError, match="too many parts"):
        opened.load()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: bombs.png_with((b"eXIf", bombs.exif_of_fractions(0x0112, 70_000))), id="PNG"),
        pytest.param(lambda: bombs.jpeg_with_exif(bombs.exif_of_fractions(282, 70_000)), id="JPEG"),
    ],
)
def test_a_tag_of_more_numbers_than_there_is_a_use_for_is_skipped(data: Callable[[], bytes]) -> None:
    file = data()
    assert 0x0112 not in Image.open(io.BytesIO(file)).getexif()
    assert 282 not in Image.open(io.BytesIO(file)).getexif()
    assert decode(io.BytesIO(file), ROOM).size == picture().size


def test_a_strip_for_each_row_of_a_tall_picture_is_fine() -> None:
    rows = np.arange(40_000, dtype=np.uint32).astype(np.uint8).reshape(-1, 1)
    places = b"".join(struct.pack("<I", 8 + number) for number in range(40_000))
    data = rows.tobytes() + places + struct.pack("<I", 1) * 40_000
    tags = (273, 4, 40_000, 8 + 40_000), (278, 3, 1, 1), (279, 4, 40_000, 8 + 40_000 * 5)
    file = bombs.tiff(data, *tags, side=1).replace(
        struct.pack("<HHII", 257, 3, 1, 1), struct.pack("<HHII", 257, 3, 1, 40_000)
    )
    assert (np.asarray(open_picture(io.BytesIO(file), ROOM)) == rows).all()


def test_a_large_picture_in_usual_pieces_is_fine() -> None:
    noise = Image.effect_noise((1000, 1000), 100)
    pieces = 8192
    good = encoded(noise, compress_level=0)
    kinds = dict(_chunks(good))
    data = kinds[b"IDAT"]
    cut = b"".join(bombs.chunk(b"IDAT", data[at : at + pieces]) for at in range(0, len(data), pieces))
    file = good[:33] + cut + bombs.chunk(b"IEND", b"")
    assert decode(io.BytesIO(file), ROOM).getchannel(0).tobytes() == noise.tobytes()


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        found[kind] = found.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += 12 + size
    return list(found.items())


def test_the_file_itself_stays_as_it_was() -> None:
    file = io.BytesIO(b"0123456789")
    careful = CarefulFile(file)
    assert (careful.read(4), careful.tell(), careful.seek(8), careful.read()) == (b"0123", 4, 8, b"89")
    assert not file.closed
