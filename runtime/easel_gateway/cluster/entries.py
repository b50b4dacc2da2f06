"""From objects of the API server to what the gateway knows of a model: pure functions."""

from collections.abc import Iterable, Iterator
from typing import Any

from easel_crds.conditions import FAILURES, Condition, ConditionType
from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import PORT_NAME
from easel_gateway.directory import UNKNOWN_START_SECONDS, Endpoint, Entry

Json = dict[str, Any]
_PENDING_LENGTH = 500


def endpoints_of(document: Json) -> tuple[Endpoint, ...]:
    """The endpoints of an EndpointSlice that take requests: ready, and not about to end."""
    ports = [port["port"] for port in document.get("ports") or () if port.get("name") == PORT_NAME]
    if not ports or document.get("addressType") not in ("IPv4", "IPv6"):
        return ()
    host = "[{}]" if document["addressType"] == "IPv6" else "{}"
    return tuple(
        Endpoint(_name(endpoint), f"http://{host.format(endpoint['addresses'][0])}:{ports[0]}")
        for endpoint in document.get("endpoints") or ()
        if _takes_requests(endpoint.get("conditions") or {})
    )


def merged(slices: Iterable[tuple[Endpoint, ...]]) -> tuple[Endpoint, ...]:
    """The endpoints of all slices of a model, each pod once.

    A pod is in two slices while it moves from one to the other, and where it has an address of each family; IPv4 comes
    first, and always the same.
    """
    chosen: dict[str, Endpoint] = {}
    for endpoint in sorted((endpoint for each in slices for endpoint in each), key=lambda endpoint: endpoint.url):
        chosen.setdefault(endpoint.name, endpoint)
    return tuple(chosen.values())


def entry_of(model: ImageModel, endpoints: tuple[Endpoint, ...]) -> Entry:
    """The entry of `model`, whose status says what its endpoints do not."""
    measured = model.status.cold_start_seconds
    return Entry(
        model,
        endpoints,
        starting=_starting(model),
        failure=_failure(model),
        start_seconds=UNKNOWN_START_SECONDS if measured is None else measured,
        pending=_pending(model),
        scale_decisions=model.status.scale_decisions,
    )


def _takes_requests(conditions: Json) -> bool:
    """As the API defines what is left out: unknown counts as ready, and as not terminating."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _name(endpoint: Json) -> str:
    pod = endpoint.get("targetRef") or {}
    return f"{pod['name']}/{pod['uid']}" if pod.get("uid") else str(endpoint["addresses"][0])


def _starting(model: ImageModel) -> bool:
    """Whether a replica is on its way.

    How many there are, and were asked for, is true of the model whichever form of its spec the status is about.
    """
    spec, status = model.spec, model.status
    if spec.replicas is not None:
        return spec.replicas > 0
    asked_for = status.scale_decisions[0].replicas if status.scale_decisions else 0
    return max(spec.warm_replicas, status.replicas, asked_for) > 0


def _failure(model: ImageModel) -> str:
    """Why the model cannot start, if that was found for the spec that it has now: a change may have mended it."""
    for condition in _current(model):
        if condition.status == "False" and (
            condition.type == ConditionType.ACCEPTED
            or (condition.type in (ConditionType.LOADED, ConditionType.SERVING) and condition.reason in FAILURES)
        ):
            return condition.message or condition.reason
    return ""


def _pending(model: ImageModel) -> str:
    """What a replica waits for that is on its way, in the words of the status."""
    for condition in _current(model):
        if condition.type == ConditionType.READY and condition.status == "False" and _starting(model):
            return condition.message[:_PENDING_LENGTH]
    return ""


def _current(model: ImageModel) -> Iterator[Condition]:
    generation = model.metadata.generation
    return (condition for condition in model.status.conditions if condition.observed_generation >= generation)
