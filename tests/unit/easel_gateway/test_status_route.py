"""`GET /status`: what an operator sees, and who may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from easel_crds.imagemodel import ScaleDecision
from easel_crds.keys import Key, KeyPolicy, hash_of
from easel_gateway.keys import KeyRing, new_key
from easel_gateway.ledger import Query, UsageRow
from easel_gateway.ledger.sql import open_ledger
from easel_gateway.today import Today
from easel_http.errors import Unavailable
from support.directory import MODEL_ID, entry
from support.engines import ToyEngine
from support.gateway_house import House, open_with, ready
from support.ledgers import NOON, charge, ledger_at


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


async def models(house: House) -> dict[str, Any]:
    answer = await house.get("/status")
    assert answer.status == 200, answer.body
    return {model["id"]: model for model in answer.json["models"]}


async def test_every_model_is_there_with_its_state_and_its_reason(house: House) -> None:
    decision = ScaleDecision(time=datetime(2026, 1, 1, tzinfo=UTC), replicas=2, reason="3 requests waiting")
    await house.open(
        entry(name="a", failure="no GPU"),
        entry("http://a", "http://b", name="b"),
        replace(entry(name="c", starting=True), pending="no node yet", start_seconds=9),
        replace(entry(name="d"), scale_decisions=(decision,)),
    )
    found = await models(house)
    assert {name: (model["state"], model["reason"], model["ready_replicas"]) for name, model in found.items()} == {
        "easel/a": ("failed", "no GPU", 0),
        "easel/b": ("ready", "", 2),
        "easel/c": ("starting", "no node yet", 0),
        "easel/d": ("cold", "", 0),
    }
    assert [found[name]["start_seconds"] for name in sorted(found)] == [None, 0, 9, 30]
    assert found["easel/d"]["scale_decisions"] == [
        {"time": "2026-01-01T00:00:00Z", "replicas": 2, "reason": "3 requests waiting"}
    ]
    assert found["easel/a"]["price"] == {"amount": "1.9073484e-08", "currency": "USD", "per_pixels": 1}
    assert found["easel/a"]["today"] is None, "there is no ledger"


async def test_requests_in_work_and_those_that_wait_are_counted(house: House) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    await open_with(house, engine)
    asking = [asyncio.create_task(house.ask()) for _ in range(3)]
    await house.directory.reached(in_flight=2, waiting=1)
    answer = await house.get("/status")
    (model,) = answer.json["models"]
    assert (model["in_flight"], model["held_requests"]) == (2, 1)
    assert model["held_bytes"] > 100
    assert (answer.json["held_requests"], answer.json["held_bytes"]) == (1, model["held_bytes"])
    engine.may_step.set()
    assert [each.status for each in await asyncio.gather(*asking)] == [200] * 3
    await house.directory.reached()
    assert [(await models(house))[MODEL_ID][name] for name in ("in_flight", "held_requests", "held_bytes")] == [0, 0, 0]


async def test_what_was_charged_today_is_told_exactly(house: House, tmp_path: Path) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    house.on_end(ledger.close)
    toy = await house.runtime()
    await house.open(ready(toy.endpoint), entry(name="other"), ledger=ledger)
    amount = (await house.ask(num_images_per_prompt="2")).headers["x-easel-amount"].removesuffix(" USD")
    found = await models(house)
    amounts = [{"amount": amount, "currency": "USD"}]
    assert found[MODEL_ID]["today"] == {"requests": 1, "images": 2, "pixels": 6144, "amounts": amounts}
    assert found["easel/other"]["today"] == {"requests": 0, "images": 0, "pixels": 0, "amounts": []}


async def test_it_is_for_keys_with_admin(house: House) -> None:
    tokens = {name: new_key() for name in ("ada", "root")}
    keys = KeyRing(Key(name, (hash_of(token),), KeyPolicy(admin=name == "root")) for name, token in tokens.items())
    await house.open(entry(), keys=keys, keys_required=True)

    async def asked(token: str) -> int:
        return (await house.get("/status", headers={"Authorization": f"Bearer {token}"} if token else {})).status

    assert [await asked(token) for token in ("", "wrong", tokens["ada"], tokens["root"])] == [401, 401, 403, 200]


class Slow:
    """A ledger's sums, which take so many seconds of the test's clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = NOON.timestamp()
        self.queries: list[Query] = []
        self.error: Exception | None = None

    async def usage(self, query: Query) -> list[UsageRow]:
        self.queries.append(query)
        self.now += self.seconds
        if self.error is not None:
            raise self.error
        return []


@pytest.mark.parametrize(("takes", "kept"), [(0.1, 5), (2, 20)])
async def test_sums_are_made_once_for_all_who_ask_and_seldom_if_they_take_long(takes: float, kept: float) -> None:
    slow = Slow(takes)
    today = Today(slow, lambda: slow.now)  # type: ignore[arg-type]
    began = slow.now
    await asyncio.gather(*(today.used([MODEL_ID]) for _ in range(5)))
    slow.now = began + kept - 0.01
    await today.used([MODEL_ID])
    assert len(slow.queries) == 1
    slow.now = began + kept
    await today.used([MODEL_ID])
    assert len(slow.queries) == 2


async def test_a_ledger_that_does_not_answer_is_not_asked_all_the_time() -> None:
    slow = Slow(0)
    slow.error = Unavailable("the database does not answer")
    today = Today(slow, lambda: slow.now)  # type: ignore[arg-type]
    assert [await today.used([MODEL_ID]) for _ in range(3)] == [None] * 3
    assert len(slow.queries) == 1


async def test_today_begins_at_midnight_in_utc(tmp_path: Path) -> None:
    async with ledger_at(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        midnight = NOON.replace(hour=0)
        for number, moment in enumerate((midnight.replace(day=midnight.day - 1, hour=23), midnight, NOON)):
            await ledger.charge(charge(str(number), model_id=MODEL_ID, time=moment))
        used = await Today(ledger, NOON.timestamp).used([MODEL_ID])
    assert used is not None
    assert [row.requests for row in used[MODEL_ID]] == [2]
