"""Pages of other origins, in a real browser: those that are named may ask and read, others may not."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Error

from support.easel_up import SECONDS, EaselUp, easel_up, write_model

_EDIT = """async ([gateway, key]) => {
  const canvas = new OffscreenCanvas(64, 48);
  canvas.getContext("2d").fillRect(0, 0, 32, 48);
  const form = new FormData();
  form.append("model_id", "easel/demo");
  form.append("prompt", "make it night");
  form.append("image", await canvas.convertToBlob(), "in.png");
  const headers = { Authorization: `Bearer ${key}`, "X-Easel-Max-Price": "1 USD" };
  const answer = await fetch(`${gateway}/image-to-image`, { method: "POST", body: form, headers });
  const told = ["X-Easel-Amount", "X-Request-Id"].map((name) => answer.headers.get(name));
  const said = await answer.json();
  const file = await fetch(said.images[0].url);
  const picture = await createImageBitmap(await file.blob());
  return { status: answer.status, told, size: [picture.width, picture.height] };
}"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def origin() -> Iterator[str]:
    """A site with an empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture
def origins() -> Iterator[tuple[str, str]]:
    """One that the gateway names, and another."""
    with ExitStack() as stack:
        yield stack.enter_context(origin()), stack.enter_context(origin())


@pytest.fixture
def gateway(tmp_path: Path, cache: Path, origins: tuple[str, str]) -> Iterator[EaselUp]:
    """`easel up` for pages of the first of `origins`."""
    write_model(tmp_path / "models", warmReplicas=1)
    with easel_up(tmp_path / "models", cache, environment={"EASEL_GATEWAY_CORS_ORIGINS": origins[0]}) as run:
        run.wait_for(r"easel/demo: ready")
        yield run


def edit_from(chromium: Browser, site: str, gateway: EaselUp) -> dict[str, Any]:
    """What a page of `site` gets that asks the gateway."""
    with chromium.new_page() as page:
        page.set_default_timeout(SECONDS * 1000)
        page.goto(site)
        found: dict[str, Any] = page.evaluate(_EDIT, [gateway.url, "any"])
        return found


def test_pages_of_named_origins_ask_and_read_and_others_do_not(
    chromium: Browser, gateway: EaselUp, origins: tuple[str, str]
) -> None:
    named, other = origins
    found = edit_from(chromium, named, gateway)
    assert (found["status"], found["size"]) == (200, [64, 48])
    assert all(found["told"]), "a page sees the headers of its answer"
    with pytest.raises(Error, match="Failed to fetch"):
        edit_from(chromium, other, gateway)
    (row,) = httpx2.get(f"{gateway.url}/usage").json()["data"]
    assert row["requests"] == 1, "what a browser asks first was refused, so the other page could not spend anything"
