"""Which LoRAs a request may name: what can be decided without the Hub, by gateway and runtime alike."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from easel_crds.loras import Loras
from easel_http.errors import BadRequest

MAX_WEIGHT: Final = 10.0
"""Largest weight, either way. LoRAs are made for 1; far beyond that, noise is all that is left of a picture."""
_NAME: Final = r"\w(?:[\w.-]{0,94}\w)?"
_REPO_ID: Final = re.compile(rf"(?:{_NAME}/)?{_NAME}", re.ASCII)
"""As the Hub's client has it: one or two names of at most 96 characters."""
_SHOWN: Final = 100
"""Characters of a name that are repeated in an answer."""
_LISTED: Final = 10
"""Patterns that are named in an answer."""


def check_loras(loras: Mapping[str, float], policy: Loras) -> None:
    """Refuse `loras` (weights by repository) that the ImageModel's `policy` refuses.

    Raises:
        BadRequest: there are too many, or one is no Hub repository, not allowed or weighed too much; which is how the
            seed contract answers what is wrong with them.
    """
    if not loras:
        return
    if not policy.allow or not policy.max_per_request:
        raise BadRequest("this model does not take LoRAs; leave `loras` out")
    if len(loras) > policy.max_per_request:
        raise BadRequest(f"this model takes at most {policy.max_per_request} LoRAs at once, not {len(loras)}")
    for repo_id, weight in loras.items():
        shown = repo_id if len(repo_id) <= _SHOWN else f"{repo_id[:_SHOWN]}..."
        if not is_repo_id(repo_id):
            raise BadRequest(
                f"LoRA {shown}: not a repository of the Hub; send an id such as nerijs/pixel-art-xl, no path or URL"
            )
        if not any(fnmatchcase(repo_id, pattern) for pattern in policy.allow):
            raise BadRequest(f"LoRA {shown}: not allowed with this model; allowed: {_list(policy.allow)}")
        if not abs(weight) <= MAX_WEIGHT:
            raise BadRequest(f"LoRA {shown}: its weight must be from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, not {weight:g}")


def _list(patterns: Sequence[str]) -> str:
    return ", ".join(patterns[:_LISTED]) + (", ..." if len(patterns) > _LISTED else "")


def is_repo_id(text: str) -> bool:
    """Whether `text` can be the id of a repository on the Hub, `organisation/name` or `name`."""
    if _REPO_ID.fullmatch(text) is None:
        return False
    return not any(part in text for part in ("..", "--")) and not text.endswith(".git")
