"""The text fields of the form: the seed contract's names, blanks that mean "absent", bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_http.errors import InvalidForm
from easel_http.fields import MAX_SEED, OWN_FIELDS, ImageToImageFields, form_schema

SEED_NAMES = [
    *("image", "prompt", "model_id", "loras", "strength", "guidance_scale", "image_guidance_scale", "negative_prompt"),
    *("safety_check", "seed", "num_inference_steps", "num_images_per_prompt"),
]
"""The twelve of Livepeer's ai-runner v0.14.1."""

OPTIONAL = [name for name in SEED_NAMES if name not in ("image", "prompt")]


def fields(**texts: str) -> ImageToImageFields:
    return ImageToImageFields.from_texts({"prompt": "a cat", **texts})


def problems(**texts: str) -> list[tuple[str, list[object]]]:
    with pytest.raises(InvalidForm) as caught:
        fields(**texts)
    json.dumps(caught.value.body(), allow_nan=False).encode()  # whatever was sent, the answer can be written
    return [(problem["type"], problem["loc"]) for problem in caught.value.problems]


def test_a_prompt_is_enough_and_numbers_default_to_what_the_model_says() -> None:
    assert fields() == ImageToImageFields(
        prompt="a cat",
        model_id="",
        loras={},
        strength=None,
        guidance_scale=None,
        image_guidance_scale=None,
        negative_prompt="",
        safety_check=True,
        seed=None,
        num_inference_steps=None,
        num_images_per_prompt=1,
    )


def test_texts_become_what_they_say() -> None:
    assert fields(
        model_id="easel/demo",
        loras='{"nerijs/pixel-art-xl": 1.2, "b": -1}',
        strength="0.800000",
        guidance_scale="7.5",
        image_guidance_scale="1.5",
        negative_prompt="blurry",
        safety_check="false",
        seed="42",
        num_inference_steps="20",
        num_images_per_prompt="3",
    ) == ImageToImageFields(
        prompt="a cat",
        model_id="easel/demo",
        loras={"nerijs/pixel-art-xl": 1.2, "b": -1.0},
        strength=0.8,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        negative_prompt="blurry",
        safety_check=False,
        seed=42,
        num_inference_steps=20,
        num_images_per_prompt=3,
    )


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_blank_field_is_an_absent_one(name: str) -> None:
    assert fields(**{name: ""}) == fields()
    assert fields(**{name: ""}).model_fields_set == {"prompt"}


def test_a_blank_prompt_is_a_prompt() -> None:
    assert fields(prompt="").prompt == ""


def test_an_absent_prompt_is_missing() -> None:
    with pytest.raises(InvalidForm) as caught:
        ImageToImageFields.from_texts({"seed": "1"})
    assert caught.value.problems == (
        {"type": "missing", "loc": ["body", "prompt"], "msg": "Field required", "input": None},
    )


def test_unknown_fields_are_ignored() -> None:
    assert fields(sampler="euler") == fields()


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("strength", "0", "1"),
        ("guidance_scale", "0", "100"),
        ("image_guidance_scale", "0", "100"),
        ("seed", "0", str(MAX_SEED)),
        ("num_inference_steps", "1", "1000"),
        ("num_images_per_prompt", "1", "64"),
    ],
)
def test_numbers_have_bounds(name: str, lowest: str, highest: str) -> None:
    assert [getattr(fields(**{name: text}), name) for text in (lowest, highest)] == [int(lowest), int(highest)]
    assert problems(**{name: str(int(lowest) - 1)}) == [("greater_than_equal", ["body", name])]
    assert problems(**{name: str(int(highest) + 1)}) == [("less_than_equal", ["body", name])]


@pytest.mark.parametrize("name", ["strength", "guidance_scale", "image_guidance_scale"])
@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999", "9" * 400])
def test_numbers_are_finite(name: str, text: str) -> None:
    assert problems(**{name: text}) == [("finite_number", ["body", name])]


@pytest.mark.parametrize("name", ["seed", "num_inference_steps", "num_images_per_prompt"])
def test_whole_numbers_may_be_written_with_a_point_and_may_not_have_a_fraction(name: str) -> None:
    assert getattr(fields(**{name: "1.0"}), name) == 1
    assert problems(**{name: "1.5"}) == [("int_parsing", ["body", name])]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[(name, text) for name in ("seed", "num_inference_steps") for text in ("x", "nan", "0x10", "1,5", "9" * 5000)],
        *[("strength", text) for text in ("x", "0,5", "50%", "half")],
        *[("safety_check", text) for text in ("maybe", "2", "-1")],
    ],
)
def test_what_is_no_number_or_boolean_is_refused_and_shown(name: str, text: str) -> None:
    with pytest.raises(InvalidForm) as caught:
        fields(**{name: text})
    assert [(problem["loc"], problem["input"]) for problem in caught.value.problems] == [(["body", name], text)]


@pytest.mark.parametrize("text", ["1", "true", "True", "TRUE", "on", "yes", "t", "y"])
def test_words_for_true(text: str) -> None:
    assert fields(safety_check=text).safety_check is True


@pytest.mark.parametrize("text", ["0", "false", "False", "FALSE", "off", "no", "f", "n"])
def test_words_for_false(text: str) -> None:
    assert fields(safety_check=text).safety_check is False


@pytest.mark.parametrize(("name", "most"), [("prompt", 8192), ("negative_prompt", 8192), ("model_id", 96)])
def test_texts_have_bounds_counted_in_characters(name: str, most: int) -> None:
    assert getattr(fields(**{name: "ü" * most}), name) == "ü" * most
    assert problems(**{name: "x" * (most + 1)}) == [("string_too_long", ["body", name])]


@pytest.mark.parametrize(
    ("loras", "kind", "inside"),
    [
        pytest.param("pixel-art", "json_invalid", [], id="no JSON"),
        pytest.param("{'a': 1}", "json_invalid", [], id="Python"),
        pytest.param("[" * 60_000, "json_invalid", [], id="nested without end"),
        pytest.param('["a"]', "dict_type", [], id="list"),
        pytest.param('"a"', "dict_type", [], id="string"),
        pytest.param("1", "dict_type", [], id="number"),
        pytest.param("null", "dict_type", [], id="null"),
        pytest.param('{"a": "strong"}', "float_parsing", ["a"], id="weight is a word"),
        pytest.param('{"a": "\\ud800"}', "string_unicode", ["a"], id="weight is half a character"),
        pytest.param('{"\\ud800": 1}', "string_unicode", ["\ufffd" * 3, "[key]"], id="name is half a character"),
        pytest.param('{"": 1}', "string_too_short", ["", "[key]"], id="no name"),
        pytest.param('{"a": {"b": 1}}', "float_type", ["a"], id="weight is an object"),
        pytest.param('{"a": NaN}', "finite_number", ["a"], id="weight is NaN"),
        pytest.param('{"a": -Infinity}', "finite_number", ["a"], id="weight is infinite"),
        pytest.param('{"a": 1e999}', "finite_number", ["a"], id="weight overflows"),
        pytest.param('{"a": ' + "9" * 400 + "}", "finite_number", ["a"], id="weight overflows as an integer"),
    ],
)
def test_loras_must_be_an_object_of_weights(loras: str, kind: str, inside: list[str]) -> None:
    assert problems(loras=loras) == [(kind, ["body", "loras", *inside])]


SAID = st.text(max_size=5) | st.integers().map(str) | st.floats().map(str) | st.floats().map(lambda x: f'{{"a": {x}}}')


@given(texts=st.dictionaries(st.sampled_from(["prompt", *OPTIONAL]), SAID))
def test_any_texts_are_fields_or_a_refusal_that_can_be_answered(texts: dict[str, str]) -> None:
    refusals: list[InvalidForm] = []
    try:
        ImageToImageFields.from_texts(texts)
    except InvalidForm as error:
        refusals.append(error)
    for refusal in refusals:
        assert {problem["loc"][1] for problem in refusal.problems} <= {"prompt", *texts}
        json.dumps(refusal.body(), allow_nan=False)


# The schema in the OpenAPI document --------------------------------------------------------------------------------


def properties() -> dict[str, Any]:
    found: dict[str, Any] = form_schema()["properties"]
    return found


def test_the_schema_has_the_twelve_fields_of_the_contract_and_those_of_the_gateway() -> None:
    assert sorted(properties()) == sorted([*SEED_NAMES, *OWN_FIELDS])


@pytest.mark.parametrize("required", [(), ("model_id",)], ids=["runtime", "gateway"])
def test_the_schema_names_what_is_required(required: tuple[str, ...]) -> None:
    assert form_schema(*required)["required"] == ["prompt", "image", *required]


def test_the_schema_has_a_type_a_sentence_and_no_null_for_every_field() -> None:
    assert {name: part["type"] for name, part in properties().items()} == {
        **dict.fromkeys(("image", "prompt", "model_id", "loras", "negative_prompt", *OWN_FIELDS), "string"),
        **dict.fromkeys(("strength", "guidance_scale", "image_guidance_scale"), "number"),
        **dict.fromkeys(("seed", "num_inference_steps", "num_images_per_prompt"), "integer"),
        "safety_check": "boolean",
    }
    assert all(part["description"].endswith(".") for part in properties().values())
    assert properties()["image"]["format"] == "binary"


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("strength", 0, 1),
        ("guidance_scale", 0, 100),
        ("image_guidance_scale", 0, 100),
        ("seed", 0, MAX_SEED),
        ("num_inference_steps", 1, 1000),
        ("num_images_per_prompt", 1, 64),
    ],
)
def test_the_schema_names_the_bounds(name: str, lowest: int, highest: int) -> None:
    assert (properties()[name]["minimum"], properties()[name]["maximum"]) == (lowest, highest)


def test_the_schema_promises_no_default_where_the_model_decides() -> None:
    assert {name: part["default"] for name, part in properties().items() if "default" in part} == {
        "model_id": "",
        "negative_prompt": "",
        "safety_check": True,
        "num_images_per_prompt": 1,
        "response_format": "url",
    }
