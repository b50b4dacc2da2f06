"""Why a goal is missed, as far as it is known: looked into by hand, by goal."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[str, str]] = MappingProxyType({})
