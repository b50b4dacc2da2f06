"""`/hardware/info` and `/hardware/stats`, as Livepeer's runner has them, and `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict

from easel_runtime.hardware import Hardware
from easel_runtime.metrics import Metrics
from easel_runtime.settings import Settings

router = APIRouter()


class Gpu(BaseModel):
    """A GPU."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """NVML's UUID."""
    name: str
    memory_total: int
    """Bytes."""
    memory_free: int
    """Bytes."""


class GpuInfo(Gpu):
    """A GPU and its compute capability."""

    major: int
    minor: int


class GpuStats(Gpu):
    """A GPU and how busy it is."""

    utilization_compute: int
    """Percent."""
    utilization_memory: int
    """Percent."""


class HardwareInfo(BaseModel):
    """The GPUs by number."""

    pipeline: str
    model_id: str
    gpu_info: dict[str, GpuInfo]


class HardwareStats(BaseModel):
    """How busy the GPUs are, by number."""

    pipeline: str
    model_id: str
    gpu_stats: dict[str, GpuStats]


# These are no coroutines, so FastAPI calls them on a thread: NVML can take its time.


@router.get("/hardware/info", operation_id="hardwareInfo", tags=["hardware"])
@router.get("/hardware/info/", include_in_schema=False)
def info(request: Request) -> HardwareInfo:
    """The GPUs: name, memory, compute capability; none without NVML."""
    settings: Settings = request.app.state.settings
    hardware: Hardware = request.app.state.hardware
    gpus = {number: GpuInfo(**gpu) for number, gpu in hardware.info().items()}
    return HardwareInfo(pipeline=settings.pipeline, model_id=settings.model_id, gpu_info=gpus)


@router.get("/hardware/stats", operation_id="hardwareStats", tags=["hardware"])
@router.get("/hardware/stats/", include_in_schema=False)
def stats(request: Request) -> HardwareStats:
    """The GPUs: memory and utilisation; none without NVML."""
    settings: Settings = request.app.state.settings
    hardware: Hardware = request.app.state.hardware
    gpus = {number: GpuStats(**gpu) for number, gpu in hardware.stats().items()}
    return HardwareStats(pipeline=settings.pipeline, model_id=settings.model_id, gpu_stats=gpus)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """For Prometheus, in the text format that it asks for."""
    numbers: Metrics = request.app.state.metrics
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(numbers.registry), headers={"Content-Type": content_type})
