"""NVIDIA's run-time compiler, which needs no GPU: a few of its functions through ctypes.

It is found in the packages nvidia-cuda-nvrtc and nvidia-cuda-runtime (for headers), or under
``CUDA_PATH``.
"""

from __future__ import annotations

import ctypes
import functools
import os
import site
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Compiled(NamedTuple):
    """What a compilation left: the machine code, '' as the log where all is well."""

    code: bytes
    log: str


def _roots() -> Iterator[Path]:
    for name in ("CUDA_PATH", "CUDA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    places = {*site.getsitepackages(), *(p for p in sys.path if p.endswith("site-packages"))}
    for place in sorted(places):
        yield from sorted(Path(place).glob("nvidia/cu*"), reverse=True)
        yield from Path(place).glob("nvidia/cuda_nvrtc")
        yield from Path(place).glob("nvidia/cuda_runtime")


def _found(pattern: str) -> Path | None:
    for root in _roots():
        for folder in ("lib64", "lib", "include"):
            for path in sorted((root / folder).glob(pattern)):
                if "builtins" not in path.name:
                    return path
    return None


@functools.cache
def missing() -> str:
    """'' where sources can be compiled, else what is missing."""
    if _found("libnvrtc.so*") is None:
        return "NVRTC is not installed: pip install nvidia-cuda-nvrtc"
    if _found("cuda_fp16.h") is None:
        return "CUDA's headers are not installed: pip install nvidia-cuda-runtime"
    return ""


@functools.cache
def _library() -> ctypes.CDLL:
    path = _found("libnvrtc.so*")
    assert path is not None
    for builtins in sorted(path.parent.glob("libnvrtc-builtins.so*")):
        ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)  # which NVRTC would look for by name
    library = ctypes.CDLL(str(path))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


@functools.cache
def architectures() -> tuple[int, ...]:
    """Those this NVRTC compiles for: 75, 80, ..."""
    count = ctypes.c_int()
    _library().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    _library().nvrtcGetSupportedArchs(numbers)
    return tuple(numbers)


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    assert getattr(_library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert getattr(_library(), f"nvrtcGet{what}")(program, text) == 0
    return text.raw


def compiled(source: str, architecture: int, options: Sequence[str] = ()) -> Compiled:
    """Machine code for compute capability ``architecture``, none where there are errors."""
    header = _found("cuda_fp16.h")
    assert header is not None
    words = [*options, f"--gpu-architecture=sm_{architecture}", f"-I{header.parent}"]
    program = ctypes.c_void_p()
    library = _library()
    assert library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None
    ) == 0  # fmt: skip
    given = (ctypes.c_char_p * len(words))(*[word.encode() for word in words])
    status = library.nvrtcCompileProgram(program, len(words), given)
    log = _text(program, "ProgramLog").rstrip(b"\0").decode().strip()
    code = b"" if status else _text(program, "CUBIN")
    if status and not log:
        log = library.nvrtcGetErrorString(status).decode()
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(code, log)
