"""What Prometheus reads at `/metrics`; docs/api.md lists it.

Every application has a registry of its own, so that two in one process (tests) do not share their numbers.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from easel_crds import __version__
from easel_runtime.hardware import Hardware

disable_created_metrics()  # type: ignore[no-untyped-call]  # a line more for each counter, which nobody reads
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
_STEP_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The numbers of one runtime."""

    def __init__(self, model_id: str, hardware: Hardware) -> None:
        self._born = time.monotonic()
        self._has_made_one = False
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        gauge("easel_runtime_info", "Always 1.", ["version", "model_id"]).labels(__version__, model_id).set(1)
        self._in_flight = gauge("easel_runtime_requests_in_flight", "Requests that hold a place.")
        self._queue = gauge("easel_runtime_queue_length", "Requests that wait for the model.")
        self.requests = counter("easel_runtime_requests", "Answers to POST /image-to-image.", ["status"])
        self.seconds = histogram("easel_runtime_request_seconds", "From head to end of an answer.", buckets=_SECONDS)
        self.wait = histogram("easel_runtime_queue_wait_seconds", "From the queue to the model.", buckets=_SECONDS)
        self._step = histogram("easel_runtime_step_seconds", "One denoising step.", buckets=_STEP_SECONDS)
        self._steps = counter("easel_runtime_steps", "Denoising steps of all images.")
        self.batch = histogram("easel_runtime_batch_images", "Images made in one call of the model.", buckets=_BATCHES)
        self.loras = histogram("easel_runtime_lora_wait_seconds", "For the LoRAs of a request.", buckets=_SECONDS)
        self._images = counter("easel_runtime_images", "Images made.")
        self._pixels = counter("easel_runtime_pixels", "Pixels of the images made.")
        self.cancelled = counter("easel_runtime_cancelled", "Requests whose caller left.")
        self.out_of_memory = counter("easel_runtime_out_of_memory", "Requests for which there was too little memory.")
        self._checks = counter("easel_runtime_safety_checks", "Images that were looked at.", ["outcome"])
        self._check = histogram("easel_runtime_safety_check_seconds", "Looking at one.", buckets=_STEP_SECONDS)
        self._load = gauge("easel_runtime_load_seconds", "From the start to the model in memory, download included.")
        self._first_image = gauge("easel_runtime_first_image_seconds", "From the start to the first image.")
        ProcessCollector(registry=self.registry)
        self.registry.register(_GpuMemory(hardware))

    def note_load(self) -> None:
        """The model is in memory."""
        self._load.set(time.monotonic() - self._born)

    def note_first_image(self) -> None:
        """An image was made; the first one counts, that of the warm-up too."""
        if not self._has_made_one:
            self._has_made_one = True
            self._first_image.set(time.monotonic() - self._born)

    def note_step(self, images: int, seconds: float | None) -> None:
        """A step of so many `images` side by side was made, in `seconds`; None if that is not known."""
        self._steps.inc(images)
        if seconds is not None:
            self._step.observe(seconds)

    def note_images(self, count: int, size: tuple[int, int]) -> None:
        """`count` images of `size` (width, height) were made."""
        self._images.inc(count)
        self._pixels.inc(count * size[0] * size[1])
        self.note_first_image()

    def note_check(self, outcome: str, seconds: float) -> None:
        """An image was looked at: it is `safe`, `unsafe`, or that could not be told (`failed`)."""
        self._checks.labels(outcome).inc()
        self._check.observe(seconds)

    def follow(self, *, in_flight: Callable[[], int], queue: Callable[[], int]) -> None:
        """Take the two numbers that are always there from these functions."""
        self._in_flight.set_function(in_flight)
        self._queue.set_function(queue)


class _GpuMemory(Collector):
    """Asked of NVML when Prometheus asks; nothing without a GPU."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        total = GaugeMetricFamily("easel_runtime_gpu_memory_bytes", "Memory of a GPU", labels=["gpu"])
        used = GaugeMetricFamily("easel_runtime_gpu_memory_used_bytes", "Memory of a GPU in use", labels=["gpu"])
        for index, gpu in self._hardware.info().items():
            total.add_metric([index], gpu["memory_total"])
            used.add_metric([index], gpu["memory_total"] - gpu["memory_free"])
        yield total
        yield used
