"""What kopf watches, and whom each change is told to."""

from typing import Any, cast
from unittest.mock import create_autospec

import kopf
import pytest

from easel_crds.demand import Demand
from easel_crds.metadata import Label
from easel_operator import handlers
from easel_operator.controller import Controller
from support.cluster_objects import KEY, lease, model_document, ready_pod

Json = dict[str, Any]


def _registered(controller: Controller) -> dict[str, Any]:
    registry = kopf.OperatorRegistry()
    handlers.register(controller, registry)
    found = registry._watching.get_all_handlers()
    return {str(handler.selector.any_name): handler for handler in found if handler.selector is not None}


async def _tell(plural: str, type_: str | None, document: Json) -> Any:
    """What the controller was told."""
    controller = create_autospec(Controller, instance=True)
    handler = _registered(controller)[plural]
    await handler.fn(
        type=type_, body=kopf.Body(cast("kopf.RawBody", document)), name=document["metadata"]["name"], logger=None
    )
    return controller


def test_everything_that_concerns_the_operator_is_watched() -> None:
    found = _registered(create_autospec(Controller, instance=True))
    assert {(one.selector.group, one.selector.version, name) for name, one in found.items()} == {
        ("easel.dev", "v1alpha1", "imagemodels"),
        ("easel.dev", "v1alpha1", "runtimeprofiles"),
        ("apps", "v1", "deployments"),
        ("", "v1", "services"),
        ("", "v1", "serviceaccounts"),
        ("", "v1", "pods"),
        ("policy", "v1", "poddisruptionbudgets"),
        ("coordination.k8s.io", "v1", "leases"),
    }


def test_of_others_objects_only_those_with_easel_s_labels_are_watched() -> None:
    found = _registered(create_autospec(Controller, instance=True))
    labels = {name: dict(one.labels or {}) for name, one in found.items() if not name.endswith(("models", "profiles"))}
    assert labels.pop("leases") == {Label.DEMAND: kopf.PRESENT}
    assert set(map(str, labels.values())) == {str({Label.MODEL: kopf.PRESENT})}
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    narrowed = settings.watching.label_selectors.items()
    selectors = {
        of.any_name: str(selector) for of, selector in narrowed if isinstance(of, type(found["pods"].selector))
    }
    assert selectors == {**dict.fromkeys(labels, "easel.dev/model"), "leases": "easel.dev/demand"}


def test_nothing_is_written_on_what_is_watched() -> None:
    registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    handlers.register(create_autospec(Controller, instance=True), registry)
    handlers.configure(settings)
    assert not settings.posting.enabled
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()


@pytest.mark.parametrize("type_", [None, "ADDED", "MODIFIED"])
async def test_a_model_that_is_there_has_changed(type_: str | None) -> None:
    controller = await _tell("imagemodels", type_, model_document())
    controller.model_changed.assert_called_once()
    assert dict(controller.model_changed.call_args.args[0]) == model_document()
    controller.model_gone.assert_not_called()


async def test_a_model_that_was_deleted_is_gone() -> None:
    controller = await _tell("imagemodels", "DELETED", model_document())
    controller.model_gone.assert_called_once()
    controller.model_changed.assert_not_called()


@pytest.mark.parametrize("type_", [None, "ADDED", "MODIFIED", "DELETED"])
async def test_profiles_and_children_are_told_whatever_happened_to_them(type_: str | None) -> None:
    profile = {"kind": "RuntimeProfile", "metadata": {"name": "large"}}
    (await _tell("runtimeprofiles", type_, profile)).profile_changed.assert_called_once_with("large")
    for plural in ("pods", "services", "deployments", "serviceaccounts", "poddisruptionbudgets"):
        (await _tell(plural, type_, ready_pod())).child_changed.assert_called_once()


@pytest.mark.parametrize(("type_", "gone"), [(None, False), ("ADDED", False), ("MODIFIED", False), ("DELETED", True)])
async def test_a_lease_asks_until_it_is_deleted(type_: str | None, *, gone: bool) -> None:
    controller = await _tell("leases", type_, lease({KEY: Demand(1, 0)}))
    assert controller.gateway_gone.called is gone
    assert controller.demand_changed.called is not gone
