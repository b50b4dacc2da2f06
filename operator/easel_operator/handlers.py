"""What kopf watches, and whom it tells: adapters, nothing else.

Only `on.event` handlers: they leave no finalizer and no annotation on anybody's objects, so nothing hangs when the
operator is away. kopf owns the watches (reconnecting, listing again, server-side selectors); the controller owns the
queue.
"""

from typing import Any, Final

import kopf

from easel_crds.metadata import GROUP, VERSION, Label
from easel_operator.controller import Controller

_CHILDREN: Final = (
    ("apps", "v1", "deployments"),
    ("", "v1", "services"),
    ("", "v1", "serviceaccounts"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("", "v1", "pods"),
)
_LEASES: Final = ("coordination.k8s.io", "v1", "leases")
_DELETED: Final = "DELETED"


def configure(settings: kopf.OperatorSettings) -> None:
    """Watch only what bears Easel's labels, and write nothing."""
    for kind in _CHILDREN:
        settings.watching.label_selectors[kind] = Label.MODEL
    settings.watching.label_selectors[_LEASES] = Label.DEMAND
    settings.posting.enabled = False


def register(controller: Controller, registry: kopf.OperatorRegistry) -> None:
    """Have `controller` told of everything that concerns it."""

    async def model(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 (kopf's name)
        if type == _DELETED:
            controller.model_gone(body)
        else:
            controller.model_changed(body)

    async def profile(name: str, **_: Any) -> None:
        controller.profile_changed(name)

    async def child(body: kopf.Body, **_: Any) -> None:
        controller.child_changed(body)

    async def lease(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 (kopf's name)
        if type == _DELETED:
            controller.gateway_gone(body)
        else:
            controller.demand_changed(body)

    kopf.on.event(GROUP, VERSION, "imagemodels", registry=registry)(model)
    kopf.on.event(GROUP, VERSION, "runtimeprofiles", registry=registry)(profile)
    for kind in _CHILDREN:
        kopf.on.event(*kind, registry=registry, labels={Label.MODEL: kopf.PRESENT})(child)
    kopf.on.event(*_LEASES, registry=registry, labels={Label.DEMAND: kopf.PRESENT})(lease)
