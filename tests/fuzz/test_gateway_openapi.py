"""Requests that schemathesis makes of the gateway's OpenAPI document, and whether the answers are as it says."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from requests import Session
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from support.directory import MemoryDirectory, entry
from support.engines import ToyEngine
from support.fuzzing import examples
from support.pictures import encoded, picture, png
from support.priced_gateway import priced_app
from support.runtimes import runtime, serving

ASKED = ["GET /health", "GET /models", "GET /models/{model_id}", "GET /v1/models", "GET /v1/models/{model_id}"]
QUOTE = "POST /quote"
BOUNDS = {"maxPixels": 1048576, "maxImages": 2, "steps": {"max": 4}}
UNLIKE_SCHEMAS = [
    negative_data_rejection,  # in a form "on" is true and nothing is the default
    positive_data_acceptance,  # what width x height may be, and which LoRAs there are, no schema says
]

schemathesis.openapi.format("binary", st.sampled_from([png(), encoded(picture(9, 5), "JPEG")]))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a gateway with one model, on a thread of its own."""
    folder: Path = tmp_path_factory.mktemp("results")
    up, urls, ends = threading.Event(), [], []

    async def serve() -> None:
        end = asyncio.Event()
        ends.append((asyncio.get_running_loop(), end))
        directory = MemoryDirectory()
        async with runtime(ToyEngine()) as demo:
            directory.put(replace(entry(parameters=BOUNDS), endpoints=(demo.endpoint,)))
            async with serving(priced_app(directory, folder), "gateway") as endpoint:
                urls.append(endpoint.url)
                up.set()
                await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway")
    thread.start()
    assert up.wait(30)
    yield urls[0]
    (loop, end), *_ = ends
    loop.call_soon_threadsafe(end.set)
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def session(gateway: str) -> Iterator[Session]:
    with Session() as session:
        session.trust_env = False
        yield session


def check(case: Case[Any], session: Session) -> None:
    excluded: list[CheckFunction] = list(UNLIKE_SCHEMAS)
    case.call_and_validate(session=session, excluded_checks=excluded, timeout=60)


@pytest.mark.parametrize(
    ("label", "count", "mode"),
    [
        *((label, 10, GenerationMode.POSITIVE) for label in ASKED),
        (QUOTE, 60, GenerationMode.POSITIVE),
        (QUOTE, 60, GenerationMode.NEGATIVE),
        ("POST /image-to-image", 60, GenerationMode.POSITIVE),
        ("POST /image-to-image", 60, GenerationMode.NEGATIVE),
    ],
)
def test_what_is_asked_is_answered_as_the_document_says(
    gateway: str, session: Session, label: str, count: int, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_url(f"{gateway}/openapi.json").find_operation_by_label(label)
    assert operation is not None

    @examples(count)
    @given(case=operation.as_strategy(mode))
    def ask(case: Case[Any]) -> None:
        check(case, session)

    ask()


def test_every_quote_that_the_document_allows_is_given(gateway: str, session: Session) -> None:
    schema = session.get(f"{gateway}/openapi.json", timeout=60).json()
    fields = schema["paths"]["/quote"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    most = fields["pixels"]["maximum"]

    @examples(30)
    @given(pixels=st.integers(1, most), images=st.integers(1, fields["images"]["maximum"]))
    def ask(pixels: int, images: int) -> None:
        said = {"model_id": "easel/demo", "pixels": pixels, "images": images}
        answer = session.post(f"{gateway}/quote", json=said, timeout=60)
        assert (answer.status_code, answer.json()["pixels"]) == (200, pixels * images)

    ask()
