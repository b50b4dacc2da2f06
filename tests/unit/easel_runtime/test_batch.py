"""Which requests may share a call of the pipeline."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from easel_runtime.batch import kind
from easel_runtime.engine import Generation, Lora
from support.pictures import picture
from support.tiny_engines import generation

SHARED: dict[str, Any] = {
    "prompt": "a dog",
    "image": picture(64, 48).rotate(180),
    "negative_prompt": "blurry",
    "seeds": (7, 8),
    "explicit": frozenset({"prompt"}),
    "adjusted": ("strength=1",),
    "safety_check": False,
    "ignored": frozenset({"negative_prompt"}),
}
APART: dict[str, Any] = {
    "image": picture(48, 64),
    "steps": 4,
    "guidance_scale": 1.0,
    "image_guidance_scale": 2.0,
    "strength": 0.5,
    "loras": (Lora("some/lora", 1.0, Path("file")),),
}


@pytest.mark.parametrize("field", SHARED)
def test_requests_that_differ_in_what_a_pipeline_takes_as_a_list_are_alike(field: str) -> None:
    assert kind(replace(generation(picture(64, 48)), **{field: SHARED[field]})) == kind(generation(picture(64, 48)))


@pytest.mark.parametrize("field", APART)
def test_requests_that_differ_in_what_is_one_number_for_all_rows_are_not_alike(field: str) -> None:
    one, other = generation(picture(64, 48)), replace(generation(picture(64, 48)), **{field: APART[field]})
    assert kind(one) != kind(other)
    assert len({kind(one), kind(other)}) == 2


def test_each_field_of_a_request_is_on_one_of_the_two_sides() -> None:
    assert {field.name for field in fields(Generation)} == SHARED.keys() | APART.keys()
