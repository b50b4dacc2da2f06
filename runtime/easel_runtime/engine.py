"""The seam between HTTP and the model: what is asked of an engine, and what one request amounts to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL.Image import Image


@dataclass(frozen=True)
class Bounds:
    """How far a model goes, (least, most), whatever an ImageModel allows."""

    steps: tuple[int, int] = (1, 1000)
    guidance_scale: tuple[float, float] = (0, 100)
    image_guidance_scale: tuple[float, float] = (0, 100)
    strength: tuple[float, float] = (0, 1)


@dataclass(frozen=True)
class Defaults:
    """What a request gets where neither the caller nor the ImageModel says anything, and the model's own bounds.

    The numbers are the seed contract's (Livepeer ai-runner v0.14.1).
    """

    steps: int = 100
    guidance_scale: float = 7.5
    image_guidance_scale: float = 1.5
    strength: float = 0.8
    bounds: Bounds = field(default_factory=Bounds)
    partial: bool = False
    """Whether int(steps * strength) of the steps are run, which must then be at least one; else all are run."""


@dataclass(frozen=True)
class Lora:
    """Weights that are added to the model's for one request."""

    repo_id: str
    weight: float
    """How much of them; negative: the other way."""
    file: Path
    """Where they are on this machine, as safetensors."""


@dataclass(frozen=True)
class Generation:
    """One validated request: every default applied, every bound kept."""

    prompt: str
    image: Image
    """The input, RGB, upright."""
    negative_prompt: str
    steps: int
    guidance_scale: float
    image_guidance_scale: float
    strength: float
    seeds: tuple[int, ...]
    """One per image."""
    explicit: frozenset[str] = frozenset()
    """Names of the form fields that the caller sent."""
    adjusted: tuple[str, ...] = ()
    """`field=value` for each value that was moved into the model's bounds."""
    loras: tuple[Lora, ...] = ()
    """In the order of their names."""
    safety_check: bool = False
    """Whether the images are to be looked at: as the caller wants it, and from `SafetyCheck.decide` on as it is."""
    ignored: frozenset[str] = frozenset()
    """Names of the fields that the caller sent and that other values of this request leave without effect."""


@dataclass(frozen=True)
class Work:
    """One image that is asked for."""

    generation: Generation
    seed: int


class Cancelled(Exception):
    """Raised by `on_step` to stop the image in work; nobody waits for it any more."""


class LoadError(Exception):
    """The model cannot be loaded; the message is for the person who declared it."""


class GenerationError(Exception):
    """The model cannot work with this request; the message is for the caller."""


class LoraUnavailable(Exception):
    """A LoRA cannot be had at present, which is not its caller's mistake; the message is for the caller."""


class OutOfMemory(Exception):
    """The device has too little memory for this request; the message is for the caller."""


OnStep = Callable[[int], None]
"""Called with the number of finished steps; may raise `Cancelled`."""


@dataclass(frozen=True)
class Loaded:
    """What is known of a model once it is in memory."""

    device: str
    defaults: Defaults = field(default_factory=Defaults)
    ignores: frozenset[str] = frozenset()
    """Form fields that this model has no use for."""
    commit: str = ""
    """Commit of its repository; blank if it has none."""
    native_side: int | None = None
    """Side in pixels of the square pictures that it was trained on; None: not known."""
    loras: str | None = None
    """For which base model LoRAs must be made to fit; None: none fit, or it is not known."""
    batches: bool = True
    """Whether several alike requests can be made in one call (`easel_runtime.batch`)."""


class Checker(Protocol):
    """Tells what is not safe for work. Called from one thread, which is not the model's."""

    def is_unsafe(self, picture: Image) -> bool:
        """Whether `picture` is not safe for work.

        Raises:
            OutOfMemory: the device is too small for it.
        """


class Engine(Protocol):
    """One model on one device. `load` and `generate` are called from one thread, `fetch` from any."""

    def load(self) -> Loaded:
        """Bring the model into memory.

        Raises:
            LoadError: it cannot be had or is not an image-to-image model.
        """

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        """These LoRAs (weights by repository), on this machine; downloaded where they are not, which takes its time.

        Raises:
            GenerationError: one is not there, or cannot be used.
            LoraUnavailable: one cannot be had at present.
        """

    def load_checker(self) -> Checker:
        """The safety checker of the settings, in memory; from the thread that is to use it, after `load`.

        Raises:
            LoadError: it cannot be had or is no checker.
        """

    def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image]:
        """An image for each of `batch`, in its order and each of the size of its own input.

        The images are made side by side, so their requests must be alike (`easel_runtime.batch`), and more than one
        is only for a model that `Loaded.batches`. A picture that is made in company may differ by a grey level from
        the same one made alone.

        After `OutOfMemory` the next call gives back what is free by then, so the error must be forgotten first.

        Raises:
            Cancelled: `on_step` raised it.
            GenerationError: the model refuses this request.
            LoraUnavailable: one of its LoRAs is not on this machine any more.
            OutOfMemory: the device is too small for it.
        """
