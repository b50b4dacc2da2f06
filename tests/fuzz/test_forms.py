"""Forms with arbitrary texts, damaged bodies, and requests that are hardly HTTP."""

import re
import socket
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from easel_http.fields import ImageToImageFields
from support.damaged_pictures import ANYWHERE
from support.fuzzing import examples
from support.pictures import form, png
from support.runtime_process import EXPECTED, RuntimeProcess, fault_of

BOUNDARY = "easel-fuzz-boundary"
IMAGE = png(8, 8)
NAMES = [*ImageToImageFields.model_fields, "image", "Prompt", "prompt ", "note"]
NASTY = [
    *("", " ", "\0", "NaN", "nan", "inf", "-Infinity", "1e400", "-1e400", "1e-400", "0x10", "0b1", "1_000", "١٢"),
    *("½", "--1", "-0", "-1", "0", "1", "1.0", "1.5", "2", "4294967295", "4294967296", "9" * 5000, "1" + "0" * 400),
    *("true", "off", "null", "{}", "[]", '{"a/b": 1}', '{"a/b": 1e999}', '{"a/b": NaN}', '{"a": {"b": 1}}'),
    *('{"a/b": "1"}', '{"a": 1, "a": 2}', '{"\\ud800": "x"}', '{"\\ud800": 1}', '{"../../etc": 1}', "[" * 60_000),
    *('{"a":' * 9000, '{"": 1}', '"' * 3, "\ufeff", "\u202e", "\U0001f408", "a" * 8193, "a" * 65_536, "a" * 65_537),
    *("%s%n", "${jndi:ldap://x}", "\r\n--", "--" + BOUNDARY),
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=3), max_size=3).map(str),
).map(lambda text: text.encode()) | st.binary(max_size=30)
PARTS = st.lists(
    st.tuples(st.sampled_from(NAMES), TEXTS, st.sampled_from(["", "", "", '; filename="a.png"'])), max_size=14
)


def body_of(parts: list[tuple[str, bytes, str]]) -> bytes:
    made = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n'.encode() + content + b"\r\n"
        for name, content, rest in parts
    )
    return made + f"--{BOUNDARY}--\r\n".encode()


@examples(250)
@given(parts=PARTS, good=st.sets(st.sampled_from(["prompt", "image"])))
def _ask(toy: RuntimeProcess, parts: list[tuple[str, bytes, str]], good: set[str]) -> None:
    fitting = [part for part in parts if part[0] not in good]
    whole = [("prompt", b"a cat", "")] * ("prompt" in good) + [("image", IMAGE, '; filename="a.png"')] * (
        "image" in good
    )
    answer = toy.post(f"multipart/form-data; boundary={BOUNDARY}", body_of([*whole, *fitting]))
    assert fault_of(answer) == ""
    if answer.status_code == 422:
        assert {problem["loc"][1] for problem in answer.json()["detail"]} <= {*ImageToImageFields.model_fields, "image"}


def test_every_text_of_every_field_is_taken_or_refused_with_its_name(toy: RuntimeProcess) -> None:
    _ask(toy)
    toy.assert_idle()


@examples(60)
@given(name=st.sampled_from(list(ImageToImageFields.model_fields)), text=st.sampled_from(NASTY))
def _ask_alone(toy: RuntimeProcess, name: str, text: str) -> None:
    good = [("prompt", b"a cat", ""), ("image", IMAGE, '; filename="a.png"')]
    parts = [part for part in good if part[0] != name] + [(name, text.encode(), "")]
    answer = toy.post(f"multipart/form-data; boundary={BOUNDARY}", body_of(parts))
    assert fault_of(answer) == ""
    if answer.status_code == 422:
        assert {problem["loc"][1] for problem in answer.json()["detail"]} == {name}


def test_one_odd_field_is_the_one_that_is_named(toy: RuntimeProcess) -> None:
    _ask_alone(toy)
    toy.assert_idle()


# Bodies -------------------------------------------------------------------------------------------------------------

GOOD_TYPE, GOOD_BODY = form({"prompt": "a cat", "seed": "7", "loras": "{}"}, IMAGE)
NESTED = body_of([("prompt", b"a cat", ""), ("image", GOOD_BODY, '; filename="a"\r\nContent-Type: ' + GOOD_TYPE)])
ENCODED = GOOD_BODY.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
HEADERS = GOOD_BODY.replace(b"\r\n\r\n", b"\r\n" + b"X-A: b\r\n" * 20 + b"\r\n")
BODIES = [
    GOOD_BODY,
    NESTED,
    ENCODED,
    HEADERS,
    GOOD_BODY.replace(b"\r\n", b"\n"),
    b"preamble\r\n" + GOOD_BODY,
    GOOD_BODY * 2,
]
KINDS = [
    *(GOOD_TYPE, f"multipart/form-data; boundary={BOUNDARY}", "multipart/form-data"),
    *("multipart/form-data; boundary=", f'{GOOD_TYPE}; charset="utf-16"', GOOD_TYPE.upper()),
    *(f'{GOOD_TYPE}; boundary="b"', 'multipart/form-data; boundary="', "application/x-www-form-urlencoded"),
    *("application/json", "multipart/mixed; boundary=a", "", ";", "multipart/form-data;;;="),
    *("multipart/form-data; boundary=" + "b" * 5000,),
]  # fmt: skip


@examples(250)
@given(body=st.sampled_from(BODIES), kind=st.sampled_from([*[GOOD_TYPE] * 20, *KINDS]), chance=st.integers(0, 2**32))
def _upload(toy: RuntimeProcess, body: bytes, kind: str, chance: int) -> None:
    damaged, fate = bytearray(body), Random(chance)  # noqa: S311
    for _ in range(fate.randrange(3)):
        fate.choice(ANYWHERE)(damaged, fate)
    assert fault_of(toy.post(kind, bytes(damaged))) == ""


def test_damaged_bodies_are_answered(toy: RuntimeProcess) -> None:
    _upload(toy)
    toy.assert_idle()


def test_a_body_that_is_too_large_is_answered(toy: RuntimeProcess) -> None:
    answer = toy.post(GOOD_TYPE, GOOD_BODY + bytes(9 << 20))
    assert (answer.status_code, fault_of(answer)) == (413, "")


# Heads --------------------------------------------------------------------------------------------------------------

LINES = [
    *("Content-Length: -1", "Content-Length: 1", "Content-Length: 99999999999999999999", "Content-Length: 0x10"),
    *("Content-Length: 5, 6", "Content-Length:", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"),
    *("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Expect: 100-continue", "Expect: a-miracle"),
    *("Content-Encoding: gzip", "Upgrade: websocket\r\nConnection: Upgrade", "Connection: keep-alive, close"),
    *("Accept: ,;q=,*/*;q=9", "X-Request-Id: \xff\x01", "X-Request-Id: " + "i" * 4000, "Authorization: Bearer \xe9"),
    *("A" * 3000 + ": b", ": no name", " folded"),
]  # fmt: skip
STARTS = ["POST /image-to-image HTTP/1.1", "POST /image-to-image/ HTTP/1.0", "POST /image-to-image?a=%ff HTTP/1.1"]
STRANGE = [
    "PUT /image-to-image HTTP/1.1",
    "POST /%2e%2e/image-to-image HTTP/1.1",
    "POST image-to-image HTTP/9.9",
    "\x16\x03\x01",
]
CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"-1\r\n",
    b"5;a=b\r\nhel",
    b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
]


@examples(40)
@given(
    start=st.sampled_from([*STARTS * 3, *STRANGE]),
    lines=st.lists(st.sampled_from(LINES), max_size=3),
    content=st.sampled_from([GOOD_BODY, *CHUNKS]),
)
def _speak(toy: RuntimeProcess, start: str, lines: list[str], content: bytes) -> None:
    own = (
        []
        if any(line.startswith(("Content-Length", "Transfer")) for line in lines)
        else [f"Content-Length: {len(content)}"]
    )
    head = "\r\n".join([start, "Host: runtime", f"Content-Type: {GOOD_TYPE}", *lines, *own, "", ""])
    received = b""
    with socket.create_connection(toy.address) as connection:
        connection.settimeout(0.2)  # of what waits for more there is no answer to wait for
        try:
            connection.sendall(head.encode("latin-1") + content)
            while data := connection.recv(1 << 16):
                received += data
        except (TimeoutError, ConnectionError):
            pass
    statuses = {int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", received, re.MULTILINE)}
    assert statuses <= EXPECTED | {100, 404, 405}, received


def test_what_is_hardly_http_does_no_harm(toy: RuntimeProcess) -> None:
    before = toy.good_answer()
    _speak(toy)
    assert toy.good_answer() == before
    toy.until_idle()
