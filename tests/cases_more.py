"""More rows for the table in cases.py: functions that few models need, or made of others."""

from __future__ import annotations

import operator

from case_kinds import ALL_DTYPES, FLOATS, HALF, NUMBERS, Input, Table, bools, const, ints

INTEGERS = ("int64", "int32", "uint8")
COMPOSITE = "PyTorch composes this of other operations"
OURS = "one node here, or a composite of other operations than PyTorch's"
FLAT = "the gradient is zero, whatever comes in"
NO_MEMORY = "PyTorch's zero has no memory to look at"

ROWS = Table()
row, rows = ROWS.row, ROWS.rows


def doubled(name, *args, **named):
    """A call of an in-place method on a tensor that isn't a leaf."""
    return lambda _, x, *others: getattr(x * 2, name)(*others, *args, **named)


def copied(name, *args):
    """A call of an in-place method on a copy outside the graph."""
    return lambda _, x, *others: getattr(x.detach().clone(), name)(*others, *args)


def method(name, *args, **named):
    return lambda _, x, *others: getattr(x, name)(*others, *args, **named)


# -- one operand -----------------------------------------------------------------------------------

CURVES = "tan asin acos atan sinh cosh asinh atanh exp2 erfc erfinv sinc deg2rad rad2deg"
rows(CURVES, [(2, 3)], domain="small", dtypes=HALF, tol=4)
rows(CURVES, [(12,)], domain="extreme", grad=False, tol=8)
rows(CURVES, [(5,)], dtypes=("int64", "bool"), domain="ties", grad=False)
rows("tan atan sinh cosh asinh exp2 erfc sinc", [(2, 3)], tol=4)
rows("erfc atan sinc erfinv", [()], domain="small")
rows("asin erfc", [(2, 3, 4, 5)], domain="small")
rows("tan sinh", [(0, 3)])
row("acosh", [(2, 3)], call=lambda T, x: T.acosh(x + 1), domain="positive", dtypes=HALF, tol=8)
row("Tensor.acosh", [(2, 3)], call=lambda _, x: (x + 1).acosh(), domain="positive")
rows("arcsin arccos arctan arcsinh arctanh", [(4,)], domain="small")
row("Tensor.arccosh", [(4,)], call=lambda _, x: (x + 1).arccosh(), domain="positive")
row("logit", [(6,)], domain="unit", dtypes=HALF, tol=4)
row("logit", [(6,)], 0.3, domain="unit")
row("logit", [(6,)], eps=0.3, domain="unit")
row("logit", [(4,)], dtypes=("int64",), grad=False)
row("frac", [(6,)], domain="between", dtypes=HALF)
row("nan_to_num", [(12,)], domain="extreme", numeric=False, dtypes=HALF)
row("nan_to_num", [(12,)], 1.0, 2.0, -3.0, domain="extreme", numeric=False)
row("nan_to_num", [(4,)], dtypes=("int64", "bool"), grad=False)
row("nan_to_num", [(2, 3)])
row("sgn", [(6,)], domain="away", second=FLAT, torch_grad=NO_MEMORY)
rows("negative positive", [(4,)], call=lambda T, x: T.negative(x) * T.positive(x))
row("Tensor.positive", [(4,)], call=lambda _, x: x.positive() * 1)
row("fix", [(6,)], domain="between", second=FLAT)

# -- two operands ----------------------------------------------------------------------------------

rows("atan2 arctan2", [(2, 3), (3,)], domain="away", dtypes=HALF, tol=2)
row("atan2", [(4,), (4,)], dtypes=("int64", "uint8"), grad=False)
row("atan2", [(6,), (6,)], domain="zeros", numeric=False)
row("hypot", [(2, 3), (3,)], domain="away", dtypes=HALF)
rows("fmax fmin", [(2, 3), (3,)], domain="distinct", dtypes=NUMBERS)
rows("fmax fmin", [(8,), (8,)], domain="ties", numeric=False)
rows("fmax fmin logaddexp hypot", [(12,), (12,)], domain="extreme", grad=False)
rows("logaddexp logaddexp2", [(2, 3), (3,)], dtypes=HALF)
row("xlogy", [(2, 3), (3,)], domain="positive", dtypes=HALF)
row("xlogy", [(12,), const((12,))], domain="extreme", grad=False)
row("xlogy", [(6,)], 2.0)
row("xlogy", [(4,), (4,)], domain="positive", dtypes=("int64",), grad=False)
row("fmod", [(6,), (6,)], domain="away", dtypes=(*FLOATS, *INTEGERS))
row("fmod", [(2, 3)], 0.7, domain="away")
row("copysign", [(2, 3), (3,)], domain="away", dtypes=HALF)
row("copysign", [(2, 3)], -2.0, domain="away")
row("heaviside", [(6,), ()], domain="ties", dtypes=(*FLOATS, "int64"), grad=False)
row("ldexp", [(2, 3), (3,)])
row("float_power", [(2, 3), (3,)], domain="positive", dtypes=("float64",), node=OURS)
row("float_power", [(2, 3)], 2, dtypes=("float32", "int64"), grad=False)
rows("addcmul addcdiv", [(2, 3), (3,), (2, 1)], domain="away", dtypes=HALF)
rows("addcmul addcdiv", [(2, 3), (3,), (2, 1)], value=2.5, domain="away")
row("addcmul", [(4,), (4,), (4,)], value=2, dtypes=INTEGERS, grad=False)
rows("clamp_min clamp_max", [(6,)], 0.2, domain="distinct")
rows("clamp_min clamp_max", [(6,), (6,)], domain="distinct")
rows("Tensor.subtract Tensor.divide Tensor.true_divide", [(2, 3), (3,)], domain="away")
row("Tensor.divide", [(2, 3), (3,)], call=method("divide", rounding_mode="floor"), domain="away",
    numeric=False)  # fmt: skip
rows("greater greater_equal less less_equal not_equal", [(6,), (6,)], domain="ties", grad=False)
rows("isposinf isneginf signbit", [(12,)], domain="extreme", grad=False, dtypes=HALF)
rows("isposinf isneginf signbit", [(4,)], dtypes=("int64", "bool"), grad=False)
rows("bitwise_left_shift bitwise_right_shift", [(6,), ints((6,), 0, 4)], dtypes=("int64",),
     grad=False)  # fmt: skip
for name in ("lshift", "rshift"):
    function = getattr(operator, name)
    row(f"Tensor.__{name}__", [(6,)], call=lambda _, x, f=function: f(x, 2), dtypes=("int64",),
        grad=False)  # fmt: skip
    row(f"Tensor.__i{name}__", [(6,), ints((6,), 0, 4)], call=copied(f"__i{name}__"),
        dtypes=("int64",), grad=False)  # fmt: skip
rows("is_floating_point is_complex is_signed isreal", [(2,)], dtypes=ALL_DTYPES, grad=False)
row("is_inference", [(2,)], grad=False)
row("is_same_size", [(2, 3), (2, 3)], grad=False)
row("is_same_size", [(2, 3), (3, 2)], grad=False)
row("rsub", [(2, 3), (3,)], node=OURS)
row("rsub", [(2, 3)], 2.0, alpha=3)
row("fill", [(2, 3)], 1.5, node=OURS, second=FLAT)
row("fill", [(2, 3), ()], node=OURS)
row("add", [(2, 3, 4, 5), (2, 2, 3, 4, 5)])

# -- running values --------------------------------------------------------------------------------

row("cumprod", [(3, 4)], 1, domain="away", dtypes=(*HALF, "int64", "int32", "bool"))
row("cumprod", [(3, 4)], dim=0, domain="zeros", numeric=False)
row("cumprod", [(6,)], 0, domain="zeros", numeric=False)
row("cumprod", [()], 0)
row("cumprod", [(0, 3)], 0)
rows("cummax cummin", [(3, 4)], 1, domain="distinct", dtypes=(*HALF, "int64"))
rows("cummax cummin", [(3, 9)], dim=-1, domain="ties", numeric=False)
rows("cummax cummin", [(13,)], 0, domain="extreme", grad=False)
rows("cummax cummin logcumsumexp", [()], 0)
row("logcumsumexp", [(3, 5)], 1, dtypes=HALF, tol=2)
row("logcumsumexp", [(5, 2)], dim=0)
row("logcumsumexp", [(7,)], 0, call=lambda T, x: T.logcumsumexp(x * 100, 0), numeric=False,
    tol=20)  # fmt: skip
row("diff", [(4, 5)])
row("diff", [(4, 5)], 2, 0)
row("diff", [(4, 5), (4, 1), (4, 2)], call=lambda T, x, a, b: T.diff(x, prepend=a, append=b))
row("diff", [bools(6)], grad=False)
row("diff", [(4,)], n=0)

# -- order, counts ---------------------------------------------------------------------------------

rows("median nanmedian", [(3, 5)], domain="distinct", dtypes=(*HALF, "int64"))
rows("median nanmedian", [(3, 4)], 1, domain="distinct", dtypes=(*FLOATS, "int32"))
rows("median nanmedian", [(4, 3, 2)], dim=0, keepdim=True, domain="distinct")
rows("median nanmedian", [(3, 4)], domain="ties", numeric=False)
rows("median nanmedian", [(12,)], domain="extreme", grad=False)
rows("median nanmedian", [(3, 4)], 0, domain="extreme", grad=False)
rows("median nanmedian", [()])
rows("median nanmedian", [()], 0)
rows("median nanmedian", [(0,)], grad=False)
row("kthvalue", [(3, 5)], 2, domain="distinct", dtypes=(*FLOATS, "int64"))
row("kthvalue", [(3, 5)], 3, dim=0, keepdim=True, domain="distinct")
row("mode", [(3, 8)], domain="ties", dtypes=(*FLOATS, "int64"), numeric=False)
row("mode", [(8, 3)], 0, True, domain="ties", numeric=False)
row("mode", [(3, 4)], domain="distinct")
row("quantile", [(3, 4)], 0.3, domain="distinct", node=OURS)
row("quantile", [(3, 4)], 0.6, 1, True, domain="distinct", node=OURS)
row("quantile", [(3, 4)], call=lambda T, x: T.quantile(
    x, T.tensor([0.2, 0.9], dtype=x.dtype).to(x.device), dim=0), domain="distinct",
    node=OURS)  # fmt: skip
for how in ("lower", "higher", "nearest", "midpoint"):
    row("quantile", [(3, 6)], 0.3, dim=-1, interpolation=how, domain="distinct", node=OURS)
row("msort", [(4, 3)], domain="distinct", node=OURS)
row("aminmax", [(3, 4)], domain="distinct", node=OURS)
row("aminmax", [(3, 4)], dim=1, keepdim=True, domain="distinct", node=OURS)
for name in ("unique", "unique_consecutive"):
    row(name, [(3, 5)], domain="ties", dtypes=ALL_DTYPES, grad=False)
    row(name, [(3, 5)], return_inverse=True, domain="ties", grad=False)
    row(name, [(3, 5)], return_counts=True, domain="ties", grad=False)
    row(name, [(12,)], return_inverse=True, return_counts=True, domain="extreme", grad=False)
    row(name, [bools(5, 2)], dim=0, return_inverse=True, return_counts=True, grad=False)
    row(name, [bools(2, 6)], dim=-1, return_inverse=True, grad=False)
    row(name, [(0,)], grad=False)
    row(name, [()], grad=False)
row("count_nonzero", [(3, 4)], domain="zeros", dtypes=ALL_DTYPES, grad=False)
row("count_nonzero", [(3, 4)], 1, domain="zeros", grad=False)
row("count_nonzero", [(3, 4)], dim=(0, 1), domain="zeros", grad=False)
row("bincount", [ints((9,), 0, 5)], grad=False)
row("bincount", [ints((9,), 0, 5), const((9,))], minlength=8, grad=False)
row("bincount", [ints((0,), 0, 5)], minlength=2, grad=False)
row("histc", [(40,)], 5, grad=False)
row("histc", [(40,)], bins=4, min=-1, max=1, grad=False)
row("histc", [(6,)], 3, 2, 2, grad=False)
for right in (False, True):
    row("searchsorted", [(6,), (2, 3)], domain="ties", grad=False, dtypes=(*FLOATS, "int64"),
        call=lambda T, s, x, r=right: T.searchsorted(s.sort().values, x, right=r))  # fmt: skip
    row("searchsorted", [(2, 6), (2, 3)], domain="ties", grad=False,
        call=lambda T, s, x, r=right: T.searchsorted(s.sort().values, x, right=r))  # fmt: skip
    row("bucketize", [(2, 3), (4,)], domain="ties", grad=False,
        call=lambda T, x, s, r=right: T.bucketize(x, s.sort().values, right=r))  # fmt: skip
row("searchsorted", [(6,), (3,)], grad=False, call=lambda T, s, x: T.searchsorted(
    s, x, sorter=s.argsort(), side="right", out_int32=True))  # fmt: skip
row("isin", [(3, 4), (5,)], domain="ties", dtypes=(*FLOATS, "int64"), grad=False)
row("isin", [(6,), (3,)], invert=True, domain="ties", grad=False)
row("isin", [(6,)], 1, domain="ties", grad=False)

# -- reductions ------------------------------------------------------------------------------------

rows("nansum nanmean", [(3, 4)])
rows("nansum nanmean", [(3, 4)], 1, True)
rows("nansum nanmean", [(12,)], call=lambda T, x: (T.nansum(x), T.nanmean(x)), domain="nans",
     numeric=False)  # fmt: skip
row("nansum", [(3, 4)], dim=0, dtypes=("int64", "bool"), grad=False)
rows("var_mean std_mean", [(3, 4)], node=OURS)
rows("var_mean std_mean", [(3, 4)], dim=1, correction=0, keepdim=True, node=OURS)
row("dist", [(3, 2), (2,)], 3, domain="away", node=OURS)
row("renorm", [(3, 4)], 2, 0, 1.0, node=OURS)
row("Tensor.renorm_", [(3, 4, 2)], call=doubled("renorm_", 3, 1, 1.0), domain="away", node=OURS)
row("cdist", [(3, 4), (5, 4)], node=OURS)
row("cdist", [(2, 3, 4), (2, 1, 4)], p=1.0, node=OURS)
row("cdist", [(26, 2), (2, 2)], node=OURS)
row("cdist", [(2, 1, 3, 2), (26, 2)], node=OURS)
row("cdist", [(3, 4), (5, 4)], compute_mode="use_mm_for_euclid_dist", node=OURS)
row("cdist", [(26, 2), (2, 2)], compute_mode="donot_use_mm_for_euclid_dist", node=OURS)
row("trace", [(3, 4)], dtypes=(*FLOATS, "int64"))
rows("linalg.norm linalg.vector_norm", [(3, 4)])
rows("linalg.norm linalg.vector_norm", [(2, 3, 4)], dim=1, keepdim=True)
row("linalg.vector_norm", [(3, 4)], 3, dim=0, domain="away")
row("linalg.vector_norm", [(2, 3, 4)], 1.0, (0, 2))
row("linalg.norm", [(3, 4)], "fro")
row("linalg.norm", [(5,)], 3, domain="away")
for order in (1, -1, float("inf"), -float("inf")):
    row("linalg.matrix_norm", [(2, 3, 4)], order, domain="distinct")
    row("linalg.norm", [(3, 4)], order, domain="distinct")
row("linalg.matrix_norm", [(2, 3, 4)], "fro", (0, 1), True, dtypes=HALF)

# -- products --------------------------------------------------------------------------------------

SIZES = {"i": 3, "j": 4, "k": 2, "b": 2, "l": 3}
for equation in (
    "ij,jk->ik", "ij,jk", "ii->i", "ii", "ji", "i,j->ij", "bij,bjk->bik", "...ij,...jk->...ik",
    "ij->", "ij,ij->ij", "ij,ij->", "i,ij,j->", "ij,kj,lj->ikl", "i...->...", "bij,bkj->bik",
    "iij->j", "ij,j->i",
):  # fmt: skip
    parts = equation.split("->")[0].split(",")
    shapes = [tuple(SIZES.get(c, 2) for c in part.replace("...", "b")) for part in parts]
    row("einsum", shapes, call=lambda T, *x, e=equation: T.einsum(e, *x), node=OURS,
        dtypes=HALF if "jk" in equation else FLOATS)  # fmt: skip
row("einsum", [(2, 3), (3, 4)], call=lambda T, x, y: T.einsum(x, [0, 1], y, [1, 2], [2, 0]),
    node=OURS)  # fmt: skip
row("einsum", [(2, 3, 4), (4,)], call=lambda T, x, y: T.einsum(x, [..., 5], y, [5]), node=OURS)
row("einsum", [(2, 1, 3), (1, 4, 3)], call=lambda T, *x: T.einsum("abc,abc->ab", *x), node=OURS)
row("einsum", [(2, 3), (3, 2)], call=lambda T, *x: T.einsum("ij,jk->ik", list(x)),
    dtypes=("int64",), grad=False)  # fmt: skip
row("tensordot", [(2, 3, 4), (3, 4, 2)], node=OURS)
row("tensordot", [(2, 3), (3, 4)], 1, node=OURS, dtypes=HALF)
row("tensordot", [(2, 3), (4,)], 0, node=OURS)
row("tensordot", [(2, 3, 4), (4, 5, 2)], dims=([0, 2], [2, 0]), node=OURS)
row("baddbmm", [(5, 2, 4), (5, 2, 3), (5, 3, 4)], dtypes=HALF)
row("baddbmm", [(4,), (5, 2, 3), (5, 3, 4)], beta=0.5, alpha=2.0)
row("baddbmm", [(2, 4), (5, 2, 3), (5, 3, 4)], beta=0)
row("addmv", [(2,), (2, 3), (3,)], beta=0.5, alpha=2.0)
row("addr", [(2, 3), (2,), (3,)], beta=0.5, alpha=2.0)
row("addbmm", [(2, 4), (5, 2, 3), (5, 3, 4)], beta=0.5, alpha=2.0)
row("inner", [(2, 3), (4, 3)], node=OURS)
row("inner", [(3,), (3,)], node=OURS)
rows("vdot", [(3,), (3,)], node=OURS)
row("ger", [(2,), (3,)])
row("kron", [(2, 3), (3, 2)], node=OURS)
row("kron", [(2,), (3, 2, 2)], node=OURS)
row("cross", [(2, 3), (2, 3)], node=OURS)
row("cross", [(3, 2), (3, 2)], dim=0, node=OURS)
row("chain_matmul", [(2, 3), (3, 4), (4, 5), (5, 2)], node=OURS)
row("matrix_power", [(3, 3)], 3, node=OURS)
row("matrix_power", [(2, 3, 3)], 0, grad=False)

# -- shapes ----------------------------------------------------------------------------------------

for name in ("tril", "triu"):
    row(name, [(3, 4)], dtypes=(*HALF, "int64", "bool"))
    row(name, [(2, 4, 3)], 1)
    row(name, [(3, 4)], diagonal=-1)
    row(f"Tensor.{name}_", [(3, 4)], call=doubled(f"{name}_", 1))
for offset in (0, 1, -2, 5):
    row("diagonal", [(3, 4)], offset, layouts=offset != 5)
    row("diag", [(3, 4)], offset)
row("diagonal", [(2, 3, 4)], 1, -1, 0)
row("diagonal", [(2, 3, 4)], offset=-1, dim1=0, dim2=2, call=lambda T, x:
    T.diagonal(x, -1, 0, 2) * 2)  # fmt: skip
row("diag", [(3,)], -1, dtypes=(*FLOATS, "int64"))
row("diag_embed", [(2, 3)])
row("diag_embed", [(2, 3)], 1, 0, 2)
row("diagflat", [(2, 2)], 1)
row("linalg.diagonal", [(2, 3, 4)], offset=1)
row("block_diag", [(2, 3), (3,), (), (1, 2)])
row("repeat_interleave", [(3, 2)], 2, node=OURS)
row("repeat_interleave", [(3, 2)], 2, 1, node=OURS)
row("repeat_interleave", [(3, 2), ints((3,), 0, 4)], dim=0, node=OURS)
row("repeat_interleave", [ints((4,), 0, 4)], grad=False)
for name in ("hstack", "vstack", "dstack", "column_stack", "row_stack"):
    for shapes in ([(3,), (3,)], [(3, 2), (3, 2)], [(2, 3, 2), (2, 3, 2)], [(), ()]):
        row(name, shapes, call=lambda T, *x, n=name: getattr(T, n)(x))
for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    row(name, [(), (3,), (2, 3)], call=lambda T, *x, n=name: [t * 1 for t in getattr(T, n)(*x)])
    row(name, [()])
row("broadcast_tensors", [(3, 1), (2,)])
for how in ("ij", "xy"):
    row("meshgrid", [(3,), (2,), ()], indexing=how)
row("cartesian_prod", [(3,), (2,)])
row("combinations", [(4,)], 2, node=OURS)
row("combinations", [(3,)], r=2, with_replacement=True, node=OURS)
rows("fliplr flipud", [(2, 3)])
for k in range(4):
    row("rot90", [(2, 3, 4)], k, (0, 2), node=OURS)
row("tensor_split", [(7, 2)], 3)
row("tensor_split", [(2, 7)], (2, 5), dim=1)
rows("hsplit vsplit dsplit", [(4, 4, 4)], 2)
row("hsplit", [(6,)], [1, 4])
row("Tensor.split_with_sizes", [(5, 2)], call=method("split_with_sizes", [2, 3]))
row("ravel", [(2, 3)])
rows("moveaxis swapdims", [(2, 3, 4)], 0, 2)
rows("adjoint Tensor.adjoint", [(2, 3, 4)])
row("Tensor.H", [(2, 3)], call=lambda _, x: x.H)
row("Tensor.mH", [(2, 3, 4)], call=lambda _, x: x.mH)
row("Tensor.sum_to_size", [(2, 3)], call=method("sum_to_size", 1, 3), node=OURS)
row("Tensor.unfold", [(2, 7, 3)], call=method("unfold", 1, 3, 2))
row("Tensor.unfold", [(7,)], call=method("unfold", 0, 3, 1))
row("as_strided", [(12,)], (2, 3, 2), (4, 1, 2), 1, layouts=False)
row("as_strided", [(3, 4)], (2, 2), (1, 2), layouts=False)
row("numel", [(2, 3)], grad=False)
row("detach", [(2, 3)], grad=False)

# -- indexing --------------------------------------------------------------------------------------

PLACES = Input((2, 3), dtype="int64", low=0, high=3, constant=True)
APART = Input((3,), "distinct", "int64", constant=True)  # no two alike


def distinct_places(i, n):
    """Indices below ``n``, no two alike."""
    return i.argsort() % n


row("scatter", [(4, 5), APART], call=lambda T, x, i: T.scatter(
    x, 1, distinct_places(i, 5)[None], 1.5))  # fmt: skip
row("scatter", [(4, 5), APART, (2, 3)], dtypes=HALF, call=lambda T, x, i, y: T.scatter(
    x, 1, distinct_places(i, 5)[None].expand(2, 3), y))  # fmt: skip
row("Tensor.scatter", [(4, 5), APART, (1, 3)], call=lambda _, x, i, y: x.scatter(
    -1, distinct_places(i, 5)[None], src=y))  # fmt: skip
for how in ("add", "multiply"):
    row("scatter", [(3, 4), PLACES, (2, 3)], grad=False, dtypes=(*FLOATS, "int64"),
        call=lambda T, x, i, y, r=how: T.scatter(x, 0, i, y, reduce=r))  # fmt: skip
for how in ("sum", "prod", "mean", "amax", "amin"):
    for include in (True, False):
        row("scatter_reduce", [(3, 4), PLACES, (2, 3)], domain="distinct",
            dtypes=(*HALF, "int64"), call=lambda T, x, i, y, r=how, s=include:
            T.scatter_reduce(x, 0, i, y, r, include_self=s))  # fmt: skip
    row("Tensor.scatter_reduce", [(3, 4), Input((3, 6), dtype="int64", low=0, high=4,
        constant=True), (3, 6)], domain="ties", numeric=False, call=lambda _, x, i, y, r=how:
        x.scatter_reduce(1, i, y, r))  # fmt: skip
row("index_add", [(4, 5), ints((3,), 0, 4), (3, 5)], dtypes=HALF,
    call=lambda T, x, i, y: T.index_add(x, 0, i, y))  # fmt: skip
row("Tensor.index_add", [(4, 5), ints((2,), 0, 5), (4, 2)],
    call=lambda _, x, i, y: x.index_add(-1, i, y, alpha=2.5))  # fmt: skip
row("index_copy", [(4, 5), APART, (3, 5)],
    call=lambda T, x, i, y: T.index_copy(x, 0, distinct_places(i, 4), y))  # fmt: skip
row("Tensor.index_copy", [(4, 5), APART, (4, 3)],
    call=lambda _, x, i, y: x.index_copy(1, distinct_places(i, 5), y))  # fmt: skip
row("index_fill", [(4, 5), APART], dtypes=(*HALF, "int64"),
    call=lambda T, x, i: T.index_fill(x, 0, distinct_places(i, 4), 2))  # fmt: skip
row("Tensor.index_fill", [(4, 5), APART, ()],
    call=lambda _, x, i, y: x.index_fill(1, distinct_places(i, 5), y))  # fmt: skip
row("masked_scatter", [(3, 4), bools(3, 4), (12,)], node=OURS)
row("masked_scatter", [(3, 4), bools(4), (3, 4)], node=OURS)
for add in (False, True):
    row("index_put", [(4, 5), APART, (3, 5)], dtypes=HALF, call=lambda T, x, i, y, a=add:
        T.index_put(x, (distinct_places(i, 4),), y, a))  # fmt: skip
    row("put", [(4, 5), APART, (3,)], call=lambda T, x, i, y, a=add:
        T.put(x, distinct_places(i, 20) - 3, y, a))  # fmt: skip
    row("Tensor.put", [(4, 5), APART, (3,)], call=lambda _, x, i, y, a=add:
        x.put(distinct_places(i, 20), y, a))  # fmt: skip
row("index_put", [(4, 5), ints((3,), 0, 4), (5,)], call=lambda T, x, i, y:
    T.index_put(x, (i,), y, accumulate=True))  # fmt: skip
row("Tensor.index_put", [(4, 5), bools(4, 5), ()], call=lambda _, x, m, y: x.index_put((m,), y))
row("take", [(4, 5), ints((2, 3), -20, 20)])
row("argwhere", [(4, 5)], domain="zeros", grad=False)
row("select_scatter", [(4, 5), (5,)], 0, -1)
row("slice_scatter", [(4, 5), (4, 2)], 1, 0, None, 3)
row("slice_scatter", [(4, 5), (4, 5)])
row("diagonal_scatter", [(4, 5), (4,)], 1)

# -- in place --------------------------------------------------------------------------------------

for name in (
    "sin_", "cos_", "tan_", "expm1_", "exp2_", "atan_", "sinh_", "cosh_", "erf_", "erfc_", "sinc_",
    "deg2rad_", "rad2deg_", "absolute_", "negative_", "arctan_", "nan_to_num_",
):  # fmt: skip
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name), domain="away")
for name in ["log2_", "log10_", "log1p_"]:
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name), domain="positive")
for name in ["asin_", "acos_", "erfinv_", "arcsin_", "arccos_"]:
    row(f"Tensor.{name}", [(2, 3)], call=doubled(name), domain="small")
for name in ["asinh_", "atanh_", "arcsinh_", "arctanh_"]:
    row(f"Tensor.{name}", [(2, 3)], call=copied(name), domain="small", grad=False)
for name in ["acosh_", "arccosh_"]:
    row(f"Tensor.{name}", [(2, 3)], domain="positive", grad=False,
        call=lambda _, x, n=name: getattr(x + 1, n)())  # fmt: skip
row("Tensor.logit_", [(4,)], call=doubled("logit_", 0.1), domain="unit", numeric=False)
rows("Tensor.frac_", [(4,)], call=doubled("frac_"), domain="distinct")
rows("Tensor.fix_", [(4,)], call=doubled("fix_"), domain="distinct", second=FLAT)
rows("Tensor.sgn_", [(4,)], call=doubled("sgn_"), domain="distinct", second=FLAT,
     torch_grad=NO_MEMORY)  # fmt: skip
for name in (
    "atan2_", "arctan2_", "hypot_", "fmod_", "copysign_", "multiply_", "true_divide_", "divide_",
    "subtract_", "ldexp_",
):  # fmt: skip
    row(f"Tensor.{name}", [(2, 3), (3,)], call=doubled(name), domain="away")
row("Tensor.xlogy_", [(2, 3), (3,)], call=doubled("xlogy_"), domain="positive")
for name in (
    "eq_", "ne_", "lt_", "le_", "gt_", "ge_", "greater_", "greater_equal_", "less_", "less_equal_",
    "not_equal_", "logical_and_", "logical_or_", "logical_xor_",
):  # fmt: skip
    row(f"Tensor.{name}", [(6,), (6,)], call=copied(name), domain="ties", grad=False,
        dtypes=("float32", "int64"))  # fmt: skip
row("Tensor.logical_not_", [(6,)], call=copied("logical_not_"), domain="ties", grad=False)
row("Tensor.bitwise_not_", [(6,)], call=copied("bitwise_not_"), dtypes=("int64",), grad=False)
for name in ("bitwise_left_shift_", "bitwise_right_shift_"):
    row(f"Tensor.{name}", [(6,), ints((6,), 0, 4)], call=copied(name), dtypes=("int64",),
        grad=False)  # fmt: skip
row("Tensor.heaviside_", [(6,), (6,)], call=copied("heaviside_"), domain="ties", grad=False)
row("Tensor.float_power_", [(6,)], call=doubled("float_power_", 2), dtypes=("float64",),
    node=OURS)  # fmt: skip
row("Tensor.clip_", [(6,)], call=doubled("clip_", -0.5, 0.5))
row("Tensor.clamp_min_", [(6,)], call=doubled("clamp_min_", 0.1))
row("Tensor.clamp_max_", [(6,)], call=doubled("clamp_max_", 0.1))
for name in ("addcmul_", "addcdiv_"):
    row(f"Tensor.{name}", [(3,), (3,), (3,)], call=doubled(name, value=0.5), domain="away")
row("Tensor.cumsum_", [(3, 4)], call=doubled("cumsum_", 1))
row("Tensor.cumprod_", [(3, 4)], call=doubled("cumprod_", 1), domain="away")
row("Tensor.addmm_", [(2, 4), (2, 3), (3, 4)], call=doubled("addmm_", beta=0.5))
row("Tensor.baddbmm_", [(5, 2, 4), (5, 2, 3), (5, 3, 4)], call=doubled("baddbmm_", alpha=0.5))
row("Tensor.addmv_", [(2,), (2, 3), (3,)], call=doubled("addmv_"))
row("Tensor.addr_", [(2, 3), (2,), (3,)], call=doubled("addr_"))
row("Tensor.addbmm_", [(2, 4), (5, 2, 3), (5, 3, 4)], call=doubled("addbmm_"))
row("Tensor.scatter_", [(4, 5), APART, (2, 3)], call=lambda _, x, i, y: (x * 2).scatter_(
    1, distinct_places(i, 5)[None].expand(2, 3), y))  # fmt: skip
row("Tensor.scatter_", [(4, 5), APART], call=lambda _, x, i: (x * 2).scatter_(
    1, distinct_places(i, 5)[None], value=1.5))  # fmt: skip
row("Tensor.scatter_add_", [(3, 4), PLACES, (2, 3)],
    call=lambda _, x, i, y: (x * 2).scatter_add_(0, i, y))  # fmt: skip
row("Tensor.scatter_reduce_", [(3, 4), PLACES, (2, 3)], domain="distinct",
    call=lambda _, x, i, y: (x * 2).scatter_reduce_(0, i, y, "amax", include_self=False)
    )  # fmt: skip
row("Tensor.index_add_", [(4, 5), ints((3,), 0, 4), (3, 5)],
    call=lambda _, x, i, y: (x * 2).index_add_(0, i, y, alpha=2))  # fmt: skip
row("Tensor.index_copy_", [(4, 5), APART, (3, 5)],
    call=lambda _, x, i, y: (x * 2).index_copy_(0, distinct_places(i, 4), y))  # fmt: skip
row("Tensor.index_fill_", [(4, 5), APART],
    call=lambda _, x, i: (x * 2).index_fill_(0, distinct_places(i, 4), 7))  # fmt: skip
row("Tensor.index_put_", [(4, 5), APART, (3, 5)],
    call=lambda _, x, i, y: (x * 2).index_put_((distinct_places(i, 4),), y))  # fmt: skip
row("Tensor.put_", [(4, 5), APART, (3,)],
    call=lambda _, x, i, y: (x * 2).put_(distinct_places(i, 20), y))  # fmt: skip
row("Tensor.masked_scatter_", [(3, 4), bools(3, 4), (12,)], call=doubled("masked_scatter_"),
    node=OURS)  # fmt: skip
for again in (False, True):
    row("Tensor.fill_diagonal_", [(5, 2)], call=doubled("fill_diagonal_", 7.0, again), node=OURS)

# -- random numbers --------------------------------------------------------------------------------

THEIRS = "PyTorch draws other numbers"
row("multinomial", [(3, 4)], domain="unit", grad=False, parity=THEIRS,
    call=lambda T, x: (T.manual_seed(1), T.multinomial(x, 3), x.multinomial(9, True))[1:]
    )  # fmt: skip
row("randint_like", [(3, 4)], grad=False, dtypes=NUMBERS, parity=THEIRS,
    call=lambda T, x: (T.manual_seed(1), T.randint_like(x, 9), T.randint_like(x, 2, 5))[1:]
    )  # fmt: skip
row("Tensor.multinomial", [(4,)], domain="unit", grad=False, parity=THEIRS,
    call=lambda T, x: (T.manual_seed(1), x.multinomial(2))[1])  # fmt: skip
row("Tensor.bernoulli", [(9,)], domain="unit", grad=False, parity=THEIRS,
    call=lambda T, x: (T.manual_seed(1), x.bernoulli(), x.bernoulli(0.4))[1:])  # fmt: skip
for name, *args in (("normal_", 1, 2), ("uniform_", -1, 2), ("exponential_", 2), ("cauchy_",),
                    ("log_normal_",), ("geometric_", 0.4), ("random_", 7), ("random_",),
                    ("bernoulli_", 0.3), ("bernoulli_",)):  # fmt: skip
    row(f"Tensor.{name}", [(3, 4)], grad=False, parity=THEIRS, dtypes=HALF[:2],
        call=lambda T, x, n=name, a=tuple(args): (T.manual_seed(1), getattr(x.clone(), n)(*a))[1]
        )  # fmt: skip
row("Tensor.normal_", [(3, 4)], second=FLAT, parity=THEIRS,
    call=lambda T, x: (T.manual_seed(1), (x * 2).normal_())[1])  # fmt: skip
