"""What a request costs and when: written before the answer, once, and nothing for what fails."""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from easel_crds.keys import Budget, Key, KeyPolicy, hash_of
from easel_crds.money import plain
from easel_gateway.keys import KeyRing, new_key
from easel_gateway.ledger import Charge, Claim, Ledger
from easel_gateway.ledger.sql import open_ledger
from easel_gateway.results import ResultStore
from easel_gateway.results.folder import FolderStore
from easel_http.errors import Unavailable
from support.engines import ToyEngine
from support.gateway_house import IMAGE, SEED_CALL, Answer, House, ready
from support.pictures import encoded, form, picture
from support.runtimes import until


class Accounts:
    """A gateway with a ledger in a file."""

    def __init__(self, house: House, file: Path, ledger: Ledger) -> None:
        self.house = house
        self.ledger = ledger
        self._file = file

    async def open(self, engine: ToyEngine, ledger: Ledger | None = None, results: ResultStore | None = None) -> None:
        toy = await self.house.runtime(engine)
        await self.house.open(ready(toy.endpoint), ledger=ledger or self.ledger, results=results)

    async def ask(self, key: str = "", image: bytes = IMAGE, **texts: str) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.house.send(*form({**SEED_CALL, **texts}, image), **headers)

    def rows(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._file)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM charges ORDER BY time")]

    def images(self) -> int:
        return sum(path.is_file() for path in self.house.folder.rglob("*"))


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Accounts]:
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ledger.close)
        yield Accounts(House(stack, tmp_path / "results"), tmp_path / "ledger.db", ledger)


async def test_a_row_says_who_had_what_made_at_which_price(accounts: Accounts) -> None:
    await accounts.open(ToyEngine())
    answer = await accounts.ask(num_images_per_prompt="2")
    (row,) = accounts.rows()
    assert row["request_id"] == answer.headers["x-easel-charge"]
    assert f"{row['amount']} USD" == answer.headers["x-easel-amount"]
    assert (row["caller"], row["model_id"], row["model"]) == ("anonymous", "easel/demo", "demo")
    assert (row["width"], row["height"], row["images"], row["pixels"]) == (64, 48, 2, 6144)
    assert Decimal(row["amount"]) == Decimal("1.9073484e-08") * 6144
    assert 0 <= row["gpu_seconds"] <= row["seconds"]


async def test_what_fails_costs_nothing(accounts: Accounts) -> None:
    engine = ToyEngine()
    engine.errors = [RuntimeError("no")]
    await accounts.open(engine)
    assert (await accounts.ask()).status == 500
    assert (await accounts.ask(strength="9")).status == 422
    assert (await accounts.ask(max_price="0")).status == 402
    assert accounts.rows() == []


async def test_a_key_that_comes_again_gets_the_same_answer_without_work(accounts: Accounts) -> None:
    engine = ToyEngine()
    await accounts.open(engine)
    first, second = await accounts.ask("once"), await accounts.ask("once")
    assert first.json == second.json
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-easel-amount"] == first.headers["x-easel-amount"]
    assert len(engine.generations) == len(accounts.rows()) == 1


async def test_a_large_upload_is_not_worked_on_twice_either(accounts: Accounts) -> None:
    engine = ToyEngine()
    await accounts.open(engine)
    big = encoded(picture(400, 300), "BMP")
    first, second = await accounts.ask("once", big), await accounts.ask("once", big)
    assert first.json == second.json
    assert len(engine.generations) == len(accounts.rows()) == 1
    await accounts.house.directory.reached(in_flight=0)


async def test_a_key_of_another_request_is_refused(accounts: Accounts) -> None:
    await accounts.open(ToyEngine())
    await accounts.ask("once")
    assert (await accounts.ask("once", prompt="another")).status == 422
    assert (await accounts.ask("once", encoded(picture(9, 9)))).status == 422
    assert len(accounts.rows()) == 1


async def test_a_key_in_work_is_said_to_be(accounts: Accounts) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    await accounts.open(engine)
    first = asyncio.create_task(accounts.ask("once"))
    await accounts.house.directory.reached(in_flight=1)
    await until(engine.in_step.is_set)
    second = await accounts.ask("once")
    assert (second.status, "retry-after" in second.headers) == (409, True)
    engine.may_step.set()
    assert (await first).status == 200


async def test_a_key_is_free_again_after_a_failure_and_after_its_caller_has_left(accounts: Accounts) -> None:
    engine = ToyEngine()
    engine.errors = [RuntimeError("no")]
    await accounts.open(engine)
    assert (await accounts.ask("failed")).status == 500
    engine.may_step.clear()
    engine.in_step.clear()
    leaving = asyncio.create_task(accounts.ask("left"))
    await until(engine.in_step.is_set)
    leaving.cancel()
    await asyncio.wait({leaving})
    await accounts.house.directory.reached(in_flight=0)
    engine.may_step.set()
    async with asyncio.timeout(10):
        while (answer := await accounts.ask("left")).status == 409:  # noqa: ASYNC110 (its caller is noticed to be gone)
            await asyncio.sleep(0)
    assert answer.status == (await accounts.ask("failed")).status == 200
    assert len(accounts.rows()) == 2


class Away:
    """A ledger whose database cannot be reached."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def charge(self, _: Charge, __: Claim | None = None, ___: bytes = b"") -> asyncio.Future[None]:
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(Unavailable("the ledger cannot be reached", retry_after=5))
        return failed


async def test_what_cannot_be_charged_is_not_given(accounts: Accounts) -> None:
    await accounts.open(ToyEngine(), Away(accounts.ledger))
    answer = await accounts.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert accounts.images() == 0
    assert accounts.rows() == []


TOKEN = new_key()
KEY = {"Authorization": f"Bearer {TOKEN}"}
ONE = "0.000058593742848"
"""What one picture costs."""


def ada(times: float) -> KeyRing:
    """A key for so many pictures a day."""
    budget = Budget(amount=plain(Decimal(ONE) * Decimal(times)), per="day")
    return KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(budget=budget))])


async def test_a_budget_is_used_up_for_good_also_after_a_restart(accounts: Accounts, tmp_path: Path) -> None:
    toy = await accounts.house.runtime(ToyEngine())
    answers: list[Answer] = []
    for statuses in ([200, 200], [200, 402], [402]):
        async with AsyncExitStack() as stack:
            house = House(stack, tmp_path / "results")
            await house.open(ready(toy.endpoint), ledger=accounts.ledger, keys=ada(3.5), keys_required=True)
            answers = [await house.send(*form(SEED_CALL, IMAGE), **KEY) for _ in statuses]
            assert [answer.status for answer in answers] == statuses
    assert answers[-1].json["detail"]["budget"]["per"] == "day"
    assert "retry-after" not in answers[-1].headers
    assert [row["amount"] for row in accounts.rows()] == [ONE] * 3


async def test_what_is_in_work_has_its_money_set_aside(accounts: Accounts) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    toy = await accounts.house.runtime(engine)
    await accounts.house.open(ready(toy.endpoint), ledger=accounts.ledger, keys=ada(1.5), keys_required=True)
    sent = form(SEED_CALL, IMAGE)
    first = asyncio.create_task(accounts.house.send(*sent, **KEY))
    await until(engine.in_step.is_set)
    assert (await accounts.house.send(*sent, **KEY)).status == 402
    engine.may_step.set()
    assert (await first).status == 200


class Held:
    """A ledger that takes its time to say that it has written."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.charging, self.may_charge = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def charge(self, charge: Charge, claim: Claim | None = None, answer: bytes = b"") -> asyncio.Future[None]:
        return asyncio.ensure_future(self._charge(charge, claim, answer))

    async def _charge(self, charge: Charge, claim: Claim | None, answer: bytes) -> None:
        await self._ledger.charge(charge, claim, answer)
        self.charging.set()
        await self.may_charge.wait()


async def test_who_leaves_while_the_charge_is_written_has_paid(accounts: Accounts) -> None:
    toy, held = await accounts.house.runtime(ToyEngine()), Held(accounts.ledger)
    await accounts.house.open(ready(toy.endpoint), ledger=held, keys=ada(1.5), keys_required=True)
    sent = form(SEED_CALL, IMAGE)
    leaving = asyncio.create_task(accounts.house.send(*sent, **{**KEY, "Idempotency-Key": "left"}))
    await held.charging.wait()
    leaving.cancel()
    await asyncio.wait({leaving})
    limits = accounts.house.app.state.intake.serving.limits
    await until(lambda: limits._accounts["ada"].reserved == 0)
    held.may_charge.set()
    assert (await accounts.house.send(*sent, **KEY)).status == 402
    again = await accounts.house.send(*sent, **{**KEY, "Idempotency-Key": "left"})
    assert again.headers["idempotent-replayed"] == "true"
    assert len(accounts.rows()) == 1


class Worn(FolderStore):
    """A folder on a disk that takes files and does not give them back."""

    async def read(self, _: str) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


async def in_the_answer(accounts: Accounts, key: str = "") -> list[Answer]:
    """The same request in every dialect and form whose answer has the image itself."""
    headers = {"Idempotency-Key": key} if key else {}
    body = form({"model": "easel/demo", "prompt": "x", "response_format": "b64_json"}, IMAGE)
    return [
        await accounts.ask(key and f"{key} 1", response_format="b64_json"),
        await accounts.ask(key and f"{key} 2", response_format="data"),
        await accounts.house.send(*body, "/v1/images/edits", **headers),
        await accounts.house.send("image/png", IMAGE, "/models/easel/demo", **(headers and {"Idempotency-Key": "hf"})),
    ]


async def test_what_cannot_be_given_is_not_charged(accounts: Accounts) -> None:
    await accounts.open(ToyEngine(), results=Worn(accounts.house.folder, 3600))
    for answer in await in_the_answer(accounts):
        assert (answer.status, answer.headers["retry-after"]) == (503, "10"), answer.body
    assert accounts.images() == 0
    assert accounts.rows() == []


async def test_an_image_in_the_answer_is_repeated_until_it_has_expired(accounts: Accounts) -> None:
    await accounts.open(ToyEngine())
    first, second = await in_the_answer(accounts, "once"), await in_the_answer(accounts, "once")
    assert [answer.status for answer in (*first, *second)] == [200] * 8
    assert [answer.headers["idempotent-replayed"] for answer in second] == ["true"] * 4
    kept = slice(None, 2)
    assert [answer.json for answer in first[kept]] == [answer.json for answer in second[kept]]
    assert first[3].body == second[3].body
    for file in accounts.house.folder.iterdir():
        file.unlink()
    for answer in await in_the_answer(accounts, "once"):
        assert (answer.status, "has expired" in answer.body.decode()) == (404, True)
        assert "retry-after" not in answer.headers
    assert len(accounts.rows()) == 4


async def test_a_repeated_address_leads_nowhere_once_its_image_has_expired(accounts: Accounts) -> None:
    await accounts.open(ToyEngine())
    await accounts.ask("once")
    for file in accounts.house.folder.iterdir():
        file.unlink()
    (url,) = (await accounts.ask("once")).urls
    assert (await accounts.house.get(url)).status == 404


class Unsigned(FolderStore):
    """A store that has addresses of its own, but no credentials to sign them with at present."""

    async def url(self, _: str) -> str:
        raise OSError(None, "no credentials")


async def test_what_is_charged_is_given_also_without_an_address_of_the_stores_own(accounts: Accounts) -> None:
    await accounts.open(ToyEngine(), results=Unsigned(accounts.house.folder, 3600))
    (url,) = (await accounts.ask()).urls
    assert (await accounts.house.get(url)).status == 200


async def test_usage_adds_up_what_was_charged(accounts: Accounts) -> None:
    await accounts.open(ToyEngine())
    for _ in range(3):
        await accounts.ask()
    (row,) = (await accounts.house.get("/usage?by=caller,model")).json["data"]
    assert (row["requests"], row["pixels"], row["amount"]) == (3, 9216, "0.000175781228544")
