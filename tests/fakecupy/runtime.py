"""What ``cupy.cuda.runtime`` tells of devices."""

from __future__ import annotations

from typing import Any

from fakecupy import memory, streams
from fakecupy.errors import CUDARuntimeError as CUDARuntimeError
from fakecupy.machine import here, machine

is_hip = False
streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = 0, 1, 2
streamDefault, streamNonBlocking, streamLegacy, streamPerThread = 0, 1, 1, 2
hostAllocDefault, hostAllocPortable, hostAllocMapped, hostAllocWriteCombined = 0, 1, 2, 4
memcpyHostToHost, memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice = 0, 1, 2, 3
cudaDevAttrMultiProcessorCount = 16
eventDefault, eventBlockingSync, eventDisableTiming = 0, 1, 2


def getDeviceCount() -> int:
    return machine.devices


def getDevice() -> int:
    return here.device


def setDevice(device: int) -> None:
    if not 0 <= device < machine.devices:
        raise CUDARuntimeError(101)
    here.device = device


def deviceSynchronize() -> None:
    streams.synchronize_device()


def driverGetVersion() -> int:
    return machine.driver


def runtimeGetVersion() -> int:
    return machine.runtime


def memGetInfo() -> tuple[int, int]:
    return machine.memory - memory.allocated[here.device], machine.memory


def getDeviceProperties(device: int) -> dict[str, Any]:
    if not 0 <= device < machine.devices:
        raise CUDARuntimeError(101)
    major, minor = machine.capability
    return {
        "name": machine.name.encode(), "totalGlobalMem": machine.memory, "major": major,
        "minor": minor, "multiProcessorCount": 132, "warpSize": 32, "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 49152, "sharedMemPerBlockOptin": 232448, "l2CacheSize": 52428800,
        "memoryClockRate": 2619000, "memoryBusWidth": 5120, "clockRate": 1980000,
        "pciBusID": 1, "pciDeviceID": 0, "pciDomainID": 0,
        "maxGridSize": (2147483647, 65535, 65535),
        "uuid": bytes([device]) * 16,
    }  # fmt: skip


def deviceGetAttribute(attribute: int, device: int) -> int:
    if not 0 <= device < machine.devices:
        raise CUDARuntimeError(101)
    return {cudaDevAttrMultiProcessorCount: 132}[attribute]


def streamSynchronize(stream: int) -> None:
    for each in list(streams._streams):
        if each.ptr == stream:
            each.synchronize()
