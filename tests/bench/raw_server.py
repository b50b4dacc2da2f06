"""`python -m bench.raw_server`: reads a body and says how long it was; nothing is parsed. Its port is in PORT."""

import os
from typing import Any

import uvicorn


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application."""
    del scope
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    uvicorn.run(app, host=os.environ["HOST"], port=port, log_config=None, access_log=False, lifespan="off", ws="none")
