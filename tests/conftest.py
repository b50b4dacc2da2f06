"""For every test: no variable of the caller's shell reaches the code under test."""

import os

import pytest

from easel_crds.metadata import Env


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Env, *(name for name in os.environ if name.startswith(("EASEL_", "HF_")))):
        monkeypatch.delenv(name, raising=False)
