"""Traces by OpenTelemetry: the real SDK and exporter, and a collector that reads what they send."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from easel_http import tracing
from easel_http.tracing import TracingError, finish, provider
from easel_runtime.__main__ import serve
from support.engines import ToyEngine
from support.in_process import Runtime, running, until_in_step
from support.otlp import Collector, attributes, collecting
from support.runtimes import toy_settings, until

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", ENDPOINT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@dataclass(frozen=True)
class Traced:
    """A runtime whose spans are collected."""

    runtime: Runtime
    provider: TracerProvider
    collector: Collector

    async def spans(self) -> list[Span]:
        """All that there are by now, the earliest first."""
        assert await asyncio.to_thread(self.provider.force_flush)
        return self.collector.spans()


@pytest.fixture
async def traced(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Traced]:
    async with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        made = provider("easel-runtime", "1.2.3")
        assert made is not None
        try:
            async with running(ToyEngine(room=80 * 80), traces=made, batch=4) as runtime:
                yield Traced(runtime, made, collector)
        finally:
            await asyncio.to_thread(finish, made)


def named(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_request_is_a_span_in_its_callers_trace_with_its_parts_in_it(traced: Traced) -> None:
    parent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "abc"}
    answer = await traced.runtime.post(headers=parent, num_images_per_prompt="2", num_inference_steps="3")
    assert answer.status_code == 200
    spans = await traced.spans()
    assert sorted(span.name for span in spans) == ["POST /image-to-image", "encode", "encode", "generate", "queue"]
    whole, queue, generate = (named(spans, name) for name in ("POST /image-to-image", "queue", "generate"))
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert (whole.parent_span_id.hex(), whole.kind) == (PARENT, Span.SPAN_KIND_SERVER)
    assert {span.parent_span_id for span in spans if span is not whole} == {whole.span_id}
    assert attributes(whole.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/image-to-image",
        "easel.request_id": "abc",
    }
    assert attributes(generate.attributes) == {
        "easel.model": "easel/toy",
        "easel.steps": 3,
        "easel.images": 2,
        "easel.pixels": 2 * 64 * 48,
        "easel.batch": 2,
    }
    assert queue.end_time_unix_nano == generate.start_time_unix_nano
    for span in spans:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
        assert span.status.code == Status.STATUS_CODE_UNSET


async def test_a_failure_is_an_error_of_the_part_that_failed_and_of_the_request(traced: Traced) -> None:
    traced.runtime.engine.errors = [RuntimeError("secret")]
    assert (await traced.runtime.post()).status_code == 500
    spans = await traced.spans()
    whole, queue, generate = (named(spans, name) for name in ("POST /image-to-image", "queue", "generate"))
    assert (whole.status.code, generate.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR)
    assert queue.status.code == Status.STATUS_CODE_UNSET
    assert generate.status.message.startswith("the model failed at this request")
    assert attributes(generate.attributes)["error.type"] == "Failed"
    (event,) = generate.events
    assert event.name == "exception"


async def test_a_callers_mistake_is_no_error(traced: Traced) -> None:
    assert (await traced.runtime.post(seed="x")).status_code == 422
    (whole,) = await traced.spans()
    assert attributes(whole.attributes)["http.response.status_code"] == 422
    assert whole.status.code == Status.STATUS_CODE_UNSET


async def test_an_error_that_nobody_foresaw_is_recorded(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced.runtime.app.state.worker, "admit", lambda: 1 / 0)
    assert (await traced.runtime.post()).status_code == 500
    (whole,) = await traced.spans()
    assert attributes(whole.attributes)["error.type"] == "ZeroDivisionError"
    assert [event.name for event in whole.events] == ["exception"]


async def test_a_caller_who_leaves_ends_the_part_that_it_left(traced: Traced) -> None:
    engine = traced.runtime.engine
    engine.may_step.clear()
    working = asyncio.create_task(traced.runtime.post(num_inference_steps="4"))
    await until_in_step(engine)
    waiting = asyncio.create_task(traced.runtime.post())
    await until(lambda: traced.runtime.app.state.worker.waiting == 1)
    for task in (waiting, working):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await traced.runtime.until_in_flight(0)
    spans = await traced.spans()
    failed = [span.name for span in spans if attributes(span.attributes).get("error.type") == "CancelledError"]
    assert sorted(failed) == ["POST /image-to-image", "POST /image-to-image", "generate", "queue"]


async def test_without_a_trace_of_the_callers_a_request_begins_one(traced: Traced) -> None:
    await traced.runtime.post(headers={"traceparent": "nonsense"})
    await traced.runtime.post()
    spans = [span for span in await traced.spans() if span.name == "POST /image-to-image"]
    assert [span.parent_span_id for span in spans] == [b"", b""]
    assert len({span.trace_id for span in spans}) == 2


async def test_probes_and_pages_have_no_spans_and_unknown_paths_no_names(traced: Traced) -> None:
    for path in ("/health", "/livez", "/metrics"):
        await traced.runtime.client.get(path)
    await traced.runtime.client.post("/wp-login.php?secret")
    assert [span.name for span in await traced.spans()] == ["POST"]


async def test_who_sends_is_named_and_the_standard_variables_win(traced: Traced) -> None:
    await traced.runtime.post()
    await traced.spans()
    (sender,) = traced.collector.resources()
    assert (sender["service.name"], sender["service.version"]) == ("easel-runtime", "1.2.3")


@asynccontextmanager
async def sent_by(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/mine")
        yield collector


async def test_the_variables_for_traces_alone_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=easel-1")
    async with sent_by(monkeypatch) as collector:
        made = provider("easel-runtime", "1.2.3")
        assert made is not None
        made.get_tracer("test").start_span("one").end()
        await asyncio.to_thread(finish, made)
    (sender,) = collector.resources()
    assert (sender["service.name"], sender["k8s.pod.name"]) == ("mine", "easel-1")
    assert [request["path"] for request in collector.app.requests] == ["/mine"]


def test_a_collector_that_takes_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shutting_down, may_end = threading.Event(), threading.Event()

    class Silent(SpanProcessor):
        def shutdown(self) -> None:
            shutting_down.set()
            assert may_end.wait(30)

    monkeypatch.setattr(tracing, "_LAST_SECONDS", 0.01)
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(Silent())
    finish(made)
    assert shutting_down.wait(30)
    may_end.set()


# Off, or not to be had ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://x", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_address_there_are_none(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert provider("easel-runtime", "1.2.3") is None


def test_without_the_packages_the_process_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SystemExit, match=f"^{ENDPOINT} asks for traces, but .* pip install 'easel\\[telemetry\\]'$"):
        serve(toy_settings(), ToyEngine())


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL is grpc, but"):
        provider("easel-runtime", "1.2.3")
