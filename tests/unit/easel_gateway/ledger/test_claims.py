import asyncio
import contextlib

import pytest
import sqlalchemy

from easel_gateway.ledger import Claim, Ledger, Repeat
from easel_gateway.ledger.statements import statements_for
from easel_http.errors import Conflict, InvalidForm
from support.ledgers import charge, ledger_at, rows


async def claimed(ledger: Ledger, key: str = "key", fingerprint: str = "print", caller: str = "ada") -> Claim:
    claim = await ledger.claim(caller, key, fingerprint)
    assert isinstance(claim, Claim)
    return claim


async def test_an_answer_is_repeated_for_whoever_comes_with_the_key_and_the_same_request(
    ledger: Ledger, url: str
) -> None:
    await ledger.charge(charge("one"), await claimed(ledger), b'{"images": "\xff"}')
    assert await ledger.claim("ada", "key", "print") == Repeat(b'{"images": "\xff"}')
    assert [row.idempotency_key for row in rows(url)] == ["key"]


async def test_who_comes_while_the_first_is_at_work_is_told_when_to_come_again(ledger: Ledger) -> None:
    await claimed(ledger)
    with pytest.raises(Conflict, match="being worked on") as caught:
        await ledger.claim("ada", "key", "print")
    assert int(caught.value.headers["Retry-After"]) > 0


@pytest.mark.parametrize("done", [False, True])
async def test_a_key_is_for_one_request_alone(ledger: Ledger, *, done: bool) -> None:
    claim = await claimed(ledger)
    if done:
        await ledger.charge(charge("one"), claim, b"answer")
    with pytest.raises(InvalidForm) as caught:
        await ledger.claim("ada", "key", "another print")
    assert caught.value.problems[0]["loc"] == ["header", "Idempotency-Key"]


async def test_callers_do_not_see_each_others_keys(ledger: Ledger) -> None:
    await ledger.charge(charge("one"), await claimed(ledger), b"answer")
    await claimed(ledger, caller="bob", fingerprint="another")


async def test_a_key_that_is_given_back_is_free_for_any_request(ledger: Ledger) -> None:
    await ledger.release(await claimed(ledger))
    await claimed(ledger, fingerprint="another print")


async def test_an_answer_cannot_be_given_back(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    await ledger.charge(charge("one"), claim, b"answer")
    await ledger.release(claim)
    assert await ledger.claim("ada", "key", "print") == Repeat(b"answer")


@pytest.mark.parametrize("key", ["", " key", "key ", "k\ney", "clé", "k" * 256])
async def test_a_key_that_is_not_well_formed_is_refused(ledger: Ledger, key: str) -> None:
    with pytest.raises(InvalidForm, match="Idempotency-Key must have"):
        await ledger.claim("ada", key, "print")


async def test_of_many_who_come_at_once_one_gets_the_key(url: str) -> None:
    async with ledger_at(url) as one, ledger_at(url) as other:
        for round_ in range(10):
            outcomes = await asyncio.gather(
                *(ledger.claim("ada", f"key-{round_}", "print") for _ in range(10) for ledger in (one, other)),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 19


async def taken_over(ledger: Ledger) -> Claim:
    """The key, as soon as whoever has it lets it expire."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Conflict):
                return await claimed(ledger)


async def test_the_claim_of_a_gateway_that_died_is_free_after_a_while_and_the_dead_one_cannot_charge(url: str) -> None:
    async with ledger_at(url) as other:
        async with ledger_at(url, claim_seconds=0.5) as dead:
            claim = await claimed(dead)  # closed with it: renewed no more
        taken = await taken_over(other)
        with pytest.raises(Conflict, match="taken its place"):
            await other.charge(charge("late"), claim, b"late")
        await other.charge(charge("one"), taken, b"answer")
        assert await other.claim("ada", "key", "print") == Repeat(b"answer")
    assert [row.request_id for row in rows(url)] == ["one"]


async def test_a_claim_is_renewed_while_its_gateway_lives(url: str) -> None:
    async with ledger_at(url, claim_seconds=1.5) as ledger:
        claim = await claimed(ledger)
        deadline = asyncio.get_running_loop().time() + 3
        while asyncio.get_running_loop().time() < deadline:
            with pytest.raises(Conflict):
                await ledger.claim("ada", "key", "print")
            await asyncio.sleep(0.05)  # what passes is the time that the claim must outlive
        await ledger.charge(charge("one"), claim, b"answer")


async def test_an_answer_is_forgotten_after_its_time(url: str) -> None:
    async with ledger_at(url, repeat_seconds=0.2) as ledger:
        await ledger.charge(charge("one"), await claimed(ledger), b"answer")
        async with asyncio.timeout(20):
            while isinstance(again := await ledger.claim("ada", "key", "print"), Repeat):
                pass
        await ledger.charge(charge("two"), again, b"answer")


async def test_who_leaves_before_the_key_is_there_does_not_keep_it(ledger: Ledger) -> None:
    wanting = asyncio.ensure_future(ledger.claim("ada", "key", "print"))
    await asyncio.sleep(0)  # it begins
    wanting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wanting
    await ledger.charge(charge("one"), await taken_over(ledger), b"answer")


async def test_a_charge_that_is_refused_leaves_its_key_to_be_given_back(ledger: Ledger) -> None:
    await ledger.charge(charge("one"))
    claim = await claimed(ledger)
    with pytest.raises(Conflict, match="charged already"):
        await ledger.charge(charge("one"), claim, b"answer")
    await ledger.release(claim)
    await claimed(ledger)


async def test_old_claims_and_answers_are_swept_and_others_are_not(ledger: Ledger, url: str) -> None:
    await claimed(ledger, "working")
    await ledger.charge(charge("one"), await claimed(ledger, "answered"), b"answer")
    await claimed(ledger, "forgotten")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE claims SET expires = expires - 7200 WHERE key = 'forgotten'"))
        connection.execute(statements_for(engine.dialect.name).sweep)
    engine.dispose()
    assert {row.key for row in rows(url, "SELECT key FROM claims")} == {"working", "answered"}
