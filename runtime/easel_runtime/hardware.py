"""The GPUs of this machine as NVML knows them, in the shape of Livepeer's runner; none where there is no NVML."""

import importlib
import logging
import threading
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


class Hardware:
    """Asks NVML. Its calls can take milliseconds: not for the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._nvml: Any = None

    def info(self) -> dict[str, dict[str, Any]]:
        """Name, memory in bytes and compute capability by GPU number; each `id` is NVML's UUID."""
        return self._each(self._info)

    def stats(self) -> dict[str, dict[str, Any]]:
        """Memory in bytes and utilisation in percent by GPU number."""
        return self._each(self._stats)

    def _each(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        with self._lock:
            nvml = self._library()
            if nvml is None:
                return {}
            try:
                gpus = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
                return {str(number): {**self._name(gpu), **describe(gpu)} for number, gpu in enumerate(gpus)}
            except nvml.NVMLError as error:
                _log.warning("NVML does not answer: %s", error)
                return {}

    def _library(self) -> Any:
        """NVML, initialised at the first call and then kept; None where there is none."""
        if not self._asked:
            self._asked = True
            nvml = importlib.import_module("pynvml")  # late: it defines thousands of names; and it has no types
            try:
                nvml.nvmlInit()
                self._nvml = nvml
            except nvml.NVMLError as error:
                _log.info("no NVIDIA GPU: %s", error)
        return self._nvml

    def _name(self, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        memory = self._known(nvml.nvmlDeviceGetMemoryInfo, handle)
        return {
            "id": nvml.nvmlDeviceGetUUID(handle),
            "name": nvml.nvmlDeviceGetName(handle),
            "memory_total": memory.total if memory else 0,
            "memory_free": memory.free if memory else 0,
        }

    def _info(self, handle: Any) -> dict[str, Any]:
        major, minor = self._nvml.nvmlDeviceGetCudaComputeCapability(handle)
        return {"major": major, "minor": minor}

    def _stats(self, handle: Any) -> dict[str, Any]:
        rates = self._known(self._nvml.nvmlDeviceGetUtilizationRates, handle)
        return {"utilization_compute": rates.gpu if rates else 0, "utilization_memory": rates.memory if rates else 0}

    def _known(self, ask: Callable[[Any], Any], handle: Any) -> Any:
        """What `ask` says of a GPU; None where this kind does not tell: slices (MIG) know no utilisation."""
        try:
            return ask(handle)
        except self._nvml.NVMLError:
            return None
