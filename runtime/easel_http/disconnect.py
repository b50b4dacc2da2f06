"""Stop working for callers that have left."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller of `request` leaves.

    The request's body must have been read to its end.

    Raises:
        ClientDisconnect: the caller left first.
    """
    worker = asyncio.current_task()
    assert worker is not None  # noqa: S101 (a coroutine runs in a task)
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        worker.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and not worker.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()
