"""Other people's client packages, as they are, at the Service of the gateway."""

from pathlib import Path

import pytest

from support.builders import manifest
from support.client_checks import CHECKS, MODEL, Check
from support.kubectl import Namespace


@pytest.fixture(scope="module", autouse=True)
def _warm(namespace: Namespace) -> None:
    parameters = {"steps": {"default": 2, "max": 200}, "guidanceScale": {"default": 2}}
    safety = {"checker": "none"}
    namespace.apply(manifest("clients", modelId=MODEL, warmReplicas=1, parameters=parameters, safety=safety))
    namespace.wait_ready("clients")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_clients_work_unchanged(gateway: str, tmp_path: Path, check: Check) -> None:
    check(gateway, tmp_path)
