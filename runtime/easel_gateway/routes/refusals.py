"""Errors in the form that the client which asked for a path understands."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi.responses import JSONResponse, Response

from easel_http.errors import ApiError, plain_answer

OPENAI_NAMES: Final[Mapping[str, str]] = {"model_id": "model", "num_images_per_prompt": "n"}
"""What OpenAI's clients call our fields, where they differ."""
_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_TRIED_AGAIN: Final = frozenset({408, 409, 429})
"""After these, and every status from 500 on, OpenAI's packages ask again by themselves."""


def refusal(path: str, error: ApiError) -> Response:
    """The answer to a request for `path` that is refused or has failed."""
    return _openai(error) if path == "/v1" or path.startswith("/v1/") else plain_answer(path, error)


def _openai(error: ApiError) -> JSONResponse:
    """In OpenAI's form; `param` is the first field that is wrong, by the name that it has there."""
    detail = error.body()["detail"]
    param = None
    if isinstance(detail, (list, tuple)) and detail:
        param = next((_theirs(each) for each in reversed(detail[0]["loc"])), None)
        message = "; ".join(f"{_theirs(each['loc'][-1])}: {each['msg']}" for each in detail)
    else:
        message = detail["msg"] if isinstance(detail, Mapping) else str(detail)
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    body = {"error": {"message": message, "type": kind, "param": param, "code": None}, "detail": detail}
    headers = dict(error.headers)
    if "Retry-After" not in headers and (error.status in _TRIED_AGAIN or error.status >= 500):
        headers["X-Should-Retry"] = "false"
    return JSONResponse(body, error.status, headers)


def _theirs(name: Any) -> str:
    return OPENAI_NAMES.get(str(name), str(name))
