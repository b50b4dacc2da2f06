"""The keys of callers on a cluster: the labelled Secrets of the gateway's own namespace, as they are at each moment."""

import logging
from typing import Any

from easel_crds.keys import Key, parse_key
from easel_crds.manifest import InvalidManifest
from easel_gateway.keys import KeyRing

_log = logging.getLogger(__name__)


class Secrets:
    """Takes in Secrets (`easel_gateway.cluster.mirror.Copy`) and keeps `ring` true to them."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._keys: dict[tuple[str, str], Key] = {}

    def put(self, document: dict[str, Any]) -> None:
        """See `Copy.put`. A Secret that makes no sense lets nobody in."""
        metadata = document["metadata"]
        place = metadata["namespace"], metadata["name"]
        try:
            self._keys[place] = parse_key(document)
        except InvalidManifest as error:
            _log.error("the key in Secret %s/%s is left out: %s", *place, error)
            self._keys.pop(place, None)
        self._tell()

    def drop(self, key: tuple[str, str]) -> None:
        """See `Copy.drop`."""
        self._keys.pop(key, None)
        self._tell()

    def retain(self, keys: set[tuple[str, str]]) -> None:
        """See `Copy.retain`."""
        self._keys = {place: key for place, key in self._keys.items() if place in keys}
        self._tell()

    def _tell(self) -> None:
        self._ring.replace(self._keys.values())
