"""Each layer as an ONNX file, alone: equal to ours in onnxruntime; with a batch of any size too."""

from __future__ import annotations

import pytest
from layer_cases import LAYERS
from onnx_agreement import agree, close, ours, theirs
from onnx_cases import MORE, Net, given

import lucidlite
from lucidlite import nn

pytest.importorskip("onnx", reason="writes ONNX files")
pytest.importorskip("onnxruntime", reason="runs ONNX files")

# Inputs without a batch, though their names don't say so; sizes are part of the program.
ALONE = {"conv-transpose1d-all", "layer-norm-plain", "instance-norm-1d-tracking"}
FIXED = {"cosine-embedding", "margin-ranking", "multi-margin", "kl-div", "into-zeros", "shapes",
         "reductions", "slices"}  # fmt: skip
SECOND = {"rnn", "lstm-no-bias", "lstm-both", "lstm-unbatched", "lstm-state", "gru",
          "encoder-layer-first"}  # fmt: skip


def layer(build):
    """A layer with statistics that aren't 0 and 1."""
    lucidlite.manual_seed(1)
    made = build(nn)
    for name, buffer in made.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize(("name", "build", "shape"), LAYERS, ids=[row[0] for row in LAYERS])
@pytest.mark.filterwarnings("ignore:InstanceNorm:UserWarning")
def test_layer(name, build, shape, tmp_path):
    made = layer(build)
    agree(tmp_path, made, lucidlite.randn(*shape))
    if "unbatched" in name or name in ALONE or len(shape) < 2:
        return
    path = tmp_path / "batches.onnx"
    x = lucidlite.randn(*shape)
    lucidlite.onnx.export(made, x, path, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    for batch in (1, 7):
        other = lucidlite.randn(batch, *shape[1:])
        close(theirs(path, other), ours(made, other))


IMAGES = [row for row in LAYERS if len(row[2]) > 2]


@pytest.mark.parametrize(("name", "build", "shape"), IMAGES, ids=[row[0] for row in IMAGES])
@pytest.mark.filterwarnings("ignore:InstanceNorm:UserWarning")
def test_channels_last_around_it(name, build, shape, tmp_path):  # noqa: ARG001
    # onnxruntime moves transposes through the nodes between them, and doesn't do so well for all.
    def forward(net, x):
        out = net.part(x.movedim(-1, 1))
        return out.movedim(1, -1) * 2 if isinstance(out, lucidlite.Tensor) else out

    x = lucidlite.randn(*shape).movedim(1, -1)
    agree(tmp_path, Net(forward, part=layer(build)), x)


@pytest.mark.parametrize(("name", "build", "inputs"), MORE, ids=[row[0] for row in MORE])
def test_more(name, build, inputs, tmp_path):  # noqa: ARG001
    lucidlite.manual_seed(1)
    agree(tmp_path, build(), *given(inputs))


@pytest.mark.parametrize(("name", "build", "inputs"), MORE, ids=[row[0] for row in MORE])
def test_more_in_batches(name, build, inputs, tmp_path):
    if name in FIXED or name.endswith("unbatched"):
        pytest.skip("the model is for one size")
    lucidlite.manual_seed(1)
    made, tensors = build(), given(inputs)
    names, dim = [f"x{i}" for i in range(len(tensors))], int(name in SECOND)
    path = tmp_path / "batches.onnx"
    axes = {each: {dim: "batch"} for each in names}
    lucidlite.onnx.export(made, tuple(tensors), path, input_names=names, dynamic_axes=axes)
    for batch in (1, 7):
        index = lucidlite.arange(batch)
        others = [each.index_select(dim, index % each.shape[dim]) for each in tensors]
        close(theirs(path, *others), ours(made, *others))
