"""A collector of OpenTelemetry's traces on a loopback socket: reads what real exporters send."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from support.runtimes import ScriptedApp, serving


@dataclass(frozen=True)
class Collector:
    """What was sent to `url`."""

    url: str
    app: ScriptedApp

    def spans(self) -> list[Span]:
        """Every span, the earliest first."""
        scopes = (scope for sender in self._senders() for scope in sender.scope_spans)
        return sorted((span for scope in scopes for span in scope.spans), key=lambda span: span.start_time_unix_nano)

    def resources(self) -> list[dict[str, object]]:
        """Attributes of each sender, as often as it sent."""
        return [attributes(sender.resource.attributes) for sender in self._senders()]

    def _senders(self) -> Iterator[ResourceSpans]:
        for body in self.app.bodies:
            yield from ExportTraceServiceRequest.FromString(body).resource_spans


def attributes(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """`pairs` as Python has them."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that takes everything."""
    app = ScriptedApp(content_type="application/x-protobuf")
    async with serving(app, "collector") as endpoint:
        yield Collector(endpoint.url, app)
