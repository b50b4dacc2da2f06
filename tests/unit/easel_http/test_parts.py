"""Parts of a request's trace, and what the next server needs to go on with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Receive, Scope, Send

from easel_http.tracing import Traced, part, trace_headers

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
async def spans() -> AsyncIterator[Callable[[Callable[[], Any]], Any]]:
    """Has work done within a traced request; gives the spans by name."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def of(work: Callable[[], Any]) -> dict[str, ReadableSpan]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            work()

        headers = [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
        scope = {"type": "http", "method": "POST", "headers": headers}
        await asyncio.wait_for(Traced(app, provider)(scope, None, None), 10)  # type: ignore[arg-type]
        return {span.name: span for span in exporter.get_finished_spans()}

    yield of
    provider.shutdown()


async def test_a_part_is_a_span_within_the_request(spans: Callable[[Callable[[], Any]], Any]) -> None:
    def work() -> None:
        with part("hold", {"easel.model": "easel/demo"}):
            pass

    found = await spans(work)
    assert found["hold"].parent.span_id == found["POST"].context.span_id
    assert dict(found["hold"].attributes) == {"easel.model": "easel/demo"}
    assert found["hold"].status.is_unset


async def test_a_part_that_fails_says_so_and_lets_the_error_go_on(spans: Callable[[Callable[[], Any]], Any]) -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="no"), part("hold"):
            raise ValueError("no")

    assert (await spans(work))["hold"].attributes["error.type"] == "ValueError"


async def test_the_next_server_gets_the_callers_trace_and_this_request_as_its_parent(
    spans: Callable[[Callable[[], Any]], Any],
) -> None:
    sent: dict[str, str] = {}
    found = await spans(lambda: sent.update(trace_headers()))
    assert sent == {"traceparent": f"00-{TRACE}-{found['POST'].context.span_id:016x}-01"}


def test_without_traces_there_is_nothing_to_send() -> None:
    with part("hold"):
        assert trace_headers() == {}
