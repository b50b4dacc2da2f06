"""The semantics of client-go's work queue, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel_operator.workqueue import WorkQueue
from support.virtual_time import run


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _next(queue: WorkQueue[str], within: float = 0.001) -> str | None:
    """The next key, if one comes within so many seconds, or at once."""
    try:
        return await asyncio.wait_for(queue.take(), within)
    except TimeoutError:
        return None


def timed(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on a loop whose time passes at once."""

    async def begin() -> None:
        await test()

    def of_its_own_loop() -> None:
        run(begin())

    of_its_own_loop.__name__ = test.__name__
    return of_its_own_loop


@timed
async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "abc":
        queue.add(key)
    assert [await queue.take() for _ in "abc"] == ["a", "b", "c"]


@timed
async def test_a_key_that_waits_is_not_added_again() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.take(), await queue.take()] == ["a", "b"]
    assert await _next(queue, 100) is None


@timed
async def test_whoever_waits_is_woken() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    done, left = await asyncio.wait(waiting, timeout=1)
    assert {task.result() for task in done} == {"a", "b"}
    queue.add("c")
    assert await left.pop() == "c"


@timed
async def test_one_who_gave_up_takes_nothing_along() -> None:
    queue: WorkQueue[str] = WorkQueue()
    impatient, patient = asyncio.create_task(queue.take()), asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add("a")
    impatient.cancel()
    assert await patient == "a"


@timed
async def test_a_key_that_is_added_while_it_is_in_work_comes_again_afterwards_and_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.take() == "a"
    queue.add("a")
    queue.add("a")
    assert await _next(queue, 100) is None, "it is in somebody's hands"
    queue.done("a")
    assert await _next(queue) == "a"
    queue.done("a")
    assert await _next(queue, 100) is None


@timed
async def test_a_key_that_was_done_may_be_added_again() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")
        assert await _next(queue) == "a"
        queue.done("a")


@timed
async def test_later_is_later() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 30)
    assert await _next(queue, 29.9) is None
    assert await _next(queue, 0.2) == "a"


@timed
async def test_the_earlier_of_two_plans_holds_and_the_other_is_forgotten() -> None:
    for first, second in ((30, 10), (10, 30)):
        queue: WorkQueue[str] = WorkQueue()
        begun = _now()
        queue.add_after("a", first)
        queue.add_after("a", second)
        assert await _next(queue, 100) == "a"
        assert _now() - begun == pytest.approx(10)
        queue.done("a")
        assert await _next(queue, 100) is None


@timed
async def test_at_once_is_earlier_than_any_plan_and_replaces_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 10)
    queue.add("a")
    queue.add_after("a", 5)
    assert await _next(queue) == "a"
    queue.done("a")
    assert await _next(queue, 100) is None


@timed
async def test_a_plan_that_is_due_during_work_waits_for_its_end() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add_after("a", 1)
    assert await _next(queue, 50) is None
    queue.done("a")
    assert await _next(queue) == "a"


@timed
async def test_a_plan_made_after_the_work_does_not_outlast_an_addition_during_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.done("a")
    queue.add_after("a", 10)
    assert await _next(queue) == "a"
    queue.done("a")
    assert await _next(queue, 100) is None


async def _pauses(queue: WorkQueue[str], times: int) -> list[float]:
    """Seconds from each failure to the next try."""
    found = []
    for _ in range(times):
        queue.done("a", failed=True)
        begun = _now()
        assert await _next(queue, 1000) == "a"
        found.append(_now() - begun)
    return found


@timed
async def test_after_each_failure_it_comes_later_and_never_much_later_than_a_minute() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    pauses = await _pauses(queue, 12)
    assert 0.1 < pauses[0] < 0.5
    growing = [pause for pause in pauses if pause < 30]
    assert growing == sorted(growing)
    assert len(growing) >= 6
    assert all(30 <= pause <= 60 for pause in pauses[8:])


@timed
async def test_no_number_of_failures_is_too_large() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    assert (await _pauses(queue, 300))[-1] <= 75


@timed
async def test_success_forgets_the_failures() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    await _pauses(queue, 8)
    queue.done("a")
    queue.add("a")
    await queue.take()
    assert (await _pauses(queue, 1))[0] < 0.5


@timed
async def test_the_failures_of_one_key_slow_no_other() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    await _pauses(queue, 8)
    queue.done("a", failed=True)
    queue.add("b")
    assert await _next(queue) == "b"


@timed
async def test_what_was_added_during_work_that_failed_comes_at_once_and_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.done("a", failed=True)
    assert await _next(queue) == "a"
    queue.done("a")
    assert await _next(queue, 1000) is None


@timed
async def test_an_addition_shortens_the_pause_after_a_failure() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    await _pauses(queue, 9)
    queue.done("a", failed=True)
    queue.add("a")
    assert await _next(queue) == "a"


_plans = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 20), st.sampled_from([None, 0.5, 3.0, 30.0])), max_size=25
)
"""Which key, seconds since the one before, and when it is to be looked at (None: at once)."""


@settings(max_examples=25)
@given(_plans, st.integers(1, 4), st.lists(st.tuples(st.floats(0, 5), st.booleans()), min_size=1, max_size=6))
def test_nothing_is_lost_and_nothing_is_in_two_hands(
    plans: list[tuple[str, float, float | None]], workers: int, work: list[tuple[float, bool]]
) -> None:
    run(_crowd(plans, workers, work))


async def _crowd(plans: list[tuple[str, float, float | None]], workers: int, work: list[tuple[float, bool]]) -> None:
    queue: WorkQueue[str] = WorkQueue()
    hands: Counter[str] = Counter()
    begun: dict[str, float] = {}
    tries = 0

    async def worker() -> None:
        nonlocal tries
        while True:
            key = await queue.take()
            hands[key] += 1
            assert hands[key] == 1, "in two hands"
            begun[key] = _now()
            seconds, failed = work[tries % len(work)]
            tries += 1
            await asyncio.sleep(seconds)
            hands[key] -= 1
            queue.done(key, failed=failed and tries < 50)

    tasks = [asyncio.create_task(worker()) for _ in range(workers)]
    asked: dict[str, float] = {}
    for key, pause, after in plans:
        await asyncio.sleep(pause)
        asked[key] = _now()
        if after is None:
            queue.add(key)
        else:
            queue.add_after(key, after)
    await asyncio.sleep(10_000)
    for task in tasks:
        assert not task.done(), task.exception()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun.keys() == asked.keys()
    assert all(begun[key] >= asked[key] for key in asked), "looked at before it was asked for, and not again"
