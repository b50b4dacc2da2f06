"""From a caller's fields to a `Generation`: defaults applied where the caller was silent, bounds kept. Pure."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from PIL.Image import Image

from easel_crds.parameters import NumberRange, Parameters, StepRange
from easel_http.fields import MAX_SEED, ImageToImageFields
from easel_runtime.engine import Defaults, Generation

_SEEDS: Final = MAX_SEED + 1


def resolve(fields: ImageToImageFields, image: Image, parameters: Parameters, defaults: Defaults) -> Generation:
    """The request that the caller means.

    An explicit value wins within the model's bounds and is moved to the nearest bound beyond them, because
    existing SDKs send their own defaults (100 steps) to every model; `Generation.adjusted` names each such move.

    Raises:
        InvalidForm: as `ImageToImageFields.check_bounds`.
    """
    fields.check_bounds(parameters)
    values = _Values(fields)
    return Generation(
        prompt=fields.prompt,
        image=image,
        negative_prompt=fields.negative_prompt,
        steps=int(values.choose("num_inference_steps", parameters.steps, defaults.steps)),
        guidance_scale=values.choose("guidance_scale", parameters.guidance_scale, defaults.guidance_scale),
        image_guidance_scale=values.choose(
            "image_guidance_scale", parameters.image_guidance_scale, defaults.image_guidance_scale
        ),
        strength=values.choose("strength", parameters.strength, defaults.strength),
        seeds=consecutive_seeds(fields.seed, fields.num_images_per_prompt),
        explicit=frozenset(fields.model_fields_set),
        adjusted=tuple(values.adjusted),
    )


@dataclass
class _Values:
    """Chooses each number of a request and notes which ones the caller did not get as sent."""

    fields: ImageToImageFields
    adjusted: list[str] = field(default_factory=list)

    def choose(self, name: str, bounds: StepRange | NumberRange, fallback: float) -> float:
        """What the caller sent, else the ImageModel's default, else `fallback`; always within `bounds`."""
        sent: float | None = getattr(self.fields, name)
        wanted = next(value for value in (sent, bounds.default, fallback) if value is not None)
        value = min(max(wanted, bounds.min), bounds.max)
        if sent is not None and value != sent:
            self.adjusted.append(f"{name}={value:g}")
        return value


def consecutive_seeds(first: int | None, count: int) -> tuple[int, ...]:
    """`count` seeds that count up from `first` (random if None), wrapping at 2**32."""
    start = secrets.randbelow(_SEEDS) if first is None else first
    return tuple((start + offset) % _SEEDS for offset in range(count))
