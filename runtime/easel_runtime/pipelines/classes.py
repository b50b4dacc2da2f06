"""Which class of diffusers edits pictures for a repository, and what it can be told: read off its own signature."""

import inspect
from typing import Any, Final

import diffusers
from diffusers.pipelines.auto_pipeline import AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, _get_task_class

from easel_runtime.engine import Bounds, Defaults, LoadError
from easel_runtime.pipelines.families import Family, Span

_NEEDS_MORE: Final = frozenset({"control_image", "mask_image"})
"""Pictures that such a pipeline cannot do without, although its signature has a default for them."""


def pipeline_class(family: Family, name: str) -> Any:
    """The class for a repository that names the class `name`; known before anything large is downloaded.

    Raises:
        LoadError: diffusers has none, or it cannot work with one picture and a prompt.
    """
    if "Inpaint" in name:  # the table below has an entry, but such a network takes a mask beside each picture
        raise LoadError(f"{name} does not edit an image by a prompt: it wants mask_image")
    try:
        # The table behind AutoPipelineForImage2Image, which itself would load the weights before it can be asked.
        chosen = getattr(diffusers, family.pipeline or "", None) or _get_task_class(
            AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, name
        )
    except ValueError as error:
        raise LoadError(f"diffusers {diffusers.__version__} knows no image-to-image pipeline for {name}") from error
    parameters = _parameters(chosen)
    more = {
        parameter.name
        for parameter in parameters.values()
        if (parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD)
        or parameter.name in _NEEDS_MORE
    } - {"self", "prompt", "image"}
    if more or "image" not in parameters:
        wants = ", ".join(sorted(more)) or "no image"
        raise LoadError(f"{chosen.__name__} does not edit an image by a prompt: it wants {wants}")
    return chosen


def keywords(chosen: Any) -> frozenset[str]:
    """What a pipeline of the class `chosen` can be given by name; what it would swallow unseen is not among it."""
    return frozenset(
        parameter.name for parameter in _parameters(chosen).values() if parameter.kind is not parameter.VAR_KEYWORD
    )


def defaults(family: Family, chosen: Any) -> Defaults:
    """What a request gets where nobody says anything: of the family, else of the pipeline, else of the contract."""
    known = keywords(chosen)

    def default(span: Span, keyword: str, fallback: float) -> float:
        if span.default is not None:
            return span.default
        own = _parameters(chosen)[keyword].default if keyword in known else None
        return own if isinstance(own, int | float) else fallback

    contract = Defaults()
    return Defaults(
        steps=int(default(family.steps, "num_inference_steps", contract.steps)),
        guidance_scale=default(family.guidance, family.guidance_keyword, contract.guidance_scale),
        image_guidance_scale=default(family.image_guidance, "image_guidance_scale", contract.image_guidance_scale),
        strength=default(family.strength, "strength", contract.strength),
        bounds=Bounds(
            steps=(int(family.steps.least), int(family.steps.most)),
            guidance_scale=(family.guidance.least, family.guidance.most),
            image_guidance_scale=(family.image_guidance.least, family.image_guidance.most),
            strength=(family.strength.least, family.strength.most),
        ),
        partial="strength" in known,
    )


def _parameters(chosen: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(chosen.__call__).parameters)
