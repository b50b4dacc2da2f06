"""The gateway's `Directory` on a cluster: fed by the watches of ImageModels and EndpointSlices."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from easel_crds.demand import Demand, ModelKey
from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import InvalidManifest, stored_model
from easel_crds.metadata import Label
from easel_crds.precedence import in_force
from easel_gateway.cluster.entries import Json, endpoints_of, entry_of, merged
from easel_gateway.directory import Endpoint, Entry
from easel_http.errors import Unavailable

_log = logging.getLogger(__name__)
_SYNC_SECONDS: Final = 5
"""Forecast of the first complete list."""


class Publish(Protocol):
    """Takes the demand for one model; `urgent`: nothing serves it, and somebody waits."""

    def __call__(self, key: ModelKey, demand: Demand, *, urgent: bool) -> None: ...


class ClusterDirectory:
    """Every model of the cluster; `entries` costs nothing, because each change updates what it touches.

    `models` and `slices` are to be fed with what the API server has (`easel_gateway.cluster.mirror.Copy`).
    """

    def __init__(self, publish: Publish) -> None:
        self.models = Models(self._update)
        self.slices = Slices(self._moved)
        self._publish = publish
        self._entries: dict[str, Entry] = {}
        self._view = MappingProxyType(self._entries)
        self._published: dict[str, ModelKey] = {}
        self._listeners: list[Callable[[], None]] = []

    async def synced(self) -> None:
        """Return once both collections were listed."""
        await self.models.listed.wait()
        await self.slices.listed.wait()

    def entries(self) -> Mapping[str, Entry]:
        """See `easel_gateway.directory.Directory`.

        Raises:
            Unavailable: it is not known yet which models there are.
        """
        if not (self.models.listed.is_set() and self.slices.listed.is_set()):
            raise Unavailable("the gateway has not read the models yet", retry_after=_SYNC_SECONDS)
        return self._view

    def report(self, model_id: str, demand: Demand) -> None:
        """See `easel_gateway.directory.Directory`."""
        entry = self._entries.get(model_id)
        key = None if entry is None else _key(entry.model.metadata.namespace, entry.model.name)
        before = self._published.get(model_id)
        if before is not None and before != key:  # removed, or another ImageModel is in force for this id
            self._publish(before, Demand(), urgent=False)
            del self._published[model_id]
        if entry is not None and key is not None:
            self._published[model_id] = key
            self._publish(key, demand, urgent=bool(demand.waiting) and not entry.endpoints)

    def on_change(self, listener: Callable[[], None]) -> None:
        """See `easel_gateway.directory.Directory`."""
        self._listeners.append(listener)

    def _moved(self, keys: Iterable[ModelKey]) -> None:
        self._update({model.spec.model_id for key in keys if (model := self.models.get(key)) is not None})

    def _update(self, model_ids: Iterable[str]) -> None:
        """Compute the entries of `model_ids` anew, and tell if anything is different."""
        changed = False
        for model_id in model_ids:
            before, now = self._entries.get(model_id), self._entry(model_id)
            if now == before:
                continue
            changed = True
            if now is None:
                del self._entries[model_id]
            else:
                self._entries[model_id] = now
        if changed:
            for listener in self._listeners:
                listener()

    def _entry(self, model_id: str) -> Entry | None:
        model = in_force(self.models.claiming(model_id)).get(model_id)
        if model is None:
            return None
        return entry_of(model, self.slices.endpoints(_key(model.metadata.namespace, model.name)))


class Models:
    """The ImageModels, as far as this version can read them."""

    def __init__(self, changed: Callable[[Iterable[str]], None]) -> None:
        """`changed` is called with the modelIds that a change touches."""
        self.listed = asyncio.Event()
        self._changed = changed
        self._versions: dict[ModelKey, Any] = {}
        self._models: dict[ModelKey, ImageModel] = {}
        self._claims: defaultdict[str, dict[ModelKey, ImageModel]] = defaultdict(dict)

    def get(self, key: ModelKey) -> ImageModel | None:
        """The ImageModel of that name."""
        return self._models.get(key)

    def claiming(self, model_id: str) -> Iterable[ImageModel]:
        """Every ImageModel with that modelId."""
        return self._claims[model_id].values() if model_id in self._claims else ()

    def put(self, document: Json) -> None:
        """See `Copy.put`. What is known already is not read again."""
        metadata = document["metadata"]
        key = _key(metadata["namespace"], metadata["name"])
        version = metadata.get("uid"), metadata["resourceVersion"]
        if self._versions.get(key) != version:
            self._versions[key] = version
            self._set(key, _read(document))

    def drop(self, key: tuple[str, str]) -> None:
        """See `Copy.drop`."""
        self._versions.pop(_key(*key), None)
        self._set(_key(*key), None)

    def retain(self, keys: set[tuple[str, str]]) -> None:
        """See `Copy.retain`."""
        for key in {(key.namespace, key.name) for key in self._versions} - keys:
            self.drop(key)
        self.listed.set()

    def _set(self, key: ModelKey, model: ImageModel | None) -> None:
        before = self._models.pop(key, None)
        if before is not None:
            claims = self._claims[before.spec.model_id]
            del claims[key]
            if not claims:
                del self._claims[before.spec.model_id]
        if model is not None:
            self._models[key] = model
            self._claims[model.spec.model_id][key] = model
        self._changed({each.spec.model_id for each in (before, model) if each is not None})


class Slices:
    """What the EndpointSlices say of each model."""

    def __init__(self, changed: Callable[[Iterable[ModelKey]], None]) -> None:
        """`changed` is called with the ImageModels that a change touches."""
        self.listed = asyncio.Event()
        self._changed = changed
        self._owners: dict[tuple[str, str], ModelKey] = {}
        self._endpoints: defaultdict[ModelKey, dict[tuple[str, str], tuple[Endpoint, ...]]] = defaultdict(dict)

    def endpoints(self, key: ModelKey) -> tuple[Endpoint, ...]:
        """The endpoints of an ImageModel, from all its slices."""
        return merged(self._endpoints[key].values()) if key in self._endpoints else ()

    def put(self, document: Json) -> None:
        """See `Copy.put`."""
        metadata = document["metadata"]
        place = metadata["namespace"], metadata["name"]
        owner = _key(metadata["namespace"], metadata["labels"][Label.MODEL])
        touched = {owner, self._forget(place) or owner}
        self._owners[place] = owner
        self._endpoints[owner][place] = endpoints_of(document)
        self._changed(touched)

    def drop(self, key: tuple[str, str]) -> None:
        """See `Copy.drop`."""
        owner = self._forget(key)
        if owner is not None:
            self._changed({owner})

    def retain(self, keys: set[tuple[str, str]]) -> None:
        """See `Copy.retain`."""
        for key in self._owners.keys() - keys:
            self.drop(key)
        self.listed.set()

    def _forget(self, place: tuple[str, str]) -> ModelKey | None:
        owner = self._owners.pop(place, None)
        if owner is not None:
            del self._endpoints[owner][place]
            if not self._endpoints[owner]:
                del self._endpoints[owner]
        return owner


def _key(namespace: str, name: str) -> ModelKey:
    return ModelKey(namespace, name)


def _read(document: Json) -> ImageModel | None:
    """The ImageModel in `document`; None if it is on its way out, or this version cannot read it."""
    metadata = document["metadata"]
    if "deletionTimestamp" in metadata:
        return None
    try:
        return stored_model(document)
    except InvalidManifest as error:
        _log.error("ImageModel %s/%s is left out: %s", metadata["namespace"], metadata["name"], error)
        return None
