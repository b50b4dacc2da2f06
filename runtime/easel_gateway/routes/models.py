"""`GET /v1/models`: the models as OpenAI clients list them, with state and price beside."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from easel_gateway.directory import Directory, Entry, State

router = APIRouter(prefix="/v1", tags=["models"])


class Price(BaseModel):
    """Price of a model."""

    amount: str
    """Exact decimal."""
    currency: str
    per_pixels: int


class Model(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "easel"
    state: State
    reason: str = ""
    """Why it fails, if it does."""
    price: Price


class ModelList(BaseModel):
    """Every model."""

    object: Literal["list"] = "list"
    data: list[Model]


def _model(entry: Entry) -> Model:
    spec = entry.model.spec
    price = Price(amount=spec.price.amount, currency=spec.price.currency, per_pixels=spec.price.per_pixels)
    return Model(id=spec.model_id, state=entry.state, reason=entry.failure, price=price)


@router.get("/models", operation_id="listModels")
async def models(request: Request) -> ModelList:
    """Every model, whether it runs or not."""
    directory: Directory = request.app.state.directory
    return ModelList(data=[_model(entry) for _, entry in sorted(directory.entries().items())])
