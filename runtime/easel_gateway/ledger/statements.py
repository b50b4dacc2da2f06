"""The writer's SQL, in the words of either database.

A batch of charges goes as one JSON text through one statement. With a row for each call of the driver, every row would
give up the interpreter to the busy event loop and wait for its turn again, up to five milliseconds.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Delete,
    Double,
    Insert,
    Select,
    Text,
    Update,
    bindparam,
    cast,
    column,
    extract,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from easel_gateway.ledger.tables import charges, claims

SWEPT_AT_ONCE: Final = 1000
_GRACE_SECONDS: Final = 3600
"""How long an expired claim is left for its owner, whom only the database's absence may have kept from renewing it."""


@dataclass(frozen=True)
class Statements:
    """Built once, so that SQLAlchemy compiles each once."""

    charge: Insert
    """`rows`: a JSON array of arrays, in the order of the table's columns. What is there already stays as it is."""
    charge_new: Insert
    """The same, where none may be there already."""
    charged: Select[Any]
    """`ids`: the rows of these requests."""
    claim: Insert
    """For each (caller, key): taken, unless it is somebody's or answered."""
    claimed: Select[Any]
    """`keys`: what there is now."""
    hold: Select[Any]
    """`tokens`: those that are still theirs, kept so until the transaction ends."""
    answer: Update
    """Keeps the `answer_` under `token_` for `seconds`."""
    renew: Update
    release: Delete
    sweep: Delete


def statements_for(dialect: str) -> Statements:
    """For "sqlite" or "postgresql"."""
    on_postgresql = dialect == "postgresql"
    insert: Any = postgresql.insert if on_postgresql else sqlite.insert
    now = _now(on_postgresql=on_postgresql)
    until = now + bindparam("seconds", type_=Double)
    at_work = claims.c.answer.is_(None)
    claim = insert(claims).values(
        caller=bindparam("caller_"),
        key=bindparam("key_"),
        fingerprint=bindparam("fingerprint_"),
        token=bindparam("token_"),
        expires=until,
    )
    old = select(claims.c.token).where(claims.c.expires < now - _GRACE_SECONDS).limit(SWEPT_AT_ONCE)
    charge = insert(charges).from_select([one.name for one in charges.columns], _rows(on_postgresql=on_postgresql))
    return Statements(
        charge=charge.on_conflict_do_nothing().execution_options(preserve_rowcount=True),
        charge_new=charge,
        charged=select(charges).where(charges.c.request_id.in_(bindparam("ids", expanding=True))),
        claim=claim.on_conflict_do_update(
            index_elements=[claims.c.caller, claims.c.key],
            set_={
                **{name: claim.excluded[name] for name in ("fingerprint", "token", "expires")},
                "answer": None,
            },
            where=claims.c.expires < now,
        ),
        claimed=select(claims).where(tuple_(claims.c.caller, claims.c.key).in_(bindparam("keys", expanding=True))),
        hold=select(claims.c.token)
        .where(claims.c.token.in_(bindparam("tokens", expanding=True)))
        .order_by(claims.c.token)
        .with_for_update(),
        answer=claims.update()
        .where(claims.c.token == bindparam("token_"))
        .values(answer=bindparam("answer_"), expires=until),
        renew=claims.update()
        .where(claims.c.token.in_(bindparam("tokens", expanding=True)), at_work)
        .values(expires=until),
        release=claims.delete().where(claims.c.token.in_(bindparam("tokens", expanding=True)), at_work),
        sweep=claims.delete().where(claims.c.token.in_(old.scalar_subquery())),
    )


def _now(*, on_postgresql: bool) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock, which all replicas share."""
    if on_postgresql:
        return cast(extract("epoch", func.clock_timestamp()), Double)
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)


def _rows(*, on_postgresql: bool) -> Select[Any]:
    rows = bindparam("rows", type_=Text)
    if not on_postgresql:
        each = func.json_each(rows).table_valued("value")
        fields = [each.c.value.op("->>")(literal_column(str(place))) for place in range(len(charges.columns))]
        return select(*fields).where(true())  # without a WHERE, SQLite takes ON CONFLICT for a join
    each = func.json_array_elements(cast(rows, postgresql.JSON(none_as_null=True))).table_valued(
        column("value", postgresql.JSON)
    )
    typed = [
        cast(each.c.value.op("->>")(literal_column(str(place))), one.type) for place, one in enumerate(charges.columns)
    ]
    return select(*typed)
