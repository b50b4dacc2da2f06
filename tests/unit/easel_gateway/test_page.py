"""The web page as files: what is served, with which headers, and that its tables agree with the runtime's."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from easel_gateway import static
from easel_runtime.pipelines.families import BY_MODEL, INSTRUCT_PIX2PIX, Family, Span
from support.gateway_house import House

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "runtime/easel_gateway/page"
FILES = static.load()
WRITTEN = sorted(path for path in PAGE.rglob("*") if path.suffix in {".js", ".css"} and path.parent.name != "vendor")
MODULE_LINES = 250
LINE = 120


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


def test_every_file_of_the_folder_is_served_and_no_other() -> None:
    assert set(FILES) == {str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/style/tokens.css", "text/css; charset=utf-8"),
        ("/page/fonts/geist.woff2", "font/woff2"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/page/sample.png", "image/png"),
    ],
)
async def test_the_files_come_with_their_type_and_what_protects_them(house: House, path: str, kind: str) -> None:
    await house.open()
    answer = await house.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.body == FILES[path.removeprefix("/page/").removeprefix("/") or static.INDEX].content


async def test_a_file_that_is_known_is_not_sent_again(house: House) -> None:
    await house.open()
    tag = (await house.get("/page/main.js")).headers["etag"]
    for known in (tag, f'W/{tag}, "another"', "*"):
        again = await house.get("/page/main.js", headers={"If-None-Match": known})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
    assert (await house.get("/page/main.js", headers={"If-None-Match": '"another"'})).status == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/style", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//main.js"]
)
async def test_nothing_else_is_served(house: House, path: str) -> None:
    await house.open()
    assert (await house.get(path)).status == 404


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(PAGE)))
def test_scripts_and_styles_stay_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [f"{number}: {line}" for number, line in enumerate(lines, 1) if len(line) > LINE] == []
    if path.suffix == ".js":
        assert len(lines) <= MODULE_LINES


def test_the_page_names_no_other_host() -> None:
    for path in [*WRITTEN, PAGE / static.INDEX]:
        named = set(re.findall(r"https?://[^\s\"'`<>)]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
        assert named == set(), path


def test_the_sample_is_the_example() -> None:
    assert (PAGE / "sample.png").read_bytes() == (ROOT / "examples/cat.png").read_bytes()


def span(span: Span) -> list[float] | None:
    """As the page has it: null where there is nothing to choose."""
    return None if span.least == span.most else [span.default or 0, span.least, span.most]


def row(family: Family) -> dict[str, Any]:
    edits = family.pipeline == INSTRUCT_PIX2PIX.pipeline
    return {
        "steps": span(family.steps),
        "guidance": span(family.guidance),
        "image_guidance": span(family.image_guidance) if edits else None,
        "strength": None if edits else span(family.strength),
    }


def test_the_page_knows_of_each_model_what_the_runtime_knows() -> None:
    text = (PAGE / "lib/families.js").read_text()
    table = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert table == {model_id: row(family) for model_id, family in BY_MODEL.items()}
