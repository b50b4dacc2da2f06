"""The reference page of the resources, generated from the models: fields, defaults, rules, conditions.

`python -m easel_crds.reference FILE` writes it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from easel_crds.conditions import ConditionType, Documented, Reason
from easel_crds.schema import KINDS, Kind, structural_schema

Json = dict[str, Any]
_SKIPPED: Final = ("apiVersion", "kind", "metadata")
_BOUNDS: Final = (
    ("minimum", ">= {}"),
    ("maximum", "<= {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
)


def page() -> str:
    """The whole page, as Markdown."""
    parts = [
        "# Resources",
        "Generated from `crds/easel_crds` by `make crds`; edit the models, not this file.",
        *(_kind(kind) for kind in KINDS),
        _words("Conditions of an ImageModel", ConditionType),
        _words("Reasons", Reason),
    ]
    return "\n\n".join(parts) + "\n"


def _kind(kind: Kind) -> str:
    schema = structural_schema(kind.model)
    rows = "\n".join(_rows(schema, ""))
    rules = "\n".join(f"- `{path or '(whole object)'}`: {message}" for path, message in _rules(schema, ""))
    return (
        f"## {kind.name}\n\n{schema['description']} {kind.scope}; short name `{kind.short}`.\n\n"
        f"| field | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}\n\n"
        f"Rules, on a cluster and on one machine alike:\n\n{rules}"
    )


def _rows(schema: Json, path: str) -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        if not path and name in _SKIPPED:
            continue
        field = f"{path}{name}"
        inner = part.get("items", part)
        default = "" if "properties" in part or "default" not in part else f"`{_literal(part['default'])}`"
        meaning = part.get("description", "").replace("|", "\\|")
        required = " Required." if name in schema.get("required", ()) and name != "spec" else ""
        yield f"| `{field}` | {_type(part)} | {default} | {meaning}{required} |"
        yield from _rows(inner, f"{field}{'[]' if 'items' in part else ''}.")


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _type(part: Json) -> str:
    if "enum" in part:
        return " or ".join(f"`{value or '(empty)'}`" for value in part["enum"])
    kind = f"list of {part['items']['type']}s" if part["type"] == "array" else part["type"]
    bounds = [form.format(part[key]) for key, form in _BOUNDS if key in part]
    return f"{kind}, {', '.join(bounds)}" if bounds else kind


def _rules(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}{rule.get('fieldPath', '')}".strip("."), rule["message"]
    for name, part in schema.get("properties", {}).items():
        yield from _rules(part.get("items", part), f"{path}.{name}" if path else name)


def _words(title: str, words: type[Documented]) -> str:
    rows = "\n".join(f"| `{word.value}` | {word.meaning} |" for word in words)
    return f"## {title}\n\n| word | meaning |\n| --- | --- |\n{rows}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the reference page of the resources.")
    parser.add_argument("file", type=Path)
    parser.parse_args().file.write_text(page())
