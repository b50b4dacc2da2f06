"""The answer to `POST /image-to-image`: the contract's JSON, or the same as multipart/mixed for the gateway.

JSON carries each image as a base64 data URL. A caller that accepts `multipart/mixed` gets the bytes
themselves: one part per image, its seed and flag in headers.
"""

import base64
import secrets
from collections.abc import Iterator, Sequence

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from easel_runtime.worker import Output

MULTIPART = "multipart/mixed"


def answer(outputs: Sequence[Output], accept: str, headers: dict[str, str]) -> Response:
    """`outputs` in the form that `accept` (the request's Accept header) asks for."""
    if MULTIPART in accept:
        boundary = secrets.token_hex(16)
        return StreamingResponse(
            _parts(outputs, boundary), media_type=f"{MULTIPART}; boundary={boundary}", headers=headers
        )
    images = [{"url": _data_url(output.png), "seed": output.seed, "nsfw": output.nsfw} for output in outputs]
    return JSONResponse({"images": images}, headers=headers)


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _parts(outputs: Sequence[Output], boundary: str) -> Iterator[bytes]:
    for output in outputs:
        yield (
            f"--{boundary}\r\nContent-Type: image/png\r\nContent-Length: {len(output.png)}\r\n"
            f"X-Easel-Seed: {output.seed}\r\nX-Easel-Nsfw: {str(output.nsfw).lower()}\r\n\r\n"
        ).encode()
        yield output.png
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
