"""An API server on a loopback socket that lists, watches and applies as the real one does, with faults on demand."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from easel_crds.metadata import API_VERSION, PORT_NAME, Label
from support.builders import manifest

Json = dict[str, Any]
HOST = "127.0.0.1"
MODELS = f"/apis/{API_VERSION}/imagemodels"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
BORN = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Request:
    """One request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    at: float
    """Event loop time."""
    body: Json
    content_type: str

    @property
    def watches(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(frozen=True)
class _Change:
    version: int
    path: str
    type: str
    object: Json


@dataclass(eq=False)
class KubeApi:
    """What the API server holds, what it was asked, and how it misbehaves."""

    objects: dict[str, dict[tuple[str, str], Json]] = field(default_factory=lambda: {MODELS: {}, SLICES: {}})
    requests: list[Request] = field(default_factory=list)
    status: int = 0
    """Answer everything with this."""
    goes_away: bool = False
    """Close connections in place of an answer."""
    gone_as_status: bool = False
    """Answer a watch from a version that is gone with 410, not with an event that says so."""
    piece: int = 1 << 20
    """Most bytes written at a time."""
    port: int = 0
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, nothing is answered."""

    def __post_init__(self) -> None:
        self.answering.set()
        self._version = 100
        self._oldest = 100
        self._changes: list[_Change] = []
        self._changed = asyncio.Event()
        self._watching: set[asyncio.Task[Any]] = set()
        self._transports: set[asyncio.BaseTransport] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def version(self) -> str:
        """Version of the last change."""
        return str(self._version)

    @property
    def watches(self) -> int:
        """Watches that are open."""
        return len(self._watching)

    @property
    def applied(self) -> list[Request]:
        """Every server-side apply, oldest first."""
        return [request for request in self.requests if request.method == "PATCH"]

    def put(self, path: str, document: Json) -> Json:
        """Create or change an object; its metadata get what the API server gives."""
        metadata: Json = {"namespace": "default", "uid": f"uid-of-{document['metadata']['name']}", "generation": 1}
        metadata |= {"creationTimestamp": BORN, **document["metadata"], "resourceVersion": str(self._next())}
        stored = {**document, "metadata": metadata}
        key = metadata["namespace"], metadata["name"]
        kind = "MODIFIED" if key in self.objects[path] else "ADDED"
        self.objects[path][key] = stored
        self._tell(_Change(self._version, path, kind, stored))
        return stored

    def drop(self, path: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        last = self.objects[path].pop((namespace, name))
        metadata = {**last["metadata"], "resourceVersion": str(self._next())}
        self._tell(_Change(self._version, path, "DELETED", {**last, "metadata": metadata}))

    def bookmark(self) -> None:
        """Tell all who watch how far they are."""
        self._next()
        for path in self.objects:
            self._tell(_Change(self._version, path, "BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}}))

    def forget(self) -> None:
        """Forget every change so far, as compaction does: who has not seen them must list again."""
        self._oldest = self._version
        self._changes.clear()

    def cut(self) -> None:
        """End every watch in the middle, as a dying server or proxy does."""
        for transport in self._transports:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        listening = socket.create_server((HOST, self.port), backlog=128)
        self.port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        assert self._runner is not None
        for task in self._watching:
            task.cancel()
        await self._runner.cleanup()

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads here."""
        file = folder / "kubeconfig"
        here: Json = {"name": "here", "cluster": {"server": self.url}}
        context: Json = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        user: Json = {"name": "me", "user": {"token": "secret"}}
        document = {"clusters": [here], "contexts": [context], "users": [user], "current-context": "here"}
        file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **document}))
        return file

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _tell(self, change: _Change) -> None:
        self._changes.append(change)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.read()
        loop = asyncio.get_running_loop()
        body = json.loads(text) if text else {}
        asked = Request(request.method, request.path, dict(request.query), loop.time(), body, request.content_type)
        self.requests.append(asked)
        await self.answering.wait()
        if self.goes_away:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.get_running_loop().create_future()  # never: the end of the connection ends this
        if self.status:
            return _status(self.status, "as the test wants it")
        if request.headers.get("Authorization") != "Bearer secret":
            return _status(401, "Unauthorized")
        if asked.method == "PATCH":
            return web.json_response(body)
        if request.path not in self.objects:
            return _status(404, "the server could not find the requested resource")
        return await self._watch(request, asked) if asked.watches else self._list(asked)

    def _list(self, asked: Request) -> web.Response:
        first, limit = int(asked.query.get("continue", 0)), int(asked.query.get("limit", 1 << 30))
        found = sorted(self.objects[asked.path].items())
        metadata = {"resourceVersion": str(self._version)}
        if first + limit < len(found):
            metadata["continue"] = str(first + limit)
        items = [document for _, document in found[first : first + limit]]
        return web.json_response({"metadata": metadata, "items": items or None})

    async def _watch(self, request: web.Request, asked: Request) -> web.StreamResponse:
        since = int(asked.query["resourceVersion"])
        if since < self._oldest and self.gone_as_status:
            return _status(410, "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if since < self._oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await self._write(response, {"type": "ERROR", "object": gone})
            return response
        task = asyncio.current_task()
        assert task is not None
        assert request.transport is not None
        self._watching.add(task)
        self._transports.add(request.transport)
        try:
            while True:
                changed = self._changed
                for change in [each for each in self._changes if each.path == asked.path and each.version > since]:
                    since = change.version
                    await self._write(response, {"type": change.type, "object": change.object})
                await changed.wait()
        finally:
            self._watching.discard(task)
            self._transports.discard(request.transport)

    async def _write(self, response: web.StreamResponse, event: Json) -> None:
        line = json.dumps(event).encode() + b"\n"
        for start in range(0, len(line), self.piece):
            await response.write(line[start : start + self.piece])


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@asynccontextmanager
async def kube_api() -> AsyncIterator[KubeApi]:
    """An API server that has ended when the context ends."""
    api = KubeApi()
    await api.start()
    try:
        yield api
    finally:
        api.answering.set()
        await api.stop()


def model(name: str = "demo", *, status: Json | None = None, metadata: Json | None = None, **spec: Any) -> Json:
    """An ImageModel as the API server has it."""
    document = manifest(name, **spec)
    document["metadata"] |= metadata or {}
    return {**document, "status": status} if status is not None else document


def endpoint(address: str = "10.0.0.1", pod: str = "demo-1", **conditions: bool | None) -> Json:
    """One endpoint of a slice, ready unless `conditions` say otherwise."""
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False, **conditions},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": pod, "uid": f"uid-of-{pod}"},
    }


def endpoint_slice(
    *endpoints: Json, name: str = "easel-demo-1", of: str = "demo", port: int = 8000, **more: Any
) -> Json:
    """An EndpointSlice as the API server makes it for the Service of a model."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {Label.MODEL: of}},
        "addressType": "IPv4",
        "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **more,
    }
