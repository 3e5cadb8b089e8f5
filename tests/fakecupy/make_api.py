"""Writes api.json: what the installed CuPy has, by name. No GPU is needed.

python tests/fakecupy/make_api.py
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("api.json")
CLASSES = {
    "ndarray": "ndarray", "ufunc": "ufunc", "RawModule": "RawModule", "RawKernel": "RawKernel",
    "Stream": "cuda.Stream", "Event": "cuda.Event", "Graph": "cuda.Graph",
    "Device": "cuda.Device", "MemoryPool": "cuda.MemoryPool", "Memory": "cuda.Memory",
    "MemoryPointer": "cuda.MemoryPointer", "PinnedMemoryPointer": "cuda.PinnedMemoryPointer",
    "PinnedMemoryPool": "cuda.PinnedMemoryPool",
}  # fmt: skip
MODULES = {
    "cupy": "", "cuda": "cuda", "runtime": "cuda.runtime", "memory": "cuda.memory",
    "stream": "cuda.stream", "driver": "cuda.driver", "compiler": "cuda.compiler",
    "nvrtc": "cuda.nvrtc", "device": "cuda.device", "stride_tricks": "lib.stride_tricks",
}  # fmt: skip
STATUSES = (1, 2, 35, 46, 100, 101, 600, 700, 900, 901, 904, 906)


def parameters(thing: Any) -> str | None:
    """The names of the parameters, stars with them; None where nothing tells."""
    try:
        listed = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return from_docstring(thing)
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words = " ".join([stars.get(p.kind, "") + p.name for p in listed if p.name != "self"])
    return from_docstring(thing) or words if words == "*args **kwargs" else words


def from_docstring(thing: Any) -> str | None:
    """As Cython writes it in the first line: ``name(type a, b=None) -> type``."""
    text = getattr(thing, "__doc__", None) or ""
    name = getattr(thing, "__name__", "")
    found = re.match(rf"(?:\w+\.)*{re.escape(name)}\((.*?)\)(?:\s*->.*)?$", text.partition("\n")[0])
    if not found:
        return None
    words = []
    for each in re.split(r",\s*", found.group(1)):
        word = each.partition("=")[0].split(":")[0].split()
        if word and word[-1] not in ("self", "*", "/"):
            words.append(word[-1])
    return " ".join(words)


def found(root: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        root = getattr(root, name)
    return root


def names(thing: Any) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def described(thing: Any) -> dict[str, str | None]:
    """The public names of a module or class, with the parameters of what can be called."""
    listed = {}
    for name in names(thing):
        value = inspect.getattr_static(thing, name)
        value = getattr(value, "__func__", value)  # of a static method
        plain = callable(value) and not isinstance(value, type)
        listed[name] = parameters(value) if plain else None
    return listed


def make() -> dict[str, Any]:
    import cupy
    import cupyx

    error = cupy.cuda.runtime.CUDARuntimeError
    return {
        "version": cupy.__version__,
        "modules": {
            **{name: described(found(cupy, path)) for name, path in MODULES.items()},
            "cupyx": described(cupyx),
        },
        "classes": {name: described(found(cupy, path)) for name, path in CLASSES.items()},
        "ufuncs": [n for n in names(cupy) if isinstance(getattr(cupy, n), cupy.ufunc)],
        "constructors": {
            name: parameters(found(cupy, path)) or parameters(found(cupy, path).__init__)
            for name, path in CLASSES.items()
        },
        "errors": {str(status): str(error(status)) for status in STATUSES},
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=0, sort_keys=True) + "\n", encoding="utf-8")
