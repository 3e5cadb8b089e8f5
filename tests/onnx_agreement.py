"""A model here and its ONNX file in onnxruntime: the same outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from parity import numpy_of

import lucidlite
from lucidlite import nn

NEAR = 1e-5


class Function(nn.Module):
    """A function of tensors as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def flat(value):
    if isinstance(value, (tuple, list)):
        return [each for part in value for each in flat(part)]
    return flat(list(value.values())) if isinstance(value, dict) else [value]


def ours(model, *args):
    """What the model gives in evaluation mode, as arrays."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with lucidlite.no_grad():
        out = model(*args)
    for module, training in modes:
        module.training = training
    return [numpy_of(each) for each in flat(out) if each is not None]


def opened(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def theirs(path, *args):
    """What onnxruntime gives for the file."""
    session = opened(path)
    tensors = [numpy_of(each) for each in flat(list(args)) if hasattr(each, "array")]
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, tensors, strict=True)))


def close(got, expected, near=NEAR):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.allclose(a, b, rtol=near, atol=near, equal_nan=True), float(
            np.abs(a.astype(float) - b.astype(float)).max()
        )


def agree(folder: Path, model, *args, near=NEAR, **settings):
    """Export the model and compare; returns the path of the file."""
    path = folder / "model.onnx"
    lucidlite.onnx.export(model, args, path, **settings)
    close(theirs(path, *args), ours(model, *args), near)
    return path
