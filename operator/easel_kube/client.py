"""Calls of the API server: objects are plain JSON, every call is bounded, every failure is one kind of error."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from easel_kube.kinds import Kind

Json = dict[str, Any]

_CONNECT_SECONDS: Final = 10
_SECONDS: Final = 30
"""Longest wait for one whole answer."""
_DOTS: Final = (".", "..")


class ApiError(Exception):
    """The API server said no, or (`status` 0) was not reached or went away; the text is for people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Event:
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    object: Json
    """The object; of a bookmark, nothing but its version."""
    version: str
    """`metadata.resourceVersion`, from which the next watch may go on."""


class Kube:
    """Calls of the API server. Every call ends within half a minute and raises `ApiError` when it fails."""

    def __init__(self, api: client.ApiClient, field_manager: str) -> None:
        """`field_manager`: owner of the fields that are applied and created."""
        self._api = api
        self._field_manager = field_manager

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """The object, or None if there is none."""
        if name in _DOTS:  # no encoding keeps these from leading elsewhere, and nothing can be called so
            return None
        try:
            return await self._whole("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str = "", labels: str = "", fields: str = "") -> list[Json]:
        """All objects that the selectors match; none if the API server does not know the kind (any more)."""
        try:
            found = await self._whole("GET", kind.path(namespace), _query(labelSelector=labels, fieldSelector=fields))
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return found.get("items") or []

    async def page(self, kind: Kind, labels: str, limit: int, continued: str) -> Json:
        """At most `limit` objects of all namespaces; `continued` is what the page before this one has for it."""
        query = _query(labelSelector=labels, limit=str(limit), **{"continue": continued})
        return await self._whole("GET", kind.path(), query)

    @asynccontextmanager
    async def watch(
        self, kind: Kind, labels: str, version: str, seconds: int, silence: float
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a watch from `version` on, which the API server has accepted, until it ends it after `seconds`.

        The client's own `Watch` is not used: it turns every object into a model of its own and back, ends at a line
        of more than 4 MiB, and connects again without a pause.

        Raises:
            ApiError: also when `silence` seconds bring nothing; by then the connection may be dead.
        """
        query = _query(labelSelector=labels, watch="true", allowWatchBookmarks="true")
        query |= {"resourceVersion": version, "timeoutSeconds": str(seconds)}
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence)
        response = await self._send("GET", kind.path(), query, timeout=timeout)
        try:
            yield _events(response)
        finally:
            response.close()

    async def apply(self, kind: Kind, document: Json, subresource: str = "") -> Json:
        """Server-side apply: we take the fields in `document`, leave others, and give up those we left out."""
        metadata = document["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"], subresource)
        query = {"fieldManager": self._field_manager, "force": "true"}
        return await self._whole("PATCH", path, query, document, "application/apply-patch+yaml")

    async def create(self, kind: Kind, namespace: str, document: Json, *, dry_run: bool = False) -> Json:
        """Make a new object, or with `dry_run` only see whether it could be made."""
        query = {"fieldManager": self._field_manager} | ({"dryRun": "All"} if dry_run else {})
        return await self._whole("POST", kind.path(namespace), query, document)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, *, orphan: bool = False) -> None:
        """Delete this very object; one that is gone, or another of its name, is left alone.

        With `orphan` what it owns stays.
        """
        options = {"preconditions": {"uid": uid}} | ({"propagationPolicy": "Orphan"} if orphan else {})
        try:
            await self._whole("DELETE", kind.path(namespace, name), {}, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _whole(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=_CONNECT_SECONDS)
        response = await self._send(method, path, query or {}, body, content_type, timeout=timeout)
        try:
            document = json.loads(await response.read())
        except _LOST as error:
            raise _lost(error) from error
        except ValueError as error:
            raise ApiError(response.status, "the API server's answer is not JSON") from error
        if not isinstance(document, dict):
            raise ApiError(response.status, "the API server's answer is not an object")
        return document

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (one per phase, which asyncio.timeout has not)
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 300:
                raise ApiError(response.status, _message(response.status, await response.read()))
            return response
        except _LOST as error:
            raise _lost(error) from error


_LOST: Final = (
    aiohttp.ClientError,
    aiohttp.http.HttpProcessingError,
    OSError,  # TimeoutError is one
    config.ConfigException,  # the token of the pod cannot be read
)


@asynccontextmanager
async def connected(field_manager: str) -> AsyncIterator[Kube]:
    """The API server that KUBECONFIG names; without it the one whose pod this is, else the user's own.

    Raises:
        ApiError: nothing says where it is.
    """
    configuration = client.Configuration()
    named = os.environ.get("KUBECONFIG")
    try:
        if named or "KUBERNETES_SERVICE_HOST" not in os.environ:
            await config.load_kube_config(config_file=named, client_configuration=configuration)
        else:
            config.load_incluster_config(configuration)
    except (config.ConfigException, OSError, TypeError) as error:  # TypeError: the file is empty
        raise ApiError(0, f"there is no way to the API server: {error}") from error
    async with client.ApiClient(configuration) as api:
        yield Kube(api, field_manager)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _event(line)
    except _LOST as error:
        raise _lost(error) from error


def _event(line: bytes) -> Event:
    """One line of a watch.

    Raises:
        ApiError: it says so, or makes no sense.
    """
    try:
        event = json.loads(line)
        kind, document = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError(int(document["code"]), str(document.get("message")))
        return Event(kind, document, document["metadata"]["resourceVersion"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ApiError(500, "the API server sent an event that cannot be read") from error


def _query(**parameters: str) -> dict[str, str]:
    """Those that say something."""
    return {name: value for name, value in parameters.items() if value}


def _lost(error: Exception) -> ApiError:
    return ApiError(0, f"the API server cannot be reached: {str(error) or type(error).__name__}")


def _message(status: int, text: bytes) -> str:
    """The API server's own sentence, if it has one."""
    try:
        message = json.loads(text)["message"]
    except (ValueError, LookupError, TypeError):
        message = ""
    return str(message) if message else f"the API server answered {status}"
