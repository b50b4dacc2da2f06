import asyncio
import time

from easel_gateway.ledger import Ledger
from support.ledgers import charge


async def test_a_busy_event_loop_does_not_starve_the_ledger(ledger: Ledger) -> None:
    """Without turns each of these takes seconds: the loop takes the interpreter back before the thread is awake."""
    charging = asyncio.ensure_future(_charge_some(ledger))
    began = time.monotonic()
    while not charging.done() and time.monotonic() < began + 10:
        until = time.perf_counter() + 0.0008
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)
    assert charging.done()
    await charging


async def _charge_some(ledger: Ledger) -> None:
    for number in range(10):
        await ledger.charge(charge(f"{number}"))
