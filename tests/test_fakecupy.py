"""The stand-in for CuPy refuses what CuPy refuses, and all of cases.py runs on it as on the CPU.

On a machine with a GPU the table runs on that, through CuPy itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import fakecupy
import numpy as np
import pytest
from case_kinds import differentiable, same, tensors_of, upstream
from cases import CASES

import lucidlite
from lucidlite.autograd import grad

# -- the stand-in itself ---------------------------------------------------------------------------


def device_array(*shape):
    return fakecupy.asarray(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


NUMPY = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + NUMPY,
        lambda x: NUMPY + x,
        lambda x: fakecupy.add(x, NUMPY),
        lambda _: fakecupy.exp(NUMPY),
        lambda _: fakecupy.exp([1.0, 2.0]),
        lambda _: fakecupy.sum(NUMPY),
        lambda x: fakecupy.concatenate([x, NUMPY]),
        lambda x: fakecupy.where(x > 1, x, NUMPY),
        lambda x: fakecupy.add(x, x, out=NUMPY.copy()),
        lambda x: x.__setitem__(slice(None), NUMPY),
        lambda x: x.__iadd__(NUMPY),
    ],
)
def test_numpy_arrays_are_refused(call):
    with pytest.raises(TypeError, match=r"Unsupported type <class '(numpy\.ndarray|list)'>"):
        call(device_array(3))


def test_conversion_is_refused():
    with pytest.raises(TypeError, match=r"Implicit conversion .* Please use `\.get\(\)`"):
        np.asarray(device_array(3))


@pytest.mark.parametrize("call", [np.exp, np.sum, np.add.reduce, lambda x: np.stack([x, x])])
def test_numpy_functions_are_refused(call):
    with pytest.raises(TypeError, match="use xp"):
        call(device_array(3))


def test_unknown_names_and_keywords_are_refused():
    for name in ("errstate", "nditer", "vecdot", "float128", "testing"):
        assert not hasattr(fakecupy, name)
    for name in ("ctypes", "resize", "setflags", "partition_by"):
        assert not hasattr(device_array(3), name)
    with pytest.raises(TypeError, match="where"):
        fakecupy.sum(device_array(3), where=True)
    with pytest.raises(TypeError, match="initial"):
        fakecupy.max(device_array(3), initial=0)


def test_results_are_in_c_order():
    x = device_array(2, 3, 4).transpose(2, 0, 1)
    assert not x.flags.c_contiguous
    for result in (x + x, fakecupy.exp(x), x.sum(axis=0), fakecupy.where(x > 1, x, 0), x[x > 1],
                   fakecupy.concatenate([x, x])):  # fmt: skip
        assert result.flags.c_contiguous
    assert x.T.strides == x.strides[::-1]
    assert x.astype(np.float64).strides == tuple(2 * s for s in x.strides)


def test_reductions_are_device_arrays():
    total = device_array(2, 3).sum()
    assert isinstance(total, fakecupy.ndarray)
    assert total.shape == ()
    assert float(total) == 15.0
    assert isinstance(device_array(2, 3)[1, 1], fakecupy.ndarray)


def test_dtypes_follow_nep_50():
    x = device_array(3)
    assert (x * 2.0).dtype == np.float32
    assert (2.0 * x).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float64


def test_indices():
    x = device_array(4)
    assert float(x[fakecupy.asarray([5])][0]) == 1.0  # out of range wraps around
    x[1] = 7
    assert x.get().tolist() == [0, 7, 2, 3]
    with pytest.raises(RuntimeError, match="duplicate"):
        x[fakecupy.asarray([1, 1])] = x[:2]
    with pytest.raises(TypeError, match="NumPy"):
        x[np.array([1])]
    fakecupy.add.at(x, fakecupy.asarray([0, 0]), x[:2] * 0 + 1)
    assert x.get().tolist() == [2, 7, 2, 3]
    with pytest.raises(TypeError, match="unsupported dtype"):
        fakecupy.add.at(x.astype(np.int8), fakecupy.asarray([0]), 1)


def test_memory():
    x = device_array(2, 3)
    seen = x.reshape(3, 2)
    seen += 1
    assert float(x.sum()) == 21.0
    assert fakecupy.asarray(x) is x
    assert np.isnan(fakecupy.empty(3).get()).all()
    with pytest.raises(AttributeError, match="incompatible shape"):
        x.T.shape = (6,)


# -- the table on the device -----------------------------------------------------------------------


def on_device(case, dtype, device):
    """The results on a device, their gradients and the gradients of those, as host values."""
    inputs = case.ours(case.arrays(dtype), device)
    result = case.run(lucidlite, inputs)
    for tensor in tensors_of(result):
        assert tensor.device.type == device or "cpu" in case.path
    outputs = differentiable(result)
    if not outputs:
        return result, [], []
    weights = [lucidlite.from_numpy(g).to(t.device).requires_grad_()
               for g, t in zip(upstream(case, outputs), outputs, strict=True)]  # fmt: skip
    wanted = [t for t in inputs if t.requires_grad]
    plain = grad(outputs, wanted, weights, retain_graph=True, allow_unused=True)
    first = grad(outputs, wanted, weights, create_graph=True, allow_unused=True)
    assert all(g is None or g.device == t.device for g, t in zip(plain, wanted, strict=True))
    taped = [g for g in first if g is not None and g.requires_grad]
    second = []
    if taped and case.numeric:
        again = [lucidlite.from_numpy(g).to(t.device)
                 for g, t in zip(upstream(case, taped, 1), taped, strict=True)]  # fmt: skip
        second = grad(taped, [*wanted, *weights], again, allow_unused=True)
    return result, [*plain, *first], list(second)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_on_device(case, cuda):
    for dtype in case.dtypes:
        expected = on_device(case, dtype, "cpu")
        got = on_device(case, dtype, cuda)
        for a, b, what in zip(got, expected, ("values", "gradients", "second"), strict=True):
            same(a, b, dtype, max(case.tol, 1) * 4, f"{dtype} {what}")


def names_of_xp():
    """Every name of the array library that a file of lucidlite uses, and where."""
    for path in sorted(Path(lucidlite.__file__).parent.rglob("*.py")):
        if path.parent.name == "onnx":
            continue  # its names are those of ONNX
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "xp":
                yield node.attr, place
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                by_name = node.func.attr in ("map", "call", "reduce") and node.args
                if by_name and isinstance(node.args[0], ast.Constant):
                    yield node.args[0].value, place


def test_only_names_that_cupy_has():
    unknown = {name: place for name, place in names_of_xp() if not hasattr(fakecupy, str(name))}
    assert not unknown
