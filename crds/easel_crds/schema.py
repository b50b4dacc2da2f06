"""The CustomResourceDefinitions, generated from the pydantic models.

`python -m easel_crds.schema DIRECTORY` writes one YAML file per kind. Kubernetes wants a *structural* schema:
no references, no unions with null, no `additionalProperties: false` (unknown fields are pruned or refused by
the API server itself).
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import GROUP, VERSION
from easel_crds.rules import Resource, Rule
from easel_crds.runtimeprofile import RuntimeProfile

HEADER: Final = "# Generated from crds/easel_crds by `make crds`; edit the models, not this file.\n"

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def document(self) -> Json:
        """The column as a CRD wants it."""
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **({"priority": 1} if self.wide else {})}


@dataclass(frozen=True)
class Kind:
    """What a CRD says besides its schema."""

    model: type[Resource]
    plural: str
    short: str
    scope: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    subresources: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The kind, as manifests write it."""
        return self.model.__name__


KINDS: Final = (
    Kind(
        model=ImageModel,
        plural="imagemodels",
        short="im",
        scope="Namespaced",
        columns=(
            Column("Model", ".spec.modelId"),
            Column("Mode", ".status.mode"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Replicas", ".status.readyReplicas", "integer"),
            Column("Price", ".spec.price.amount"),
            Column("GPU", ".spec.gpu.memory"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Endpoint", ".status.endpoint", wide=True),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ),
        selectable=(".spec.modelId", ".spec.profile"),
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
    ),
    Kind(
        model=RuntimeProfile,
        plural="runtimeprofiles",
        short="rp",
        scope="Cluster",
        columns=(
            Column("Image", ".spec.image"),
            Column("GPU Resource", ".spec.gpuResource"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    ),
)


def custom_resource_definition(kind: Kind) -> Json:
    """The CRD of `kind`, as a document for `kubectl apply`."""
    version: Json = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": structural_schema(kind.model)},
        "additionalPrinterColumns": [column.document() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    if kind.subresources is not None:
        version["subresources"] = dict(kind.subresources)
    singular = kind.name.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": [kind.short],
                "categories": ["easel"],
            },
            "scope": kind.scope,
            "versions": [version],
        },
    }


def structural_schema(model: type[Resource]) -> Json:
    """The OpenAPI v3 schema of a kind, with the rules of its objects as `x-kubernetes-validations`."""
    schema = _object(model)
    # The API server owns these three; it allows no more about metadata here than its type.
    schema["properties"]["apiVersion"] = {"type": "string"}
    schema["properties"]["kind"] = {"type": "string"}
    schema["properties"]["metadata"] = {"type": "object"}
    schema["required"] = ["metadata", "spec"] if "spec" in schema.get("required", ()) else ["metadata"]
    schema["properties"].get("status", {}).pop("default", None)
    return schema


def _object(model: type[BaseModel]) -> Json:
    generated = model.model_json_schema(by_alias=True)
    definitions: Json = generated.pop("$defs", {})
    rules = {kind.__name__: kind.rules for kind in _resources()}
    return _structural(generated, definitions, rules)


def _resources() -> list[type[Resource]]:
    """Every resource class there is."""
    found: list[type[Resource]] = []
    pending: list[type[Resource]] = [Resource]
    while pending:
        subclasses = pending.pop().__subclasses__()
        found += subclasses
        pending += subclasses
    return found


def _structural(schema: Json, definitions: Json, rules: Mapping[str, tuple[Rule, ...]]) -> Json:
    """`schema` without references, titles, nulls and `const`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _structural(
            {**definitions[name], **{key: schema[key] for key in schema if key != "$ref"}}, definitions, rules
        )
    if "anyOf" in schema:
        (inner,) = (option for option in schema["anyOf"] if option.get("type") != "null")
        outer = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _structural({**inner, **outer}, definitions, rules)
    result = {key: value for key, value in schema.items() if key not in ("title", "additionalProperties", "const")}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "default" in result:
        result["default"] = _without_nulls(result["default"])
    if "properties" in schema:
        result["properties"] = {
            name: _structural(part, definitions, rules) for name, part in schema["properties"].items()
        }
        if cel := [_validation(rule) for rule in rules.get(schema.get("title", ""), ())]:
            result["x-kubernetes-validations"] = cel
    if "items" in schema:
        result["items"] = _structural(schema["items"], definitions, rules)
    return result


def _without_nulls(value: Any) -> Any:
    """`value` without the fields that are null: the API server refuses such a default, and an absent field says it."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _validation(rule: Rule) -> Json:
    path = {"fieldPath": f".{rule.field}"} if rule.field else {}
    return {"rule": rule.cel, "message": rule.message, **path}


def write(directory: Path) -> None:
    """Write one YAML file per kind into `directory`."""
    for kind in KINDS:
        document = yaml.safe_dump(custom_resource_definition(kind), sort_keys=False, width=120, allow_unicode=True)
        (directory / f"{kind.plural}.yaml").write_text(HEADER + document)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the CustomResourceDefinitions as YAML.")
    parser.add_argument("directory", type=Path)
    write(parser.parse_args().directory)
