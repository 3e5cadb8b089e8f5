"""How many threads NumPy's BLAS uses: asked and set through the library NumPy itself loaded.

It is looked for at the first question, not at import: that takes as long as a small kernel.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from typing import Any

import numpy as np

# What OpenBLAS calls its functions in the builds NumPy comes with.
_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
# What ``get_parallel`` says of a build on OpenMP, whose number holds for one thread and no other.
_OPENMP = 2


class Blas:
    """NumPy's BLAS, as far as its threads go.

    As a context manager it uses one thread for the length of a block, or of several that overlap.
    """

    def __init__(self) -> None:
        self._before = 0  # what ``take`` found; 0 where it is not taken
        self._lock = threading.Lock()
        self._inside = 0  # how many blocks are being run now
        self._lent = 0  # what the first of them found, where that isn't 1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1 and (now := self.threads()) > 1:
                self._lent = now
                _functions()[1](1)  # type: ignore[index]

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._lent:
                lent, self._lent = self._lent, 0
                if self.threads() == 1:
                    _functions()[1](lent)  # type: ignore[index]

    @property
    def known(self) -> bool:
        """Whether it is an OpenBLAS with threads of its own, and so can be asked and told."""
        return _functions() is not None

    def threads(self) -> int:
        """How many threads it uses now; 0 where that is unknown."""
        functions = _functions()
        return int(functions[0]()) if functions is not None else 0

    def take(self) -> None:
        """Let it use one thread, so that kernels can run one product a thread.

        It is looked at every time: another library may have set it, for a while or for good.
        """
        functions = _functions()
        if functions is not None and (now := functions[0]()) > 1:
            self._before = now
            functions[1](1)

    def give_back(self) -> None:
        """Let it use as many threads as before ``take``, unless somebody set another number."""
        functions = _functions()
        before, self._before = self._before, 0
        if functions is not None and before and functions[0]() == 1:
            functions[1](before)


@functools.cache
def _functions() -> tuple[Any, Any] | None:
    """The functions that tell and set the number of threads."""
    for path in _libraries():
        try:
            library = ctypes.PyDLL(path)  # a look at a number lets no other thread in
        except OSError:
            continue
        for name in _NAMES:
            ask = getattr(library, name.format("get_num_threads"), None)
            tell = getattr(library, name.format("set_num_threads"), None)
            kind = getattr(library, name.format("get_parallel"), int)
            if ask is not None and tell is not None:
                return None if kind() == _OPENMP else (ask, tell)
    return None


def _libraries() -> list[str]:
    """Where they may be: NumPy's own extension, whose links are searched too, or files beside it.

    The second is for Windows alone, where a library's functions are its own only.
    """
    core = getattr(np, "_core", None)
    extension = getattr(getattr(core, "_multiarray_umath", None), "__file__", None)
    bundled = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    beside = sorted(os.listdir(bundled)) if os.name == "nt" and os.path.isdir(bundled) else []
    found = [os.path.join(bundled, name) for name in beside if "openblas" in name]
    return [extension, *found] if extension else found


blas = Blas()
