"""A price in a file is the price of the next request, a second later at most."""

import statistics
import threading
import time
from pathlib import Path

import httpx2

from support.easel_up import SECONDS, easel_up, write_model


def _price(url: str) -> str:
    (model,) = httpx2.get(f"{url}/v1/models").json()["data"]
    amount: str = model["price"]["amount"]
    return amount


def _seconds_until(url: str, amount: str) -> float:
    start, pause = time.monotonic(), threading.Event()
    while _price(url) != amount:
        assert time.monotonic() < start + SECONDS
        pause.wait(0.02)
    return time.monotonic() - start


def test_a_changed_price_holds_within_a_second(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    write_model(models, price={"amount": "1"})
    with easel_up(models, cache) as run:
        run.wait_for(r"easel/demo: cold")
        took = []
        for amount in ("2", "3", "4", "5", "6"):
            write_model(models, price={"amount": amount})
            took.append(_seconds_until(run.url, amount))
        # The median, because the machine may do something else for a moment.
        assert statistics.median(took) <= 1, took
