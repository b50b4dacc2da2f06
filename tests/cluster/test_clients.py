"""Other people's client packages, as they are, at the Service of the gateway."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.browser import browser, visit
from support.builders import manifest
from support.client_checks import CHECKS, MODEL, Check
from support.kubectl import Namespace
from support.pictures import png


@pytest.fixture(scope="module", autouse=True)
def _warm(namespace: Namespace) -> None:
    parameters = {"steps": {"default": 2, "max": 200}, "guidanceScale": {"default": 2}}
    safety = {"checker": "none"}
    namespace.apply(manifest("clients", modelId=MODEL, warmReplicas=1, parameters=parameters, safety=safety))
    namespace.wait_ready("clients")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_clients_work_unchanged(gateway: str, tmp_path: Path, check: Check) -> None:
    check(gateway, tmp_path)


def test_the_page_edits_a_picture_and_shows_how_the_model_is(gateway: str) -> None:
    with browser() as chromium, visit(chromium, gateway) as seen:
        seen.drop(png(96, 64))
        seen.say("make it black and white")
        seen.press()
        assert seen.result()[:2] == (96, 64)
        seen.page.get_by_role("link", name="Operate").click()
        expect(seen.page.get_by_role("row", name=MODEL)).to_contain_text("Ready")
