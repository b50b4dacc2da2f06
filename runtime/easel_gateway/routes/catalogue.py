"""`GET /models`: the models for people and pages, with everything that a caller needs to know before a request."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from easel_crds.parameters import NumberRange, StepRange
from easel_crds.safety import NO_CHECKER
from easel_gateway.directory import Directory, Entry, State, entry_of
from easel_gateway.pricing import generation_of
from easel_gateway.routes.models import Price
from easel_http.errors import NotFound
from easel_http.openapi import errors

router = APIRouter(tags=["models"])


class _Described(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Bounds(_Described):
    """Default and bounds of a field; what a caller sends beyond them is moved to the nearest one."""

    default: float | None
    """null: the model's own."""
    minimum: float
    maximum: float

    @classmethod
    def of(cls, declared: StepRange | NumberRange) -> "Bounds":
        """As the ImageModel declares them."""
        return cls(default=declared.default, minimum=declared.min, maximum=declared.max)


class Defaults(_Described):
    """Fields of a request by their names."""

    num_inference_steps: Bounds
    guidance_scale: Bounds
    image_guidance_scale: Bounds
    strength: Bounds


class LoraPolicy(_Described):
    """Which LoRAs a request may name."""

    allow: list[str]
    """Repositories or patterns such as `nerijs/*`."""
    max_per_request: int
    max_bytes: int
    """Of one file."""


class SafetyPolicy(_Described):
    """What happens with images that are not safe for work."""

    checked: bool
    """Whether there is a checker at all."""
    enforced: bool
    """Whether every image is looked at, whatever `safety_check` says."""
    action: Literal["flag", "blank", "refuse"]


class CatalogueModel(_Described):
    """One model."""

    id: str
    """What callers send as `model_id`."""
    revision: str
    """Branch, tag or commit of the weights."""
    generation: str
    """`namespace/name@generation` of the ImageModel."""
    state: State
    reason: str
    """Why it cannot start; empty if it can."""
    ready_replicas: int
    """Runtimes that take requests."""
    start_seconds: float | None
    """Forecast of the seconds until it takes a request: 0 if it is ready, null if it cannot start at present."""
    price: Price
    max_pixels: int
    """Most pixels (height x width) of an input picture."""
    max_images: int
    """Most images of one request."""
    parameters: Defaults
    loras: LoraPolicy
    safety: SafetyPolicy


class Catalogue(_Described):
    """Every model."""

    models: list[CatalogueModel]


def described(entry: Entry) -> CatalogueModel:
    """All that there is to say of a model."""
    spec = entry.model.spec
    parameters = spec.parameters
    return CatalogueModel(
        id=spec.model_id,
        revision=spec.revision,
        generation=generation_of(entry.model),
        state=entry.state,
        reason=entry.failure,
        ready_replicas=len(entry.endpoints),
        start_seconds=entry.seconds_to_start,
        price=Price.of(spec.price),
        max_pixels=parameters.max_pixels,
        max_images=parameters.max_images,
        parameters=Defaults(
            num_inference_steps=Bounds.of(parameters.steps),
            guidance_scale=Bounds.of(parameters.guidance_scale),
            image_guidance_scale=Bounds.of(parameters.image_guidance_scale),
            strength=Bounds.of(parameters.strength),
        ),
        loras=LoraPolicy(
            allow=list(spec.loras.allow), max_per_request=spec.loras.max_per_request, max_bytes=spec.loras.file_bytes
        ),
        safety=SafetyPolicy(
            checked=spec.safety.checker != NO_CHECKER, enforced=spec.safety.enforce, action=spec.safety.action
        ),
    )


@router.get("/models", operation_id="describeModels")
async def catalogue(request: Request) -> Catalogue:
    """Every model, whether it runs or not, with price, state, defaults and bounds."""
    directory: Directory = request.app.state.directory
    return Catalogue(models=[described(entry) for _, entry in sorted(directory.entries().items())])


@router.get("/models/{model_id:path}", operation_id="describeModel", responses=errors({NotFound: "no such model"}))
async def one(request: Request, model_id: str) -> CatalogueModel:
    """One model."""
    directory: Directory = request.app.state.directory
    return described(entry_of(model_id, directory.entries()))
