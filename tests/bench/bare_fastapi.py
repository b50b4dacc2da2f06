"""`python -m bench.bare_fastapi`: the least FastAPI application with uvicorn. Its port is in PORT."""

import os

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    """OK."""
    return {"status": "OK"}


if __name__ == "__main__":
    uvicorn.run(
        app, host=os.environ["HOST"], port=int(os.environ["PORT"]), log_config=None, access_log=False, ws="none"
    )
