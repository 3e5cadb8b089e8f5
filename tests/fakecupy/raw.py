"""RawModule and RawKernel: the real CUDA sources, run on the CPU (see tests/cudasim).

Stricter than CuPy, which passes what it is given: every argument must be what the kernel declares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cudasim import CompileError, KernelError, Program, why_not

from fakecupy.device_array import ndarray, unwrap
from fakecupy.errors import CompileException, CUDADriverError
from fakecupy.streams import issue

_programs: dict[tuple[str, tuple[str, ...]], Program] = {}
# What was launched, by name: {(name): times}. test_cuda_sources.py looks for kernels never run.
launched: dict[str, int] = {}

STATIC_SHARED = 48 << 10  # bytes of shared memory a kernel gets without asking for more
MOST_SHARED = 227 << 10
_OPTIONS = ("--std=c++17", "-std=c++17", "--use_fast_math", "-I", "-D", "--define-macro",
            "--fmad", "-fmad", "-ftz", "--ftz", "-lineinfo", "--generate-line-info")  # fmt: skip


_asked: dict[tuple[str, tuple[str, ...]], None] = {}


def programs() -> list[tuple[str, tuple[str, ...]]]:
    """The sources that kernels were taken from since ``forget()``, and their options."""
    return list(_asked)


def forget() -> None:
    _asked.clear()


def _program(code: str, options: tuple[str, ...]) -> Program:
    for option in options:
        if not option.startswith(_OPTIONS):
            raise CompileException(f"nvrtc: error: unrecognized option {option} found", code)
    if why_not():
        import pytest

        pytest.skip(why_not())
    defines = tuple(each for each in options if each.startswith("-D"))
    key = code, defines
    _asked[code, options] = None
    if key not in _programs:
        try:
            _programs[key] = Program(code, defines)
        except CompileError as failure:
            raise CompileException(str(failure), code, "kernel.cu", options) from None
    return _programs[key]


def _triple(what: str, value: Any, limits: tuple[int, int, int]) -> tuple[int, int, int]:
    if not isinstance(value, tuple):
        raise TypeError(f"Argument '{what}' has incorrect type (expected tuple)")
    if not 1 <= len(value) <= 3:
        raise ValueError(f"{what} must have one to three dimensions, got {value}")
    full = tuple(int(n) for n in (*value, 1, 1)[:3])
    if any(not 1 <= n <= most for n, most in zip(full, limits, strict=True)):
        raise CUDADriverError(1)
    return full  # type: ignore[return-value]


def _same_bits(dtype: np.dtype, kind: str) -> bool:
    """Whether a parameter declared ``kind`` may be given the dtype: integers of any sign."""
    if kind[0] == "f" or dtype.kind not in "iub":
        return f"{dtype.kind}{dtype.itemsize}" == kind
    return dtype.itemsize == int(kind[1])


def _argument(name: str, place: int, kind: str, value: Any) -> bytes:
    """The bytes of an argument; TypeError where a GPU would read something else."""
    where = f"{name}: argument {place}"
    if kind[0] == "*":
        if isinstance(value, ndarray):
            unwrap(value)  # the current device's?
            if not value.flags.c_contiguous:
                raise ValueError(f"{where} is not C-contiguous: strides {value.strides}")
            if kind != "*?" and kind[1] != "*" and not _same_bits(value.dtype, kind[1:]):
                raise TypeError(f"{where} is declared {kind}, got an array of {value.dtype}")
            if kind.startswith("**") and value.dtype.itemsize != 8:
                raise TypeError(f"{where} is declared {kind}, got an array of {value.dtype}")
            return int(value.data.ptr).to_bytes(8, "little")
        if isinstance(value, (np.uint64, np.intp)):
            return value.tobytes()
        raise TypeError(f"{where} is a pointer, got {type(value)}")
    if not isinstance(value, np.generic):
        raise TypeError(f"{where} must be a NumPy scalar of {kind}, got {type(value)}")
    if value.dtype.kind + str(value.dtype.itemsize) != kind:
        raise TypeError(f"{where} is declared {kind}, got {value.dtype}")
    return value.tobytes()


class RawKernel:
    """One kernel of a source."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc",
                 translate_cucomplex: bool = False, *, enable_cooperative_groups: bool = False,
                 jitify: bool = False) -> None:  # fmt: skip
        if backend != "nvrtc" or translate_cucomplex or enable_cooperative_groups or jitify:
            raise NotImplementedError("the stand-in has NVRTC without extras")
        self.code, self.name, self.options = code, name, options
        self.max_dynamic_shared_size_bytes = STATIC_SHARED

    def compile(self, log_stream: Any = None) -> None:
        del log_stream
        program = _program(self.code, self.options)
        if self.name not in program.names:
            raise CUDADriverError(500)

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        self.compile()
        program = _program(self.code, self.options)
        blocks = _triple("grid", grid, (2**31 - 1, 65535, 65535))
        threads = _triple("block", block, (1024, 1024, 64))
        if threads[0] * threads[1] * threads[2] > 1024 or shared_mem > min(
            self.max_dynamic_shared_size_bytes, MOST_SHARED
        ):
            raise CUDADriverError(1)
        kinds = program.types(self.name)
        if not isinstance(args, tuple):
            raise TypeError(f"{self.name}: args must be a tuple, got {type(args)}")
        if len(args) != len(kinds):
            raise TypeError(f"{self.name} has {len(kinds)} parameters, got {len(args)} arguments")
        passed = [_argument(self.name, i, kind, value)
                  for i, (kind, value) in enumerate(zip(kinds, args, strict=True))]  # fmt: skip
        owners = [value._pointer.mem for value in args if isinstance(value, ndarray)]
        # For graphs: the pool may let it go, and earlier work had the block for another array.
        held = [(memory, memory.bytes, getattr(memory, "_block", memory).used) for memory in owners]

        def run() -> None:
            launched[self.name] = launched.get(self.name, 0) + 1
            for memory, _, used in held:
                memory.begin(used)
            program.run(self.name, blocks, threads, passed, shared_mem)
            for memory, *_ in held:
                memory.check()

        issue(run)


class RawModule:
    """The kernels of a source. Compiled when one is asked for, as CuPy does."""

    def __init__(self, *, code: str | None = None, path: str | None = None,
                 options: tuple[str, ...] = (), backend: str = "nvrtc",
                 translate_cucomplex: bool = False, enable_cooperative_groups: bool = False,
                 name_expressions: Any = None, jitify: bool = False) -> None:  # fmt: skip
        if not isinstance(options, tuple):
            raise TypeError("Argument 'options' has incorrect type (expected tuple)")
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if path is not None or name_expressions is not None:
            raise NotImplementedError("the stand-in compiles sources, without name expressions")
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, got {type(code)}")
        self._made = (code, options, backend, translate_cucomplex, enable_cooperative_groups)
        self._jitify = jitify
        self.code, self.options = code, options

    def compile(self, log_stream: Any = None) -> None:
        del log_stream
        _program(self.code, self.options)

    def get_function(self, name: str) -> RawKernel:
        code, options, backend, translate, groups = self._made
        kernel = RawKernel(code, name, options, backend, translate,
                           enable_cooperative_groups=groups, jitify=self._jitify)  # fmt: skip
        kernel.compile()
        return kernel


__all__ = ["KernelError", "RawKernel", "RawModule", "launched"]
