"""Families of models as data: how each loads and what it needs. A new family is a new row."""

from dataclasses import dataclass, field
from typing import Final

from easel_runtime.engine import Defaults


@dataclass(frozen=True)
class Family:
    """How the models of one pipeline class are loaded and run."""

    pipeline: str
    """Class in diffusers that loads them."""
    scheduler: str | None = None
    """Scheduler class in diffusers, made from the repository's own settings; None keeps the repository's."""
    defaults: Defaults = field(default_factory=Defaults)


FAMILIES: Final = {
    # Not known to AutoPipelineForImage2Image; the scheduler is the one that its authors and Livepeer use.
    "StableDiffusionInstructPix2PixPipeline": Family(
        "StableDiffusionInstructPix2PixPipeline", scheduler="EulerAncestralDiscreteScheduler"
    ),
}
"""By the `_class_name` in a repository's model_index.json."""

GENERIC: Final = Family("AutoPipelineForImage2Image")
"""Any other class that diffusers maps to image-to-image."""
