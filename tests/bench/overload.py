"""Four times what a server can do: C11."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from bench.load import closed_for, flood, pings
from bench.measure import median, percentile
from bench.processes import Running, runtime
from bench.serving import litserve
from bench.table import Finding, NotMeasured, at_least, at_most, milliseconds, number, per_second
from bench.tiny import MODEL, Stage, uploads
from bench.wire import request

_TIMES: Final = 4
_SECONDS: Final = 6.0
_ROUNDS: Final = 5
_CALLERS: Final = 4
_CONNECTIONS: Final = 1024
_PINGS: Final = 300
_TIMED_OUT: Final = 504
"""How LitServe answers what it has kept for 30 seconds, its default."""


@dataclass
class _Seen:
    ping: float
    single: list[float] = field(default_factory=list)
    """Images a second at a load that the server can do."""
    flooded: list[float] = field(default_factory=list)
    """The same under the flood."""
    refusals: list[float] = field(default_factory=list)
    late: float = 0
    """Seconds from the end of the flood to the last answer; the worst."""


def refusing(stage: Stage) -> list[Finding]:
    """Requests at four times the rate that the server can do, for 6 seconds.

    What it can do is measured just before with 4 callers for 6 seconds; 5 rounds of both, for LitServe one. Goodput:
    images within the 6 seconds. Refusal: from the request to the 429, its small picture sent. Ping: median of 300 GET
    /health to the idle server. The runtime has its default queue of 8. Callers keep their connections, at most 1,024.
    """
    with runtime(MODEL, stage.cache) as ours:
        seen = _flooded(ours, "/image-to-image", stage.rounds(_ROUNDS))
    with litserve(stage) as other:
        peer = _flooded(other, "/predict", 1)
    refusal = percentile(seen.refusals, 0.99) if seen.refusals else float("nan")
    findings = [
        Finding(
            "C11",
            f"refusal, p99 of {len(seen.refusals)} / ping, median",
            milliseconds(refusal),
            milliseconds(seen.ping),
            refusal / seen.ping,
            at_most(10),
        ),
    ]
    for name, each, goal in (("server", seen, at_least(0.95)), ("LitServe", peer, None)):
        rates = (per_second(median(each.flooded)), per_second(median(each.single)))
        findings.append(
            Finding(
                "C11",
                f"{name}: images, {_TIMES} times the load / what it can do",
                *rates,
                median([one / all_ for one, all_ in zip(each.flooded, each.single, strict=True)]),
                goal,
            )
        )
    findings.append(
        Finding(
            "C11",
            "s from the flood's end to the last answer: server / LitServe",
            f"{number(seen.late)} s",
            f"{number(peer.late)} s",
            seen.late / peer.late,
        )
    )
    return findings


def _flooded(side: Running, path: str, rounds: int) -> _Seen:
    requests = uploads(path=path)
    asyncio.run(closed_for(side.port, requests, _CALLERS, 1))
    seen = _Seen(median(asyncio.run(pings(side.port, request("/health"), _PINGS, 0.005))))
    for _ in range(rounds):
        calm = asyncio.run(closed_for(side.port, requests, _CALLERS, _SECONDS))
        rate = calm.finished_within(_SECONDS) / _SECONDS
        wild = asyncio.run(flood(side.port, requests, _TIMES * rate, _SECONDS, _CONNECTIONS))
        if wild.lost or set(wild.statuses) - {200, 429, _TIMED_OUT}:
            raise NotMeasured(f"answers: {dict(wild.statuses)}; lost: {wild.lost}")
        seen.single.append(rate)
        seen.flooded.append(wild.finished_within(_SECONDS) / _SECONDS)
        seen.refusals += wild.latencies(429)
        seen.late = max(seen.late, wild.seconds - _SECONDS)
    return seen
