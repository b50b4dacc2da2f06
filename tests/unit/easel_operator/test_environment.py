import json
from typing import Any

import pytest

from easel_crds.runtimeprofile import DEFAULT_PROFILE
from easel_operator.desired.environment import runtime_environment
from support.builders import image_model, runtime_profile

_DEFAULT_PARAMETERS = (
    '{"steps":{"min":1,"max":100},'
    '"guidanceScale":{"min":0.0,"max":100.0},'
    '"imageGuidanceScale":{"min":0.0,"max":100.0},'
    '"strength":{"min":0.0,"max":1.0},'
    '"maxPixels":4194304,'
    '"maxImages":8}'
)
_DEFAULT_SAFETY = (
    '{"checker":"CompVis/stable-diffusion-safety-checker","revision":"main",'
    '"action":"flag","enforce":false,"unavailable":"refuse"}'
)


def test_a_model_that_says_nothing_becomes_these_variables() -> None:
    assert runtime_environment(image_model(modelId="timbrooks/instruct-pix2pix"), DEFAULT_PROFILE) == {
        "MODEL_ID": "timbrooks/instruct-pix2pix",
        "EASEL_REVISION": "main",
        "EASEL_PARAMETERS": _DEFAULT_PARAMETERS,
        "EASEL_SAFETY": _DEFAULT_SAFETY,
        "EASEL_LORAS": '{"allow":["*"],"maxPerRequest":4,"maxBytes":"1Gi"}',
        "EASEL_GRACE_SECONDS": "120",
    }


def test_what_model_and_profile_say_arrives() -> None:
    model = image_model(
        modelId="a/b",
        revision="v2",
        parameters={"steps": {"default": 4, "max": 8}, "guidanceScale": {"default": 7.5}, "maxImages": 1},
    )
    profile = runtime_profile(terminationGraceSeconds=30, env=[{"name": "HF_HUB_OFFLINE", "value": "1"}])
    environment = runtime_environment(model, profile)
    assert environment.keys() == {
        "HF_HUB_OFFLINE",
        "MODEL_ID",
        "EASEL_REVISION",
        "EASEL_PARAMETERS",
        "EASEL_SAFETY",
        "EASEL_LORAS",
        "EASEL_GRACE_SECONDS",
    }
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert (environment["MODEL_ID"], environment["EASEL_REVISION"]) == ("a/b", "v2")
    assert environment["EASEL_GRACE_SECONDS"] == "30"
    parameters = json.loads(environment["EASEL_PARAMETERS"])
    assert parameters["steps"] == {"default": 4, "min": 1, "max": 8}
    assert parameters["guidanceScale"] == {"default": 7.5, "min": 0, "max": 100}
    assert parameters["maxImages"] == 1


@pytest.mark.parametrize(
    "name",
    ["MODEL_ID", "EASEL_REVISION", "EASEL_PARAMETERS", "EASEL_SAFETY", "EASEL_LORAS", "EASEL_GRACE_SECONDS"],
)
def test_a_profile_cannot_override_what_the_model_says(name: str) -> None:
    plain = runtime_environment(image_model(), runtime_profile())
    assert runtime_environment(image_model(), runtime_profile(env=[{"name": name, "value": "mine"}])) == plain


def test_building_twice_gives_the_same() -> None:
    model = image_model(parameters={"steps": {"default": 4}})
    profile = runtime_profile(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}])
    first, second = runtime_environment(model, profile), runtime_environment(model, profile)
    assert list(first.items()) == list(second.items())


@pytest.mark.parametrize(
    "spec",
    [
        {"warmReplicas": 1},
        {"replicas": 3},
        {"maxReplicas": 9},
        {"price": {"amount": "1"}},
        {"gpu": {"memory": "24Gi"}},
        {"scaling": {"idleSeconds": 1}},
        {"paused": True},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_what_a_runtime_need_not_know_does_not_replace_it(spec: dict[str, Any]) -> None:
    assert runtime_environment(image_model(**spec), DEFAULT_PROFILE) == runtime_environment(
        image_model(), DEFAULT_PROFILE
    )


def test_a_default_that_is_written_out_changes_nothing() -> None:
    spelled = image_model(revision="main", parameters={"guidanceScale": {"min": 0, "max": 100}, "strength": {"max": 1}})
    assert runtime_environment(spelled, DEFAULT_PROFILE) == runtime_environment(image_model(), DEFAULT_PROFILE)


def test_every_value_is_text() -> None:
    for name, value in runtime_environment(image_model(), DEFAULT_PROFILE).items():
        assert isinstance(name, str)
        assert isinstance(value, str)
