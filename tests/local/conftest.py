"""What local runs share: a cache, and one `easel up` for tests that leave it as they found it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.easel_up import EaselUp, easel_up, write_model


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's cache directory in these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[EaselUp]:
    """`easel up` with one warm demo model, ready; for tests that leave it as they found it.

    What other tools keep in the shell under a runtime's names is not for this runtime.
    """
    folder = tmp_path_factory.mktemp("served") / "models"
    write_model(folder, warmReplicas=1)
    shell = {"AUTH_TOKEN": "of another tool", "PORT": "1", "MODEL_ID": "of/another"}
    with easel_up(folder, cache, environment=shell) as run:
        run.wait_for(r"easel/demo: ready")
        yield run
