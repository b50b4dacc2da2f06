"""The objects of an API server behind HTTP on loopback: read, applied, created and deleted; no watches."""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

from aiohttp import web
from kubernetes.aio import client

from easel_crds.metadata import FIELD_MANAGER
from easel_kube.client import Kube
from support.api_defaults import stored

Json = dict[str, Any]
HOST = "127.0.0.1"
_PATH = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(/status)?")


@dataclass(frozen=True)
class Request:
    """One request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True)
class Answer:
    """What to say in place of the truth."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"


def refusal(status: int, message: str, reason: str = "") -> Answer:
    """A Status, in which an API server says no."""
    text = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return Answer(status, json.dumps({**text, "code": status}).encode())


@dataclass(eq=False)
class ObjectStore:
    """What there is by path, what was asked, and what is to be answered otherwise."""

    objects: dict[str, Json] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """By method and a regular expression for the whole path."""
    silent: bool = False
    """Take requests and never answer."""
    port: int = 0

    def __post_init__(self) -> None:
        self._answered = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Method and path of every request that asked for a change, Events aside."""
        asked = ((one.method, one.path) for one in self.requests if one.method != "GET")
        return [one for one in asked if not one[1].endswith("/events")]

    @property
    def events(self) -> list[Json]:
        """The Events that were created, oldest first."""
        return [one.body for one in self.requests if one.method == "POST" and one.path.endswith("/events")]

    def put(self, collection: str, document: Json) -> None:
        """Have an object; `collection` is its path without its name."""
        self.objects[f"{collection}/{document['metadata']['name']}"] = document

    async def until(self, holds: Callable[[], object]) -> None:
        """Return once it holds, which is asked after each answer."""
        async with asyncio.timeout(10):
            while not holds():
                self._answered.clear()
                await self._answered.wait()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.read()
        body = json.loads(text) if text else {}
        asked = Request(request.method, request.path, dict(request.query), dict(request.headers), body)
        self.requests.append(asked)
        if self.silent:
            await asyncio.get_running_loop().create_future()  # never: the client that leaves ends it
        others = (
            other
            for (method, path), other in self.answers.items()
            if method == asked.method and re.fullmatch(path, asked.path)
        )
        answer = next(others, None) or self._truth(asked)
        self._answered.set()
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    def _truth(self, asked: Request) -> Answer:
        match = _PATH.fullmatch(asked.path)
        if match is None:
            return refusal(404, "the server could not find the requested resource", "NotFound")
        path, name, status = asked.path.removesuffix("/status"), match[4], bool(match[5])
        if asked.method == "PATCH":
            return _found(self._apply(path, asked.body, only_status=status))
        if asked.method == "POST":
            return _found(asked.body)
        if name is None:
            return _found({"items": [one for at, one in self.objects.items() if _listed(at, one, asked, match)]})
        if path not in self.objects:
            return refusal(404, f'{match[3]} "{name}" not found', "NotFound")
        return self._delete(path, asked.body) if asked.method == "DELETE" else _found(self.objects[path])

    def _apply(self, path: str, document: Json, *, only_status: bool) -> Json:
        before = self.objects.get(path)
        if only_status:
            assert before is not None, "a status is applied to what there is"
            self.objects[path] = {**before, "status": document["status"]}
        elif before is None:
            self.objects[path] = stored(document)
        else:
            fresh = stored(document)
            self.objects[path] = {
                **before,
                **fresh,
                "metadata": {**fresh["metadata"], "uid": before["metadata"]["uid"]},
            }
        return self.objects[path]

    def _delete(self, path: str, options: Json) -> Answer:
        uid = options.get("preconditions", {}).get("uid")
        found = self.objects[path]
        if uid not in (None, found["metadata"]["uid"]):
            return refusal(409, f"Precondition failed: UID in precondition: {uid}", "Conflict")
        del self.objects[path]
        return _found(found)


def _listed(path: str, document: Json, asked: Request, match: re.Match[str]) -> bool:
    """Whether the object at `path` belongs to the collection that is asked for, and its selectors."""
    other = _PATH.fullmatch(path)
    assert other is not None
    same = (other[1], other[3]) == (match[1], match[3]) and match[2] in (None, other[2])
    labels = document["metadata"].get("labels", {})
    key, _, value = asked.query.get("labelSelector", "").partition("=")
    field_key, _, field_value = asked.query.get("fieldSelector", "").partition("=")
    assert field_key in ("", "regarding.uid")
    return (
        same
        and (not key or (labels.get(key) == value if value else key in labels))
        and (not field_key or document.get("regarding", {}).get("uid") == field_value)
    )


def _found(document: Json) -> Answer:
    return Answer(body=json.dumps(document).encode())


@asynccontextmanager
async def object_store() -> AsyncIterator[ObjectStore]:
    """An empty one that has ended when the context ends."""
    store = ObjectStore()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", store.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    listening = socket.create_server((HOST, 0))
    store.port = listening.getsockname()[1]
    await web.SockSite(runner, listening).start()
    try:
        yield store
    finally:
        await runner.cleanup()


@asynccontextmanager
async def kube_at(url: str) -> AsyncIterator[Kube]:
    """The operator's way to the API server at `url`."""
    configuration = client.Configuration()
    configuration.host = url
    configuration.api_key = {"BearerToken": "Bearer secret"}
    certificates = _certificates()
    with patch.object(ssl, "create_default_context", return_value=certificates):
        api = client.ApiClient(configuration)
    async with api:
        yield Kube(api, FIELD_MANAGER)


@cache
def _certificates() -> ssl.SSLContext:
    """Those of the system, read once: that takes longer than most tests."""
    return ssl.create_default_context()
