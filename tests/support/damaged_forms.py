"""Multipart requests that are damaged, or lie, or are merely odd; the same ones for the same seed."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from support import damaged_pictures
from support.form_drafts import BOUNDARY, Draft, Part, file, good, text
from support.picture_bombs import zeros

Mutation = Callable[[Draft, Random], None]

MARK: Final = "X-Easel-Smuggled"
"""Name of a header that is put where no header may come from."""
SMUGGLED: Final = f"\r\n{MARK}: yes\r\n\r\n{MARK} in a line of its own\n"
TEXT_FIELDS: Final = ("model_id", "prompt", "seed", "strength", "loras", "negative_prompt", "safety_check")
_ODD_TEXTS: Final = (
    *(b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbfeasel/demo", b"\xf0\x9f\x90\x88"),
    *("grün".encode("utf-16"), "grün".encode("latin-1")),
    *(b"=?utf-8?B?YQ==?=", b"%00%0d%0a", b"a" * 65_536, b"a" * 65_537),
    *(b"../../etc/passwd", b"easel/demo\r\n", b" easel/demo"),
    *(b"easel%2Fdemo", b"{}", b"[]" * 9000, b"", SMUGGLED.encode()),
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """A request as it goes over the wire."""

    number: int
    origin: str
    """What was done to it."""
    pieces: tuple[bytes, ...]
    waits: bool
    """Whether it may be answered with a timeout."""
    is_http: bool
    """Whether it is more than bytes for who reads HTTP."""


def request(seed: int, number: int) -> Sent:
    """The first ones have one mutation each, in turn, as often as that goes in; all others one to three."""
    chance = Random(f"form {seed}/{number}")  # noqa: S311
    chosen = [MUTATIONS[number % len(MUTATIONS)]]
    if number >= 3 * len(MUTATIONS):
        chosen += chance.choices(MUTATIONS, k=chance.choice((0, 1, 1, 2)))
    draft = good(chance)
    for mutation in chosen:
        mutation(draft, chance)
    return Sent(number, ", ".join(each.__name__ for each in chosen), draft.pieces(chance), draft.waits, draft.is_http)


# How it is sent -----------------------------------------------------------------------------------------------------


def split_anywhere(draft: Draft, chance: Random) -> None:
    draft.cuts = chance.choice((1, 2, 5, 30))


def split_at_each_byte(draft: Draft, _: Random) -> None:
    draft.each_byte = True


def in_chunks(draft: Draft, chance: Random) -> None:
    size = chance.choice((1, 7, 100, 1 << 14))
    extension = chance.choice((b"", b";a=b", b' ; a="b"', b";" + b"a" * 900))

    def chunks(body: bytes) -> bytes:
        small, rest = body[:2000], body[2000:]  # a chunk of each byte is expensive for who makes it, too
        pieces = [small[at : at + size] for at in range(0, len(small), size)] + [rest] * bool(rest)
        return b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\n"

    draft.chunks = chunks
    draft.headers.append((b"Transfer-Encoding", chance.choice((b"chunked", b"Chunked"))))


def in_bad_chunks(draft: Draft, chance: Random) -> None:
    kind = chance.choice(
        (b"-%x\r\n%b", b"0x%x\r\n%b", b"%x0000000000000000\r\n%b", b"%xg\r\n%b", b" %x\r\n%b\r\n0\r\n\r\n")
    )
    draft.chunks = lambda body: kind % (len(body), body)
    draft.headers.append((b"Transfer-Encoding", b"chunked"))
    draft.waits = True
    draft.is_http = False


def with_trailers(draft: Draft, chance: Random) -> None:
    trailer = chance.choice((b"X-A: b\r\n", b"Content-Length: 5\r\n", b"a" * 70_000, b": none\r\n", SMUGGLED.encode()))
    draft.chunks = lambda body: b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)
    draft.headers.append((b"Transfer-Encoding", b"chunked"))
    draft.is_http = False


def chunks_without_end(draft: Draft, _: Random) -> None:
    draft.chunks = lambda body: b"%x\r\n%b\r\n" % (len(body), body)
    draft.headers.append((b"Transfer-Encoding", b"chunked"))
    draft.waits = True


def wrong_length(draft: Draft, chance: Random) -> None:
    less = chance.choice((1, 2, 7, 100, -1, -2, -100, -40_000))
    draft.lengths = [lambda length: b"%d" % max(0, length - less)]
    draft.waits = True
    draft.is_http = False


def odd_length(draft: Draft, chance: Random) -> None:
    said = chance.choice(
        (b"-1", b"0x10", b"", b"1e3", b"99999999999999999999", b"5, 6", b"+7", b"\xb2", b"9" * 5000, b"0")
    )
    draft.lengths = [lambda _: said]
    draft.waits = True
    draft.is_http = False


def padded_length(draft: Draft, chance: Random) -> None:
    zeros_before = b"0" * chance.choice((1, 9, 25))
    draft.lengths = [lambda length: zeros_before + b"%d" % length]


def two_lengths(draft: Draft, chance: Random) -> None:
    more = chance.choice((0, 1, -1))
    draft.lengths = [lambda length: b"%d" % length, lambda length: b"%d" % (length + more)]
    draft.is_http = False


def length_and_chunks(draft: Draft, _: Random) -> None:
    draft.lengths = [lambda length: b"%d" % length]
    draft.headers.append((b"Transfer-Encoding", b"chunked"))
    draft.chunks = lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    draft.is_http = False


def odd_request_headers(draft: Draft, chance: Random) -> None:
    choice: list[tuple[bytes, bytes]] = [
        *((b"Content-Encoding", kind) for kind in (b"gzip", b"br", b"identity", b"\xff")),
        *((b"Transfer-Encoding", kind) for kind in (b"identity", b"gzip, chunked")),
        *((b"Expect", kind) for kind in (b"100-continue", b"a-miracle")),
        *((b"X-Request-Id", kind) for kind in (b"\xff\xfe", b"i" * 9000, b"a\tb", b"%0d%0aX-Easel-Smuggled: yes")),
        *((b"Accept", kind) for kind in (b",;q=,*/*;q=9", b"text/event-stream", b"image/png", b"a" * 9000)),
        *((b"Idempotency-Key", kind) for kind in (b"", b"\xff", b"a" * 9000, b"a b")),
        *((b"X-Easel-Max-Price", kind) for kind in (b"", b"NaN", b"-1 USD", b"1e999999999 USD", b"9" * 9000)),
        *((b"Authorization", kind) for kind in (b"Bearer", b"Bearer \xe9", b"Basic Og==", b"Bearer " + b"a" * 9000)),
        *((b"X-Forwarded-Host", kind) for kind in (b"evil.example", b"a b", b"\xff")),
        *((b"Host", kind) for kind in (b"b", b"\xff", b"")),
        *((b"Cookie", b"a=" + b"b" * 60_000), (b"Connection", b"close")),
        *((b"Upgrade", b"websocket"), (b"Origin", b"null")),
    ]  # fmt: skip
    draft.headers.append(chance.choice(choice))
    draft.is_http = False


def smuggled_request_header(draft: Draft, chance: Random) -> None:
    name = chance.choice((b"X-Request-Id", b"Idempotency-Key", b"X-Easel-Max-Price", b"Accept", b"Content-Type"))
    ending = chance.choice((b"\r", b"\n", b"\r ", b"\x0b", b"\x85", b"\xe2\x80\xa8", b"\0", b"\r\n "))
    draft.headers.append((name, b"a" + ending + MARK.encode() + b": yes"))
    draft.is_http = False


def many_request_headers(draft: Draft, chance: Random) -> None:
    draft.headers += [(b"X-%d" % number, b"b") for number in range(chance.choice((50, 101, 3000, 9000)))]
    draft.is_http = False


def slash_and_query(draft: Draft, chance: Random) -> None:
    draft.path = chance.choice(
        (b"/image-to-image/", b"/image-to-image?a=b", b"/image-to-image?%00=%ff", b"/%69mage-to-image")
    )


# What it says of itself ---------------------------------------------------------------------------------------------


def no_boundary(draft: Draft, chance: Random) -> None:
    draft.content_type = chance.choice(
        (
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b'multipart/form-data; boundary=""',
            b"multipart/form-data;",
        )
    )


def other_boundary(draft: Draft, chance: Random) -> None:
    draft.content_type = b"multipart/form-data; boundary=" + chance.choice(
        (b"b", BOUNDARY[:-1], BOUNDARY + b"-", b"-" * 70)
    )


def odd_boundary(draft: Draft, chance: Random) -> None:
    draft.boundary = chance.choice(
        (
            *(b"b" * length for length in (1, 69, 70, 71, 200, 5000)),
            b"a b",
            b"a\tb",
            b"a;b",
            b"--",
            b"-",
            b"\xff\xfe",
            b"'()+_,./:=?",
        )
    )
    quoted = chance.random() < 0.5
    draft.content_type = b"multipart/form-data; boundary=" + (
        b'"' + draft.boundary + b'"' if quoted else draft.boundary
    )


def other_type(draft: Draft, chance: Random) -> None:
    kinds = (
        *(b"", b";", b"multipart/mixed; boundary=" + BOUNDARY, b"multipart/form-data;;;=", b"application/octet-stream"),
        *(b"application/x-www-form-urlencoded", b"text/plain"),
        *(b"MULTIPART/FORM-DATA; BOUNDARY=" + BOUNDARY, b"\xff/\xfe"),
        b'multipart/form-data; boundary="' + BOUNDARY,
        *(b"multipart/form-data; boundary*=utf-8''" + BOUNDARY, b"a" * 9000),
        b"multipart/form-data; boundary*0=easel-; boundary*1=damaged-form-boundary",
        b"multipart/form-data; " + b"a=b;" * 3000,
        b"multipart/form-data; charset=utf-16; boundary=" + BOUNDARY,
        b"multipart/form-data; boundary=b; boundary=" + BOUNDARY,
    )  # fmt: skip
    draft.content_type = chance.choice((None, *kinds))


def json_body(draft: Draft, chance: Random) -> None:
    draft.content_type = b"application/json"
    good_one = json.dumps({"model_id": "easel/demo", "prompt": "a cat", "image": "data:image/png;base64,AAAA"}).encode()
    draft.body = chance.choice((good_one, b"", b"{", b"[" * 50_000, b"null", b"\xff", b'{"a":' * 9000))


def compressed_body(draft: Draft, chance: Random) -> None:
    content = chance.choice((draft.written(), bytes(8 << 20)))
    draft.body = chance.choice((gzip.compress(content), zeros(8 << 20)))
    draft.headers.append((b"Content-Encoding", chance.choice((b"gzip", b"deflate", b"x-gzip"))))


# How it is framed ---------------------------------------------------------------------------------------------------


def no_closing_boundary(draft: Draft, chance: Random) -> None:
    draft.closing = chance.choice((b"", b"-", b"-x", b" --"))


def odd_lines(draft: Draft, chance: Random) -> None:
    draft.line = chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b" \r\n", b"\r\n\r\n"))


def preamble(draft: Draft, chance: Random) -> None:
    draft.preamble = chance.choice(
        (b"\r\n", b"This is a form.\r\n", b"-" * 5000 + b"\r\n", b"--\r\n", b"\0" * 9 + b"\r\n")
    )


def epilogue(draft: Draft, chance: Random) -> None:
    draft.epilogue = chance.choice(
        (b"\r\n", b"bye", b"\0" * 9000, b"--" + BOUNDARY + b"\r\n", b"--" + BOUNDARY + b"--", b"-" * 9000)
    )


def twice(draft: Draft, _: Random) -> None:
    whole = draft.written()
    draft.body = whole + whole


def nested(draft: Draft, chance: Random) -> None:
    kind = chance.choice((b"multipart/mixed", b"multipart/form-data"))
    inner = draft.written()
    for _ in range(chance.choice((1, 2, 20))):
        inner = b"--inner\r\n" + b"Content-Type: " + kind + b"; boundary=inner\r\n\r\n" + inner + b"\r\n--inner--\r\n"
    name = chance.choice(("image", "prompt", "other"))
    part = Part(
        [(b"Content-Disposition", f'form-data; name="{name}"'.encode()), (b"Content-Type", kind + b"; boundary=inner")],
        inner,
    )
    draft.parts.insert(0, part)


def boundaries_in_content(draft: Draft, chance: Random) -> None:
    almost = chance.choice(
        (b"\r\n--" + BOUNDARY[:-1], b"\r\n--", b"\r\n-", b"\r", b"--" + BOUNDARY, b"\r\n--" + BOUNDARY)
    )
    draft.parts.insert(chance.randrange(len(draft.parts) + 1), text("note", almost * chance.choice((1, 50, 3000))))


def damaged(draft: Draft, chance: Random) -> None:
    for mutation in chance.choices(damaged_pictures.ANYWHERE, k=chance.choice((1, 1, 3))):
        seed = chance.random()
        draft.damages.append(lambda body, each=mutation, seed=seed: len(body) > 2048 and each(body, Random(seed)))  # type: ignore[misc] # noqa: S311


def cut_short(draft: Draft, chance: Random) -> None:
    share = chance.random()
    draft.damages.append(lambda body: body.__delitem__(slice(int(len(body) * share), None)))


# Its parts ----------------------------------------------------------------------------------------------------------


def missing_part(draft: Draft, chance: Random) -> None:
    start = chance.randrange(4)
    del draft.parts[start : start + chance.choice((1, 2))]


def no_parts(draft: Draft, _: Random) -> None:
    draft.parts.clear()


def many_parts(draft: Draft, chance: Random) -> None:
    count = chance.choice((30, 36, 37, 60, 20_000))
    content = b"x" * chance.choice((0, 1, 30))
    draft.parts[chance.choice((0, len(draft.parts))) : 0] = [text(f"note{number}", content) for number in range(count)]


def field_twice(draft: Draft, chance: Random) -> None:
    part = chance.choice(draft.parts) if draft.parts else text("prompt", "a cat")
    draft.parts.insert(chance.randrange(len(draft.parts) + 1), part)


def odd_text(draft: Draft, chance: Random) -> None:
    name = chance.choice(TEXT_FIELDS)
    part = draft.part(name)
    if part is None:
        draft.parts.append(part := text(name, ""))
    part.content = chance.choice(_ODD_TEXTS)


def smuggled_text(draft: Draft, chance: Random) -> None:
    name = chance.choice(("model_id", "prompt", "model_id", "loras"))
    draft.remove(name)
    draft.parts.append(text(name, chance.choice(("", "easel/", '{"a/b": "')) + SMUGGLED))


def odd_filename(draft: Draft, chance: Random) -> None:
    names = (
        b"",
        b"../../etc/passwd",
        b"a\0b",
        b"a\r\n" + MARK.encode() + b": yes",
        b"%0d%0a" + MARK.encode(),
        b"\xff\xfe",
        b"a" * 9000,
    )
    if (part := draft.part("image")) is not None:
        part.headers[:1] = file("image", b"", chance.choice(names)).headers[:1]


def file_for_text(draft: Draft, chance: Random) -> None:
    name = chance.choice(TEXT_FIELDS)
    draft.remove(name)
    draft.parts.insert(0, file(name, b"a cat"))


def text_for_file(draft: Draft, _: Random) -> None:
    if (part := draft.part("image")) is not None:
        part.headers = text("image", b"").headers


def unknown_file(draft: Draft, chance: Random) -> None:
    content = chance.randbytes(chance.choice((0, 1, 99_999)))
    draft.parts.insert(chance.randrange(len(draft.parts) + 1), file("other", content))


def no_picture(draft: Draft, chance: Random) -> None:
    if (part := draft.part("image")) is not None:
        part.content = chance.choice(
            (b"", b"\0" * 9000, b"<svg/>", b"%PDF-1.4", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
        )


def damaged_picture(draft: Draft, chance: Random) -> None:
    if (part := draft.part("image")) is not None:
        # Past the bombs, which have a test of their own.
        part.content = damaged_pictures.upload(chance.randrange(1 << 30), 1000).data


# Headers of its parts -----------------------------------------------------------------------------------------------


def _any_part(draft: Draft, chance: Random) -> Part:
    if not draft.parts:
        draft.parts.append(text("note", ""))
    return chance.choice(draft.parts)


def huge_part_header(draft: Draft, chance: Random) -> None:
    size = chance.choice((4000, 9000, 70_000, 2_000_000))
    huge = chance.choice(
        ((b"X-A", b"b" * size), (b"X-" + b"a" * size, b"b"), (b"Content-Type", b"a/b;" + b"c=d;" * (size // 4)))
    )
    _any_part(draft, chance).headers.append(huge)


def many_part_headers(draft: Draft, chance: Random) -> None:
    _any_part(draft, chance).headers += [(b"X-A", b"b")] * chance.choice((7, 8, 20, 9000))


def huge_disposition(draft: Draft, chance: Random) -> None:
    name, size = chance.choice((b"name", b"filename", b"a")), chance.choice((2000, 9000, 500_000))
    filler = chance.choice(
        (b'="' + b"b" * size + b'"', b'="' + b"\\" * size + b'"', b"=" + b";a=" * (size // 3), b'="' + b"a" * size)
    )
    _any_part(draft, chance).headers[:1] = [(b"Content-Disposition", b"form-data; " + name + filler)]


def odd_disposition(draft: Draft, chance: Random) -> None:
    values = (
        *(b"", b"form-data", b'attachment; name="prompt"'),
        *(b'form-data; name=""', b"form-data; name", b'form-data; name="a'),
        *(b"form-data; name=prompt", b"form-data; name*=utf-8''prompt"),
        *(b'form-data; name="prompt"; name="seed"', b";;;;"),
        *(b'form-data; name="pro\\"mpt"', b'form-data; name="\xff\xfe"'),
        *(b'form-data; name="a\0b"', b'form-data; name="_charset_"'),
        *(b"form-data; name*0=pro; name*1=mpt", b"form-data; name*=x''%ff"),
        *(b"form-data; name*=utf-99'en'%e2%82", b"=" * 9000),
        b"form-data; filename*=utf-8''%2e%2e%2fa",
        *(b'form-data; name="image"; filename*=UTF-8\'\'%c3', b'FORM-DATA; NAME="prompt"'),
    )  # fmt: skip
    _any_part(draft, chance).headers[:1] = [(b"Content-Disposition", chance.choice(values))]


def odd_part_headers(draft: Draft, chance: Random) -> None:
    odd = (
        *((b"Content-Transfer-Encoding", kind) for kind in (b"base64", b"quoted-printable", b"8bit")),
        *((b"Content-Type", kind) for kind in (b"", b"text/plain; charset=utf-16", b"multipart/mixed", b"\xff")),
        *((b"", b"no name"), (b"X A", b"b"), (b"X-A\0", b"b")),
        *((b"X-\xff", b"b"), (b"X-A", b"\0"), (b"X-A", b"b\r\n folded")),
        *((b"Content-Length", b"5"), (b"Content-Encoding", b"gzip")),
        (b"Content-Disposition", b'form-data; name="seed"'),
        *((MARK.encode(), b"yes"), (b"X-A", b"b\r\n\r\n"), (b"X-A", b"b\n" + MARK.encode() + b": yes")),
    )  # fmt: skip
    _any_part(draft, chance).headers.insert(chance.choice((0, 1)), chance.choice(odd))


def no_part_headers(draft: Draft, chance: Random) -> None:
    _any_part(draft, chance).headers.clear()


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(split_anywhere, split_at_each_byte, in_chunks, in_bad_chunks, with_trailers, chunks_without_end, wrong_length),
    *(odd_length, padded_length, two_lengths, length_and_chunks, odd_request_headers, smuggled_request_header),
    *(many_request_headers, slash_and_query, no_boundary, other_boundary, odd_boundary, other_type, json_body),
    *(compressed_body, no_closing_boundary, odd_lines, preamble),
    *(epilogue, twice, nested, boundaries_in_content, damaged),
    *(damaged, cut_short, missing_part, no_parts, many_parts, field_twice, odd_text, odd_text, smuggled_text),
    *(odd_filename, file_for_text, text_for_file, unknown_file, no_picture, damaged_picture, huge_part_header),
    *(many_part_headers, huge_disposition, odd_disposition, odd_disposition, odd_part_headers, no_part_headers),
)  # fmt: skip
