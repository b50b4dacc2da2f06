import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

import pytest
import yaml

from easel_crds.imagemodel import ImageModel
from easel_crds.rules import Resource
from easel_crds.runtimeprofile import RuntimeProfile
from easel_crds.schema import KINDS, Kind, custom_resource_definition, structural_schema, write

_CRDS: Final = Path(__file__).parents[3] / "crds"
_FORBIDDEN: Final = frozenset(
    ("$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "additionalProperties", "definitions")
)
"""What a structural schema may not hold, or what says nothing in one."""

_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def _parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema inside `schema`, with the path of the field that it is for."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from _parts(part, f"{path}.{name}")
    if "items" in schema:
        yield from _parts(schema["items"], f"{path}[]")


def _nulls(value: object, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nulls(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nulls(item, f"{path}[{index}]")


def _resources(annotation: Any) -> list[type[Resource]]:
    """The resource classes that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Resource):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple):
        return [found for part in get_args(annotation) for found in _resources(part)]
    return []


def _objects(model: type[Resource], path: str = "") -> Iterator[tuple[str, type[Resource]]]:
    """Each resource class inside `model`, with the path of the field that it is for."""
    yield path, model
    for name, field in model.model_fields.items():
        for part in _resources(field.annotation):
            items = "[]" if get_origin(field.annotation) is tuple else ""
            yield from _objects(part, f"{path}.{field.alias or name}{items}")


def _version(kind: Kind) -> dict[str, Any]:
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    assert isinstance(version, dict)
    return version


@_kinds
def test_a_schema_is_structural(kind: Kind) -> None:
    for path, part in _parts(structural_schema(kind.model)):
        assert not _FORBIDDEN & part.keys(), path
        assert part["type"] in ("object", "array", "string", "integer", "number", "boolean"), path
        assert ("properties" in part) == (part["type"] == "object" and path != ".metadata"), path
        assert ("items" in part) == (part["type"] == "array"), path


@_kinds
def test_nothing_in_a_schema_is_null(kind: Kind) -> None:
    assert list(_nulls(custom_resource_definition(kind))) == []


@_kinds
def test_every_field_is_explained(kind: Kind) -> None:
    for path, part in _parts(structural_schema(kind.model)):
        if path not in (".apiVersion", ".kind", ".metadata") and not (path.endswith("[]") and "properties" not in part):
            assert part.get("description", "").endswith("."), path
            assert "\n" not in part["description"], path


@_kinds
def test_every_text_and_every_list_is_bounded_so_that_the_cost_of_rules_is(kind: Kind) -> None:
    for path, part in _parts(structural_schema(kind.model)):
        if part["type"] == "string" and path not in (".apiVersion", ".kind"):
            assert "maxLength" in part or "enum" in part or part.get("format") == "date-time", path
        if part["type"] == "array":
            assert "maxItems" in part, path
            assert part["x-kubernetes-list-type"] in ("atomic", "set", "map"), path


@_kinds
def test_every_list_that_is_a_map_requires_its_keys(kind: Kind) -> None:
    for path, part in _parts(structural_schema(kind.model)):
        for key in part.get("x-kubernetes-list-map-keys", ()):
            assert key in part["items"]["required"], path


@_kinds
def test_every_object_with_rules_hands_them_to_the_api_server(kind: Kind) -> None:
    parts = dict(_parts(structural_schema(kind.model)))
    objects = dict(_objects(kind.model))
    for path, model in objects.items():
        said = [
            (rule["rule"], rule["message"], rule["fieldPath"].removeprefix("."))
            for rule in parts[path].get("x-kubernetes-validations", ())
        ]
        assert said == [(rule.cel, rule.message, rule.field) for rule in model.rules], path
        assert all(field in parts[path]["properties"] for _, _, field in said), path
    assert any(model.rules for model in objects.values())
    assert {path for path, part in parts.items() if "x-kubernetes-validations" in part} <= objects.keys()


@_kinds
def test_every_field_of_the_models_is_in_the_schema(kind: Kind) -> None:
    parts = dict(_parts(structural_schema(kind.model)))
    for path, model in _objects(kind.model):
        assert parts[path]["properties"].keys() == {field.alias for field in model.model_fields.values()}, path


@_kinds
def test_every_default_is_one_that_the_api_server_accepts(kind: Kind) -> None:
    for path, part in _parts(structural_schema(kind.model)):
        if "default" in part and part["type"] == "object":
            assert part["default"].keys() <= part["properties"].keys(), path
            assert set(part.get("required", ())) <= part["default"].keys(), path
        if "default" in part and "enum" in part:
            assert part["default"] in part["enum"], path


def test_a_model_needs_a_spec_with_a_model_id_and_a_profile_needs_none() -> None:
    model, profile = structural_schema(ImageModel), structural_schema(RuntimeProfile)
    assert model["required"] == ["metadata", "spec"]
    assert model["properties"]["spec"]["required"] == ["modelId"]
    assert profile["required"] == ["metadata"]
    assert "required" not in profile["properties"]["spec"]


def test_the_api_server_does_not_make_a_status_up() -> None:
    assert "default" not in structural_schema(ImageModel)["properties"]["status"]


def test_a_price_is_text_so_that_no_digit_is_lost() -> None:
    amount = structural_schema(ImageModel)["properties"]["spec"]["properties"]["price"]["properties"]["amount"]
    assert (amount["type"], amount["default"]) == ("string", "1.9073484e-08")


@_kinds
def test_the_file_in_the_repository_is_what_the_models_say(kind: Kind, tmp_path: Path) -> None:
    write(tmp_path)
    name = f"{kind.plural}.yaml"
    assert (_CRDS / name).read_text() == (tmp_path / name).read_text(), "run make crds"
    assert yaml.safe_load((_CRDS / name).read_text()) == custom_resource_definition(kind)


@_kinds
def test_a_file_is_less_than_30_kb(kind: Kind) -> None:
    assert (_CRDS / f"{kind.plural}.yaml").stat().st_size < 30_000


def test_kubectl_get_shows_these_columns() -> None:
    columns = [(column["name"], column["jsonPath"]) for column in _version(KINDS[0])["additionalPrinterColumns"]]
    assert columns == [
        ("Model", ".spec.modelId"),
        ("Mode", ".status.mode"),
        ("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        ("Replicas", ".status.readyReplicas"),
        ("Price", ".spec.price.amount"),
        ("GPU", ".spec.gpu.memory"),
        ("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
        ("Age", ".metadata.creationTimestamp"),
        ("Endpoint", ".status.endpoint"),
        ("Message", '.status.conditions[?(@.type=="Ready")].message'),
    ]


def test_only_wide_output_shows_endpoint_and_message() -> None:
    wide = [column["name"] for column in _version(KINDS[0])["additionalPrinterColumns"] if "priority" in column]
    assert wide == ["Endpoint", "Message"]


@_kinds
def test_every_path_that_a_crd_names_leads_to_a_field(kind: Kind) -> None:
    version = _version(kind)
    fields = dict(_parts(structural_schema(kind.model)))
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [field["jsonPath"] for field in version.get("selectableFields", ())]
    paths += version.get("subresources", {}).get("scale", {}).values()
    for path in paths:
        assert path.replace('[?(@.type=="Ready")]', "[]") in {*fields, ".metadata.creationTimestamp"}


def test_a_model_scales_like_a_deployment_and_can_be_selected_by_its_fields() -> None:
    version = _version(KINDS[0])
    assert version["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    assert version["selectableFields"] == [{"jsonPath": ".spec.modelId"}, {"jsonPath": ".spec.profile"}]


def test_the_names_are_these() -> None:
    model, profile = (custom_resource_definition(kind) for kind in KINDS)
    assert model["metadata"]["name"] == "imagemodels.easel.dev"
    assert profile["metadata"]["name"] == "runtimeprofiles.easel.dev"
    assert (model["spec"]["scope"], profile["spec"]["scope"]) == ("Namespaced", "Cluster")
    assert model["spec"]["names"] == {
        "kind": "ImageModel",
        "listKind": "ImageModelList",
        "plural": "imagemodels",
        "singular": "imagemodel",
        "shortNames": ["im"],
        "categories": ["easel"],
    }
    for document in (model, profile):
        (version,) = document["spec"]["versions"]
        assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
