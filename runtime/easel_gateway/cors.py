"""Which pages of other origins a browser lets use the gateway, and what they get to see of an answer."""

from typing import Any, Final

from easel_gateway.order import REPLAYED
from easel_gateway.pricing import AMOUNT_HEADER, GENERATION_HEADER, PIXELS_HEADER, PRICE_HEADER
from easel_gateway.serving import CHARGE_HEADER, STATE_HEADER, WAIT_HEADER
from easel_http.image_headers import ADJUSTED, IGNORED, NSFW, SEED
from easel_http.requests import REQUEST_HEADER

_EXPOSED: Final = (
    REPLAYED,
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    ADJUSTED,
    AMOUNT_HEADER,
    CHARGE_HEADER,
    IGNORED,
    GENERATION_HEADER,
    STATE_HEADER,
    NSFW,
    PIXELS_HEADER,
    PRICE_HEADER,
    SEED,
    WAIT_HEADER,
    REQUEST_HEADER,
    "X-Should-Retry",
)
_SECONDS: Final = 600
"""How long a browser remembers what it was told."""


def cors(origins: str) -> dict[str, Any]:
    """Options of Starlette's middleware for a list of `origins` with commas between them; `*`: all.

    Cookies are never asked for: whoever needs a key sends it as a header.
    """
    return {
        "allow_origins": list(filter(None, (_origin(each) for each in origins.split(",")))),
        "allow_methods": ["GET", "HEAD", "POST", "DELETE"],
        "allow_headers": ["*"],  # clients made for pages add headers of their own, such as OpenAI's X-Stainless-Os
        "expose_headers": list(_EXPOSED),
        "max_age": _SECONDS,
    }


def _origin(text: str) -> str:
    """An origin as browsers send it: in lower case, without the slash that people put behind it."""
    return text.strip().rstrip("/").lower()
