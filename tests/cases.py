"""The table of operations: a row here is everything it takes to test one (see case_kinds.py).

A row names the operation, its input shapes and its arguments. From it test_cases.py makes parity
with PyTorch (values, gradients, the name of grad_fn), numerical checks of first and second
derivatives, other memory orders, and the same on a GPU or its stand-in.
"""

from __future__ import annotations

import copy
import operator

import cases_more
from case_kinds import (
    ALL_DTYPES,
    FLOATS,
    HALF,
    NUMBERS,
    Input,
    Table,
    bools,
    const,
    ints,
    of,
)
from cases_layers_act import CASES as ACTIVATIONS
from cases_space import add_rows as add_space

INTEGERS = ("int64", "int32", "uint8")
COMPOSITE = "PyTorch composes this of other operations"
OURS = "one node here, or a composite of other operations than PyTorch's"
BATCH_OF_ONE = "a batch of one, squeezed"
FLAT = "the gradient is zero, whatever comes in"

CASES = Table()
row, rows = CASES.row, CASES.rows


def infix(function, *constants, left=False):
    """A call of a Python operator, with a constant on one side if given."""
    if left:
        return lambda _, x: function(*constants, x)
    return lambda _, *x: function(*x, *constants)


def doubled(name, *args):
    """A call of an in-place method on a tensor that isn't a leaf."""
    return lambda _, x, *others: getattr(x * 2, name)(*others, *args)


def copied(name):
    """A call of an in-place method on a copy."""
    return lambda _, x, *others: getattr(x.clone(), name)(*others)


def written(function):
    """A call of an in-place operator on a tensor that isn't a leaf."""
    return lambda _, x, *others: function(x * 2, *others)

# -- one operand -----------------------------------------------------------------------------------

rows("abs neg square", [(2, 3)], dtypes=NUMBERS)
rows("exp expm1 sin cos relu sigmoid tanh erf clone", [(2, 3)], dtypes=HALF)
rows("sqrt rsqrt log log2 log10 log1p", [(2, 3)], domain="positive", dtypes=HALF)
row("reciprocal", [(2, 3)], domain="away", dtypes=HALF)
row("sign", [(2, 3)], domain="away", dtypes=HALF, second=FLAT)
rows("floor ceil trunc round", [(2, 3)], domain="between", dtypes=HALF, second=FLAT)
rows("exp sqrt rsqrt reciprocal log log2 log10 log1p sigmoid tanh sin cos expm1 erf",
     [(5,)], dtypes=("int64", "bool"), domain="positive", grad=False)  # fmt: skip
rows("sign floor ceil trunc round clone relu", [(5,)], dtypes=INTEGERS, grad=False)
rows("sign clone", [(5,)], dtypes=("bool",), grad=False)
rows("abs exp log relu sigmoid tanh sqrt neg clone erf", [()], domain="positive")
rows("abs exp log relu sigmoid tanh sqrt neg erf", [(0, 3)])
rows("abs neg sign sqrt rsqrt reciprocal floor ceil trunc round exp expm1 log log1p log2 log10 "
     "sin cos relu sigmoid tanh erf square", [(3, 4)], domain="extreme", grad=False, dtypes=HALF,
     tol=4)  # fmt: skip
rows("relu sigmoid tanh exp", [(2, 3, 4, 5)])
row("abs", [(12,)], domain="zeros", numeric=False)
row("relu", [(12,)], domain="zeros", numeric=False)
row("round", [(6,)], decimals=2, domain="between", numeric=False)
row("round", [(6,)], decimals=-1, domain="between", second=FLAT)
row("round", [(8,)], domain="ties", call=lambda T, x: T.round(x / 2), numeric=False)
rows("absolute Tensor.absolute Tensor.negative", [(2, 3)])
row("Tensor.__neg__", [(2, 3)], call=lambda _, x: -x)
row("Tensor.__pos__", [(2, 3)], call=lambda _, x: +x * 1)
row("Tensor.__abs__", [(2, 3)], call=lambda _, x: abs(x))

# -- two operands ----------------------------------------------------------------------------------

rows("add sub mul maximum minimum", [(2, 3), (2, 3)], dtypes=NUMBERS, domain="distinct")
rows("add sub mul maximum minimum", [(2, 3), (3,)], domain="distinct")
rows("add sub mul", [(2, 1), (1, 3)])
rows("add sub mul div", [(), (2, 3)], domain="away")
rows("add sub mul div", [(2, 3), ()], domain="away")
rows("add mul", [(), ()])
rows("add mul div", [(0, 3), (1, 3)])
rows("add mul", [(4, 1, 3), (2, 1)])
rows("div true_divide", [(2, 3), (3,)], domain="away", dtypes=HALF)
row("div", [(2, 3), (2, 3)], dtypes=INTEGERS, domain="away", grad=False)
row("div", [(2, 3), (3,)], rounding_mode="floor", domain="away", numeric=False)
row("div", [(2, 3), (3,)], rounding_mode="trunc", domain="away", numeric=False)
row("div", [(6,), (6,)], rounding_mode="trunc", dtypes=("int64", "int32"), domain="away",
    grad=False)  # fmt: skip
row("div", [(6,), (6,)], rounding_mode="floor", dtypes=INTEGERS, domain="away", grad=False)
row("floor_divide", [(6,), (6,)], domain="away", dtypes=(*FLOATS, *INTEGERS), grad=False)
row("remainder", [(6,), (6,)], domain="away", dtypes=(*FLOATS, *INTEGERS))
row("remainder", [(2, 3)], 0.7, domain="away")
rows("add sub mul", [(2, 3)], 2.5, dtypes=HALF)
rows("add sub mul remainder", [(2, 3)], 3, dtypes=INTEGERS, grad=False)
rows("div true_divide", [(2, 3)], 2.5, dtypes=HALF)
rows("add sub mul div", [(4,)], 1.5, dtypes=("int64", "uint8"), grad=False)
rows("add mul", [(4,)], True, dtypes=ALL_DTYPES, grad=False)
rows("add sub", [(2, 3), (3,)], alpha=2.5)
rows("add sub", [(2, 3)], 2.0, alpha=3)
rows("subtract multiply divide", [(2, 3), (2, 3)], domain="away")
row("Tensor.multiply", [(2, 3), (2, 3)])
rows("pow", [(2, 3), (3,)], domain="positive", dtypes=HALF)
row("pow", [(2, 3)], 3)
row("pow", [(2, 3)], 2)
row("pow", [(2, 3)], 0, second=FLAT)
row("pow", [(2, 3)], 1)
row("pow", [(2, 3)], 0.5, domain="positive")
row("pow", [(2, 3)], -1.5, domain="positive")
row("pow", [(6,)], 2, domain="zeros")
row("pow", [(6,)], 3, dtypes=INTEGERS, grad=False)
row("pow", [(6,), (6,)], domain="zeros", numeric=False, call=lambda T, x, y: T.pow(x.abs(), y))
row("Tensor.__pow__", [(2, 3)], call=lambda _, x: x**3)
row("Tensor.__rpow__", [(2, 3)], call=lambda _, x: 2.0**x, node="number ** tensor is a pow here")
for name in ["add", "sub", "mul", "truediv", "floordiv", "mod"]:
    options = {"grad": name != "floordiv", "domain": "away"}
    function = getattr(operator, name)
    row(f"Tensor.__{name}__", [(2, 3), (3,)], call=infix(function), **options)
    row(f"Tensor.__{name}__", [(2, 3)], call=infix(function, 1.5), **options)
    options["grad"] = name not in ("floordiv", "mod")
    row(f"Tensor.__r{name}__", [(2, 3)], call=infix(function, 1.5, left=True), node=OURS, **options)
row("add", [(2, 3), of("int64", 3)])
row("mul", [(2, 3), bools(3)])
row("mul", [of("float32", 2, 3), of("float64", 3)], numeric=False, dtypes=("float32",))
row("add", [of("float32", 2, 3), of("float64")], numeric=False, dtypes=("float32",))
row("add", [of("float16", 2, 3), of("float32")], numeric=False, dtypes=("float16",))
row("sub", [of("int64", 2, 3), of("float32")], grad=False)
row("add", [of("uint8", 4), of("int8", 4)], grad=False)
rows("maximum minimum", [(8,), (8,)], domain="ties", numeric=False)
rows("maximum minimum", [(12,), (12,)], domain="extreme", grad=False)
row("clamp", [(2, 6)], -0.5, 0.5, dtypes=HALF)
row("clamp", [(8,)], min=0.25)
row("clamp", [(8,)], max=0.25)
row("clamp", [(8,)], 1.0, -1.0)
row("clamp", [(8,)], -2, 2, dtypes=("int64", "int32"), grad=False)
row("clamp", [(8,)], -1.5, 2, dtypes=("int64",), grad=False)
row("clamp", [(8,)], -1.0, 1.0, domain="ties", numeric=False)
row("clamp", [(8,)], -1.0, 1.0, domain="extreme", grad=False)
row("clamp", [(2, 4), (4,), (4,)], node=COMPOSITE, domain="distinct")
row("clip", [(2, 3)], -0.5, 0.5)
row("Tensor.clip", [(2, 3)], -0.5, 0.5)
row("where", [bools(2, 3), (2, 3), (3,)], dtypes=HALF)
row("where", [bools(3), (2, 3), ()])
row("where", [bools(2, 3), (2, 3)], 0.0)
row("where", [bools(2, 3), of("int64", 2, 3), (3,)])
row("where", [bools(2, 3)], 1.5, 2.5, grad=False)
row("where", [bools(2, 3)], grad=False)
row("where", [bools(2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)])
row("Tensor.where", [(2, 3), bools(2, 3), (3,)])
row("lerp", [(2, 3), (2, 3)], 0.3, node=COMPOSITE)
row("lerp", [(2, 3), (2, 3), (3,)], node=COMPOSITE)

# -- comparison and logic --------------------------------------------------------------------------

rows("eq ne lt le gt ge", [(2, 3), (3,)], domain="ties", dtypes=ALL_DTYPES, grad=False)
rows("eq ne lt le gt ge", [(8,)], 1, domain="ties", dtypes=("float32", "int64"), grad=False)
rows("eq ne lt le gt ge", [(12,), (12,)], domain="extreme", grad=False)
for name in ["eq", "ne", "lt", "le", "gt", "ge"]:
    function = getattr(operator, name)
    row(f"Tensor.__{name}__", [(6,), (6,)], call=infix(function), domain="ties", grad=False)
    row(f"Tensor.__{name}__", [(6,)], call=infix(function, 1), domain="ties", grad=False)
rows("logical_and logical_or logical_xor", [(8,), (8,)], domain="zeros", dtypes=ALL_DTYPES,
     grad=False)  # fmt: skip
row("logical_not", [(8,)], domain="zeros", dtypes=ALL_DTYPES, grad=False)
rows("bitwise_and bitwise_or bitwise_xor", [(8,), (8,)], dtypes=(*INTEGERS, "bool"), grad=False)
row("bitwise_not", [(8,)], dtypes=(*INTEGERS, "bool"), grad=False)
for name in ["and", "or", "xor"]:
    function = getattr(operator, f"__{name}__")
    row(f"Tensor.__{name}__", [bools(6), bools(6)], call=infix(function), grad=False)
    row(f"Tensor.__r{name}__", [bools(6)], call=infix(function, True, left=True), grad=False)
row("Tensor.__invert__", [(6,)], call=lambda _, x: ~x, dtypes=("int64", "bool"), grad=False)
rows("isnan isinf isfinite", [(12,)], domain="extreme", dtypes=HALF, grad=False)
rows("isnan isinf isfinite", [(4,)], dtypes=("int64", "bool"), grad=False)
rows("isclose allclose", [(6,), (6,)], domain="ties", grad=False, dtypes=(*FLOATS, "int64"))
rows("isclose allclose", [(12,), (12,)], domain="extreme", equal_nan=True, grad=False)
rows("isclose allclose", [(6,), (6,)], rtol=0.1, atol=0.5, grad=False)
row("equal", [(6,), (6,)], domain="ties", grad=False)
row("equal", [(6,)], call=lambda T, x: T.equal(x, x.clone()), grad=False)
row("equal", [(6,), (2, 3)], grad=False)
row("is_tensor", [(2,)], grad=False)
row("is_nonzero", [(1, 1)], grad=False)
row("result_type", [(2,), of("float64")], call=lambda T, x, y: repr(T.result_type(x, y)),
    grad=False)  # fmt: skip

# -- reductions ------------------------------------------------------------------------------------

rows("sum mean", [(2, 3, 4)], dtypes=HALF)
rows("sum mean", [(2, 3, 4)], 1, dtypes=HALF)
rows("sum mean", [(2, 3, 4)], -1, True)
rows("sum mean", [(2, 3, 4)], dim=(0, -1))
rows("sum mean", [(2, 3, 4)], dim=(0, 2), keepdim=True)
rows("sum mean", [(2, 3, 4, 5)], dim=(2, 3))
rows("sum mean", [(2, 3, 4)], dim=[])
rows("sum mean", [()])
rows("sum mean", [()], 0)
row("sum", [(0, 3)])
row("sum", [(0, 3)], 0)
row("mean", [(0, 3)], 0, numeric=False)
row("sum", [(2, 3)], dtypes=(*INTEGERS, "bool"), grad=False)
row("sum", [(2, 3)], dim=0, dtypes=(*INTEGERS, "bool"), grad=False)
row("sum", [(2, 3)], call=lambda T, x: T.sum(x, dtype=T.float64), dtypes=("float32", "int64"),
    grad=False)  # fmt: skip
row("mean", [of("int64", 2, 3)], call=lambda T, x: T.mean(x, dtype=T.float32), grad=False)
rows("var std", [(3, 4)])
rows("var std", [(3, 4)], 1)
rows("var std", [(3, 4)], dim=0, keepdim=True, unbiased=False)
rows("var std", [(3, 4)], dim=(0, 1), correction=2)
rows("var std", [(3, 4)], call=lambda _, x: (x.var(False), x.std(0, False)))
rows("prod", [(2, 3)], dtypes=(*FLOATS, "int64", "bool"), domain="away")
row("prod", [(2, 3)], 1, domain="away")
row("prod", [(2, 3)], dim=0, keepdim=True, domain="away")
row("prod", [(5,)], call=lambda _, x: (x * (x > x.amin())).prod())
row("prod", [(5,)], call=lambda _, x: (x * (x > x.mean()).to(x.dtype)).prod())
row("prod", [()])
row("cumsum", [(2, 3)], 1, dtypes=(*FLOATS, "int64", "bool"))
row("cumsum", [(2, 3, 2)], dim=-3)
row("cumsum", [()], 0)
rows("amax amin", [(2, 3, 4)], domain="distinct", dtypes=(*FLOATS, "int64"))
rows("amax amin", [(2, 3, 4)], 1, domain="distinct")
rows("amax amin", [(2, 3, 4)], dim=(0, -1), keepdim=True, domain="distinct")
rows("amax amin", [(2, 6)], 1, domain="ties", numeric=False)
rows("amax amin", [(3, 4)], 1, domain="extreme", grad=False)
rows("max min", [(2, 3, 4)], domain="distinct", dtypes=(*FLOATS, "int64", "uint8"))
rows("max min", [(2, 3, 4)], 1, domain="distinct", dtypes=(*FLOATS, "int64"))
rows("max min", [(2, 3, 4)], dim=-1, keepdim=True, domain="distinct")
rows("max min", [(2, 3), (3,)], domain="distinct", node=COMPOSITE)
rows("max min", [()])
rows("max min", [()], 0)
rows("max min", [(8,)], domain="ties", numeric=False)
rows("max min", [(3, 8)], 1, domain="ties", numeric=False)
rows("max min", [(3, 4)], 1, domain="extreme", grad=False)
rows("max min", [bools(3, 4)], 1, grad=False)
rows("argmax argmin", [(2, 3, 4)], domain="distinct", dtypes=(*FLOATS, "int64"), grad=False)
rows("argmax argmin", [(2, 3, 4)], 1, domain="distinct", grad=False)
rows("argmax argmin", [(2, 3, 4)], dim=-1, keepdim=True, domain="distinct", grad=False)
rows("argmax argmin", [(3, 4)], keepdim=True, domain="distinct", grad=False)
rows("argmax argmin", [(3, 4)], 1, domain="extreme", grad=False)
rows("argmax argmin", [()], grad=False)
rows("any all", [(3, 4)], domain="zeros", dtypes=ALL_DTYPES, grad=False)
rows("any all", [(3, 4)], 1, domain="zeros", dtypes=ALL_DTYPES, grad=False)
rows("any all", [(3, 4)], dim=0, keepdim=True, domain="zeros", grad=False)
rows("any all", [(0, 3)], grad=False)
row("logsumexp", [(2, 3)], 1)
row("logsumexp", [(2, 3, 4)], dim=(0, -1), keepdim=True)
row("logsumexp", [(3, 4)], 1, domain="extreme", grad=False)
row("norm", [(3, 4)])
row("norm", [(3, 4)], 2, 1)
row("norm", [(3, 4)], p=1, dim=0, keepdim=True, node=OURS)
row("norm", [(3, 4)], 3, domain="away", node=OURS)
row("norm", [(3, 4)], float("inf"), domain="distinct", node=OURS)
row("norm", [(3, 4)], p=float("-inf"), dim=1, domain="distinct", node=OURS)
row("norm", [(3, 4)], 0, 1, domain="zeros", grad=False)
row("norm", [(4,)], call=lambda T, x: T.norm(x * 0), numeric=False)

# -- order -----------------------------------------------------------------------------------------

rows("sort", [(3, 4)], domain="distinct", dtypes=(*FLOATS, "int64"), node=OURS)
row("sort", [(3, 4, 2)], dim=1, descending=True, domain="distinct", node=OURS)
row("sort", [(3, 8)], stable=True, domain="ties", numeric=False, node=OURS)
row("sort", [(3, 8)], stable=True, descending=True, domain="ties", numeric=False, node=OURS)
row("sort", [(12,)], domain="extreme", stable=True, grad=False)
row("sort", [()])
row("argsort", [(3, 4)], domain="distinct", grad=False)
row("argsort", [(3, 4)], dim=0, descending=True, domain="distinct", grad=False)
row("argsort", [(3, 8)], stable=True, domain="ties", grad=False, dtypes=("float32", "int64"))
row("topk", [(3, 5)], 2, domain="distinct", node=OURS)
row("topk", [(3, 5)], 3, dim=0, largest=False, domain="distinct", node=OURS)
row("topk", [(5,)], k=5, domain="distinct", node=OURS)
row("topk", [(5,)], 0, domain="distinct", grad=False)

# -- products --------------------------------------------------------------------------------------

rows("matmul", [(2, 3), (3, 4)], dtypes=HALF)
row("matmul", [(3,), (3,)])
row("matmul", [(2, 3), (3,)])
row("matmul", [(3,), (3, 4)], node=OURS)
row("matmul", [(2, 3), (5, 3, 4)], node=OURS)
row("matmul", [(5, 2, 3), (3, 4)], node=OURS)
row("matmul", [(5, 2, 3), (5, 3, 4)], node=OURS)
row("matmul", [(2, 1, 2, 3), (5, 3, 4)], node=OURS)
row("matmul", [(5, 2, 3), (3,)], node=OURS)
row("matmul", [(3,), (5, 3, 2)], node=OURS)
row("matmul", [(2, 0), (0, 3)])
row("matmul", [(0, 2), (2, 3)])
row("matmul", [(2, 3), (3, 2)], dtypes=("int64",), grad=False)
row("mm", [(2, 3), (3, 4)])
row("bmm", [(5, 2, 3), (5, 3, 4)])
row("bmm", [(0, 2, 3), (0, 3, 4)])
row("mv", [(2, 3), (3,)])
row("dot", [(3,), (3,)])
row("outer", [(2,), (3,)])
row("addmm", [(2, 4), (2, 3), (3, 4)], node=COMPOSITE)
row("addmm", [(4,), (2, 3), (3, 4)], beta=0.5, alpha=2.0, node=COMPOSITE)
row("Tensor.__matmul__", [(2, 3), (3, 4)], call=lambda _, x, y: x @ y)
row("Tensor.__rmatmul__", [(2, 3), (3, 4)], call=lambda _, x, y: y.__rmatmul__(x))
row("nn.functional.linear", [(5, 3), (4, 3), (4,)], dtypes=HALF)
row("nn.functional.linear", [(5, 3), (4, 3)], node=OURS)
row("nn.functional.linear", [(2, 5, 3), (4, 3), (4,)], node=OURS)
row("nn.functional.linear", [(2, 2, 5, 3), (4, 3)], node=OURS)
row("nn.functional.linear", [(3,), (4, 3), (4,)], node=OURS)
row("nn.functional.linear", [(5, 3), (3,)])
row("nn.functional.linear", [(0, 3), (4, 3), (4,)])
row("nn.functional.linear", [(5, 0), (4, 0), (4,)])

# -- shapes ----------------------------------------------------------------------------------------

row("Tensor.view", [(2, 6)], call=lambda _, x: x.view(3, -1), layouts=False)
row("Tensor.view", [(2, 6)], call=lambda _, x: x.view((2, 2, 3)), layouts=False)
row("Tensor.view", [()], call=lambda _, x: x.view(1, 1))
row("Tensor.view", [(2, 3, 4)], call=lambda _, x: x[:, :2].view(2, 2, 2, 2), layouts=False)
row("reshape", [(2, 6)], (3, -1), dtypes=ALL_DTYPES)
row("reshape", [(2, 3, 4)], call=lambda T, x: T.reshape(x.transpose(0, 2), (-1,)))
row("reshape", [(0, 3)], (0, 6))
row("Tensor.reshape", [(2, 6)], call=lambda _, x: x.reshape(4, 3))
row("Tensor.view_as", [(2, 6), const((3, 4))], layouts=False)
row("Tensor.reshape_as", [(2, 6), const((3, 4))])
row("flatten", [(2, 3, 4)])
row("flatten", [(2, 3, 4, 5)], 1)
row("flatten", [(2, 3, 4)], start_dim=0, end_dim=1)
row("flatten", [(2, 3, 4)], 1, 1, node="the tensor itself")
row("flatten", [()])
row("unflatten", [(2, 6)], 1, (2, -1), layouts=False)
row("transpose", [(2, 3, 4)], 0, -1, dtypes=ALL_DTYPES)
row("transpose", [()], 0, 0)
row("swapaxes", [(2, 3, 4)], 0, 2)
row("Tensor.swapaxes", [(2, 3, 4)], 0, 2)
row("t", [(2, 3)])
row("t", [(3,)])
row("permute", [(2, 3, 4)], (2, 0, -2))
row("Tensor.permute", [(2, 3, 4)], call=lambda _, x: x.permute(2, 0, 1))
row("movedim", [(2, 3, 4)], 0, -1)
row("movedim", [(2, 3, 4)], (0, 1), (-1, 0))
row("Tensor.T", [(2, 3)], call=lambda _, x: x.T)
row("Tensor.mT", [(2, 3, 4)], call=lambda _, x: x.mT)
row("squeeze", [(2, 1, 3, 1)])
row("squeeze", [(2, 1, 3, 1)], 1)
row("squeeze", [(2, 1, 3, 1)], dim=-1)
row("squeeze", [(2, 1, 3, 1)], 0)
row("squeeze", [(2, 1, 3, 1)], (1, 3), node=OURS)
row("unsqueeze", [(2, 3)], 1)
row("unsqueeze", [(2, 3)], -1)
row("Tensor.expand", [(2, 1)], call=lambda _, x: x.expand(3, 2, 4))
row("Tensor.expand", [(2, 1)], call=lambda _, x: x.expand(-1, 4))
row("Tensor.expand_as", [(2, 1), const((3, 2, 4))])
row("broadcast_to", [(3,)], (2, 3))
row("Tensor.contiguous", [(2, 3)], call=lambda _, x: x.t().contiguous())
row("Tensor.contiguous", [(2, 3)], call=lambda _, x: x.contiguous() * 1)
row("Tensor.detach", [(2, 3)], call=lambda _, x: x.detach() * x, numeric=False)
row("Tensor.repeat", [(2, 3)], call=lambda _, x: x.repeat(2, 1, 3))
row("Tensor.repeat", [()], call=lambda _, x: x.repeat(3))
row("tile", [(2, 3)], (2,))
row("Tensor.tile", [(2, 3)], call=lambda _, x: x.tile(2, 1, 2))
row("flip", [(2, 3, 4)], (0, -1), dtypes=(*FLOATS, "int64"))
row("Tensor.__reversed__", [(4, 2)], call=lambda _, x: reversed(x))
row("Tensor.flip", [(2, 3)], call=lambda _, x: x.flip(1))
row("roll", [(2, 3)], 2)
row("roll", [(2, 3)], -1, 1)
row("roll", [(2, 3, 4)], shifts=(1, -2), dims=(0, 2))
row("cat", [(2, 3), (2, 1), (2, 2)], call=lambda T, *x: T.cat(x, 1), dtypes=HALF)
row("cat", [(2, 3), (4, 3)], call=lambda T, *x: T.cat(list(x), dim=-2))
row("cat", [(2, 3), of("int64", 1, 3)], call=lambda T, *x: T.cat(x))
row("cat", [(0,), (2, 3)], call=lambda T, *x: T.cat(x, 0),
    torch_grad="what (0,) adds nothing to has no gradient here")  # fmt: skip
row("cat", [(2, 3, 4, 5), (2, 2, 4, 5)], call=lambda T, *x: T.cat(x, 1))
row("cat", [(2, 3, 4, 5), (2, 3, 1, 5)], call=lambda T, *x: T.cat(x, 2))
rows("concat concatenate", [(2, 3), (2, 3)], call=lambda T, *x: T.concat(x, dim=1))
row("stack", [(2, 3), (2, 3)], call=lambda T, *x: T.stack(x), dtypes=(*HALF, "int64"))
row("stack", [(2, 3), (2, 3), (2, 3)], call=lambda T, *x: T.stack(x, dim=-1))
row("stack", [(), ()], call=lambda T, *x: T.stack(x))
row("split", [(5, 2)], 2)
row("split", [(2, 5)], 3, dim=1)
row("split", [(2, 5)], [1, 4], -1)
row("split", [(5, 2)], call=lambda T, x: T.split(x, 2)[1] * 2)
row("chunk", [(5, 2)], 2)
row("chunk", [(2, 7)], 3, dim=1)
row("unbind", [(3, 2)])
row("unbind", [(3, 2)], dim=-1)
row("unbind", [(3, 2)], call=lambda T, x: T.unbind(x)[2] * 3)
row("Tensor.__iter__", [(3, 2)], call=lambda _, x: [part * (i + 1) for i, part in enumerate(x)])

# -- indexing --------------------------------------------------------------------------------------

rows("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[1], dtypes=(*FLOATS, "int64"))
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[-1, 2])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[1:3])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[:, ::2])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[..., 1])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[None], node=OURS)
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[1:, None, -2:], node=OURS)
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[...] * 1)
row("Tensor.__getitem__", [()], call=lambda _, x: x[()] * 1)
row("Tensor.__getitem__", [()], call=lambda _, x: x[None], node=OURS)
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[5:])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[[0, 2, 2]])
row("Tensor.__getitem__", [(4, 5), ints((3,), -4, 4)], call=lambda _, x, i: x[i])
row("Tensor.__getitem__", [(4, 5), ints((2, 3), 0, 4)], call=lambda _, x, i: x[i, 1])
row("Tensor.__getitem__", [(4, 5), ints((3,), 0, 5)], call=lambda _, x, i: x[:, i])
row("Tensor.__getitem__", [(4, 5), ints((3,), 0, 4), ints((3,), 0, 5)],
    call=lambda _, x, i, j: x[i, j])  # fmt: skip
row("Tensor.__getitem__", [(4, 5, 3), ints((2, 1), 0, 4), ints((2,), 0, 3)],
    call=lambda _, x, i, j: x[i, 1:4, j])  # fmt: skip
row("Tensor.__getitem__", [(4, 5, 3), ints((2,), 0, 4)], call=lambda _, x, i: x[i, None, ..., 0])
row("Tensor.__getitem__", [(4, 5), bools(4, 5)], call=lambda _, x, m: x[m])
row("Tensor.__getitem__", [(4, 5), bools(4)], call=lambda _, x, m: x[m, 1:])
row("Tensor.__getitem__", [(4, 5), bools(5)], call=lambda _, x, m: x[:, m])
row("Tensor.__getitem__", [(4, 5)], call=lambda _, x: x[x > 0])
row("Tensor.__getitem__", [(4, 5), ints((0,), 0, 4)], call=lambda _, x, i: x[i])
row("Tensor.__getitem__", [(4,), ints((), 0, 4)], call=lambda _, x, i: x[i])
row("select", [(4, 5)], 1, -2)
row("narrow", [(4, 5)], 1, 1, 3)
row("narrow", [(4, 5)], 0, -2, 2)
row("index_select", [(4, 5), ints((3,), 0, 4)], call=lambda T, x, i: T.index_select(x, 0, i),
    node=OURS)  # fmt: skip
row("Tensor.index_select", [(4, 5), ints((7,), 0, 5)], call=lambda _, x, i: x.index_select(-1, i),
    node=OURS)  # fmt: skip
row("gather", [(4, 5), ints((2, 5), 0, 4)], call=lambda T, x, i: T.gather(x, 0, i))
row("Tensor.gather", [(4, 5), ints((4, 7), 0, 5)], call=lambda _, x, i: x.gather(1, i))
row("Tensor.gather", [(2, 3, 4), ints((2, 2, 3), 0, 4)], call=lambda _, x, i: x.gather(2, i))
row("scatter_add", [(4, 5), ints((2, 5), 0, 4), (2, 5)],
    call=lambda T, x, i, y: T.scatter_add(x, 0, i, y))  # fmt: skip
row("Tensor.scatter_add", [(4, 5), ints((3, 4), 0, 5), (4, 6)], torch_grad="an error in PyTorch",
    call=lambda _, x, i, y: x.scatter_add(1, i, y))  # fmt: skip
row("take_along_dim", [(4, 5), ints((4, 2), 0, 5)], 1)
row("take_along_dim", [(4, 5), ints((1, 5), 0, 4)], dim=0)
row("take_along_dim", [(4, 5), ints((3,), 0, 20)])
row("masked_fill", [(4, 5), bools(4, 5)], 1.5, dtypes=HALF)
row("masked_fill", [(4, 5), bools(5)], -1)
row("masked_fill", [(4, 5), bools(4, 1), ()], node=OURS)
row("masked_fill", [(2, 3, 4, 5), bools(2, 3, 4, 5)], 0.0)
row("masked_select", [(4, 5), bools(4, 5)], node=OURS)
row("masked_select", [(4, 5), bools(5)], node=OURS)
row("nonzero", [(4, 5)], domain="zeros", grad=False, dtypes=(*FLOATS, "int64", "bool"))
row("nonzero", [(4, 5)], as_tuple=True, domain="zeros", grad=False)
row("nonzero", [()], grad=False)
row("nn.functional.one_hot", [ints((4,), 0, 3)], 5, grad=False)
row("nn.functional.one_hot", [ints((2, 4), 0, 3)], grad=False)

# -- in place (on a tensor that isn't a leaf) ------------------------------------------------------

for name in ["neg_", "exp_", "tanh_", "sigmoid_", "relu_", "square_"]:
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name))
for name in ["sqrt_", "rsqrt_", "log_", "abs_", "reciprocal_"]:
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name), domain="positive")
for name in ["floor_", "ceil_", "round_", "trunc_", "sign_"]:
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name), domain="distinct", second=FLAT)
for name in ["add_", "sub_", "mul_", "div_"]:
    row(f"Tensor.{name}", [(2, 3), (3,)], call=doubled(name), domain="away")
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name, 2.5))
row("Tensor.add_", [(2, 3), (3,)], call=lambda _, x, y: x.clone().add_(y, alpha=2.0))
row("Tensor.div_", [(6,)], call=lambda _, x: x.clone().div_(0.5, rounding_mode="floor"),
    numeric=False)  # fmt: skip
row("Tensor.sub_", [(2, 3), (3,)], call=lambda _, x, y: x.clone().sub_(y, alpha=2.0))
row("Tensor.add_", [of("int64", 4), of("int32", 4)], call=lambda _, x, y: x.clone().add_(y),
    grad=False)  # fmt: skip
row("Tensor.pow_", [(2, 3)], call=lambda _, x: x.clone().pow_(3))
row("Tensor.floor_divide_", [(6,), (6,)], call=doubled("floor_divide_"), domain="away",
    dtypes=("float32", "int64"), grad=False)  # fmt: skip
for name in ["and", "or", "xor"]:
    options = {"dtypes": (*INTEGERS, "bool"), "grad": False}
    row(f"Tensor.bitwise_{name}_", [(6,), (6,)], call=copied(f"bitwise_{name}_"), **options)
    row(f"Tensor.__i{name}__", [(6,), (6,)], call=copied(f"__i{name}__"), **options)
row("Tensor.remainder_", [(6,)], call=lambda _, x: x.clone().remainder_(0.7))
row("Tensor.clamp_", [(6,)], call=lambda _, x: x.clone().clamp_(-0.5, 0.5))
row("Tensor.lerp_", [(6,), (6,)], call=lambda _, x, y: x.clone().lerp_(y, 0.3), node=COMPOSITE)
for name in ["iadd", "isub", "imul", "itruediv", "imod"]:
    row(f"Tensor.__{name}__", [(2, 3), (3,)], call=written(getattr(operator, name)), domain="away")
row("Tensor.__ifloordiv__", [(6,), (6,)], call=written(operator.ifloordiv), domain="away",
    grad=False)  # fmt: skip
row("Tensor.__ipow__", [(2, 3)], call=lambda _, x: operator.ipow(x * 2, 2))
row("Tensor.copy_", [(2, 3), (3,)], call=lambda _, x, y: (x * 2).copy_(y))
row("Tensor.copy_", [of("int64", 3), of("float32", 3)], call=lambda _, x, y: x.clone().copy_(y),
    grad=False)  # fmt: skip
row("Tensor.fill_", [(2, 3)], call=lambda _, x: (x * 2).fill_(2.0), node=OURS, second=FLAT)
row("Tensor.fill_", [(2, 3), ()], call=lambda _, x, y: (x * 2).fill_(y), node=OURS)
row("Tensor.zero_", [(2, 3)], call=lambda _, x: (x * 2).zero_(), node=OURS, second=FLAT)
row("Tensor.masked_fill_", [(2, 3), bools(2, 3)], call=lambda _, x, m: (x * 2).masked_fill_(m, 1.0))


def put(*key):
    """A call of ``x[key] = value``; tensors of the key follow the value."""

    def call(_, x, value, *tensors):
        x = x * 2
        x[tensors or key] = value
        return x

    return call


row("Tensor.__setitem__", [(4, 5), (5,)], call=put(1))
row("Tensor.__setitem__", [(4, 5), (2, 5)], call=put(slice(1, 3)))
row("Tensor.__setitem__", [(4, 5), ()], call=put(slice(None), 2))
row("Tensor.__setitem__", [(4, 5), (1, 5)], call=put(Ellipsis), node="x[...] is a view here")
row("Tensor.__setitem__", [(4, 5), (2, 5), Input((2,), "distinct", "int64", constant=True)],
    call=lambda _, x, y, i: put()(_, x, y, i % 4), node=OURS)  # fmt: skip
row("Tensor.__setitem__", [(4, 5), (), bools(4, 5)], call=put(), node=OURS)
row("Tensor.__setitem__", [(4, 5)], call=lambda _, x: put(1, 2)(_, x, 3.0))
row("Tensor.__setitem__", [of("int64", 4, 5)], call=lambda _, x: put(1)(_, x, 3.7), grad=False)

# -- dtype and device ------------------------------------------------------------------------------

row("Tensor.to", [(2, 3)], call=lambda T, x: x.to(T.float64), dtypes=ALL_DTYPES)
row("Tensor.to", [(2, 3)], call=lambda T, x: x.to(T.int64), dtypes=ALL_DTYPES, domain="ties",
    grad=False)  # fmt: skip
row("Tensor.to", [(2, 3)], call=lambda T, x: x.to(T.bool), dtypes=ALL_DTYPES, domain="zeros",
    grad=False)  # fmt: skip
row("Tensor.to", [(2, 3), const(())], call=lambda _, x, y: x.to(y) * 1)
row("Tensor.to", [(2, 3)], call=lambda _, x: x.to("cpu", copy=True).to(x.device), node=OURS)
row("Tensor.type_as", [of("float32", 2, 3), const((1,))], numeric=False)
for name in ["float", "double", "half"]:
    row(f"Tensor.{name}", [(2, 3)], dtypes=("float16", "int64", "bool"), grad=False)
row("Tensor.float", [of("float64", 2, 3)], numeric=False)
row("Tensor.half", [of("float64", 2, 3)], numeric=False)
row("Tensor.double", [of("float32", 2, 3)], numeric=False)
for name in ["byte", "char", "short", "int", "long", "bool"]:
    row(f"Tensor.{name}", [(2, 3)], dtypes=("float32", "int64", "bool"), domain="positive",
        grad=False)  # fmt: skip
row("Tensor.cpu", [(2, 3)], call=lambda _, x: x.cpu() * 1)

# -- activations, normalization --------------------------------------------------------------------

rows("softmax log_softmax", [(3, 4)], 1, dtypes=HALF)
rows("softmax log_softmax", [(2, 3, 4)], dim=-2)
rows("softmax log_softmax", [()], 0)
rows("softmax log_softmax", [(3,)], call=lambda T, x: (T.softmax(x * 1e4, 0),
                                                      T.log_softmax(x * 1e3, 0)), numeric=False)
rows("softmax log_softmax", [(3, 4)], numeric=False,
     call=lambda T, x: T.softmax(x.half(), 1, T.float32), tol=1000)  # fmt: skip
rows("nn.functional.softmax nn.functional.log_softmax", [(3, 4)], 0)
rows("nn.functional.softmax nn.functional.log_softmax", [(0, 4)], dim=1)
rows("nn.functional.relu nn.functional.sigmoid nn.functional.tanh", [(2, 3)])
row("nn.functional.relu", [(2, 3)], call=lambda T, x: T.nn.functional.relu(x * 2, inplace=True))
rows("nn.functional.leaky_relu nn.functional.gelu", [(2, 3)], dtypes=HALF)
row("nn.functional.leaky_relu", [(2, 3)], 0.3)
row("nn.functional.leaky_relu", [(2, 3)],
    call=lambda T, x: T.nn.functional.leaky_relu(x * 2, 0.2, inplace=True))  # fmt: skip
row("nn.functional.leaky_relu", [(12,)], domain="zeros", numeric=False)
row("nn.functional.gelu", [(2, 3)], approximate="tanh", dtypes=HALF)
row("nn.functional.leaky_relu", [(12,)], domain="extreme", grad=False)
row("nn.functional.gelu", [(12,)], domain="extreme", grad=False,
    parity="gelu(inf) is inf; PyTorch's vector code gives NaN")  # fmt: skip
BATCH_NORM = "nn.functional.batch_norm"


def _norm(training, momentum=0.1, eps=1e-5):
    def call(T, x, mean, var, *affine):
        mean, var = mean.clone(), var.clone()
        out = T.nn.functional.batch_norm(x, mean, var, *affine, training=training,
                                         momentum=momentum, eps=eps)  # fmt: skip
        return out, mean, var

    return call


STATS = [const((3,)), const((3,), "positive")]
row(BATCH_NORM, [(4, 3), *STATS, (3,), (3,)], call=_norm(True), tol=4)
row(BATCH_NORM, [(4, 3), *STATS, (3,), (3,)], call=_norm(False))
row(BATCH_NORM, [(4, 3, 5), *STATS, (3,), (3,)], call=_norm(True, 0.3, 1e-3), tol=4)
row(BATCH_NORM, [(2, 3, 4, 5), *STATS, (3,), (3,)], call=_norm(True), tol=4)
row(BATCH_NORM, [(2, 3, 4, 5), *STATS, (3,), (3,)], call=_norm(False))
row(BATCH_NORM, [(1, 3, 4, 5), *STATS], call=_norm(True), tol=4)
row(BATCH_NORM, [(1, 3, 4, 5), *STATS], call=_norm(False))
row(BATCH_NORM, [(2, 3, 4, 5)], None, None, training=True, tol=4)
row(BATCH_NORM, [(4, 3)], None, None, training=True, tol=4)
row("nn.functional.dropout", [(4, 5)], 0.5, False, call=lambda T, x:
    T.nn.functional.dropout(x * 1, 0.5, False))  # fmt: skip
row("nn.functional.dropout", [(4, 5)], p=1.0, node=OURS)
row("nn.functional.dropout", [(4, 5)], p=0.0, node="the tensor itself", call=lambda T, x:
    T.nn.functional.dropout(x, 0.0) * 1)  # fmt: skip
row("nn.functional.dropout", [(4, 5)], parity="PyTorch draws other numbers", dtypes=HALF,
    call=lambda T, x: (T.manual_seed(3), T.nn.functional.dropout(x, 0.4))[1])  # fmt: skip

# -- convolution and pooling -----------------------------------------------------------------------

CONV = "nn.functional.conv2d"
row(CONV, [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], dtypes=HALF, tol=4)
row(CONV, [(2, 3, 6, 5), (4, 3, 3, 2)], tol=4)
row(CONV, [(2, 3, 7, 8), (4, 3, 3, 3), (4,)], padding=1, tol=4)
row(CONV, [(2, 3, 7, 8), (4, 3, 3, 3), (4,)], stride=2, padding=1, tol=4)
row(CONV, [(2, 3, 7, 8), (4, 3, 2, 3), (4,)], (2, 1), (1, 2), tol=4)
row(CONV, [(2, 3, 9, 8), (2, 3, 3, 2)], dilation=(2, 3), tol=4)
row(CONV, [(2, 4, 5, 6), (6, 2, 3, 3), (6,)], groups=2, padding=1, tol=4)
row(CONV, [(2, 4, 5, 6), (4, 1, 3, 3), (4,)], groups=4, padding=1, tol=4)
row(CONV, [(2, 4, 5, 6), (8, 1, 3, 3)], groups=4, stride=2, tol=4)
row(CONV, [(2, 3, 5, 6), (4, 3, 3, 2), (4,)], padding="same", tol=4)
row(CONV, [(2, 3, 5, 6), (4, 3, 3, 2), (4,)], padding="valid", tol=4)
row(CONV, [(2, 3, 5, 6), (4, 3, 1, 1), (4,)], tol=4)
row(CONV, [(1, 3, 5, 6), (4, 3, 3, 3), (4,)], padding=1, tol=4)
row(CONV, [(2, 3, 5, 6), (1, 3, 5, 6), (1,)], tol=4)
row(CONV, [(3, 5, 6), (4, 3, 3, 3), (4,)], tol=4)
row(CONV, [(0, 3, 5, 6), (4, 3, 3, 3), (4,)], tol=4)
row(CONV, [(8, 16, 8, 8), (16, 16, 3, 3), (16,)], padding=1, tol=8)
row(CONV, [(4, 1, 12, 9), (8, 1, 5, 5), (8,)], padding=2, tol=8)

MAX, AVG = "nn.functional.max_pool2d", "nn.functional.avg_pool2d"
row(MAX, [(2, 3, 6, 8)], 2, domain="distinct", dtypes=(*HALF, "int64"))
row(MAX, [(2, 3, 7, 9)], 2, domain="distinct")
row(MAX, [(2, 3, 7, 9)], 3, 2, 1, domain="distinct")
row(MAX, [(2, 3, 7, 9)], (3, 2), stride=(1, 2), padding=(1, 0), domain="distinct")
row(MAX, [(2, 3, 7, 9)], 3, stride=2, ceil_mode=True, domain="distinct")
row(MAX, [(2, 3, 9, 9)], 2, stride=2, dilation=(2, 3), domain="distinct")
row(MAX, [(2, 3, 6, 8)], 2, return_indices=True, domain="distinct")
row(MAX, [(2, 3, 7, 9)], 3, 2, 1, ceil_mode=True, return_indices=True, domain="distinct")
row(MAX, [(2, 3, 6, 8)], 2, return_indices=True, domain="ties", numeric=False)
row(MAX, [(1, 2, 6, 6)], 3, 1, 1, domain="extreme", grad=False)
row(MAX, [(3, 6, 8)], 2, domain="distinct", node=BATCH_OF_ONE)
row(MAX, [(3, 6, 8)], 2, return_indices=True, domain="distinct", node=BATCH_OF_ONE)
row(MAX, [(0, 3, 6, 8)], 2)
row(MAX, [(1, 1, 6, 8)], kernel_size=(6, 8), domain="distinct")
row(AVG, [(2, 3, 6, 8)], 2, dtypes=HALF)
row(AVG, [(2, 3, 7, 9)], 3, 2, 1)
row(AVG, [(2, 3, 7, 9)], 3, 2, 1, count_include_pad=False)
row(AVG, [(2, 3, 7, 9)], (3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True)
row(AVG, [(2, 3, 7, 9)], 3, 2, 1, True, False)
row(AVG, [(2, 3, 7, 9)], 2, divisor_override=3)
row(AVG, [(3, 6, 8)], 2, node=BATCH_OF_ONE)
row(AVG, [(0, 3, 6, 8)], 2)
row(AVG, [(2, 3, 6, 8)], kernel_size=(6, 8))
row("nn.functional.adaptive_avg_pool2d", [(2, 3, 7, 9)], 1)
row("nn.functional.adaptive_avg_pool2d", [(2, 3, 6, 8)], (3, 2), dtypes=HALF, node=OURS)
row("nn.functional.adaptive_avg_pool2d", [(2, 3, 7, 9)], (3, 4), node=OURS)
row("nn.functional.adaptive_avg_pool2d", [(2, 3, 7, 9)], (None, 4), node=OURS)
row("nn.functional.adaptive_avg_pool2d", [(3, 7, 9)], (9, 2), node=OURS)
row("nn.functional.adaptive_avg_pool2d", [(0, 3, 7, 9)], (3, 2), node=OURS)
row("nn.functional.adaptive_max_pool2d", [(2, 3, 7, 9)], (3, 4), domain="distinct")
row("nn.functional.adaptive_max_pool2d", [(2, 3, 7, 9)], (None, 1), domain="distinct")
row("nn.functional.adaptive_max_pool2d", [(2, 3, 6, 8)], 2, True, domain="ties", numeric=False)
row("nn.functional.adaptive_max_pool2d", [(3, 7, 9)], 3, return_indices=True, domain="distinct",
    node=BATCH_OF_ONE)  # fmt: skip
PAD = "nn.functional.pad"
row(PAD, [(2, 3, 4)], (1, 2), dtypes=(*HALF, "int64"))
row(PAD, [(2, 3, 4)], (1, 0, 0, 2), value=1.5)
row(PAD, [(2, 3, 4)], (-1, 2, 1, -1))
row(PAD, [(2, 3, 4)], (0, 0, 0, 0, 1, 1))
row(PAD, [(2, 3, 4, 5)], (1, 1, 2, 0))
row(PAD, [(2, 3, 4, 5)], (2, 1, 3, 0), mode="reflect", node=OURS)
row(PAD, [(2, 3, 4, 5)], (2, 1, 3, 0), mode="replicate", node=OURS)
row(PAD, [(2, 3, 4, 5)], (2, 1, 3, 0), mode="circular", node=OURS)

# -- embedding and attention -----------------------------------------------------------------------

EMBED, BAG = "nn.functional.embedding", "nn.functional.embedding_bag"
row(EMBED, [ints((2, 3), 0, 5), (5, 4)], dtypes=HALF)
row(EMBED, [ints((6,), 0, 3, "int32"), (5, 4)], padding_idx=1, numeric=False)
row(EMBED, [ints((2, 6), 0, 3), (3, 2)], scale_grad_by_freq=True, numeric=False)
row(EMBED, [ints((), 0, 3), (3, 2)])
row(EMBED, [ints((0, 2), 0, 3), (3, 2)])
row(EMBED, [ints((3,), 0, 3), const((3, 2))], grad=False, call=lambda T, i, w:
    T.nn.functional.embedding(i, w * 4, max_norm=1.0, norm_type=1.0))  # fmt: skip
row(EMBED, [ints((3,), 0, 3), of("int64", 3, 2)], grad=False)
for how in ("sum", "mean", "max"):
    row(BAG, [ints((3, 4), 0, 5), (5, 2)], mode=how, domain="distinct", node=COMPOSITE)
    row(BAG, [ints((3, 4), 0, 3), (5, 2)], mode=how, domain="distinct", node=COMPOSITE,
        padding_idx=1)  # fmt: skip
    row(BAG, [ints((7,), 0, 5), (5, 2)], domain="distinct", node=COMPOSITE,
        call=lambda T, i, w, how=how: T.nn.functional.embedding_bag(
            i, w, T.tensor([0, 3, 3]).to(w.device), mode=how))  # fmt: skip
    row(BAG, [ints((7,), 0, 5), (5, 2)], domain="distinct", node=COMPOSITE,
        call=lambda T, i, w, how=how: T.nn.functional.embedding_bag(
            i, w, T.tensor([0, 2, 7]).to(w.device), mode=how, include_last_offset=True,
            padding_idx=2))  # fmt: skip
row(BAG, [ints((3, 4), 0, 5), (5, 2), (3, 4)], node=COMPOSITE, call=lambda T, i, w, p:
    T.nn.functional.embedding_bag(i, w, mode="sum", per_sample_weights=p))  # fmt: skip
row("nn.functional.bilinear", [(3, 4), (3, 2), (5, 4, 2), (5,)], node=COMPOSITE)
row("nn.functional.bilinear", [(2, 3, 4), (2, 3, 2), (5, 4, 2)], node=COMPOSITE)
row("nn.functional.bilinear", [(4,), (2,), (5, 4, 2)], node=COMPOSITE)
SDPA = "nn.functional.scaled_dot_product_attention"
row(SDPA, [(2, 3, 4), (2, 5, 4), (2, 5, 6)], node=COMPOSITE, dtypes=HALF)
row(SDPA, [(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)], node=COMPOSITE)
row(SDPA, [(2, 3, 4), (2, 5, 4), (2, 5, 4)], is_causal=True, scale=0.3, node=COMPOSITE)
row(SDPA, [(3, 4), (5, 4), (5, 4)], node=COMPOSITE, call=lambda T, q, k, v:
    T.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=1.0))  # fmt: skip
row(SDPA, [(2, 3, 4), (2, 5, 4), (2, 5, 4), (3, 5)], node=COMPOSITE)
row(SDPA, [(2, 3, 4), (2, 5, 4), (2, 5, 4), bools(2, 3, 5)], node=COMPOSITE)
row(SDPA, [(2, 3, 4), (2, 5, 4), (2, 5, 4)], node=COMPOSITE, call=lambda T, q, k, v:
    T.nn.functional.scaled_dot_product_attention(
        q, k, v, T.tensor([[True], [False], [True]]).to(q.device)))  # fmt: skip
row(SDPA, [(2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 2)], enable_gqa=True, node=COMPOSITE)
MHA = "nn.functional.multi_head_attention_forward"
row(MHA, [(3, 2, 4), (5, 2, 4), (12, 4), (12,), (4, 4), (4,)], node=COMPOSITE,
    call=lambda T, q, k, w, b, o, c: T.nn.functional.multi_head_attention_forward(
        q, k, k, 4, 2, w, b, None, None, False, 0.0, o, c))  # fmt: skip
row(MHA, [(3, 2, 4), (5, 2, 4), (12, 4), (4, 4), (1, 1, 4), (1, 1, 4), bools(3, 5)],
    node=COMPOSITE, call=lambda T, q, k, w, o, x, y, m:
    T.nn.functional.multi_head_attention_forward(
        q, k, k, 4, 2, w, None, x, y, True, 0.0, o, None, attn_mask=m,
        need_weights=False)[0])  # fmt: skip

# -- losses ----------------------------------------------------------------------------------------

for how in ("mean", "sum", "none"):
    row("nn.functional.mse_loss", [(4, 3), (4, 3)], reduction=how, node=OURS)
    row("nn.functional.cross_entropy", [(4, 3), ints((4,), 0, 3)], reduction=how, node=OURS)
    row("nn.functional.nll_loss", [(4, 3), ints((4,), 0, 3)], reduction=how, node=OURS)
row("nn.functional.mse_loss", [(4, 3), (4, 3), const((4, 3), "positive")], node=OURS,
    call=lambda T, x, y, w: T.nn.functional.mse_loss(x, y, weight=w))  # fmt: skip
CE = "nn.functional.cross_entropy"
row(CE, [(4, 3), ints((4,), 0, 3)], dtypes=HALF)
row(CE, [(4, 3), ints((4,), 0, 3)], ignore_index=1)
row(CE, [(4, 3), ints((4,), 0, 3)], ignore_index=1, reduction="sum")
row(CE, [(4, 3), ints((4,), 0, 3)], label_smoothing=0.2, node=OURS)
row(CE, [(4, 3), ints((4,), 0, 3), const((3,), "positive")], node=OURS,
    call=lambda T, x, y, w: T.nn.functional.cross_entropy(x, y, w))  # fmt: skip
row(CE, [(4, 3), ints((4,), 0, 3), const((3,), "positive")], node=OURS, call=lambda T, x, y, w:
    T.nn.functional.cross_entropy(x, y, w, ignore_index=2, label_smoothing=0.1))  # fmt: skip
row(CE, [(4, 3), ints((4,), 0, 3), const((3,), "positive")], node=OURS, call=lambda T, x, y, w:
    T.nn.functional.cross_entropy(x, y, w, label_smoothing=0.1, reduction="sum"))  # fmt: skip
row(CE, [(4, 3), ints((4,), 0, 3)], label_smoothing=0.2, reduction="none", node=OURS)
row(CE, [(3,), ints((), 0, 3)], node=OURS)
row(CE, [(2, 3, 4), ints((2, 4), 0, 3)], node=OURS)
row(CE, [(2, 3, 4, 5), ints((2, 4, 5), 0, 3)], node=OURS)
row(CE, [(2, 3, 4), ints((2, 4), 0, 3)], ignore_index=0, reduction="none", node=OURS)
row(CE, [(4, 3), (4, 3)], domain="unit", node=OURS)
row(CE, [(4, 3), (4, 3)], domain="unit", label_smoothing=0.2, reduction="sum", node=OURS)
row(CE, [(3,), (3,)], domain="unit", node=OURS)
row(CE, [(4, 3), (4, 3), const((3,), "positive")], domain="unit", node=OURS, call=lambda T, x, y, w:
    T.nn.functional.cross_entropy(x, y, w))  # fmt: skip
row(CE, [(4, 3)], call=lambda T, x: T.nn.functional.cross_entropy(
    x * 1e3, T.tensor([0, 2, 1, 1]).to(x.device)), numeric=False)  # fmt: skip
NLL = "nn.functional.nll_loss"
row(NLL, [(4, 3), ints((4,), 0, 3)], ignore_index=1, node=OURS)
row(NLL, [(4, 3), ints((4,), 0, 3), const((3,), "positive")], node=OURS,
    call=lambda T, x, y, w: T.nn.functional.nll_loss(x, y, w))  # fmt: skip
row(NLL, [(2, 3, 4), ints((2, 4), 0, 3)], node=OURS)
row(NLL, [(3,), ints((), 0, 3)], node=OURS)

# -- facts and values ------------------------------------------------------------------------------

row("Tensor.size", [(2, 3)], call=lambda _, x: (tuple(x.size()), x.size(-1)), grad=False)
rows("Tensor.dim Tensor.ndimension Tensor.nelement Tensor.numel Tensor.element_size "
     "Tensor.is_floating_point Tensor.is_complex Tensor.is_inference Tensor.__len__",
     [(2, 3)], grad=False, dtypes=ALL_DTYPES)  # fmt: skip
row("Tensor.is_contiguous", [(2, 3)], grad=False, layouts=False)
row("Tensor.is_contiguous", [(2, 3)], call=lambda _, x: x.t().is_contiguous(), grad=False,
    layouts=False)  # fmt: skip
row("Tensor.stride", [(2, 3, 4)], call=lambda _, x: (tuple(x.stride()), x.stride(1)), grad=False,
    layouts=False)  # fmt: skip
row("Tensor.item", [(1, 1)], grad=False, dtypes=ALL_DTYPES)
row("Tensor.tolist", [(2, 3)], grad=False, dtypes=ALL_DTYPES)
row("Tensor.tolist", [()], grad=False)
row("Tensor.numpy", [(2, 3)], call=lambda _, x: x.numpy(force=True).tolist(), grad=False)
row("Tensor.__array__", [(2, 3)], call=lambda _, x: x.cpu().__array__().tolist(), grad=False)
rows("Tensor.__float__ Tensor.__int__ Tensor.__bool__ Tensor.__complex__", [(1,)], grad=False)
row("Tensor.__index__", [ints((1,), 0, 9)], grad=False)
row("Tensor.__contains__", [(6,)], call=lambda _, x: (1.0 in x, 9 in x), domain="ties", grad=False)
row("Tensor.type", [(2,)], call=lambda _, x: x.cpu().type()[-6:], grad=False,
    parity="PyTorch prints 'torch.FloatTensor'")  # fmt: skip
row("Tensor.__copy__", [(2, 3)], call=lambda _, x: copy.copy(x), grad=False)
row("Tensor.__deepcopy__", [(2, 3)], call=lambda _, x: copy.deepcopy(x), grad=False)

# -- made like another -----------------------------------------------------------------------------

rows("zeros_like ones_like", [(2, 3)], grad=False, dtypes=ALL_DTYPES)
row("full_like", [(2, 3)], 2, grad=False, dtypes=NUMBERS)
row("empty_like", [(2, 3)], call=lambda T, x: T.empty_like(x).shape.numel(), grad=False)
rows("rand_like randn_like", [(2, 3)], grad=False, parity="PyTorch draws other numbers",
     call=lambda T, x: (T.manual_seed(1), T.rand_like(x), T.randn_like(x))[1:])  # fmt: skip
row("bernoulli", [(50,)], call=lambda T, x: (T.manual_seed(1), T.bernoulli(x))[1], domain="unit",
    grad=False, parity="PyTorch draws other numbers")  # fmt: skip
row("Tensor.new_tensor", [(2, 3)], call=lambda _, x: x.new_tensor([1, 2]), grad=False)
row("Tensor.new_zeros", [(2, 3)], call=lambda _, x: (x.new_zeros(2, 3), x.new_zeros((4,))),
    grad=False)  # fmt: skip
row("Tensor.new_ones", [(2, 3)], call=lambda _, x: x.new_ones(2, 3), grad=False)
row("Tensor.new_full", [(2, 3)], call=lambda _, x: x.new_full((2, 3), 7), grad=False)
row("Tensor.new_empty", [(2, 3)], call=lambda _, x: x.new_empty(2, 3).shape.numel(), grad=False)

# -- the other tables ------------------------------------------------------------------------------

CASES.extend(ACTIVATIONS)

# -- what few models need --------------------------------------------------------------------------

CASES.include(cases_more.ROWS)

# -- places, sizes and norms: in a file of their own -----------------------------------------------

add_space(CASES)
