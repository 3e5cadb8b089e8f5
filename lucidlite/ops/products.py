"""Products beside ``matmul.py``'s: sums with them, and products of vectors and of all elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import no_grad
from lucidlite.ops.common import (
    as_int,
    broadcast_shape,
    check_device,
    check_dtype,
    check_tensor,
    operands,
    wrap_dim,
    zero_vjp,
)
from lucidlite.ops.contraction import tensordot
from lucidlite.ops.elementwise import mul
from lucidlite.ops.matmul import bmm, dot, matmul, mv, outer
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import expand, matrix_transpose, reshape, unsqueeze
from lucidlite.tape import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * batch1 @ batch2``. Semantics: torch.baddbmm."""
    if precision.active:
        input, batch1, batch2 = precision.cast("baddbmm", input, batch1, batch2)
    _check_sum("baddbmm", input, batch1, batch2, (3, 3))
    a, b = batch1.array.shape, batch2.array.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise error(
            RuntimeError,
            "baddbmm: expected one batch size and matching inner sizes, "
            f"got batch1={a}, batch2={b}",
        )
    _check_result("baddbmm", input, (a[0], a[1], b[2]))
    out = input.backend.addmm(input.array, batch1.array, batch2.array, beta, alpha)
    inputs, save_for = (input, batch1, batch2), (None, batch2, batch1)
    return record(out, baddbmm_vjp, inputs, (beta, alpha), save_for=save_for)


def baddbmm_vjp(node: Node, grad: Tensor, beta: float, alpha: float) -> Gradients:
    _, y, x = node.saved_tensors
    needs = node.needs_input_grad
    scaled = grad if alpha == 1 else grad * alpha
    return (
        None if not needs[0] else grad if beta == 1 else grad * beta,
        bmm(scaled, matrix_transpose(y)) if needs[1] else None,
        bmm(matrix_transpose(x), scaled) if needs[2] else None,
    )


def _check_sum(op: str, input: Tensor, x: Tensor, y: Tensor, dims: tuple[int, int]) -> None:
    for name, value in (("input", input), ("first factor", x), ("second factor", y)):
        check_tensor(op, name, value)
    check_device(op, input, x, y)
    if not input.array.dtype == x.array.dtype == y.array.dtype:
        raise error(
            RuntimeError,
            f"{op}: expected all to have the same dtype, "
            f"got {input.dtype}, {x.dtype} and {y.dtype}",
        )
    check_dtype(op, x, "fiu")
    if (x.array.ndim, y.array.ndim) != dims:
        raise error(
            RuntimeError,
            f"{op}: expected {dims[0]}D and {dims[1]}D tensors, "
            f"got {x.array.shape} and {y.array.shape}",
        )


def _check_result(op: str, input: Tensor, shape: tuple[int, ...]) -> None:
    if broadcast_shape(op, input.array.shape, shape) != shape:
        raise error(
            RuntimeError, f"{op}: input must expand to {shape}, got input={input.array.shape}"
        )


def _plus(
    vjp: Any, inputs: tuple[Tensor, Tensor, Tensor], product: Tensor, beta: float, alpha: float
) -> Tensor:
    """``beta * input + alpha * product``; with beta 0, NaN in ``input`` doesn't count."""
    input = inputs[0]
    if input.array.dtype.kind != "f":  # whole numbers stay whole, as in addmm
        beta, alpha = int(beta), int(alpha)
    with no_grad():
        out = _times(product, alpha)
        if beta != 0:
            out = _times(input, beta) + out
    return record(out.array, vjp, inputs, (beta, alpha), save=inputs[1:])


def _times(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1 else x * factor


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * mat @ vec``. Semantics: torch.addmv."""
    if precision.active:
        input, mat, vec = precision.cast("addmv", input, mat, vec)
    _check_sum("addmv", input, mat, vec, (2, 1))
    with no_grad():
        product = mv(mat, vec)
    _check_result("addmv", input, product.array.shape)
    return _plus(addmv_vjp, (input, mat, vec), product, beta, alpha)


def addmv_vjp(node: Node, grad: Tensor, beta: float, alpha: float) -> Gradients:
    mat, vec = node.saved_tensors
    scaled = _times(grad, alpha)
    return _times(grad, beta), outer(scaled, vec), mv(matrix_transpose(mat), scaled)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``. Semantics: torch.addr."""
    if precision.active:
        input, vec1, vec2 = precision.cast("addr", input, vec1, vec2)
    _check_sum("addr", input, vec1, vec2, (1, 1))
    with no_grad():
        product = outer(vec1, vec2)
    _check_result("addr", input, product.array.shape)
    return _plus(addr_vjp, (input, vec1, vec2), product, beta, alpha)


def addr_vjp(node: Node, grad: Tensor, beta: float, alpha: float) -> Gradients:
    vec1, vec2 = node.saved_tensors
    scaled = _times(grad, alpha)
    return _times(grad, beta), mv(scaled, vec2), mv(matrix_transpose(scaled), vec1)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2).sum(0)``. Semantics: torch.addbmm."""
    if precision.active:
        input, batch1, batch2 = precision.cast("addbmm", input, batch1, batch2)
    _check_sum("addbmm", input, batch1, batch2, (3, 3))
    with no_grad():
        product = tensordot(batch1, batch2, ([0, 2], [0, 1]))
    _check_result("addbmm", input, product.array.shape)
    return _plus(addbmm_vjp, (input, batch1, batch2), product, beta, alpha)


def addbmm_vjp(node: Node, grad: Tensor, beta: float, alpha: float) -> Gradients:
    x, y = node.saved_tensors
    scaled = expand(_times(grad, alpha), (x.array.shape[0], *grad.array.shape))
    first, second = bmm(scaled, matrix_transpose(y)), bmm(matrix_transpose(x), scaled)
    return _times(grad, beta), first, second


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Products summed over the last dim of both. Semantics: torch.inner."""
    check_tensor("inner", "input", input)
    check_tensor("inner", "other", other)
    a, b = input.array.shape, other.array.shape
    if not a or not b:
        return mul(input, other)
    if len(a) == 1 and len(b) == 1:
        return dot(input, other)
    if a[-1] != b[-1]:
        raise error(
            RuntimeError,
            f"inner: the size of last dimension must match, got input={a}, other={b}",
        )
    return tensordot(input, other, ([-1], [-1]))


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """``dot``: there are no complex numbers here. Semantics: torch.vdot."""
    return dot(input, other)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """``other`` times each element of ``input``, as blocks (the Kronecker product).

    Semantics: torch.kron.
    """
    x, y = operands("kron", input, other)
    dims = max(x.array.ndim, y.array.ndim)
    a, b = ((1,) * (dims - t.array.ndim) + t.array.shape for t in (x, y))
    wide = reshape(x, tuple([n for size in a for n in (size, 1)]))
    deep = reshape(y, tuple([n for size in b for n in (1, size)]))
    return reshape(mul(wide, deep), tuple([n * m for n, m in zip(a, b, strict=True)]))


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product of 3-vectors along ``dim`` (the first of size 3).

    Semantics: torch.cross.
    """
    check_tensor("cross", "input", input)
    check_tensor("cross", "other", other)
    if precision.active:
        input, other = precision.cast("cross", input, other)
    shape = broadcast_shape("cross", input.array.shape, other.array.shape)
    if dim is None:
        dim = next((d for d, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise error(RuntimeError, f"cross: no dimension of size 3 in input, got {shape}")
    axis = wrap_dim("cross", dim, len(shape))
    if input.array.ndim != other.array.ndim or any(
        not t.array.ndim or t.array.shape[axis] != 3 for t in (input, other)
    ):
        raise error(
            RuntimeError,
            "cross: inputs must have the same number of dimensions and size 3 along dim, "
            f"got {input.array.shape} and {other.array.shape}, dim={dim}",
        )
    x, y = expand(input, shape), expand(other, shape)
    ahead = mul(x.roll(-1, axis), y.roll(-2, axis))
    return ahead - mul(x.roll(-2, axis), y.roll(-1, axis))


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications.

    Semantics: torch.chain_matmul, torch.linalg.multi_dot (of which the ends may be vectors).
    """
    if precision.active:
        matrices = precision.cast("chain_matmul", *matrices)
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices (the ends may be vectors), in the cheapest order.

    Semantics: torch.linalg.multi_dot.
    """
    parts = list(tensors)
    for x in parts:
        check_tensor("multi_dot", "tensors", x)
    if len(parts) < 2:
        raise error(RuntimeError, f"multi_dot: expected at least 2 tensors but got {len(parts)}")
    row, column = parts[0].array.ndim == 1, parts[-1].array.ndim == 1
    parts[0] = unsqueeze(parts[0], 0) if row else parts[0]
    parts[-1] = unsqueeze(parts[-1], 1) if column else parts[-1]
    if any(x.array.ndim != 2 for x in parts):
        raise error(
            RuntimeError,
            "multi_dot: the inner tensors must be 2D, the first and last 1D or 2D, "
            f"got {[x.array.shape for x in tensors]}",
        )
    sizes = [parts[0].array.shape[0], *[x.array.shape[1] for x in parts]]
    out = _chain(parts, _cheapest(sizes), 0, len(parts) - 1)
    out = out[0] if row else out
    return out[..., 0] if column else out


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to part factors i to j, by the multiplications that it takes."""
    cost: dict[tuple[int, int], int] = {}
    at: dict[tuple[int, int], int] = {}
    count = len(sizes) - 1
    for length in range(count):
        for i in range(count - length):
            j = i + length
            options = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], at[i, j] = min(options, default=(0, i))
    return at


def _chain(parts: list[Tensor], at: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return parts[i]
    k = at[i, j]
    return matmul(_chain(parts, at, i, k), _chain(parts, at, k + 1, j))


def matrix_power(input: Tensor, n: int) -> Tensor:
    """A square matrix times itself, ``n`` times; the inverse (n < 0) is not there.

    Semantics: torch.matrix_power.
    """
    check_tensor("matrix_power", "input", input)
    n, shape = as_int("matrix_power", "n", n), input.array.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise error(
            RuntimeError,
            f"matrix_power: must be batches of square matrices, got shape={tuple(shape)}",
        )
    if n < 0:
        raise error(
            NotImplementedError,
            f"matrix_power: inverses are not supported; use numpy.linalg.inv, got n={n}",
        )
    if n == 0:
        ones = input.backend.xp.eye(shape[-1], dtype=input.array.dtype)
        whole = input.backend.xp.zeros(shape, input.array.dtype) + ones
        return record(whole, zero_vjp, (input,), name="zeros")
    out: Any = None
    square: Tensor = input
    while n:
        if n & 1:
            out = square if out is None else matmul(out, square)
        n >>= 1
        square = matmul(square, square) if n else square
    product: Tensor = out
    return product


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Products of vectors along ``dim``. Semantics: torch.linalg.vecdot."""
    for name, value in (("x", x), ("y", y)):
        check_tensor("linalg.vecdot", name, value)
        if value.array.dtype.kind != "f":
            raise error(
                RuntimeError,
                "linalg.vecdot: expected a floating point or complex tensor as input, "
                f"got dtype={value.dtype}",
            )
    return sum(mul(x, y), dim)
