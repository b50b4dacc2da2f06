"""The ledger's two tables, one definition for SQLite and PostgreSQL. A change here needs a migration."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from easel_crds.money import plain


class Exact(TypeDecorator[Decimal]):
    """A decimal number that keeps every digit: NUMERIC, and TEXT on SQLite, whose numbers are floats."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Decimal]:
        kind: TypeEngine[Any] = Text() if dialect.name == "sqlite" else Numeric()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> object:
        return plain(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: object, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(str(value))


class Moment(TypeDecorator[datetime]):
    """A moment to the microsecond: TIMESTAMP WITH TIME ZONE, and on SQLite text in UTC, sorted as time is."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        kind: TypeEngine[Any] = Text() if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        return moment(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return datetime.fromisoformat(value) if isinstance(value, str) else value  # type: ignore[return-value]


def moment(time: datetime) -> str:
    """`time` in UTC, always as long: 2026-11-29T06:52:30.000001Z."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


metadata: Final = MetaData(
    naming_convention={"pk": "%(table_name)s_pkey", "ix": "%(table_name)s_%(column_0_N_name)s_idx"}
)

charges: Final = Table(
    "charges",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("time", Moment, nullable=False),
    Column("caller", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("pixels", BigInteger, nullable=False),
    Column("price_amount", Text, nullable=False),  # as it is written in the ImageModel
    Column("currency", Text, nullable=False),
    Column("per_pixels", BigInteger, nullable=False),
    Column("amount", Exact, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("gpu_seconds", Double, nullable=False),
    Column("idempotency_key", Text, nullable=True),
    Index(None, "caller", "time"),
    Index(None, "model_id", "time"),
)
"""One row for each charged request."""

claims: Final = Table(
    "claims",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("expires", Double, nullable=False),  # seconds since 1970, by the clock of the database
    Column("answer", LargeBinary, nullable=True),  # NULL while the request is worked on
    Index(None, "token", unique=True),
    Index(None, "expires"),
)
"""Which idempotency keys are taken, and what was answered."""
