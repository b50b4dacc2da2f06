"""What one transaction of the writer does: many charges, claims and releases, each with its own outcome."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, TypeGuard

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from easel_crds.money import plain
from easel_gateway.ledger import Charge, Claim, Repeat
from easel_gateway.ledger.statements import Statements
from easel_gateway.ledger.tables import charges, moment
from easel_http.errors import Conflict, InvalidForm

_RETRY_AFTER: Final = 2
"""Seconds after which to ask again for what is being worked on."""


@dataclass(eq=False, slots=True)
class Item:
    """One thing to write, and who waits for it."""

    future: "asyncio.Future[Any]"
    deadline: float
    """By `time.monotonic`: until then it is tried again when the database does not answer."""
    tried: bool = field(default=False, init=False)
    """Whether an attempt ended in such a way that it may be there."""


@dataclass(eq=False, slots=True)
class Charging(Item):
    """A charge, with what is to be told to those who come with the same key."""

    charge: Charge
    claim: Claim | None
    answer: bytes


@dataclass(eq=False, slots=True)
class Claiming(Item):
    """A key that is wanted."""

    claim: Claim
    fingerprint: str


@dataclass(eq=False, slots=True)
class Releasing(Item):
    """A key that is given back."""

    claim: Claim


def is_plain(item: Item) -> TypeGuard[Charging]:
    """Whether `item` is a charge without a claim, which one statement can write."""
    return isinstance(item, Charging) and item.claim is None


Outcome = Claim | Repeat | Conflict | InvalidForm | None
"""Of an item: what its future gets."""


@dataclass(frozen=True)
class Terms:
    """How long claims last."""

    claim_seconds: float
    repeat_seconds: float


class SomeAreThere(Exception):
    """The batch must be written with care: some of its charges are in the ledger already."""


def write(
    engine: Engine, items: Sequence[Item], sql: Statements, terms: Terms, *, careful: bool
) -> dict[Item, Outcome]:
    """Write `items`, all or none of them; what became of each.

    Charges without claims go by one statement. PostgreSQL needs no transaction around it, which would be three more
    ways to the database and back.

    Args:
        engine: of the database, whose transactions begin as they should.
        items: any number of each kind.
        sql: for that database.
        terms: how long claims last.
        careful: look first for charges that are there: costs one more question.

    Raises:
        SomeAreThere: not `careful`, and it has to be, or another writer came between; begin again.
    """
    plain = [item for item in items if is_plain(item)]
    if careful or len(plain) < len(items):
        with engine.begin() as connection:
            return _write(connection, items, sql, terms, careful=careful)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.begin() as connection:
            write_new(connection, plain, sql)
    except IntegrityError as error:
        raise SomeAreThere from error
    return dict.fromkeys(items)


def write_new(connection: Connection, items: Iterable[Charging], sql: Statements) -> None:
    """Write charges without claims by one statement: all, or none.

    Raises:
        sqlalchemy.exc.IntegrityError: one of them is there already.
    """
    connection.execute(sql.charge_new, {"rows": _rows(items)})


def _write(
    connection: Connection, items: Sequence[Item], sql: Statements, terms: Terms, *, careful: bool
) -> dict[Item, Outcome]:
    outcomes: dict[Item, Outcome] = {}
    if releasing := [item for item in items if isinstance(item, Releasing)]:
        connection.execute(sql.release, {"tokens": [item.claim.token for item in releasing]})
        outcomes |= dict.fromkeys(releasing)
    if charging := [item for item in items if isinstance(item, Charging)]:
        outcomes |= _charge(connection, charging, sql, terms, careful=careful)
    if claiming := [item for item in items if isinstance(item, Claiming)]:
        outcomes |= _claim(connection, claiming, sql, terms)
    return outcomes


def _charge(
    connection: Connection, items: list[Charging], sql: Statements, terms: Terms, *, careful: bool
) -> dict[Item, Outcome]:
    outcomes: dict[Item, Outcome] = {}
    tokens = [item.claim.token for item in items if item.claim is not None]
    held = set(connection.execute(sql.hold, {"tokens": tokens}).scalars()) if tokens else set()
    ids = [item.charge.request_id for item in items] if careful else ()
    there = {row[0]: tuple(row) for row in connection.execute(sql.charged, {"ids": ids})} if ids else {}
    new: dict[str, Charging] = {}
    for item in items:
        request_id = item.charge.request_id
        if item.claim is not None and item.claim.token not in held:
            outcomes[item] = Conflict(
                "another request with this Idempotency-Key has taken its place", retry_after=_RETRY_AFTER
            )
        elif request_id in new or (request_id in there and not (item.tried and there[request_id] == _columns(item))):
            outcomes[item] = Conflict(f"request {request_id} is charged already")
        else:
            outcomes[item] = None
            if request_id not in there:
                new[request_id] = item
    if new and connection.execute(sql.charge, {"rows": _rows(new.values())}).rowcount != len(new):
        raise SomeAreThere
    answers = [
        {"token_": item.claim.token, "answer_": item.answer, "seconds": terms.repeat_seconds}
        for item in items
        if item.claim is not None and outcomes[item] is None
    ]
    if answers:
        connection.execute(sql.answer, answers)
    return outcomes


def _rows(items: Iterable[Charging]) -> str:
    return json.dumps([_as_json(item) for item in items])


def _columns(item: Charging) -> tuple[object, ...]:
    """The row of a charge, in the order of the table's columns."""
    charge = item.charge
    return (
        *(charge.request_id, charge.time, charge.caller, charge.model_id, charge.namespace, charge.model),
        *(charge.revision, charge.generation, charge.width, charge.height, charge.images, charge.pixels),
        *(charge.price.amount, charge.price.currency, charge.price.per_pixels),
        *(charge.amount, charge.seconds, charge.gpu_seconds, None if item.claim is None else item.claim.key),
    )


_TIME: Final = charges.columns.keys().index("time")
_AMOUNT: Final = charges.columns.keys().index("amount")


def _as_json(item: Charging) -> list[object]:
    row = list(_columns(item))
    row[_TIME] = moment(item.charge.time)
    row[_AMOUNT] = plain(item.charge.amount)
    return row


def _claim(connection: Connection, items: list[Claiming], sql: Statements, terms: Terms) -> dict[Item, Outcome]:
    wanted = [
        {
            "caller_": item.claim.caller,
            "key_": item.claim.key,
            "fingerprint_": item.fingerprint,
            "token_": item.claim.token,
            "seconds": terms.claim_seconds,
        }
        # In one order everywhere, so that two replicas do not wait for each other.
        for item in sorted(items, key=attrgetter("claim.caller", "claim.key"))
    ]
    connection.execute(sql.claim, wanted)
    keys = list({(item.claim.caller, item.claim.key) for item in items})
    rows = {(row.caller, row.key): row for row in connection.execute(sql.claimed, {"keys": keys})}
    return {item: _outcome(item, rows.get((item.claim.caller, item.claim.key))) for item in items}


def _outcome(item: Claiming, row: Any) -> Outcome:
    if row is not None and row.token == item.claim.token:
        return item.claim
    if row is not None and row.fingerprint != item.fingerprint:
        return wrong_key("was used for another request; send each request with a key of its own")
    if row is not None and row.answer is not None:
        return Repeat(bytes(row.answer))
    return Conflict("the first request with this Idempotency-Key is being worked on", retry_after=_RETRY_AFTER)


def wrong_key(why: str) -> InvalidForm:
    """The answer to an `Idempotency-Key` that cannot be taken."""
    loc = ["header", "Idempotency-Key"]
    return InvalidForm([{"type": "value_error", "loc": loc, "msg": f"Idempotency-Key {why}", "input": None}])
