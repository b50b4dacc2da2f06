"""The text fields of `POST /image-to-image`: the twelve of the seed contract, less the image, and `max_price`.

Names, order and meaning are Livepeer's (ai-runner v0.14.1). A field that is absent or blank takes the model's
own default, so its default here is None.
"""

import json
import math
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from easel_crds.parameters import Parameters
from easel_http.errors import InvalidForm
from easel_http.max_price import MaxPriceText

MAX_SEED: Final = 2**32 - 1
MAX_STEPS: Final = 1000
MAX_IMAGES: Final = 64
_MAY_BE_BLANK: Final = ("prompt",)
OWN_FIELDS: Final = frozenset({"max_price", "response_format"})
"""Fields that are for the gateway alone."""
_OF_THE_OBJECT: Final = ("anyOf", "additionalProperties", "propertyNames")
"""Keys of a schema that say what a text means, not what it is."""
_LORAS_SENTENCE: Final = 'must be a JSON object such as {"nerijs/pixel-art-xl": 1.2}'


def _lora_weights(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:  # RecursionError: "[[[[..."
        raise PydanticCustomError("json_invalid", _LORAS_SENTENCE) from error


def _finite(value: Any) -> Any:
    # Here and not by allow_inf_nan, because bounds are checked before it and call NaN "not at least 0".
    try:
        finite = math.isfinite(float(value))
    except OverflowError:  # an integer of hundreds of digits
        finite = False
    except (TypeError, ValueError):
        return value
    if not finite:
        raise PydanticCustomError("finite_number", "must be a finite number")
    return value


# The bounds stand beside `float` and not around these types, so that the form's schema names them.
Weight = Annotated[float, BeforeValidator(_finite)]
LoraName = Annotated[str, Field(min_length=1, max_length=256)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_finite)]
Scale = Annotated[float, Field(ge=0, le=100), BeforeValidator(_finite)]


class ImageToImageFields(BaseModel):
    """What a caller sends beside the image."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    prompt: Annotated[str, Field(max_length=8192)]
    """What to make of the image."""
    model_id: Annotated[str, Field(max_length=96)] = ""
    """Which model; the gateway requires it."""
    loras: Annotated[dict[LoraName, Weight], BeforeValidator(_lora_weights)] = Field(
        default_factory=dict,
        json_schema_extra={
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "propertyNames": {"minLength": 1, "maxLength": 256},
                "additionalProperties": {"type": "number"},
            },
            "examples": ['{"nerijs/pixel-art-xl": 1.2}'],
        },
    )
    """LoRA weights (-10 to 10) by Hub repository, as a JSON object."""
    strength: Share | None = None
    """How much of the image may change, 0 to 1. Default: the model's."""
    guidance_scale: Scale | None = None
    """How closely the result follows the prompt. Default: the model's."""
    image_guidance_scale: Scale | None = None
    """How closely the result follows the image (InstructPix2Pix). Default: the model's."""
    negative_prompt: Annotated[str, Field(max_length=8192)] = ""
    """What to keep out of the result; unused when guidance_scale is 1 or less."""
    safety_check: bool = True
    """Whether to look for content that is not safe for work."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """Seed of the first image; the next ones count up from it. Default: random."""
    num_inference_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    """Denoising steps. Default: the model's."""
    num_images_per_prompt: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = 1
    """How many images to make."""
    response_format: Literal["url", "b64_json", "data"] = "url"
    """How the gateway gives images out: where to fetch them, in base64, or as data URLs."""
    # Excluded when written: what a caller pays is between it and the gateway.
    max_price: Annotated[MaxPriceText | None, Field(exclude=True)] = None
    """The most that this request may cost, or a pixel of it; above it the gateway answers 402. A runtime ignores it."""

    @model_validator(mode="before")
    @classmethod
    def _blank_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value != "" or name in _MAY_BE_BLANK}

    @classmethod
    def from_texts(cls, texts: dict[str, str]) -> "ImageToImageFields":
        """The fields of a form.

        Raises:
            InvalidForm: fields are missing or wrong.
        """
        try:
            return cls.model_validate(texts)
        except ValidationError as error:
            raise InvalidForm.of(error, texts) from error

    def check_bounds(self, parameters: Parameters) -> None:
        """Refuse what the ImageModel's `parameters` refuse; `easel_http.loras` does it for LoRAs.

        Raises:
            InvalidForm: too many images.
        """
        if self.num_images_per_prompt > parameters.max_images:
            raise InvalidForm.at(
                "num_images_per_prompt",
                f"must be at most {parameters.max_images} for this model",
                given=self.num_images_per_prompt,
            )


def form_schema(*required: str) -> dict[str, Any]:
    """OpenAPI schema of the whole multipart form, for a route whose body is read as a stream."""
    schema = ImageToImageFields.model_json_schema()
    image = {"type": "string", "format": "binary", "description": "The image to start from."}
    schema["properties"] = {"image": image, **{name: _inline(part) for name, part in schema["properties"].items()}}
    schema["required"] = ["prompt", "image", *required]
    schema["propertyNames"] = {"minLength": 1}
    schema["title"] = "ImageToImage"
    return schema


def _inline(part: dict[str, Any]) -> dict[str, Any]:
    """`part` without the "or null" that only means "may be absent"."""
    options = [option for option in part.get("anyOf", ()) if option.get("type") != "null"]
    rest = {key: value for key, value in part.items() if key not in _OF_THE_OBJECT}
    if options:
        rest.pop("default", None)
        return {**options[0], **rest}
    return rest
