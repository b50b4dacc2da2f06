"""What ought to exist for an ImageModel: pure builders of Kubernetes objects, as plain JSON documents."""

from typing import Any

from easel_crds.imagemodel import ImageModel
from easel_crds.runtimeprofile import RuntimeProfile
from easel_operator.desired import deployment, objects

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


def children(model: ImageModel, profile: RuntimeProfile, replicas: int, default_image: str) -> tuple[Object, ...]:
    """Everything that `model` needs, in the order in which it is made.

    Only fields that Easel decides are in these objects: they are applied server-side, and other fields stay whose
    they are. `default_image` is for profiles that name no image.
    """
    return (
        objects.service_account(model),
        objects.service(model),
        objects.disruption_budget(model),
        deployment.deployment(model, profile, replicas, default_image),
    )
