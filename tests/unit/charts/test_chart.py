"""The chart agrees with the code that it installs; what Helm makes of it is for the cluster tests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from easel_crds import __version__
from easel_crds.metadata import GATEWAY_PORT
from easel_gateway.settings import Pod, ServerSettings
from easel_kube import kinds
from easel_kube.kinds import ENDPOINT_SLICES, IMAGE_MODELS, SECRETS
from easel_operator.desired import CHILDREN
from easel_operator.settings import Settings as OperatorSettings
from testbed import images

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/easel"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def template(name: str) -> str:
    return (CHART / "templates" / f"{name}.yaml").read_text()


def granted(name: str, kind: str) -> set[tuple[str, str, str]]:
    """(API group, resource, verb) of a role in a template."""
    (role,) = (each for each in template(name).split("---") if f"\nkind: {kind}\n" in each)
    rules = yaml.safe_load(role[role.index("\nrules:") :])["rules"]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def objects(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Each object of the schema that names its properties, with its values."""
    if "properties" in schema:
        yield path, schema, values
        for name, each in schema["properties"].items():
            yield from objects(each, (values or {}).get(name), f"{path}.{name}")


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_definitions_are_the_generated_ones() -> None:
    links = sorted((CHART / "crds").iterdir())
    assert [link.name for link in links] == sorted(path.name for path in (ROOT / "crds").glob("*.yaml"))
    for link in links:
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert link.resolve() == ROOT / "crds" / link.name


def test_the_schema_knows_every_value_and_refuses_others() -> None:
    for path, schema, values in objects(SCHEMA, VALUES):
        assert schema["additionalProperties"] is False, path
        if values:  # the others are free, like affinity
            optional = {"global"} if not path else set()
            assert set(values) == set(schema["properties"]) - optional, path


def test_every_value_is_described_in_a_sentence() -> None:
    silent = [
        f"{path}.{name}"
        for path, schema, _ in objects(SCHEMA, VALUES)
        for name, each in schema["properties"].items()
        if not re.fullmatch(r"[A-Z].*\.", each.get("description", ""))
    ]
    assert silent == []


def test_the_default_profile_may_have_the_fields_of_its_definition() -> None:
    definition = yaml.safe_load((ROOT / "crds/runtimeprofiles.yaml").read_text())["spec"]["versions"][0]
    fields = definition["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    expected = {name: {key: field[key] for key in ("type", "description")} for name, field in fields.items()}
    assert SCHEMA["properties"]["defaultProfile"]["properties"]["spec"]["properties"] == expected


def test_the_test_bed_builds_the_images_that_the_chart_asks_for() -> None:
    for name in images.DOCKERFILES:
        assert images.image(name).reference == f"{VALUES[name]['repository']}:{__version__}"


def test_the_variables_that_the_chart_sets_are_read() -> None:
    operator = {f"EASEL_OPERATOR_{name.upper()}" for name in OperatorSettings.model_fields}
    gateway = {f"EASEL_GATEWAY_{name.upper()}" for name in ServerSettings.model_fields}
    pod = {f"POD_{name.upper()}" for name in Pod.model_fields}
    assert set(re.findall(r"name: ([A-Z_]{4,})", template("operator"))) <= operator
    set_there = set(re.findall(r"name: ([A-Z_]{4,})", template("gateway")))
    assert pod <= set_there <= gateway | pod


def test_the_ports_are_those_that_are_listened_on() -> None:
    assert f"containerPort: {GATEWAY_PORT}" in template("gateway")
    assert f"containerPort: {OperatorSettings.model_fields['liveness_port'].default}" in template("operator")


def test_a_gateway_may_end_by_itself() -> None:
    (margin,) = re.findall(
        r"terminationGracePeriodSeconds: {{ add .Values.gateway.drainSeconds (\d+) }}", template("gateway")
    )
    assert int(margin) >= ServerSettings.model_fields["leave_seconds"].default + 10


def test_the_operator_may_do_what_it_does_and_no_more() -> None:
    made = {kind.plural for kind in CHILDREN.values()}
    watched = made | {"imagemodels", "runtimeprofiles", "pods", "leases"}
    every = [
        each for each in vars(kinds).values() if isinstance(each, kinds.Kind) and each not in (ENDPOINT_SLICES, SECRETS)
    ]
    group = {kind.plural: kind.api_version.rpartition("/")[0] for kind in every}
    needed = {(group[name], name, verb) for name in watched for verb in ("list", "watch")}
    needed |= {(group[name], name, "get") for name in made | {"imagemodels", "runtimeprofiles", "nodes"}}
    needed |= {(group[name], name, verb) for name in made for verb in ("create", "patch", "delete")}
    needed |= {(group["events"], "events", "create"), (group["events"], "events", "list"), ("", "pods", "delete")}
    needed |= {("easel.dev", "imagemodels/status", "patch"), ("easel.dev", "imagemodels/finalizers", "update")}
    for_kopf = {("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch")}
    assert set(group) == {resource for _, resource, _ in needed if "/" not in resource}, (
        "a kind that the chart does not know"
    )
    assert granted("operator-access", "ClusterRole") == needed | for_kopf


def test_the_gateway_may_do_what_it_does_and_no_more() -> None:
    read = {(each.api_version.rpartition("/")[0], each.plural) for each in (IMAGE_MODELS, ENDPOINT_SLICES)}
    assert granted("gateway-access", "ClusterRole") == {(*each, verb) for each in read for verb in ("list", "watch")}
    assert granted("gateway-access", "Role") == {
        *(("coordination.k8s.io", "leases", verb) for verb in ("create", "patch")),
        *(("", SECRETS.plural, verb) for verb in ("list", "watch")),
    }
