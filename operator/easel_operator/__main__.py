"""The operator as a process: `python -m easel_operator`, in a pod or beside a kubeconfig."""

import asyncio
import logging
import socket
import sys
from typing import Final

import kopf
from pydantic import ValidationError

from easel_crds import __version__
from easel_crds.metadata import FIELD_MANAGER
from easel_kube.client import ApiError, connected
from easel_operator import handlers
from easel_operator.controller import Controller
from easel_operator.settings import Settings

_log = logging.getLogger("easel_operator")
_TRIES: Final = 20
"""Attempts at the first look, a second apart; then the kubelet starts the operator again."""


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(f"settings: {error}")
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for talkative in ("kopf.objects", "aiohttp.access"):  # one line for each event, one for each probe
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        asyncio.run(_run(settings))
    except ApiError as error:
        sys.exit(f"the operator cannot begin: {error}")


async def _run(settings: Settings) -> None:
    async with connected(FIELD_MANAGER) as kube:
        controller = Controller(kube, settings, socket.gethostname())
        await _begin(controller)
        _log.info("Easel's operator %s begins", __version__)
        working = asyncio.create_task(controller.run(), name="controller")
        watching = asyncio.create_task(_watch(controller, settings), name="watches")
        done, left = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in done:
            task.result()  # kopf returns when it is told to stop; anything else is a failure


async def _begin(controller: Controller) -> None:
    """Learn of everything for the first time; an API server that has just taken the definitions needs a moment."""
    for tries_left in reversed(range(_TRIES)):
        try:
            await controller.resync()
        except ApiError as error:
            if not tries_left:
                raise
            _log.warning("%s; will be tried again", error)
            await asyncio.sleep(1)
        else:
            return


async def _watch(controller: Controller, settings: Settings) -> None:
    registry = kopf.get_default_registry()
    handlers.register(controller, registry)
    watching = kopf.OperatorSettings()
    handlers.configure(watching)
    await kopf.operator(
        registry=registry,
        settings=watching,
        clusterwide=True,
        standalone=True,
        liveness_endpoint=f"http://0.0.0.0:{settings.liveness_port}/healthz",
    )


if __name__ == "__main__":
    main()
