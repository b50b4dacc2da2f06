"""For every test: no variable of the caller's shell reaches the code under test, and no clock decides."""

import os

import pytest
from hypothesis import HealthCheck, settings

from easel_crds.metadata import Env

# How long an example takes says nothing on a machine that is busy. In CI every run tries the same examples.
settings.register_profile(
    "easel",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
    database=None,
)
settings.load_profile("easel")


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Env, *(name for name in os.environ if name.startswith(("EASEL_", "HF_")))):
        monkeypatch.delenv(name, raising=False)
