"""Runs CUDA C++ on the CPU: a source is compiled by g++ behind the headers of this folder.

``Program(code)`` compiles (once: what it made stays in a folder for temporary files, under a name
made from the source) and ``run`` executes a kernel, thread after thread, on the arrays of NumPy. A
mistake that a GPU would hide or hang on is a ``KernelError``: see cuda_on_cpu.hpp.

``CUDASIM_SANITIZE=1`` in the environment compiles for the address and undefined-behaviour
sanitizers (they must be loaded before Python: see test_sanitized.py), ``CUDASIM_ORDER`` runs the
threads ``forward`` or ``backward`` always; else it depends on the call.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
HEADERS = ("stacks.hpp", "cuda_on_cpu.hpp", "cuda_names.hpp", "cuda_half.hpp", "entries.hpp")
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing", "-w")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g")
STACKS = 1024 * (256 << 10)  # as stacks.hpp divides it

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+'
    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)
_DYNAMIC = re.compile(
    r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s+)?([\w\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
_EXTERN = re.compile(r'extern\s+"C"\s+(?=__global__)')
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<(cuda_fp16\.h)>", re.MULTILINE)


class CompileError(RuntimeError):
    """g++ doesn't take a source."""


class KernelError(RuntimeError):
    """A kernel did what a GPU would hang on or leave undefined."""


def why_not() -> str:
    """'' where kernels can be compiled and run here, else the reason."""
    if shutil.which(compiler()) is None:
        return "kernels run on the CPU through g++, which isn't installed"
    if os.uname().machine not in ("x86_64", "aarch64"):
        return f"the CUDA simulator doesn't know how to switch stacks on {os.uname().machine}"
    return ""


def compiler() -> str:
    return os.environ.get("CXX", "g++")


def sanitizing() -> bool:
    return os.environ.get("CUDASIM_SANITIZE", "0") not in ("", "0")


def folder() -> Path:
    """Where compiled kernels are kept."""
    default = Path(tempfile.gettempdir()) / f"lucidlite-cudasim-{os.getuid()}"
    chosen = Path(os.environ.get("CUDASIM_CACHE", default))
    chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
    if chosen.stat().st_uid != os.getuid():
        raise CompileError(f"{chosen} belongs to somebody else")
    return chosen


def kernels(code: str) -> list[str]:
    """The names of the kernels a source defines."""
    return _KERNEL.findall(code)


@functools.cache
def _version() -> str:
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True).stdout


@functools.cache
def _headers() -> str:
    return "".join((HERE / name).read_text(encoding="utf-8") for name in HEADERS)


def _translation(code: str) -> str:
    """What g++ is given: the source between the headers and the entries into its kernels."""
    code = _INCLUDE.sub("", code)
    entries = "\n".join(f"SIM_KERNEL({name})" for name in kernels(code))
    code = _EXTERN.sub("", code)  # a kernel may be called `link`, as a function of the C library is
    code = _DYNAMIC.sub(r"\1 *\2 = (\1 *)sim::dynamic_shared;", code)
    includes = "\n".join(f'#include "{HERE / name}"' for name in HEADERS)
    return (
        f'{includes}\nnamespace {{\n#line 1 "kernel.cu"\n{code}\n}}\n#line 1 "entries"\n{entries}\n'
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compiled(code: str, more: Sequence[str]) -> Path:
    text = _translation(code)
    flags = (*FLAGS, *(SANITIZERS if sanitizing() else ()), *more)
    facts = "\0".join((text, _headers(), *flags, _version()))
    key = hashlib.sha256(facts.encode()).hexdigest()[:32]
    made = folder() / f"{key}.so"
    if made.exists():
        return made
    with _locked(folder() / f"{key}.lock"):
        if made.exists():
            return made
        with tempfile.TemporaryDirectory(dir=folder()) as place:
            source, result = Path(place) / "kernel.cpp", Path(place) / "kernel.so"
            source.write_text(text, encoding="utf-8")
            command = [compiler(), *flags, str(source), "-o", str(result), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise CompileError(done.stderr)
            result.replace(made)
    return made


_running = threading.Lock()


@functools.cache
def _stacks() -> tuple[mmap.mmap, int]:
    memory = mmap.mmap(-1, STACKS, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Program:
    """A compiled source."""

    def __init__(self, code: str, defines: Sequence[str] = ()) -> None:
        reason = why_not()
        if reason:
            raise CompileError(reason)
        self.code = code
        self.names = kernels(code)
        # PyDLL: one kernel at a time, since threadIdx and its like are variables of the library.
        self._library = ctypes.PyDLL(str(_compiled(code, defines)))

    @functools.cache  # noqa: B019 - programs are kept for the life of the process anyway
    def types(self, name: str) -> tuple[str, ...]:
        """The parameters' types: 'i4', 'u8', 'f4'..., '*f4' for pointers, '*?' to anything."""
        function = getattr(self._library, f"sim_types_{name}")
        function.restype = ctypes.c_char_p
        return tuple(function().decode().split())

    def run(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[bytes],
        shared: int = 0,
    ) -> None:
        """Runs a kernel; ``args`` are the bytes of its arguments."""
        function = getattr(self._library, f"sim_run_{name}")
        function.restype = ctypes.c_char_p
        held = [ctypes.create_string_buffer(each, len(each)) for each in args]
        pointers = (ctypes.c_void_p * max(len(held), 1))(*map(ctypes.addressof, held))
        with _running:
            trouble = function(
                (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), ctypes.c_uint(shared),
                ctypes.c_int(_order(name, grid, block, args)), ctypes.c_void_p(_stacks()[1]),
                pointers,
            )  # fmt: skip
        if trouble:
            raise KernelError(f"{name}: {trouble.decode()}{self._quoted(trouble.decode())}")

    def _quoted(self, trouble: str) -> str:
        """The lines of the source that a message names."""
        lines = self.code.splitlines()
        numbers = sorted({int(n) for n in re.findall(r"line (\d+)", trouble)})
        return "".join(f"\n  {n}: {lines[n - 1].strip()}" for n in numbers if 0 < n <= len(lines))


def _order(name: str, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[bytes]) -> int:
    """0 for threads from first to last, 1 from last to first: one and the same for the same call.

    A result that depends on it is wrong on a GPU at times.
    """
    chosen = os.environ.get("CUDASIM_ORDER")
    if chosen:
        return {"forward": 0, "backward": 1}[chosen]
    numbers = b"".join(each for each in args if len(each) < 8)  # addresses differ between runs
    return zlib.crc32(repr((name, grid, block)).encode() + numbers) & 1
