"""ImageModel: which image-to-image model to serve, how warm, and at what price."""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from easel_crds.conditions import Condition
from easel_crds.loras import Loras
from easel_crds.metadata import API_VERSION, HUB_ID
from easel_crds.money import Price
from easel_crds.parameters import Parameters
from easel_crds.quantity import parse_quantity, quantity_at_least
from easel_crds.rules import Resource, Rule
from easel_crds.safety import Safety

LEAST_GPU_MEMORY: Final = "20G"
"""Livepeer's system requirement for image-to-image. Decimal: 20e9 bytes, because cards sold as 20 GB report less
than 20 GiB (19195 to 20475 MiB)."""

NAME_LENGTH: Final = 50
"""Longest name of an ImageModel, so that the names of its children stay within 63 characters."""

_OBJECT_NAME: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_OBJECT_NAME_SENTENCE: Final = "must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
_NAME: Final = f"^[a-z0-9]([-a-z0-9]{{0,{NAME_LENGTH - 2}}}[a-z0-9])?$"


class Gpu(Resource):
    """The GPU that one replica needs."""

    memory: Annotated[str, Field(max_length=20)] = LEAST_GPU_MEMORY
    """Least memory of the GPU as a quantity; never below 20G (20e9 bytes)."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="memory must be a quantity of at least 20G, such as 20G or 24Gi: smaller GPUs do not hold these"
            " models; raise it, or leave it out",
            cel="isQuantity(self.memory) && quantity(self.memory).compareTo(quantity('20G')) >= 0",
            field="memory",
            holds=lambda gpu: quantity_at_least(gpu.memory, parse_quantity(LEAST_GPU_MEMORY)),
        ),
    )


class Scaling(Resource):
    """How requests become replicas."""

    target_in_flight: Annotated[int, Field(ge=1, le=1000)] = 2
    """Requests in flight or waiting that one replica should carry; one more asks for another replica."""
    idle_seconds: Annotated[int, Field(ge=1, le=604_800)] = 600
    """Seconds without need before a replica above `warmReplicas` is stopped."""


class ImageModelSpec(Resource):
    """What the user wants."""

    model_id: Annotated[str, Field(max_length=96)]
    """Hub repository id of the model, such as timbrooks/instruct-pix2pix; callers send it as `model_id`. Immutable."""
    revision: Annotated[str, Field(min_length=1, max_length=100)] = "main"
    """Branch, tag or commit of the weights."""
    warm_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas kept running without requests; 0 serves the model on demand, started by its first request."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Most replicas that requests may scale to."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Pins the number of replicas and switches Easel's own scaling off, for `kubectl scale`, HPA or KEDA."""
    price: Price = Price()
    """Price of an image, per input pixel."""
    gpu: Gpu = Gpu()
    """The GPU that one replica needs."""
    scaling: Scaling = Scaling()
    """How requests become replicas."""
    parameters: Parameters = Parameters()
    """Defaults and bounds of what callers may send."""
    loras: Loras = Loras()
    """Which LoRA weights callers may ask for."""
    safety: Safety = Safety()
    """Whether images are looked at before they are given out."""
    profile: Annotated[str, Field(min_length=1, max_length=63)] = "default"
    """Name of the RuntimeProfile to run with."""
    paused: bool = False
    """True: nothing of this model is started, stopped or changed; what runs goes on serving."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message="maxReplicas must be at least warmReplicas: raise maxReplicas or lower warmReplicas",
            cel="self.maxReplicas >= self.warmReplicas",
            field="maxReplicas",
            holds=lambda spec: spec.max_replicas >= spec.warm_replicas,
        ),
        Rule(
            message="modelId must be a Hub repository id such as timbrooks/instruct-pix2pix",
            cel=f"self.modelId.matches('{HUB_ID}')",
            field="modelId",
            holds=lambda spec: re.fullmatch(HUB_ID, spec.model_id) is not None,
        ),
        Rule(
            message=f"profile {_OBJECT_NAME_SENTENCE}",
            cel=f"self.profile.matches('^{_OBJECT_NAME}$')",
            field="profile",
            holds=lambda spec: re.fullmatch(_OBJECT_NAME, spec.profile) is not None,
        ),
        Rule(
            message="modelId is immutable: create a second ImageModel with another name and delete this one",
            cel="self.modelId == oldSelf.modelId",
            field="modelId",
            allows=lambda old, new: old.model_id == new.model_id,
        ),
    )


SCALE_DECISIONS: Final = 5
"""Of a model that are kept."""


class ScaleDecision(Resource):
    """One change of the number of replicas."""

    time: datetime
    """When it was decided."""
    replicas: Annotated[int, Field(ge=0)]
    """How many replicas were asked for."""
    reason: Annotated[str, Field(max_length=256)]
    """Why, in plain words."""


class LastFailure(Resource):
    """How a replica last failed."""

    pod: Annotated[str, Field(max_length=253)]
    """Pod (or process) that failed."""
    exit_code: int | None = None
    """Exit code of its container, 128 + n when signal n ended it."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Its last words."""


class ImageModelStatus(Resource):
    """What Easel found and did."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """metadata.generation that this status is about."""
    mode: Literal["warm", "on-demand", "pinned", "paused"] = "on-demand"
    """How the number of replicas is decided."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    """Accepted, Cached, Scheduled, Loaded, Serving, and Ready, which rolls them up."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Replicas that exist."""
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    """Replicas that answer requests."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """Label selector of the replicas' pods, for the scale subresource."""
    endpoint: Annotated[str, Field(max_length=512)] = ""
    """URL of the Service that leads to the replicas."""
    gpu: Annotated[str, Field(max_length=128)] = ""
    """Product name of the GPU in use."""
    scale_decisions: Annotated[
        tuple[ScaleDecision, ...],
        Field(max_length=SCALE_DECISIONS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """The last five changes of the number of replicas, newest first."""
    cold_start_seconds: Annotated[float, Field(ge=0)] | None = None
    """Measured seconds from the decision to start a replica until it answered."""
    seconds_per_image: Annotated[float, Field(ge=0)] | None = None
    """Measured seconds that one image takes."""
    last_failure: LastFailure | None = None
    """How a replica last failed."""


def _object_name(name: str) -> str:
    """`name`, if every Kubernetes object could have it (RFC 1123 subdomain)."""
    if len(name) > 253 or re.fullmatch(_OBJECT_NAME, name) is None:
        raise PydanticCustomError("rule", "{message}", {"message": _OBJECT_NAME_SENTENCE, "field": ""})
    return name


class Metadata(BaseModel):
    """The part of a Kubernetes object's metadata that Easel reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, AfterValidator(_object_name)]
    """Unique in its namespace."""
    namespace: str = ""
    """Empty for what has none, and on one machine."""
    uid: str = ""
    """Unique over time; the API server's."""
    generation: int = 0
    """Counts the changes of spec; the API server's."""
    creation_timestamp: Annotated[AwareDatetime | None, Field(alias="creationTimestamp")] = None
    """When it was created; the API server's."""


class ImageModel(Resource):
    """An image-to-image model to serve: which one, how many replicas stay warm, and at what price."""

    api_version: Literal["easel.dev/v1alpha1"] = API_VERSION
    kind: Literal["ImageModel"] = "ImageModel"
    metadata: Metadata
    spec: ImageModelSpec
    """What the user wants."""
    status: ImageModelStatus = ImageModelStatus()
    """What Easel found and did."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message=f"metadata.name must be at most {NAME_LENGTH} lower-case letters, digits and '-', so that the names"
            " of its pods and Services fit",
            cel=f"self.metadata.name.matches('{_NAME}')",
            field="metadata",
            holds=lambda model: re.fullmatch(_NAME, model.name) is not None,
        ),
    )

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name
