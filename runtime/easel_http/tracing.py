"""Traces by OpenTelemetry: off, and its packages unread, unless the variables say where to send them.

The standard variables hold, as the SDK reads them: OTEL_EXPORTER_OTLP_ENDPOINT switches traces on, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and the rest have their usual meaning. Spans leave by OTLP over HTTP.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = "http/protobuf"
_LAST_SECONDS: Final = 3.0
"""Time for the last spans to leave when the process ends; the SDK's own is 15 to 20 s where nobody takes them."""


@dataclass(frozen=True)
class _Current:
    """The request that is worked on here."""

    tracer: "Tracer"
    span: "Span"
    epoch: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    """When `time.monotonic` was 0, in nanoseconds since 1970."""


_NOTHING: Final = nullcontext()
_current: ContextVar[_Current | None] = ContextVar("current", default=None)


class TracingError(Exception):
    """Traces were asked for and cannot be had; the message is for the person who set the variables."""


def provider(service: str, version: str) -> "TracerProvider | None":
    """What makes spans and sends them, for `Traced`; None unless the environment asks for traces.

    `service` is the name that OTEL_SERVICE_NAME replaces. Whoever asks must `finish` it in the end.

    Raises:
        TracingError: the packages are missing, or traces are to leave in another form than OTLP over HTTP.
    """
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), "")
    switches = os.environ.get("OTEL_SDK_DISABLED", "").lower(), os.environ.get("OTEL_TRACES_EXPORTER", "").lower()
    if not endpoint or switches[0] == "true" or switches[1] == "none":
        return None
    protocol = next((name for name in _PROTOCOLS if os.environ.get(name)), "")
    if protocol and os.environ[protocol] != _HTTP:
        raise TracingError(f"{protocol} is {os.environ[protocol]}, but traces can only be sent as {_HTTP}")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise TracingError(
            f"{endpoint} asks for traces, but {error.name} is not installed: pip install 'easel[telemetry]'"
        ) from error
    own = Resource.create({"service.name": service, "service.version": version})
    made = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def finish(provider: "TracerProvider") -> None:
    """Send the last spans of a process that ends, as far as there is somebody who takes them."""
    sending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
    sending.start()
    sending.join(_LAST_SECONDS)


class Traced:
    """A span for each POST, within the trace that the caller's `traceparent` names (W3C Trace Context).

    What is got is probes, metrics and files: there would be many spans with nothing in them.
    """

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = provider.get_tracer("easel")
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind

        caller = self._propagator.extract(Headers(scope=scope))
        span = self._tracer.start_span("POST", caller, SpanKind.SERVER, {"http.request.method": "POST"})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_answer(span, message["status"], Headers(raw=message.get("headers", [])))
            await send(message)

        token = _current.set(_Current(self._tracer, span))
        try:
            await self._app(scope, receive, answer)
        except BaseException as error:
            note_error(error)
            raise
        finally:
            _current.reset(token)
            if (route := getattr(scope.get("route"), "path", None)) is not None:
                span.update_name(f"POST {route}")
                span.set_attribute("http.route", route)
            span.end()


def record(
    name: str,
    began: float,
    ended: float,
    attributes: Mapping[str, str | int] | None = None,
    error: BaseException | None = None,
) -> None:
    """A part of the request that is worked on here: what lay between these times of `time.monotonic`.

    Nothing happens while traces are off. Whatever thread the part was on, this is for the request's own task.
    """
    if (current := _current.get()) is None:
        return
    from opentelemetry.trace import set_span_in_context

    span = current.tracer.start_span(
        name,
        set_span_in_context(current.span),
        attributes=attributes,
        start_time=current.epoch + int(began * 1e9),
    )
    if error is not None:
        _note_failure(span, error)
    span.end(current.epoch + int(ended * 1e9))


def part(name: str, attributes: Mapping[str, str | int] | None = None) -> AbstractContextManager[None]:
    """Record what happens within the context as a part of the request that is worked on here."""
    return _NOTHING if _current.get() is None else _part(name, attributes)


@contextmanager
def _part(name: str, attributes: Mapping[str, str | int] | None) -> Iterator[None]:
    began = time.monotonic()
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        record(name, began, time.monotonic(), attributes, failure)


def trace_headers() -> dict[str, str]:
    """What a server that is asked for a part of this request needs to put its spans into the same trace."""
    carrier: dict[str, str] = {}
    if (current := _current.get()) is not None:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(current.span))
    return carrier


def note_error(error: BaseException) -> None:
    """The request that is worked on here failed of `error`; nothing happens while traces are off."""
    if (current := _current.get()) is not None:
        _note_failure(current.span, error)


def _note_failure(span: "Span", error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", type(error).__qualname__)
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _note_answer(span: "Span", status: int, headers: Headers) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("http.response.status_code", status)
    if request_id := headers.get("x-request-id"):
        span.set_attribute("easel.request_id", request_id)
    if status >= 500:  # what is the caller's fault is no error of a server
        span.set_status(Status(StatusCode.ERROR))
