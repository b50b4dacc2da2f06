"""`GET /v1/models`: the models as OpenAI clients list them, with state and price beside."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from easel_crds import money
from easel_gateway.directory import Directory, Entry, State, entry_of
from easel_http.errors import NotFound
from easel_http.openapi import errors

router = APIRouter(prefix="/v1", tags=["models"])


class Price(BaseModel):
    """Price of a model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    amount: str
    """Exact decimal: price of `per_pixels` input pixels."""
    currency: str
    """ISO 4217 code."""
    per_pixels: int

    @classmethod
    def of(cls, price: money.Price) -> "Price":
        """As the ImageModel has it."""
        return cls(amount=price.amount, currency=price.currency, per_pixels=price.per_pixels)


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
    spec, created = entry.model.spec, entry.model.metadata.creation_timestamp
    return Model(
        id=spec.model_id,
        created=0 if created is None else int(created.timestamp()),
        state=entry.state,
        reason=entry.failure,
        price=Price.of(spec.price),
    )


@router.get("/models", operation_id="listModels")
async def models(request: Request) -> ModelList:
    """Every model, whether it runs or not."""
    directory: Directory = request.app.state.directory
    return ModelList(data=[_model(entry) for _, entry in sorted(directory.entries().items())])


@router.get("/models/{model_id:path}", operation_id="retrieveModel", responses=errors({NotFound: "no such model"}))
async def model(request: Request, model_id: str) -> Model:
    """One model."""
    directory: Directory = request.app.state.directory
    return _model(entry_of(model_id, directory.entries()))
