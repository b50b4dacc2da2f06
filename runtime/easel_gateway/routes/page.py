"""The web page: `GET /` and the files that it asks for. `POST /` is the dialect of Hugging Face."""

from functools import cache
from typing import Final

from fastapi import APIRouter, Request, Response

from easel_gateway import static
from easel_http.errors import NotFound

router = APIRouter(include_in_schema=False)

_loaded: Final = cache(static.load)
"""Read at the first request for one of them."""


@router.head("/")
@router.get("/")
async def index(request: Request) -> Response:
    """The page itself."""
    return _answer(request, static.INDEX)


@router.head("/page/{path:path}")
@router.get("/page/{path:path}")
async def file(request: Request, path: str) -> Response:
    """What belongs to it: scripts, styles, fonts."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    found = _loaded().get(path)
    if found is None:
        raise NotFound("there is no such file of the page")
    return found.answer(request.headers.get("if-none-match", ""))
