"""Why a goal is missed, as far as it is known: looked into by hand, by goal."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "C3": "two numbers of a few milliseconds, of which the idle one alone was 2.7 to 5.5 ms in three runs",
        "C4": "the processor is shared with other machines, and the bare loop alone made 9 to 15 images a second from"
        " one run to the next: of the server's 20 rounds in another run the totals were 0.98, 1.02 and 1.00 of the bare"
        " loop's; what is certain is 2 to 3 ms of work around each image, of 65 to 100 ms here",
        "C11": "the server has one core for the model and for all that it refuses, about a millisecond each",
    }
)
