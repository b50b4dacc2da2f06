"""The gateway's routes, one file per dialect; each only translates to and from a `Job`."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from easel_gateway.routes.refusals import refusal
from easel_http.errors import ApiError

IGNORED_HEADER: Final = "X-Easel-Ignored"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StreamRoute(APIRoute):
    """A route whose function takes the request as it is and reads the body itself.

    It stands in the OpenAPI document like every other. FastAPI would look for parameters that are not there, which
    takes as long as reading a small form.
    """

    def get_route_handler(self) -> Handler:
        """The function itself."""
        handler: Handler = self.endpoint
        return handler


class Straight:
    """Hands requests for work to their functions, past the layers of FastAPI and Starlette.

    These look for the route, and keep a stack of what a dependency might have to clean up, at the price of a sixth of
    all that the gateway does for a small request. Everything else goes through them, and so does the document.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes: Mapping[str, StreamRoute] = {
            route.path: route
            for router in routers
            for route in router.routes
            if isinstance(route, StreamRoute) and route.methods == {"POST"} and "{" not in route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        response: Response
        try:
            scope["route"] = route  # for logs and traces
            response = await route.endpoint(Request(scope, receive, send))
        except ApiError as error:
            response = refusal(scope["path"], error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)


def with_ignored(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """`headers` that also say of `names` that they were ignored."""
    said = ", ".join(filter(None, [headers.get(IGNORED_HEADER), *names]))
    return {**headers, IGNORED_HEADER: said} if said else dict(headers)
