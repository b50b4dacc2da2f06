"""`GET /metrics`, for Prometheus."""

from fastapi import APIRouter, Request, Response

from easel_gateway.metrics import Metrics

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Every number, in the text format that is asked for."""
    numbers: Metrics = request.app.state.metrics
    text, content_type = await numbers.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type})
