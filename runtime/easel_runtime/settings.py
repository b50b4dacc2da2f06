"""Settings of a runtime, read once from the environment at start-up and passed down."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from easel_crds.loras import Loras
from easel_crds.metadata import RUNTIME_PORT, Env
from easel_crds.parameters import Parameters
from easel_crds.safety import Safety


def _json(value: Any) -> Any:
    # Here and not by pydantic-settings (hence NoDecode), whose own error does not name the variable.
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_hook=_with_tuples)
    except ValueError as error:
        raise PydanticCustomError("json_invalid", "not JSON: {reason}", {"reason": str(error)}) from error


def _with_tuples(found: dict[str, Any]) -> dict[str, Any]:
    """Resources are strict, and hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


class Settings(BaseSettings):
    """How this process serves its model. Each field's variable is named in `easel_crds.metadata.Env`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, use_attribute_docstrings=True, env_ignore_empty=True
    )

    model_id: Annotated[str, Field(validation_alias=Env.MODEL_ID, min_length=1)]
    """Hub repository id of the model."""
    revision: Annotated[str, Field(validation_alias=Env.REVISION)] = "main"
    """Branch, tag or commit of the weights."""
    model_dir: Annotated[Path | None, Field(validation_alias=Env.MODEL_DIR)] = None
    """Directory of the weights in the Hub's cache layout; unset: the Hub client's own."""
    pipeline: Annotated[str, Field(validation_alias=Env.PIPELINE, pattern="^image-to-image$")] = "image-to-image"
    """Kind of pipeline; only image-to-image exists here."""
    parameters: Annotated[Parameters, NoDecode, BeforeValidator(_json), Field(validation_alias=Env.PARAMETERS)] = (
        Parameters()
    )
    """`spec.parameters` of the ImageModel, as JSON."""
    safety: Annotated[Safety, NoDecode, BeforeValidator(_json), Field(validation_alias=Env.SAFETY)] = Safety()
    """`spec.safety` of the ImageModel, as JSON."""
    safety_device: Annotated[
        str | None, Field(validation_alias=Env.SAFETY_DEVICE, pattern=r"^(cpu|mps|cuda(:\d+)?)$")
    ] = None
    """Device of the safety checker; unset: the model's."""
    loras: Annotated[Loras, NoDecode, BeforeValidator(_json), Field(validation_alias=Env.LORAS)] = Loras()
    """`spec.loras` of the ImageModel, as JSON."""
    lora_disk_bytes: Annotated[int, Field(validation_alias=Env.LORA_DISK_BYTES, ge=1)] = 20 << 30
    """Most bytes of downloaded LoRAs; the ones that were asked for longest ago go first."""
    lora_memory_bytes: Annotated[int, Field(validation_alias=Env.LORA_MEMORY_BYTES, ge=0)] = 2 << 30
    """Most bytes of LoRAs that stay in the model's memory; those of the request in work stay in any case."""
    auth_token: Annotated[SecretStr | None, Field(validation_alias=Env.AUTH_TOKEN)] = None
    """Bearer token that requests must carry; unset: none."""
    host: Annotated[str, Field(validation_alias=Env.HOST)] = "0.0.0.0"  # noqa: S104 (a pod's own address)
    """Address to listen on."""
    port: Annotated[int, Field(validation_alias=Env.PORT, ge=0, le=65535)] = RUNTIME_PORT
    """TCP port to listen on."""
    listen_fd: Annotated[int | None, Field(validation_alias=Env.LISTEN_FD, ge=0)] = None
    """Inherited listening socket, in the place of host and port."""
    queue: Annotated[int, Field(validation_alias=Env.QUEUE, ge=1, le=1000)] = 8
    """Requests in work and waiting; one more is refused with 429."""
    batch: Annotated[int, Field(validation_alias=Env.BATCH, ge=1, le=64)] = 1
    """Most images that are made in one call of the model; 1: one after the other."""
    body_bytes: Annotated[int, Field(validation_alias=Env.BODY_BYTES, ge=1024)] = 256 << 20
    """Most bytes of one request body; the gateway has a lower bound of its own."""
    deadline_seconds: Annotated[float, Field(validation_alias=Env.DEADLINE_SECONDS, gt=0)] = 600
    """Longest time that one request may wait and work."""
    grace_seconds: Annotated[int, Field(validation_alias=Env.GRACE_SECONDS, ge=0)] = 120
    """Time for requests in work to end after SIGTERM."""
    livepeer_strict: Annotated[bool, Field(validation_alias=Env.LIVEPEER_STRICT)] = False
    """Answer with statuses that go-livepeer survives and no others: 200, 400, 401, 422, 500."""
    warm_up_side: Annotated[int | None, Field(validation_alias=Env.WARM_UP_SIDE, ge=0, le=4096)] = None
    """Side in pixels of the square picture that is edited before requests are taken; 0: none; unset: `trial.sides`."""
    compile: Annotated[str, Field(validation_alias=Env.COMPILE, pattern="^(off|blocks|full)$")] = "off"
    """What torch compiles: nothing, the blocks that the denoising network repeats, or all of it and the VAE."""
    channels_last: Annotated[bool | None, Field(validation_alias=Env.CHANNELS_LAST)] = None
    """Whether weights of convolutions lie in memory with their channels together; unset: on a CUDA GPU."""
    fuse_qkv: Annotated[bool, Field(validation_alias=Env.FUSE_QKV)] = False
    """Whether each attention layer makes query, key and value in one product; such a model takes no LoRAs."""
    log_level: Annotated[str, Field(validation_alias=Env.LOG_LEVEL, pattern="^(debug|info|warning|error)$")] = "info"
    """Least level that is logged."""
    log_format: Annotated[str, Field(validation_alias=Env.LOG_FORMAT, pattern="^(text|json)$")] = "text"
    """How a log line is written: words and key=value pairs, or one JSON object."""
    termination_log: Annotated[Path | None, Field(validation_alias=Env.TERMINATION_LOG)] = None
    """File for the reason why this process ended by itself, as Kubernetes reads it (`terminationMessagePath`)."""
    exit_with_stdin: Annotated[bool, Field(validation_alias=Env.EXIT_WITH_STDIN)] = False
    """End when standard input is closed, so that no runtime outlives the process that started it."""
