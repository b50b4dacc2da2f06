"""`GET /status`: what an operator wants to see at a glance, of every model, asked for every few seconds."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from easel_crds.money import plain
from easel_gateway.directory import Directory, Entry, State
from easel_gateway.keys import identify
from easel_gateway.ledger import UsageRow
from easel_gateway.routes.models import Price
from easel_gateway.settings import Settings
from easel_gateway.today import Today
from easel_gateway.waiting import WaitingRoom
from easel_http.errors import Forbidden, Unauthorized, Unavailable
from easel_http.openapi import errors

router = APIRouter(tags=["status"])


class _Described(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Amount(_Described):
    """Money."""

    amount: str
    """Exact decimal."""
    currency: str
    """ISO 4217 code."""


class Used(_Described):
    """What was charged since midnight in UTC, by all gateways that share the ledger."""

    requests: int
    images: int
    pixels: int
    amounts: list[Amount]
    """One for each currency."""

    @classmethod
    def of(cls, rows: Sequence[UsageRow]) -> "Used":
        """The sum of `rows`."""
        return cls(
            requests=sum(row.requests for row in rows),
            images=sum(row.images for row in rows),
            pixels=sum(row.pixels for row in rows),
            amounts=[Amount(amount=plain(row.amount), currency=row.currency) for row in rows],
        )


class Change(_Described):
    """A change of the number of replicas."""

    time: datetime
    replicas: int
    """That there were to be."""
    reason: str


class ModelStatus(_Described):
    """One model."""

    id: str
    state: State
    reason: str
    """Why it cannot start, or what its start waits for; empty if neither is known."""
    ready_replicas: int
    """Runtimes that take requests."""
    start_seconds: float | None
    """Forecast of a start; 0 if it is ready, null if it cannot start at present."""
    in_flight: int
    """Requests that this gateway has at its runtimes."""
    held_requests: int
    """Requests that wait at this gateway."""
    held_bytes: int
    """Bytes of their bodies."""
    price: Price
    today: Used | None
    """null: there is no ledger, or it does not answer."""
    scale_decisions: list[Change]
    """The last five, newest first."""


class Status(_Described):
    """Everything."""

    held_requests: int
    """Of all models."""
    held_bytes: int
    models: list[ModelStatus]


_ERRORS = errors(
    {
        Unauthorized: "the key is missing or wrong",
        Forbidden: "the key has no `admin`",
        Unavailable: "the models are not known yet",
    }
)


@router.get("/status", operation_id="status", responses=_ERRORS)
async def status(request: Request) -> Status:
    """How every model is doing. Where there are keys, this is for those that have `admin`."""
    state = request.app.state
    settings: Settings = state.settings
    caller = identify(request.headers, state.keys, required=settings.keys_required)
    if not caller.policy.admin:
        raise Forbidden(f"the key {caller.name} has no admin in its policy")
    directory: Directory = state.directory
    waiting: WaitingRoom = state.waiting
    today: Today = state.today
    used = await today.used(list(directory.entries()))
    return Status(
        held_requests=waiting.held,
        held_bytes=waiting.held_bytes,
        models=[
            _status(entry, waiting, None if used is None else Used.of(used.get(model_id, ())))
            for model_id, entry in sorted(directory.entries().items())
        ],
    )


def _status(entry: Entry, waiting: WaitingRoom, used: Used | None) -> ModelStatus:
    spec = entry.model.spec
    demand, held_bytes = waiting.load(spec.model_id)
    return ModelStatus(
        id=spec.model_id,
        state=entry.state,
        reason=entry.failure or entry.pending,
        ready_replicas=len(entry.endpoints),
        start_seconds=entry.seconds_to_start,
        in_flight=demand.in_flight,
        held_requests=demand.waiting,
        held_bytes=held_bytes,
        price=Price.of(spec.price),
        today=used,
        scale_decisions=[Change(**decision.model_dump()) for decision in entry.scale_decisions],
    )
