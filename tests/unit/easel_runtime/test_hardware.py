"""`/hardware/*`: what NVML says, in Livepeer's shape; a GPU is what a machine need not have."""

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from easel_runtime.hardware import Hardware


class NVMLError(Exception):
    """As pynvml has it."""


class FakeNvml:
    """The functions of pynvml that are used, for a machine with one GPU and a slice of another."""

    NVMLError = NVMLError

    def __init__(self, *, absent: bool = False) -> None:
        self.absent = absent
        self.lost = False
        self.inits = 0

    def nvmlInit(self) -> None:  # noqa: N802 (these names are NVML's)
        self.inits += 1
        if self.absent:
            raise NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.lost:
            raise NVMLError("GPU is lost")
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, _: int) -> str:  # noqa: N802
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=150_000_000_000, free=149_000_000_000 - handle, used=1)

    def nvmlDeviceGetCudaComputeCapability(self, _: int) -> tuple[int, int]:  # noqa: N802
        return 9, 0

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        if handle == 1:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=97, memory=40)


Machine = Callable[[FakeNvml], Hardware]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    def with_nvml(nvml: FakeNvml) -> Hardware:
        monkeypatch.setattr(importlib, "import_module", {"pynvml": nvml}.__getitem__)
        return Hardware()

    return with_nvml


def test_info_and_stats_have_livepeers_shape(machine: Machine) -> None:
    hardware = machine(FakeNvml())
    memory = {"memory_total": 150_000_000_000, "memory_free": 149_000_000_000}
    assert hardware.info()["0"] == {"id": "GPU-0", "name": "NVIDIA H200", **memory, "major": 9, "minor": 0}
    assert hardware.stats()["0"] == {
        "id": "GPU-0",
        "name": "NVIDIA H200",
        **memory,
        "utilization_compute": 97,
        "utilization_memory": 40,
    }
    assert list(hardware.info()) == ["0", "1"]


def test_what_a_gpu_does_not_tell_is_zero(machine: Machine) -> None:
    stats = machine(FakeNvml()).stats()["1"]
    assert (stats["utilization_compute"], stats["utilization_memory"]) == (0, 0)


def test_nvml_is_initialised_once(machine: Machine) -> None:
    nvml = FakeNvml()
    hardware = machine(nvml)
    hardware.info()
    hardware.stats()
    assert nvml.inits == 1


def test_a_machine_without_nvml_has_no_gpus_and_is_asked_once(machine: Machine) -> None:
    nvml = FakeNvml(absent=True)
    hardware = machine(nvml)
    assert (hardware.info(), hardware.stats()) == ({}, {})
    assert nvml.inits == 1


def test_a_gpu_that_is_lost_is_none_and_no_failure(machine: Machine) -> None:
    nvml = FakeNvml()
    hardware = machine(nvml)
    assert hardware.info()
    nvml.lost = True
    assert (hardware.info(), hardware.stats()) == ({}, {})


def test_the_real_library_answers_with_or_without_a_gpu() -> None:
    info = Hardware().info()
    assert all({"id", "name", "memory_total", "memory_free", "major", "minor"} == set(gpu) for gpu in info.values())
