"""`/hardware/info` and `/hardware/stats`, as Livepeer's runner has them, and `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from easel_runtime.hardware import Hardware
from easel_runtime.metrics import Metrics
from easel_runtime.settings import Settings

router = APIRouter()

# These are no coroutines, so FastAPI calls them on a thread: NVML can take its time.


@router.get("/hardware/info", operation_id="hardwareInfo", tags=["hardware"])
@router.get("/hardware/info/", include_in_schema=False)
def info(request: Request) -> dict[str, object]:
    """The GPUs: name, memory, compute capability; none without NVML."""
    hardware: Hardware = request.app.state.hardware
    return {**_served(request), "gpu_info": hardware.info()}


@router.get("/hardware/stats", operation_id="hardwareStats", tags=["hardware"])
@router.get("/hardware/stats/", include_in_schema=False)
def stats(request: Request) -> dict[str, object]:
    """The GPUs: memory and utilisation; none without NVML."""
    hardware: Hardware = request.app.state.hardware
    return {**_served(request), "gpu_stats": hardware.stats()}


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """For Prometheus, in the text format that it asks for."""
    numbers: Metrics = request.app.state.metrics
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(numbers.registry), headers={"Content-Type": content_type})


def _served(request: Request) -> dict[str, object]:
    settings: Settings = request.app.state.settings
    return {"pipeline": settings.pipeline, "model_id": settings.model_id}
