"""From what happens in the cluster to passes of the reconciler: which ImageModels does a change matter to?"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from easel_crds.demand import ModelKey
from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import InvalidManifest, stored_model
from easel_crds.metadata import Label
from easel_kube.client import ApiError, Kube
from easel_kube.kinds import IMAGE_MODELS, LEASES
from easel_operator.autoscale import Autoscaler
from easel_operator.demands import Demands
from easel_operator.inventory import Inventory
from easel_operator.reconcile import Reconciler
from easel_operator.settings import Settings
from easel_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)

Document = Mapping[str, Any]


class Controller:
    """Owns what the operator knows, and the queue of what is to be done. Everything happens on one event loop."""

    def __init__(self, kube: Kube, settings: Settings, instance: str) -> None:
        """`instance`: name of this operator, for Events."""
        self._kube = kube
        self._settings = settings
        self._inventory = Inventory()
        self._demands = Demands()
        self._queue: WorkQueue[ModelKey] = WorkQueue()
        self._reconciler = Reconciler(
            kube, self._inventory, Autoscaler(self._demands), settings.runtime_image, instance
        )

    async def run(self) -> None:
        """Reconcile what is due, and everything now and then, until cancelled. `resync` must have been called."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._settings.workers):
                group.create_task(self._work(), name=f"worker {number}")
            group.create_task(self._resync_regularly(), name="resync")

    async def resync(self) -> None:
        """Learn of everything anew and have a look at it.

        Raises:
            ApiError: the API server did not tell.
        """
        self._inventory.expect_list()
        models, leases = await asyncio.gather(
            self._kube.list(IMAGE_MODELS),
            self._kube.list(LEASES, self._settings.gateway_namespace, labels=Label.DEMAND),
        )
        self._demands.keep({lease["metadata"]["uid"] for lease in leases})
        for lease in leases:
            self._demands.note(lease, asyncio.get_running_loop().time())
        self._look_at(self._inventory.replace(_readable(models)))
        self._look_at(_key(document) for document in models)

    def model_changed(self, document: Document) -> None:
        """An ImageModel was made or changed."""
        for model in _readable([document]):
            self._look_at(self._inventory.put(model))
        self._queue.add(_key(document))

    def model_gone(self, document: Document) -> None:
        """An ImageModel was deleted."""
        self._look_at(self._inventory.remove(_key(document), document["metadata"]["uid"]))

    def profile_changed(self, name: str) -> None:
        """A RuntimeProfile was made, changed or deleted."""
        self._look_at(self._inventory.using_profile(name))

    def child_changed(self, document: Document) -> None:
        """Something that bears a model's label was made, changed or deleted."""
        metadata = document["metadata"]
        self._queue.add(ModelKey(metadata["namespace"], metadata["labels"][Label.MODEL]))

    def demand_changed(self, lease: Document) -> None:
        """A gateway has written its Lease."""
        if self._settings.gateway_namespace in ("", lease["metadata"]["namespace"]):
            self._look_at(self._demands.note(lease, asyncio.get_running_loop().time()))

    def gateway_gone(self, lease: Document) -> None:
        """A gateway's Lease was deleted."""
        self._look_at(self._demands.forget(lease["metadata"]["uid"]))

    def _look_at(self, keys: Iterable[ModelKey]) -> None:
        for key in keys:
            self._queue.add(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                look_again = await self._reconciler.reconcile(key)
            except ApiError as error:  # usual: conflicts, an API server that restarts
                _log.warning("%s: %s; will be tried again", key, error)
                self._queue.done(key, failed=True)
            except Exception:
                _log.exception("%s: the operator failed; will be tried again", key)
                self._queue.done(key, failed=True)
            else:
                self._queue.done(key)
                if look_again is not None:
                    self._queue.add_after(key, look_again)

    async def _resync_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self.resync()
            except ApiError as error:
                _log.warning("not everything could be looked at: %s", error)


def _key(document: Document) -> ModelKey:
    return ModelKey(document["metadata"]["namespace"], document["metadata"]["name"])


def _readable(documents: Iterable[Document]) -> Iterable[ImageModel]:
    """The ImageModels that this version can read; of the others, `reconcile` tells on the objects themselves."""
    for document in documents:
        try:
            yield stored_model(dict(document))
        except InvalidManifest as error:
            _log.warning("ImageModel %s cannot be read: %s", _key(document), error)
