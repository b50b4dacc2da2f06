"""The gateway's routes, one file per dialect; each only translates to and from a `Job`."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from easel_gateway.routes.refusals import refusal
from easel_http.errors import ApiError
from easel_http.image_headers import IGNORED

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
    """Hands requests for work to their functions, past the layers of FastAPI and Starlette; all others to `app`.

    These look for the route, wrap the answer, and keep a stack of what a dependency might have to clean up, at the
    price of a fifth of all that the gateway does for a small request. Both ways go through what `add_middleware` got.
    """

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]) -> None:
        """`routers`: those whose stream routes are for work."""
        self._app = app
        self._routes: Mapping[str, StreamRoute] = {
            route.path: route
            for router in routers
            for route in router.routes
            if isinstance(route, StreamRoute) and route.methods == {"POST"} and "{" not in route.path
        }
        work: ASGIApp = self._work
        for middleware, args, kwargs in reversed(app.user_middleware):
            work = middleware(work, *args, **kwargs)
        self._way = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the beginning and the end of the server."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._routes:
            scope["app"] = self._app
            await self._way(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes[scope["path"]]
        scope["route"] = route  # for logs and traces
        response: Response
        try:
            response = await route.endpoint(Request(scope, receive, send))
        except ApiError as error:
            response = refusal(scope["path"], error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)


def with_ignored(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """`headers` that also say of `names` that they were ignored."""
    said = ", ".join(filter(None, [headers.get(IGNORED), *names]))
    return {**headers, IGNORED: said} if said else dict(headers)
