"""Bringing the cluster to what is desired: server-side apply, and only where something differs."""

from collections.abc import Mapping
from typing import Any, Final

from easel_crds.quantity import parse_quantity
from easel_kube.client import ApiError, Json, Kube
from easel_operator.desired import CHILDREN

_QUANTITIES: Final = ("requests", "limits", "sizeLimit")
_WHOLE: Final = ("selector", "matchLabels")
"""Atomic maps: one key more selects other pods."""


async def apply_children(kube: Kube, desired: tuple[Json, ...], live: Mapping[str, Json | None]) -> None:
    """Make or mend the children that are missing or differ. `live` is by kind.

    Raises:
        ApiError: the first refusal, after all others were applied.
    """
    refusal: ApiError | None = None
    for document in desired:
        found = live[document["kind"]]
        if covers(found, document) or (found is not None and "deletionTimestamp" in found["metadata"]):
            continue
        try:
            await _apply(kube, document, found)
        except ApiError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


async def _apply(kube: Kube, document: Json, live: Json | None) -> None:
    kind = CHILDREN[document["kind"]]
    try:
        await kube.apply(kind, document)
    except ApiError as error:
        if error.status != 422 or live is None or not await _valid(kube, document):
            raise
        # What somebody wrote into it does not go together with what we say (a second port of one name, say). It goes,
        # and is made anew when its deletion is told; a Deployment leaves its pods behind, for the new one to adopt.
        metadata = live["metadata"]
        orphan = document["kind"] == "Deployment"
        await kube.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"], orphan=orphan)


async def _valid(kube: Kube, document: Json) -> bool:
    """Whether the API server would take `document` if there were nothing of its name."""
    try:
        await kube.create(CHILDREN[document["kind"]], document["metadata"]["namespace"], document, dry_run=True)
    except ApiError as error:
        return error.status == 409  # it is there already, which is looked at last
    return True


def covers(live: object, desired: object) -> bool:
    """Whether every field of `desired` has its value in `live`.

    What else `live` has is somebody else's: defaults, other controllers' fields. Selectors are compared whole. Lists
    whose items have names are compared by name, as server-side apply merges them; of others the length counts too.
    """
    return _covers(live, desired, quantities=False)


def _covers(live: object, desired: object, *, quantities: bool, whole: bool = False) -> bool:
    match desired:
        case dict() if whole:
            return live == desired
        case dict():
            return isinstance(live, dict) and all(
                _covers(live.get(key), value, quantities=quantities or key in _QUANTITIES, whole=key in _WHOLE)
                for key, value in desired.items()
            )
        case list() if desired and all(isinstance(item, dict) and "name" in item for item in desired):
            return isinstance(live, list) and _covers_named(live, desired)
        case list():
            return (
                isinstance(live, list)
                and len(live) == len(desired)
                and all(_covers(one, other, quantities=quantities) for one, other in zip(live, desired, strict=True))
            )
        case str() if quantities and isinstance(live, str) and live != desired:
            return _same_quantity(live, desired)
    return live == desired


def _covers_named(live: list[Any], desired: list[dict[str, Any]]) -> bool:
    by_name = {item.get("name"): item for item in live if isinstance(item, dict)}
    return all(_covers(by_name.get(item["name"]), item, quantities=False) for item in desired)


def _same_quantity(one: str, other: str) -> bool:
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False
