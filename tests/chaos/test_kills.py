"""Gateway, runtime and PostgreSQL die in turn under load: nothing is lost, and nothing is charged twice."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from support.bookkeeping import Errand, Outcome, differences
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
    assert house.callers.blunt == []
    assert differences(house.callers.errands, house.rows()) == []


def test_nothing_is_lost_or_charged_twice_on_one_machine(house: House) -> None:
    asyncio.run(_under_load(house, [lambda: _kill_gateway(house), house.kill_runtime]))
    assert house.callers.blunt == []
    assert differences(house.callers.errands, house.rows()) == []


def test_an_answer_outlives_the_gateway_that_gave_it(house: House) -> None:
    errand = house.callers.errand(images=2)
    asyncio.run(house.callers.run(errand))
    made = house.pictures_made()
    _kill_gateway(house)
    again = Errand(errand.number, images=2)
    asyncio.run(house.callers.run(again))
    assert (again.paths, again.amount, again.faults) == (errand.paths, errand.amount, [])
    assert house.pictures_made() == made
    assert differences([errand], house.rows()) == []


def test_a_key_that_comes_many_times_at_once_is_worked_on_once(house: House) -> None:
    errands = [house.callers.errand(), *(Errand(0) for _ in range(CALLERS))]
    made = house.pictures_made()

    async def all_at_once() -> None:
        await asyncio.gather(*(house.callers.run(errand) for errand in errands))

    asyncio.run(all_at_once())
    assert {tuple(errand.paths) for errand in errands} == {tuple(errands[0].paths)}
    assert house.pictures_made() == made + 1
    assert differences(house.callers.errands, house.rows()) == []


def test_a_key_that_comes_to_two_gateways_at_once_is_worked_on_once(large_house: House) -> None:
    house = large_house
    here, there = house.callers, house.start_second_gateway()
    pairs = [(here.errand(), there.errand()) for _ in range(CALLERS)]
    made = house.pictures_made()

    async def all_at_once() -> None:
        asking = [callers.run(errand) for pair in pairs for callers, errand in zip((here, there), pair, strict=True)]
        await asyncio.gather(*asking)
        await there.check_images()

    asyncio.run(all_at_once())
    assert [one.paths for one, _ in pairs] == [other.paths for _, other in pairs]
    assert house.pictures_made() == made + len(pairs)
    assert differences(here.errands, house.rows()) == differences(there.errands, house.rows()) == []


def test_without_its_ledger_the_gateway_refuses_and_says_when_to_come_back(
    large_house: House, postgres: PostgresProcess
) -> None:
    house = large_house
    errand, made = house.callers.errand(), house.pictures_made()
    postgres.kill()
    asyncio.run(house.callers.run(errand, persistent=False))
    assert (errand.status, house.callers.blunt, house.pictures_made()) == (503, [], made)
    postgres.start()
    errand.outcome = Outcome.OPEN
    asyncio.run(house.callers.run(errand))
    assert differences(house.callers.errands, house.rows()) == []
