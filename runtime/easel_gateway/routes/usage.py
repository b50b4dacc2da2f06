"""`GET /usage`: what was charged, added up, as JSON or CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, cast, get_args

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from easel_crds.money import plain
from easel_gateway import ledger
from easel_gateway.keys import Caller, identify
from easel_gateway.ledger import By, Ledger, TooManyRows, UsageRow
from easel_gateway.settings import Settings
from easel_http.errors import InvalidForm, Unauthorized, Unavailable
from easel_http.openapi import errors

router = APIRouter(tags=["usage"])

_BY: Final[tuple[By, ...]] = get_args(By)
_COLUMNS: Final = (*_BY, "currency", "requests", "images", "pixels", "amount", "seconds", "gpu_seconds")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CSV: Final = "text/csv"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula for spreadsheets."""


class Usage(BaseModel):
    """What was charged, of one caller, model and day in one currency, as far as the request asks for these."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    caller: str | None = None
    """Absent unless by caller."""
    model_id: str | None = None
    """Absent unless by model."""
    day: date | None = None
    """In UTC; absent unless by day."""
    currency: str
    """ISO 4217 code."""
    requests: int
    images: int
    pixels: int
    """Charged pixels."""
    amount: str
    """Exact decimal: each price times the sum of its pixels."""
    seconds: float
    """That requests took."""
    gpu_seconds: float
    """Of them, those in which a runtime worked."""


class UsageList(BaseModel):
    """Every row, in the order of caller, model, day and currency."""

    data: list[Usage]


_ERRORS: Final = errors(
    {
        Unauthorized: "the key is missing or wrong",
        InvalidForm: "a parameter is wrong, which is named; or there are more than 10,000 rows",
        Unavailable: "the ledger's database does not answer, or the report takes too long",
    }
)
_NAME: Final[dict[str, Any]] = {"max_length": 255, "pattern": r"^[^\x00]*$"}  # PostgreSQL knows no NUL
_WHEN: Final = "A date (2026-11-29: its first moment in UTC) or a time as RFC 3339 has it."


@router.get(
    "/usage",
    operation_id="usage",
    response_model=UsageList,
    response_model_exclude_none=True,
    responses={**_ERRORS, 200: {"content": {_CSV: {"schema": {"type": "string"}}}}},
)
async def usage(  # noqa: PLR0913 (one for each parameter)
    request: Request,
    *,
    caller: Annotated[str | None, Query(description="Only what this caller was charged.", **_NAME)] = None,
    model_id: Annotated[str | None, Query(description="Only this model.", **_NAME)] = None,
    since: Annotated[str | None, Query(alias="from", description=f"From when on. {_WHEN}", max_length=40)] = None,
    until: Annotated[
        str | None, Query(alias="to", description=f"Until when. {_WHEN} A date counts to its end.", max_length=40)
    ] = None,
    by: Annotated[str, Query(description="One row for each: any of caller, model, day, with commas.")] = "",
    form: Annotated[str, Query(alias="format", description="json or csv; empty: what Accept asks for.")] = "",
) -> Any:
    """What was charged. Whoever comes with a key sees their own rows; with one that has `admin`, all."""
    who = _who(request)
    kept: Ledger | None = getattr(request.app.state, "ledger", None)
    if kept is None:
        raise Unavailable("this gateway keeps no ledger")
    problems: list[Mapping[str, Any]] = []
    query = ledger.Query(
        by=_by(by, problems),
        caller=_visible(caller, who, problems),
        model_id=model_id,
        since=_moment("from", since, problems),
        until=_moment("to", until, problems, end=True),
    )
    if form not in ("", "json", "csv"):
        problems.append(_problem("format", "must be json or csv", form))
    if problems:
        raise InvalidForm(problems)
    try:
        rows = await kept.usage(query)
    except TooManyRows as error:
        msg = f"there are {error}; ask for a shorter time, or for fewer of caller, model and day"
        raise InvalidForm([_problem("by", msg, by)]) from error
    if form == "csv" or (not form and _CSV in request.headers.get("accept", "")):
        disposition = {"Content-Disposition": 'attachment; filename="usage.csv"', "Vary": "Accept"}
        return Response(as_csv(rows), media_type=_CSV, headers=disposition)
    return {"data": [_document(row) for row in rows]}


def _who(request: Request) -> Caller:
    settings: Settings = request.app.state.settings
    return identify(request.headers, request.app.state.keys, required=settings.keys_required)


def as_csv(rows: Iterable[UsageRow]) -> str:
    """`rows`, with a line of names before them (RFC 4180). What would be a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in rows:
        document = _document(row)
        writer.writerow([_cell(document[name]) for name in _COLUMNS])
    return text.getvalue()


def _cell(value: object) -> object:
    # Numbers of ours are never negative, so whatever begins like a formula is a name.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _document(row: UsageRow) -> dict[str, Any]:
    return {
        "caller": row.caller,
        "model_id": row.model_id,
        "day": None if row.day is None else row.day.isoformat(),
        "currency": row.currency,
        "requests": row.requests,
        "images": row.images,
        "pixels": row.pixels,
        "amount": plain(row.amount),
        "seconds": round(row.seconds, 6),
        "gpu_seconds": round(row.gpu_seconds, 6),
    }


def _visible(asked: str | None, who: Caller, problems: list[Mapping[str, Any]]) -> str | None:
    """Whose rows are shown; None: everybody's."""
    if who.policy.admin:
        return asked
    if asked not in (None, who.name):
        problems.append(_problem("caller", f"this key may see what {who.name} was charged, and no one else", asked))
    return who.name


def _by(text: str, problems: list[Mapping[str, Any]]) -> frozenset[By]:
    names = ["model_id" if name == "model" else name for name in text.split(",")] if text else []
    if not set(names) <= set(_BY):
        problems.append(_problem("by", "must be any of caller, model, day, with commas between them", text))
        return frozenset()
    return frozenset(cast("list[By]", names))


def _moment(field: str, text: str | None, problems: list[Mapping[str, Any]], *, end: bool = False) -> datetime | None:
    """The first moment that counts, or at the `end` the first that does not."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime.combine(day + timedelta(days=1 if end else 0), time(), UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    problems.append(_problem(field, "must be a date such as 2026-11-29, or a time such as 2026-11-29T12:00:00Z", text))
    return None


def _problem(field: str, msg: str, given: object) -> Mapping[str, Any]:
    return {"type": "value_error", "loc": ["query", field], "msg": msg, "input": given}
