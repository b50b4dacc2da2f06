import datetime as dt
import math
from typing import Any

import pytest

from easel_crds.imagemodel import ImageModel, ImageModelStatus
from easel_crds.manifest import InvalidManifest, Problem, parse, stored_model
from easel_crds.metadata import API_VERSION
from easel_crds.rules import refused_changes
from easel_crds.runtimeprofile import DEFAULT_PROFILE, RuntimeProfile
from support.builders import image_model, manifest, runtime_profile

_MANIFEST_SENTENCE = "a manifest must be a mapping with apiVersion, kind, metadata and spec"
_NAME_SENTENCE = "must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
_MODEL_NAME_SENTENCE = (
    "metadata.name must be at most 50 lower-case letters, digits and '-', so that the names of its pods and"
    " Services fit"
)
_AMOUNT_SENTENCE = 'amount must be a decimal number of zero or more, in quotes, such as "1.9073484e-08"'
_MEMORY_SENTENCE = (
    "memory must be a quantity of at least 20G, such as 20G or 24Gi: smaller GPUs do not hold these models; raise it,"
    " or leave it out"
)
_OPERATOR_SENTENCE = "must be 'In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt' or 'Lt'"
_VALUES_SENTENCE = "values must be empty for Exists and DoesNotExist, one integer for Gt and Lt, else not empty"
_SPEC_FIELDS = (
    "gpu, loras, maxReplicas, modelId, parameters, paused, price, profile, replicas, revision, safety, scaling,"
    " warmReplicas"
)


def _profile(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "RuntimeProfile", "metadata": {"name": "default"}, "spec": spec}


def _without(key: str, document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def _refused(document: object) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        parse(document)
    return [str(problem) for problem in refused.value.problems]


def test_the_smallest_manifest_is_a_name_and_a_model_id() -> None:
    model = parse(
        {
            "apiVersion": "easel.dev/v1alpha1",
            "kind": "ImageModel",
            "metadata": {"name": "pix2pix"},
            "spec": {"modelId": "timbrooks/instruct-pix2pix"},
        }
    )
    assert isinstance(model, ImageModel)
    assert (model.name, model.spec.model_id) == ("pix2pix", "timbrooks/instruct-pix2pix")
    assert (model.spec.revision, model.spec.profile, model.spec.paused) == ("main", "default", False)
    assert (model.spec.warm_replicas, model.spec.max_replicas, model.spec.replicas) == (0, 1, None)
    assert (model.spec.gpu.memory, model.spec.loras.allow, model.spec.loras.max_bytes) == ("20G", ("*",), "1Gi")
    assert (model.spec.scaling.target_in_flight, model.spec.scaling.idle_seconds) == (2, 600)


def test_a_profile_needs_no_spec() -> None:
    assert parse(_without("spec", _profile())) == DEFAULT_PROFILE


def test_what_a_resource_writes_it_reads_again() -> None:
    for resource in (image_model(replicas=2, loras={"allow": ["a/*"]}), runtime_profile(hubToken={"name": "hub"})):
        assert parse(resource.model_dump(mode="json", by_alias=True)) == resource


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"warmReplica": 1}, "spec.warmReplica: there is no such field; did you mean warmReplicas?"),
        ({"warm_replicas": 1}, "spec.warm_replicas: there is no such field; did you mean warmReplicas?"),
        ({"xyz": 1}, f"spec.xyz: there is no such field; remove it (fields here: {_SPEC_FIELDS})"),
        ({"price": {"amnt": "1"}}, "spec.price.amnt: there is no such field; did you mean amount?"),
        ({"price": {"per_pixels": 1}}, "spec.price.per_pixels: there is no such field; did you mean perPixels?"),
        ({"parameters": {"step": {}}}, "spec.parameters.step: there is no such field; did you mean steps?"),
        (
            {"price": {1: "1"}},
            "spec.price.1: there is no such field; remove it (fields here: amount, currency, perPixels)",
        ),
        ({"price": {"amount": 0.02}}, 'spec.price.amount: must be text: write it in quotes, "0.02"'),
        ({"price": {"amount": 1.9073484e-08}}, 'spec.price.amount: must be text: write it in quotes, "1.9073484e-08"'),
        ({"price": {"amount": "abc"}}, f"spec.price.amount: {_AMOUNT_SENTENCE}"),
        ({"price": {"amount": "-1"}}, f"spec.price.amount: {_AMOUNT_SENTENCE}"),
        ({"price": {"amount": "NaN"}}, f"spec.price.amount: {_AMOUNT_SENTENCE}"),
        ({"price": {"amount": "1e-8\n"}}, f"spec.price.amount: {_AMOUNT_SENTENCE}"),
        ({"price": {"amount": "1" * 41}}, "spec.price.amount: must have at most 40 characters, not " + f'"{"1" * 41}"'),
        ({"price": "1.9073484e-08"}, 'spec.price: must be an object, not "1.9073484e-08"'),
        (
            {"gpu": {"memory": "16G"}},
            f"spec.gpu.memory: {_MEMORY_SENTENCE}",
        ),
        (
            {"warmReplicas": 3, "maxReplicas": 2},
            "spec.maxReplicas: maxReplicas must be at least warmReplicas: raise maxReplicas or lower warmReplicas",
        ),
        ({"warmReplicas": "1"}, 'spec.warmReplicas: must be a valid integer, not "1"'),
        ({"warmReplicas": 1.5}, "spec.warmReplicas: must be a valid integer, not 1.5"),
        ({"warmReplicas": True}, "spec.warmReplicas: must be a valid integer, not true"),
        ({"warmReplicas": -1}, "spec.warmReplicas: must be greater than or equal to 0, not -1"),
        ({"warmReplicas": None}, "spec.warmReplicas: must be a valid integer, not null"),
        ({"paused": "yes"}, 'spec.paused: must be a valid boolean, not "yes"'),
        ({"revision": 2}, 'spec.revision: must be text: write it in quotes, "2"'),
        ({"revision": True}, 'spec.revision: must be text: write it in quotes, "true"'),
        ({"revision": ""}, 'spec.revision: must have at least 1 character, not ""'),
        ({"modelId": "a" * 97}, "spec.modelId: must have at most 96 characters"),
        ({"loras": {"allow": ["a/b", 1]}}, 'spec.loras.allow[1]: must be text: write it in quotes, "1"'),
        ({"loras": {"allow": ["a/b"] * 101}}, "spec.loras.allow: must have at most 100 items"),
        ({"loras": {"allow": "a/b"}}, 'spec.loras.allow: must be a valid array, not "a/b"'),
    ],
)
def test_a_wrong_field_is_named_with_its_path_and_what_to_do(spec: dict[str, Any], sentence: str) -> None:
    assert _refused(manifest(**spec)) == [sentence]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"nodeTerms": [{"match": [{"key": "gpu", "operator": "in", "values": ["a"]}]}]},
            f'spec.nodeTerms[0].match[0].operator: {_OPERATOR_SENTENCE}, not "in"',
        ),
        (
            {"nodeTerms": [{"match": [{"key": "gpu"}]}]},
            f"spec.nodeTerms[0].match[0].values: {_VALUES_SENTENCE}",
        ),
        ({"nodeTerms": [{"match": []}]}, "spec.nodeTerms[0].match: must have at least 1 item, not []"),
        ({"env": [{"name": "A", "value": 1}]}, 'spec.env[0].value: must be text: write it in quotes, "1"'),
        ({"hubToken": {}}, "spec.hubToken.name: is required; add it"),
        ({"hubToken": {"name": "a", "kye": "b"}}, "spec.hubToken.kye: there is no such field"),
        (
            {"terminationGraceSeconds": 3601},
            "spec.terminationGraceSeconds: must be less than or equal to 3600, not 3601",
        ),
    ],
)
def test_so_is_one_of_a_profile(spec: dict[str, Any], sentence: str) -> None:
    assert _refused(_profile(**spec)) == [sentence]


@pytest.mark.parametrize(
    ("document", "sentences"),
    [
        (None, [_MANIFEST_SENTENCE]),
        ("text", [_MANIFEST_SENTENCE]),
        ([manifest()], [_MANIFEST_SENTENCE]),
        ({}, ["apiVersion: must be easel.dev/v1alpha1"]),
        (_without("apiVersion", manifest()), ["apiVersion: must be easel.dev/v1alpha1"]),
        ({**manifest(), "apiVersion": "easel.dev/v1"}, ["apiVersion: must be easel.dev/v1alpha1"]),
        (_without("kind", manifest()), ["kind: must be one of ImageModel, RuntimeProfile"]),
        ({**manifest(), "kind": "Imagemodel"}, ["kind: must be one of ImageModel, RuntimeProfile"]),
        ({**manifest(), "kind": ["ImageModel"]}, ["kind: must be one of ImageModel, RuntimeProfile"]),
        (_without("metadata", manifest()), ["metadata: is required; add it"]),
        ({**manifest(), "metadata": {}}, ["metadata.name: is required; add it"]),
        ({**manifest(), "metadata": {"name": 5}}, ['metadata.name: must be text: write it in quotes, "5"']),
        (_without("spec", manifest()), ["spec: is required; add it"]),
        ({**manifest(), "spec": None}, ["spec: must be an object, not null"]),
        ({**manifest(), "spec": {}}, ["spec.modelId: is required; add it"]),
        ({**manifest(), "spce": {}}, ["spce: there is no such field; did you mean spec?"]),
    ],
    ids=[
        "nothing",
        "text",
        "a list",
        "empty",
        "no apiVersion",
        "another apiVersion",
        "no kind",
        "another kind",
        "a kind that is a list",
        "no metadata",
        "no name",
        "a number for a name",
        "no spec",
        "an empty spec",
        "no modelId",
        "an unknown field at the top",
    ],
)
def test_what_is_no_resource_at_all_is_refused(document: object, sentences: list[str]) -> None:
    assert _refused(document) == sentences


def test_every_problem_is_told_at_once() -> None:
    document = {**manifest(), "spec": {"model_id": "a/b", "warmReplicas": "1", "price": {"amount": 1}}}
    assert sorted(_refused(document)) == [
        "spec.modelId: is required; add it",
        "spec.model_id: there is no such field; did you mean modelId?",
        'spec.price.amount: must be text: write it in quotes, "1"',
        'spec.warmReplicas: must be a valid integer, not "1"',
    ]


@pytest.mark.parametrize("name", ["", "Demo", "de_mo", "de..mo", "-demo", "demo-", "demo\n", "d\u00e9mo", "a" * 254])
def test_a_name_that_no_kubernetes_object_has_is_refused(name: str) -> None:
    assert _refused(manifest(name, modelId="a/b")) == [f"metadata.name: {_NAME_SENTENCE}"]


def test_a_name_may_have_50_characters_and_no_more() -> None:
    assert parse(manifest("a" * 50)).name == "a" * 50
    assert _refused(manifest("a" * 51)) == [f"metadata: {_MODEL_NAME_SENTENCE}"]


def test_the_name_of_a_model_has_no_dots_but_that_of_a_profile_may() -> None:
    assert _refused(manifest("de.mo", modelId="a/b")) == [f"metadata: {_MODEL_NAME_SENTENCE}"]
    assert runtime_profile("large.gpus").name == "large.gpus"


def test_lists_that_are_sets_hold_nothing_twice() -> None:
    assert _refused(manifest(loras={"allow": ["a/b", "c/d", "a/b"]})) == ["spec.loras.allow: has a/b twice; remove one"]
    twice = {"apiVersion": API_VERSION, "kind": "RuntimeProfile", "metadata": {"name": "default"}}
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    assert _refused({**twice, "spec": {"env": env}}) == ["spec.env: has A twice; remove one"]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, b"bytes", dt.date(2026, 1, 1), {1, 2}, {("a",): 1}], ids=repr
)
def test_a_value_without_a_form_in_json_is_refused(value: object) -> None:
    (sentence,) = _refused(manifest(parameters={"strength": {"max": value}}))
    assert sentence.startswith("holds a value that JSON has no form for: ")


def test_a_document_that_contains_itself_is_refused() -> None:
    document = manifest()
    document["spec"]["price"] = document
    assert _refused(document) == ["holds a value that JSON has no form for: Circular reference detected"]


def test_what_kubectl_prints_can_be_applied_again() -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "2 runtimes answer",
        "observedGeneration": 4,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    pasted = {
        **manifest(warmReplicas=1),
        "metadata": {
            "name": "demo",
            "namespace": "models",
            "uid": "0b5c9a3e-0000-4000-8000-000000000000",
            "generation": 4,
            "resourceVersion": "4711",
            "creationTimestamp": "2026-01-02T03:00:00Z",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{"manager": "kubectl"}],
        },
        "status": {
            "observedGeneration": 4,
            "mode": "warm",
            "conditions": [condition],
            "replicas": 2,
            "readyReplicas": 2,
            "selector": "easel.dev/model=demo",
            "endpoint": "http://demo.models.svc:8000",
            "gpu": "NVIDIA L4",
            "scaleDecisions": [{"time": "2026-01-02T03:04:00Z", "replicas": 2, "reason": "3 in flight"}],
            "coldStartSeconds": 41.5,
            "secondsPerImage": 2,
            "lastFailure": {"pod": "demo-abc", "exitCode": 137, "message": "out of memory"},
        },
    }
    model = parse(pasted)
    assert isinstance(model, ImageModel)
    assert (model.metadata.namespace, model.metadata.generation) == ("models", 4)
    assert model.status.conditions[0].last_transition_time == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert model.status.last_failure is not None
    assert model.status.last_failure.exit_code == 137


def test_a_wrong_status_is_refused_as_anything_else() -> None:
    assert _refused({**manifest(), "status": {"mode": "hot"}}) == [
        "status.mode: must be 'warm', 'on-demand', 'pinned' or 'paused', not \"hot\""
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "is wrong"),
        (("spec",), "spec: is wrong"),
        (("spec", "loras", "allow", 0), "spec.loras.allow[0]: is wrong"),
        (("spec", "nodeTerms", 1, "match", 2, "key"), "spec.nodeTerms[1].match[2].key: is wrong"),
    ],
)
def test_a_problem_reads_as_people_write_paths(path: tuple[str | int, ...], text: str) -> None:
    assert str(Problem(path, "is wrong")) == text


def test_the_model_id_cannot_be_changed() -> None:
    (change,) = refused_changes(image_model(modelId="a/b"), image_model(modelId="a/c"))
    assert change == (
        ("spec", "modelId"),
        "modelId is immutable: create a second ImageModel with another name and delete this one",
    )


def test_everything_else_can_be_changed() -> None:
    new = image_model(
        revision="v2",
        warmReplicas=1,
        maxReplicas=4,
        replicas=2,
        price={"amount": "1"},
        gpu={"memory": "24Gi"},
        scaling={"idleSeconds": 1},
        parameters={"steps": {"max": 5}},
        loras={"allow": []},
        profile="other",
        paused=True,
    )
    assert list(refused_changes(image_model(), new)) == []
    changed = runtime_profile(image="other", cache={"hostPath": "/models"})
    assert isinstance(changed, RuntimeProfile)
    assert list(refused_changes(runtime_profile(), changed)) == []


def test_a_stored_status_from_another_version_counts_as_none() -> None:
    document = manifest() | {"status": {"invented": 1}}
    with pytest.raises(InvalidManifest):
        parse(document)
    assert stored_model(document).status == ImageModelStatus()
    with pytest.raises(InvalidManifest, match="maxReplicas"):
        stored_model(manifest(maxReplicas=0) | {"status": {"invented": 1}})
    with pytest.raises(InvalidManifest, match="ImageModel"):
        stored_model({"apiVersion": document["apiVersion"], "kind": "RuntimeProfile", "metadata": {"name": "x"}})
