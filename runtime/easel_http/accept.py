"""Which of several forms of an answer a caller wants: the Accept header, as RFC 9110 (section 12.5.1) has it."""

from collections.abc import Sequence


def preferred(accept: str, offers: Sequence[str]) -> str:
    """The media type of `offers` that `accept` likes best; of equals, and if it likes none, the first one."""
    if accept == "*/*":  # what nearly all clients send
        return offers[0]
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return offers[0]
    return max(offers, key=lambda offer: _quality(offer, ranges))  # max takes the first of equals


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return kind, _weight(value.strip())
    return kind, 1.0


def _weight(value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Of the ranges that `offer` is in, the narrowest one counts."""
    family = offer.partition("/")[0]
    for wanted in (offer, f"{family}/*", "*/*"):
        qualities = [quality for kind, quality in ranges if kind == wanted]
        if qualities:
            return max(qualities)
    return 0.0
