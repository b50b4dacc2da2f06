"""The runtime on a GPU beside the bare loop: P1, P2, P6 to P9."""

import asyncio
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from bench.gpu.stage import H100_ROOF, GpuStage
from bench.load import Requests, closed
from bench.measure import interleaved, median, ratio, timed
from bench.processes import Running, runtime
from bench.serving import bare, bare_turn, say, turn
from bench.table import Finding, at_least, at_most, milliseconds, number, per_second
from bench.tiny import noisy, uploads
from easel_runtime.encoding import encode_png
from easel_runtime.images import decode
from support.pictures import encoded

_QUEUE: Final = 64
_ROUNDS: Final = 10
_CALLERS: Final = 8
_BATCH: Final = 8
_PIXELS: Final = 1 << 24


@dataclass(frozen=True)
class Case:
    """A model at work."""

    name: str
    model_id: str
    side: int
    images: int
    """Of one turn."""
    keywords: Mapping[str, Any]
    """By the pipeline's names, which are those of the form too."""
    floor: float = 0
    """Milliseconds of an image on an H100 at which all that is not matrix products is free."""

    def requests(self, stage: GpuStage) -> Requests:
        """Requests for one image each."""
        return uploads(stage.pixels(self.side), **self.keywords)


_HALF: Final = MappingProxyType({"num_inference_steps": 2, "strength": 0.5, "guidance_scale": 0})
_FOUR: Final = MappingProxyType({"num_inference_steps": 8, "strength": 0.5})
_OFF: Final = MappingProxyType({"guidance_scale": 0})
_TWENTY: Final = MappingProxyType({"num_inference_steps": 20, "guidance_scale": 7.5})
SD_TURBO: Final = Case("sd-turbo, 1 step, 512 px", "stabilityai/sd-turbo", 512, 40, _HALF, 5.98)
SDXL_TURBO: Final = Case("sdxl-turbo, 1 step, 512 px", "stabilityai/sdxl-turbo", 512, 30, _HALF, 7.34)
# The same network and as many steps as SDXL-Lightning's, whose repository holds no more than another UNet.
LIGHTNING: Final = Case("SDXL, 4 steps, 1024 px", "SG161222/RealVisXL_V4.0", 1024, 8, {**_FOUR, **_OFF}, 54.9)
REALVISXL: Final = Case(
    "SDXL, 4 steps, guidance, 1024 px", "SG161222/RealVisXL_V4.0", 1024, 6, {**_FOUR, "guidance_scale": 5}
)
PIX2PIX: Final = Case("pix2pix, 20 steps, 512 px", "timbrooks/instruct-pix2pix", 512, 8, _TWENTY, 69.9)
_FLOORS: Final = ((SD_TURBO, 4.0), (SDXL_TURBO, 4.5), (LIGHTNING, 2.8), (PIX2PIX, 4.5))
_COMPILED: Final = ((REALVISXL, 1.24), (SDXL_TURBO, 2.5), (PIX2PIX, 1.3))


def overhead(stage: GpuStage) -> list[Finding]:
    """Images a second at 8 callers over the bare loop's; time of one caller over the bare loop's and the codecs'.

    Batching off. In turns as C4, 10 rounds after 1. The bare loop's pictures reach the CPU's memory. Codecs: decoding
    the uploaded PNG and encoding a PNG of the same picture.
    """
    findings = []
    for case in (SD_TURBO, SDXL_TURBO):
        with _server(stage, case) as ours, _loop(stage, case) as loop:
            sides, requests = (ours, loop), case.requests(stage)
            turns = {
                "ours": partial(turn, ours, sides, requests, _CALLERS, case.images),
                "alone": partial(turn, ours, sides, requests, 1, case.images),
                "bare": partial(bare_turn, loop, sides, case.images),
            }
            found = interleaved(turns, stage.rounds(_ROUNDS), 1)
        each = {name: median(seconds) / case.images for name, seconds in found.items()}
        codecs = _codecs(stage.pixels(case.side))
        theirs = each["bare"] + codecs
        findings += [
            Finding(
                "P1",
                f"{case.name}: images, {_CALLERS} callers: server / bare loop",
                per_second(1 / each["ours"]),
                per_second(1 / each["bare"]),
                ratio(found["bare"], found["ours"]),
                at_least(0.96),
            ),
            Finding(
                "P2",
                f"{case.name}: one caller / bare loop and codecs",
                milliseconds(each["alone"]),
                milliseconds(theirs),
                each["alone"] / theirs,
                at_most(1.05),
            ),
        ]
    return findings


def floors(stage: GpuStage) -> list[Finding]:
    """p50 of one caller, over the time at which all but the matrix products would be free.

    That time is reckoned from the operations of VAE, UNet and steps for 798 TFLOP/s (an H100), and here scaled by the
    matrix product that was measured for P3. 30 images after 5.
    """
    findings = []
    for case, goal in _FLOORS:
        with _server(stage, case) as ours:
            asyncio.run(closed(ours.port, case.requests(stage), 1, 5))
            load = asyncio.run(closed(ours.port, case.requests(stage), 1, stage.rounds(30)))
        floor = case.floor / 1000 * H100_ROOF / stage.roof
        seconds = median(load.latencies(200))
        findings.append(
            Finding(
                "P6",
                f"{case.name}: p50 / floor",
                milliseconds(seconds),
                milliseconds(floor),
                seconds / floor,
                at_most(goal),
            )
        )
    return findings


def compiled(stage: GpuStage) -> list[Finding]:
    """Images a second of the runtime with EASEL_COMPILE=full, over those without.

    One caller, in turns, 10 rounds after 1 and after what compiles.
    """
    findings = []
    for case, goal in _COMPILED:
        with _server(stage, case, EASEL_COMPILE="full") as fast, _server(stage, case) as eager:
            asyncio.run(closed(fast.port, case.requests(stage), 1, 2))  # compiles
            what = f"{case.name}: images, compiled / eager"
            findings.append(Finding("P7", what, *_compared(stage, case, (fast, eager), 1), at_least(goal)))
    return findings


def batching(stage: GpuStage) -> list[Finding]:
    """What batches bring to the server over what they bring to the bare loop (512 px); that they harm nobody (1024 px).

    EASEL_BATCH=8 and 1, 8 callers, in turns, 10 rounds after 1. The bare loop makes 8 images in a call, or in 8 calls.
    """
    findings = []
    with (
        _server(stage, SD_TURBO, EASEL_BATCH=_BATCH) as batched,
        _server(stage, SD_TURBO) as single,
        _loop(stage, SD_TURBO) as loop,
    ):
        _, _, gain = _compared(stage, SD_TURBO, (batched, single), _CALLERS)
        calls = SD_TURBO.images // _BATCH
        turns = {"one": partial(say, loop, calls * _BATCH, 1), "many": partial(say, loop, calls, _BATCH)}
        found = interleaved(turns, stage.rounds(_ROUNDS), 1)
        bare_gain = ratio(found["one"], found["many"])
    what = f"{SD_TURBO.name}: gain by batches of {_BATCH}, server / bare loop"
    findings.append(Finding("P8", what, number(gain), number(bare_gain), gain / bare_gain, at_least(0.9)))
    with _server(stage, LIGHTNING, EASEL_BATCH=_BATCH) as batched, _server(stage, LIGHTNING) as single:
        sides = (batched, single)
        what = f"{LIGHTNING.name}: images, {_CALLERS} callers: batched / not"
        findings.append(Finding("P9", what, *_compared(stage, LIGHTNING, sides, _CALLERS), at_least(0.98)))
        what = f"{LIGHTNING.name}: images, 1 caller: batching on / off"
        findings.append(Finding("P9", what, *_compared(stage, LIGHTNING, sides, 1), at_least(1 / 1.03)))
    return findings


def _compared(stage: GpuStage, case: Case, sides: tuple[Running, Running], callers: int) -> tuple[str, str, float]:
    """Images a second of both sides, and their ratio."""
    turns = {
        name: partial(turn, side, sides, case.requests(stage), callers, case.images)
        for name, side in zip(("first", "second"), sides, strict=True)
    }
    found = interleaved(turns, stage.rounds(_ROUNDS), 1)
    first, second = (per_second(case.images / median(found[name])) for name in ("first", "second"))
    return first, second, ratio(found["second"], found["first"])


@contextmanager
def _server(stage: GpuStage, case: Case, **variables: object) -> Iterator[Running]:
    with runtime(case.model_id, stage.cache, EASEL_QUEUE=_QUEUE, **variables) as started:
        yield started


@contextmanager
def _loop(stage: GpuStage, case: Case) -> Iterator[Running]:
    with bare(case.model_id, stage.cache, stage.pixels(case.side), **case.keywords) as started:
        yield started


def _codecs(side: int) -> float:
    picture = noisy(side)
    file = encoded(picture)
    sides = {"in": timed(lambda: decode(io.BytesIO(file), _PIXELS)), "out": timed(lambda: encode_png(picture))}
    return sum(median(seconds) for seconds in interleaved(sides, 10, 1).values())
