"""What is news for a request that waits, and what is not."""

from dataclasses import replace

import pytest

from easel_gateway.settings import Settings
from easel_gateway.standing import News, Standing, is_new
from easel_gateway.waiting import WaitingRoom
from support.directory import MODEL_ID, MemoryDirectory, entry


def starting(seconds: float | None, reason: str = "") -> News:
    return "starting", {"seconds": seconds, "reason": reason}


@pytest.mark.parametrize(
    ("told", "news", "new"),
    [
        pytest.param(("queued", {"ahead": 2}), ("queued", {"ahead": 2}), False, id="the same place"),
        pytest.param(("queued", {"ahead": 2}), ("queued", {"ahead": 1}), True, id="one has gone"),
        pytest.param(starting(30), ("queued", {"ahead": 0}), True, id="the start is over"),
        pytest.param(starting(30), starting(20), False, id="only time has passed"),
        pytest.param(starting(30), starting(21.5), False, id="a little later"),
        pytest.param(starting(30), starting(30), True, id="later"),
        pytest.param(starting(30), starting(5), True, id="sooner"),
        pytest.param(starting(30), starting(20, "no node"), True, id="another reason"),
        pytest.param(starting(5), starting(None), True, id="the forecast has passed"),
        pytest.param(starting(None), starting(None), False, id="and is still not known"),
        pytest.param(starting(None), starting(7), True, id="there is one again"),
    ],
)
def test_what_is_told_ten_seconds_later(told: News, news: News, *, new: bool) -> None:
    assert is_new(told, news, 10) is new


async def test_the_forecast_counts_from_when_the_model_began_to_start() -> None:
    now = 100.0
    directory = MemoryDirectory(replace(entry(), start_seconds=40))
    standing = Standing(directory, WaitingRoom(directory, Settings()), lambda: now)
    assert standing.news(MODEL_ID, None) == starting(40)
    now = 130.0
    assert standing.news(MODEL_ID, None) == starting(40), "it has not begun"
    directory.put(replace(entry(starting=True), start_seconds=40))
    now = 155.5
    assert standing.news(MODEL_ID, None) == starting(14.5)
    now = 180.0
    assert standing.news(MODEL_ID, None) == starting(None)
    directory.put(replace(entry(), start_seconds=40))
    directory.put(replace(entry(starting=True), start_seconds=40))
    assert standing.news(MODEL_ID, None) == starting(40)
    directory.put(replace(entry("http://a"), start_seconds=40))
    assert standing.news(MODEL_ID, None) == ("queued", {"ahead": 0})
