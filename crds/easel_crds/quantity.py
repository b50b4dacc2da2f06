"""Kubernetes quantities ("20G", "1Gi", "500m") as exact numbers.

The grammar is that of `k8s.io/apimachinery/pkg/api/resource.Quantity`; both sides of a rule must read
"20G" as 20e9 and "20Gi" as 20 * 2**30.
"""

import re
from decimal import Decimal
from typing import Final

_SUFFIX: Final = {
    **dict.fromkeys(("",), Decimal(1)),
    **{name: Decimal(1000) ** -power for power, name in enumerate(("m", "u", "n"), start=1)},
    **{name: Decimal(1000) ** power for power, name in enumerate("kMGTPE", start=1)},
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", start=1)},
}
_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|(?P<exponent>[eE][+-]?\d{1,3}))?",
    re.ASCII,
)


def parse_quantity(text: str) -> Decimal:
    """Value of a quantity: "20G" -> 20000000000.

    Raises:
        ValueError: `text` is not a quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 20G or 24Gi")
    value = Decimal(match["number"] + (match["exponent"] or ""))
    return value * _SUFFIX[match["suffix"] or ""]


def quantity_at_least(text: str, least: Decimal) -> bool:
    """Whether `text` is a quantity, and that large."""
    try:
        return parse_quantity(text) >= least
    except ValueError:
        return False
