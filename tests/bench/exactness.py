"""The same picture whatever else runs: C5, C6."""

import asyncio
import re
from typing import Final

import numpy as np

from bench.load import Load, Requests, closed
from bench.processes import runtime
from bench.table import Finding, NotMeasured, at_most, number
from bench.tiny import MODEL, OTHER, Stage, pixels, uploads
from bench.wire import ask, request

_IMAGES: Final = 24
_CALLERS: Final = 8
_BATCH: Final = 4
_BATCHES: Final = re.compile(rb"^easel_runtime_batch\w*_(sum|count) (\S+)$", re.MULTILINE)


def unbatched(stage: Stage) -> list[Finding]:
    """Errors, and answers that differ in any bit from those to the same requests one after the other.

    24 requests with a seed each, by 1 caller and then by 8, to the same runtime; InstructPix2Pix (Euler ancestral) and
    SD Turbo (Euler).
    """
    findings = []
    for model_id, requests in _work():
        with runtime(model_id, stage.cache, EASEL_QUEUE=2 * _CALLERS) as ours:
            alone, together = (asyncio.run(closed(ours.port, requests, callers, _IMAGES)) for callers in (1, _CALLERS))
        errors = 2 * _IMAGES - alone.statuses[200] - together.statuses[200]
        different = sum(one != other for one, other in zip(_files(alone), _files(together), strict=True))
        name = model_id.partition("/")[2]
        findings += [
            Finding("C5", f"{name}: errors of {2 * _IMAGES} requests", str(errors), "", errors, at_most(0)),
            Finding(
                "C5",
                f"{name}: answers that differ, 8 callers / 1",
                f"{different} of {_IMAGES}",
                "",
                different,
                at_most(0),
            ),
        ]
    return findings


def batched(stage: Stage) -> list[Finding]:
    """Largest difference (of 255) between images that were made in batches and the same ones made alone.

    As C5, with EASEL_BATCH=4 for the 8 callers. That there were batches is read from the runtime's own metrics.
    """
    findings = []
    for model_id, requests in _work():
        with runtime(model_id, stage.cache, EASEL_QUEUE=2 * _CALLERS, EASEL_BATCH=_BATCH) as ours:
            alone = asyncio.run(closed(ours.port, requests, 1, _IMAGES))
            before = _batches(ours.port)
            together = asyncio.run(closed(ours.port, requests, _CALLERS, _IMAGES))
            size = _mean_batch(before, _batches(ours.port))
        pairs = list(zip(_files(alone), _files(together), strict=True))
        worst = max((difference(one, other) for one, other in pairs), default=float("nan"))
        errors = 2 * _IMAGES - alone.statuses[200] - together.statuses[200]
        name = model_id.partition("/")[2]
        findings += [
            Finding(
                "C6",
                f"{name}: largest difference to alone",
                number(worst),
                f"{number(size)} in a batch",
                worst,
                at_most(1),
            ),
            Finding("C6", f"{name}: errors of {2 * _IMAGES} requests", str(errors), "", errors, at_most(0)),
        ]
        if not size > 1:
            raise NotMeasured(f"{model_id}: the runtime made no batches, so there is nothing to compare")
    return findings


def difference(one: bytes, other: bytes) -> int:
    """The largest difference of a colour in two picture files of the same size."""
    first, second = (np.frombuffer(pixels(file), np.uint8).astype(int) for file in (one, other))
    return int(np.abs(first - second).max())


def _work() -> list[tuple[str, Requests]]:
    # SD Turbo runs half of its steps.
    return [(MODEL, uploads()), (OTHER, uploads(num_inference_steps=4))]


def _files(load: Load) -> list[bytes]:
    """The answers' bodies by their requests' seeds."""
    answers = [answer for _, _, answer in load.answers if answer.status == 200]
    return [answer.body for answer in sorted(answers, key=lambda answer: int(answer.headers["x-easel-seed"]))]


def _batches(port: int) -> dict[bytes, float]:
    text = asyncio.run(ask(port, request("/metrics"))).body
    return {kind: float(value) for kind, value in _BATCHES.findall(text)}


def _mean_batch(before: dict[bytes, float], after: dict[bytes, float]) -> float:
    """Images in a batch, on average; 1 where the runtime tells of none."""
    count = after.get(b"count", 0) - before.get(b"count", 0)
    return (after[b"sum"] - before[b"sum"]) / count if count else 1.0
