"""The ImageModels that exist, by last word: for what one of them means to another."""

from collections.abc import Iterable

from easel_crds.demand import ModelKey
from easel_crds.imagemodel import ImageModel
from easel_crds.precedence import in_force


def key_of(model: ImageModel) -> ModelKey:
    """Which ImageModel this is."""
    return ModelKey(model.metadata.namespace, model.name)


class Inventory:
    """All ImageModels of the cluster."""

    def __init__(self) -> None:
        self._models: dict[ModelKey, ImageModel] = {}

    def replace(self, models: Iterable[ImageModel]) -> set[ModelKey]:
        """Take `models` for all there are; the keys of these and of those that are gone."""
        before = self._models.keys()
        self._models = {key_of(model): model for model in models}
        return {*before, *self._models}

    def put(self, model: ImageModel) -> set[ModelKey]:
        """`model` is new or changed; the models that this may matter to."""
        self._models[key_of(model)] = model
        return self._rivals(model)

    def remove(self, key: ModelKey) -> set[ModelKey]:
        """`key` is gone; the models that this may matter to."""
        model = self._models.pop(key, None)
        return {key, *(self._rivals(model) if model is not None else ())}

    def older(self, model: ImageModel) -> ImageModel | None:
        """The ImageModel that has the `modelId` of `model` and was there before it, if there is one."""
        rivals = [self._models[key] for key in self._rivals(model)]
        winner = in_force([model, *rivals])[model.spec.model_id]
        return None if key_of(winner) == key_of(model) else winner

    def using_profile(self, name: str) -> set[ModelKey]:
        """The models whose RuntimeProfile is `name`."""
        return {key for key, model in self._models.items() if model.spec.profile == name}

    def _rivals(self, model: ImageModel) -> set[ModelKey]:
        return {key for key, one in self._models.items() if one.spec.model_id == model.spec.model_id}
