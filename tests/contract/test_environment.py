"""What the operator writes into a runtime's environment is what the runtime reads."""

import pytest

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import Env
from easel_crds.runtimeprofile import DEFAULT_PROFILE, RuntimeProfile
from easel_operator.desired.environment import runtime_environment
from easel_runtime.settings import Settings
from support.builders import image_model, runtime_profile


def _settings(model: ImageModel, profile: RuntimeProfile, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in runtime_environment(model, profile).items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize(
    "model",
    [
        image_model(),
        image_model(modelId="timbrooks/instruct-pix2pix", revision="refs/pr/1"),
        image_model(
            parameters={
                "steps": {"default": 4, "min": 2, "max": 8},
                "guidanceScale": {"default": 7.5, "max": 20},
                "imageGuidanceScale": {"default": 1.5, "min": 1},
                "strength": {"default": 0.1, "max": 0.30000000000000004},
                "maxPixels": 1_048_576,
                "maxImages": 1,
            }
        ),
        image_model(safety={"checker": "a/b", "revision": "v2", "action": "blank", "enforce": True}),
        image_model(safety={"checker": "none"}),
        image_model(loras={"allow": ["nerijs/*", "a/b"], "maxPerRequest": 16, "maxBytes": "300M"}),
        image_model(loras={"allow": []}),
    ],
    ids=["a model that says nothing", "a revision", "parameters", "a policy", "no checker", "LoRAs", "no LoRAs"],
)
def test_a_runtime_reads_what_the_operator_wrote(model: ImageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(model, DEFAULT_PROFILE, monkeypatch)
    assert settings.model_id == model.spec.model_id
    assert settings.revision == model.spec.revision
    assert settings.parameters == model.spec.parameters
    assert settings.safety == model.spec.safety
    assert settings.loras == model.spec.loras


def test_a_runtime_ends_within_the_seconds_of_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _settings(image_model(), runtime_profile(terminationGraceSeconds=7), monkeypatch).grace_seconds == 7


def test_a_runtime_reads_the_variables_of_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = runtime_profile(
        env=[{"name": "EASEL_QUEUE", "value": "3"}, {"name": "EASEL_LOG_LEVEL", "value": "debug"}]
    )
    settings = _settings(image_model(), profile, monkeypatch)
    assert (settings.queue, settings.log_level) == (3, "debug")


def test_every_variable_is_one_setting_and_every_setting_one_variable() -> None:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    assert sorted(map(str, aliases)) == sorted(Env)
    assert all(isinstance(alias, Env) for alias in aliases)
