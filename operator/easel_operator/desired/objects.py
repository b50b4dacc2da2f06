"""The small children of an ImageModel, and what all of its children have in common."""

from typing import Any

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import API_VERSION, FIELD_MANAGER, PORT_NAME, SERVICE_PORT, Label, child_name


def metadata(model: ImageModel) -> dict[str, Any]:
    """Name, labels and owner of a child; the garbage collector removes it after its owner."""
    return {
        "name": child_name(model.name),
        "namespace": model.metadata.namespace,
        "labels": labels(model),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": model.kind,
                "name": model.name,
                "uid": model.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def labels(model: ImageModel) -> dict[str, str]:
    """Labels of every child and of its pods."""
    return {
        Label.NAME: "easel",
        Label.COMPONENT: "runtime",
        Label.MANAGED_BY: FIELD_MANAGER,
        **selector(model),
    }


def selector(model: ImageModel) -> dict[str, str]:
    """What selects the pods of `model` in its namespace."""
    return {Label.MODEL: model.name}


def service_account(model: ImageModel) -> dict[str, Any]:
    """The identity of the runtimes, which may do nothing: they run code for weights from elsewhere."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(model),
        "automountServiceAccountToken": False,
    }


def service(model: ImageModel) -> dict[str, Any]:
    """One address for the runtimes; gateways read its EndpointSlices."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(model),
        "spec": {
            "selector": selector(model),
            "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": PORT_NAME}],
        },
    }


def disruption_budget(model: ImageModel) -> dict[str, Any]:
    """Drains take one runtime at a time. Never none: a node could not be emptied for maintenance."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(model),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(model)}},
    }
