"""`resolve`: what a caller's fields amount to, given a model's own defaults and bounds."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.parameters import Parameters
from easel_http.errors import InvalidForm
from easel_http.fields import MAX_SEED, ImageToImageFields
from easel_runtime.engine import Bounds, Defaults, Generation
from easel_runtime.generation import consecutive_seeds, resolve, strength_of_one_step
from support.pictures import picture

IMAGE = picture()
FAMILY = Defaults(steps=11, guidance_scale=1.25, image_guidance_scale=1.75, strength=0.25)

NUMBERS = [
    # form field, name in ImageModel's parameters, name in Generation and Defaults
    pytest.param("num_inference_steps", "steps", "steps", id="steps"),
    pytest.param("guidance_scale", "guidance_scale", "guidance_scale", id="guidance"),
    pytest.param("image_guidance_scale", "image_guidance_scale", "image_guidance_scale", id="image guidance"),
    pytest.param("strength", "strength", "strength", id="strength"),
]


def fields(**sent: Any) -> ImageToImageFields:
    return ImageToImageFields(prompt="a cat", **sent)


def resolved(sent: ImageToImageFields, parameters: dict[str, Any] | None = None) -> Generation:
    return resolve(sent, IMAGE, Parameters.model_validate(parameters or {}), FAMILY)


def bounds(parameter: str, **values: float) -> dict[str, Any]:
    """The parameters of an ImageModel that says something about one of them."""
    return {parameter: values}


def test_a_silent_caller_of_a_silent_model_gets_the_familys_defaults() -> None:
    generation = resolved(fields(seed=7))
    assert generation == Generation(
        prompt="a cat",
        image=IMAGE,
        negative_prompt="",
        steps=11,
        guidance_scale=1.25,
        image_guidance_scale=1.75,
        strength=0.25,
        seeds=(7,),
        explicit=frozenset({"prompt", "seed"}),
        adjusted=(),
        safety_check=True,
    )


def test_without_a_family_the_numbers_are_the_seed_contracts() -> None:
    generation = resolve(fields(), IMAGE, Parameters(), Defaults())
    numbers = (generation.steps, generation.guidance_scale, generation.image_guidance_scale, generation.strength)
    assert numbers == (100, 7.5, 1.5, 0.8)


@pytest.mark.parametrize(("sent", "parameter", "name"), NUMBERS)
def test_the_image_models_default_comes_before_the_familys(sent: str, parameter: str, name: str) -> None:
    assert getattr(resolved(fields(), bounds(parameter, default=1)), name) == 1


@pytest.mark.parametrize(("sent", "parameter", "name"), NUMBERS)
def test_what_the_caller_sends_comes_before_all_defaults(sent: str, parameter: str, name: str) -> None:
    generation = resolved(fields(**{sent: 1}), bounds(parameter, default=0.5 if name == "strength" else 3))
    assert getattr(generation, name) == 1
    assert generation.adjusted == ()


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_zero_is_a_value_and_not_an_absence(value: float) -> None:
    assert resolved(fields(guidance_scale=value), bounds("guidanceScale", default=5)).guidance_scale == value


@pytest.mark.parametrize(
    ("sent", "parameters", "adjusted"),
    [
        pytest.param({"num_inference_steps": 100}, {"steps": {"max": 20}}, "num_inference_steps=20", id="down"),
        pytest.param({"num_inference_steps": 1}, {"steps": {"min": 4}}, "num_inference_steps=4", id="up"),
        pytest.param({"strength": 1}, {"strength": {"max": 0.75}}, "strength=0.75", id="a fraction"),
        pytest.param({"guidance_scale": 7.5}, {"guidanceScale": {"max": 0}}, "guidance_scale=0", id="to zero"),
    ],
)
def test_a_value_beyond_the_models_bounds_is_moved_to_the_bound_and_named(
    sent: dict[str, float], parameters: dict[str, Any], adjusted: str
) -> None:
    generation = resolved(fields(**sent), parameters)
    assert generation.adjusted == (adjusted,)


def test_several_moved_values_are_named_in_the_order_of_the_form() -> None:
    generation = resolved(
        fields(num_inference_steps=100, guidance_scale=50, strength=1),
        {"steps": {"max": 4}, "guidanceScale": {"max": 2}, "strength": {"max": 0.5}},
    )
    assert (generation.steps, generation.guidance_scale, generation.strength) == (4, 2, 0.5)
    assert generation.adjusted == ("num_inference_steps=4", "guidance_scale=2", "strength=0.5")


def test_a_default_is_kept_within_the_models_bounds_without_a_word() -> None:
    generation = resolved(fields(), {"steps": {"max": 4}})
    assert generation.steps == 4
    assert generation.adjusted == ()


@given(sent=st.integers(1, 1000), low=st.integers(1, 1000), high=st.integers(1, 1000))
def test_steps_are_whole_and_within_bounds_and_named_exactly_if_moved(sent: int, low: int, high: int) -> None:
    low, high = sorted((low, high))
    generation = resolved(fields(num_inference_steps=sent), {"steps": {"min": low, "max": high}})
    assert isinstance(generation.steps, int)
    assert low <= generation.steps <= high
    assert bool(generation.adjusted) == (generation.steps != sent)


# The model's own bounds -----------------------------------------------------------------------------------------

TURBO = Defaults(2, 0, strength=0.5, bounds=Bounds(steps=(1, 4), guidance_scale=(0, 0)), partial=True)


def of_turbo(sent: dict[str, float], parameters: dict[str, Any] | None = None) -> Generation:
    return resolve(fields(**sent), IMAGE, Parameters.model_validate(parameters or {}), TURBO)


def test_what_an_sdk_sends_to_every_model_is_moved_to_what_this_one_can_do() -> None:
    generation = of_turbo({"num_inference_steps": 100, "guidance_scale": 7.5, "strength": 0.8})
    assert (generation.steps, generation.guidance_scale, generation.strength) == (4, 0, 0.8)
    assert generation.adjusted == ("num_inference_steps=4", "guidance_scale=0")


@pytest.mark.parametrize(
    ("bounds", "steps"),
    [
        pytest.param({"max": 50}, 4, id="a wider one changes nothing"),
        pytest.param({"max": 3}, 3, id="a narrower one holds"),
        pytest.param({"min": 10}, 4, id="an impossible one cannot hold"),
        pytest.param({"default": 10}, 4, id="nor can such a default"),
    ],
)
def test_an_image_model_can_narrow_the_models_bounds_and_not_widen_them(bounds: dict[str, int], steps: int) -> None:
    assert of_turbo({"num_inference_steps": 100}, {"steps": bounds}).steps == steps


def test_a_default_of_an_image_model_that_the_model_cannot_do_is_moved_without_a_word() -> None:
    generation = of_turbo({}, {"steps": {"default": 10}, "guidanceScale": {"default": 7.5}})
    assert (generation.steps, generation.guidance_scale, generation.adjusted) == (4, 0, ())


@given(steps=st.integers(1, 1000), strength=st.floats(0, 1))
def test_where_strength_decides_how_many_steps_are_run_at_least_one_is(steps: int, strength: float) -> None:
    generation = resolve(
        fields(num_inference_steps=steps, strength=strength),
        IMAGE,
        Parameters.model_validate({"steps": {"max": 1000}}),
        Defaults(partial=True),
    )
    run = int(strength * steps)
    assert int(generation.steps * generation.strength) == max(1, run)
    assert (generation.strength == strength) == (run >= 1)
    assert bool(generation.adjusted) == (run < 1)


def test_the_strength_of_one_step_is_the_least_that_there_is() -> None:
    for steps in range(1, 1001):
        least = strength_of_one_step(steps)
        assert int(steps * least) == 1
        assert least == pytest.approx(1 / steps, rel=1e-15)


def test_a_default_strength_that_is_too_small_for_the_steps_sent_is_raised_without_a_word() -> None:
    generation = of_turbo({"num_inference_steps": 1})
    assert (generation.strength, generation.adjusted) == (1, ())


def test_a_step_is_worth_more_than_the_bound_of_an_image_model() -> None:
    generation = of_turbo({"num_inference_steps": 2, "strength": 0.3}, {"strength": {"max": 0.3}})
    assert (generation.strength, generation.adjusted) == (0.5, ("strength=0.5",))


def test_a_model_that_runs_all_steps_has_any_strength() -> None:
    assert resolved(fields(num_inference_steps=1, strength=0)).strength == 0


@pytest.mark.parametrize(
    ("guidance", "ignored"),
    [(1.01, set()), (1, {"negative_prompt", "image_guidance_scale"}), (0, {"negative_prompt", "image_guidance_scale"})],
)
def test_what_works_by_guidance_is_said_to_be_ignored_without_it(guidance: float, ignored: set[str]) -> None:
    sent = fields(guidance_scale=guidance, negative_prompt="blurry", image_guidance_scale=2)
    assert resolved(sent).ignored == ignored
    assert resolved(fields(guidance_scale=guidance)).ignored == set()


# Images and seeds -----------------------------------------------------------------------------------------------


def test_as_many_images_as_the_model_allows_are_made() -> None:
    assert resolved(fields(num_images_per_prompt=2, seed=5), {"maxImages": 2}).seeds == (5, 6)


def test_more_images_than_the_model_allows_are_refused() -> None:
    with pytest.raises(InvalidForm) as caught:
        resolved(fields(num_images_per_prompt=3), {"maxImages": 2})
    assert caught.value.problems == (
        {
            "type": "value_error",
            "loc": ["body", "num_images_per_prompt"],
            "msg": "must be at most 2 for this model",
            "input": 3,
        },
    )


@given(first=st.integers(0, MAX_SEED), count=st.integers(1, 64))
def test_seeds_count_up_and_stay_in_their_range(first: int, count: int) -> None:
    seeds = consecutive_seeds(first, count)
    assert [(later - earlier) % 2**32 for earlier, later in pairwise(seeds)] == [1] * (count - 1)
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_seeds_wrap_at_their_end() -> None:
    assert consecutive_seeds(MAX_SEED - 1, 4) == (MAX_SEED - 1, MAX_SEED, 0, 1)


def test_a_silent_callers_seeds_are_random_and_count_up_too() -> None:
    first, second = consecutive_seeds(None, 2)
    assert second == (first + 1) % 2**32
    assert len({consecutive_seeds(None, 1) for _ in range(5)}) > 1
