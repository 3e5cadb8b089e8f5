"""What is in ``cupy.cuda``, of which the stand-in has this much."""

from __future__ import annotations

from types import SimpleNamespace

from fakecupy import runtime as runtime
from fakecupy.device import Device as Device
from fakecupy.device import get_device_id as get_device_id
from fakecupy.errors import (
    CompileException,
    CUDADriverError,
    CUDARuntimeError,
    OutOfMemoryError,
)
from fakecupy.machine import machine
from fakecupy.memory import Memory as Memory
from fakecupy.memory import MemoryPointer as MemoryPointer
from fakecupy.memory import MemoryPool as MemoryPool
from fakecupy.memory import alloc as alloc
from fakecupy.memory import get_allocator as get_allocator
from fakecupy.memory import set_allocator as set_allocator
from fakecupy.memory import using_allocator as using_allocator
from fakecupy.pinned import PinnedMemoryPointer as PinnedMemoryPointer
from fakecupy.pinned import PinnedMemoryPool as PinnedMemoryPool
from fakecupy.pinned import alloc_pinned_memory as alloc_pinned_memory
from fakecupy.pinned import set_pinned_memory_allocator as set_pinned_memory_allocator
from fakecupy.streams import Event as Event
from fakecupy.streams import Graph as Graph
from fakecupy.streams import Stream as Stream
from fakecupy.streams import get_current_stream as get_current_stream
from fakecupy.streams import get_elapsed_time as get_elapsed_time


def is_available() -> bool:
    return machine.devices > 0


memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool)
stream = SimpleNamespace(Stream=Stream, Event=Event, get_current_stream=get_current_stream)
compiler = SimpleNamespace(CompileException=CompileException)
driver = SimpleNamespace(CUDADriverError=CUDADriverError)
nvrtc = SimpleNamespace(getVersion=lambda: (machine.runtime // 1000, machine.runtime % 1000 // 10))
device = SimpleNamespace(Device=Device)

assert runtime.CUDARuntimeError is CUDARuntimeError
