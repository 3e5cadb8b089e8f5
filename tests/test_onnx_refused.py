"""What has no ONNX form is named, with its line and module, before anything is written."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from onnx_agreement import close, ours, theirs
from onnx_cases import Net, whole
from parity import numpy_of

import lucidlite
from lucidlite import nn
from lucidlite.onnx import table
from lucidlite.ops import activation

export = lucidlite.onnx.export
HERE = "test_onnx_refused.py"


@pytest.fixture(autouse=True)
def packages(request):
    if "no_package" not in request.keywords and "package" not in request.node.name:
        pytest.importorskip("onnx", reason="writes ONNX files")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.onnx"


def change_relu(monkeypatch, emit):
    code = activation.relu.__code__
    monkeypatch.setitem(table.TABLE, code, table.TABLE[code]._replace(emit=emit))


class Odd(nn.Module):
    def forward(self, x):
        return x.median(1)[0] * 2


def test_an_operation_without_a_form(path):
    path.write_bytes(b"as it was")
    model = nn.Sequential(nn.ReLU(), Odd())
    with pytest.raises(NotImplementedError, match="median has no ONNX form") as told:
        export(model, lucidlite.ones(2, 3), path)
    assert HERE in str(told.value)
    assert "in module 1" in str(told.value)
    assert path.read_bytes() == b"as it was"
    assert list(path.parent.iterdir()) == [path]
    assert model.training


def test_a_result_that_nothing_uses_is_no_matter(path):
    def forward(_, x):
        x.median(1)
        return x + 1

    x = lucidlite.ones(2, 3)
    export(Net(forward), x, path)
    pytest.importorskip("onnxruntime", reason="runs ONNX files")
    close(theirs(path, x), [numpy_of(x + 1)])


@pytest.mark.parametrize(
    ("forward", "x", "told"),
    [
        (lambda _, x: x[x > 0], (2, 3), "a mask that depends on the input"),
        (lambda _, x: nn.functional.dropout(x), (2, 3), "drops elements at random"),
        (lambda _, x: nn.functional.adaptive_max_pool2d(x, 3, True), (1, 2, 5, 5), "overlap"),
        (lambda _, x: x.round(decimals=2), (2, 3), "multiply, round and divide"),
        (lambda net, x: net.table(x), whole(2, 3), "max_norm"),
        (lambda _, x: x[x.argmax()], (3,), "index that depends on the input"),
        (lambda _, x: x[: x.argmax() + 1], (3,), "index that depends on the input"),
        (lambda _, x: nn.functional.one_hot(x), whole(2, 3), "pass num_classes"),
        (lambda _, x: lucidlite.tensor(x.max()) * x, (3,), "tensor has no ONNX form"),
        (lambda _, x: lucidlite.bernoulli(x.sigmoid()), (2, 3), "bernoulli has no ONNX form"),
    ],
    ids=["mask", "dropout", "indices", "decimals", "max-norm", "at", "until", "one-hot",
         "tensor", "random"],
)
def test_settings_without_a_form(forward, x, told, path):
    model = Net(forward, table=nn.Embedding(5, 3, max_norm=1.0))
    x = x if hasattr(x, "array") else lucidlite.rand(*x)
    with pytest.raises(NotImplementedError, match=told) as problem:
        export(model, x, path)
    assert HERE in str(problem.value)
    assert not path.exists()


def test_a_model_that_catches_the_error_is_refused_too(path):
    def forward(_, x):
        try:
            return nn.functional.dropout(x)
        except NotImplementedError:
            return x

    with pytest.raises(NotImplementedError, match="drops elements"):
        export(Net(forward), lucidlite.ones(2), path)


def test_autocast(path):
    with (
        lucidlite.autocast("cpu", dtype=lucidlite.float16),
        pytest.raises(NotImplementedError, match="export without it"),
    ):
        export(nn.Linear(3, 2), lucidlite.ones(2, 3), path)


def test_what_the_package_refuses(path, monkeypatch):
    """A graph that is wrong is found before it is a file."""
    change_relu(monkeypatch, lambda g, a: g.add("Relu", g.of(a["input"]), nonsense=1))
    with pytest.raises(RuntimeError, match="the onnx package refuses the graph"):
        export(nn.ReLU(), lucidlite.ones(2), path)
    assert not path.exists()


def test_packed_sequences(path):
    def forward(net, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, [3, 2], batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(net.part(packed)[0], batch_first=True)[0]

    with pytest.raises(NotImplementedError, match=r"has no ONNX form"):
        export(Net(forward, part=nn.LSTM(3, 4, batch_first=True)), lucidlite.ones(2, 3, 3), path)


@pytest.mark.parametrize("way", ["item", "bool", "float", "numpy", "equal", "contains"])
def test_a_value_that_becomes_a_number_is_warned_of(way, path):
    def forward(_, x):
        total = x.sum()
        number = {
            "item": lambda: total.item(), "bool": lambda: 2.0 if total > 0 else 3.0,
            "float": lambda: float(total), "equal": lambda: 6.0 if x.equal(x) else 1.0,
            "contains": lambda: 6.0 if 1.0 in x else 1.0, "numpy": lambda: float(total.numpy()),
        }[way]()  # fmt: skip
        return x * number

    x = lucidlite.ones(2, 3)
    with pytest.warns(UserWarning, match=r"this run's for all inputs") as told:
        export(Net(forward), x, path)
    assert HERE in str(told[0].message)
    pytest.importorskip("onnxruntime", reason="runs ONNX files")
    close(theirs(path, x * -1), [np.full((2, 3), -2.0 if way == "bool" else -6.0, "f")])


def test_random_numbers_are_warned_of(path):
    def forward(_, x):
        return x + lucidlite.randn(3)

    with pytest.warns(UserWarning, match="randn draws numbers at random; the file will have"):
        export(Net(forward), lucidlite.ones(2, 3), path)


def test_a_size_in_a_number(path):
    def forward(_, x):
        return x.sum(0) / x.shape[0]

    with pytest.raises(ValueError, match=r"div depends on the size of axis 'n' \(4 and 5") as told:
        export(Net(forward), lucidlite.ones(4, 3), path, input_names=["x"],
               dynamic_axes={"x": {0: "n"}})  # fmt: skip
    assert HERE in str(told.value)
    export(Net(forward), lucidlite.ones(4, 3), path)


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda _, x: lucidlite.nn.functional.pad(x, (0, -x.shape[2] % 4)).mean(2), "mean|pad"),
        (lambda _, x: x[:, :, : 2 * (x.shape[2] // 2)].mean(2), "getitem"),
        (lambda _, x: x[:, :, : min(x.shape[2], 16)].mean(2), "getitem"),
        (lambda _, x: lucidlite.nn.functional.max_pool1d(x, 3, ceil_mode=True), "max_pool1d"),
    ],
)
def test_sizes_beside_multiples_are_warned_of(forward, told, path):
    """What halves or pads a size does the same with all multiples of an even one."""
    x = lucidlite.randn(1, 2, 12 if "pool" in told else 16)
    with pytest.warns(UserWarning, match=rf"({told}) depends on the size of axis 'w' .*multiples"):
        export(Net(forward), x, path, input_names=["x"], dynamic_axes={"x": {2: "w"}})
    pytest.importorskip("onnxruntime", reason="runs ONNX files")
    close(theirs(path, x), ours(Net(forward), x))


def test_a_batch_of_one_that_is_squeezed(path):
    model = Net(lambda net, x: net.part(x).squeeze(), part=nn.Linear(4, 1))
    axes = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    with pytest.warns(UserWarning, match=r"with 1 for axis 'n' the outputs have other dims"):
        export(model, lucidlite.ones(2, 4), path, **axes)
    with pytest.raises(ValueError, match=r"squeeze depends on the size of axis 'n' \(1 and 2"):
        export(model, lucidlite.ones(1, 4), path, **axes)


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda _, x: x.new_tensor(x), "new_tensor"),
        (lambda _, x: copy.deepcopy(x) * 2, "__deepcopy__|deepcopy__"),
        (lambda _, x: x.repeat_interleave((x[0] > 0).long(), 1), "repeat_interleave"),
        (lambda _, x: x.masked_scatter(x > 0, x * 2), "masked_scatter"),
    ],
)
def test_what_looks_at_elements_by_itself(forward, told, path):
    """Past all operations: it would be a constant of the file."""
    with pytest.raises(NotImplementedError, match=rf"({told}) has no ONNX form"):
        export(Net(forward), lucidlite.randn(2, 3), path)


def test_running_statistics_of_a_batch(path):
    def forward(_, x):
        mean, var = lucidlite.zeros(3), lucidlite.ones(3)
        out = lucidlite.nn.functional.batch_norm(x, mean, var, training=True)
        return out, mean

    with pytest.raises(NotImplementedError, match="batch_norm has no ONNX form"):
        export(Net(forward), lucidlite.randn(4, 3), path)
    export(Net(lambda _, x: forward(_, x)[0]), lucidlite.randn(4, 3), path)


def test_bins_that_depend_on_the_size(path):
    with pytest.raises(ValueError, match=r"adaptive_avg_pool2d depends on the size of axis 'h'"):
        export(nn.AdaptiveAvgPool2d(2), lucidlite.ones(1, 2, 4, 4), path,
               dynamic_axes={"input": {2: "h"}})  # fmt: skip


def test_a_model_for_one_size(path):
    with pytest.raises(ValueError, match=r"doesn't run with 12 for axis 'width'"):
        export(nn.Linear(6, 2), lucidlite.ones(2, 6), path, dynamic_axes={"input": {1: "width"}})


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"y": {0: "n"}}, r"names 'y'"),
        ({"input": {2: "n"}}, r"dim 2 of 'input', which has 2"),
        ({"input": {0: "n", 1: "n"}}, r"axes of different sizes: \[2, 6\]"),
    ],
)
def test_axes_that_are_not_there(axes, told, path):
    with pytest.raises(ValueError, match=told):
        export(nn.Linear(6, 2), lucidlite.ones(2, 6), path, dynamic_axes=axes)


@pytest.mark.parametrize(
    ("named", "kind", "told"),
    [
        ({"dynamo": True}, NotImplementedError, "there is one exporter"),
        ({"training": 2}, NotImplementedError, "evaluation mode"),
        ({"dynamic_shapes": {}}, NotImplementedError, "dynamic_axes"),
        ({"external_data": True}, NotImplementedError, "2 GiB"),
        ({"nonsense": 1}, TypeError, "unexpected keyword argument 'nonsense'"),
        ({"opset_version": 17}, ValueError, "must be 18 to 23"),
        ({"input_names": ["a", "b"]}, ValueError, "at most 1"),
        ({"output_names": ["a", "b"]}, ValueError, "2 names for 1"),
        ({"input_names": ["a"], "output_names": ["a"]}, ValueError, "must differ"),
    ],
)
def test_arguments(named, kind, told, path):
    with pytest.raises(kind, match=told):
        export(nn.ReLU(), lucidlite.ones(2), path, **named)
    assert not path.exists()


def test_arguments_of_pytorch_that_change_nothing(path):
    export(nn.ReLU(), (lucidlite.ones(2),), path, export_params=True, do_constant_folding=True,
           verbose=False, dynamo=False)  # fmt: skip
    assert path.stat().st_size > 50


def test_what_is_no_model(path):
    with pytest.raises(TypeError, match=r"must be an nn.Module, got function"):
        export(lambda x: x, lucidlite.ones(2), path)
    with pytest.raises(ValueError, match="args hold no tensor"):
        export(nn.ReLU(), (), path)
    with pytest.raises(TypeError, match="returns tensors"):
        export(Net(lambda _, x: x.shape[0]), lucidlite.ones(2), path)


def test_a_file_object(path):
    with path.open("wb") as file, pytest.raises(NotImplementedError, match="f must be a path"):
        export(nn.ReLU(), lucidlite.ones(2), file)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"onnx.export: the folder of the file must exist"):
        export(nn.ReLU(), lucidlite.ones(2), tmp_path / "no" / "m.onnx")


def test_a_file_that_differs_is_not_written(path, monkeypatch):
    """An emitter that is wrong is found by verify=True."""
    pytest.importorskip("onnxruntime", reason="runs ONNX files")
    change_relu(monkeypatch, lambda g, a: g.add("Neg", g.of(a["input"])))
    with pytest.raises(RuntimeError, match="differs from the model's by 2"):
        export(nn.ReLU(), lucidlite.ones(2), path, verify=True)
    assert not path.exists()


def test_without_the_package(tmp_path):
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "import lucidlite as L\n"
        "L.onnx.export(L.nn.ReLU(), L.ones(2), 'm.onnx')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "ImportError: onnx.export: the package onnx is needed" in ran.stderr
    assert "pip install 'lucidlite[onnx]'" in ran.stderr
    assert not list(tmp_path.iterdir())
