"""The house rules of docs/architecture.md that no linter knows."""

import ast
import operator
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("crds", "operator", "runtime")
MODULE_LINES = 250
FUNCTION_LINES = 60
_BINARY = {".jpg", ".png", ".safetensors", ".woff2"}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "core"}


def tracked() -> list[Path]:
    """Every file of the repository that is there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_container_folders_are_no_packages() -> None:
    assert Path(str(operator.__file__)).is_relative_to(sysconfig.get_path("stdlib"))
    for folder in PACKAGES:
        assert not (ROOT / folder / "__init__.py").exists()
        assert not (ROOT / folder / f"{folder}.py").exists()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION_LINES, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_modules_say_what_they_are_for_and_have_telling_names(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert not BANNED_NAMES & {path.stem, path.parent.name}


def test_locks_pin_with_hashes_and_name_no_address() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert {lock.stem for lock in locks} == {"bench", "dev", "gateway", "local", "operator", "runtime", "uv"}
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        pins = re.findall(r"^[A-Za-z0-9._-]+(?:\[.*\])?==\S+.*\\$", text, re.MULTILINE)
        assert pins
        assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)), "each line pins, each pin has hashes"


@pytest.mark.parametrize("lock", ["operator", "gateway"])
def test_the_operator_and_the_gateway_install_no_torch(lock: str) -> None:
    pins = (ROOT / f"requirements/{lock}.txt").read_text()
    assert not re.search(r"^(torch|diffusers|transformers|nvidia)", pins, re.MULTILINE)


def test_the_repository_names_no_path_of_a_machine() -> None:
    pattern = re.compile(r"(?<![\w./-])/(?:work|root|home)/[a-z]")
    named = {name_of(path) for path in tracked() if path.suffix not in _BINARY and pattern.search(path.read_text())}
    assert named <= {"tests/repository/test_house.py"}


def test_files_are_small_enough_for_a_clone() -> None:
    assert [name_of(path) for path in tracked() if path.stat().st_size > 5 << 20] == []
