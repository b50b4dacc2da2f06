"""Settings of the operator, read once at start-up (variables `EASEL_OPERATOR_...`) and passed down."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from easel_crds import __version__


class Settings(BaseSettings):
    """What the operator must be told about its surroundings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="EASEL_OPERATOR_", use_attribute_docstrings=True, env_ignore_empty=True
    )

    runtime_image: Annotated[str, Field(min_length=1)] = f"easel-runtime:{__version__}"
    """Container image of runtimes whose RuntimeProfile names none."""
    gateway_namespace: str = ""
    """Namespace of the gateways, whose Leases say what is asked for; empty: any. Who writes them starts runtimes."""
    liveness_port: Annotated[int, Field(ge=1, le=65535)] = 8081
    """TCP port of `GET /healthz`."""
    workers: Annotated[int, Field(ge=1, le=100)] = 8
    """ImageModels that are looked at side by side."""
    resync_seconds: Annotated[float, Field(gt=0)] = 600
    """How often everything is looked at again, in case a change was missed."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity of what is logged."""
