"""Models that no row names: the pipeline's own signature decides what it is given, and what is said to be ignored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageOps

from easel_runtime.engine import Bounds, Defaults, LoadError
from easel_runtime.pipelines.families import BY_CLASS, GENERIC
from support import hub, tiny_transformers
from support.pictures import picture
from support.tiny_engines import (
    NOISE_OF_LIBRARIES,
    Engines,
    alone,
    asked,
    assert_made_in_company_as_alone,
    edit,
    engine_of,
    four,
    nothing,
)

pytestmark = NOISE_OF_LIBRARIES

SD3, FLUX = "tiny/stable-diffusion-3", "tiny/flux"
every_model = pytest.mark.parametrize("model_id", [SD3, FLUX])


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Engines:
    cache = tmp_path_factory.mktemp("hub")
    hub.add_repository(cache, SD3, tiny_transformers.stable_diffusion_3)
    hub.add_repository(cache, FLUX, tiny_transformers.flux)
    return Engines(cache)


def family(name: str) -> Any:
    return BY_CLASS.get(name, GENERIC)


# End to end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "pipeline", "defaults", "ignores"),
    [
        (SD3, "StableDiffusion3Img2ImgPipeline", Defaults(50, 7.0, strength=0.6, partial=True), set()),
        (FLUX, "FluxImg2ImgPipeline", Defaults(28, 7.0, strength=0.6, partial=True), {"negative_prompt"}),
    ],
)
def test_a_model_gets_the_defaults_of_its_pipeline(
    model_id: str, pipeline: str, defaults: Defaults, ignores: set[str], models: Engines
) -> None:
    engine, loaded = models[model_id]
    assert type(engine._pipeline).__name__ == pipeline
    assert loaded.defaults == defaults
    assert loaded.ignores == {"image_guidance_scale"} | ignores


@every_model
@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
def test_the_result_has_the_inputs_size_and_shape(model_id: str, size: tuple[int, int], models: Engines) -> None:
    engine, loaded = models[model_id]
    image = picture(*size)
    results = [
        edit(engine, asked(loaded, each, num_inference_steps=4, strength=0.3), 1, nothing)
        for each in (image, ImageOps.invert(image), image)
    ]
    assert [result.size for result in results] == [size] * 3
    assert results[0].tobytes() == results[2].tobytes() != results[1].tobytes()


@every_model
@pytest.mark.parametrize(
    ("field", "value"), [("negative_prompt", "blurry"), ("guidance_scale", 3.0), ("image_guidance_scale", 3.0)]
)
def test_a_field_changes_the_result_unless_the_model_says_that_it_ignores_it(
    model_id: str, field: str, value: Any, models: Engines
) -> None:
    engine, loaded = models[model_id]
    with_it, without = (
        edit(engine, asked(loaded, num_inference_steps=4, **more), 1, nothing).tobytes()
        for more in ({field: value}, {})
    )
    assert (with_it == without) is (field in loaded.ignores)


@every_model
@pytest.mark.parametrize(("strength", "steps"), [(0, 1), (0.5, 2), (1, 4)])
def test_the_strength_decides_how_many_steps_are_run(
    model_id: str, strength: float, steps: int, models: Engines
) -> None:
    engine, loaded = models[model_id]
    told: list[int] = []
    edit(engine, asked(loaded, num_inference_steps=4, strength=strength), 1, told.append)
    assert told == list(range(1, steps + 1))


@every_model
def test_a_picture_is_the_same_in_company_as_alone(model_id: str, models: Engines) -> None:
    engine, loaded = models[model_id]
    assert loaded.batches
    assert_made_in_company_as_alone(engine, four(loaded, num_inference_steps=4))


# Every class that diffusers maps to image-to-image ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "pipeline", "takes"),
    [
        ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", {"strength", "negative_prompt"}),
        ("StableDiffusionImg2ImgPipeline", "StableDiffusionImg2ImgPipeline", {"strength", "negative_prompt"}),
        ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", {"strength", "negative_prompt"}),
        ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", {"strength", "width", "height"}),
        ("LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline", {"strength"}),
        ("FluxPipeline", "FluxImg2ImgPipeline", {"strength", "width", "height"}),
        ("FluxKontextPipeline", "FluxKontextPipeline", {"_auto_resize"}),
        ("Flux2Pipeline", "Flux2Pipeline", {"width", "height"}),
        ("QwenImagePipeline", "QwenImageImg2ImgPipeline", {"strength", "true_cfg_scale"}),
        ("QwenImageEditPipeline", "QwenImageEditPipeline", {"true_cfg_scale"}),
        ("ZImagePipeline", "ZImageImg2ImgPipeline", {"strength", "negative_prompt"}),
    ],
)
def test_a_class_is_known_by_what_it_takes(named: str, pipeline: str, takes: set[str]) -> None:
    from easel_runtime.pipelines.classes import keywords, pipeline_class

    chosen = pipeline_class(family(named), named)
    assert chosen.__name__ == pipeline
    assert takes <= keywords(chosen)
    assert "kwargs" not in keywords(chosen)


def test_every_class_of_diffusers_has_defaults_or_says_why_it_cannot_be_used() -> None:
    from diffusers.pipelines.auto_pipeline import AUTO_IMAGE2IMAGE_PIPELINES_MAPPING

    from easel_runtime.pipelines.classes import defaults, pipeline_class

    refused = {}
    for mapped in AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.values():
        try:
            chosen = pipeline_class(family(mapped.__name__), mapped.__name__)
        except LoadError as error:
            refused[mapped.__name__] = str(error)
            continue
        known = defaults(family(mapped.__name__), chosen)
        assert 1 <= known.steps <= 1000
        assert 0 <= known.guidance_scale <= 100
        assert 0 < known.strength <= 1
        assert known.bounds == Bounds()
    assert refused
    assert all("Control" in name for name in refused)
    assert {reason.partition(" ")[2] for reason in refused.values()} == {
        "does not edit an image by a prompt: it wants control_image"
    }


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("TextToVideoSDPipeline", "knows no image-to-image pipeline for TextToVideoSDPipeline"),
        ("StableDiffusionInpaintPipeline", "StableDiffusionInpaintPipeline .* wants mask_image"),
        ("MyOwnPipeline", "knows no image-to-image pipeline for MyOwnPipeline"),
    ],
)
def test_other_tasks_are_refused_before_anything_is_downloaded(named: str, sentence: str) -> None:
    from easel_runtime.pipelines.classes import pipeline_class

    with pytest.raises(LoadError, match=sentence):
        pipeline_class(family(named), named)


def test_a_model_of_another_task_costs_no_download(tmp_path: Path) -> None:
    write = hub.both(hub.of_class("TextToVideoSDPipeline"), hub.holding({"unet/model.safetensors": "huge"}))
    hub.add_repository(tmp_path, "some/video", write)
    with pytest.raises(LoadError, match="TextToVideoSDPipeline"):
        engine_of("some/video", tmp_path).load()
