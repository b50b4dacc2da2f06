"""How long the fuzzing goes on, and where it starts: the same for everybody unless somebody wants more of it."""

import os
from collections.abc import Callable
from typing import TypeVar

import hypothesis

T = TypeVar("T", bound=Callable[..., object])

SEED = int(os.environ.get("EASEL_FUZZ_SEED", "20"))
SCALE = float(os.environ.get("EASEL_FUZZ_SCALE", "1"))


def examples(count: int) -> Callable[[T], T]:
    """For a hypothesis test: `count` examples, times the scale, from the seed."""

    def decorate(test: T) -> T:
        chosen = hypothesis.settings(
            max_examples=max(1, round(count * SCALE)),
            derandomize=False,  # the seed decides, in CI too
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
        )
        return hypothesis.seed(SEED)(chosen(test))

    return decorate
