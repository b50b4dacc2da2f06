"""A body that is no form, read as a stream into a spool: bounded in bytes and time as forms are."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from easel_http.parts import FormLimits
from easel_http.spool import Spool, not_kept


async def read_body(headers: Mapping[str, str], stream: AsyncIterator[bytes], spool: Spool, limits: FormLimits) -> None:
    """Write the whole body `stream` of a request into `spool`, and finish it.

    Raises:
        BodyTooLarge: it has more bytes than `limits` allow.
        TimedOut: it did not arrive in time.
        Unavailable: there is no room for it on the disk.
    """
    limits.check_length(headers)
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in stream:
                if spool.size + len(chunk) > limits.body_bytes:
                    raise limits.too_large
                await spool.write(chunk)
            await spool.finish()
    except TimeoutError:
        raise limits.too_late from None
    except OSError as error:
        raise not_kept(error) from error
