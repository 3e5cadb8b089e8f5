"""Elements of a dim mixed by a table of places and weights: resizing and padding are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lucidlite.mixes import Mix
from lucidlite.tape import fresh, record

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


def mix(input: Tensor, table: Mix, dim: int, name: str) -> Tensor:
    """``input`` with its dim ``dim`` mixed by ``table``; the node is called ``name``."""
    out = input.backend.mix(input.array, table, dim)
    return record(out, mix_vjp, (input,), (table, dim, name), name=name)


def mix_vjp(node: Node, grad: Tensor, table: Mix, dim: int, name: str) -> Tensor:
    return fresh(mix(grad, table.transposed(), dim, f"{name.removesuffix('_grad')}_grad"))
