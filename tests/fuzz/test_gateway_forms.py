"""Bad input at the gateway: each is refused as the contract says, and none does lasting harm."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

import pytest

from easel_crds.metadata import Env
from support.damaged_forms import MARK, SMUGGLED, request
from support.damaged_pictures import upload
from support.form_drafts import Draft, file, text
from support.fuzzing import SCALE, SEED
from support.gateway_process import GatewayProcess, Served, gateway_process
from support.picture_bombs import BOMBS
from support.pictures import png
from support.raw_http import Answer, exchange
from support.runtime_process import RuntimeProcess, fault_of_detail, runtime_process

MEGABYTE: Final = 1 << 20
COUNT: Final = round(1000 * SCALE)
AT_ONCE: Final = 16
UPLOAD_SECONDS: Final = 4
REFUSALS: Final = frozenset({400, 402, 404, 413, 422, 431})
ROOM: Final = 48 * MEGABYTE
"""What the gateway may grow by. Of a body it keeps 64 KiB in memory; a JPEG with 8 MiB of EXIF takes 31 MiB."""
Request = tuple[str, tuple[bytes, ...], frozenset[int]]
"""Its name, its bytes in the pieces that are sent, and the statuses that it may be answered with."""
NO_ANSWER: Final = 0
"""What is left of a refusal where a connection is closed before its caller has sent all."""
OF_THE_SERVER: Final = b"Invalid HTTP request received."
"""All that the server says by itself, in plain text, to what is not HTTP."""
PARAMETERS: Final = {"maxPixels": 1 << 20, "maxImages": 2, "steps": {"max": 4}}
SETTINGS: Final[Mapping[str, str]] = {
    "EASEL_GATEWAY_BODY_BYTES": str(8 * MEGABYTE),
    "EASEL_GATEWAY_UPLOAD_SECONDS": str(UPLOAD_SECONDS),
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeProcess]:
    """A real runtime around the toy engine."""
    environment: dict[str, str] = {
        Env.MODEL_ID: "easel/demo",
        Env.PARAMETERS: json.dumps(PARAMETERS),
        Env.SAFETY: '{"checker": "none"}',
        Env.LOG_LEVEL: "warning",
    }
    with runtime_process("support.toy_runtime", tmp_path_factory.mktemp("runtime"), environment) as runtime:
        runtime.until_ready()
        yield runtime


@pytest.fixture(scope="module")
def gateway(runtime: RuntimeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A real gateway in front of it, which has been used before."""
    with gateway_process(tmp_path_factory.mktemp("gateway"), SETTINGS) as gateway:
        gateway.declare(Served(endpoints={"demo-1": runtime.url}, spec={"parameters": PARAMETERS}))
        gateway.until_known("easel/demo")
        asyncio.run(_all(AT_ONCE, lambda _: _good_image(gateway)))
        yield gateway


@pytest.fixture
def unharmed(gateway: GatewayProcess, runtime: RuntimeProcess) -> Iterator[GatewayProcess]:
    """The gateway, which is in every respect after the test what it was before."""
    image, memory, files = asyncio.run(_good_image(gateway)), gateway.peak_memory(), len(gateway.open_files())
    yield gateway
    assert asyncio.run(_good_image(gateway)) == image
    assert gateway.peak_memory() - memory < ROOM
    gateway.until_open_files_are(files)
    assert gateway.temporary_files() == gateway.drafts() == []
    assert [line for line in gateway.output.splitlines() if line.startswith(MARK)] == []
    runtime.assert_idle()


async def _all(count: int, one: Callable[[int], Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """`one` of each number below `count`, so many `at_once`."""
    numbers = iter(range(count))

    async def take() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(take())


def _good(picture: bytes = b"", /, **texts: str) -> Draft:
    fields = {"model_id": "easel/demo", "prompt": "a cat", "seed": "7", **texts}
    return Draft([*(text(name, content) for name, content in fields.items()), file("image", picture or png())])


def _sent(draft: Draft) -> tuple[bytes, ...]:
    return draft.pieces(Random(0))  # noqa: S311 (a draft that is not cut into pieces leaves nothing to chance)


async def _good_image(gateway: GatewayProcess) -> bytes:
    """The image that a request gets which is always the same."""
    answer = await exchange(gateway.address, _sent(_good()))
    assert answer.status == 200, answer
    (image,) = json.loads(answer.body)["images"]
    fetched = await exchange(gateway.address, [_get(image["url"].removeprefix("http://gateway").encode())])
    assert fetched.status == 200
    return fetched.body


def _get(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: gateway\r\n\r\n"


def _fault_of(answer: Answer, expected: frozenset[int]) -> str:
    """What is wrong with an answer; nothing: an empty text."""
    if re.search(rb"(?i)[\r\n]" + MARK.encode(), answer.head):
        return f"a header was smuggled in: {answer.head!r}"
    if answer.status not in expected:
        return f"status {answer.status}: {answer.body[:300]!r}"
    if answer.status == 307:
        return "" if answer.header("location").startswith("http://gateway/") else answer.header("location")
    if answer.status == NO_ANSWER or (answer.status == 400 and answer.body == OF_THE_SERVER):
        return ""
    return _fault_of_json(answer)


def _fault_of_json(answer: Answer) -> str:
    if answer.header("content-type") != "application/json":
        return f"content type {answer.header('content-type')}"
    body = json.loads(answer.body)
    if answer.status == 200:
        return "" if body["images"] else "no images"
    return fault_of_detail(body["detail"], in_fields=answer.status == 422)


async def _faults(gateway: GatewayProcess, requests: Sequence[Request], at_once: int = AT_ONCE) -> str:
    """What was wrong with the answers to `requests`, a line each."""
    found: list[str] = []

    async def one(number: int) -> None:
        name, pieces, expected = requests[number]
        try:
            fault = _fault_of(await exchange(gateway.address, pieces), expected)
        except TimeoutError:
            fault = "no answer"
        if fault:
            found.append(f"{name}: {fault}")

    await _all(len(requests), one, at_once)
    return "\n".join(found)


def test_damaged_forms_are_refused_and_do_no_harm(unharmed: GatewayProcess) -> None:
    requests = []
    for number in range(COUNT):
        sent = request(SEED, number)
        # Of a body that is never complete the server can only say that it did not arrive in time.
        expected = REFUSALS | {200} | ({408, 504} if sent.waits else set())
        if not sent.is_http:
            expected |= {NO_ANSWER}
        requests.append((f"EASEL_FUZZ_SEED={SEED}, form {number} ({sent.origin})", sent.pieces, expected))
    assert asyncio.run(_faults(unharmed, requests)) == ""


def test_a_form_that_is_cut_at_any_byte_is_the_same_form(unharmed: GatewayProcess) -> None:
    (whole,) = _sent(_good(png(3, 2)))
    requests = [(f"cut at byte {at}", (whole[:at], whole[at:]), frozenset({200})) for at in range(1, len(whole))]
    assert asyncio.run(_faults(unharmed, requests)) == ""


# Bombs --------------------------------------------------------------------------------------------------------------


def test_pictures_that_would_explode_are_refused(unharmed: GatewayProcess) -> None:
    requests = []
    for number, name in enumerate(BOMBS):
        content_type, body = upload(SEED, number).form()
        model = b'Content-Disposition: form-data; name="model_id"\r\n\r\neasel/demo\r\n--'
        head, _, rest = body.partition(b"\r\n")
        draft = Draft([], content_type=content_type.encode(), body=head + b"\r\n" + model + head[2:] + b"\r\n" + rest)
        requests.append((name, _sent(draft), frozenset({200, 400, 413, 422})))
    assert asyncio.run(_faults(unharmed, requests, at_once=1)) == ""


# Addresses ----------------------------------------------------------------------------------------------------------

_ID = b"0123456789abcdef" * 2
_UP = (b"..", b"%2e%2e", b"%252e%252e", b".%2e", b"%c0%ae%c0%ae", b"..%00", b"..;", b"%ef%bc%8e%ef%bc%8e", b"\xff")
_SLASH = (b"/", b"%2f", b"%252f", b"\\", b"%5c", b"%c0%af", b"//", b"%2f%2f", b"%00/")
_STEPS = [(up, slash) for up in _UP for slash in _SLASH]
_TARGETS = (
    *(up + slash + b"secret.png" for up, slash in _STEPS),
    *((up + slash) * 12 + b"etc/passwd" for up, slash in _STEPS),
    *(_ID + slash + (up + slash) * 2 + b"secret.png" for up, slash in _STEPS),
    *(_ID + slash + b"secret.png" for slash in _SLASH),
    *(
        b"%2fetc%2fpasswd",
        b"/etc/passwd",
        b"file:///etc/passwd",
        b"C:%5cWindows%5cwin.ini",
        b"~/a.png",
        b"*",
        b"%s/%n.png",
    ),
    *(
        _ID + b"/" + _ID + end
        for end in (b".png", b".png%00", b".png/", b".jpg", b"", b"%00.png", b".png?a=%00", b"%0a.png")
    ),
    *(_ID[:-1] + b"%0a/" + _ID + b".png", _ID.upper() + b"/" + _ID + b".png", b"%d9%a1" * 32 + b"/" + _ID + b".png"),
    *(b"a" * length + b"/" + b"b" * length + b".png" for length in (300, 5000, 30_000, 40_000)),
    *(b"", b"/", b"//", b"/.png", b"%", b"%0", b"%zz/%zz.png", b"\0/\0.png", b"{request_id}/{image_id}.png"),
    *(b"a" + ending + MARK.encode() + b":%20yes/b.png" for ending in (b"%0d%0a", b"\r\n", b"\n", b"\r")),
)


@pytest.mark.parametrize("start", [b"/stream/", b"/stream/../stream/", b"//stream/", b"http://gateway/stream/"])
def test_no_address_leads_to_anything_but_results(unharmed: GatewayProcess, start: bytes) -> None:
    for folder in (unharmed.results, unharmed.results.parent):
        (folder / "secret.png").write_bytes(b"secret")
    requests = [
        (repr(start + target)[:99], (_get(start + target),), frozenset({307, 400, 404, 414, 431}))
        for target in _TARGETS
    ]
    assert asyncio.run(_faults(unharmed, requests)) == ""


# Headers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_id", "prompt", "negative_prompt", "loras", "seed"])
def test_no_text_becomes_a_header_or_a_line_of_the_log(unharmed: GatewayProcess, name: str) -> None:
    values = [
        SMUGGLED,
        "easel/demo" + SMUGGLED,
        SMUGGLED.replace("\r", ""),
        SMUGGLED.replace("\n", ""),
        f"\u2028{MARK}: b",
    ]
    requests = [(repr(value), _sent(_good(**{name: value})), REFUSALS | {200}) for value in values]
    assert asyncio.run(_faults(unharmed, requests)) == ""


def test_no_header_becomes_another_one(unharmed: GatewayProcess) -> None:
    requests = []
    for name in (b"X-Request-Id", b"Idempotency-Key", b"X-Easel-Max-Price", b"Host", b"Origin", b"X-Forwarded-Host"):
        for ending in (b"\r", b"\n", b"\r\n", b"\r\n ", b"\0", b"%0d%0a", b"\x85", b"\xe2\x80\xa8", b"\\r\\n"):
            draft = _good()
            draft.headers.append((name, b"a" + ending + MARK.encode() + b": yes"))
            requests.append((f"{name!r} {ending!r}", _sent(draft), REFUSALS | {200}))
    assert asyncio.run(_faults(unharmed, requests)) == ""
