"""Defaults and bounds that an ImageModel sets for its callers."""

from typing import Annotated, ClassVar, Final

from pydantic import Field

from easel_crds.rules import Resource, Rule

MAX_PIXELS: Final = 4_194_304
"""Default bound of one input image: 2048 x 2048, what a 20 GB GPU edits with the models Easel is made for."""

_LEAST_FIRST: Final = "min must not be greater than max"
_INSIDE: Final = "default must lie between min and max"


class StepRange(Resource):
    """Bounds of the number of denoising steps."""

    default: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Steps when the caller sends none; unset: what the model's family needs."""
    min: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest steps; a smaller request is raised to it."""
    max: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most steps; a larger request is lowered to it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(_LEAST_FIRST, "self.min <= self.max", "min", lambda steps: steps.min <= steps.max),
        Rule(
            _INSIDE,
            "!has(self.default) || (self.default >= self.min && self.default <= self.max)",
            "default",
            lambda steps: steps.default is None or steps.min <= steps.default <= steps.max,
        ),
    )


class NumberRange(Resource):
    """Bounds of a real-valued parameter."""

    default: Annotated[float, Field(ge=0, le=100)] | None = None
    """Value when the caller sends none; unset: what the model's family needs."""
    min: Annotated[float, Field(ge=0, le=100)] = 0
    """Smallest value; a smaller request is raised to it."""
    max: Annotated[float, Field(ge=0, le=100)] = 100
    """Largest value; a larger request is lowered to it."""

    rules: ClassVar[tuple[Rule, ...]] = StepRange.rules


class Fraction(NumberRange):
    """Bounds of a parameter between 0 and 1."""

    default: Annotated[float, Field(ge=0, le=1)] | None = None
    """Value when the caller sends none; unset: what the model's family needs."""
    min: Annotated[float, Field(ge=0, le=1)] = 0
    """Smallest value; a smaller request is raised to it."""
    max: Annotated[float, Field(ge=0, le=1)] = 1
    """Largest value; a larger request is lowered to it."""


class Parameters(Resource):
    """What callers get when they are silent, and how far they may go."""

    steps: StepRange = StepRange()
    """Denoising steps (`num_inference_steps`)."""
    guidance_scale: NumberRange = NumberRange()
    """How closely the image follows the prompt (`guidance_scale`)."""
    image_guidance_scale: NumberRange = NumberRange()
    """How closely the image follows the input image (`image_guidance_scale`, InstructPix2Pix only)."""
    strength: Fraction = Fraction()
    """How much of the input image may change, 0 to 1 (`strength`)."""
    max_pixels: Annotated[int, Field(ge=4096, le=67_108_864)] = MAX_PIXELS
    """Most pixels (height x width) of an input image; a larger one is refused."""
    max_images: Annotated[int, Field(ge=1, le=64)] = 8
    """Most images in one request; more are refused."""
