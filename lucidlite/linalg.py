"""Linear algebra: ``lucidlite.linalg``. What needs a factorization is not there; NumPy has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.ops.diagonals import diagonal as _diagonal
from lucidlite.ops.linalg import matrix_norm as matrix_norm
from lucidlite.ops.linalg import norm as norm
from lucidlite.ops.linalg import vector_norm as vector_norm
from lucidlite.ops.matmul import matmul as matmul
from lucidlite.ops.products import cross as _cross
from lucidlite.ops.products import matrix_power as matrix_power
from lucidlite.ops.products import multi_dot as multi_dot
from lucidlite.ops.products import vecdot as vecdot
from lucidlite.scope import absent as _absent

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

__all__ = [
    "cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "multi_dot", "norm", "vecdot",
    "vector_norm",
]  # fmt: skip


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product of 3-vectors along ``dim``. Semantics: torch.linalg.cross."""
    return _cross(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as a view. Semantics: torch.linalg.diagonal."""
    return _diagonal(A, offset, dim1, dim2)


def __getattr__(name: str) -> Any:
    raise _absent("module 'lucidlite.linalg'", name, __all__)
