"""The runtime's OpenAPI document, true of the settings that it runs with."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from fastapi import FastAPI

from easel_http.fields import OWN_FIELDS
from easel_http.openapi import header
from easel_http.requests import REQUEST_HEADER
from easel_runtime.middleware import STATUS_HEADER, WORK_PATH, strict
from easel_runtime.settings import Settings

_TOKEN: Final = "HTTPBearer"  # noqa: S105 (its name in the contract)
_ID: Final = {
    "name": REQUEST_HEADER,
    "in": "header",
    "required": False,
    "description": "Names the request in the answer and in the log; at most 64 characters of it count.",
    "schema": {"type": "string"},
}


class DocumentedApp(FastAPI):
    """An application whose `state.settings` shape what `/openapi.json` says."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return as_served(super().openapi(), self.state.settings)


def as_served(document: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """`document` with what holds for every route, and what the settings say: bounds, the token, strict statuses."""
    served = deepcopy(dict(document))
    for operation in _operations(served):
        operation.setdefault("parameters", []).append(_ID)
        for answer in operation["responses"].values():
            answer.setdefault("headers", {})[REQUEST_HEADER] = {**header("The request's id."), "required": True}
    work = served["paths"][WORK_PATH]["post"]
    fields = work["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    for name in OWN_FIELDS:  # of the gateway
        fields.pop(name, None)
    fields["model_id"]["enum"] = ["", settings.model_id]
    fields["num_images_per_prompt"]["maximum"] = settings.parameters.max_images
    if settings.auth_token is None:
        del work["responses"]["401"]
    else:
        work["security"] = [{_TOKEN: []}]
        served["components"]["securitySchemes"] = {_TOKEN: {"type": "http", "scheme": "bearer"}}
    if settings.livepeer_strict:
        work["responses"] = _strict(work["responses"])
    return served


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _strict(responses: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """`responses` under the statuses that `StrictStatuses` leaves, those that share one merged.

    All that are moved have the same body, and so has what they are moved to.
    """
    kept = {status: answer for status, answer in responses.items() if strict(int(status)) == int(status)}
    for status in sorted(responses.keys() - kept.keys()):
        answer, onto = responses[status], kept[str(strict(int(status)))]
        onto["description"] += f"; {status}: {answer['description']}"
        onto["headers"] = {
            **answer["headers"],
            **onto["headers"],
            STATUS_HEADER: header("The status that it would be without strict statuses.", pattern=r"^\d{3}$"),
        }
    return kept
