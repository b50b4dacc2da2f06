"""`DiffusersEngine` on real diffusers pipelines of toy size: what comes out, what stops it, what cannot be loaded."""

import json
import logging
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import ImageOps

from easel_runtime.engine import Bounds, Cancelled, Defaults, GenerationError, LoadError, OutOfMemory
from easel_runtime.pipelines import diffusers_engine
from easel_runtime.settings import Settings
from support import hub
from support.pictures import picture
from support.tiny_engines import (
    NOISE_OF_LIBRARIES,
    Engines,
    alone,
    assert_made_in_company_as_alone,
    edit,
    engine_of,
    four,
    generation,
    made,
    nothing,
)

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

pytestmark = NOISE_OF_LIBRARIES

SD, SDXL, DEMO = "tiny/stable-diffusion", "tiny/stable-diffusion-xl", "easel/demo"
MODELS = [SD, SDXL, DEMO]
every_model = pytest.mark.parametrize("model_id", MODELS)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the Hub with everything these tests load."""
    cache = tmp_path_factory.mktemp("hub")
    whole = hub.add_repository(cache, SD, hub.stable_diffusion)
    hub.add_repository(cache, SDXL, hub.stable_diffusion_xl)
    hub.add_repository(cache, "broken/other-task", hub.of_class("TextToVideoSDPipeline"))
    hub.add_repository(cache, "broken/own-class", hub.of_class("MyOwnPipeline"))
    hub.add_repository(cache, "broken/no-class", hub.holding({"model_index.json": "{}"}))
    hub.add_repository(cache, "broken/list", hub.holding({"model_index.json": "[]"}))
    hub.add_repository(cache, "broken/no-json", hub.holding({"model_index.json": "<html>"}))
    hub.add_repository(cache, "broken/other-pictures", hub.of_class("StableDiffusionControlNetPipeline"))
    weights = "diffusion_pytorch_model.safetensors"
    hub.add_repository(
        cache,
        "broken/pickled",
        hub.both(hub.copied(whole, weights), hub.holding({"unet/diffusion_pytorch_model.bin": "anything"})),
    )
    hub.add_repository(cache, "broken/damaged", hub.both(hub.copied(whole), hub.holding({f"unet/{weights}": "x"})))
    hub.add_repository(cache, "broken/no-unet", hub.copied(whole, "unet"))
    hub.add_repository(cache, "broken/no-weights", hub.copied(whole, "diffusion_pytorch_model.safetensors"))
    return cache


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def models(cache: Path) -> Engines:
    return Engines(cache)


@pytest.fixture
def engine(model_id: str, models: Engines) -> "DiffusersEngine":
    return models[model_id][0]


# Results ------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("size", [(64, 48), (67, 45), (1, 1), (200, 8)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_result_has_the_inputs_size(engine: "DiffusersEngine", size: tuple[int, int]) -> None:
    result = edit(engine, generation(picture(*size)), 1, nothing)
    assert (result.mode, result.size) == ("RGB", size)


@every_model
def test_the_same_seed_gives_the_same_picture_and_another_gives_another(engine: "DiffusersEngine") -> None:
    first, again, other = made(engine, 1), made(engine, 1), made(engine, 2)
    assert first == again != other


@every_model
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_seeds_at_the_ends_of_their_range_work(engine: "DiffusersEngine", seed: int) -> None:
    assert made(engine, seed)


@every_model
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image": ImageOps.mirror(picture())}, id="image"),
        pytest.param({"prompt": "a dog"}, id="prompt"),
        pytest.param({"negative_prompt": "blurry"}, id="negative prompt"),
        pytest.param({"guidance_scale": 2.0}, id="guidance"),
        pytest.param({"steps": 5}, id="steps"),
    ],
)
def test_the_result_depends_on_what_is_asked(engine: "DiffusersEngine", change: dict[str, Any]) -> None:
    assert made(engine, **change) != made(engine)


@pytest.mark.parametrize(("parameter", "value"), [("strength", 0.4), ("image_guidance_scale", 3.0)])
@every_model
def test_a_parameter_changes_the_result_unless_the_model_says_that_it_ignores_it(
    model_id: str, models: Engines, parameter: str, value: float
) -> None:
    engine, loaded = models[model_id]
    changed: dict[str, Any] = {parameter: value}
    assert (made(engine, **changed) == made(engine)) is (parameter in loaded.ignores)


@every_model
@pytest.mark.parametrize("prompt", ["", "ein Kätzchen 🐈", "a cat " * 200], ids=["blank", "not ASCII", "long"])
def test_any_prompt_is_worked_with(engine: "DiffusersEngine", prompt: str) -> None:
    assert made(engine, prompt=prompt)


@every_model
def test_no_word_of_a_prompt_gets_into_the_log(engine: "DiffusersEngine", caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("diffusers")  # which has a handler of its own
    library.addHandler(caplog.handler)
    try:
        assert made(engine, prompt="secret " * 200)
    finally:
        library.removeHandler(caplog.handler)
    assert "secret" not in caplog.text


# Steps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "steps", "strength", "executed"),
    [
        pytest.param(SD, 10, 0.5, 6, id="PNDM takes one twice"),
        pytest.param(SDXL, 10, 0.5, 5, id="part of them"),
        pytest.param(SDXL, 4, 1.0, 4, id="all"),
        pytest.param(DEMO, 4, 0.5, 4, id="a model without strength"),
        pytest.param(SD, 3, 0.4, 2, id="one, which PNDM takes twice"),
        pytest.param(SDXL, 7, 1 / 7, 1, id="exactly one"),
    ],
)
def test_every_executed_step_is_told(engine: "DiffusersEngine", steps: int, strength: float, executed: int) -> None:
    told: list[int] = []
    edit(engine, generation(steps=steps, strength=strength), 1, told.append)
    assert told == list(range(1, executed + 1))


@every_model
def test_the_work_ends_at_the_step_at_which_nobody_waits_any_more(engine: "DiffusersEngine") -> None:
    told: list[int] = []

    def on_step(step: int) -> None:
        told.append(step)
        if step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        edit(engine, generation(steps=50, strength=1.0), 1, on_step)
    assert told == [1, 2]
    assert made(engine) == made(engine)


@pytest.mark.parametrize("model_id", [SD])
def test_what_a_pipeline_refuses_is_the_callers_mistake(engine: "DiffusersEngine") -> None:
    with pytest.raises(GenerationError, match="strength"):
        edit(engine, generation(strength=1.5), 1, nothing)


@every_model
def test_a_picture_is_the_same_in_company_as_alone(model_id: str, models: Engines) -> None:
    engine, loaded = models[model_id]
    assert loaded.batches
    assert_made_in_company_as_alone(engine, four(loaded, num_inference_steps=5))


# Too little memory --------------------------------------------------------------------------------------------------


def _too_much_for_the_machine(*_: Any) -> None:
    import torch

    torch.empty(1 << 56, dtype=torch.uint8)


def _too_much_for_a_gpu(*_: Any) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.03 GiB.")


def _too_much_for_python(*_: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize("model_id", [SD])
@pytest.mark.parametrize("hook", [_too_much_for_the_machine, _too_much_for_a_gpu, _too_much_for_python])
def test_too_little_memory_is_told_and_the_next_picture_starts_with_all_that_is_free(
    engine: "DiffusersEngine", hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    held: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(any(tensor() is not None for tensor in held)))
    unet = engine._pipeline.unet
    handles = [
        unet.register_forward_pre_hook(lambda _, arguments: held.append(weakref.ref(arguments[0]))),
        unet.register_forward_pre_hook(hook),
    ]
    try:
        with pytest.raises(OutOfMemory, match="too little memory for this request; send a smaller image"):
            made(engine)
    finally:
        for handle in handles:
            handle.remove()
    assert held
    assert not alive
    first, second = made(engine), made(engine)
    assert first == second
    assert alive == [False]


@pytest.mark.parametrize("model_id", [SD])
def test_another_error_of_torch_is_no_lack_of_memory(engine: "DiffusersEngine") -> None:
    def hook(*_: Any) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    handle = engine._pipeline.unet.register_forward_pre_hook(hook)
    try:
        with pytest.raises(RuntimeError, match="device-side assert"):
            made(engine)
    finally:
        handle.remove()


# Loading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "pipeline", "scheduler", "defaults", "ignores"),
    [
        pytest.param(
            SD,
            "StableDiffusionImg2ImgPipeline",
            "PNDMScheduler",
            Defaults(steps=50, guidance_scale=7.5, strength=0.8, partial=True),
            {"image_guidance_scale"},
            id=SD,
        ),
        pytest.param(
            SDXL,
            "StableDiffusionXLImg2ImgPipeline",
            "EulerDiscreteScheduler",
            Defaults(steps=50, guidance_scale=5.0, strength=0.3, partial=True),
            {"image_guidance_scale"},
            id=SDXL,
        ),
        pytest.param(
            DEMO,
            "StableDiffusionInstructPix2PixPipeline",
            "EulerAncestralDiscreteScheduler",
            Defaults(10, 1, 1.3, bounds=Bounds((1, 200), (0, 2), (1, 4))),
            {"strength"},
            id=DEMO,
        ),
    ],
)
def test_the_repository_decides_the_pipeline_and_its_family_the_rest(
    model_id: str, pipeline: str, scheduler: str, defaults: Defaults, ignores: set[str], models: Engines
) -> None:
    engine, loaded = models[model_id]
    assert type(engine._pipeline).__name__ == pipeline
    assert type(engine._pipeline.scheduler).__name__ == scheduler
    assert loaded.defaults == defaults
    assert loaded.ignores == ignores


def test_instruct_pix2pix_gets_its_scheduler_whatever_its_repository_says(cache: Path, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler

    from easel_runtime.pipelines import demo

    folder = hub.add_repository(tmp_path, "other/pix2pix", hub.copied(demo.FOLDER))
    DDIMScheduler(beta_start=0.003, timestep_spacing="trailing").save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "scheduler": ["diffusers", "DDIMScheduler"]}))
    engine = engine_of("other/pix2pix", tmp_path)
    engine.load()
    scheduler = engine._pipeline.scheduler
    assert type(scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    assert (scheduler.config.beta_start, scheduler.config.timestep_spacing) == (0.003, "trailing")


def test_a_safety_checker_that_comes_along_is_not_loaded(tmp_path: Path) -> None:
    """Its answer would be lost, and the picture black."""

    def write(folder: Path) -> None:
        hub.stable_diffusion(folder)
        index = folder / "model_index.json"
        checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
        index.write_text(json.dumps({**json.loads(index.read_text()), "safety_checker": checker}))

    hub.add_repository(tmp_path, "with/checker", write)
    engine = engine_of("with/checker", tmp_path)
    engine.load()
    assert engine._pipeline.safety_checker is None
    assert made(engine)


def test_a_revision_can_be_a_commit(cache: Path) -> None:
    assert engine_of(SD, cache, hub.COMMIT).load().device


def test_the_late_engine_is_the_same_engine(cache: Path, models: Engines) -> None:
    late = diffusers_engine(Settings(model_id=SD, model_dir=cache))
    with pytest.raises(RuntimeError, match="not loaded"):
        edit(late, generation(), 1, nothing)
    assert late.load() == models[SD][1]
    assert edit(late, generation(), 1, nothing).tobytes() == made(models[SD][0])


NO_INDEX = "is not a diffusers repository: it has no model_index.json that names a pipeline"


@pytest.mark.parametrize(
    ("model_id", "revision", "sentence"),
    [
        ("nobody/nothing", "main", "the Hub cannot be reached, and nobody/nothing is not in the cache (revision main)"),
        (SD, "v2", f"the Hub cannot be reached, and {SD} is not in the cache (revision v2)"),
        ("broken/no-class", "main", f"broken/no-class {NO_INDEX}"),
        ("broken/list", "main", f"broken/list {NO_INDEX}"),
        ("broken/no-json", "main", f"broken/no-json {NO_INDEX}"),
        ("broken/other-task", "main", "diffusers .*knows no image-to-image pipeline for TextToVideoSDPipeline"),
        ("broken/own-class", "main", "diffusers .*knows no image-to-image pipeline for MyOwnPipeline"),
        (
            "broken/other-pictures",
            "main",
            "StableDiffusionControlNetImg2ImgPipeline does not edit an image by a prompt",
        ),
        ("broken/pickled", "main", "unet has no weights as safetensors, and other formats are not loaded"),
        ("broken/damaged", "main", "broken/damaged cannot be loaded: .*"),
        ("broken/no-unet", "main", "broken/no-unet cannot be loaded: .*config.json"),
        ("broken/no-weights", "main", "broken/no-weights cannot be loaded: .*diffusion_pytorch_model.safetensors"),
        ("not a name", "main", "not a name cannot be loaded: Repo id must use alphanumeric chars"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(model_id: str, revision: str, sentence: str, cache: Path) -> None:
    with pytest.raises(LoadError) as caught:
        engine_of(model_id, cache, revision).load()
    head, _, tail = sentence.partition(".*")
    assert str(caught.value).startswith(head)
    assert tail in str(caught.value)


def test_a_folder_that_holds_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=NO_INDEX):
        engine_of(str(tmp_path), tmp_path).load()
