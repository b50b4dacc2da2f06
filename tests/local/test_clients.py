"""Other people's client packages, as they are, at `easel up`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.client_checks import CHECKS, Check
from support.easel_up import EaselUp


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_clients_work_unchanged(served: EaselUp, tmp_path: Path, check: Check) -> None:
    check(served.url, tmp_path)


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/clients.md").read_text()
SNIPPETS = re.findall(r"^## (\S+)$(?:(?!^## ).)*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", [code for _, code in SNIPPETS], ids=[name for name, _ in SNIPPETS])
def test_what_the_page_shows_works_as_it_stands(served: EaselUp, tmp_path: Path, snippet: str) -> None:
    shutil.copy(ROOT / "examples/cat.png", tmp_path)
    code = snippet.replace("http://127.0.0.1:8080", served.url)
    assert code != snippet
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "HF_"))}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=120)


def test_the_page_shows_every_package() -> None:
    assert [name for name, _ in SNIPPETS] == ["requests", "livepeer-ai", "openai", "huggingface_hub"]


def test_the_curl_of_the_page_works_as_it_stands(served: EaselUp, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/cat.png", tmp_path)
    (command,) = re.findall(r"^curl http://127.0.0.1:8080/image-to-image .*$", PAGE, re.MULTILINE)
    shell = ["sh", "-c", command.replace("http://127.0.0.1:8080", served.url) + " --silent --fail-with-body"]
    said = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120).stdout
    assert re.search(r'"url":"http://[^"]+/stream/[^"]+\.png"', said), said
