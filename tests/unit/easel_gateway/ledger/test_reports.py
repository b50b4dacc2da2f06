import asyncio
import itertools
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel_crds.money import Price
from easel_gateway.ledger import By, Charge, Ledger, Query, TooManyRows
from easel_gateway.ledger.reports import _sum
from easel_http.errors import Unavailable
from support.ledgers import NOON, charge

_numbers = itertools.count()

AMOUNTS = st.one_of(
    st.decimals(0, 10, places=20).map(str),
    st.integers(0, 10**30).map(str),
    st.builds("{}e{:+d}".format, st.integers(0, 10**12), st.integers(-99, 99)),
)
PRICES = st.builds(
    lambda amount, currency, twos, fives: Price(amount=amount, currency=currency, per_pixels=2**twos * 5**fives),
    AMOUNTS,
    st.sampled_from(["USD", "EUR", "JPY"]),
    st.integers(0, 5),
    st.integers(0, 5),
)
CHARGES = st.lists(
    st.builds(
        lambda price, pixels, caller, model, minutes: charge(
            f"{next(_numbers)}",
            price,
            pixels=pixels,
            caller=caller,
            model_id=model,
            time=NOON + timedelta(minutes=minutes),
        ),
        PRICES,
        st.integers(1, 10**9),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["easel/demo", "easel/other"]),
        st.integers(-3000, 3000),
    ),
    min_size=1,
    max_size=30,
)


def exactly(charges: list[Charge]) -> Fraction:
    return sum((Fraction(one.price.amount) * one.pixels / one.price.per_pixels for one in charges), Fraction(0))


@given(CHARGES)
def test_prices_that_end_are_multiplied_and_added_without_an_error(charges: list[Charge]) -> None:
    assert Fraction(_sum(one.amount for one in charges)) == exactly(charges)


async def test_sums_are_exact_for_any_prices(ledger: Ledger) -> None:
    kept: list[Charge] = []
    loop = asyncio.get_running_loop()

    async def check(charges: list[Charge]) -> None:
        await asyncio.gather(*(ledger.charge(one) for one in charges))
        kept.extend(charges)
        since = charges[0].time
        for caller, currency in itertools.product(["ada", "bob"], ["USD", "EUR", "JPY"]):
            mine = [one for one in kept if (one.caller, one.price.currency) == (caller, currency) and one.time >= since]
            assert Fraction(await ledger.spent(caller, currency, since)) == exactly(mine)
        groups: dict[tuple[str, str, date, str], list[Charge]] = defaultdict(list)
        for one in kept:
            groups[one.caller, one.model_id, one.time.date(), one.price.currency].append(one)
        found = await ledger.usage(Query(by=frozenset({"caller", "model_id", "day"})))
        assert [(row.caller, row.model_id, row.day, row.currency) for row in found] == sorted(groups)
        for row, (_, wanted) in zip(found, sorted(groups.items()), strict=True):
            assert Fraction(row.amount) == exactly(wanted)
            assert (row.requests, row.pixels) == (len(wanted), sum(one.pixels for one in wanted))

    check_all = settings(max_examples=30)(
        given(CHARGES)(lambda charges: asyncio.run_coroutine_threadsafe(check(charges), loop).result(60))
    )
    await asyncio.to_thread(check_all)


async def test_a_price_that_has_no_end_is_divided_once(ledger: Ledger) -> None:
    third = Price(amount="1", per_pixels=3)
    for number in range(3):
        await ledger.charge(charge(f"{number}", third, pixels=1))
    assert await ledger.spent("ada", "USD", NOON) == Decimal(1)


async def test_the_day_is_that_of_utc(ledger: Ledger) -> None:
    late = datetime.fromisoformat("2026-11-29T23:59:59.999999+00:00")
    abroad = datetime.fromisoformat("2026-11-29T01:00:00+02:00")
    for number, time in enumerate([late, late + timedelta(microseconds=1), abroad]):
        await ledger.charge(charge(f"{number}", time=time))
    found = await ledger.usage(Query(by=frozenset({"day"})))
    assert [row.day for row in found] == [date(2026, 11, 28), date(2026, 11, 29), date(2026, 11, 30)]


async def test_the_first_moment_counts_and_the_last_does_not(ledger: Ledger) -> None:
    for number in range(5):
        await ledger.charge(charge(f"{number}", time=NOON + timedelta(microseconds=number)))
    (row,) = await ledger.usage(Query(since=NOON + timedelta(microseconds=1), until=NOON + timedelta(microseconds=3)))
    assert row.requests == 2
    assert await ledger.spent("ada", "USD", NOON + timedelta(microseconds=4)) == charge("").amount


async def test_only_those_asked_for_are_added_up(ledger: Ledger) -> None:
    await ledger.charge(charge("1", caller="ada", model_id="a/a"))
    await ledger.charge(charge("2", caller="ada", model_id="b/b"))
    await ledger.charge(charge("3", caller="bob", model_id="a/a"))
    counted = {
        by: [
            (row.caller, row.model_id, row.requests)
            for row in await ledger.usage(Query(by=frozenset(by), caller="ada"))
        ]
        for by in ((), ("model_id",), ("caller",))
    }
    assert counted == {
        (): [(None, None, 2)],
        ("model_id",): [(None, "a/a", 1), (None, "b/b", 1)],
        ("caller",): [("ada", None, 2)],
    }
    assert [row.requests for row in await ledger.usage(Query(model_id="a/a"))] == [2]
    assert await ledger.usage(Query(caller="'; DROP TABLE charges; --")) == []


async def test_more_rows_than_wanted_are_refused_and_not_cut(ledger: Ledger) -> None:
    by: frozenset[By] = frozenset({"caller"})
    for number in range(3):
        await ledger.charge(charge(f"{number}", caller=f"caller {number}"))
    assert len(await ledger.usage(Query(by=by, most_rows=3))) == 3
    with pytest.raises(TooManyRows, match="more than 2 rows"):
        await ledger.usage(Query(by=by, most_rows=2))


async def test_too_many_reports_at_once_are_refused(ledger: Ledger) -> None:
    outcomes = await asyncio.gather(*(ledger.usage(Query()) for _ in range(40)), return_exceptions=True)
    assert [] in outcomes
    assert any(isinstance(outcome, Unavailable) for outcome in outcomes)


async def test_nothing_is_nothing(ledger: Ledger) -> None:
    assert await ledger.spent("ada", "USD", datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert await ledger.usage(Query(by=frozenset({"caller", "day"}))) == []
