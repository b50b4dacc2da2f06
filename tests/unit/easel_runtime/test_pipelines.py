"""`DiffusersEngine` on real diffusers pipelines of toy size: what comes out, what stops it, what cannot be loaded."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageOps

from easel_runtime.engine import Cancelled, Defaults, Generation, GenerationError, Loaded, LoadError
from easel_runtime.pipelines import diffusers_engine
from easel_runtime.settings import Settings
from support import hub
from support.pictures import picture

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

# What diffusers 0.42 and its neighbours say about each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument:UserWarning:huggingface_hub"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:diffusers"),
]

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
    hub.add_repository(cache, "broken/no-unet", hub.copied(whole, "unet"))
    hub.add_repository(cache, "broken/no-weights", hub.copied(whole, "diffusion_pytorch_model.safetensors"))
    return cache


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No Hub, and a home of the demo model that is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        # The variable HF_HUB_OFFLINE counts only before the first import, which may have been another test's.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("xdg")))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # this and the next as `_LateEngine` does it
        patch.setenv("TRANSFORMERS_VERBOSITY", "error")
        yield


def engine_of(model_id: str, cache: Path, revision: str = "main") -> "DiffusersEngine":
    from easel_runtime.pipelines.engine import DiffusersEngine

    return DiffusersEngine(Settings(model_id=model_id, model_dir=cache, revision=revision))


Ready = tuple["DiffusersEngine", Loaded]


@pytest.fixture(scope="module")
def models(cache: Path) -> dict[str, Ready]:
    """Each model, loaded once."""
    import torch

    torch.set_num_threads(1)  # more would only wait for each other with models of this size
    engines = {model_id: engine_of(model_id, cache) for model_id in MODELS}
    return {model_id: (engine, engine.load()) for model_id, engine in engines.items()}


@pytest.fixture
def engine(model_id: str, models: dict[str, Ready]) -> "DiffusersEngine":
    return models[model_id][0]


def generation(image: Image.Image | None = None, **values: Any) -> Generation:
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


def nothing(_: int) -> None:
    pass


def made(engine: "DiffusersEngine", seed: int = 1, **values: Any) -> bytes:
    """The pixels of one result."""
    return engine.generate(generation(**values), seed, nothing).tobytes()


# Results ------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("size", [(64, 48), (67, 45), (1, 1), (200, 8)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_result_has_the_inputs_size(engine: "DiffusersEngine", size: tuple[int, int]) -> None:
    result = engine.generate(generation(picture(*size)), 1, nothing)
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
    model_id: str, models: dict[str, Ready], parameter: str, value: float
) -> None:
    engine, loaded = models[model_id]
    changed: dict[str, Any] = {parameter: value}
    assert (made(engine, **changed) == made(engine)) is (parameter in loaded.ignores)


@every_model
@pytest.mark.parametrize("prompt", ["", "ein Kätzchen 🐈", "a cat " * 200], ids=["blank", "not ASCII", "long"])
def test_any_prompt_is_worked_with(engine: "DiffusersEngine", prompt: str) -> None:
    assert made(engine, prompt=prompt)


# Steps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "steps", "strength", "executed"),
    [
        pytest.param(SD, 10, 0.5, 6, id="PNDM takes one twice"),
        pytest.param(SDXL, 10, 0.5, 5, id="part of them"),
        pytest.param(SDXL, 4, 1.0, 4, id="all"),
        pytest.param(DEMO, 4, 0.5, 4, id="a model without strength"),
        pytest.param(SD, 3, 0.1, 2, id="less than one is one, which PNDM takes twice"),
        pytest.param(SDXL, 100, 0.0, 1, id="none is one"),
        pytest.param(SDXL, 1, 0.8, 1, id="one of one"),
        pytest.param(SDXL, 7, 1 / 7, 1, id="exactly one"),
    ],
)
def test_every_executed_step_is_told(engine: "DiffusersEngine", steps: int, strength: float, executed: int) -> None:
    told: list[int] = []
    engine.generate(generation(steps=steps, strength=strength), 1, told.append)
    assert told == list(range(1, executed + 1))


@every_model
def test_the_work_ends_at_the_step_at_which_nobody_waits_any_more(engine: "DiffusersEngine") -> None:
    told: list[int] = []

    def on_step(step: int) -> None:
        told.append(step)
        if step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.generate(generation(steps=50, strength=1.0), 1, on_step)
    assert told == [1, 2]
    assert made(engine) == made(engine)


@pytest.mark.parametrize("model_id", [SD])
def test_what_a_pipeline_refuses_is_the_callers_mistake(engine: "DiffusersEngine") -> None:
    with pytest.raises(GenerationError, match="strength"):
        engine.generate(generation(strength=1.5), 1, nothing)


# Loading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "pipeline", "scheduler", "ignores"),
    [
        (SD, "StableDiffusionImg2ImgPipeline", "PNDMScheduler", {"image_guidance_scale", "safety_check"}),
        (SDXL, "StableDiffusionXLImg2ImgPipeline", "EulerDiscreteScheduler", {"image_guidance_scale", "safety_check"}),
        (
            DEMO,
            "StableDiffusionInstructPix2PixPipeline",
            "EulerAncestralDiscreteScheduler",
            {"strength", "safety_check"},
        ),
    ],
    ids=MODELS,
)
def test_the_repository_decides_the_pipeline_and_its_family_the_rest(
    model_id: str, pipeline: str, scheduler: str, ignores: set[str], models: dict[str, Ready]
) -> None:
    engine, loaded = models[model_id]
    assert type(engine._pipeline).__name__ == pipeline
    assert type(engine._pipeline.scheduler).__name__ == scheduler
    assert loaded.defaults == Defaults()
    assert loaded.ignores == ignores


def test_instruct_pix2pix_gets_its_scheduler_whatever_its_repository_says(cache: Path, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler

    from easel_runtime.pipelines import demo

    folder = hub.add_repository(tmp_path, "other/pix2pix", hub.copied(demo.folder()))
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


def test_the_demo_model_is_made_once_and_is_the_same_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from easel_runtime.pipelines import demo

    def content(folder: Path) -> dict[str, bytes]:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    first = demo.folder()
    made_at = first.stat().st_mtime_ns
    assert (demo.folder(), first.stat().st_mtime_ns) == (first, made_at)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = demo.folder()
    assert second.is_relative_to(tmp_path)
    assert [entry.name for entry in second.parent.iterdir()] == [second.name]
    assert content(second) == content(first)


def test_the_late_engine_is_the_same_engine(cache: Path, models: dict[str, Ready]) -> None:
    late = diffusers_engine(Settings(model_id=SD, model_dir=cache))
    with pytest.raises(RuntimeError, match="before load"):
        late.generate(generation(), 1, nothing)
    assert late.load() == models[SD][1]
    assert late.generate(generation(), 1, nothing).tobytes() == made(models[SD][0])


NO_INDEX = "is not a diffusers repository: it has no model_index.json that names a pipeline"


@pytest.mark.parametrize(
    ("model_id", "revision", "sentence"),
    [
        ("nobody/nothing", "main", "the Hub cannot be reached, and nobody/nothing is not in the cache (revision main)"),
        (SD, "v2", f"the Hub cannot be reached, and {SD} is not in the cache (revision v2)"),
        ("broken/no-class", "main", f"broken/no-class {NO_INDEX}"),
        ("broken/list", "main", f"broken/list {NO_INDEX}"),
        ("broken/no-json", "main", f"broken/no-json {NO_INDEX}"),
        ("broken/other-task", "main", "broken/other-task cannot be loaded: .*TextToVideoSDPipeline"),
        ("broken/own-class", "main", "broken/own-class cannot be loaded: .*MyOwnPipeline"),
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


@pytest.fixture
def hub_says(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], None]]:
    """A Hub on the loopback interface that refuses everything with the status and error code it is told."""
    said: list[tuple[int, str]] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, code = said[0]
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield lambda status, code: said.append((status, code))
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (404, "RevisionNotFound", "some/model has no revision v2"),
        (401, "RepoNotFound", "there is no repository some/model on the Hub, or it needs HF_TOKEN"),
        (404, "RepoNotFound", "there is no repository some/model on the Hub, or it needs HF_TOKEN"),
        (403, "GatedRepo", "some/model is gated: accept its terms on the Hub and set HF_TOKEN"),
        (404, "EntryNotFound", "some/model is not a diffusers repository: "),
    ],
    ids=["no such revision", "unknown or private", "unknown", "gated", "no model_index.json"],
)
def test_what_the_hub_refuses_is_said_in_one_sentence(
    status: int, code: str, sentence: str, hub_says: Callable[[int, str], None], tmp_path: Path
) -> None:
    hub_says(status, code)
    with pytest.raises(LoadError) as caught:
        engine_of("some/model", tmp_path, "v2").load()
    assert str(caught.value).startswith(sentence)
