"""Settings of the gateway, read once at start-up (variables `EASEL_GATEWAY_...`) and passed down."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from easel_crds.metadata import GATEWAY_PORT

_SECRET_LENGTH: Final = 16
JSON_SPARE_BYTES: Final = 64 << 10
"""Most of a body in JSON that is beside its image."""


def json_bytes(body_bytes: int) -> int:
    """Most bytes of a body in JSON whose image, in base64, has as many as `body_bytes` allows."""
    return (body_bytes + 2) // 3 * 4 + JSON_SPARE_BYTES


def _not_to_be_guessed(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < _SECRET_LENGTH:
        raise ValueError(f"must have at least {_SECRET_LENGTH} characters: who guesses it makes prices")
    return secret


class Settings(BaseSettings):
    """Bounds of what the gateway takes, holds and waits for."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="EASEL_GATEWAY_", use_attribute_docstrings=True, env_ignore_empty=True
    )

    public_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """URL under which callers reach the gateway, for the links to results; empty: what the caller used."""
    body_bytes: Annotated[int, Field(ge=1024)] = 32 << 20
    """Most bytes of one request body; in JSON, where an image is in base64, a third and 64 KiB more."""
    upload_seconds: Annotated[float, Field(gt=0)] = 120
    """Longest time for a request body to arrive."""
    held_requests: Annotated[int, Field(ge=0)] = 256
    """Most requests that wait for a model at one time; one more is refused with 429."""
    held_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Most bytes of their bodies together."""
    spare_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Bytes that uploads leave free on the disk for temporary files; beyond that they are refused with 503."""
    held_seconds: Annotated[float, Field(gt=0)] = 600
    """Longest wait for a model; beyond it the answer is 503 with Retry-After."""
    work_seconds: Annotated[float, Field(gt=0)] = 600
    """Longest work of a runtime on one request."""
    result_seconds: Annotated[float, Field(gt=0)] = 3600
    """How long a result can be fetched."""
    result_bytes: Annotated[int, Field(ge=0)] = 10 << 30
    """Most bytes of results; beyond that requests are refused with 503. 0: any number."""
    result_spare_bytes: Annotated[int, Field(ge=0)] = 1 << 30
    """Bytes that results leave free on their disk."""
    result_signed: bool = False
    """Results in a bucket are fetched from there, at addresses that are signed for their time."""
    connections: Annotated[int, Field(ge=1)] = 4096
    """Most connections at one time; who comes beyond gets 503."""
    head_bytes: Annotated[int, Field(ge=1024)] = 64 << 10
    """Most bytes of a request's line and headers."""
    head_seconds: Annotated[float, Field(gt=0)] = 10
    """Longest time for them to arrive."""
    idle_seconds: Annotated[float, Field(gt=0)] = 75
    """How long a connection is kept after an answer."""
    send_seconds: Annotated[float, Field(gt=0)] = 120
    """Time in which a caller must take some of its answer."""
    quote_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """How long a quote holds."""
    quote_secret: Annotated[SecretStr, AfterValidator(_not_to_be_guessed)] = SecretStr("")
    """What quotes are signed with, the same for all replicas; empty: random, so that a quote ends with its process."""
    ledger: SecretStr = SecretStr("")
    """URL of the ledger's database, SQLite or PostgreSQL, which may have a password; empty: a file of SQLite."""
    ledger_queue: Annotated[int, Field(ge=1)] = 10_000
    """Most charges and claims that wait to be written; one more is refused with 503."""
    ledger_retry_seconds: Annotated[float, Field(ge=0)] = 10
    """How long one of them is tried again when the database does not answer; then the answer is 503."""
    repeat_seconds: Annotated[float, Field(gt=0)] = 86_400
    """How long the answer to an `Idempotency-Key` is repeated."""
    default_model: Annotated[str, Field(max_length=96)] = ""
    """Model of requests that name none; empty: with OpenAI's and Hugging Face's clients the only one there is, else
    they are refused."""
    cors_origins: str = ""
    """Origins whose pages may use the gateway from a browser, with commas between them, or *; empty: its own alone."""
    keys_required: bool = False
    """Whether every request for work needs a key."""


class ServerSettings(Settings):
    """What `python -m easel_gateway` reads beside; `easel up` has options in their place."""

    host: str = "0.0.0.0"  # noqa: S104 (a pod's own address)
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = GATEWAY_PORT
    """TCP port to listen on; 0: any."""
    results: str = "/var/lib/easel/results"
    """Folder for results, or s3://bucket/prefix."""
    leave_seconds: Annotated[float, Field(ge=0)] = 5
    """Time after SIGTERM in which requests are taken as before: until then some proxy may not know that this gateway
    is about to end."""
    drain_seconds: Annotated[int, Field(ge=0)] = 120
    """Time for requests in work to end after that."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """Least level that is logged."""
    log_format: Annotated[str, Field(pattern="^(text|json)$")] = "text"
    """How a log line is written: words and key=value pairs, or one JSON object."""


class Pod(BaseSettings):
    """The pod that this process runs in, by which its Lease is named (variables `POD_...`, from the downward API)."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="POD_", use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1)]
    """metadata.name."""
    namespace: Annotated[str, Field(min_length=1)]
    """metadata.namespace."""
    uid: Annotated[str, Field(min_length=1)]
    """metadata.uid."""
