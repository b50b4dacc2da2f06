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
        self._told: set[ModelKey] | None = None
        """Models of which was told while a list is on its way."""

    def expect_list(self) -> None:
        """A list of all is on its way; what is told from now on is newer than it."""
        self._told = set()

    def replace(self, models: Iterable[ImageModel]) -> set[ModelKey]:
        """Take `models`, the list that was expected, for all there are; the keys of these and of those before."""
        before, told = self._models, self._told or set()
        listed = {key_of(model): model for model in models}
        newer = {key: before[key] for key in told if key in before}
        self._models = {key: model for key, model in listed.items() if key not in told} | newer
        self._told = None
        return {*before, *self._models}

    def put(self, model: ImageModel) -> set[ModelKey]:
        """`model` is new or changed; the models that this may matter to."""
        former = self.remove(key_of(model), "")
        self._models[key_of(model)] = model
        return former | self._rivals(model.spec.model_id)

    def remove(self, key: ModelKey, uid: str) -> set[ModelKey]:
        """`key` is gone, if it is the one with this `uid` (empty: any); the models that this may matter to."""
        if self._told is not None:
            self._told.add(key)
        known = self._models.get(key)
        if known is not None and uid not in ("", known.metadata.uid):
            return {key}  # it was made again in the meantime
        model = self._models.pop(key, None)
        return {key, *(self._rivals(model.spec.model_id) if model is not None else ())}

    def older(self, model: ImageModel) -> ImageModel | None:
        """The ImageModel that has the `modelId` of `model` and was there before it, if there is one."""
        rivals = self._rivals(model.spec.model_id) - {key_of(model)}
        winner = in_force([model, *(self._models[key] for key in rivals)])[model.spec.model_id]
        return None if winner is model else winner

    def using_profile(self, name: str) -> set[ModelKey]:
        """The models whose RuntimeProfile is `name`."""
        return {key for key, model in self._models.items() if model.spec.profile == name}

    def _rivals(self, model_id: str) -> set[ModelKey]:
        return {key for key, one in self._models.items() if one.spec.model_id == model_id}
