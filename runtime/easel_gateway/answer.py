"""What comes back from a runtime, once it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredImage:
    """One image of an answer, as stored."""

    path: str
    """Below `/stream/`."""
    seed: int
    nsfw: bool


@dataclass(frozen=True)
class Answer:
    """The images of one request."""

    images: tuple[StoredImage, ...]
    headers: Mapping[str, str]
    """What the runtime has to say about them."""
    gpu_seconds: float = 0.0
    """That the model worked on them, as the runtime says."""
