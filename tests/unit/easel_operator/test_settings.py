"""Settings of the operator: names, bounds, and how a wrong one ends it."""

import pytest

from easel_crds import __version__
from easel_operator.__main__ import main
from easel_operator.settings import Settings


def test_without_any_variable() -> None:
    settings = Settings()
    assert settings.runtime_image == f"easel-runtime:{__version__}"
    assert (settings.liveness_port, settings.log_level) == (8081, "info")


def test_each_variable_has_the_operator_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"RUNTIME_IMAGE": "mine:1", "LIVENESS_PORT": "9", "LOG_LEVEL": "debug", "WORKERS": "3"}
    for name, value in values.items():
        monkeypatch.setenv(f"EASEL_OPERATOR_{name}", value)
    settings = Settings()
    assert (settings.runtime_image, settings.liveness_port) == ("mine:1", 9)
    assert (settings.log_level, settings.workers) == ("debug", 3)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_OPERATOR_RUNTIME_IMAGE", "")
    assert Settings().runtime_image == f"easel-runtime:{__version__}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("LIVENESS_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("RESYNC_SECONDS", "0"),
        ("RESYNC_SECONDS", "nan"),
    ],
)
def test_a_wrong_one_ends_the_operator_with_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EASEL_OPERATOR_{name}", value)
    with pytest.raises(SystemExit, match=name.lower()):
        main()
