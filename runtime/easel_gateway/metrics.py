"""What Prometheus reads at the gateway's `/metrics`; docs/api.md lists it.

Every application has a registry of its own, so that two in one process (tests) do not share their numbers. A model's
series are made when it is first asked for, kept at hand because each request needs them, and dropped with the model.
What is asked for by a name that no model has is counted under a blank one, or callers could make series without end.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from easel_crds import __version__
from easel_gateway.outcomes import Outcome
from easel_http.errors import ApiError

disable_created_metrics()  # type: ignore[no-untyped-call]  # a line more for each counter, which nobody reads
_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
UNKNOWN: Final = ""
"""The model of requests that name none that exists."""


class Metrics:
    """The numbers of one gateway."""

    def __init__(self, models: Callable[[], Mapping[str, object]]) -> None:
        """`models`: those that exist, by id."""
        self._models = models
        self._of: dict[str, _OfModel] = {}
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge("easel_gateway_info", "Always 1.", ["version"]).labels(__version__).set(1)
        self._received = counter("easel_gateway_received_bytes", "Bytes of the bodies of requests.")
        self._sent = counter("easel_gateway_sent_bytes", "Bytes of the bodies of answers.")
        self._families = _Families(self.registry)
        ProcessCollector(registry=self.registry)

    def answered(self, model: str, outcome: Outcome, received: int, sent: int) -> None:
        """A request for `model` has come to its end; so many bytes came and went."""
        self._model(model).requests[outcome].inc()
        self._received.inc(received)
        self._sent.inc(sent)

    def waited(self, model: str, seconds: float) -> None:
        """A request has waited so long until an endpoint had room for it, or until it gave up."""
        self._model(model).wait.observe(seconds)

    def asked(self, model: str, seconds: float) -> None:
        """A runtime was asked, and has answered or failed after so long."""
        self._model(model).upstream.observe(seconds)

    def charged(self, model: str, pixels: int, amount: Decimal, currency: str) -> None:
        """A request was charged; the exact amount is in the ledger, a float is what Prometheus has."""
        series = self._model(model)
        series.pixels.inc(pixels)
        if currency not in series.amounts:
            series.amounts[currency] = self._families.amount.labels(series.model, currency)
        series.amounts[currency].inc(float(amount))

    def follow(self, name: str, meaning: str, number: Callable[[], float]) -> None:
        """A gauge `easel_gateway_NAME`, whose number is asked for, on another thread, when Prometheus asks."""
        Gauge(f"easel_gateway_{name}", meaning, registry=self.registry).set_function(number)

    def follow_server(self, connections: Callable[[], int], refused: Mapping[int, int]) -> None:
        """Tell of the connections of the server, and of what it `refused` by status before the application saw it."""
        self.follow("connections", "Connections of callers.", connections)
        self.registry.register(_Refusals(refused))

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All numbers and their content type, in the format that a header `accept` asks for."""
        self._drop_removed()
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self.registry), content_type

    def _model(self, model: str) -> "_OfModel":
        if (series := self._of.get(model)) is None:
            known = model if model in self._existing() else UNKNOWN
            series = self._of[known] = self._of.get(known) or _OfModel(known, self._families)
        return series

    def _existing(self) -> Mapping[str, object]:
        try:
            return self._models()
        except ApiError:  # it is not known yet
            return self._of

    def _drop_removed(self) -> None:
        models = self._existing()
        for model in [model for model in self._of if model != UNKNOWN and model not in models]:
            self._of.pop(model).drop(self._families)


class _Families:
    """The metrics that have a label `model`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=_SECONDS, labelnames=["model"])
        self.requests = counter("easel_gateway_requests", "Answers to POST.", ["model", "outcome"])
        self.wait = histogram("easel_gateway_wait_seconds", "Waiting for an endpoint with room.")
        self.upstream = histogram("easel_gateway_upstream_seconds", "From the question to a runtime to its answer.")
        self.pixels = counter("easel_gateway_pixels", "Input pixels that were charged.", ["model"])
        self.amount = counter("easel_gateway_amount", "What was charged.", ["model", "currency"])


class _OfModel:
    """The series of one model, each found once."""

    def __init__(self, model: str, families: _Families) -> None:
        self.model = model
        self.requests = {outcome: families.requests.labels(model, outcome.value) for outcome in Outcome}
        self.wait = families.wait.labels(model)
        self.upstream = families.upstream.labels(model)
        self.pixels = families.pixels.labels(model)
        self.amounts: dict[str, Counter] = {}

    def drop(self, families: _Families) -> None:
        """Have nothing left of it."""
        for outcome in Outcome:
            families.requests.remove(self.model, outcome.value)
        for family in (families.wait, families.upstream, families.pixels):
            family.remove(self.model)
        for currency in self.amounts:
            families.amount.remove(self.model, currency)


class _Refusals(Collector):
    """What the server refused by itself."""

    def __init__(self, refused: Mapping[int, int]) -> None:
        self._refused = refused

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "easel_gateway_refused", "Refused before the application saw it.", labels=["status"]
        )
        for status, count in tuple(self._refused.items()):
            family.add_metric([str(status)], count)
        yield family
