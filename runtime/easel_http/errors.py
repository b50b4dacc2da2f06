"""Errors that become answers, in the shapes of the seed contract.

ApiError                    {"detail": {"msg": ...}}
├── BadRequest          400 the body or the picture cannot be read
├── Unauthorized        401 missing or wrong bearer token
├── PaymentRequired     402 the price is above what the caller pays at most
├── Forbidden           403 the caller's key is not for this
├── NotFound            404 unknown model or result
├── Conflict            409 the same request is being worked on, or has been charged
├── BodyTooLarge        413 more bytes than are taken
├── InvalidForm         422 {"detail": [{"type", "loc", "msg", "input"}]}
├── Busy                429 every place in the queue is taken; Retry-After
├── Failed              500 the model failed at this request
├── UpstreamFailed      502 another server failed: the runtime that worked, the Hub
├── Unavailable         503 no runtime can take the request; Retry-After if waiting helps
└── TimedOut            504 the work took longer than its deadline
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

CLIENT_CLOSED_REQUEST: Final = 499
"""Status for the access log when the caller has left; nobody receives it (the number is nginx's)."""


class ApiError(Exception):
    """A refusal or failure with its HTTP answer."""

    status: int = 500

    def __init__(self, msg: str, *, retry_after: int | None = None, **more: object) -> None:
        """`retry_after`: seconds after which the caller may try again; `more`: further keys beside `msg`."""
        super().__init__(msg)
        self.msg = msg
        self.more = more
        self.headers: dict[str, str] = {} if retry_after is None else {"Retry-After": str(max(1, retry_after))}

    def body(self) -> Mapping[str, Any]:
        """The JSON body of the answer."""
        return {"detail": {"msg": self.msg, **self.more}}


class BadRequest(ApiError):
    """The body or the picture cannot be read."""

    status = 400


class Unauthorized(ApiError):
    """The bearer token is missing or wrong."""

    status = 401

    def __init__(self, msg: str) -> None:
        super().__init__(msg)
        self.headers["WWW-Authenticate"] = "Bearer"


class PaymentRequired(ApiError):
    """The price is above what the caller pays at most; the body has it."""

    status = 402


class Forbidden(ApiError):
    """The caller's key is not for this."""

    status = 403


class NotFound(ApiError):
    """There is no such model or result."""

    status = 404


class Conflict(ApiError):
    """The same request is being worked on, or has been charged already."""

    status = 409


class BodyTooLarge(ApiError):
    """The body has more bytes than are taken."""

    status = 413


class InvalidForm(ApiError):
    """Fields are missing or wrong; each one is named, as FastAPI does it."""

    status = 422

    def __init__(self, problems: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("; ".join(str(problem["msg"]) for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def at(cls, field: str, msg: str, *, given: object = None, kind: str = "value_error") -> "InvalidForm":
        """One wrong field of the form."""
        return cls([{"type": kind, "loc": ["body", field], "msg": msg, "input": given}])

    @classmethod
    def of(cls, error: ValidationError, texts: Mapping[str, str]) -> "InvalidForm":
        """Every problem that pydantic found in `texts`, each with the text of its field.

        The text and not pydantic's own `input`: inside loras that may be what JSON cannot say, such as NaN.
        """
        return cls(
            [
                {
                    "type": found["type"],
                    "loc": ["body", *found["loc"]],
                    "msg": found["msg"],
                    "input": texts.get(str(found["loc"][0])),
                }
                for found in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        )

    def body(self) -> Mapping[str, Any]:
        """The JSON body of the answer: a list, one entry per problem."""
        return {"detail": self.problems}


class Busy(ApiError):
    """Every place in the queue is taken."""

    status = 429


class Failed(ApiError):
    """The model failed at this request."""

    status = 500


class UpstreamFailed(ApiError):
    """Another server failed: the runtime, while it worked, or the Hub."""

    status = 502


class Unavailable(ApiError):
    """No runtime can take the request."""

    status = 503


class TimedOut(ApiError):
    """The work took longer than its deadline."""

    status = 504


AnswerTo = Callable[[str, ApiError], Response]
"""Makes the answer to a request for a path that ends in an error."""


def plain_answer(_: str, error: ApiError) -> Response:
    """The error in the contract's shape."""
    return JSONResponse(error.body(), error.status, error.headers)


def install(app: FastAPI, answer: AnswerTo = plain_answer) -> None:
    """Make `app` answer every error as JSON, in the contract's shapes unless `answer` knows better."""

    async def api_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101 (narrows the type of the handler table)
        return answer(request.scope["path"], error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        said = ApiError(str(error.detail))
        said.status, said.headers = error.status_code, dict(error.headers or {})
        return answer(request.scope["path"], said)

    async def left(_: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def unexpected(request: Request, _: Exception) -> Response:
        return answer(request.scope["path"], Failed("internal error; the server's log has more"))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(Exception, unexpected)
