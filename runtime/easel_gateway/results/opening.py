"""Which store is meant by a location: a folder, or s3://bucket/prefix."""

from pathlib import Path

from easel_gateway.results import ResultStore
from easel_gateway.results.folder import FolderStore
from easel_gateway.settings import Settings


async def open_store(location: str, settings: Settings) -> ResultStore:
    """The store at `location`, which has been seen to work.

    Raises:
        OSError: nothing can be kept there; the text says why.
    """
    if location.startswith("s3://"):
        from easel_gateway.results.s3 import S3Store

        bucket = S3Store(location, settings.result_seconds, signed=settings.result_signed)
        await bucket.prepare()
        return bucket
    folder = FolderStore(Path(location), settings.result_seconds, settings.result_bytes, settings.result_spare_bytes)
    folder.prepare()
    return folder
