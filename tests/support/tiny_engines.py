"""Real engines on the tiny repositories of `hub`, and what tests ask of them. Only `load` needs torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from easel_crds.parameters import Parameters
from easel_http.fields import ImageToImageFields
from easel_runtime.engine import Engine, Generation, Loaded, OnStep, Work
from easel_runtime.generation import resolve
from easel_runtime.settings import Settings
from support.pictures import picture

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

NOISE_OF_LIBRARIES = [
    pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument:UserWarning:huggingface_hub"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:diffusers"),
]
"""What diffusers 0.42 and its neighbours say about each other."""

Ready = tuple["DiffusersEngine", Loaded]


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """No Hub, one thread, and caches that are not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        # The variable HF_HUB_OFFLINE counts only before the first import, which may have been another test's.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setenv("XDG_CACHE_HOME", str(home))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # this and the next as `_LateEngine` does it
        patch.setenv("TRANSFORMERS_VERBOSITY", "error")
        import torch

        torch.set_num_threads(1)  # more would only wait for each other with models of this size
        yield


def engine_of(model_id: str, cache: Path, revision: str = "main") -> "DiffusersEngine":
    from easel_runtime.pipelines.engine import DiffusersEngine

    return DiffusersEngine(Settings(model_id=model_id, model_dir=cache, revision=revision))


@dataclass
class Engines:
    """Engines by model id, each loaded when it is first asked for."""

    cache: Path
    _ready: dict[str, Ready] = field(default_factory=dict)

    def __getitem__(self, model_id: str) -> Ready:
        if model_id not in self._ready:
            engine = engine_of(model_id, self.cache)
            self._ready[model_id] = engine, engine.load()
        return self._ready[model_id]


def generation(image: Image.Image | None = None, **values: Any) -> Generation:
    """A request past all rules."""
    return Generation(
        **{
            "prompt": "a cat",
            "image": image or picture(),
            "negative_prompt": "",
            "steps": 3,
            "guidance_scale": 7.5,
            "image_guidance_scale": 1.5,
            "strength": 0.8,
            "seeds": (),
            **values,
        }
    )


def asked(loaded: Loaded, image: Image.Image | None = None, **sent: Any) -> Generation:
    """What a caller who sends these fields gets of this model."""
    fields = ImageToImageFields(prompt="a cat", **sent)
    return resolve(fields, image or picture(), Parameters(), loaded.defaults)


def nothing(_: int) -> None:
    """For callers who do not follow the steps."""


def edit(engine: Engine, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
    """The result of one request."""
    (image,) = engine.generate([Work(generation, seed)], on_step)
    return image


def four(loaded: Loaded, **sent: Any) -> list[Work]:
    """Images that may be made side by side, as different otherwise as they can be."""
    image = picture(67, 45)
    rows = [
        (image, "a cat", "", 1),
        (ImageOps.mirror(image), "", "blurry", 2**32 - 1),
        (ImageOps.invert(image), "a dog in the snow " * 9, "", 1),
        (ImageOps.flip(image), "a cat", "ugly", 7),
    ]
    return [
        Work(replace(asked(loaded, each, **sent), prompt=prompt, negative_prompt=negative), seed)
        for each, prompt, negative, seed in rows
    ]


def difference(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """By how many of 255 grey levels two pictures differ: most, and on average."""
    assert one.size == other.size
    apart = ImageStat.Stat(ImageChops.difference(one, other))
    return max(most for _, most in apart.extrema), sum(apart.mean) / len(apart.mean)


def assert_alike(one: Image.Image, other: Image.Image) -> None:
    """They differ by no more than what rounding in another order does."""
    most, average = difference(one, other)
    assert most <= 1
    assert average < 0.01


def assert_made_in_company_as_alone(engine: "DiffusersEngine", batch: list[Work]) -> None:
    """Each of `batch` is its own picture, whatever is made beside it."""
    alone = [edit(engine, work.generation, work.seed, nothing) for work in batch]
    told: list[int] = []
    together = engine.generate(batch, told.append)
    assert told == list(range(1, len(told) + 1))
    for one, other in zip(alone, together, strict=True):
        assert_alike(one, other)
    assert all(difference(alone[0], other)[1] > 1 for other in alone[1:])


def made(engine: "DiffusersEngine", seed: int = 1, **values: Any) -> bytes:
    """The pixels of one result."""
    return edit(engine, generation(**values), seed, nothing).tobytes()
