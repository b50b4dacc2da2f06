"""The cases of tests/contract/cases.yaml as documents, for every side that enforces the rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from easel_crds.metadata import API_VERSION

_FILE: Final = Path(__file__).parents[1] / "contract" / "cases.yaml"
_LEAST: Final[Mapping[str, Mapping[str, Any]]] = {"ImageModel": {"modelId": "easel/demo"}, "RuntimeProfile": {}}
"""The spec that each kind needs at least."""


@dataclass(frozen=True)
class Case:
    """One document that one rule accepts or refuses."""

    of: str
    """Name of the class that the rule belongs to."""
    rule: str
    """Start of the rule's sentence."""
    field: str
    """Path of the field that the rule blames."""
    accepted: bool
    document: dict[str, Any]
    """A whole document, valid but for this rule."""
    old: dict[str, Any] | None
    """The document that it replaces, where the rule is one on changes."""
    name: str
    """What tells this case from the others."""


def cases() -> Iterator[Case]:
    """Every case of the table."""
    for group in yaml.safe_load(_FILE.read_text()):
        for verdict in ("accepted", "refused"):
            for given in group[verdict]:
                unknown = given.keys() - {"spec", "name", "old"}
                assert not unknown, f"{_FILE}: {unknown}"
                kind, name = group["kind"], given.get("name", "demo")
                given_text = yaml.safe_dump(given, default_flow_style=True, width=999).strip()
                yield Case(
                    of=group["of"],
                    rule=group["rule"],
                    field=group["field"],
                    accepted=verdict == "accepted",
                    document=_document(kind, name, given.get("spec", {})),
                    old=_document(kind, name, given["old"]) if "old" in given else None,
                    name=f"{group['field']} {verdict} {given_text}",
                )


def _document(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**_LEAST[kind], **spec},
    }
