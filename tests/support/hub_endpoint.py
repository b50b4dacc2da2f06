"""The Hub's HTTP interface on the loopback address, as far as downloads need it, over repositories of `hub`."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


@dataclass
class HubEndpoint:
    """What is served, and to whom; a test may change it at any time."""

    root: Path
    """Repositories in the layout of the Hub's cache."""
    url: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    """Private repositories: to callers without this token they do not exist (401)."""
    gated: set[str] = field(default_factory=set)
    """Repositories whose description is public and whose files are not (403)."""
    cut_short: set[str] = field(default_factory=set)
    """Names of files of which only the first half arrives."""
    may_send: threading.Event = field(default_factory=threading.Event)
    """Files wait for it half-way; set at first."""
    asked: list[str] = field(default_factory=list)
    """Repositories whose description was asked for, each time."""
    files: list[str] = field(default_factory=list)
    """`repository/path` of each file that was sent."""

    def __post_init__(self) -> None:
        self.may_send.set()

    def snapshot(self, model_id: str, revision: str) -> Path | None:
        """Folder of a repository at a branch or commit."""
        repository = self.root / f"models--{model_id.replace('/', '--')}"
        reference = repository / "refs" / revision
        commit = reference.read_text() if reference.is_file() else revision
        folder = repository / "snapshots" / commit
        return folder if folder.is_dir() else None


@contextmanager
def serving(root: Path) -> Iterator[HubEndpoint]:
    """A Hub with the repositories in `root`, until the context ends."""
    endpoint = HubEndpoint(root)
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield endpoint
        endpoint.may_send.set()
        server.shutdown()


def make_the_hub(endpoint: HubEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's client asks `endpoint`, as HF_ENDPOINT does it, which counts only before the first import."""
    constants = "huggingface_hub.constants"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(f"{constants}.ENDPOINT", endpoint.url)
    monkeypatch.setattr(
        f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", endpoint.url + "/{repo_id}/resolve/{revision}/{filename}"
    )


class _Handler(BaseHTTPRequestHandler):
    endpoint: HubEndpoint

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/").split("/")
        if path[:2] == ["api", "models"] and len(path) in (5, 6):
            self._describe("/".join(path[2:-2]), path[-2], path[-1])
        elif "resolve" in path[1:3]:
            at = path.index("resolve", 1)
            self._send_file("/".join(path[:at]), path[at + 1], "/".join(path[at + 2 :]))
        else:
            self._answer(404, b"")

    do_HEAD = do_GET  # noqa: N815

    def _describe(self, model_id: str, what: str, revision: str) -> None:
        """`GET /api/models/<owner>/<name>/{revision,tree}/<revision>`; sizes of a revision's files by `?blobs=true`."""
        self.endpoint.asked.append(model_id)
        folder = self._folder(model_id, revision)
        if folder is None:
            return
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = [
            {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": _etag(path)}
            for path in files
        ]
        if what == "tree":
            self._answer(200, json.dumps(entries).encode())
        else:
            sizes = "blobs=true" in urlsplit(self.path).query.lower()
            siblings = [{"rfilename": entry["path"], **({"size": entry["size"]} if sizes else {})} for entry in entries]
            self._answer(200, json.dumps({"id": model_id, "sha": folder.name, "siblings": siblings}).encode())

    def _send_file(self, model_id: str, revision: str, name: str) -> None:
        """`GET /<owner>/<name>/resolve/<revision>/<path>`."""
        folder = self._folder(model_id, revision)
        if folder is None:
            return
        if model_id in self.endpoint.gated:
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif not (folder / name).is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            content = (folder / name).read_bytes()
            headers = {"ETag": f'"{_etag(folder / name)}"', "X-Repo-Commit": folder.name}
            self._answer(200, content, headers, cut_short=Path(name).name in self.endpoint.cut_short)
            if self.command == "GET":
                self.endpoint.files.append(f"{model_id}/{name}")

    def _folder(self, model_id: str, revision: str) -> Path | None:
        """The repository that is asked for; if the caller may not know of it, says so."""
        token = self.endpoint.hidden.get(model_id)
        known = (self.endpoint.root / f"models--{model_id.replace('/', '--')}").is_dir()
        if not known or (token is not None and self.headers.get("Authorization") != f"Bearer {token}"):
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        folder = self.endpoint.snapshot(model_id, revision)
        if folder is None:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        return folder

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut_short: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.endpoint.may_send.wait(60)
        if not cut_short:
            self.wfile.write(body[half:])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
