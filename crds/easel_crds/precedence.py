"""Which ImageModel is in force where several claim one modelId: for the operator and the gateway alike."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from easel_crds.imagemodel import ImageModel

_LAST: Final = datetime.max.replace(tzinfo=UTC)


def in_force(models: Iterable[ImageModel]) -> dict[str, ImageModel]:
    """The ImageModel that serves each modelId: the oldest that claims it.

    Of those created in the same second, the first by namespace and name.
    """
    chosen: dict[str, ImageModel] = {}
    for model in sorted(models, key=_age):
        chosen.setdefault(model.spec.model_id, model)
    return chosen


def _age(model: ImageModel) -> tuple[datetime, str, str]:
    metadata = model.metadata
    return metadata.creation_timestamp or _LAST, metadata.namespace, metadata.name
