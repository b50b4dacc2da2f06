"""A gateway, its ledger and runtimes as processes, any of which a test may kill; and their callers."""

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from easel_crds.metadata import Env
from support.bookkeeping import Charged, charged
from support.builders import image_model
from support.callers import Callers
from support.gateway_process import LEDGER, GatewayProcess, Served, gateway_process
from support.paced_runtime import STEP_SECONDS
from support.runtime_process import RuntimeProcess, runtime_process

SECONDS: Final = float(os.environ.get("EASEL_CHAOS_SECONDS", "10"))
"""How long the load lasts where a test has one."""
PACE: Final = 0.02
"""Seconds of each of a picture's four steps: a runtime makes 12 pictures a second at most."""
HELD: Final = 8
"""Most requests that wait at the gateway: few, so that too many are soon too many."""


class House:
    """Everything that takes part; what is killed is started again by the test."""

    def __init__(self, stack: ExitStack, folder: Path, database: str = "") -> None:
        """`database`: the URL of its ledger; empty: a file of SQLite."""
        self._stack = stack
        self._folder = folder
        self._database = database or f"sqlite:///{folder}/ledger.db"
        self._runtimes: dict[str, RuntimeProcess] = {}
        self._started = 0
        self.gateway = self._start_gateway("gateway")
        self.callers = Callers(self.gateway.address, image_model().spec.price.of)

    @property
    def runtimes(self) -> list[RuntimeProcess]:
        """Those that are not known to be dead."""
        return list(self._runtimes.values())

    def start_runtime(self) -> None:
        """One more, of which the gateway knows once it is ready."""
        self._started += 1
        name = f"demo-{self._started}"
        folder = self._folder / name
        folder.mkdir()
        environment: dict[str, str] = {
            Env.MODEL_ID: "easel/demo",
            Env.SAFETY: '{"checker": "none"}',
            Env.LOG_LEVEL: "warning",
            STEP_SECONDS: str(PACE),
        }
        runtime = self._stack.enter_context(runtime_process("support.paced_runtime", folder, environment))
        runtime.until_ready()
        self._runtimes[name] = runtime
        self._declare(self.gateway)

    def start_second_gateway(self) -> Callers:
        """One more with the same ledger, results and runtimes; returns callers who ask that one."""
        gateway = self._start_gateway("second", EASEL_GATEWAY_RESULTS=str(self.gateway.results))
        self._declare(gateway)
        return Callers(gateway.address, self.callers.amount_of)

    def kill_runtime(self) -> None:
        """The one that has been there longest, without a word to the gateway until another is ready in its place."""
        name = next(iter(self._runtimes))
        self._runtimes[name].process.kill()
        self._runtimes[name].process.wait()
        del self._runtimes[name]
        self.start_runtime()

    def pictures_made(self) -> int:
        """By the runtimes that there are, since they are there."""
        texts = [runtime.client.get("/metrics").text for runtime in self.runtimes]
        return round(sum(float(re.findall(r"(?m)^easel_runtime_images_total (.+)$", text)[0]) for text in texts))

    def rows(self) -> list[Charged]:
        """What the ledger has."""
        return charged(self._database)

    def _start_gateway(self, name: str, **more: str) -> GatewayProcess:
        environment = {LEDGER: self._database, "EASEL_GATEWAY_HELD_REQUESTS": str(HELD), **more}
        return self._stack.enter_context(gateway_process(self._folder / name, environment))

    def _declare(self, gateway: GatewayProcess) -> None:
        gateway.declare(Served(endpoints={name: runtime.url for name, runtime in self._runtimes.items()}))
        gateway.until_known("easel/demo")
