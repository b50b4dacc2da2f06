"""How many requests a second: G2."""

from functools import partial
from typing import Final

from bench.gateway.callers import rate, run
from bench.gateway.sides import ONE_MB, SMALL, Stage, gateway, proxy, stub, upload
from bench.measure import Timed, interleaved, median, ratios, spread
from bench.table import Finding, at_least, per_second

_LOADS: Final = {"2 kB, 16 callers": (SMALL, 16), "1 MB, 8 callers": (ONE_MB, 8)}
_ROUNDS: Final = 30
_TURN_SECONDS: Final = 1.0


def throughput(stage: Stage) -> list[Finding]:
    """Uploads a second through the gateway, over those through a plain proxy.

    The proxy is of the same libraries (Starlette, aiohttp, uvicorn with httptools and uvloop), one process, streams
    both ways and keeps its connections; it looks at nothing. Both have the same stub runtime, which has 16 endpoints
    for the gateway. Each caller asks again when answered. 30 rounds of a second each, in turn, after 1; medians of the
    ratios and rates.
    """
    findings = []
    with stub() as runtime, gateway(runtime) as ours, proxy(runtime) as plain:
        for name, (side, callers) in _LOADS.items():
            sent = upload(side)
            sides: dict[str, Timed] = {
                of: partial(_turn, port, sent, callers) for of, port in (("gateway", ours.port), ("proxy", plain.port))
            }
            found = interleaved(sides, stage.rounds(_ROUNDS), 1)
            shares = ratios(found["gateway"], found["proxy"])
            ours_, theirs = (per_second(median(found[of])) for of in ("gateway", "proxy"))
            what = f"{name}: gateway / plain proxy"
            findings.append(Finding("G2", what, ours_, theirs, median(shares), at_least(0.5), spread(shares)))
    return findings


def _turn(port: int, sent: bytes, callers: int) -> float:
    return run(rate(port, sent, callers, _TURN_SECONDS))
