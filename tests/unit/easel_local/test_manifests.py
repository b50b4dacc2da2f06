import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from easel_crds.imagemodel import ImageModel
from easel_crds.runtimeprofile import DEFAULT_PROFILE
from easel_local.documents import files, read, signature
from easel_local.manifests import Manifests, merged
from support.builders import manifest

_HEAD = """\
apiVersion: easel.dev/v1alpha1
kind: ImageModel
metadata:
  name: demo
spec:
  modelId: easel/demo
"""

_MEMORY_SENTENCE = (
    "memory must be a quantity of at least 20G, such as 20G or 24Gi: smaller GPUs do not hold these models; raise it,"
    " or leave it out"
)
_REPLICAS_SENTENCE = "maxReplicas must be at least warmReplicas: raise maxReplicas or lower warmReplicas"


class _Folder:
    """A folder of manifests, read again after each change as `easel up` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifests = Manifests()

    def put(self, name: str, *documents: Mapping[str, Any] | str) -> Path:
        """Write a file: texts as they are, everything else as YAML."""
        texts = [item if isinstance(item, str) else yaml.safe_dump(dict(item)) for item in documents]
        file = self.path / name
        file.write_text("---\n".join(texts))
        return file

    def read(self, *paths: Path) -> list[str]:
        """Put the folder (or `paths`) in force; the findings, without the folder's own path."""
        self.manifests, findings = merged(self.manifests, read(paths or (self.path,)))
        return [str(finding).replace(f"{self.path}/", "") for finding in findings]

    @property
    def models(self) -> dict[str, ImageModel]:
        return self.manifests.models

    @property
    def model_ids(self) -> dict[str, str]:
        return {name: model.spec.model_id for name, model in self.models.items()}


@pytest.fixture
def folder(tmp_path: Path) -> _Folder:
    return _Folder(tmp_path)


def _profile(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "easel.dev/v1alpha1", "kind": "RuntimeProfile", "metadata": {"name": name}, "spec": spec}


# Files


def test_a_valid_file_has_its_models_and_no_findings(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD)
    assert folder.read() == []
    assert folder.model_ids == {"demo": "easel/demo"}


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("  warmReplica: 1\n", "a.yaml:7: spec.warmReplica: there is no such field; did you mean warmReplicas?"),
        ('\n  # one\n  warmReplicas: "1"\n', 'a.yaml:9: spec.warmReplicas: must be a valid integer, not "1"'),
        (
            "  price:\n    currency: USD\n    amount: 1.9073484e-08\n",
            'a.yaml:9: spec.price.amount: must be text: write it in quotes, "1.9073484e-08"',
        ),
        ("  price: {amount: 2e-8}\n", 'a.yaml:7: spec.price.amount: must be text: write it in quotes, "2e-08"'),
        (
            "  loras:\n    allow:\n    - a/b\n    - 1\n",
            'a.yaml:10: spec.loras.allow[1]: must be text: write it in quotes, "1"',
        ),
        (
            "  gpu:\n    memory: 16G\n",
            f"a.yaml:8: spec.gpu.memory: {_MEMORY_SENTENCE}",
        ),
        (
            "  warmReplicas: 2\n",
            f"a.yaml:5: spec.maxReplicas: {_REPLICAS_SENTENCE}",
        ),
        (
            "  parameters: {strength: {max: .nan}}\n",
            "a.yaml:1: holds a value that JSON has no form for: Out of range float values are not JSON compliant",
        ),
    ],
    ids=["a typo", "after a comment", "deep", "an exponent", "in a list", "a rule", "a field left out", "nan"],
)
def test_a_problem_is_told_with_the_line_it_is_on(folder: _Folder, text: str, finding: str) -> None:
    folder.put("a.yaml", _HEAD + text)
    (found,) = folder.read()
    assert found == finding


def test_a_missing_field_is_told_at_the_object_that_lacks_it(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD.replace("  modelId: easel/demo\n", "  revision: main\n"))
    assert folder.read() == ["a.yaml:5: spec.modelId: is required; add it"]


def test_each_document_of_a_file_stands_for_itself(folder: _Folder) -> None:
    folder.put(
        "a.yaml",
        "# nothing but a comment\n",
        _HEAD,
        _HEAD.replace("demo", "second") + "  revision: 1\n",
        "",
        _HEAD.replace("demo", "third"),
    )
    assert folder.read() == ['a.yaml:16: spec.revision: must be text: write it in quotes, "1"']
    assert folder.model_ids == {"demo": "easel/demo", "third": "easel/third"}


@pytest.mark.parametrize("text", ["# a comment\n", "---\n---\n", "null\n"])
def test_a_file_without_a_document_says_nothing(folder: _Folder, text: str) -> None:
    folder.put("a.yaml", text)
    assert folder.read() == []
    assert folder.models == {}


@pytest.mark.parametrize("text", ["- a\n", "text\n", "5\n"])
def test_a_document_that_is_no_mapping_is_refused(folder: _Folder, text: str) -> None:
    folder.put("a.yaml", text)
    assert folder.read() == ["a.yaml:1: a manifest must be a mapping with apiVersion, kind, metadata and spec"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("  price: [\n", "a.yaml:8: cannot be read: "),
        ("  price: {amount: 'x\n", "a.yaml:8: cannot be read: "),
        ("  a: b: c\n", "a.yaml:7: cannot be read: mapping values are not allowed here"),
        ("\trevision: main\n", "a.yaml:7: cannot be read: found character '\\t' that cannot start any token"),
        ("  revision: *main\n", "a.yaml:7: cannot be read: found undefined alias 'main'"),
        ("  revision: !!python/name:os.system x\n", "a.yaml:7: cannot be read: could not determine a constructor"),
        ("  ? [a]\n  : b\n", "a.yaml:7: cannot be read: found unhashable key"),
        ("  maxReplicas: 0b_\n", "a.yaml:1: cannot be read: invalid literal for int()"),
        ('  maxReplicas: !!int ""\n', "a.yaml:1: cannot be read: "),
        ("  price: " + "[" * 1000 + "]" * 1000, "a.yaml:1: cannot be read: "),
        (f'  revision: "{"x" * (1 << 20)}"\n', "a.yaml:1: cannot be read: is larger than 1048576 bytes"),
    ],
    ids=[
        "an open list",
        "an open text",
        "two colons",
        "a tab",
        "an unknown alias",
        "a tag of Python's",
        "a list for a key",
        "no digits",
        "an empty number",
        "too deep",
        "too large",
    ],
)
def test_what_is_not_yaml_is_told_and_is_no_crash(folder: _Folder, text: str, finding: str) -> None:
    file = folder.put("a.yaml", _HEAD + text)
    (found,) = folder.read()
    assert found.startswith(finding)
    assert read([file]).unreadable == {file}


def test_bytes_that_are_no_text_are_told(folder: _Folder) -> None:
    (folder.path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    (found,) = folder.read()
    assert found.startswith("a.yaml:1: cannot be read: 'utf-8' codec can't decode")


def test_a_missing_file_is_told(folder: _Folder) -> None:
    assert folder.read(folder.path / "none.yaml") == ["none.yaml:1: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("  revision: main\n  revision: v2\n", ["a.yaml:7: spec.revision: is given twice; remove one"]),
        ("  gpu: {memory: 24G, memory: 24G}\n", ["a.yaml:7: spec.gpu.memory: is given twice; remove one"]),
        ("spec: {}\n", ["a.yaml:5: spec: is given twice; remove one"]),
    ],
    ids=["in the spec", "deeper", "at the top"],
)
def test_a_key_that_is_given_twice_is_refused(folder: _Folder, text: str, findings: list[str]) -> None:
    folder.put("a.yaml", _HEAD + text)
    assert folder.read() == findings
    assert folder.models == {}


def test_a_key_that_replaces_one_of_a_merged_anchor_is_not_given_twice(folder: _Folder) -> None:
    text = "  parameters:\n    guidanceScale: &few {min: 1, max: 3}\n    imageGuidanceScale: {<<: *few, max: 5}\n"
    folder.put("a.yaml", _HEAD + text)
    assert folder.read() == []
    parameters = folder.models["demo"].spec.parameters
    assert (parameters.image_guidance_scale.min, parameters.image_guidance_scale.max) == (1, 5)


def test_a_document_that_contains_itself_is_refused(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD + "  price: &price {amount: *price}\n")
    (finding,) = folder.read()
    assert finding.startswith("a.yaml:1: cannot be read: has more than 100000 values, its aliases written out")


def test_a_date_stays_the_text_it_is(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD + "  revision: 2026-01-02\n")
    assert folder.read() == []
    assert folder.models["demo"].spec.revision == "2026-01-02"


def test_a_folder_stands_for_its_yaml_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.txt", "d.json"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "e.yaml").touch()
    assert files([tmp_path]) == [tmp_path / "a.yaml", tmp_path / "b.yml"]


def test_a_file_that_is_named_counts_whatever_its_suffix_and_once(tmp_path: Path) -> None:
    for name in ("a.yaml", "c.txt"):
        (tmp_path / name).touch()
    assert files([tmp_path / "c.txt", tmp_path, tmp_path / "a.yaml"]) == [tmp_path / "c.txt", tmp_path / "a.yaml"]


# What is in force


def test_models_come_change_and_go(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a"), manifest("b"))
    assert folder.read() == []
    folder.put("a.yaml", manifest("b", warmReplicas=1), manifest("c"))
    assert folder.read() == []
    assert {name: model.spec.warm_replicas for name, model in folder.models.items()} == {"b": 1, "c": 0}


def test_reading_the_same_files_again_changes_nothing(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a"), _profile("default", image="x"))
    folder.read()
    before = folder.manifests
    assert folder.read() == []
    assert folder.manifests == before


def test_a_model_moves_to_another_file(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a"), manifest("b"))
    folder.read()
    folder.put("a.yaml", manifest("a"))
    folder.put("b.yaml", manifest("b"))
    assert folder.read() == []
    assert folder.model_ids == {"a": "easel/a", "b": "easel/b"}


def test_the_last_valid_form_goes_on_while_the_new_one_is_invalid(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", warmReplicas=1), manifest("b"))
    folder.read()
    folder.put("a.yaml", manifest("a", warmReplicas=2), manifest("b", warmReplicas=1))
    (finding,) = folder.read()
    assert "spec.maxReplicas: maxReplicas must be at least warmReplicas" in finding
    assert {name: model.spec.warm_replicas for name, model in folder.models.items()} == {"a": 1, "b": 1}


def test_a_form_made_valid_again_takes_effect(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", warmReplicas=1))
    folder.read()
    folder.put("a.yaml", manifest("a", warmReplicas="two"))
    assert len(folder.read()) == 1
    folder.put("a.yaml", manifest("a", warmReplicas=2, maxReplicas=2))
    assert folder.read() == []
    assert folder.models["a"].spec.warm_replicas == 2


def test_a_model_that_never_was_valid_is_not_in_force(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", warmReplicas="two"))
    assert len(folder.read()) == 1
    assert folder.models == {}


def test_a_file_that_cannot_be_read_keeps_all_of_its_models(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a"), manifest("b"))
    folder.put("c.yaml", manifest("c"))
    folder.read()
    folder.put("a.yaml", "a: [\n")
    folder.put("c.yaml", manifest("d"))
    assert [finding.split(" ")[0] for finding in folder.read()] == ["a.yaml:2:"]
    assert folder.models.keys() == {"a", "b", "d"}


def test_a_named_file_that_is_gone_keeps_its_models(folder: _Folder) -> None:
    file = folder.put("a.yaml", manifest("a"))
    folder.read(file)
    file.unlink()
    assert folder.read(file) == ["a.yaml:1: cannot be read: No such file or directory"]
    assert folder.models.keys() == {"a"}


def test_so_does_a_named_folder(tmp_path: Path) -> None:
    inner = tmp_path / "models"
    inner.mkdir()
    folder = _Folder(inner)
    folder.put("a.yaml", manifest("a"))
    folder.read()
    inner.rename(tmp_path / "moved")
    assert [finding.split(": ", 1)[1] for finding in folder.read()] == ["cannot be read: No such file or directory"]
    assert folder.models.keys() == {"a"}


def test_a_file_that_left_its_folder_takes_its_models_along(folder: _Folder) -> None:
    folder.put("b.yaml", manifest("b"))
    file = folder.put("a.yaml", manifest("a"))
    folder.read()
    file.unlink()
    assert folder.read() == []
    assert folder.models.keys() == {"b"}


def test_a_changed_model_id_is_refused_and_the_old_one_goes_on(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD)
    folder.read()
    folder.put("a.yaml", _HEAD.replace("easel/demo", "easel/other") + "  warmReplicas: 1\n")
    assert folder.read() == [
        "a.yaml:6: spec.modelId: modelId is immutable: create a second ImageModel with another name and delete this one"
    ]
    assert folder.model_ids == {"demo": "easel/demo"}
    assert folder.models["demo"].spec.warm_replicas == 0


def test_a_renamed_model_may_keep_its_model_id(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", modelId="x/y"))
    folder.read()
    folder.put("a.yaml", manifest("b", modelId="x/y"))
    assert folder.read() == []
    assert folder.model_ids == {"b": "x/y"}


def test_of_two_models_with_one_name_the_first_counts(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", modelId="x/first"))
    folder.put("b.yaml", manifest("a", modelId="x/second"))
    assert folder.read() == ["b.yaml:4: metadata.name: ImageModel a is already in a.yaml"]
    assert folder.model_ids == {"a": "x/first"}


def test_of_two_models_with_one_model_id_the_first_counts(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", modelId="x/y"), manifest("b", modelId="x/y"))
    assert [finding.split(": ", 1)[1] for finding in folder.read()] == ["spec.modelId: ImageModel a serves x/y already"]
    assert folder.model_ids == {"a": "x/y"}


@pytest.mark.parametrize("spec", [{}, {"warmReplicas": "invalid"}], ids=["valid", "invalid"])
def test_a_new_model_takes_no_model_id_from_one_in_force(folder: _Folder, spec: dict[str, Any]) -> None:
    folder.put("b.yaml", manifest("b", modelId="x/y"))
    folder.read()
    folder.put("a.yaml", manifest("a", modelId="x/y"))
    folder.put("b.yaml", manifest("b", modelId="x/y", **spec))
    assert "a.yaml:6: spec.modelId: ImageModel b serves x/y already" in folder.read()
    assert folder.model_ids == {"b": "x/y"}


def test_a_new_model_takes_no_name_from_one_in_force(folder: _Folder) -> None:
    folder.put("b.yaml", manifest("a", warmReplicas=1))
    folder.read()
    folder.put("a.yaml", manifest("a"))
    assert folder.read() == ["a.yaml:4: metadata.name: ImageModel a is already in b.yaml"]
    assert folder.models["a"].spec.warm_replicas == 1


def test_a_duplicate_counts_as_soon_as_the_first_is_gone(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", modelId="x/y"), manifest("b", modelId="x/y"))
    folder.read()
    folder.put("a.yaml", manifest("b", modelId="x/y"))
    assert folder.read() == []
    assert folder.model_ids == {"b": "x/y"}


def test_a_model_and_a_profile_may_have_one_name(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", profile="a"), _profile("a", image="x"))
    assert folder.read() == []
    profile = folder.manifests.profile("a")
    assert profile is not None
    assert profile.spec.image == "x"


def test_a_profile_that_is_in_no_file_is_reported(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD + "  profile: fast\n")
    assert folder.read() == ["a.yaml:7: spec.profile: there is no RuntimeProfile fast in these files"]
    assert folder.manifests.profile("fast") is None
    folder.put("b.yaml", _profile("fast"))
    assert folder.read() == []


def test_the_default_profile_needs_no_file_and_may_have_one(folder: _Folder) -> None:
    folder.put("a.yaml", _HEAD)
    assert folder.read() == []
    assert folder.manifests.profile("default") is DEFAULT_PROFILE
    folder.put("b.yaml", _profile("default", image="mine"))
    assert folder.read() == []
    profile = folder.manifests.profile("default")
    assert profile is not None
    assert profile.spec.image == "mine"


def test_the_order_of_files_does_not_decide_about_profiles(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("a", profile="z"))
    folder.put("z.yaml", _profile("z"))
    assert folder.read() == []


def test_the_example_of_the_readme_is_valid() -> None:
    example = Path(__file__).parents[3] / "examples" / "demo.yaml"
    found, findings = merged(Manifests(), read([example]))
    assert findings == ()
    assert {model.spec.model_id for model in found.models.values()} == {"easel/demo"}


def test_a_windows_file_has_the_same_lines(folder: _Folder) -> None:
    (folder.path / "a.yaml").write_bytes(_HEAD.replace("\n", "\r\n").encode() + b"  x: 1\r\n")
    (finding,) = folder.read()
    assert finding.startswith("a.yaml:7: spec.x: there is no such field")


def test_a_file_that_is_empty_for_a_moment_keeps_its_models(folder: _Folder) -> None:
    folder.put("a.yaml", manifest("demo"))
    assert folder.read() == []
    folder.put("a.yaml", "\n")
    assert folder.read() == ["a.yaml:1: cannot be read: is empty"]
    assert list(folder.models) == ["demo"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    (finding,) = read([tmp_path]).findings
    assert str(finding.problem) == "cannot be read: is not a regular file"


def test_aliases_cannot_make_a_small_file_large(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    (finding,) = read([tmp_path]).findings
    assert str(finding.problem).startswith("cannot be read: has more than")


def test_the_signature_changes_with_any_file_and_else_not(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    before = signature([tmp_path])
    assert signature([tmp_path]) == before
    (tmp_path / "b.yaml").write_text("")
    with_b = signature([tmp_path])
    (tmp_path / "a.yaml").write_text("a: 1, b: 2")
    assert len({before, with_b, signature([tmp_path])}) == 3
