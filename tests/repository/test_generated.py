"""What is generated and committed is what the models say today; `make crds` writes it."""

from pathlib import Path

from easel_crds import reference, schema

ROOT = Path(__file__).parents[2]


def test_the_crds_are_current(tmp_path: Path) -> None:
    schema.write(tmp_path)
    committed = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == committed


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs/resources.md").read_text() == reference.page()
