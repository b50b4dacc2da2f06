"""Safety checkers: real ones of tiny size, from a Hub on the loopback interface, with the real client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easel_crds.safety import Safety
from easel_runtime.engine import Checker, Generation, LoadError, OnStep, OutOfMemory
from easel_runtime.pipelines import diffusers_engine
from easel_runtime.settings import Settings
from support import hub, tiny_checkers
from support.engines import ToyEngine
from support.hub_endpoint import HubEndpoint, make_the_hub, serving
from support.in_process import running
from support.pictures import encoded
from support.tiny_checkers import CONCEPTS, LABELS, blue, red
from support.tiny_engines import NOISE_OF_LIBRARIES, alone

pytestmark = NOISE_OF_LIBRARIES


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upstream")
    hub.add_repository(folder, CONCEPTS, tiny_checkers.concepts)
    hub.add_repository(folder, LABELS, tiny_checkers.labels)
    return folder


@pytest.fixture
def upstream(repositories: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubEndpoint]:
    with serving(repositories) as endpoint:
        make_the_hub(endpoint, monkeypatch)
        yield endpoint


def checker_of(cache: Path, repo_id: str = CONCEPTS, revision: str = "main") -> Checker:
    import torch

    from easel_runtime.pipelines.safety import load_checker

    return load_checker(Safety(checker=repo_id, revision=revision), cache, torch.device("cpu"))


def folder_of(repositories: Path, repo_id: str) -> Path:
    return repositories / f"models--{repo_id.replace('/', '--')}" / "snapshots" / hub.COMMIT


def changed(source: Path, **values: object) -> hub.Write:
    """Writes the repository in `source` with these values in its config.json."""

    def write(folder: Path) -> None:
        hub.copied(source)(folder)
        config = folder / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **values}))

    return write


# Where they come from -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repo_id", [CONCEPTS, LABELS])
def test_a_checker_is_downloaded_once_and_as_safetensors_alone(
    repo_id: str, upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checker_of(tmp_path, repo_id).is_unsafe(red())
    assert sorted(upstream.files) == [
        f"{repo_id}/{name}" for name in ("config.json", "model.safetensors", "preprocessor_config.json")
    ]
    upstream.files.clear()
    assert checker_of(tmp_path, repo_id).is_unsafe(red())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert checker_of(tmp_path, repo_id).is_unsafe(red())
    assert checker_of(tmp_path, repo_id, hub.COMMIT).is_unsafe(red())
    assert upstream.files == []


@pytest.mark.parametrize(
    ("repo_id", "revision", "sentence"),
    [
        ("nobody/nothing", "main", "there is no repository nobody/nothing on the Hub, or it needs HF_TOKEN"),
        (CONCEPTS, "v2", f"{CONCEPTS} has no revision v2"),
    ],
)
def test_what_is_not_there_is_said(
    repo_id: str, revision: str, sentence: str, upstream: HubEndpoint, tmp_path: Path
) -> None:
    with pytest.raises(LoadError) as caught:
        checker_of(tmp_path, repo_id, revision)
    assert str(caught.value) == sentence
    upstream.gated.add(CONCEPTS)
    with pytest.raises(LoadError, match=f"{CONCEPTS} is gated"):
        checker_of(tmp_path)


def test_without_hub_and_cache_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=f"the Hub cannot be reached, and {CONCEPTS} is not in the cache"):
        checker_of(tmp_path)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (hub.holding({"README.md": "x"}), r"a/b is no safety checker: it has no config\.json that names its arch"),
        (hub.holding({"config.json": "{}"}), r"a/b is no safety checker: it has no config\.json that names its arch"),
        (hub.holding({"config.json": "[]"}), r"a/b is no safety checker: it has no config\.json that names its arch"),
        (
            hub.holding({"config.json": '{"architectures": ["BertModel"]}', "model.safetensors": "x"}),
            "a/b cannot be loaded: it is a BertModel; a safety checker is a StableDiffusionSafetyChecker or an image",
        ),
        (
            hub.holding({"config.json": '{"architectures": ["ViTForImageClassification"]}', "pytorch_model.bin": "x"}),
            "a/b has no weights as safetensors, and other formats are not loaded",
        ),
        (
            hub.holding({"config.json": '{"architectures": ["OddForImageClassification"]}', "model.safetensors": "x"}),
            "a/b cannot be loaded: ",
        ),
    ],
    ids=["nothing", "an empty config", "a list", "another model", "pickles", "a class that does not exist"],
)
def test_what_is_no_checker_is_refused(write: hub.Write, sentence: str, tmp_path: Path) -> None:
    hub.add_repository(tmp_path, "a/b", write)
    with pytest.raises(LoadError, match=sentence):
        checker_of(tmp_path, "a/b")


@pytest.mark.parametrize("repo_id", [CONCEPTS, LABELS])
def test_weights_that_are_missing_are_not_made_up(repo_id: str, repositories: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    def write(folder: Path) -> None:
        hub.copied(folder_of(repositories, repo_id))(folder)
        weights = load_file(folder / "model.safetensors")
        del weights["special_care_embeds" if repo_id == CONCEPTS else "classifier.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    hub.add_repository(tmp_path, "a/b", write)
    with pytest.raises(LoadError, match=r"a/b cannot be loaded: weights are missing: (special_care|classifier)"):
        checker_of(tmp_path, "a/b")


def test_weights_that_are_damaged_are_not_loaded(repositories: Path, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        hub.copied(folder_of(repositories, LABELS))(folder)
        (folder / "model.safetensors").write_bytes(b"x")

    hub.add_repository(tmp_path, "a/b", write)
    with pytest.raises(LoadError, match="a/b cannot be loaded: "):
        checker_of(tmp_path, "a/b")


def test_a_checker_is_on_the_models_device_unless_the_settings_name_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from easel_runtime.pipelines import engine

    seen = []
    monkeypatch.setattr(engine, "load_checker", lambda *arguments: seen.append(arguments))
    monkeypatch.setattr(engine, "_best_device", lambda: "cuda:1")
    policy, cache = Safety(checker="a/b"), Path("cache")
    for device in (None, "cpu"):
        settings = Settings(model_id="a/c", model_dir=cache, safety=policy, safety_device=device)
        engine.DiffusersEngine(settings).load_checker()
    assert [(*rest, str(device)) for *rest, device in seen] == [(policy, cache, "cuda:1"), (policy, cache, "cpu")]


# What they find -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repo_id", [CONCEPTS, LABELS])
def test_one_picture_is_unsafe_and_another_is_not(repo_id: str, repositories: Path) -> None:
    checker = checker_of(repositories, repo_id)
    assert [checker.is_unsafe(picture) for picture in (red(), blue(), red())] == [True, False, True]


def test_concepts_are_found_exactly_where_diffusers_finds_them(repositories: Path) -> None:
    """At thresholds close to what random pictures come to, so that rounding and special care decide."""
    import numpy as np
    import torch

    checker: Any = checker_of(repositories)
    model = checker._model
    noise = np.random.default_rng(3)
    pictures = [Image.fromarray(noise.integers(0, 256, (48, 64, 3), np.uint8), "RGB") for _ in range(4)]
    found = set()
    for seed in range(60):
        torch.manual_seed(seed)
        picture = pictures[seed % len(pictures)]
        pixels = checker._processor(picture, return_tensors="pt").pixel_values
        with torch.no_grad():
            model.concept_embeds.normal_()
            model.special_care_embeds.normal_()
            near = torch.from_numpy(checker._run.ask(checker._nearness, pixels)[0])
            model.special_care_embeds_weights.copy_(near[:3] + 0.001 * torch.randn(3))
            model.concept_embeds_weights.copy_(near[3:] + 0.009 + 0.01 * torch.rand(17))
        again = type(checker)(model, folder_of(repositories, CONCEPTS), checker._run)
        _, (expected,) = model(clip_input=pixels, images=[np.zeros((1, 1, 3))])
        assert again.is_unsafe(picture) == expected, seed
        found.add(expected)
    assert found == {True, False}


def test_labels_count_together(tmp_path: Path, repositories: Path) -> None:
    """As of a classifier of five: none of the unsafe ones is more probable than the safe one, and yet they are."""
    import torch

    names = {0: "drawings", 1: "Porn", 2: "hentai", 3: "neutral", 4: "sexy"}
    hub.add_repository(tmp_path, "a/five", lambda folder: tiny_checkers.labels(folder, names))
    checker: Any = checker_of(tmp_path, "a/five")
    with torch.no_grad():
        checker._model.classifier.weight.zero_()
        for probabilities, unsafe in (([0.1, 0.2, 0.2, 0.35, 0.15], True), ([0.2, 0.2, 0.2, 0.35, 0.05], False)):
            checker._model.classifier.bias.copy_(torch.tensor(probabilities).log())
            assert checker.is_unsafe(red()) is unsafe
    for more in ({"id2label": {"0": "cat", "1": "dog"}}, {"problem_type": "multi_label_classification"}):
        name = f"a/{next(iter(more))}"
        hub.add_repository(tmp_path, name, changed(folder_of(repositories, LABELS), **more))
        with pytest.raises(LoadError, match=r"apart, and one of several labels must be one that counts .*: explicit, "):
            checker_of(tmp_path, name)


def test_too_little_memory_is_told_apart(repositories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    checker: Any = checker_of(repositories)

    def full(_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(checker, "_nearness", full)
    with pytest.raises(OutOfMemory, match="the GPU has too little memory for it"):
        checker.is_unsafe(red())
    monkeypatch.setattr("transformers.PreTrainedModel.to", lambda *_: full(_))
    with pytest.raises(LoadError, match=f"the GPU has too little memory left for {CONCEPTS}"):
        checker_of(repositories)


# Through the whole runtime ------------------------------------------------------------------------------------------


class Echo(ToyEngine):
    """Gives back the picture it was given, and has the real checkers."""

    def __init__(self, cache: Path, policy: Safety) -> None:
        super().__init__()
        self._real = diffusers_engine(Settings(model_id="easel/demo", model_dir=cache, safety=policy))

    def load_checker(self) -> Checker:
        return self._real.load_checker()

    def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
        super().edit(generation, seed, on_step)
        return generation.image


@pytest.mark.parametrize("repo_id", [CONCEPTS, LABELS])
async def test_a_real_checker_looks_at_what_a_runtime_makes(
    repo_id: str, upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Safety(checker=repo_id)
    engine = Echo(tmp_path, policy)
    engine._real.load()  # the demo model
    upstream.hidden[repo_id] = "hf_secret"
    async with running(engine, safety=policy) as runtime:
        assert upstream.files == [], "nobody asked for it yet"
        refused = await runtime.post(encoded(red()))
        assert (refused.status_code, refused.json()["detail"]["field"]) == (503, "safety_check")
        assert f"there is no repository {repo_id} on the Hub, or it needs HF_TOKEN" in refused.text
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        runtime.app.state.worker.safety._clock = lambda: float("inf")
        answers = [await runtime.post(encoded(picture)) for picture in (red(), blue())]
    assert [[image["nsfw"] for image in answer.json()["images"]] for answer in answers] == [[True], [False]]
