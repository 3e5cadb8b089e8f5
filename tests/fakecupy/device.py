"""The devices of ``cupy.cuda``."""

from __future__ import annotations

from typing import Any

from fakecupy import streams
from fakecupy.errors import CUDARuntimeError
from fakecupy.machine import here, machine
from fakecupy.runtime import memGetInfo, setDevice


class Device:
    """A GPU; in a ``with`` block, the current one."""

    def __init__(self, device: Any = None) -> None:
        self.id = here.device if device is None else int(device)
        if not 0 <= self.id < machine.devices:
            raise CUDARuntimeError(101)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        self._before.append(here.device)
        setDevice(self.id)
        return self

    def __exit__(self, *exc: object) -> None:
        setDevice(self._before.pop())

    def use(self) -> None:
        setDevice(self.id)

    def synchronize(self) -> None:
        with self:
            streams.synchronize_device()

    @property
    def compute_capability(self) -> str:
        return "".join(map(str, machine.capability))

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return memGetInfo()

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id + 1:02X}:00.0"

    @property
    def attributes(self) -> dict[str, int]:
        major, minor = machine.capability
        return {"MultiProcessorCount": 132, "WarpSize": 32, "ComputeCapabilityMajor": major,
                "ComputeCapabilityMinor": minor, "MaxThreadsPerBlock": 1024}  # fmt: skip


def get_device_id() -> int:
    return here.device
