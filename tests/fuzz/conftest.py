"""Two runtimes for all of the fuzzing, started at once: a quick one around the toy engine and one of diffusers."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from easel_crds.metadata import Env
from support.runtime_process import RuntimeProcess, runtime_process

BOUNDS = '{"maxPixels": 1048576, "maxImages": 2, "steps": {"max": 4}}'
"""Small, so that what is good takes little time, and what memory is taken has another reason than its size."""
SETTINGS: Mapping[str, str] = {
    Env.PARAMETERS: BOUNDS,
    Env.BODY_BYTES: str(8 << 20),
    Env.DEADLINE_SECONDS: "60",
    Env.LOG_LEVEL: "warning",
    Env.SAFETY: '{"checker": "none"}',
}


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeProcess]:
    """The runtime of diffusers, which takes its time to start."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    environment: dict[str, str] = {**SETTINGS, Env.MODEL_ID: "stabilityai/sd-turbo", "OMP_NUM_THREADS": "1"}
    with runtime_process("support.tiny_runtime", folder, environment) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def toy(starting: RuntimeProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeProcess]:
    """A runtime around the toy engine; the other one starts meanwhile."""
    folder: Path = tmp_path_factory.mktemp("toy")
    with runtime_process("support.toy_runtime", folder, {**SETTINGS, Env.MODEL_ID: "easel/toy"}) as runtime:
        runtime.until_ready()
        yield runtime


@pytest.fixture(scope="session")
def tiny(starting: RuntimeProcess) -> RuntimeProcess:
    """The runtime of diffusers, ready."""
    starting.until_ready()
    return starting
