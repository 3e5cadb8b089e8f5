"""What a benchmark leaves behind: one JSON file, with the machine and the versions it holds for.

Needs no PyTorch, so that the tests and the report can read results where it isn't installed.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PACKAGES = ("numpy", "torch", "mygrad", "jax")

OURS = "lucidlite"
EAGER = "torch eager"
CHANNELS_LAST = "torch channels_last"

# The benchmarks can be run from a checkout in which nothing is installed.
if str(HERE.parent) not in sys.path:
    sys.path.append(str(HERE.parent))


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may run on (hardware threads, where a core has several)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of Python, lucidlite and whatever of ``PACKAGES`` is installed."""
    import lucidlite

    found = {"python": platform.python_version(), "lucidlite": lucidlite.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the figures depend on, besides the code."""
    import numpy as np

    from lucidlite.threads import get_num_threads

    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    threads = {"lucidlite": get_num_threads()}
    if "torch" in sys.modules:
        threads["torch"] = sys.modules["torch"].get_num_threads()
    return {
        "processor": processor(),
        "cores": cores(),
        "simd": config.get("SIMD Extensions", {}).get("found", []),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "versions": versions(),
        "threads": threads,
        "environment": {
            k: v
            for k, v in os.environ.items()
            if k.endswith("_NUM_THREADS") or k in ("OPENBLAS_CORETYPE", "LUCIDLITE_MALLOC")
        },
    }


def write(folder: Path, benchmark: str, settings: dict[str, Any], results: Any) -> Path:
    """Keep results as ``<folder>/<benchmark>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{benchmark}.json"
    content = {
        "benchmark": benchmark,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "settings": settings,
        "results": results,
    }
    path.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def read(folder: Path = RESULTS) -> dict[str, Any]:
    """Every benchmark's file in a folder, by name; empty where nothing was measured."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def time_text(ms: float) -> str:
    """'43.1 ms', '0.812 ms' or '3.21 us': three digits in a unit that suits."""
    value, unit = (ms, "ms") if ms >= 0.1 else (ms * 1e3, "us")
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f} {unit}"
