"""The edit that warms a model up: how large it is, and what it means if there is no memory for it."""

import pytest

from easel_runtime.engine import Loaded, LoadError, OutOfMemory
from easel_runtime.settings import Settings
from easel_runtime.trial import sides, warm_up
from support.engines import ToyEngine

GPU, CPU = Loaded("cuda", native_side=512), Loaded("cpu", native_side=512)


@pytest.mark.parametrize(
    ("wanted", "loaded", "expected"),
    [
        pytest.param(None, GPU, (512, 64), id="the usual size, on a GPU"),
        pytest.param(None, Loaded("cuda:1", native_side=1024), (1024, 64), id="on a numbered GPU"),
        pytest.param(None, CPU, (64,), id="a small one, on a CPU"),
        pytest.param(None, Loaded("mps", native_side=512), (64,), id="a small one, elsewhere"),
        pytest.param(None, Loaded("cuda"), (64,), id="a small one, where the usual size is not known"),
        pytest.param(96, GPU, (96,), id="what is set"),
        pytest.param(0, GPU, (), id="none"),
    ],
)
def test_the_size_of_the_warm_up(wanted: int | None, loaded: Loaded, expected: tuple[int, ...]) -> None:
    assert sides(wanted, loaded) == expected


def warmed_up(engine: ToyEngine, loaded: Loaded, side: int | None = None) -> bool:
    return warm_up(engine, Settings(model_id="easel/toy", warm_up_side=side), loaded)


def test_a_gpu_is_warmed_up_with_the_models_own_size() -> None:
    engine = ToyEngine()
    assert warmed_up(engine, GPU)
    assert [generation.image.size for generation in engine.generations] == [(512, 512)]


def test_a_model_that_has_room_for_small_pictures_alone_is_loaded_all_the_same() -> None:
    engine = ToyEngine(room=64 * 64)
    assert warmed_up(engine, GPU)
    assert [generation.image.size for generation in engine.generations] == [(512, 512), (64, 64)]


@pytest.mark.parametrize("loaded", [GPU, CPU], ids=["GPU", "CPU"])
def test_a_model_that_leaves_no_room_at_all_is_not(loaded: Loaded) -> None:
    with pytest.raises(LoadError, match="the model leaves too little memory to edit with: the toy has too little"):
        warmed_up(ToyEngine(room=63 * 63), loaded)


def test_a_size_that_is_set_is_not_replaced_by_another() -> None:
    engine = ToyEngine()
    engine.errors = [OutOfMemory("12 GB are missing")]
    with pytest.raises(LoadError, match="12 GB are missing"):
        warmed_up(engine, GPU, 512)


def test_there_may_be_no_warm_up() -> None:
    engine = ToyEngine()
    assert not warmed_up(engine, GPU, 0)
    assert not engine.generations
