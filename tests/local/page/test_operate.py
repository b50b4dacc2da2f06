"""What whoever runs Easel sees, as it changes."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from support.browser import visit
from support.easel_up import easel_up, write_model


def test_the_models_are_seen_as_they_change(tmp_path: Path, cache: Path, chromium: Browser) -> None:
    models = tmp_path / "models"
    write_model(models, price={"amount": "2", "currency": "EUR", "perPixels": 100_000_000})
    with easel_up(models, cache) as run, visit(chromium, run.url) as seen:
        seen.page.get_by_role("link", name="Operate").click()
        row = seen.page.get_by_role("row", name="easel/demo")
        expect(row).to_contain_text("Asleep")
        expect(row).to_contain_text("0.02 EUR / MP")
        write_model(models, price={"amount": "3", "currency": "EUR", "perPixels": 100_000_000})
        expect(row).to_contain_text("0.03 EUR / MP")
        write_model(models, "broken", modelId="nobody/nothing", profile="elsewhere")
        broken = seen.page.get_by_role("row", name="nobody/nothing")
        expect(broken).to_contain_text("Cannot start")
        expect(broken).to_contain_text("elsewhere")
        seen.page.go_back()
        expect(seen.page.get_by_label("Instruction")).to_be_visible()
        assert seen.page.title() == "Easel"
