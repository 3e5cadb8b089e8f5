"""Operators on every pair of dtypes and ranks, functions on every dtype: as in PyTorch."""

from __future__ import annotations

import itertools
import operator

import pytest
from agreement import outcome
from case_kinds import same, tensors_of

import lucidlite

torch = pytest.importorskip("torch", reason="compares with PyTorch")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

DTYPES = [
    "float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool",
]  # fmt: skip
# A tensor with dims, one without, or a Python number.
OPERANDS = [
    *itertools.product(DTYPES, ["vector", "zero-dim"]), ("bool", "number"), ("int64", "number"),
    ("float32", "number"),
]  # fmt: skip
NUMBERS = {"bool": True, "int64": 2, "float32": 1.5}


def operand(T, dtype, rank, shift):
    if rank == "number":
        return NUMBERS[dtype]
    values = [1 + shift, 3 - shift, 2] if rank == "vector" else 2 - shift
    return T.tensor(values, dtype=getattr(T, dtype))


BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "eq": operator.eq,
    "lt": operator.lt,
    "and": operator.and_,
    "maximum": lambda x, y: type(x).maximum(x, y),
    "add_": operator.iadd,
    "mul_": operator.imul,
    "div_": operator.itruediv,
}


def differences(call, things):
    """How lucidlite and PyTorch differ on each of ``things``."""
    found = []
    for thing in things:
        expected = outcome(torch, lambda T, thing=thing: call(T, thing))
        got = outcome(lucidlite, lambda T, thing=thing: call(T, thing))
        if isinstance(expected, Exception) or isinstance(got, Exception):
            if not (isinstance(expected, Exception) and isinstance(got, Exception)):
                found.append(f"{thing}: here {got!r}, in PyTorch {expected!r}")
            continue
        dtypes = {str(t.dtype) for t in tensors_of(expected)}
        try:
            same(got, expected, "float16" if "torch.float16" in dtypes else "float32", 1)
        except AssertionError:
            found.append(f"{thing}: here {got!r}, in PyTorch {expected!r}")
    return found


def report(found):
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:20])


@pytest.mark.parametrize("function", BINARY.values(), ids=BINARY.keys())
def test_two_operands(function):
    pairs = [
        (a, b)
        for a, b in itertools.product(OPERANDS, OPERANDS)
        if a[1] != "number" or (b[1] != "number" and function is not BINARY["maximum"])
    ]

    def call(T, pair):
        return function(operand(T, *pair[0], 0), operand(T, *pair[1], 1))

    report(differences(call, pairs))


def test_where():
    def call(T, pair):
        mask = T.tensor([True, False, True])
        return T.where(mask, operand(T, *pair[0], 0), operand(T, *pair[1], 1))

    report(differences(call, itertools.product(OPERANDS, OPERANDS)))


@pytest.mark.parametrize("name", ["cat", "stack"])
def test_joined(name):
    def call(T, pair):
        return getattr(T, name)([operand(T, d, "vector", i) for i, d in enumerate(pair)])

    report(differences(call, itertools.product(DTYPES, DTYPES)))


def test_result_type():
    def call(T, pair):
        return repr(T.result_type(operand(T, *pair[0], 0), operand(T, *pair[1], 1)))

    report(differences(call, itertools.product(OPERANDS, OPERANDS)))


def test_promote_types():
    def call(T, pair):
        return repr(T.promote_types(getattr(T, pair[0]), getattr(T, pair[1])))

    report(differences(call, itertools.product(DTYPES, DTYPES)))


UNARY = """
abs neg sign square sqrt rsqrt reciprocal floor ceil trunc round exp expm1 log log2 log10 log1p sin
cos relu sigmoid tanh erf clone sum mean prod var std amax amin max min argmax argmin any all norm
isnan isfinite logical_not bitwise_not argsort
""".split()  # noqa: SIM905
ALONG = """
sum mean prod var std amax amin max min argmax argmin any all cumsum logsumexp softmax log_softmax
sort topk
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    def call(T, thing):
        return getattr(T, name)(operand(T, *thing, 0))

    report(differences(call, OPERANDS[: 2 * len(DTYPES)]))


@pytest.mark.parametrize("name", ALONG)
def test_along_a_dim(name):
    def call(T, thing):
        x = operand(T, *thing, 0)
        return getattr(T, name)(x, 1) if name == "topk" else getattr(T, name)(x, dim=0)

    known = len(DTYPES) - (name == "topk")  # bools have an order here
    report(differences(call, OPERANDS[: 2 * known]))


CONVERSIONS = {
    "fill_": lambda x, y: x.fill_(y),
    "copy_": lambda x, y: x.copy_(y),
    "setitem": lambda x, y: (operator.setitem(x, 0, y), x)[1],
    "masked_fill": lambda x, y: x.masked_fill(x > 1, y),
    "clamp": lambda x, y: x.clamp(min=y),
    "to": lambda x, y: x.to(y),
}


WITH_NUMBERS = {"fill_", "setitem", "masked_fill", "clamp"}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_values_brought_into_a_dtype(name):
    pairs = [
        (a, b)
        for a, b in itertools.product(OPERANDS, OPERANDS)
        if a[1] == "vector" and (b[1] == "zero-dim" or (b[1] == "number" and name in WITH_NUMBERS))
    ]

    def call(T, pair):
        return CONVERSIONS[name](operand(T, *pair[0], 0), operand(T, *pair[1], 1))

    report(differences(call, pairs))
