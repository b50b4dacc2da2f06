"""Kinds of objects, and where the API serves them."""

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from easel_crds.metadata import API_VERSION


@dataclass(frozen=True)
class Kind:
    """A kind of object."""

    api_version: str
    plural: str
    home: str = ""
    """Namespace of all that is meant, unless a call names another."""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object, or a subresource of it; without a namespace: of all, or of none."""
        root = "api" if "/" not in self.api_version else "apis"
        namespace = namespace or self.home
        place = ("namespaces", quote(namespace, safe="")) if namespace else ()
        parts = (root, self.api_version, *place, self.plural, *filter(None, (quote(name, safe=""), subresource)))
        return "/" + "/".join(parts)

    def within(self, namespace: str) -> "Kind":
        """The objects of this kind in one namespace."""
        return replace(self, home=namespace)

    def __str__(self) -> str:
        return self.plural


IMAGE_MODELS: Final = Kind(API_VERSION, "imagemodels")
RUNTIME_PROFILES: Final = Kind(API_VERSION, "runtimeprofiles")
DEPLOYMENTS: Final = Kind("apps/v1", "deployments")
SERVICES: Final = Kind("v1", "services")
SERVICE_ACCOUNTS: Final = Kind("v1", "serviceaccounts")
DISRUPTION_BUDGETS: Final = Kind("policy/v1", "poddisruptionbudgets")
PODS: Final = Kind("v1", "pods")
NODES: Final = Kind("v1", "nodes")
LEASES: Final = Kind("coordination.k8s.io/v1", "leases")
SECRETS: Final = Kind("v1", "secrets")
EVENTS: Final = Kind("events.k8s.io/v1", "events")
ENDPOINT_SLICES: Final = Kind("discovery.k8s.io/v1", "endpointslices")
