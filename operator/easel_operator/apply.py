"""Bringing the cluster to what is desired: server-side apply, and only where something differs."""

from collections.abc import Mapping
from typing import Any, Final

from easel_crds.quantity import parse_quantity
from easel_kube.client import Json, Kube
from easel_operator.desired import CHILDREN

_QUANTITIES: Final = ("requests", "limits", "sizeLimit")


async def apply_children(kube: Kube, desired: tuple[Json, ...], live: Mapping[str, Json | None]) -> bool:
    """Make or mend the children that are missing or differ; whether there were any. `live` is by kind."""
    changed = False
    for document in desired:
        kind = document["kind"]
        if not covers(live[kind], document):
            await kube.apply(CHILDREN[kind], document)
            changed = True
    return changed


def covers(live: object, desired: object) -> bool:
    """Whether every field of `desired` has its value in `live`.

    What else `live` has is somebody else's: defaults, other controllers' fields. Lists whose items have names are
    compared by name, as server-side apply merges them; of others the length counts too.
    """
    return _covers(live, desired, quantities=False)


def _covers(live: object, desired: object, *, quantities: bool) -> bool:
    match desired:
        case dict():
            return isinstance(live, dict) and all(
                _covers(live.get(key), value, quantities=quantities or key in _QUANTITIES)
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
