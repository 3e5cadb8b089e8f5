"""What ``lucidlite doctor`` finds of GPUs: CuPy, the driver, the devices, cuDNN."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lucidlite.backends.cupy_kernels.cudnn import load as load_cudnn
from lucidlite.backends.cupy_kernels.probe import as_version, find_cupy, first_line
from lucidlite.cuda import get_device_properties, mem_get_info

Finding = tuple[str, str, str]

_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
_DRIVER = Path("/proc/driver/nvidia/version")
_FRONTEND = "nvidia-cudnn-frontend"
_PURPOSE = "computes on NVIDIA GPUs, in place of NumPy"


def findings() -> Iterator[Finding]:
    """(what, what was found, what it means)."""
    cupy, missing = find_cupy()
    module = _imported() if cupy is None else cupy
    yield _cupy(module)
    yield _driver(module)
    if cupy is None:
        yield "GPU", "none", f"device='cuda' raises an error. {missing}"
        return
    yield _devices(cupy)
    yield _cudnn()


def _imported() -> Any:
    """CuPy where it can be imported at all."""
    try:
        return importlib.import_module("cupy")
    except ImportError:
        return None


def _cupy(cupy: Any) -> Finding:
    there = [name for name in _PACKAGES if _installed(name)]
    if len(there) > 1:
        trouble = "they overwrite each other: uninstall all of them, then install one"
        return "CuPy", f"several: {', '.join(there)}", trouble
    if cupy is None:
        found = f"{there[0]} {_installed(there[0])}, which can't be imported" if there else ""
        return "CuPy", found or "not installed", _PURPOSE
    built = as_version(int(cupy.cuda.runtime.runtimeGetVersion()))
    return "CuPy", f"{cupy.__version__}, built for CUDA {built}", _PURPOSE


def _driver(cupy: Any) -> Finding:
    number = ""
    if _DRIVER.is_file():
        found = re.search(r"\b(\d{3,}\.[\d.]+)\b", _DRIVER.read_text(encoding="utf-8"))
        number = f"version {found.group(1)}" if found else "there"
    served = 0
    if cupy is not None:
        try:
            served = int(cupy.cuda.runtime.driverGetVersion())
        except Exception as problem:  # CuPy's own class, which isn't public
            number = f"{number} {first_line(problem)}".strip()
    if served:
        number = f"{number + ', ' if number else ''}serves CUDA {as_version(served)}"
        return "driver", number, f"it runs a CuPy built for CUDA {served // 1000} or before"
    return "driver", number or "none found", "NVIDIA's driver is what a GPU needs first"


def _devices(cupy: Any) -> Finding:
    lines = []
    for index in range(int(cupy.cuda.runtime.getDeviceCount())):
        try:
            found, (free, total) = get_device_properties(index), mem_get_info(index)
        except RuntimeError as problem:
            lines.append(f"cuda:{index} does not start: {first_line(problem)}")
            continue
        lines.append(
            f"{found.name} (compute capability {found.major}.{found.minor}, "
            f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
        )
    return "GPU", "; ".join(lines), "device='cuda' works, and the commands here use it by default"


def _cudnn() -> Finding:
    module, missing = load_cudnn()
    if module is None:
        advice = (
            "convolutions run as matrix products, which takes more time and memory; "
            f"pip install '{_FRONTEND}>=1.24,<1.29' and nvidia-cudnn-cu12 or -cu13 get it"
        )
        return "cuDNN", f"not used: {missing}", advice
    version = int(module.backend_version())
    through = f"{_FRONTEND} {_installed(_FRONTEND) or '(version unknown)'}"
    name = f"{version // 10000}.{version % 10000 // 100}.{version % 100}"
    return "cuDNN", f"{name} through {through}", "convolutions use it"


def _installed(name: str) -> str:
    """A package's version, '' where it isn't installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
