"""The demo model as it is shipped: how near its edits come to what they should be, on pictures it never saw.

PSNR against the formula that it was trained on, in decibels; see its card for more figures.
"""

from collections.abc import Iterator
from functools import cache as remembered
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from easel_runtime.engine import Loaded
from easel_runtime.pipelines import demo
from support.tiny_engines import NOISE_OF_LIBRARIES, alone, asked, difference, edit, engine_of, nothing

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

pytestmark = NOISE_OF_LIBRARIES

CAT = Path(__file__).parents[3] / "examples" / "cat.png"
SEED = 7


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple["DiffusersEngine", Loaded]:
    engine = engine_of(demo.MODEL_ID, tmp_path_factory.mktemp("hub"))
    return engine, engine.load()


@remembered
def scene(name: str) -> Image.Image:
    """A picture of a kind that was trained, one of a kind that was not, or the cat; none of a size that was trained."""
    from easel_demo.pictures import picture
    from easel_demo.scenes import harbour

    match name:
        case "trained kind":
            return picture(999_999, 192).crop((0, 0, 192, 160))
        case "harbour":
            return harbour(11, 224, 160)
        case _:
            with Image.open(CAT) as cat:
                return cat.convert("RGB").resize((256, 192), Image.Resampling.LANCZOS)


SCENES = ["trained kind", "harbour", "cat"]


def psnr(image: Image.Image, name: str, of: Image.Image) -> float:
    """How near `image` comes to the edit `name` of another picture."""
    from easel_demo.edits import EDITS
    from easel_demo.measuring import pixels_of
    from easel_demo.measuring import psnr as measured

    return measured(pixels_of(image), EDITS[name](pixels_of(of)))


def by_default(ready: tuple["DiffusersEngine", Loaded], image: Image.Image, prompt: str) -> Image.Image:
    """What a caller gets who sends a picture and a prompt alone."""
    from dataclasses import replace

    engine, loaded = ready
    return edit(engine, replace(asked(loaded, image), prompt=prompt), SEED, nothing)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(
    ("prompt", "wanted", "least"),
    [
        ("make it black and white", "black and white", 24),
        ("turn it into an old photo", "old photo", 24),
        ("make it blue", "blue", 24),
        ("make it night", "night", 22),
        ("make it brighter", "brighter", 22),
        ("add a rocket", "keep", 24),
    ],
)
def test_edits_come_near_what_they_should_be(
    prompt: str, wanted: str, least: float, name: str, ready: tuple["DiffusersEngine", Loaded]
) -> None:
    assert psnr(by_default(ready, scene(name), prompt), wanted, scene(name)) >= least


@pytest.mark.parametrize(
    ("prompt", "wanted", "least"),
    [
        ("make it red", "red", 24),
        ("make it green", "green", 24),
        ("make it yellow", "yellow", 24),
        ("make it purple", "purple", 24),
        ("make it look like sunset", "sunset", 22),
        ("make it darker", "darker", 22),
        # In sentences that were held out.
        ("Could you make this black and white?", "black and white", 24),
        ("Give me a vintage photo.", "old photo", 24),
        ("transform the photo into nighttime", "night", 22),
        ("I would like the picture to be green", "green", 24),
        ("Could you please brighten it?", "brighter", 22),
        # Nothing that it knows.
        ("", "keep", 24),
        ("replace the sails with feathers", "keep", 24),
        ("qwzx plomph", "keep", 24),
    ],
)
def test_what_is_said_is_understood(
    prompt: str, wanted: str, least: float, ready: tuple["DiffusersEngine", Loaded]
) -> None:
    assert psnr(by_default(ready, scene("harbour"), prompt), wanted, scene("harbour")) >= least


@pytest.mark.parametrize("size", [(64, 64), (40, 176), (333, 95)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_pictures_of_any_shape_are_edited(size: tuple[int, int], ready: tuple["DiffusersEngine", Loaded]) -> None:
    from easel_demo.scenes import harbour

    image = harbour(5, *size)
    made = by_default(ready, image, "make it red")
    assert made.size == size
    assert psnr(made, "red", image) >= 22


def test_a_large_picture_is_edited(ready: tuple["DiffusersEngine", Loaded]) -> None:
    """In two steps, because time is short: of how it comes out the sizes above tell."""
    from dataclasses import replace

    from easel_demo.scenes import harbour

    engine, loaded = ready
    image = harbour(5, 1024, 512)
    request = replace(asked(loaded, image, num_inference_steps=2), prompt="make it red")
    made = edit(engine, request, SEED, nothing)
    assert np.asarray(made).reshape(-1, 3).mean(0).argmax() == 0


def test_another_seed_is_another_picture_but_hardly(ready: tuple["DiffusersEngine", Loaded]) -> None:
    engine, loaded = ready
    request = asked(loaded, scene("harbour"))
    one, other = (edit(engine, request, seed, nothing) for seed in (1, 2))
    assert one.tobytes() != other.tobytes()
    assert difference(one, other)[1] < 8


def test_its_halves_are_loaded_in_the_precision_of_the_device(ready: tuple["DiffusersEngine", Loaded]) -> None:
    import torch

    parts = [part for part in ready[0]._pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert {number.dtype for part in parts for number in part.parameters()} == {torch.float32}
    assert not any(part.training for part in parts)


def test_the_folder_is_small_and_has_a_card() -> None:
    assert sum(file.stat().st_size for file in demo.FOLDER.rglob("*") if file.is_file()) < 5 << 20
    assert "toy" in (demo.FOLDER / "README.md").read_text()
