"""`python -m bench.gateway.stub`: a runtime that reads the form and answers at once. Its port is in PORT.

One image goes as image/png to whoever takes it, else as multipart/mixed, as the runtime does it.
"""

import os
import re
from typing import Any, Final

import uvicorn

from support.pictures import png

_PNG: Final = png(8, 8)
_ABOUT: Final = [(b"x-easel-seed", b"7"), (b"x-easel-nsfw", b"false")]
_PART: Final = b"--stub\r\nContent-Type: image/png\r\nX-Easel-Seed: 7\r\nX-Easel-Nsfw: false\r\n\r\n%s\r\n" % _PNG
_COUNT: Final = re.compile(rb'name="num_images_per_prompt"\r\n(?:[^\r\n]+\r\n)*\r\n(\d+)')


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application."""
    head, more = b"", True
    while more:
        message = await receive()
        if len(head) < 4096:  # texts come before the image
            head += message.get("body", b"")[:4096]
        more = message.get("more_body", False)
    images = int(found[1]) if b"num_images" in head and (found := _COUNT.search(head)) else 1
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    headers, body = _answer(images, plain=images == 1 and accept.startswith(b"image/png"))
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def _answer(images: int, *, plain: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    if plain:
        return [(b"content-type", b"image/png"), *_ABOUT], _PNG
    return [(b"content-type", b"multipart/mixed; boundary=stub")], _PART * images + b"--stub--\r\n"


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    uvicorn.run(
        app,
        host=os.environ["HOST"],
        port=port,
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
    )
