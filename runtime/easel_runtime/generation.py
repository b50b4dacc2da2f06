"""From a caller's fields to a `Generation`: defaults applied where the caller was silent, bounds kept. Pure."""

import math
import secrets
from dataclasses import dataclass, field
from typing import Final

from PIL.Image import Image

from easel_crds.parameters import NumberRange, Parameters, StepRange
from easel_http.fields import MAX_SEED, ImageToImageFields
from easel_runtime.engine import Defaults, Generation

_SEEDS: Final = MAX_SEED + 1
_WORKS_BY_GUIDANCE: Final = frozenset({"negative_prompt", "image_guidance_scale"})
"""Fields that diffusers leaves out of account while guidance is off, which is at a scale of 1 or less."""


def resolve(fields: ImageToImageFields, image: Image, parameters: Parameters, defaults: Defaults) -> Generation:
    """The request that the caller means.

    An explicit value wins within the bounds and is moved to the nearest bound beyond them, because existing SDKs
    send their own defaults (100 steps) to every model; `Generation.adjusted` names each such move. The bounds of the
    ImageModel hold, and those of the model itself before them; and where only a part of the steps is run, a strength
    too small for one is raised to one.

    Raises:
        InvalidForm: as `ImageToImageFields.check_bounds`.
    """
    fields.check_bounds(parameters)
    values = _Values(fields)
    own = defaults.bounds
    steps = int(values.choose("num_inference_steps", parameters.steps, own.steps, defaults.steps))
    guidance = values.choose("guidance_scale", parameters.guidance_scale, own.guidance_scale, defaults.guidance_scale)
    image_guidance = values.choose(
        "image_guidance_scale",
        parameters.image_guidance_scale,
        own.image_guidance_scale,
        defaults.image_guidance_scale,
    )
    least, most = own.strength
    if defaults.partial:
        least = max(least, strength_of_one_step(steps))
    strength = values.choose("strength", parameters.strength, (least, most), defaults.strength)
    return Generation(
        prompt=fields.prompt,
        image=image,
        negative_prompt=fields.negative_prompt,
        steps=steps,
        guidance_scale=guidance,
        image_guidance_scale=image_guidance,
        strength=strength,
        seeds=consecutive_seeds(fields.seed, fields.num_images_per_prompt),
        explicit=frozenset(fields.model_fields_set),
        adjusted=tuple(values.adjusted),
        safety_check=fields.safety_check,
        ignored=frozenset() if guidance > 1 else _WORKS_BY_GUIDANCE & fields.model_fields_set,
    )


@dataclass
class _Values:
    """Chooses each number of a request and notes which ones the caller did not get as sent."""

    fields: ImageToImageFields
    adjusted: list[str] = field(default_factory=list)

    def choose(self, name: str, bounds: StepRange | NumberRange, own: tuple[float, float], fallback: float) -> float:
        """What the caller sent, else the ImageModel's default, else `fallback`; within `bounds`, and always `own`."""
        sent: float | None = getattr(self.fields, name)
        wanted = next(value for value in (sent, bounds.default, fallback) if value is not None)
        value = _within(_within(wanted, bounds.min, bounds.max), *own)
        if sent is not None and value != sent:
            self.adjusted.append(f"{name}={value:g}")
        return value


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def strength_of_one_step(steps: int) -> float:
    """The least strength at which int(steps * strength), the number of steps that are run, is not 0."""
    strength = 1 / steps
    while int(steps * strength) < 1:  # 1 / 49 * 49 is a little less than 1
        strength = math.nextafter(strength, 1)
    return strength


def consecutive_seeds(first: int | None, count: int) -> tuple[int, ...]:
    """`count` seeds that count up from `first` (random if None), wrapping at 2**32."""
    start = secrets.randbelow(_SEEDS) if first is None else first
    return tuple((start + offset) % _SEEDS for offset in range(count))
