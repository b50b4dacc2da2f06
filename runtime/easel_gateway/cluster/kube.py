"""The API server, as far as the gateway needs it: objects are plain JSON; no other module knows the client."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from easel_crds.metadata import API_VERSION, Label

Json = dict[str, Any]

FIELD_MANAGER: Final = "easel-gateway"
"""Owner of the fields that gateways apply."""
_CONNECT_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 60
"""Longest time of one whole answer; a page of a list may have some megabytes."""


@dataclass(frozen=True)
class Collection:
    """Objects of one kind in all namespaces."""

    path: str
    selector: str = ""
    """Label selector."""

    def query(self, **more: str) -> dict[str, str]:
        """The parameters of a request for it."""
        return {**({"labelSelector": self.selector} if self.selector else {}), **more}

    def __str__(self) -> str:
        return self.path.rpartition("/")[2]


IMAGE_MODELS: Final = Collection(f"/apis/{API_VERSION}/imagemodels")
ENDPOINT_SLICES: Final = Collection("/apis/discovery.k8s.io/v1/endpointslices", Label.MODEL)


class KubeError(Exception):
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
    """Calls of the API server; each raises `KubeError` when it fails."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def get(self, path: str, query: Mapping[str, str]) -> Json:
        """The answer to a GET."""
        return await self._whole("GET", path, query)

    async def apply(self, path: str, document: Json) -> Json:
        """Server-side apply: the fields in `document` are the gateway's, whoever had them."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._whole("PATCH", path, query, document, "application/apply-patch+yaml")

    @asynccontextmanager
    async def watch(self, path: str, query: Mapping[str, str], silence: float) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a watch that the API server has accepted, until it ends it.

        The client's own `Watch` is not used: it turns every object into a model of its own and back, ends at a line
        of more than 4 MiB, and connects again without a pause.

        Raises:
            KubeError: also when `silence` seconds bring nothing; by then the connection may be dead.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence)
        response = await self._send("GET", path, query, timeout=timeout)
        try:
            yield _events(response)
        finally:
            response.close()

    async def _whole(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
        response = await self._send(method, path, query, body, content_type, timeout=timeout)
        try:
            document = json.loads(await response.read())
        except _LOST as error:
            raise _lost(error) from error
        except ValueError as error:
            raise KubeError(response.status, "the API server's answer is not JSON") from error
        if not isinstance(document, dict):
            raise KubeError(response.status, "the API server's answer is not an object")
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
        url = f"{self._api.configuration.host}{path}?{urlencode(query)}"
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 300:
                raise KubeError(response.status, _message(response.status, await response.read()))
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
async def connected() -> AsyncIterator[Kube]:
    """The API server that KUBECONFIG names; without it the one whose pod this is, else the user's own.

    Raises:
        KubeError: nothing says where it is.
    """
    configuration = client.Configuration()
    try:
        named = os.environ.get("KUBECONFIG")
        if named or "KUBERNETES_SERVICE_HOST" not in os.environ:
            await config.load_kube_config(named, client_configuration=configuration)
        else:
            config.load_incluster_config(configuration)
    except (config.ConfigException, OSError, TypeError) as error:  # TypeError: the file is empty
        raise KubeError(0, f"there is no way to the API server: {error}") from error
    async with client.ApiClient(configuration) as api:
        yield Kube(api)


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
        KubeError: it says so, or makes no sense.
    """
    try:
        event = json.loads(line)
        kind, document = event["type"], event["object"]
        if kind == "ERROR":
            raise KubeError(int(document["code"]), str(document.get("message")))
        return Event(kind, document, document["metadata"]["resourceVersion"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise KubeError(500, "the API server sent an event that cannot be read") from error


def _lost(error: Exception) -> KubeError:
    return KubeError(0, f"the API server cannot be reached: {str(error) or type(error).__name__}")


def _message(status: int, text: bytes) -> str:
    """The API server's own sentence."""
    try:
        return f"the API server answered {status}: {json.loads(text)['message']}"
    except (ValueError, LookupError, TypeError):
        return f"the API server answered {status}"
