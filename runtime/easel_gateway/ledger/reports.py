"""Adding up charges, exactly.

SQL adds up pixels, which are integers, by price; the multiplication happens here, once for each price. So no amount
is rounded before it is added. Where `per_pixels` does not divide an amount, the sum of a price has 100 exact
digits, as one amount has.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any, Final

from sqlalchemy import Connection, Select, Text, bindparam, func, literal, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from easel_crds.money import Price
from easel_gateway.ledger import Query, TooManyRows, UsageRow
from easel_gateway.ledger.tables import Moment, charges

_PRICES: Final = 10
"""How many prices a row may have on average, before the answer is too long to be added up."""
_EXACT: Final = Context(prec=500)
"""More digits than the sum of the largest and the smallest amount that can be written has: 1e+160 and 1e-250."""

_UTC: Final[ColumnElement[str]] = literal_column("'UTC'")
_DATE: Final[ColumnElement[str]] = literal_column("'YYYY-MM-DD'")
"""Not parameters: PostgreSQL must see that it groups by what it selects."""

_c = charges.c
_PRICE: Final = (_c.price_amount, _c.currency, _c.per_pixels)
_PIXELS: Final = func.sum(_c.pixels)

SPENT: Final = (
    select(*_PRICE, _PIXELS)
    .where(
        _c.caller == bindparam("caller"),
        _c.currency == bindparam("currency"),
        _c.time >= bindparam("since", type_=Moment),
    )
    .group_by(*_PRICE)
)
"""Pixels of one caller, by price."""


def spent(connection: Connection, caller: str, currency: str, since: datetime) -> Decimal:
    """What `caller` was charged from `since` on."""
    rows = connection.execute(SPENT, {"caller": caller, "currency": currency, "since": since})
    return _sum(_amount(*row) for row in rows)


def usage(connection: Connection, query: Query) -> list[UsageRow]:
    """What `query` asks for.

    Raises:
        TooManyRows: it is more than it wants to have.
    """
    statement = _statement(query, connection.dialect.name)
    most = query.most_rows * _PRICES
    found = connection.execute(statement.limit(most + 1)).all()
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in found:
        groups.setdefault((row.caller, row.model_id, row.day, row.currency), []).append(row)
    if len(found) > most or len(groups) > query.most_rows:
        raise TooManyRows(f"more than {query.most_rows} rows")
    return [_row(key, rows) for key, rows in groups.items()]


def _statement(query: Query, dialect: str) -> Select[Any]:
    parts: dict[str, ColumnElement[Any]] = {"caller": _c.caller, "model_id": _c.model_id, "day": _day(dialect)}
    by = [part for name, part in parts.items() if name in query.by]
    shown = [part.label(name) if name in query.by else literal(None, Text).label(name) for name, part in parts.items()]
    wanted: list[ColumnElement[bool]] = []
    if query.caller is not None:
        wanted.append(_c.caller == query.caller)
    if query.model_id is not None:
        wanted.append(_c.model_id == query.model_id)
    if query.since is not None:
        wanted.append(_c.time >= query.since)
    if query.until is not None:
        wanted.append(_c.time < query.until)
    return (
        select(
            *shown,
            *_PRICE,
            func.count().label("requests"),
            func.sum(_c.images).label("images"),
            _PIXELS.label("pixels"),
            func.sum(_c.seconds).label("seconds"),
            func.sum(_c.gpu_seconds).label("gpu_seconds"),
        )
        .where(*wanted)
        .group_by(*by, *_PRICE)
        .order_by(*by, _c.currency, _c.price_amount, _c.per_pixels)
    )


def _day(dialect: str) -> ColumnElement[Any]:
    """The day in UTC, as 2026-11-29."""
    if dialect == "postgresql":
        return func.to_char(func.timezone(_UTC, _c.time), _DATE)
    return func.substr(_c.time, literal_column("1"), literal_column("10"), type_=Text)


def _row(key: tuple[Any, ...], rows: list[Any]) -> UsageRow:
    caller, model_id, day, currency = key
    return UsageRow(
        caller=caller,
        model_id=model_id,
        day=None if day is None else date.fromisoformat(day),
        currency=currency,
        requests=sum(row.requests for row in rows),
        images=int(sum(row.images for row in rows)),
        pixels=int(sum(row.pixels for row in rows)),
        amount=_sum(_amount(row.price_amount, row.currency, row.per_pixels, row.pixels) for row in rows),
        seconds=sum(row.seconds for row in rows),
        gpu_seconds=sum(row.gpu_seconds for row in rows),
    )


def _amount(amount: str, currency: str, per_pixels: int, pixels: int | Decimal) -> Decimal:
    # Whatever ISO 4217 says of that currency by now: it was valid when it was charged.
    price = Price.model_construct(amount=amount, currency=currency, per_pixels=per_pixels)
    return price.of(int(pixels))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total
