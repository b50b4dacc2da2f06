"""`resolve`: what a caller's fields amount to, given a model's own defaults and bounds."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.parameters import Parameters
from easel_http.errors import InvalidForm
from easel_http.fields import MAX_SEED, ImageToImageFields
from easel_runtime.engine import Defaults, Generation
from easel_runtime.generation import consecutive_seeds, resolve
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
