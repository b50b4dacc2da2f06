"""Who gets in, and what their key lets them do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from easel_crds.keys import Budget, Key, KeyPolicy, hash_of, parse_key
from easel_crds.manifest import InvalidManifest
from easel_gateway.cluster.secrets import Secrets
from easel_gateway.keys import ANONYMOUS, Caller, KeyRing, identify, new_key
from easel_gateway.ledger.sql import open_ledger
from easel_gateway.limits import Limits, beginning, check_model
from easel_http.errors import ApiError, Busy, Forbidden, PaymentRequired, Unauthorized
from easel_local.keys import Asked, made
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import IMAGE, SEED_CALL, Answer, House, ready
from support.pictures import form

TOKEN = new_key()
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()


def caller(**policy: Any) -> Caller:
    return Caller("ada", KeyPolicy(**policy))


def secret(name: str = "ada", hashes: str = f"sha256:{hash_of(TOKEN)}", policy: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "easel", "labels": {"easel.dev/key": "true"}}
    return {"kind": "Secret", "metadata": metadata, "stringData": {"hash": hashes, "policy": policy}}


# Secrets


def test_a_secret_holds_a_hash_and_a_policy() -> None:
    key = parse_key(secret(policy="models: [a/b]\nrequestsPerMinute: 6\nbudget: {amount: '1', per: day}"))
    assert (key.name, key.hashes) == ("ada", (hash_of(TOKEN),))
    assert key.policy == KeyPolicy(models=("a/b",), requests_per_minute=6, budget=Budget(amount="1", per="day"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hashes": TOKEN}, r"data\.hash: must be"),
        ({"hashes": ""}, r"data\.hash: must be"),
        ({"policy": "requestsPerMinute: 0"}, r"policy\.requestsPerMinute"),
        ({"policy": "budget: {amount: abc}"}, r"policy\.budget: amount must be a decimal"),
        ({"policy": "modles: [a/b]"}, r"policy\.modles"),
        ({"policy": "- 1"}, r"policy"),
        ({"policy": "{"}, r"policy: must be YAML"),
        ({"name": ""}, r"metadata\.name: is required"),
        ({"name": "anonymous"}, r"metadata\.name: must not be anonymous"),
    ],
)
def test_a_secret_that_makes_no_sense_is_refused_with_the_field(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidManifest, match=said):
        parse_key(secret(**wrong))


def test_secrets_of_a_cluster_come_change_and_go() -> None:
    ring = KeyRing()
    secrets = Secrets(ring)
    secrets.put(secret())
    assert (found := ring.find(TOKEN)) is not None
    assert found.policy.concurrent is None
    secrets.put(secret(policy="concurrent: 1"))
    assert (found := ring.find(TOKEN)) is not None
    assert found.policy.concurrent == 1
    secrets.put(secret(policy="concurrent: none"))
    assert ring.find(TOKEN) is None, "what makes no sense lets nobody in"
    secrets.put(secret())
    secrets.retain(set())
    assert ring.find(TOKEN) is None


def test_the_command_makes_a_key_that_its_secret_knows() -> None:
    asked = Asked(
        "ada", "easel", ("a/*",), 6, None, 2, "10 USD per day", admin=True, keep=(f"sha256:{hash_of(TOKEN)}",)
    )
    token, manifest = made(asked)
    assert token not in manifest
    ring = KeyRing([parse_key(yaml.safe_load(manifest))])
    for each in (token, TOKEN):
        assert (found := ring.find(each)) is not None
        assert found.policy.budget == Budget(amount="10", per="day")
        assert found.policy.admin
    with pytest.raises(ValueError, match="--budget must be like"):
        made(Asked("ada", "", (), None, None, None, "ten dollars", admin=False, keep=()))


# Who asks


RING = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy())])


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN} "},
        {"x-api-key": TOKEN},
        {"authorization": "Bearer ", "x-api-key": TOKEN},
        {"authorization": "Basic eDp5", "x-api-key": TOKEN},
    ],
)
def test_a_key_says_who_asks(headers: dict[str, str]) -> None:
    assert identify(headers, RING, required=True).name == "ada"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nonsense"}, {"authorization": f"Basic {TOKEN}"}])
def test_without_the_right_key_nobody_gets_in_where_one_is_required(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        identify(headers, RING, required=True)
    assert caught.value.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in caught.value.msg


def test_where_none_is_required_a_wrong_one_is_refused_only_if_there_are_keys() -> None:
    assert identify({}, RING, required=False) == ANONYMOUS
    assert identify({"authorization": "Bearer dummy"}, KeyRing(), required=False) == ANONYMOUS
    with pytest.raises(Unauthorized):
        identify({"authorization": "Bearer dummy"}, RING, required=False)
    with pytest.raises(Unauthorized):
        identify({"authorization": "Bearer dummy"}, KeyRing(), required=True)


# Limits


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Account:
    """A ledger, as far as budgets need it."""

    def __init__(self, spent: str = "0") -> None:
        self.amount = Decimal(spent)
        self.asked: list[tuple[str, str, datetime]] = []

    async def spent(self, caller: str, currency: str, since: datetime) -> Decimal:
        self.asked.append((caller, currency, since))
        return self.amount


def enter(limits: Limits, who: Caller) -> ApiError | None:
    try:
        with limits.enter(who):
            return None
    except ApiError as error:
        return error


def test_requests_of_a_minute_are_counted_and_come_back_evenly() -> None:
    clock = Clock()
    limits, ada = Limits(None, clock), caller(requests_per_minute=6)
    assert [enter(limits, ada) for _ in range(6)] == [None] * 6
    refusal = enter(limits, ada)
    assert isinstance(refusal, Busy)
    assert refusal.headers == {
        "Retry-After": "10",
        "RateLimit-Policy": '"requests";q=6;w=60',
        "RateLimit": '"requests";r=0;t=60',
    }
    clock.now += 10
    assert enter(limits, ada) is None
    assert isinstance(enter(limits, ada), Busy)


@given(pauses=st.lists(st.floats(0, 30), max_size=40), most=st.integers(1, 10))
def test_in_no_stretch_of_time_more_get_in_than_the_limit_and_what_comes_back(pauses: list[float], most: int) -> None:
    clock = Clock()
    limits, ada = Limits(None, clock), caller(requests_per_minute=most)
    entered: list[float] = []
    for pause in pauses:
        clock.now += pause
        if enter(limits, ada) is None:
            entered.append(clock.now)
    for first, start in enumerate(entered):
        for last in range(first, len(entered)):
            assert last - first + 1 <= most + (entered[last] - start) * most / 60 + 1e-6


def test_requests_at_one_time_are_bounded_and_given_back() -> None:
    limits, ada = Limits(None), caller(concurrent=2)
    with limits.enter(ada), limits.enter(ada):
        assert isinstance(enter(limits, ada), Busy)
    assert enter(limits, ada) is None


async def test_pixels_of_a_minute_are_counted_and_more_than_a_minutes_worth_is_refused_for_good() -> None:
    limits, ada = Limits(None, Clock()), caller(pixels_per_minute=1000)
    async with limits.reserve(ada, 900, Decimal(0), "USD"):
        pass
    with pytest.raises(Busy) as busy:
        async with limits.reserve(ada, 200, Decimal(0), "USD"):
            pass
    assert busy.value.headers["Retry-After"] == "6"
    with pytest.raises(Forbidden, match="1000 pixels a minute; this request has 1001") as large:
        async with limits.reserve(ada, 1001, Decimal(0), "USD"):
            pass
    assert large.value.headers == {}


async def test_a_budget_counts_what_was_charged_and_what_is_being_worked_on() -> None:
    account, clock = Account("4"), Clock()
    limits, ada = Limits(account, clock), caller(budget=Budget(amount="10", per="day"))
    async with limits.reserve(ada, 1, Decimal(4), "USD"):
        with pytest.raises(PaymentRequired, match="8 are used: this request costs 3") as refused:
            async with limits.reserve(ada, 1, Decimal(3), "USD"):
                pass
        async with limits.reserve(ada, 1, Decimal(2), "USD"):
            pass
    assert refused.value.more["budget"] == {"amount": "10", "currency": "USD", "per": "day"}
    limits.charged(ada, Decimal(4))
    with pytest.raises(PaymentRequired):
        async with limits.reserve(ada, 1, Decimal(3), "USD"):
            pass
    assert account.asked == [("ada", "USD", datetime(2026, 11, 29, tzinfo=UTC))], "asked once, and counted on"
    clock.now += 24 * 3600
    account.amount = Decimal(0)
    async with limits.reserve(ada, 1, Decimal(10), "USD"):
        pass
    with pytest.raises(Forbidden, match="budget in USD; this model costs EUR"):
        async with limits.reserve(ada, 1, Decimal(1), "EUR"):
            pass


async def refusal(limits: Limits, who: Caller, pixels: int, amount: int) -> ApiError | None:
    try:
        async with limits.reserve(who, pixels, Decimal(amount), "USD"):
            return None
    except ApiError as error:
        return error


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    clock = Clock()
    limits, ada = Limits(None, clock), caller(requests_per_minute=2)
    assert enter(limits, ada) is None
    clock.now -= 3600
    assert enter(limits, ada) is None
    assert isinstance(enter(limits, ada), Busy)
    clock.now += 30
    assert enter(limits, ada) is None


def test_a_policy_that_is_changed_gives_nothing_back() -> None:
    clock = Clock()
    limits, few, many = Limits(None, clock), caller(requests_per_minute=2), caller(requests_per_minute=3)
    assert [enter(limits, few) is None for _ in range(3)] == [True, True, False]
    assert [enter(limits, many) is None for _ in range(2)] == [True, False]
    assert enter(limits, few) is not None
    clock.now += 60
    assert [enter(limits, many) is None for _ in range(4)] == [True, True, True, False]


async def test_what_the_budget_refuses_has_used_no_pixels() -> None:
    limits, ada = Limits(Account(), Clock()), caller(pixels_per_minute=1000, budget=Budget(amount="10", per="day"))
    assert isinstance(await refusal(limits, ada, 1000, 11), PaymentRequired)
    assert await refusal(limits, ada, 1000, 10) is None


async def test_a_budget_of_another_currency_is_counted_anew_at_once() -> None:
    account = Account("10")
    limits = Limits(account, Clock())
    dollars, euros = (caller(budget=Budget(amount="10", currency=currency, per="day")) for currency in ("USD", "EUR"))
    assert isinstance(await refusal(limits, dollars, 1, 1), PaymentRequired)
    account.amount = Decimal(0)
    async with limits.reserve(euros, 1, Decimal(10), "EUR"):
        pass
    assert [currency for _, currency, _ in account.asked] == ["USD", "EUR"]


class Slow(Account):
    """A ledger that adds up for a while."""

    def __init__(self, spent: str = "0") -> None:
        super().__init__(spent)
        self.adding, self.may_answer = asyncio.Event(), asyncio.Event()

    async def spent(self, caller: str, currency: str, since: datetime) -> Decimal:
        found = await super().spent(caller, currency, since)
        self.adding.set()
        await self.may_answer.wait()
        return found


async def test_what_is_charged_while_the_ledger_adds_up_is_not_forgotten() -> None:
    account, clock = Slow(), Clock()
    limits, ada = Limits(account, clock), caller(budget=Budget(amount="10", per="day"))
    account.may_answer.set()
    async with limits.reserve(ada, 1, Decimal(6), "USD"):
        clock.now += 60
        account.adding.clear()
        account.may_answer.clear()
        asking = asyncio.create_task(refusal(limits, ada, 1, 5))
        await account.adding.wait()
        limits.charged(ada, Decimal(6))  # too late for the sum
    account.amount = Decimal(6)
    account.may_answer.set()
    assert isinstance(await asking, PaymentRequired)
    assert await refusal(limits, ada, 1, 4) is None, (
        "what was counted twice is asked for again before it is held against"
    )


async def test_requests_that_come_together_ask_the_ledger_once() -> None:
    account = Slow("8")
    limits, ada = Limits(account, Clock()), caller(budget=Budget(amount="10", per="day"))
    asking = [asyncio.create_task(refusal(limits, ada, 1, 1)) for _ in range(5)]
    await account.adding.wait()
    asking[0].cancel()
    account.may_answer.set()
    await asyncio.wait(asking)
    assert [task.result() for task in asking[1:]] == [None] * 4
    assert len(account.asked) == 1


async def test_what_a_key_has_in_work_is_kept_while_the_key_is_replaced() -> None:
    limits, ada = Limits(Account(), Clock()), caller(concurrent=1, budget=Budget(amount="10", per="day"))
    with limits.enter(ada):
        async with limits.reserve(ada, 1, Decimal(6), "USD"):
            limits.retain([])
            assert isinstance(enter(limits, ada), Busy)
            assert isinstance(await refusal(limits, ada, 1, 5), PaymentRequired)
    limits.retain([])
    assert not limits._accounts


async def test_too_many_at_one_time_hear_what_is_left_of_the_minute() -> None:
    limits, ada = Limits(None, Clock()), caller(concurrent=1, requests_per_minute=6)
    with limits.enter(ada):
        refused = enter(limits, ada)
    assert refused is not None
    assert refused.headers == {
        "Retry-After": "1",
        "RateLimit-Policy": '"requests";q=6;w=60',
        "RateLimit": '"requests";r=5;t=10',
    }


def test_days_and_months_begin_at_midnight_in_utc() -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    assert beginning(last, "day") == datetime(2026, 11, 30, tzinfo=UTC)
    assert beginning(last, "month") == datetime(2026, 11, 1, tzinfo=UTC)
    assert beginning(last + 1, "month") == beginning(last + 1, "day") == datetime(2026, 12, 1, tzinfo=UTC)


def test_models_are_allowed_by_id_or_pattern() -> None:
    check_model(caller(models=("a/*", "b/c")), "a/anything")
    check_model(caller(models=("a/*", "b/c")), "b/c")
    with pytest.raises(Forbidden, match=r"not for b/d; its models: a/\*, b/c"):
        check_model(caller(models=("a/*", "b/c")), "b/d")


def test_keys_that_are_gone_are_forgotten_and_those_without_limits_never_known() -> None:
    limits = Limits(None)
    enter(limits, caller(requests_per_minute=1))
    enter(limits, ANONYMOUS)
    assert list(limits._accounts) == ["ada"]
    limits.retain([])
    assert not limits._accounts


# Through the gateway


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


async def ask(house: House, token: str = "", **texts: str) -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await house.send(*form({**SEED_CALL, **texts}, IMAGE), **headers)


async def test_a_gateway_that_requires_keys_lets_in_who_has_one(house: House) -> None:
    toy = await house.runtime(ToyEngine())
    ring = KeyRing()
    await house.open(ready(toy.endpoint), keys=ring, keys_required=True)
    assert [(await ask(house, token)).status for token in ("", TOKEN)] == [401, 401]
    ring.replace([Key("ada", (hash_of(TOKEN),), KeyPolicy(models=("easel/*",), requests_per_minute=60))])
    answer = await ask(house, TOKEN)
    assert answer.status == 200
    assert answer.headers["ratelimit-policy"] == '"requests";q=60;w=60'
    ring.replace([Key("ada", (hash_of(TOKEN),), KeyPolicy(models=("other/*",)))])
    assert (await ask(house, TOKEN)).status == 403
    assert [(await house.get(path)).status for path in ("/usage", "/health", "/v1/models")] == [401, 200, 200]


async def test_a_key_is_looked_at_before_the_body(house: House) -> None:
    await house.open(entry(), keys_required=True)
    endless = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        await endless.wait()

    asking = asyncio.create_task(house.send("multipart/form-data; boundary=x", body()))
    async with asyncio.timeout(10):
        assert (await asking).status == 401
    endless.set()


@pytest.mark.parametrize("name", ["X-Easel-Max-Price", "X-Easel-Quote", "Idempotency-Key"])
async def test_a_header_that_counts_is_sent_once(house: House, name: str, tmp_path: Path) -> None:
    engine = ToyEngine()
    toy = await house.runtime(engine)
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    try:
        await house.open(ready(toy.endpoint), ledger=ledger)
        kind, body = form(SEED_CALL, IMAGE)
        headers = CIMultiDict([("Content-Type", kind), (name, "0.1 USD"), (name, "0 USD")])
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{house.url}/image-to-image", data=body, headers=headers) as said,
        ):
            (problem,) = (await said.json())["detail"]
            assert (said.status, problem["loc"], problem["msg"]) == (422, ["header", name], "is given twice; send one")
    finally:
        await ledger.close()
    assert not engine.generations


async def test_what_is_known_of_keys_that_are_gone_goes_too(house: House) -> None:
    toy = await house.runtime(ToyEngine())
    ring = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(requests_per_minute=1))])
    await house.open(ready(toy.endpoint), keys=ring, keys_required=True)
    assert [(await ask(house, TOKEN)).status for _ in range(2)] == [200, 429]
    ring.replace([])
    ring.replace([Key("ada", (hash_of(TOKEN),), KeyPolicy(requests_per_minute=1))])
    assert (await ask(house, TOKEN)).status == 200
