"""What is told of a request in the end: facts in its line of the log, and spans of its trace."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from easel_http.logs import note
from easel_http.tracing import record
from easel_runtime.job import Job


@contextmanager
def told(job: Job, model_id: str) -> Iterator[None]:
    """Tell what becomes of `job` within the context."""
    width, height = job.generation.image.size
    images = len(job.generation.seeds)
    work = {"steps": job.steps, "images": images, "pixels": images * width * height}
    note(**work)
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        if job.largest > 1:
            work["batch"] = job.largest
            note(batch=job.largest)
        if job.started is not None:
            note(waited=round(job.started - job.queued, 3))
            if job.ended is not None:
                note(worked=round(job.ended - job.started, 3))
        _record(job, {"model": model_id, **work}, failure)


def _record(job: Job, work: dict[str, str | int], failure: BaseException | None) -> None:
    """`queue`, `generate` and an `encode` per image; `failure` belongs to the part that it ended."""
    now = time.monotonic()
    if job.started is None:
        record("queue", job.queued, now, error=failure)
        return
    record("queue", job.queued, job.started)
    made = job.ended is not None and job.failure is None
    facts = {f"easel.{name}": value for name, value in work.items()}
    record("generate", job.started, job.ended or now, facts, None if made else failure)
    for began, ended in tuple(job.encoded):
        record("encode", began, ended)
