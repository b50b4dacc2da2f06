"""`read_form`: one form in whatever pieces it arrives, everything bounded, every refusal with its name."""

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel_http.errors import ApiError, BadRequest, BodyTooLarge, InvalidForm, TimedOut
from easel_http.fields import ImageToImageFields
from easel_http.form import FormLimits, read_form
from support.pictures import form, png

IMAGE = png()
TEXTS = {"prompt": "a cat, ein Kätzchen", "model_id": "easel/demo", "seed": "7", "loras": '{"a/b": 0.5}', "more": "?"}
TYPE, BODY = form(TEXTS, IMAGE)
BOUNDARY = TYPE.partition("boundary=")[2].encode()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a Path would be no shorter)


@dataclass(frozen=True)
class Read:
    fields: ImageToImageFields
    image: bytes


class Upload:
    """The body of a request, in pieces; it knows whether anybody read it to its end."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read_to_its_end = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        self.read_to_its_end = True


async def read(
    upload: Upload | bytes,
    *,
    content_type: str = TYPE,
    headers: Mapping[str, str] | None = None,
    limits: FormLimits | None = None,
    required: tuple[str, ...] = (),
) -> Read:
    stream = aiter(upload if isinstance(upload, Upload) else Upload(upload))
    async with read_form(
        {"content-type": content_type, **(headers or {})}, stream, limits or FormLimits(), required
    ) as got:
        return Read(got.fields, b"".join([data async for data in got.image.chunks()]))


async def refusal_of(upload: Upload | bytes, **how: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await read(upload, **how)  # type: ignore[arg-type]
    return caught.value


def locations(error: ApiError) -> list[object]:
    assert isinstance(error, InvalidForm)
    return [problem["loc"] for problem in error.problems]


def part(name: str, content: bytes = b"x", *, file: bool = False) -> bytes:
    filename = '; filename="in.png"' if file else ""
    head = f'--{BOUNDARY.decode()}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
PROMPT = part("prompt", b"a cat")
FILE = part("image", IMAGE, file=True)
WHOLE = Read(ImageToImageFields.from_texts(TEXTS), IMAGE)


@pytest.mark.parametrize("size", [1, 7, 1000, len(BODY)], ids=["bytes", "sevens", "thousands", "whole"])
async def test_a_form_is_the_same_in_pieces_of_any_size(size: int) -> None:
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    assert await read(Upload(*pieces)) == WHOLE


@settings(max_examples=200)
@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=30))
async def test_a_form_is_the_same_wherever_it_is_split(cuts: list[int]) -> None:
    pieces = [BODY[start:end] for start, end in pairwise([0, *sorted(cuts), len(BODY)])]
    assert await read(Upload(*pieces)) == WHOLE


@settings(max_examples=100)
@given(image=st.binary(max_size=200), size=st.integers(1, 50))
async def test_an_image_may_hold_any_bytes(image: bytes, size: int) -> None:
    lookalike = b"\r\n--" + BOUNDARY[:-1] + image + b"\r\n--\r\n"
    body = PROMPT + part("image", lookalike, file=True) + END
    got = await read(Upload(*(body[start : start + size] for start in range(0, len(body), size))))
    assert got.image == lookalike


@pytest.mark.parametrize("parts", list(permutations([PROMPT, FILE, part("seed", b"7")])))
async def test_fields_come_in_any_order(parts: tuple[bytes, ...]) -> None:
    got = await read(b"".join(parts) + END)
    assert (got.fields.prompt, got.fields.seed, got.image) == ("a cat", 7, IMAGE)


async def test_fields_of_other_names_are_ignored_whether_text_or_file() -> None:
    got = await read(PROMPT + FILE + part("note") + part("note") + part("mask", IMAGE, file=True) + END)
    assert got == Read(ImageToImageFields(prompt="a cat"), IMAGE)


async def test_a_fields_own_content_type_and_case_of_header_names_do_not_matter() -> None:
    text = PROMPT.replace(b"Content-Disposition", b"CONTENT-disposition").replace(
        b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", 1
    )
    assert (await read(text + FILE + END)).fields.prompt == "a cat"


async def test_an_empty_file_is_an_image_until_somebody_opens_it() -> None:
    assert (await read(PROMPT + part("image", b"", file=True) + END)).image == b""


async def test_the_image_is_gone_after_the_context() -> None:
    before = open_files()
    async with read_form({"content-type": TYPE}, aiter(Upload(BODY)), FormLimits(memory_bytes=0)) as got:
        file = got.image.rewound()
        assert open_files() == before + 1
    assert file.closed
    assert open_files() == before


# Refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(PROMPT + END, "image", id="no image"),
        pytest.param(FILE + END, "prompt", id="no prompt"),
        pytest.param(PROMPT + part("image", b"cat.png") + END, "image", id="image as text"),
        pytest.param(PROMPT + FILE + FILE + END, "image", id="image twice"),
        pytest.param(PROMPT + PROMPT + FILE + END, "prompt", id="field twice"),
        pytest.param(FILE + part("prompt", b"a cat", file=True) + END, "prompt", id="text field as a file"),
        pytest.param(PROMPT + FILE + part("seed", b"-1") + END, "seed", id="field out of bounds"),
    ],
)
async def test_a_wrong_field_is_named(body: bytes, field: str) -> None:
    assert locations(await refusal_of(body)) == [["body", field]]


async def test_a_text_that_is_too_long_is_named() -> None:
    limits = FormLimits(text_bytes=10)
    assert (await read(part("prompt", b"x" * 10) + FILE + END, limits=limits)).fields.prompt == "x" * 10
    assert locations(await refusal_of(part("prompt", b"x" * 11) + FILE + END, limits=limits)) == [["body", "prompt"]]


async def test_every_wrong_field_is_named_at_once() -> None:
    error = await refusal_of(part("seed", b"x") + part("strength", b"2") + END, required=("model_id",))
    assert locations(error) == [["body", name] for name in ("prompt", "strength", "seed", "model_id", "image")]


@pytest.mark.parametrize("model_id", [b"", part("model_id", b"")], ids=["absent", "blank"])
async def test_a_field_that_the_route_requires_must_not_be_blank(model_id: bytes) -> None:
    assert locations(await refusal_of(PROMPT + FILE + model_id + END, required=("model_id",))) == [["body", "model_id"]]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=x"],
)
async def test_a_body_of_another_type_misses_every_required_field(content_type: str) -> None:
    upload = Upload(b'{"prompt": "a cat"}')
    error = await refusal_of(upload, content_type=content_type, required=("model_id",))
    assert locations(error) == [["body", name] for name in ("prompt", "model_id", "image")]
    assert upload.read_to_its_end


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(part("prompt", b"\xff\xfe") + FILE + END, "not UTF-8", id="text in another encoding"),
        pytest.param(b"", "cut short", id="nothing"),
        pytest.param(BODY[:30], "cut short", id="cut in a boundary"),
        pytest.param(BODY[:60], "cut short", id="cut in a header"),
        pytest.param(BODY[: BODY.index(IMAGE) + 20], "cut short", id="cut in the image"),
        pytest.param(BODY[: -len(END)], "cut short", id="cut before the last boundary"),
        pytest.param(BODY[: -len(b"--\r\n")], "cut short", id="cut in the last boundary"),
        pytest.param(b"a cat", "well-formed", id="no boundary"),
        pytest.param(PROMPT.replace(b"Content-", b"Content "), "well-formed", id="no header name"),
        pytest.param(PROMPT.replace(b"; name=", b"; nom=") + END, "no name", id="part without a name"),
        pytest.param(
            PROMPT.replace(b"Content-Disposition", b"X-Other") + END, "no name", id="part without disposition"
        ),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_bad_request(body: bytes, words: str) -> None:
    error = await refusal_of(body)
    assert isinstance(error, BadRequest)
    assert words in error.msg


async def test_a_boundary_that_is_too_long_is_a_bad_request() -> None:
    assert isinstance(await refusal_of(BODY, content_type=f"multipart/form-data; boundary={'x' * 5000}"), BadRequest)


@settings(max_examples=200)
@given(
    body=st.binary(max_size=300)
    | st.builds(lambda at, junk: BODY[:at] + junk + BODY[at + 1 :], st.integers(0, len(BODY)), st.binary(max_size=4))
)
async def test_damage_never_has_another_outcome_than_a_form_or_a_refusal(body: bytes) -> None:
    with suppress(BadRequest, InvalidForm):
        await read(body)


async def test_more_parts_than_are_taken_are_refused() -> None:
    limits = FormLimits(parts=3)
    await read(PROMPT + FILE + part("note") + END, limits=limits)
    assert isinstance(await refusal_of(PROMPT + FILE + part("note") * 2 + END, limits=limits), BodyTooLarge)


async def test_a_body_that_declares_too_many_bytes_is_refused_unread() -> None:
    upload = Upload(BODY)
    limits = FormLimits(body_bytes=len(BODY) - 1)
    error = await refusal_of(upload, headers={"content-length": str(len(BODY))}, limits=limits)
    assert isinstance(error, BodyTooLarge)
    assert not upload.read_to_its_end


@pytest.mark.parametrize("content_type", [TYPE, "text/plain"])
async def test_a_body_that_declares_nothing_is_counted(content_type: str) -> None:
    pieces = (BODY[:100], BODY[100:])
    error = await refusal_of(Upload(*pieces), content_type=content_type, limits=FormLimits(body_bytes=len(BODY) - 1))
    assert isinstance(error, BodyTooLarge)
    assert await read(Upload(*pieces), limits=FormLimits(body_bytes=len(BODY))) == WHOLE


@pytest.mark.parametrize(
    ("content_type", "start"),
    [
        pytest.param(TYPE, b"", id="at the start"),
        pytest.param(TYPE, BODY[:100], id="in the form"),
        pytest.param(TYPE, PROMPT * 2, id="after an error"),
        pytest.param("text/plain", b"x", id="in a body of another type"),
    ],
)
async def test_a_body_that_never_ends_is_refused_in_time(content_type: str, start: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield start
        await asyncio.Event().wait()

    with pytest.raises(TimedOut):
        async with read_form({"content-type": content_type}, endless(), FormLimits(seconds=0.01)):
            pytest.fail("there is no form")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(PROMPT * 2, id="field twice"),
        pytest.param(FILE * 2, id="image twice"),
        pytest.param(part("image"), id="image as text"),
        pytest.param(part("prompt", file=True), id="text field as a file"),
        pytest.param(part("prompt", b"x" * 70_000), id="text too long"),
        pytest.param(b"malformed", id="malformed"),
        pytest.param(part(""), id="part without a name"),
    ],
)
async def test_after_an_early_error_the_rest_is_read_so_that_the_caller_gets_the_answer(body: bytes) -> None:
    upload = Upload(body, *[b"x" * 1000] * 10)
    await refusal_of(upload)
    assert upload.read_to_its_end


async def test_what_is_read_after_an_error_is_bounded_too() -> None:
    upload = Upload(b"malformed", *[b"x" * 1000] * 10)
    assert isinstance(await refusal_of(upload, limits=FormLimits(body_bytes=5000)), BodyTooLarge)
    assert not upload.read_to_its_end


@pytest.mark.parametrize(("more", "on_disk"), [(0, False), (-1, True)])
async def test_as_much_of_an_image_stays_in_memory_as_the_limits_say(more: int, *, on_disk: bool) -> None:
    before = open_files()
    limits = FormLimits(memory_bytes=len(IMAGE) + more)
    async with read_form({"content-type": TYPE}, aiter(Upload(BODY)), limits):
        assert (open_files() > before) is on_disk


async def test_a_large_image_stays_out_of_memory() -> None:
    megabytes = 20
    block = bytes(range(256)) * 256
    head, tail = FILE.split(IMAGE)

    async def upload() -> AsyncIterator[bytes]:
        yield PROMPT + head
        for _ in range(megabytes * 16):
            yield block
        yield tail + END

    tracemalloc.start()
    try:
        async with read_form({"content-type": TYPE}, upload(), FormLimits()) as got:
            sizes = [len(data) async for data in got.image.chunks()]
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == got.image.size == megabytes << 20
    assert peak < 4 << 20
