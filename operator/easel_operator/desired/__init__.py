"""What ought to exist for an ImageModel: pure builders of Kubernetes objects, as plain JSON documents."""

import hashlib
import json
from typing import Any, Final

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import APPLIED_ANNOTATION
from easel_crds.runtimeprofile import RuntimeProfile
from easel_kube.kinds import DEPLOYMENTS, DISRUPTION_BUDGETS, SERVICE_ACCOUNTS, SERVICES
from easel_operator.desired import deployment, objects

CHILDREN: Final = {
    "ServiceAccount": SERVICE_ACCOUNTS,
    "Service": SERVICES,
    "PodDisruptionBudget": DISRUPTION_BUDGETS,
    "Deployment": DEPLOYMENTS,
}
"""Kinds that belong to an ImageModel, by the `kind` in their documents."""


def children(
    model: ImageModel, profile: RuntimeProfile, replicas: int, default_image: str
) -> tuple[dict[str, Any], ...]:
    """Everything that `model` needs, in the order in which it is made.

    Only fields that Easel decides are in these objects: they are applied server-side, and other fields stay whose
    they are. `default_image` is for profiles that name no image.
    """
    return tuple(
        _signed(document)
        for document in (
            objects.service_account(model),
            objects.service(model),
            objects.disruption_budget(model),
            deployment.deployment(model, profile, replicas, default_image),
        )
    )


def _signed(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with a digest of itself.

    Without it nobody could see that a field was once applied and is no longer wanted: it is simply not in `document`.
    """
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
    return document | {"metadata": document["metadata"] | {"annotations": {APPLIED_ANNOTATION: digest}}}
