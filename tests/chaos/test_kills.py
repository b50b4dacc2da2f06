"""Gateway, runtime and PostgreSQL die in turn under load: nothing is lost, and nothing is charged twice."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from support.bookkeeping import differences
from support.callers import PATIENCE
from support.house import SECONDS, House
from support.postgres_process import PostgresProcess

CALLERS: Final = 6
PROGRESS: Final = 8
"""Requests that are served between two deaths."""


async def _served(house: House, more: int) -> None:
    """Return when so many more errands are done."""
    goal, deadline = house.callers.served + more, time.monotonic() + PATIENCE
    while house.callers.served < goal:
        assert time.monotonic() < deadline, house.gateway.output[-5000:]
        await asyncio.sleep(0.02)  # callers tell nobody but their books


async def _under_load(house: House, deaths: list[Callable[[], None]]) -> None:
    """The deaths, one after the other and round about, while callers ask for something all the time."""
    goes_on = True

    async def caller(cuts: int) -> None:
        while goes_on:
            errand = house.callers.errand(images=1 + len(house.callers.errands) % 2)
            await house.callers.run(errand, cuts=cuts)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(cuts=number % 2))  # every other one hangs up at random and comes back, too
        end = time.monotonic() + SECONDS
        rounds = 0
        while rounds < 2 or time.monotonic() < end:
            rounds += 1
            for death in deaths:
                await _served(house, PROGRESS)
                await asyncio.to_thread(death)
        await _served(house, PROGRESS)
        goes_on = False
    await house.callers.check_images()


def _kill_gateway(house: House) -> None:
    house.gateway.kill()
    house.gateway.start()


def _kill_postgres(postgres: PostgresProcess) -> None:
    postgres.kill()
    postgres.start()


def test_nothing_is_lost_or_charged_twice_when_all_die_in_turn(large_house: House, postgres: PostgresProcess) -> None:
    house = large_house
    deaths = [lambda: _kill_gateway(house), house.kill_runtime, lambda: _kill_postgres(postgres)]
    asyncio.run(_under_load(house, deaths))
    assert differences(house.callers.errands, house.rows()) == []


def test_nothing_is_lost_or_charged_twice_on_one_machine(house: House) -> None:
    asyncio.run(_under_load(house, [lambda: _kill_gateway(house), house.kill_runtime]))
    assert differences(house.callers.errands, house.rows()) == []
