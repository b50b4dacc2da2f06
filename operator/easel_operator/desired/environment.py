"""Environment of a runtime: how an ImageModel reaches the process that serves it."""

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import Env
from easel_crds.runtimeprofile import RuntimeProfile


def runtime_environment(model: ImageModel, profile: RuntimeProfile) -> dict[str, str]:
    """Variables that every runtime of `model` gets, on a cluster and on one machine; the profile's own first."""
    return {
        **{variable.name: variable.value for variable in profile.spec.env},
        Env.MODEL_ID: model.spec.model_id,
        Env.REVISION: model.spec.revision,
        Env.PARAMETERS: model.spec.parameters.model_dump_json(by_alias=True, exclude_none=True),
        Env.SAFETY: model.spec.safety.model_dump_json(by_alias=True),
        Env.LORAS: model.spec.loras.model_dump_json(by_alias=True),
        Env.GRACE_SECONDS: str(profile.spec.termination_grace_seconds),
    }
