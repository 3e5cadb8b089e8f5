"""Matrix products."""

from __future__ import annotations

from math import prod as product
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.grad_mode import grad_mode
from lucidlite.hints import for_dtypes, for_layer_dtype, for_linear, for_matmul
from lucidlite.ops.common import broadcast_shape, check_device, check_dtype, check_tensor
from lucidlite.ops.precision import precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import matrix_transpose, reshape, squeeze, t, unsqueeze
from lucidlite.tape import fresh, record, wrap

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor

    Gradients = tuple[Tensor | None, ...]


def _check(op: str, x: Any, y: Any) -> None:
    check_tensor(op, "input", x)
    check_tensor(op, "other", y)
    check_device(op, x, y)
    if x.array.dtype != y.array.dtype:
        raise error(
            RuntimeError,
            f"{op}: expected both operands to have the same dtype, got {x.dtype} and {y.dtype}",
            for_dtypes(x.dtype, y.dtype),
        )
    check_dtype(op, x, "fiu")


def _mismatch(op: str, x: Tensor, y: Tensor) -> RuntimeError:
    a, b = x.array.shape, y.array.shape
    rule = "inner sizes must match and leading dims broadcast"
    if len(a) == 2 and len(b) == 2:
        rule = f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
    return error(RuntimeError, f"{op}: {rule}, got input={a}, other={b}", for_matmul(a, b))


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; leading dims broadcast, vectors act as rows and columns.

    >>> import lucidlite
    >>> lucidlite.matmul(lucidlite.ones(2, 3), lucidlite.ones(3))
    tensor([3., 3.])

    Semantics: torch.matmul.
    """
    if precision.active:
        input, other = precision.cast("matmul", input, other)
    _check("matmul", input, other)
    a, b = input.array.ndim, other.array.ndim
    if not a or not b:
        raise error(
            RuntimeError,
            "matmul: both arguments need to be at least 1D, "
            f"got input={input.array.shape}, other={other.array.shape}",
        )
    if a == 1 and b == 1:
        return dot(input, other)
    return _product("matmul", input, other, _NAMES.get((a, b), "matmul"))


# What PyTorch prints where neither operand is a batch.
_NAMES = {(2, 2): "mm", (2, 1): "mv", (1, 2): "vm"}


def _product(op: str, x: Tensor, y: Tensor, name: str = "") -> Tensor:
    try:
        out = x.backend.matmul(x.array, y.array)
    except ValueError:
        raise _mismatch(op, x, y) from None
    args = (x.array.ndim, y.array.ndim)
    return record(out, matmul_vjp, (x, y), args, name=name, save_for=(y, x))


def matmul_vjp(node: Node, grad: Tensor, x_dims: int, y_dims: int) -> Gradients:
    y, x = node.saved_tensors
    needs = node.needs_input_grad
    dx = dy = None
    if needs[0] and y_dims == 1:
        dx = unsqueeze(grad, -1) * y
    elif needs[0] and x_dims == 1:
        dx = squeeze(_product("matmul", y, unsqueeze(grad, -1)), -1)
    elif needs[0]:
        dx = _product("matmul", grad, _turned(y))
    if needs[1] and x_dims == 1:
        dy = unsqueeze(x, 1) * unsqueeze(grad, -2)
    elif needs[1] and y_dims == 1:
        dy = squeeze(_product("matmul", matrix_transpose(x), unsqueeze(grad, -1)), -1)
    elif needs[1] and y_dims == 2:  # one product, not a batch of them to be summed
        dy = _product("matmul", _turned(_rows(x)), _rows(grad))
    elif needs[1]:
        dy = _product("matmul", matrix_transpose(x), grad)
    return dx, dy


def _rows(x: Tensor) -> Tensor:
    """A batch of matrices as one, their rows under each other."""
    *lead, columns = x.array.shape
    return x if len(lead) == 1 else reshape(x, (product(lead), columns))


def _turned(x: Tensor) -> Tensor:
    """Each matrix's transpose, as a factor: without the tape it needn't be known as a view."""
    if grad_mode.enabled:
        return matrix_transpose(x)
    return wrap(x.array.swapaxes(-1, -2), x.backend)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices. Semantics: torch.mm."""
    if precision.active:
        input, mat2 = precision.cast("mm", input, mat2)
    _check("mm", input, mat2)
    if input.array.ndim != 2 or mat2.array.ndim != 2:
        raise error(
            RuntimeError,
            f"mm: self and mat2 must be matrices, got {input.array.shape} and {mat2.array.shape}",
        )
    return _product("mm", input, mat2, "mm")


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices. Semantics: torch.bmm."""
    if precision.active:
        input, mat2 = precision.cast("bmm", input, mat2)
    _check("bmm", input, mat2)
    a, b = input.array.shape, mat2.array.shape
    if len(a) != 3 or len(b) != 3 or a[0] != b[0]:
        raise error(
            RuntimeError,
            f"bmm: batch1 and batch2 must be 3D tensors of one batch size, got {a}, {b}",
        )
    return _product("bmm", input, mat2, "bmm")


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector. Semantics: torch.mv."""
    if precision.active:
        input, vec = precision.cast("mv", input, vec)
    _check("mv", input, vec)
    a, b = input.array.shape, vec.array.shape
    if len(a) != 2 or len(b) != 1:
        raise error(RuntimeError, f"mv: expected a matrix and a vector, got {a} and {b}")
    return _product("mv", input, vec, "mv")


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors. Semantics: torch.dot."""
    if precision.active:
        input, tensor = precision.cast("dot", input, tensor)
    _check("dot", input, tensor)
    a, b = input.array.shape, tensor.array.shape
    if len(a) != 1 or len(b) != 1:
        raise error(RuntimeError, f"dot: 1D tensors expected, got {a} and {b}")
    if a != b:
        raise error(RuntimeError, f"dot: inconsistent tensor size, got {a} and {b}")
    out = input.backend.matmul(input.array, tensor.array)
    return record(out, dot_vjp, (input, tensor), save_for=(tensor, input))


def dot_vjp(node: Node, grad: Tensor) -> Gradients:
    y, x = node.saved_tensors
    return (
        grad * y if node.needs_input_grad[0] else None,
        grad * x if node.needs_input_grad[1] else None,
    )


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements. Semantics: torch.outer."""
    if input.array.ndim != 1 or vec2.array.ndim != 1:
        raise error(
            RuntimeError,
            f"outer: expected 1-D tensors, got {input.array.shape} and {vec2.array.shape}",
        )
    return unsqueeze(input, 1) * vec2


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Shapes: input (..., in_features), weight (out_features, in_features) or (in_features,), bias
    (out_features); result (..., out_features). RuntimeError where they don't fit.

    >>> import lucidlite
    >>> lucidlite.nn.functional.linear(lucidlite.ones(1, 3), lucidlite.ones(2, 3))
    tensor([[3., 3.]])

    Semantics: torch.nn.functional.linear.
    """
    if precision.active:
        input, weight, bias = precision.cast("linear", input, weight, bias)
    check_tensor("linear", "input", input)
    check_tensor("linear", "weight", weight)
    if bias is not None:
        check_tensor("linear", "bias", bias)
    check_device("linear", input, weight, bias)
    x, w = input.array, weight.array
    if x.dtype != w.dtype or (bias is not None and bias.array.dtype != w.dtype):
        raise error(
            RuntimeError,
            "linear: expected input, weight and bias to have the same dtype, "
            f"got input={input.dtype}, weight={weight.dtype}"
            + (f", bias={bias.dtype}" if bias is not None else ""),
            for_layer_dtype(input.dtype, weight.dtype),
        )
    check_dtype("linear", input, "fiu")
    if not w.ndim or w.ndim > 2:
        raise error(
            RuntimeError,
            f"linear: weight must have 1 or 2 dimensions, got input={x.shape}, weight={w.shape}",
        )
    if w.ndim == 1:
        out = matmul(input, weight)
        return out if bias is None else out + bias
    if not x.ndim or x.shape[-1] != w.shape[1]:
        rows = x.size // x.shape[-1] if x.ndim and x.shape[-1] else 1
        columns = x.shape[-1] if x.ndim else 1
        raise error(
            RuntimeError,
            f"linear: mat1 and mat2 shapes cannot be multiplied ({rows}x{columns} and "
            f"{w.shape[1]}x{w.shape[0]}), got input={x.shape}, weight={w.shape}",
            for_linear(x.shape, w.shape[1]),
        )
    if bias is not None and bias.array.shape not in ((w.shape[0],), (1,), ()):
        raise error(
            RuntimeError,
            f"linear: bias must have one value per output feature, got bias={bias.array.shape}, "
            f"weight={w.shape}",
        )
    out = input.backend.linear(x, w, None if bias is None else bias.array)
    name = ("linear" if x.ndim == 2 else "linear_nd") + ("" if bias is not None else "_no_bias")
    name = "linear_1d_no_bias" if x.ndim == 1 and bias is None else name
    save_for = (weight, input, None)
    return record(out, linear_vjp, (input, weight, bias), name=name, save_for=save_for)


def linear_vjp(node: Node, grad: Tensor) -> Gradients:
    w, x, _ = node.saved_tensors
    needs = node.needs_input_grad
    if not grad_mode.enabled:
        backend = grad.backend
        arrays = None if x is None else x.array, None if w is None else w.array
        dx, dw, db = backend.linear_backward(grad.array, *arrays, needs)
        return (
            None if dx is None else fresh(wrap(dx, backend)),
            None if dw is None else fresh(wrap(dw, backend)),
            None if db is None else fresh(wrap(db, backend)),
        )
    rows = _rows(grad)
    return (
        _product("linear", grad, w) if needs[0] else None,
        _product("linear", _turned(rows), _rows(x)) if needs[1] else None,
        sum(rows, 0) if needs[2] else None,
    )


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * mat1 @ mat2``. Semantics: torch.addmm."""
    if precision.active:
        input, mat1, mat2 = precision.cast("addmm", input, mat1, mat2)
    check_tensor("addmm", "input", input)
    _check("addmm", mat1, mat2)
    _check("addmm", input, mat1)
    if mat1.array.ndim != 2 or mat2.array.ndim != 2:
        raise error(
            RuntimeError,
            f"addmm: mat1 and mat2 must be matrices, got {mat1.array.shape} and {mat2.array.shape}",
        )
    if mat1.array.shape[1] != mat2.array.shape[0]:
        raise _mismatch("addmm", mat1, mat2)
    shape = (mat1.array.shape[0], mat2.array.shape[1])
    if broadcast_shape("addmm", input.array.shape, shape) != shape:
        raise error(
            RuntimeError, f"addmm: input must expand to {shape}, got input={input.array.shape}"
        )
    out = input.backend.addmm(input.array, mat1.array, mat2.array, beta, alpha)
    inputs, save_for = (input, mat1, mat2), (None, mat2, mat1)
    return record(out, addmm_vjp, inputs, (beta, alpha), save_for=save_for)


def addmm_vjp(node: Node, grad: Tensor, beta: float, alpha: float) -> Gradients:
    _, y, x = node.saved_tensors
    needs = node.needs_input_grad
    scaled = grad if alpha == 1 else grad * alpha
    return (
        None if not needs[0] else grad if beta == 1 else grad * beta,
        _product("mm", scaled, t(y)) if needs[1] else None,
        _product("mm", t(x), scaled) if needs[2] else None,
    )
