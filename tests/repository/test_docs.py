"""The documentation is complete and leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from easel_crds import __version__
from easel_crds.keys import is_key, parse_key
from easel_crds.manifest import parse
from easel_crds.metadata import Env
from easel_gateway.settings import ServerSettings as GatewaySettings
from easel_http.errors import ApiError
from easel_http.fields import form_schema
from easel_operator.settings import Settings as OperatorSettings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def anchors(page: Path) -> set[str]:
    """The names under which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_heading_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_make_target_is_explained_by_make_help_and_in_contributing() -> None:
    targets = set(re.findall(r"^\.PHONY: ([\w-]+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == {line.split()[0] for line in shown.splitlines()}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert {target for target in targets if f"make {target}" not in contributing} == set()


def test_the_readme_has_exactly_the_two_commands_after_the_clone() -> None:
    (block,) = re.findall(r"```sh\n(git clone.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    commands = [line.split("#")[0].strip() for line in block.splitlines() if line.strip()]
    assert [command.split("&&")[0].split()[0] for command in commands] == ["git", "make", "make"]
    assert commands[1:] == ["make demo", "make test"]


def test_ci_runs_exactly_the_test_command() -> None:
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec make test")


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    gateway = {f"EASEL_GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields}
    operator = {f"EASEL_OPERATOR_{name.upper()}" for name in OperatorSettings.model_fields}
    assert {name for name in {*Env, *gateway, *operator} if f"`{name}`" not in page} == set()


def test_every_error_status_and_form_field_is_documented() -> None:
    page = (ROOT / "docs/api.md").read_text()
    statuses = {str(error.status) for error in ApiError.__subclasses__()}
    assert {status for status in statuses if f"| {status} |" not in page} == set()
    assert {field for field in form_schema()["properties"] if f"`{field}`" not in page} == set()


def test_nothing_was_left_to_fill_in() -> None:
    left = {page.name: re.findall(r"\b(?:TODO|FIXME|TBD|[A-Z]+_TIME)\b", page.read_text()) for page in PAGES}
    assert {name: found for name, found in left.items() if found} == {}


def test_the_changelog_knows_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*.yaml")), ids=lambda file: file.name)
def test_every_example_is_valid(file: Path) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        parse(document)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_manifest_in_the_docs_is_valid(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        for document in yaml.safe_load_all(block):
            parse_key(document) if is_key(document) else parse(document)
