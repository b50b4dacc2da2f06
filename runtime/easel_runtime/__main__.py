"""`python -m easel_runtime`: settings, engine, application, server."""

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import NoReturn

import uvicorn
from pydantic import ValidationError

from easel_crds import __version__
from easel_http import tracing
from easel_http.entrance import ConnectionLimits, Entrance
from easel_http.protocol import protocol_class
from easel_runtime import logs
from easel_runtime.app import create_app
from easel_runtime.engine import Engine
from easel_runtime.pipelines import diffusers_engine
from easel_runtime.settings import Settings

_log = logging.getLogger("easel_runtime")


def main() -> None:
    """Serve the model named by the environment until SIGTERM; exit code 1 if it fails for good."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit("\n".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()))
    serve(settings, diffusers_engine(settings))


def serve(settings: Settings, engine: Engine) -> NoReturn:
    """Serve `engine` until SIGTERM, which lets requests in work end; or until it fails for good: exit code 1."""
    try:
        traces = tracing.provider("easel-runtime", __version__)
    except tracing.TracingError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, settings.log_format)
    if settings.exit_with_stdin:
        threading.Thread(target=_terminate_after_stdin, name="stdin", daemon=True).start()
    failures: list[str] = []

    def on_failure(reason: str) -> None:
        _log.error("%s", reason)
        failures.append(reason)
        server.should_exit = True
        if settings.termination_log is not None:
            with suppress(OSError):
                settings.termination_log.write_text(reason)

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, engine, on_failure, traces),
            host=settings.host,
            port=settings.port,
            http=protocol_class(Entrance(ConnectionLimits(body_bytes=settings.body_bytes))),
            log_config=None,
            ws="none",
            access_log=False,
            timeout_graceful_shutdown=settings.grace_seconds,
            server_header=False,
        )
    )
    # uvicorn handles these itself while it serves, and raises them again when it is done; that must not end this
    # process in the middle of its last line.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    inherited = [] if settings.listen_fd is None else [socket.socket(fileno=settings.listen_fd)]
    server.run(sockets=inherited or None)
    if traces is not None:
        tracing.finish(traces)
    logging.shutdown()
    # Not sys.exit: it would wait for the model's thread, and a load in progress cannot be interrupted.
    os._exit(1 if failures else 0)


def _terminate_after_stdin() -> None:
    """The process that started this one holds the other end; when it is gone, nobody needs this one."""
    while sys.stdin.buffer.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
