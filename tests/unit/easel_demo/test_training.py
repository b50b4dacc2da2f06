"""The training of the demo model, in tiny: it runs, goes on where it was, and leaves a folder that can be loaded."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easel_demo import prompts, scenes
from easel_demo.edits import EDITS, WEIGHTS
from easel_demo.pictures import picture
from support.tiny_engines import NOISE_OF_LIBRARIES, alone, engine_of, made

pytestmark = NOISE_OF_LIBRARIES

TINY = ("--pictures", "6", "--pixels", "2048", "--decoder-steps", "2", "--word-steps", "2", "--kept-every", "1")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path) -> Iterator[None]:
    with alone(tmp_path):
        yield


def train(folder: Path, *more: str) -> None:
    from easel_demo.__main__ import main

    main([*TINY, "--folder", str(folder / "work"), "--into", str(folder / "model"), "--no-measure", *more])


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_training_goes_on_where_it_was_and_comes_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from easel_demo.training import Run

    class Interrupted(Exception):
        pass

    real = Run._step

    def step(run: Any, loss_of: Any) -> float:
        if run.name == "editor" and run.done == 2:
            raise Interrupted
        return real(run, loss_of)

    train(tmp_path / "whole", "--steps", "4")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", step)
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", "--steps", "4")
    assert not (tmp_path / "parts" / "model").exists()
    train(tmp_path / "parts", "--steps", "4")
    assert content(tmp_path / "parts" / "model") == content(tmp_path / "whole" / "model")


def test_what_is_shipped_is_loaded_like_any_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("the card")
    train(tmp_path, "--steps", "1")
    files = content(tmp_path / "model")
    assert files["README.md"] == b"the card"
    assert not any(str(tmp_path).encode() in text for text in files.values())
    engine = engine_of(str(tmp_path / "model"), tmp_path)
    engine.load()
    assert made(engine, image=Image.new("RGB", (64, 48), "grey"))


def test_the_same_seed_draws_the_same_picture_and_another_another() -> None:
    assert picture(7, 48).tobytes() == picture(7, 48).tobytes() != picture(8, 48).tobytes()
    assert scenes.harbour(7, 64, 48).tobytes() == scenes.harbour(7, 64, 48).tobytes()


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_stays_within_the_range_and_can_be_asked_for(edit: str) -> None:
    import torch

    pixels = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    edited = EDITS[edit](pixels)
    assert edited.shape == pixels.shape
    assert 0 <= float(edited.min()) <= float(edited.max()) <= 1
    assert torch.equal(EDITS[edit](pixels[0]), edited[0])
    assert WEIGHTS[edit] > 0
    chance = random.Random(1)  # noqa: S311
    assert len({prompts.prompt(edit, chance).lower() for _ in range(200)}) > 50


def test_what_is_held_out_is_never_said_in_training() -> None:
    held_out = {sentence for sentence, _ in prompts.UNSEEN_SENTENCES}
    assert not held_out & {sentence for sentence, _ in prompts._SENTENCES}
    assert prompts.filled("could you please {do} {thing}", "tint red", "it") == "could you please tint it red"
