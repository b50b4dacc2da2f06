"""Names that more than one part of Easel spells: API group, labels, environment, ports.

A key that is written here is written nowhere else.
"""

from enum import StrEnum
from typing import Final

GROUP: Final = "easel.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "easel.dev/v1alpha1"

FIELD_MANAGER: Final = "easel"
"""Owner of the fields that Easel applies (server-side apply)."""

RUNTIME_PORT: Final = 8000
"""TCP port of a runtime, as in Livepeer's runner image."""

GATEWAY_PORT: Final = 8080
"""TCP port of the gateway."""

PORT_NAME: Final = "http"
"""Name of the port in runtime pods, their Services and EndpointSlices."""

SERVICE_PORT: Final = 80
"""Port of the Service in front of a model's runtimes."""

HUB_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
"""What the id of a repository on the Hub looks like, as a regular expression of CEL and Python alike."""


def child_name(model: str) -> str:
    """Name of everything that belongs to the ImageModel `model`: a Service's must begin with a letter."""
    return f"easel-{model}"


APPLIED_ANNOTATION: Final = "easel.dev/applied"
"""On what Easel creates: digest of what was applied, so that what is no longer said is noticed too."""


class Label(StrEnum):
    """Label keys on what Easel creates."""

    NAME = "app.kubernetes.io/name"
    COMPONENT = "app.kubernetes.io/component"
    MANAGED_BY = "app.kubernetes.io/managed-by"
    MODEL = f"{GROUP}/model"
    """Name of the ImageModel; the only key in selectors, because selectors cannot change."""
    KEY = f"{GROUP}/key"
    """Marks the Secret of a caller's key (`easel_crds.keys`)."""
    DEMAND = f"{GROUP}/demand"
    """On a gateway's Lease: label that marks it, and annotation that holds the demand (`easel_crds.demand`)."""


class Env(StrEnum):
    """Environment variables that a runtime reads.

    Names without the `EASEL_` prefix are those of Livepeer's runner, so that its deployments carry over.
    """

    MODEL_ID = "MODEL_ID"
    MODEL_DIR = "MODEL_DIR"
    PIPELINE = "PIPELINE"
    AUTH_TOKEN = "AUTH_TOKEN"  # noqa: S105 (a name, not a secret)
    HOST = "HOST"
    PORT = "PORT"
    REVISION = "EASEL_REVISION"
    PARAMETERS = "EASEL_PARAMETERS"
    SAFETY = "EASEL_SAFETY"
    SAFETY_DEVICE = "SAFETY_CHECKER_DEVICE"
    LORAS = "EASEL_LORAS"
    LORA_DISK_BYTES = "EASEL_LORA_DISK_BYTES"
    LORA_MEMORY_BYTES = "EASEL_LORA_MEMORY_BYTES"
    QUEUE = "EASEL_QUEUE"
    BATCH = "EASEL_BATCH"
    BODY_BYTES = "EASEL_BODY_BYTES"
    DEADLINE_SECONDS = "EASEL_DEADLINE_SECONDS"
    GRACE_SECONDS = "EASEL_GRACE_SECONDS"
    LIVEPEER_STRICT = "EASEL_LIVEPEER_STRICT"
    WARM_UP_SIDE = "EASEL_WARM_UP_SIDE"
    COMPILE = "EASEL_COMPILE"
    CHANNELS_LAST = "EASEL_CHANNELS_LAST"
    FUSE_QKV = "EASEL_FUSE_QKV"
    LOG_LEVEL = "EASEL_LOG_LEVEL"
    LOG_FORMAT = "EASEL_LOG_FORMAT"
    TERMINATION_LOG = "EASEL_TERMINATION_LOG"
    LISTEN_FD = "EASEL_LISTEN_FD"
    EXIT_WITH_STDIN = "EASEL_EXIT_WITH_STDIN"
