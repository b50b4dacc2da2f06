"""The cache of encoded prompts: the same pictures to the bit, with less work."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from easel_runtime.engine import Work
from support import hub, tiny_transformers
from support.tiny_engines import NOISE_OF_LIBRARIES, Engines, alone, asked, edit, generation, made, nothing

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine
    from easel_runtime.pipelines.prompts import PromptCache

pytestmark = NOISE_OF_LIBRARIES

SD, SDXL, SD3, FLUX, DEMO = "tiny/sd", "tiny/sdxl", "tiny/sd3", "tiny/flux", "easel/demo"
MODELS = [SD, SDXL, SD3, FLUX, DEMO]
every_model = pytest.mark.parametrize("model_id", MODELS)


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Engines:
    cache = tmp_path_factory.mktemp("hub")
    hub.add_repository(cache, SD, hub.stable_diffusion)
    hub.add_repository(cache, SDXL, hub.stable_diffusion_xl)
    hub.add_repository(cache, SD3, tiny_transformers.stable_diffusion_3)
    hub.add_repository(cache, FLUX, tiny_transformers.flux)
    return Engines(cache)


def cache_of(engine: "DiffusersEngine") -> "PromptCache":
    cache: PromptCache = getattr(engine._pipeline, "encode_prompt", None) or engine._pipeline._encode_prompt
    return cache


def encodings(engine: "DiffusersEngine", make: Any) -> int:
    """How often `make` runs the model's first text encoder."""
    count = [0]

    def note(*_: Any) -> None:
        count[0] += 1

    handle = engine._pipeline.text_encoder.register_forward_pre_hook(note)
    try:
        make()
    finally:
        handle.remove()
    return count[0]


# In a pipeline ------------------------------------------------------------------------------------------------------


@every_model
def test_a_prompt_is_encoded_once_and_gives_the_same_picture(
    model_id: str, models: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, loaded = models[model_id]
    pictures: list[bytes] = []
    request = replace(asked(loaded, num_inference_steps=4), prompt="a prompt of its own", negative_prompt="ugly")

    def make() -> None:
        pictures.append(edit(engine, request, 1, nothing).tobytes())

    assert encodings(engine, make) > 0
    assert encodings(engine, make) == 0
    name = "encode_prompt" if model_id != DEMO else "_encode_prompt"
    monkeypatch.setattr(engine._pipeline, name, cache_of(engine)._encode)
    assert encodings(engine, make) > 0
    assert pictures[0] == pictures[1] == pictures[2]


@every_model
def test_no_pipeline_changes_what_is_remembered(model_id: str, models: Engines) -> None:
    from easel_runtime.pipelines.prompts import _versions

    engine, loaded = models[model_id]
    edit(engine, asked(loaded, num_inference_steps=4), 1, nothing)
    entries = cache_of(engine)._entries.values()
    assert entries
    assert all(_versions(encoded) == versions for encoded, versions in entries)


@pytest.mark.parametrize("model_id", [SD, SDXL, DEMO])
@pytest.mark.parametrize(
    "change",
    [{"negative_prompt": "blurry"}, {"guidance_scale": 1.0}, {"prompt": "a dog"}],
    ids=["negative prompt", "guidance off", "prompt"],
)
def test_what_differs_is_encoded_apart(model_id: str, change: dict[str, Any], models: Engines) -> None:
    engine, _ = models[model_id]
    before = made(engine)
    cache_of(engine)._entries.clear()
    assert encodings(engine, lambda: made(engine, **change)) > 0
    assert made(engine) == before


def test_prompts_side_by_side_are_remembered_together(models: Engines) -> None:
    engine, _ = models[SDXL]
    one, other = generation(prompt="one"), generation(prompt="other")

    def make(*prompts: Any) -> int:
        return encodings(engine, lambda: engine.generate([Work(each, 1) for each in prompts], nothing))

    assert make(one, other) > 0
    assert make(one, other) == 0
    assert make(other, one) > 0
    assert make(one) > 0


# The cache itself ---------------------------------------------------------------------------------------------------


class Encoder:
    """Encodes a text as 250 floats, which are 1000 bytes, and counts how often."""

    def __init__(self) -> None:
        self.texts: list[Any] = []

    def __call__(self, text: Any, _: Any = None) -> Any:
        import torch

        self.texts.append(text)
        return torch.full((250,), float(len(self.texts))), [None, torch.zeros(0)]


def test_the_least_recently_used_goes_first_and_the_bytes_are_bounded() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    encoder = Encoder()
    cache = PromptCache(encoder, capacity=2999)
    for text in ("one", "two", "one", "three", "one", "two"):
        cache(text)
    assert encoder.texts == ["one", "two", "three", "two"]
    assert cache._bytes == 2000 == 1000 * len(cache._entries)


def test_what_is_larger_than_the_whole_cache_is_not_kept() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    encoder = Encoder()
    cache = PromptCache(encoder, capacity=999)
    cache("one")
    cache("one")
    assert encoder.texts == ["one", "one"]
    assert (cache._bytes, len(cache._entries)) == (0, 0)


def test_other_weights_mean_other_tensors() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    encoder, loras = Encoder(), ["none"]
    cache = PromptCache(encoder, lambda: tuple(loras))
    plain, _ = cache("one")
    loras[:] = ["style"]
    styled, _ = cache("one")
    loras[:] = ["none"]
    assert cache("one")[0] is plain
    assert styled is not plain


def test_a_tensor_that_a_pipeline_changed_is_made_anew() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    cache = PromptCache(Encoder())
    first, _ = cache("one")
    first += 10
    again, _ = cache("one")
    assert (first[0], again[0]) == (11, 2)
    assert cache("one")[0] is again
    assert cache._bytes == 1000


def test_a_list_that_a_pipeline_changes_is_its_own() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    encoder = Encoder()
    cache = PromptCache(encoder)
    for _ in range(3):
        _, more = cache("one")
        assert len(more) == 2
        more.clear()
    assert encoder.texts == ["one"]


def test_a_tensor_among_the_arguments_is_encoded_each_time() -> None:
    import torch

    from easel_runtime.pipelines.prompts import PromptCache

    encoder = Encoder()
    cache = PromptCache(encoder)
    cache("one", torch.zeros(1))
    cache("one", _=[torch.zeros(1)])
    assert encoder.texts == ["one", "one"]
    assert not cache._entries


def test_an_answer_that_may_change_unseen_is_not_kept() -> None:
    from easel_runtime.pipelines.prompts import PromptCache

    cache = PromptCache(lambda text: {"text": text})
    assert cache("one") is not cache("one")
