"""The API server, as far as the operator needs it: objects are plain JSON; no other module knows the client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from easel_crds.metadata import API_VERSION, FIELD_MANAGER

Object = dict[str, Any]

_SECONDS: Final = 15
"""Longest wait for one answer of the API server."""


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API serves it."""

    api_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object, or a subresource of it; without a namespace: of all, or of none."""
        root = "api" if "/" not in self.api_version else "apis"
        parts = [root, self.api_version, *(("namespaces", namespace) if namespace else ()), self.plural]
        return "/" + "/".join([*parts, *filter(None, (name, subresource))])


IMAGE_MODELS: Final = Kind(API_VERSION, "imagemodels")
RUNTIME_PROFILES: Final = Kind(API_VERSION, "runtimeprofiles")
DEPLOYMENTS: Final = Kind("apps/v1", "deployments")
SERVICES: Final = Kind("v1", "services")
SERVICE_ACCOUNTS: Final = Kind("v1", "serviceaccounts")
DISRUPTION_BUDGETS: Final = Kind("policy/v1", "poddisruptionbudgets")
PODS: Final = Kind("v1", "pods")
NODES: Final = Kind("v1", "nodes")
LEASES: Final = Kind("coordination.k8s.io/v1", "leases")
EVENTS: Final = Kind("events.k8s.io/v1", "events")

CHILDREN: Final = {
    "ServiceAccount": SERVICE_ACCOUNTS,
    "Service": SERVICES,
    "PodDisruptionBudget": DISRUPTION_BUDGETS,
    "Deployment": DEPLOYMENTS,
}
"""Kinds that belong to an ImageModel, by the `kind` in their documents."""


class ApiError(Exception):
    """The API server said no, or cannot be reached (status 0); the text is for people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Kube:
    """Calls of the API server. Every call ends within seconds and raises `ApiError` when it fails."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, or None if there is none."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        """All objects that the selectors match; none if the API server does not know the kind (any more)."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        try:
            found = await self._call("GET", kind.path(namespace), {key: text for key, text in query.items() if text})
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        items: list[Object] = found.get("items", [])
        return items

    async def apply(self, kind: Kind, document: Object, subresource: str = "") -> Object:
        """Server-side apply: Easel takes the fields in `document`, leaves others, and gives up those it left out."""
        metadata = document["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._call(
            "PATCH", path, {"fieldManager": FIELD_MANAGER, "force": "true"}, document, "application/apply-patch+yaml"
        )

    async def create(self, kind: Kind, namespace: str, document: Object) -> Object:
        """Make a new object."""
        return await self._call("POST", kind.path(namespace), {"fieldManager": FIELD_MANAGER}, document)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete this very object; one that is gone, or another of its name, is left alone."""
        try:
            await self._call("DELETE", kind.path(namespace, name), body={"preconditions": {"uid": uid}})
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        headers: dict[str, str] = {"Accept": "application/json", "Content-Type": content_type}
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            response = await self._api.call_api(method, url, headers, body, _request_timeout=_SECONDS)
            text = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"the API server cannot be reached: {str(error) or type(error).__name__}") from error
        if response.status >= 300:
            raise ApiError(response.status, _message(text, response.status))
        document: Object = json.loads(text)
        return document


@asynccontextmanager
async def connected() -> AsyncIterator[Kube]:
    """The API server that KUBECONFIG names, or the one whose pod this is."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        yield Kube(api)


def _message(text: bytes, status: int) -> str:
    """The API server's own sentence."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return f"the API server answered {status}"
