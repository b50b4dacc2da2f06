"""Every row of the table of families, on tiny repositories with the ids, files and classes of upstream.

Nothing of diffusers is replaced: a hook beside the UNet counts what the pipelines really do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from easel_runtime.engine import Bounds, Cancelled, Defaults
from easel_runtime.pipelines import families
from support import hub
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

if TYPE_CHECKING:
    from easel_runtime.pipelines.engine import DiffusersEngine

pytestmark = NOISE_OF_LIBRARIES

PIX2PIX, SD_TURBO, SDXL_TURBO = "timbrooks/instruct-pix2pix", "stabilityai/sd-turbo", "stabilityai/sdxl-turbo"
LIGHTNING, REALVIS = "ByteDance/SDXL-Lightning", "SG161222/RealVisXL_V4.0"
TWO, FOUR, EIGHT = (f"{LIGHTNING}-{steps}step" for steps in (2, 4, 8))
REALVIS_LIGHTNING = f"{REALVIS}_Lightning"
MODELS = [PIX2PIX, SD_TURBO, SDXL_TURBO, LIGHTNING, TWO, FOUR, EIGHT, REALVIS, REALVIS_LIGHTNING]
WITH_STRENGTH = [model_id for model_id in MODELS if model_id != PIX2PIX]
every_model = pytest.mark.parametrize("model_id", MODELS)

SDK: dict[str, Any] = {
    "num_inference_steps": 100,
    "guidance_scale": 7.5,
    "image_guidance_scale": 1.5,
    "strength": 0.8,
    "negative_prompt": "",
}
"""What Livepeer's Python SDK sends with every request."""


@pytest.fixture(scope="module", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("hub")
    hub.add_upstream(cache)
    return cache


@pytest.fixture(scope="module")
def models(cache: Path) -> Engines:
    return Engines(cache)


@dataclass
class Evaluations:
    """What a UNet was asked while one picture was made."""

    batches: list[int] = field(default_factory=list)
    """Pictures side by side: 1 without guidance, 2 with, 3 with both guidances of InstructPix2Pix."""
    timesteps: list[int] = field(default_factory=list)


def watched(engine: "DiffusersEngine", make: Any) -> Evaluations:
    """What `make` asks of the engine's UNet."""
    seen = Evaluations()

    def note(_: Any, arguments: tuple[Any, ...]) -> None:
        seen.batches.append(arguments[0].shape[0])
        seen.timesteps.append(int(arguments[1]))

    handle = engine._pipeline.unet.register_forward_pre_hook(note)
    try:
        make()
    finally:
        handle.remove()
    return seen


# The table ----------------------------------------------------------------------------------------------------------

XL, EULER, ANCESTRAL = "StableDiffusionXLImg2ImgPipeline", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"
TRAILING = {"timestep_spacing": "trailing"}
KARRAS = {"use_karras_sigmas": True, "algorithm_type": "dpmsolver++"}
PARTIAL: dict[str, Any] = {"strength": 0.5, "partial": True}
FREE = {"image_guidance_scale"}
DISTILLED = FREE | {"negative_prompt"}


def no_guidance(steps: int, least: int, most: int) -> Defaults:
    return Defaults(steps, 0, bounds=Bounds((least, most), (0, 0)), **PARTIAL)


@dataclass(frozen=True)
class Row:
    """What one model ought to be."""

    model_id: str
    pipeline: str
    scheduler: str
    settings: dict[str, Any]
    """Of the scheduler."""
    defaults: Defaults
    ignores: set[str]


ROWS = [
    Row(
        PIX2PIX,
        "StableDiffusionInstructPix2PixPipeline",
        ANCESTRAL,
        {},
        Defaults(100, 7.5, 1.5, bounds=Bounds(image_guidance_scale=(1, 100))),
        {"strength"},
    ),
    Row(SD_TURBO, "StableDiffusionImg2ImgPipeline", EULER, TRAILING, no_guidance(2, 1, 4), DISTILLED),
    Row(SDXL_TURBO, XL, ANCESTRAL, TRAILING, no_guidance(2, 1, 4), DISTILLED),
    Row(LIGHTNING, XL, EULER, TRAILING, no_guidance(8, 8, 8), DISTILLED),
    Row(TWO, XL, EULER, TRAILING, no_guidance(2, 2, 2), DISTILLED),
    Row(FOUR, XL, EULER, TRAILING, no_guidance(4, 4, 4), DISTILLED),
    Row(EIGHT, XL, EULER, TRAILING, no_guidance(8, 8, 8), DISTILLED),
    Row(REALVIS, XL, "DPMSolverMultistepScheduler", KARRAS, Defaults(30, 5, **PARTIAL), FREE),
    Row(
        REALVIS_LIGHTNING,
        XL,
        "DPMSolverSinglestepScheduler",
        KARRAS,
        Defaults(6, 1.5, bounds=Bounds((4, 12), (0, 2)), **PARTIAL),
        FREE,
    ),
]
DEMO = Row(
    "easel/demo",
    "StableDiffusionInstructPix2PixPipeline",
    ANCESTRAL,
    {"prediction_type": "v_prediction"},
    Defaults(10, 1, 1.3, bounds=Bounds((1, 200), (0, 2), (1, 4))),
    {"strength"},
)
"""The one that is in no repository."""


def test_every_model_of_the_table_is_here() -> None:
    assert [row.model_id for row in ROWS] == MODELS
    assert {*MODELS, DEMO.model_id} == set(families.BY_MODEL)


def test_every_model_is_documented_with_its_numbers() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    for row in [*ROWS, DEMO]:
        line = next(line for line in page.splitlines() if line.startswith(f"| `{row.model_id}` |"))
        steps, guidance, strength = (cell.split()[0] for cell in line.split("|")[2:5])
        numbers = [f"{row.defaults.steps}", f"{row.defaults.guidance_scale:g}"]
        assert [steps, guidance, strength] == [
            *numbers,
            f"{row.defaults.strength:g}" if row.defaults.partial else "none",
        ]


@pytest.mark.parametrize("row", [*ROWS, DEMO], ids=lambda row: row.model_id)
def test_a_model_is_loaded_as_its_authors_mean_it(row: Row, models: Engines) -> None:
    engine, loaded = models[row.model_id]
    assert type(engine._pipeline).__name__ == row.pipeline
    assert type(engine._pipeline.scheduler).__name__ == row.scheduler
    config = engine._pipeline.scheduler.config
    assert {name: config[name] for name in row.settings} == row.settings
    assert (config["beta_start"], config["beta_schedule"]) == (0.00085, "scaled_linear")  # the repository's
    assert loaded.defaults == row.defaults
    assert loaded.ignores == row.ignores
    assert loaded.commit == ("" if row is DEMO else hub.COMMIT)


@every_model
def test_all_is_loaded_as_float32_on_a_cpu_without_drawing_a_random_number(model_id: str, cache: Path) -> None:
    import torch

    before = torch.get_rng_state()
    engine = engine_of(model_id, cache)
    engine.load()
    assert torch.equal(torch.get_rng_state(), before)
    modules = [part for part in engine._pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert {value.dtype for module in modules for value in module.parameters()} == {torch.float32}
    assert not any(module.training for module in modules)


@pytest.mark.parametrize("model_id", [SD_TURBO, SDXL_TURBO])
def test_weights_are_mapped_from_their_files_and_not_read(model_id: str, models: Engines) -> None:
    engine, _ = models[model_id]
    files = {str(engine._pipeline.config._name_or_path / part) for part in ("unet", "vae")}
    mapped = Path("/proc/self/maps").read_text()
    assert all(f"{file}/diffusion_pytorch_model.safetensors" in mapped for file in files)


# What they do with a request ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "batch", "steps"),
    [
        (PIX2PIX, 3, 100),
        (SD_TURBO, 1, 1),
        (SDXL_TURBO, 1, 1),
        (LIGHTNING, 1, 4),
        (TWO, 1, 1),
        (FOUR, 1, 2),
        (EIGHT, 1, 4),
        (REALVIS, 2, 15),
        (REALVIS_LIGHTNING, 2, 3),
    ],
)
def test_a_silent_caller_gets_the_models_steps_and_guidance(
    model_id: str, batch: int, steps: int, models: Engines
) -> None:
    engine, loaded = models[model_id]
    told: list[int] = []
    seen = watched(engine, lambda: edit(engine, asked(loaded), 1, told.append))
    assert seen.batches == [batch] * steps
    assert told == list(range(1, steps + 1))
    assert engine._pipeline.guidance_scale == loaded.defaults.guidance_scale


@pytest.mark.parametrize(
    ("model_id", "batch", "steps", "adjusted"),
    [
        (SD_TURBO, 1, 3, ("num_inference_steps=4", "guidance_scale=0")),
        (SDXL_TURBO, 1, 3, ("num_inference_steps=4", "guidance_scale=0")),
        (LIGHTNING, 1, 6, ("num_inference_steps=8", "guidance_scale=0")),
        (TWO, 1, 1, ("num_inference_steps=2", "guidance_scale=0")),
        (FOUR, 1, 3, ("num_inference_steps=4", "guidance_scale=0")),
        (REALVIS_LIGHTNING, 2, 9, ("num_inference_steps=12", "guidance_scale=2")),
    ],
)
def test_an_sdk_that_sends_its_own_defaults_gets_what_the_model_can_do_and_is_told(
    model_id: str, batch: int, steps: int, adjusted: tuple[str, ...], models: Engines
) -> None:
    engine, loaded = models[model_id]
    request = asked(loaded, **SDK)
    assert request.adjusted == adjusted
    assert watched(engine, lambda: edit(engine, request, 1, nothing)).batches == [batch] * steps


@pytest.mark.parametrize("model_id", [PIX2PIX, REALVIS])
def test_where_the_model_can_do_it_the_sdk_gets_what_it_sends(model_id: str, models: Engines) -> None:
    request = asked(models[model_id][1], **SDK)
    assert (request.steps, request.guidance_scale, request.strength, request.adjusted) == (100, 7.5, 0.8, ())


@every_model
def test_the_picture_shapes_the_result(model_id: str, models: Engines) -> None:
    engine, loaded = models[model_id]
    request: dict[str, Any] = {"num_inference_steps": 10} if model_id in (PIX2PIX, REALVIS) else {}
    one = edit(engine, asked(loaded, **request), 1, nothing)
    other = edit(engine, asked(loaded, ImageOps.invert(picture()), **request), 1, nothing)
    assert one.size == other.size == picture().size
    assert distance(one, other) > 0.2


@pytest.mark.parametrize("model_id", WITH_STRENGTH)
def test_little_strength_changes_little(model_id: str, models: Engines) -> None:
    """Against what the VAE makes of the picture, which with random weights is not much like it.

    The fewer steps a model has, the more noise its last one begins with, which a UNet of random weights leaves there.
    """
    engine, loaded = models[model_id]
    ones, others = picture(), ImageOps.invert(picture())
    steps = max(loaded.defaults.steps, 4)
    least, most = (
        edit(engine, asked(loaded, ones, num_inference_steps=steps, strength=strength), 1, nothing)
        for strength in (0, 1)
    )
    change = distance(least, through_vae(engine, ones))
    assert change < distance(most, through_vae(engine, ones))
    assert change < distance(least, through_vae(engine, others))
    if model_id in (REALVIS, REALVIS_LIGHTNING):
        assert change < 5


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean difference, in levels of 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def through_vae(engine: "DiffusersEngine", image: Image.Image) -> Image.Image:
    import torch

    pipeline = engine._pipeline
    with torch.no_grad():
        latents = pipeline.vae.encode(pipeline.image_processor.preprocess(image)).latent_dist.mode()
        decoded = pipeline.vae.decode(latents).sample
    made: Image.Image = pipeline.image_processor.postprocess(decoded)[0]
    return made


@pytest.mark.parametrize(
    ("model_id", "sent", "steps", "adjusted"),
    [
        pytest.param(SD_TURBO, {"num_inference_steps": 1}, 1, (), id="a default of half a step is one"),
        pytest.param(SD_TURBO, {"num_inference_steps": 1, "strength": 0.5}, 1, ("strength=1",), id="half a step"),
        pytest.param(SDXL_TURBO, {"num_inference_steps": 4, "strength": 0}, 1, ("strength=0.25",), id="none"),
        pytest.param(TWO, {"strength": 0.1}, 1, ("strength=0.5",), id="a fifth of a step"),
        pytest.param(FOUR, {"strength": 1}, 4, (), id="all of them"),
        pytest.param(REALVIS, {"num_inference_steps": 49, "strength": 0.01}, 1, ("strength=0.0204082",), id="49"),
    ],
)
def test_at_least_one_step_is_run(
    model_id: str, sent: dict[str, Any], steps: int, adjusted: tuple[str, ...], models: Engines
) -> None:
    engine, loaded = models[model_id]
    request = asked(loaded, **sent)
    assert request.adjusted == adjusted
    assert len(watched(engine, lambda: edit(engine, request, 1, nothing)).batches) == steps


@pytest.mark.parametrize(
    ("sent", "batch", "ignored"),
    [
        pytest.param({"guidance_scale": 1.1}, 3, set(), id="both guidances"),
        pytest.param({"guidance_scale": 1}, 1, set(), id="none"),
        pytest.param(
            {"guidance_scale": 1, "image_guidance_scale": 3, "negative_prompt": "blurry"},
            1,
            {"image_guidance_scale", "negative_prompt"},
            id="none, and so nothing for these to work by",
        ),
        pytest.param({"image_guidance_scale": 0.5}, 3, set(), id="too little for the pipeline is raised"),
    ],
)
def test_instruct_pix2pix_has_both_guidances_or_none(
    sent: dict[str, Any], batch: int, ignored: set[str], models: Engines
) -> None:
    engine, loaded = models[PIX2PIX]
    request = asked(loaded, num_inference_steps=2, **sent)
    assert request.ignored == ignored
    assert watched(engine, lambda: edit(engine, request, 1, nothing)).batches == [batch] * 2


# SDXL-Lightning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model_id", "steps"), [(LIGHTNING, 8), (TWO, 2), (FOUR, 4), (EIGHT, 8)])
def test_lightning_is_sdxl_base_with_the_unet_of_its_steps(
    model_id: str, steps: int, cache: Path, models: Engines
) -> None:
    import torch
    from safetensors.torch import load_file

    engine, _ = models[model_id]
    repositories = [cache / f"models--{name.replace('/', '--')}" for name in (LIGHTNING, families.SDXL_BASE.repo_id)]
    own, base = (folder / "snapshots" for folder in repositories)
    unet = load_file(own / hub.COMMIT / f"sdxl_lightning_{steps}step_unet.safetensors")
    text = load_file(base / families.SDXL_BASE.revision / "text_encoder_2" / "model.safetensors")
    in_memory = engine._pipeline.unet.state_dict()
    assert in_memory.keys() == unet.keys()
    assert all(torch.equal(in_memory[name], weights.float()) for name, weights in unet.items())
    assert torch.equal(engine._pipeline.text_encoder_2.text_projection.weight, text["text_projection.weight"])


@pytest.mark.parametrize(
    ("model_id", "timesteps"),
    [(TWO, [999, 499]), (FOUR, [999, 749, 499, 249]), (EIGHT, [999, 874, 749, 624, 499, 374, 249, 124])],
)
def test_lightning_runs_at_the_noise_levels_it_was_distilled_for(
    model_id: str, timesteps: list[int], models: Engines
) -> None:
    engine, loaded = models[model_id]
    for strength in (0.5, 1.0):
        seen = watched(engine, lambda s=strength: edit(engine, asked(loaded, strength=s), 1, nothing))
        assert seen.timesteps == timesteps[-int(len(timesteps) * strength) :]


def test_lightning_makes_what_a_pipeline_put_together_by_hand_makes(cache: Path, models: Engines) -> None:
    """As its card says it, but for image-to-image."""
    import diffusers
    import torch
    from safetensors.torch import load_file

    folder = cache / "models--stabilityai--stable-diffusion-xl-base-1.0" / "snapshots" / families.SDXL_BASE.revision
    file = cache / "models--ByteDance--SDXL-Lightning" / "snapshots" / hub.COMMIT
    unet = diffusers.UNet2DConditionModel.from_config(diffusers.UNet2DConditionModel.load_config(folder / "unet"))
    unet.load_state_dict(load_file(file / "sdxl_lightning_4step_unet.safetensors"))
    by_hand = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder, unet=unet, dtype=torch.float32, add_watermarker=False
    )
    by_hand.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        by_hand.scheduler.config, timestep_spacing="trailing"
    )
    assert by_hand.vae.config.force_upcast
    result = by_hand(
        prompt="a cat",
        image=picture(),
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=0,
        generator=torch.Generator().manual_seed(1),
    ).images[0]
    engine, loaded = models[FOUR]
    assert edit(engine, asked(loaded), 1, nothing).tobytes() == result.tobytes()


# The same again -----------------------------------------------------------------------------------------------------


@every_model
def test_a_request_gives_the_same_bytes_whatever_ran_before(model_id: str, models: Engines) -> None:
    engine, loaded = models[model_id]
    request = asked(loaded, num_inference_steps=7)

    def stop(step: int) -> None:
        raise Cancelled

    first = edit(engine, request, 5, nothing).tobytes()
    edit(engine, asked(loaded, picture(80, 40), num_inference_steps=3, strength=1), 6, nothing)
    with pytest.raises(Cancelled):
        edit(engine, asked(loaded, strength=1), 7, stop)
    assert edit(engine, request, 5, nothing).tobytes() == first


@every_model
def test_a_request_gives_the_same_bytes_in_a_process_that_did_nothing_else(
    model_id: str, cache: Path, models: Engines
) -> None:
    used, loaded = models[model_id]
    fresh = engine_of(model_id, cache)
    fresh.load()
    request = asked(loaded, num_inference_steps=7)
    assert edit(fresh, request, 5, nothing).tobytes() == edit(used, request, 5, nothing).tobytes()


@pytest.mark.parametrize("model_id", [SDXL_TURBO, FOUR, REALVIS])
def test_the_precision_of_a_gpu_works_and_casts_no_vae_back_and_forth(
    model_id: str, cache: Path, models: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from easel_runtime.pipelines import loading

    monkeypatch.setattr(loading, "PRECISION", {"cpu": families.PRECISION["cuda"]})
    engine = engine_of(model_id, cache)
    loaded = engine.load()
    types: set[torch.dtype] = set()
    encoder = engine._pipeline.vae.encoder
    encoder.register_forward_pre_hook(lambda _, arguments: types.add(arguments[0].dtype))
    exact, _ = models[model_id]
    request = asked(loaded)
    result = edit(engine, request, 1, nothing)
    assert types == {torch.bfloat16}
    assert distance(result, edit(exact, request, 1, nothing)) < 4


# Side by side -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_id", [PIX2PIX, SD_TURBO, SDXL_TURBO, FOUR, REALVIS, REALVIS_LIGHTNING])
def test_a_picture_is_the_same_in_company_as_alone(model_id: str, models: Engines) -> None:
    """Each scheduler of the table, with guidance and without."""
    engine, loaded = models[model_id]
    assert loaded.batches
    assert_made_in_company_as_alone(engine, four(loaded, num_inference_steps=6, strength=0.9))


def test_pictures_that_are_made_side_by_side_are_one_call_of_the_network_and_decoded_one_by_one(
    models: Engines,
) -> None:
    engine, loaded = models[PIX2PIX]
    decoded: list[int] = []
    handle = engine._pipeline.vae.decoder.register_forward_pre_hook(
        lambda _, arguments: decoded.append(arguments[0].shape[0])
    )
    try:
        seen = watched(engine, lambda: engine.generate(four(loaded, num_inference_steps=2), nothing))
    finally:
        handle.remove()
    assert seen.batches == [3 * 4] * 2
    assert decoded == [1] * 4
