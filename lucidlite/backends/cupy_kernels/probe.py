"""What stands between this process and a GPU: each cause with a message that says what to do."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lucidlite.callsite import error
from lucidlite.device import Device

_OLDEST = 14
_INSTALL = "pip install 'lucidlite[cuda13]' (or [cuda12], for drivers before 580)"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Compute capability 7.5: the first that the compiler of CUDA 13 knows.
_CUDA_13_NEEDS = 75
# Status codes of the CUDA runtime.
_OUT_OF_MEMORY, _OLD_DRIVER, _BUSY = 2, 35, 46


def find_cupy() -> tuple[Any, str]:
    """The cupy module and '', or None and what is missing to use a GPU, and how to get it."""
    try:
        import cupy
    except ModuleNotFoundError as problem:
        if problem.name not in (None, "cupy"):
            return None, _broken(problem)
        return None, f"CuPy is not installed: {_INSTALL}"
    except ImportError as problem:
        return None, _broken(problem)
    missing = _missing(cupy)
    return (None, missing) if missing else (cupy, "")


def _broken(problem: ImportError) -> str:
    """CuPy wraps the reason in a frame of text: the reason is what follows "Original error"."""
    text = str(problem)
    found = re.search(r"Original error:\s*(.+)", text)
    reason = found.group(1) if found else text.strip().splitlines()[0] if text.strip() else "?"
    return (
        f"CuPy is installed, but cannot be imported ({reason.strip()}): uninstall every "
        f"package whose name starts with cupy, then {_INSTALL}"
    )


def _missing(cupy: Any) -> str:
    """What keeps an imported CuPy from a GPU; '' where nothing does."""
    version = str(cupy.__version__)
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < _OLDEST:
        return f"CuPy {_OLDEST} or later is needed, got {version}: {_INSTALL}"
    runtime = cupy.cuda.runtime
    if getattr(runtime, "is_hip", False):
        return (
            f"this CuPy {version} is built for AMD's ROCm, and the kernels here are for NVIDIA's "
            f"CUDA: uninstall it, then {_INSTALL}"
        )
    return _driver(cupy, runtime) or _device(cupy, runtime) or _libraries(cupy, runtime)


def _driver(cupy: Any, runtime: Any) -> str:
    driver, built = int(runtime.driverGetVersion()), int(runtime.runtimeGetVersion())
    if not driver:
        return (
            "CuPy is installed, but there is no NVIDIA driver (driver version 0): install one, "
            "and in a container give it the GPU (docker run --gpus all); "
            "nvidia-smi lists GPUs once it is there"
        )
    if driver // 1000 < built // 1000:
        other = f"pip install 'lucidlite[cuda{driver // 1000}]' after uninstalling this CuPy"
        return (
            f"the NVIDIA driver is too old for this CuPy: it serves CUDA {as_version(driver)}, and "
            f"CuPy {cupy.__version__} is built for CUDA {as_version(built)}. Update the driver"
            f"{f', or {other}' if driver // 1000 == 12 else ''}"
        )
    return ""


def _device(cupy: Any, runtime: Any) -> str:
    reason, count = "", 0
    try:  # is_available() keeps the reason to itself
        count = runtime.getDeviceCount()
    except Exception as problem:  # CuPy's own class, which isn't public
        reason = f" ({problem})"
    if count and cupy.is_available():
        return _generation(cupy, runtime)
    hidden = os.environ.get(_VISIBLE)
    advice = (
        f"{_VISIBLE}={hidden!r} hides GPUs from this process"
        if hidden is not None
        else "nvidia-smi shows what the driver sees"
    )
    return f"CuPy is installed, but no CUDA device answers{reason}: {advice}"


def _generation(cupy: Any, runtime: Any) -> str:
    """CUDA 13 has no compiler for GPUs before Turing."""
    if int(runtime.runtimeGetVersion()) // 1000 < 13:
        return ""
    devices = [cupy.cuda.Device(index) for index in range(runtime.getDeviceCount())]
    kinds = [str(device.compute_capability) for device in devices]
    if any(int(kind) >= _CUDA_13_NEEDS for kind in kinds):
        return ""
    seen = ", ".join(f"{kind[:-1]}.{kind[-1]}" for kind in kinds)
    return (
        "this GPU is too old for CUDA 13, which needs compute capability 7.5 or more, got "
        f"{seen}: uninstall CuPy, then pip install 'lucidlite[cuda12]'"
    )


def _libraries(cupy: Any, runtime: Any) -> str:
    """The compiler and the matrix products are separate packages."""
    major = int(runtime.runtimeGetVersion()) // 1000
    for name, purpose in (("nvrtc", "the kernels' compiler"), ("cublas", "matrix products")):
        problem = library_problem(cupy, name)
        if problem:
            return (
                f"CuPy finds no {name} library, {purpose} ({problem}): "
                f"pip install 'cupy-cuda{major}x[ctk]' gets it, as does NVIDIA's CUDA toolkit"
            )
    return ""


def library_problem(cupy: Any, name: str) -> str:
    """Why one of CUDA's libraries cannot be loaded; '' where it can."""
    if name == "nvrtc":
        compiler = getattr(cupy.cuda, "nvrtc", None)
        try:
            if compiler is not None:
                compiler.getVersion()
        except Exception as problem:  # CuPy: DynamicLibNotFoundError, not a public name
            return first_line(problem)
        return ""
    package = f"{cupy.__name__}_backends"  # where CuPy keeps its bindings
    try:
        importlib.import_module(f"{package}.cuda.libs.{name}")
    except ModuleNotFoundError as problem:
        if problem.name is not None and problem.name.startswith(package):
            return ""  # CuPy has moved them: the first use will tell
        return first_line(problem)
    except ImportError as problem:
        return first_line(problem)
    return ""


def first_line(problem: BaseException) -> str:
    """The first line of a message, or the class's name."""
    lines = str(problem).strip().splitlines()
    return lines[0].rstrip(":") if lines else type(problem).__name__


def as_version(number: int) -> str:
    """'12.4' of CUDA's 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"


def device_index(cupy: Any, device: Device) -> int:
    """The index of a cuda device, checked; a device without one means the first."""
    count, index = int(cupy.cuda.runtime.getDeviceCount()), device.index or 0
    if index >= count:
        there = "is 1 device" if count == 1 else f"are {count} devices"
        hidden = os.environ.get(_VISIBLE)
        seen = "" if hidden is None else f" ({_VISIBLE}={hidden!r})"
        raise error(
            RuntimeError,
            f"device: invalid device ordinal, got {device}; there {there}, counted from 0{seen}",
        )
    return index


@contextmanager
def starting(device: Device) -> Iterator[None]:
    """Around the first work on a device: what CUDA says there is restated with what to do."""
    try:
        yield
    except Exception as problem:
        status = getattr(problem, "status", None)
        if status is None:
            raise
        advice = {
            _OUT_OF_MEMORY: "its memory is taken by other programs: nvidia-smi lists them",
            _OLD_DRIVER: "the NVIDIA driver is too old for this CuPy: update it",
            _BUSY: "another program has it for itself: nvidia-smi lists them",
        }.get(status, "`lucidlite doctor` and nvidia-smi tell more")
        raise error(
            RuntimeError, f"device: {device} does not start ({first_line(problem)}): {advice}"
        ) from problem


def usable_cupy(device: Device) -> Any:
    """The cupy module; RuntimeError that names ``device`` and what is missing."""
    cupy, missing = find_cupy()
    if cupy is None:
        raise error(RuntimeError, f"device: '{device}' needs a GPU through CuPy. {missing}")
    return cupy
