import pytest

from easel_crds.manifest import InvalidManifest
from easel_crds.parameters import MAX_PIXELS, Parameters
from support.builders import image_model


def test_a_model_that_says_nothing_leaves_the_defaults_to_its_family() -> None:
    parameters = image_model().spec.parameters
    assert parameters == Parameters()
    assert parameters.steps.default is None
    assert parameters.guidance_scale.default is None
    assert parameters.image_guidance_scale.default is None
    assert parameters.strength.default is None


def test_the_bounds_without_a_word_are_the_documented_ones() -> None:
    parameters = Parameters()
    assert (parameters.steps.min, parameters.steps.max) == (1, 100)
    assert (parameters.guidance_scale.min, parameters.guidance_scale.max) == (0, 100)
    assert (parameters.image_guidance_scale.min, parameters.image_guidance_scale.max) == (0, 100)
    assert (parameters.strength.min, parameters.strength.max) == (0, 1)
    assert (parameters.max_pixels, parameters.max_images) == (MAX_PIXELS, 8)
    assert MAX_PIXELS == 2048 * 2048


def test_one_bound_alone_leaves_the_others() -> None:
    steps = image_model(parameters={"steps": {"max": 20}}).spec.parameters.steps
    assert (steps.min, steps.default, steps.max) == (1, None, 20)


def test_a_default_for_strength_leaves_its_bounds() -> None:
    strength = image_model(parameters={"strength": {"default": 0.5}}).spec.parameters.strength
    assert (strength.min, strength.default, strength.max) == (0, 0.5, 1)


def test_a_whole_number_is_a_number() -> None:
    assert image_model(parameters={"guidanceScale": {"default": 2}}).spec.parameters.guidance_scale.default == 2


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"steps": {"default": 0}}, "spec.parameters.steps.default: must be greater than or equal to 1, not 0"),
        ({"steps": {"max": 1001}}, "spec.parameters.steps.max: must be less than or equal to 1000, not 1001"),
        ({"steps": {"default": 5.5}}, "spec.parameters.steps.default: must be a valid integer, not 5.5"),
        (
            {"steps": {"default": 50, "max": 20}},
            "spec.parameters.steps.default: default must lie between min and max",
        ),
        ({"steps": {"min": 5, "max": 4}}, "spec.parameters.steps.min: min must not be greater than max"),
        (
            {"guidanceScale": {"min": 3, "max": 2.5}},
            "spec.parameters.guidanceScale.min: min must not be greater than max",
        ),
        (
            {"imageGuidanceScale": {"default": 1, "min": 1.5}},
            "spec.parameters.imageGuidanceScale.default: default must lie between min and max",
        ),
        (
            {"strength": {"default": -0.1}},
            "spec.parameters.strength.default: must be greater than or equal to 0, not -0.1",
        ),
        ({"strength": {"max": 1.5}}, "spec.parameters.strength.max: must be less than or equal to 1, not 1.5"),
        ({"strength": {"max": "1"}}, 'spec.parameters.strength.max: must be a valid number, not "1"'),
        ({"maxPixels": 4095}, "spec.parameters.maxPixels: must be greater than or equal to 4096, not 4095"),
        ({"maxImages": 0}, "spec.parameters.maxImages: must be greater than or equal to 1, not 0"),
        ({"maxImages": 65}, "spec.parameters.maxImages: must be less than or equal to 64, not 65"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(parameters: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        image_model(parameters=parameters)
    assert [str(problem) for problem in refused.value.problems] == [sentence]
