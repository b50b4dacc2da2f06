"""Other people's client packages, as they are, at `easel up`."""

from pathlib import Path

import pytest

from support.client_checks import CHECKS, Check
from support.easel_up import EaselUp


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_clients_work_unchanged(served: EaselUp, tmp_path: Path, check: Check) -> None:
    check(served.url, tmp_path)
