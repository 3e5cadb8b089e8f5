"""Whole models as ONNX files: what is in the file, and what it gives."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_agreement import agree, close, opened, ours, theirs
from onnx_cases import Net
from parity import TEST_ALL, numpy_of

import lucidlite
from lucidlite import models, nn
from lucidlite.onnx.exporting import OPSETS

onnx = pytest.importorskip("onnx", reason="writes ONNX files")
pytest.importorskip("onnxruntime", reason="runs ONNX files")

MODELS = [
    (models.CNNWithGAP, (3, 32, 32)), (models.LeNet, (1, 28, 28)), (models.ResNet8, (3, 32, 32)),
]  # fmt: skip
BATCH = {"x": {0: "batch"}}


def made(build):
    """A model whose batch norms have seen something."""
    lucidlite.manual_seed(3)
    model = build()
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize(("build", "shape"), MODELS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_model_in_any_batch(build, shape, tmp_path):
    model = made(build)
    path = agree(tmp_path, model, lucidlite.randn(2, *shape), dynamic_axes=BATCH)
    for batch in (1, 3, 64 if TEST_ALL else 9):
        x = lucidlite.randn(batch, *shape)
        close(theirs(path, x), ours(model, x))


@pytest.mark.parametrize(("build", "shape"), MODELS, ids=lambda v: getattr(v, "__name__", ""))
def test_weights_have_their_names(build, shape, tmp_path):
    model = made(build)
    file = onnx.load(agree(tmp_path, model, lucidlite.randn(1, *shape)))
    state = {k: numpy_of(v) for k, v in model.state_dict().items() if "num_batches" not in k}
    found = {each.name: onnx.numpy_helper.to_array(each) for each in file.graph.initializer}
    for name, array in state.items():
        assert np.array_equal(found[name], array), name


def test_what_a_file_of_lenet_says(tmp_path):
    file = onnx.load(agree(tmp_path, made(models.LeNet), lucidlite.randn(2, 1, 28, 28),
                           dynamic_axes=BATCH, output_names=["logits"]))  # fmt: skip
    assert [(n.op_type, n.name) for n in file.graph.node] == [
        ("Conv", "features.0.Conv"), ("Relu", "features.1.Relu"),
        ("MaxPool", "features.2.MaxPool"), ("Conv", "features.3.Conv"),
        ("Relu", "features.4.Relu"), ("MaxPool", "features.5.MaxPool"), ("Reshape", "Reshape"),
        ("Gemm", "classifier.0.Gemm"), ("Relu", "classifier.1.Relu"),
        ("Gemm", "classifier.2.Gemm"),
    ]  # fmt: skip
    assert file.producer_name == "lucidlite"
    assert file.ir_version == 8
    assert [(o.domain, o.version) for o in file.opset_import] == [("", 18)]
    assert file.graph.name == "LeNet"
    session = opened(tmp_path / "model.onnx")
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("x", ["batch", 1, 28, 28], "tensor(float)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("logits", ["batch", 10])]


@pytest.mark.parametrize("opset", OPSETS)
def test_every_version_of_the_operators(opset, tmp_path):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.GroupNorm(2, 8), nn.GELU(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AdaptiveAvgPool2d((3, 2)),
        nn.Upsample(scale_factor=2), nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 4),
        nn.Mish(), nn.LogSoftmax(1),
    )  # fmt: skip
    x = lucidlite.randn(2, 3, 9, 8)
    path = agree(tmp_path, model, x, opset_version=opset, dynamic_axes={"input": {0: "n"}})
    assert onnx.load(path).opset_import[0].version == opset


def test_the_model_is_as_it_was(tmp_path):
    """Modes, buffers, gradients wanted, inputs and the hooks of a profile."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU(inplace=True))
    model[1].eval()
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    x = lucidlite.randn(4, 3)
    before = {k: numpy_of(v).copy() for k, v in model.state_dict().items()}, numpy_of(x).copy()
    lucidlite.onnx.export(model, x, tmp_path / "m.onnx", dynamic_axes={"input": [0]})
    assert [m.training for m in model] == [True, False, True, True]
    assert model.training
    assert all(np.array_equal(before[0][k], numpy_of(v)) for k, v in model.state_dict().items())
    assert np.array_equal(before[1], numpy_of(x))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert len(calls) == 4  # one run, and one for each other size


def test_buffers_that_forward_writes_have_their_values_back(tmp_path):
    def counted(net, x):
        net.calls.add_(1)
        net.seen = net.seen + 1
        return x * 2

    model = Net(counted)
    model.register_buffer("calls", lucidlite.zeros(1))
    model.register_buffer("seen", lucidlite.zeros(1))
    seen = model.seen
    lucidlite.onnx.export(model, lucidlite.ones(2), tmp_path / "m.onnx")
    assert model.calls.item() == 0
    assert model.seen is seen
    assert seen.item() == 0


def test_a_buffer_that_is_used_written_and_used_again(tmp_path):
    """In a run of each size it begins as it was, and both of its values are in the file."""

    def counted(net, x):
        first = x + net.seen
        net.seen.mul_(0.5)
        second = x + net.seen
        net.seen.data = net.seen.data * 3
        return first, second, x * net.seen

    model = Net(counted)
    model.register_buffer("seen", lucidlite.ones(3))
    x, path = lucidlite.randn(4, 3), tmp_path / "m.onnx"
    lucidlite.onnx.export(
        model, x, path, input_names=["x"], dynamic_axes={"x": {0: "n"}}, verify=True
    )
    x = numpy_of(lucidlite.randn(2, 3))
    got = theirs(path, lucidlite.from_numpy(x))
    close(got, [x + 1, x + np.float32(0.5), x * np.float32(1.5)])


def test_verifying_a_model_that_writes_to_its_input(tmp_path):
    x = lucidlite.randn(2, 3)
    lucidlite.onnx.export(Net(lambda _, x: x.add_(1) * 2), x, tmp_path / "m.onnx", verify=True)


def test_other_values_than_the_examples(tmp_path):
    """Nothing that was computed of the example is a constant."""

    def forward(_, x, index):
        y = x * 1
        y.data = x * 3
        return lucidlite.take_along_dim(x, index, 1), lucidlite.take_along_dim(x, index), y * 2

    path = tmp_path / "m.onnx"
    example = lucidlite.randn(3, 4), lucidlite.tensor([[0, 1], [2, 3], [1, 1]])
    lucidlite.onnx.export(Net(forward), example, path)
    for shift in (0, 1):
        given = lucidlite.randn(3, 4), (example[1] + shift) % 4
        close(theirs(path, *given), ours(Net(forward), *given))


def test_remainders_beside_a_multiple(tmp_path):
    """Where a quotient rounds up to a whole number, its floor is one too many."""
    x = lucidlite.arange(-40, 41).float() / 10
    agree(tmp_path, Net(lambda _, x: (x % 0.1, x % -0.3, x // 0.1, x // -0.3, x % 1)), x)


@pytest.mark.parametrize("scale", [0.7, 1.4, 2.3])
def test_scales_that_float32_has_not(scale, tmp_path):
    agree(tmp_path, nn.Upsample(scale_factor=scale, mode="bilinear"), lucidlite.randn(1, 2, 10, 20))


def test_a_shared_weight_is_in_the_file_once(tmp_path):
    layer = nn.Linear(64, 64)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    file = onnx.load(agree(tmp_path, model, lucidlite.randn(2, 64)))
    assert sorted(each.name for each in file.graph.initializer) == ["0.bias", "0.weight"]


def test_names_of_inputs_and_outputs(tmp_path):
    def forward(_, image, more):
        return {"sum": image + more[0] * more[1]["w"], "parts": (image * 2, image * 3)}

    image, a, b = (lucidlite.randn(2, 3) for _ in range(3))
    path = tmp_path / "m.onnx"
    model = Net(forward)
    model.forward = lambda image, more: forward(None, image, more)
    lucidlite.onnx.export(model, (image, [a, {"w": b}]), path)
    session = opened(path)
    assert [i.name for i in session.get_inputs()] == ["image", "more_0", "more_1_w"]
    assert [o.name for o in session.get_outputs()] == ["sum", "parts_0", "parts_1"]
    close(theirs(path, image, a, b), ours(model, image, [a, {"w": b}]))


def test_arguments_by_name_and_numbers(tmp_path):
    class Scaled(nn.Module):
        def forward(self, x, by, shift=None):
            return x * by if shift is None else x * by + shift

    x = lucidlite.randn(2, 3)
    path = tmp_path / "m.onnx"
    for args, kwargs in (((x, 2), {"shift": x}), ((x, 2, {"shift": x}), None)):
        lucidlite.onnx.export(Scaled(), args, path, kwargs=kwargs)
        assert [i.name for i in opened(path).get_inputs()] == ["x", "shift"]
        close(theirs(path, x, x), [numpy_of(x * 2 + x)])


def test_an_axis_of_two_inputs(tmp_path):
    def forward(_, a, b):
        return lucidlite.cat([a, b], 1).reshape(a.shape[0] * 2, -1)

    axes = {"a": {0: "n"}, "b": {0: "n"}}
    path, model = tmp_path / "m.onnx", Net(forward)
    a, b = lucidlite.randn(4, 3), lucidlite.randn(4, 5)
    lucidlite.onnx.export(model, (a, b), path, input_names=["a", "b"], dynamic_axes=axes)
    assert opened(path).get_outputs()[0].shape == ["output_dim_0", 4]
    for n in (1, 6):
        a, b = lucidlite.randn(n, 3), lucidlite.randn(n, 5)
        close(theirs(path, a, b), ours(model, a, b))


def test_images_of_any_size(tmp_path):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.PixelShuffle(2), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    axes = {"input": {0: "n", 2: "height", 3: "width"}}
    x = lucidlite.randn(2, 3, 16, 24)
    lucidlite.onnx.export(model, x, path, dynamic_axes=axes, verify=True)
    for shape in ((1, 3, 16, 24), (3, 3, 33, 17), (2, 3, 64, 40)):
        x = lucidlite.randn(*shape)
        close(theirs(path, x), ours(model, x))


def test_the_same_bytes_every_time(tmp_path):
    files = []
    for name in ("a", "b"):
        path = tmp_path / name
        lucidlite.onnx.export(made(models.ResNet8), lucidlite.ones(1, 3, 32, 32), path)
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_equal_to_pytorch_as_well(tmp_path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def build(n):
        return n.Sequential(
            n.Conv2d(3, 8, 3, 2, padding=1), n.BatchNorm2d(8), n.ReLU(),
            n.MaxPool2d(3, 2, ceil_mode=True),
            n.Conv2d(8, 8, 3, groups=2), n.Hardswish(), n.AdaptiveAvgPool2d((2, 3)), n.Flatten(),
            n.Linear(48, 5), n.Softmax(1),
        )  # fmt: skip

    model = made(lambda: build(nn))
    other = build(torch.nn).eval()
    state = {k: torch.from_numpy(numpy_of(v).copy()) for k, v in model.state_dict().items()}
    other.load_state_dict(state)
    x = lucidlite.randn(2, 3, 30, 27)
    with torch.no_grad():
        expected = other(torch.from_numpy(numpy_of(x).copy())).numpy()
    close(theirs(agree(tmp_path, model, x), x), [expected])
