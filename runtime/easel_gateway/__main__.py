"""`python -m easel_gateway`: the gateway in a pod, with the API server as its directory."""

import asyncio
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from pydantic import ValidationError

from easel_crds import __version__
from easel_crds.metadata import Label
from easel_gateway.app import create_app
from easel_gateway.cluster.directory import ClusterDirectory
from easel_gateway.cluster.lease import DemandLease
from easel_gateway.cluster.mirror import Mirror
from easel_gateway.cluster.secrets import Secrets
from easel_gateway.keys import KeyRing
from easel_gateway.ledger import LedgerError
from easel_gateway.ledger.sql import opened
from easel_gateway.results.opening import open_store
from easel_gateway.server import allow_many_connections, listen, new_server, on_signals, run, until_told_to_stop
from easel_gateway.settings import Pod, ServerSettings
from easel_http import logs, tracing
from easel_kube.client import ApiError, connected
from easel_kube.kinds import ENDPOINT_SLICES, IMAGE_MODELS, SECRETS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger("easel_gateway")
_FIELD_MANAGER: Final = "easel-gateway"
_LEDGER: Final = "sqlite:////var/lib/easel/ledger.db"
"""Unless the settings name another."""


def main() -> None:
    """Serve until SIGTERM; exit code 1 with a sentence if that cannot begin."""
    try:
        settings, pod = ServerSettings(), Pod()
    except ValidationError as error:
        prefix = "POD_" if error.title == Pod.__name__ else "EASEL_GATEWAY_"
        sys.exit("\n".join(f"{prefix}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()))
    logs.configure(settings.log_level, settings.log_format)
    logging.getLogger("easel_gateway.serving").setLevel(logging.WARNING)  # the line of `access` has it too
    allow_many_connections()
    try:
        listening = listen(settings.host, settings.port)
    except OSError as error:
        sys.exit(f"easel-gateway: {error}")
    try:
        traces = tracing.provider("easel-gateway", __version__)
    except tracing.TracingError as error:
        sys.exit(str(error))
    with listening:
        try:
            run(_serve(settings, pod, listening, traces))
        except (ApiError, LedgerError, OSError) as error:
            sys.exit(f"easel-gateway: {error}")
    if traces is not None:
        tracing.finish(traces)


async def _serve(
    settings: ServerSettings,
    pod: Pod,
    listening: socket.socket,
    traces: "TracerProvider | None",
) -> None:
    results = await open_store(settings.results, settings)
    async with connected(_FIELD_MANAGER) as kube, opened(settings, _LEDGER) as ledger:
        lease = DemandLease(kube, pod)
        directory = ClusterDirectory(lease.publish)
        keys = KeyRing()
        secrets = SECRETS.within(pod.namespace)
        gateway = create_app(settings, directory, results, ledger, keys, traces)
        gateway.state.ready = False
        server = new_server(gateway, settings, settings.drain_seconds)
        gateway.state.metrics.follow_server(lambda: server.connections, server.entrance.refused)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="gateway")
        beside = {
            asyncio.create_task(Mirror(kube, IMAGE_MODELS, directory.models).run(), name="models"),
            asyncio.create_task(Mirror(kube, ENDPOINT_SLICES, directory.slices, Label.MODEL).run(), name="slices"),
            asyncio.create_task(Mirror(kube, secrets, Secrets(keys), f"{Label.KEY}=true").run(), name="keys"),
            asyncio.create_task(lease.run(), name="demand"),
        }
        _log.info("listening on port %d", listening.getsockname()[1])
        opening = asyncio.create_task(_open(gateway, directory), name="opening")
        try:
            await until_told_to_stop({serving, *beside})
            on_signals(lambda: os._exit(1))
            opening.cancel()
            gateway.state.ready = False
            server.leave()
            _log.info("stopping; once more to stop at once")
            await asyncio.sleep(settings.leave_seconds)
        finally:
            # First the callers, then the demand that keeps the runtimes of those in work alive.
            gateway.state.waiting.close()
            server.should_exit = True
            await asyncio.wait({serving})
            for task in (opening, *beside):
                task.cancel()
            await asyncio.gather(opening, *beside, return_exceptions=True)
            await lease.empty()


async def _open(gateway: FastAPI, directory: ClusterDirectory) -> None:
    """Let requests come once it is known which models there are."""
    await directory.synced()
    gateway.state.ready = True
    _log.info("ready; %d models", len(directory.entries()))


if __name__ == "__main__":
    main()
