"""The print format, byte for byte: golden rows, PyTorch on random arrays, and the options."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lucidlite import dtypes, printing
from lucidlite.backends import cpu

GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "golden_repr.txt"
f32 = np.float32


@pytest.fixture(autouse=True)
def _default_options():
    printing.set_printoptions(profile="default")
    yield
    printing.set_printoptions(profile="default")


class Tensor:
    """What printing reads of a tensor, with the class name that it looks at."""

    def __init__(self, array, requires_grad=False, grad_fn=None, device=None):
        self.array = np.asarray(array)
        self.backend = cpu
        self.device = device or cpu.device
        self.requires_grad = requires_grad or grad_fn is not None
        self.grad_fn = None if grad_fn is None else SimpleNamespace(name=lambda: grad_fn)

    @property
    def dtype(self):
        return dtypes.from_numpy_dtype(self.array.dtype)

    def __str__(self):
        return printing.tensor_repr(self)


def shown(values, dtype=f32, **flags):
    return printing.tensor_repr(Tensor(np.array(values, dtype=dtype), **flags))


# -- golden rows ---------------------------------------------------------------------------------

# What PyTorch prints, kept here so that the format is checked wherever the tests run.
ROWS = [
    (3.0, f32, "tensor(3.)"),
    (3, "int64", "tensor(3)"),
    (True, "bool", "tensor(True)"),
    (-0.0, f32, "tensor(-0.)"),
    (1e-10, f32, "tensor(1.0000e-10)"),
    (math.nan, f32, "tensor(nan)"),
    (-math.inf, f32, "tensor(-inf)"),
    ([], f32, "tensor([])"),
    ([], "int64", "tensor([], dtype=torch.int64)"),
    ([], "bool", "tensor([], dtype=torch.bool)"),
    (np.zeros((3, 0)), f32, "tensor([], size=(3, 0))"),
    (np.zeros((0, 2)), "int64", "tensor([], size=(0, 2), dtype=torch.int64)"),
    ([1, 2, 3], "int64", "tensor([1, 2, 3])"),
    ([1], "int32", "tensor([1], dtype=torch.int32)"),
    ([True, False], "bool", "tensor([ True, False])"),
    ([1, 2, 3], f32, "tensor([1., 2., 3.])"),
    ([1.5, 2, 3], f32, "tensor([1.5000, 2.0000, 3.0000])"),
    ([1.5], "float64", "tensor([1.5000], dtype=torch.float64)"),
    ([65504, -1], "float16", "tensor([ 6.5504e+04, -1.0000e+00], dtype=torch.float16)"),
    ([1e-5, 1], f32, "tensor([1.0000e-05, 1.0000e+00])"),
    ([1e-4], f32, "tensor([1.0000e-04])"),  # as float32 it is below 1e-4
    ([1e-4], "float64", "tensor([0.0001], dtype=torch.float64)"),
    ([1e8, 1e6], f32, "tensor([100000000.,   1000000.])"),
    ([1e9, 1], f32, "tensor([1.0000e+09, 1.0000e+00])"),
    ([1000, 1], f32, "tensor([1000.,    1.])"),
    ([1001, 1], f32, "tensor([1.0010e+03, 1.0000e+00])"),
    ([100000.5], f32, "tensor([100000.5000])"),
    ([0.5, 100.25], f32, "tensor([  0.5000, 100.2500])"),
    ([math.nan, 1], f32, "tensor([nan, 1.])"),
    ([math.inf, -1.5], f32, "tensor([    inf, -1.5000])"),
    (np.zeros(25), f32, "tensor([" + "0., " * 23 + "0.,\n        0.])"),  # zeros count as 1 wide
    ([0, -0.0], f32, "tensor([0., -0.])"),
    ([0, -0.0, 2.5], f32, "tensor([0.0000, -0.0000, 2.5000])"),
    ([[1, -2], [3, 4]], f32, "tensor([[ 1., -2.],\n        [ 3.,  4.]])"),
    (
        np.ones((1, 2, 2, 2)),
        f32,
        "tensor([[[[1., 1.],\n          [1., 1.]],\n\n         [[1., 1.],\n          [1., 1.]]]])",
    ),
    (np.arange(1001), "int64", "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (
        np.ones((40, 40)),
        f32,
        "tensor([[1., 1., 1.,  ..., 1., 1., 1.],\n"
        "        [1., 1., 1.,  ..., 1., 1., 1.],\n"
        "        [1., 1., 1.,  ..., 1., 1., 1.],\n"
        "        ...,\n"
        "        [1., 1., 1.,  ..., 1., 1., 1.],\n"
        "        [1., 1., 1.,  ..., 1., 1., 1.],\n"
        "        [1., 1., 1.,  ..., 1., 1., 1.]])",
    ),
    (
        np.full(20, 0.123456),
        f32,
        "tensor([" + "0.1235, " * 8 + "0.1235,\n        " + "0.1235, " * 8 + "0.1235,\n        "
        "0.1235, 0.1235])",
    ),
]  # fmt: skip


def test_rows():
    wrong = {}
    for values, dtype, expected in ROWS:
        text = shown(values, dtype)
        if text != expected:
            wrong[expected] = text
    assert wrong == {}


def golden_rows():
    """(source, text) pairs of the golden file."""
    rows = []
    for line in GOLDEN.read_text().splitlines():
        if line.startswith(">>> "):
            rows.append((line[4:], []))
        else:
            rows[-1][1].append(line)
    return [(source, "\n".join(lines)) for source, lines in rows]


def stand_in():
    """The calls the golden file makes, on arrays."""

    def tensor(values, dtype=None, requires_grad=False):
        array = np.array(values)
        if dtype is None:
            dtype = f32 if array.dtype == np.float64 else array.dtype
        return Tensor(array.astype(dtype), requires_grad=requires_grad)

    def arange(n):
        return Tensor(np.arange(n, dtype=f32 if isinstance(n, float) else np.int64))

    return SimpleNamespace(
        tensor=tensor,
        arange=arange,
        zeros=lambda *shape: Tensor(np.zeros(shape, f32)),
        ones=lambda *shape: Tensor(np.ones(shape[0] if shape[0] == (1, 2, 2, 2) else shape, f32)),
        float64=np.float64,
        float16=np.float16,
        int32=np.int32,
    )


OPERATIONS = ("*2", ".sum(", "nn.", ".reshape(", ".shape", ".size(", ".device", "relu", "*0.123456")


def test_golden_file():
    if not GOLDEN.exists():
        pytest.skip("the golden rows are not beside this checkout")
    rows = golden_rows()
    assert len(rows) >= 47
    checked, wrong = 0, {}
    for source, expected in rows:
        if source == "torch.float32":
            text = repr(dtypes.float32)
        elif any(operation in source for operation in OPERATIONS):
            continue
        else:
            scope = {"torch": stand_in(), "float": float}
            text = printing.tensor_repr(eval(source, {"__builtins__": {}}, scope))
        checked += 1
        if text != expected:
            wrong[source] = text
    assert wrong == {}
    assert checked >= 34


def test_golden_operations_as_arrays():
    """The golden rows that compute something: their values, with the name they print."""
    ones = np.ones((1, 1, 1, 1), f32)
    for name in ("AvgPool2DBackward0", "MeanBackward1", "MaxPool2DWithIndicesBackward0"):
        assert shown(ones, grad_fn=name) == f"tensor([[[[1.]]]], grad_fn=<{name}>)"
    assert shown([2], grad_fn="MulBackward0") == "tensor([2.], grad_fn=<MulBackward0>)"
    assert shown(3, grad_fn="SumBackward0") == "tensor(3., grad_fn=<SumBackward0>)"
    rows = shown(np.arange(25).reshape(5, 5)).splitlines()
    assert rows[1] == "        [ 5.,  6.,  7.,  8.,  9.],"


# -- suffixes ------------------------------------------------------------------------------------


def test_suffixes_come_in_order():
    empty = Tensor(np.zeros((2, 0), np.float64), requires_grad=True)
    assert printing.tensor_repr(empty) == (
        "tensor([], size=(2, 0), dtype=torch.float64, requires_grad=True)"
    )
    device = SimpleNamespace(type="cuda", index=1)
    far = Tensor(np.ones(1, np.float16), grad_fn="AddBackward0", device=device)
    assert printing.tensor_repr(far) == (
        "tensor([1.], device='cuda:1', dtype=torch.float16, grad_fn=<AddBackward0>)"
    )


def test_long_suffixes_wrap():
    text = printing.format_tensor(np.ones(10, f32), suffixes=["a" * 30, "b" * 30])
    assert text == "tensor([" + ", ".join(["1."] * 10) + f"],\n       {'a' * 30}, {'b' * 30})"


def test_the_default_dtype_is_not_printed():
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert shown([1.0], np.float64) == "tensor([1.])"
        assert shown([1.0], f32) == "tensor([1.], dtype=torch.float32)"
        assert shown([], f32) == "tensor([], dtype=torch.float32)"
    finally:
        dtypes.set_default_dtype(dtypes.float32)


def test_a_subclass_prints_its_name():
    class Mask(Tensor):
        pass

    assert printing.tensor_repr(Mask(np.ones((2, 1), bool))) == "Mask([[True],\n      [True]])"


def test_format():
    number = Tensor(np.array(2.5, f32))
    assert printing.tensor_format(number, ".3f") == "2.500"
    assert printing.tensor_format(number, "") == "2.5"
    assert printing.tensor_format(Tensor(np.array(7)), "4d") == "   7"
    assert printing.tensor_format(Tensor(np.ones(2, f32)), "") == "tensor([1., 1.])"
    with pytest.raises(TypeError, match=r"spec='\.3f', shape=\(2,\)"):
        printing.tensor_format(Tensor(np.ones(2, f32)), ".3f")


# -- layout and size -----------------------------------------------------------------------------


def test_memory_order_does_not_show():
    values = np.arange(48, dtype=f32).reshape(2, 3, 2, 4)
    strided = np.ascontiguousarray(values.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    assert shown(strided) == shown(values)
    assert printing.tensor_repr(Tensor(strided[::-1])) == shown(values[::-1])


def test_only_the_shown_items_are_fetched():
    fetched = []

    class Counting:
        def to_numpy(self, array):
            fetched.append(array.size)
            return np.asarray(array)

    # Ten billion elements: anything that looked at them all would not come back.
    tensor = Tensor(np.broadcast_to(f32(1.5), (100_000, 100_000)))
    tensor.backend = Counting()
    text = printing.tensor_repr(tensor)
    assert text.count("1.5000") == 36
    assert sum(fetched) == 36


def test_widths_are_those_of_the_shown_items():
    values = np.zeros(2000, np.int64)
    values[1000] = 123456789
    assert shown(values, np.int64) == "tensor([0, 0, 0,  ..., 0, 0, 0])"


# -- options -------------------------------------------------------------------------------------


def test_options():
    printing.set_printoptions(precision=2)
    assert shown([1.12345]) == "tensor([1.12])"
    printing.set_printoptions(threshold=5)
    assert shown(np.arange(10), np.int64) == "tensor([0, 1, 2,  ..., 7, 8, 9])"
    printing.set_printoptions(edgeitems=1)
    assert shown(np.arange(10), np.int64) == "tensor([0,  ..., 9])"
    printing.set_printoptions(edgeitems=0)
    assert shown(np.zeros((4, 4))) == "tensor([...], size=(4, 4))"
    printing.set_printoptions(profile="default", linewidth=20)
    assert shown([1, 2, 3, 4, 5]) == "tensor([1., 2., 3.,\n        4., 5.])"
    printing.set_printoptions(profile="short")
    assert shown([1.12345]) == "tensor([1.12])"
    printing.set_printoptions(profile="full")
    assert "..." not in shown(np.arange(1001), np.int64)


def test_scientific_mode_is_set_by_every_call():
    printing.set_printoptions(sci_mode=True)
    assert shown([1.5, 0]) == "tensor([1.5000e+00, 0.0000e+00])"
    printing.set_printoptions(sci_mode=False)
    assert shown([1e9, 0.5]) == "tensor([1000000000.0000,          0.5000])"
    printing.set_printoptions(precision=4)
    assert printing.get_printoptions()["sci_mode"] is None


def test_printoptions_restores():
    before = printing.get_printoptions()
    with printing.printoptions(precision=1, sci_mode=True):
        assert shown([1.5]) == "tensor([1.5e+00])"
    assert printing.get_printoptions() == before
    with pytest.raises(ZeroDivisionError), printing.printoptions(precision=1):
        1 / 0  # noqa: B018
    assert printing.get_printoptions() == before


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"profile": "long"}, ValueError, "got profile='long'"),
        ({"precision": 1.5}, TypeError, "got precision=1.5"),
        ({"precision": -1}, ValueError, "got precision=-1"),
        ({"edgeitems": -3}, ValueError, "got edgeitems=-3"),
        ({"linewidth": "80"}, TypeError, "got linewidth='80'"),
        ({"threshold": math.nan}, ValueError, "got threshold=nan"),
        ({"threshold": "many"}, ValueError, "got threshold='many'"),
        ({"sci_mode": "yes"}, TypeError, "got sci_mode='yes'"),
    ],
)
def test_impossible_options_change_nothing(options, kind, message):
    with pytest.raises(kind, match=message):
        printing.set_printoptions(**{"precision": 2, **options})
    assert printing.get_printoptions()["precision"] == 4
