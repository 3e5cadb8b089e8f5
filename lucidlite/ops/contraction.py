"""Products of tensors summed over named dims: einsum, tensordot."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.ops.common import as_int, check_device, check_tensor, wrap_dim
from lucidlite.ops.diagonals import diagonal
from lucidlite.ops.matmul import bmm, mm
from lucidlite.ops.precision import as_cast, precision
from lucidlite.ops.reduce import sum
from lucidlite.ops.shape import permute, reshape
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tensor import Tensor

# A dim's label: a letter, an int of the sublist form, or ("...", i) for the i-th dim from the right
# that an ellipsis stands for.
Label = Any
# In the order that results without -> have.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def einsum(*args: Any) -> Tensor:
    """Products summed over the labels that the result doesn't have.

    ``einsum(equation, *operands)``, or each operand followed by a list of labels (ints below 52)
    and at last the result's list. Without ``->`` the result has the labels that occur once, in
    alphabetical order; a label twice in an operand takes its diagonal; ``...`` broadcasts.

    >>> import lucidlite
    >>> a, b = lucidlite.ones(2, 3), lucidlite.ones(3, 4)
    >>> lucidlite.einsum("ij,jk->ik", a, b)
    tensor([[3., 3., 3., 3.],
            [3., 3., 3., 3.]])

    Semantics: torch.einsum.
    """
    if len(args) < 2:
        raise error(ValueError, "einsum: must specify the equation string and at least one operand")
    if isinstance(args[0], str):
        operands = args[1:]
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = tuple(operands[0])
        inputs, output = _read(args[0])
    else:
        operands, inputs, output = _sublists(args)
    for x in operands:
        check_tensor("einsum", "operands", x)
    if len(operands) != len(inputs):
        more = "fewer" if len(operands) < len(inputs) else "more"
        raise error(
            RuntimeError,
            f"einsum: {more} operands were provided than specified in the equation, "
            f"got {len(operands)} operands for {len(inputs)} subscripts",
        )
    check_device("einsum", *operands)
    if precision.active:
        operands = precision.cast("einsum", *operands)
    pairs = zip(operands, inputs, strict=True)
    named = [_labelled(n, x, labels) for n, (x, labels) in enumerate(pairs)]
    wanted = _result(inputs, output, [labels for _, labels in named])
    with as_cast("einsum", operands[0]):
        return _contract(named, wanted)


def _read(equation: str) -> tuple[list[list[Label]], list[Label] | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = [_letters(part, equation) for part in left.split(",")]
    return inputs, _letters(right, equation) if arrow else None


def _letters(part: str, equation: str) -> list[Label]:
    """The labels of one operand: letters, and one Ellipsis at most."""
    labels: list[Label] = []
    for n, piece in enumerate(part.split("...")):
        labels.extend([Ellipsis] * (n > 0) + list(piece))
    wrong = [c for c in labels if c is not Ellipsis and c not in LETTERS]
    if wrong:
        raise error(
            RuntimeError,
            f"einsum: invalid subscript given, subscripts must be in [a-zA-Z], got {wrong[0]!r} in "
            f"equation={equation!r}",
        )
    if labels.count(Ellipsis) > 1:
        raise error(
            RuntimeError, f"einsum: only one ellipsis is allowed, got equation={equation!r}"
        )
    return labels


def _sublists(args: tuple[Any, ...]) -> tuple[Any, list[list[Label]], list[Label] | None]:
    output = list(args[-1]) if len(args) % 2 else None
    pairs = args[: len(args) - len(args) % 2]
    inputs = []
    for labels in [*pairs[1::2], *([] if output is None else [output])]:
        if isinstance(labels, TensorBase) or not isinstance(labels, (tuple, list)):
            raise error(
                TypeError,
                f"einsum: expected a list of subscripts, got {type(labels).__name__}",
            )
        for label in labels:
            if label is not Ellipsis and not 0 <= as_int("einsum", "subscript", label) < 52:
                raise error(
                    ValueError,
                    f"einsum: subscripts must be within range [0, 52), got {label}",
                )
        if list(labels).count(Ellipsis) > 1:
            raise error(RuntimeError, f"einsum: only one ellipsis is allowed, got {labels}")
        inputs.append([c if c is Ellipsis else LETTERS[c] for c in labels])
    return pairs[::2], inputs[: len(pairs) // 2], None if output is None else inputs[-1]


def _labelled(n: int, x: Tensor, labels: list[Label]) -> tuple[Tensor, list[Label]]:
    """An operand with a label for each dim, each once: where one stood twice, the diagonal."""
    given, dims = [c for c in labels if c is not Ellipsis], x.array.ndim
    hidden = dims - len(given)
    if hidden < 0 or (hidden and Ellipsis not in labels):
        raise error(
            RuntimeError,
            f"einsum: the number of subscripts in the equation ({len(given)}) does not match the "
            f"number of dimensions ({dims}) for operand {n}"
            + ("" if Ellipsis in labels else " and no ellipsis was given"),
        )
    names: list[Label] = []
    for label in labels:
        more = [("...", i) for i in reversed(range(hidden))]
        names.extend(more if label is Ellipsis else [label])
    for label in dict.fromkeys(names):
        while names.count(label) > 1:
            a = names.index(label)
            b = names.index(label, a + 1)
            sizes = x.array.shape[a], x.array.shape[b]
            if sizes[0] != sizes[1]:
                raise error(
                    RuntimeError,
                    f"einsum: subscript {label} is repeated for operand {n} but the sizes don't "
                    f"match, got {sizes[0]} and {sizes[1]}",
                )
            x = diagonal(x, 0, a, b)
            names = [*[c for d, c in enumerate(names) if d not in (a, b)], label]
    return x, names


def _result(
    inputs: list[list[Label]], output: list[Label] | None, named: list[list[Label]]
) -> list[Label]:
    """The result's labels, an ellipsis as the labels that it stands for."""
    there = {label for names in named for label in names}
    dots = sorted([c for c in there if isinstance(c, tuple)], reverse=True)
    if output is None:
        flat = [c for labels in inputs for c in labels]
        once = sorted({c for c in flat if c is not Ellipsis and flat.count(c) == 1})
        return [*dots, *once]
    for label in output:
        if label is not Ellipsis and output.count(label) > 1:
            raise error(
                RuntimeError,
                f"einsum: output subscript {label} appears more than once in the output",
            )
        if label is not Ellipsis and label not in there:
            raise error(
                RuntimeError,
                f"einsum: output subscript {label} does not appear in the equation for any input "
                "operand",
            )
    wanted: list[Label] = []
    for label in output:
        wanted.extend(dots if label is Ellipsis else [label])
    return wanted


def _contract(
    named: list[tuple[Tensor, list[Label]]], wanted: list[Label], matrices: bool = False
) -> Tensor:
    """The operands multiplied from left to right; labels go as soon as nothing needs them.

    ``matrices``: as products of matrices even where nothing is summed.
    """
    sizes: dict[Label, int] = {}
    for n, (x, names) in enumerate(named):
        for label, size in zip(names, x.array.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                raise error(
                    RuntimeError,
                    f"einsum: operands do not broadcast with remapped shapes: subscript {label} "
                    f"has size {size} for operand {n} which does not broadcast with previously "
                    f"seen size {known}",
                )
    x, names = named[0]
    for n, (y, others) in enumerate(named[1:], 1):
        later = {label for _, labels in named[n + 1 :] for label in labels} | set(wanted)
        x, names = _pair(x, names, y, others, later, matrices)
    extra = [d for d, label in enumerate(names) if label not in wanted]
    x = sum(x, tuple(extra)) if extra else x
    names = [label for label in names if label in wanted]
    order = tuple(names.index(label) for label in wanted)
    return x if order == tuple(range(len(order))) else permute(x, order)


def _pair(
    x: Tensor,
    names: list[Label],
    y: Tensor,
    others: list[Label],
    later: set[Label],
    matrices: bool,
) -> tuple[Tensor, list[Label]]:
    """The product of two operands, summed over the labels that are not in ``later``."""
    x, names = _alone(x, names, {*others, *later})
    y, others = _alone(y, others, {*names, *later})
    # A dim of size 1 broadcasts against the other's: it goes, and its label is the other's alone.
    both = [c for c in names if c in others]
    for label in both:
        a, b = x.array.shape[names.index(label)], y.array.shape[others.index(label)]
        if a == 1 and b != 1:
            x, names = _dropped(x, names, label)
        elif b == 1 and a != 1:
            y, others = _dropped(y, others, label)
    x, names = _alone(x, names, {*others, *later})
    y, others = _alone(y, others, {*names, *later})
    both = [c for c in names if c in others]
    batch = [c for c in both if c in later]
    inner = [c for c in both if c not in later]
    rows, columns = ([c for c in some if c not in both] for some in (names, others))
    left, lead, down, _ = _as_matrices(x, names, batch, rows, inner)
    right, _, _, across = _as_matrices(y, others, batch, inner, columns)
    if not inner and not matrices:  # nothing is summed
        product = left * right
    else:
        product = bmm(left, right) if batch else mm(left[0], right[0])
    return reshape(product, (*lead, *down, *across)), [*batch, *rows, *columns]


def _alone(x: Tensor, names: list[Label], kept: set[Label]) -> tuple[Tensor, list[Label]]:
    """Summed over the labels that nothing else has."""
    gone = tuple([d for d, label in enumerate(names) if label not in kept])
    return (sum(x, gone) if gone else x), [label for label in names if label in kept]


def _dropped(x: Tensor, names: list[Label], label: Label) -> tuple[Tensor, list[Label]]:
    return x.squeeze(names.index(label)), [c for c in names if c != label]


def _as_matrices(
    x: Tensor, names: list[Label], batch: list[Label], rows: list[Label], columns: list[Label]
) -> tuple[Tensor, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """``x`` as (batch, rows, columns), and the sizes of the labels that each is made of."""
    order = tuple([names.index(label) for label in (*batch, *rows, *columns)])
    shape = x.array.shape
    parts = [tuple([shape[names.index(c)] for c in some]) for some in (batch, rows, columns)]
    turned = x if order == tuple(range(len(order))) else permute(x, order)
    return (reshape(turned, tuple([prod(part) for part in parts])), *parts)  # type: ignore[return-value]


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over dims: the last ``dims`` of ``a`` with the first of ``b``, or two lists.

    Semantics: torch.tensordot.
    """
    check_tensor("tensordot", "a", a)
    check_tensor("tensordot", "b", b)
    check_device("tensordot", a, b)
    if precision.active:
        a, b = precision.cast("tensordot", a, b)
    if isinstance(dims, TensorBase):
        dims = dims.backend.to_numpy(dims.array).tolist()
    if isinstance(dims, (tuple, list)):
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    else:
        count = as_int("tensordot", "dims", dims)
        if count < 0 or count > min(a.array.ndim, b.array.ndim):
            raise error(
                RuntimeError,
                "tensordot: expects dims >= 0 and no more than either tensor has, "
                f"got dims={count}, a={a.array.shape}, b={b.array.shape}",
            )
        first, second = list(range(a.array.ndim - count, a.array.ndim)), list(range(count))
    if len(first) != len(second):
        raise error(
            RuntimeError,
            "tensordot: both dimension lists should have same length, "
            f"got {len(first)} and {len(second)}",
        )
    if a.array.dtype != b.array.dtype:
        raise error(
            RuntimeError,
            f"tensordot: both inputs should have same dtype, got a={a.dtype}, b={b.dtype}",
        )
    over_a = _unique(a, first)
    over_b = _unique(b, second)
    labels = [*range(a.array.ndim)], [*range(a.array.ndim, a.array.ndim + b.array.ndim)]
    for d, e in zip(over_a, over_b, strict=True):
        n, m = a.array.shape[d], b.array.shape[e]
        if n != m and 1 not in (n, m):
            raise error(
                RuntimeError,
                f"tensordot: contracted dimensions need to match, but first has size {n} in dim "
                f"{d} and second has size {m} in dim {e}",
            )
        if n != m:  # one is 1: the other is summed, in its own dtype
            a = a if n == 1 else sum(a, d, True, dtype=a.dtype)
            b = b if m == 1 else sum(b, e, True, dtype=b.dtype)
        labels[1][e] = labels[0][d]
    wanted = [c for c in labels[0] if c not in labels[1]]
    wanted += [c for c in labels[1] if c not in labels[0]]
    with as_cast("tensordot", a):
        return _contract([(a, labels[0]), (b, labels[1])], wanted, matrices=True)


def _unique(x: Tensor, dims: Sequence[Any]) -> list[int]:
    found = [wrap_dim("tensordot", d, x.array.ndim) for d in dims]
    if len(set(found)) != len(found):
        raise error(RuntimeError, f"tensordot: a dim appears multiple times, got dims={dims}")
    return found
