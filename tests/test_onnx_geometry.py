"""ONNX files of convolutions and pools with drawn geometries: equal to ours in onnxruntime.

LUCIDLITE_TEST_ALL=1 draws ten times as many, and asks PyTorch too where it is installed.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx_agreement import agree, close, theirs
from parity import TEST_ALL, numpy_of

import lucidlite
from lucidlite import nn

pytest.importorskip("onnx", reason="writes ONNX files")
pytest.importorskip("onnxruntime", reason="runs ONNX files")

POOLS = ["MaxPool2d", "MaxPool1d", "AvgPool2d", "AvgPool1d", "LPPool2d", "LPPool1d"]
ADAPTIVE = ["AdaptiveAvgPool2d", "AdaptiveAvgPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool1d"]
CONVS = ["Conv2d", "Conv1d", "ConvTranspose2d", "ConvTranspose1d"]
COUNT = 400 if TEST_ALL else 20


class Draw:
    """A layer's settings and the shape of its input."""

    def __init__(self, name, seed):
        self.name, self.rank = name, int(name[-2])
        self.rng = np.random.default_rng([seed, *name.encode()])
        self.args, self.named = (), {}
        draw = self.adaptive if name in ADAPTIVE else self.conv if name in CONVS else self.pool
        draw()

    def one(self, *options):
        return options[self.rng.integers(len(options))]

    def each(self, *options):
        values = tuple(self.one(*options) for _ in range(self.rank))
        return values if self.rank > 1 and self.one(True, False) else values[0]

    def flip(self):
        return bool(self.one(True, False))

    def image(self, channels, *sizes):
        lead = self.one((2,), (1,), (3,), ())
        self.shape = (*lead, channels, *(self.one(*sizes) for _ in range(self.rank)))

    def pool(self):
        kernel = self.each(1, 2, 3, 4)
        least = min(kernel) if isinstance(kernel, tuple) else kernel
        self.args = (2, kernel) if self.name.startswith("LP") else (kernel,)
        self.named["stride"] = self.one(None, self.each(1, 2, 3, 4, 5))
        self.named["ceil_mode"] = self.flip()
        if not self.name.startswith("LP"):
            self.named["padding"] = self.each(*range(least // 2 + 1))
        if self.name.startswith("Avg"):
            self.named["count_include_pad"] = self.flip()
        if self.name == "AvgPool2d":
            self.named["divisor_override"] = self.one(None, None, 3)
        if self.name.startswith("Max"):
            self.named["dilation"] = self.each(1, 1, 2, 3)
            self.named["return_indices"] = self.one(False, False, True)
        self.image(self.one(1, 3), *range(5, 14))

    def adaptive(self):
        self.args = (self.each(1, 2, 3, 4, 5, 6, 7),)
        if self.name == "AdaptiveAvgPool2d" and self.one(False, False, True):
            self.args = ((None, self.one(1, 2, 5)),)
        self.image(self.one(1, 3), *range(1, 13))

    def conv(self):
        groups = self.one(1, 1, 2, 3)
        inputs, outputs = (groups * self.one(1, 2) for _ in range(2))
        self.args = (inputs, outputs, self.each(1, 2, 3, 4))
        self.named = {"groups": groups, "dilation": self.each(1, 1, 2, 3), "bias": self.flip()}
        self.named["stride"] = self.each(1, 2, 3)
        self.named["padding"] = self.each(0, 1, 2)
        if "Transpose" in self.name:
            self.named["output_padding"] = self.each(0, 0, 1, 2)
        elif self.one(False, False, True):
            self.named.update(padding="same", stride=1)
            self.named["padding_mode"] = self.one("zeros", "reflect", "replicate", "circular")
        self.image(inputs, *range(5, 12))

    def __repr__(self):
        return f"{self.name}{self.args} {self.named} of {self.shape}"

    def build(self, library):
        return getattr(library, self.name)(*self.args, **self.named)


def drawn(name, seed):
    """A layer, with its input, whose settings go together; None for one whose don't."""
    draw = Draw(name, seed)
    lucidlite.manual_seed(seed)
    try:
        layer, x = draw.build(nn), lucidlite.randn(*draw.shape)
        if name.startswith("LP"):
            x = x.abs()  # the root of a negative sum is no number
        layer(x)
    except (RuntimeError, ValueError):
        return draw, None, None
    return draw, layer, x


@pytest.mark.parametrize("name", POOLS + ADAPTIVE + CONVS)
def test_equal_to_ours(name, tmp_path):
    done = refused = 0
    for seed in range(COUNT):
        draw, layer, x = drawn(name, seed)
        if layer is None:
            continue
        try:
            agree(tmp_path, layer, x)
            done += 1
        except NotImplementedError as problem:
            if "by more than its kernel_size" not in str(problem):
                raise
            refused += 1
        except Exception as problem:
            raise AssertionError(f"{draw}: {problem}") from problem
    assert done >= COUNT * 0.6
    assert refused <= COUNT * 0.05


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.skipif(not TEST_ALL, reason="LUCIDLITE_TEST_ALL=1 asks PyTorch too")
@pytest.mark.parametrize("name", POOLS + ADAPTIVE + CONVS)
def test_equal_to_pytorch(name, tmp_path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for seed in range(COUNT // 4):
        draw, layer, x = drawn(name, seed)
        if layer is None:
            continue
        other = draw.build(torch.nn).eval()
        state = {key: torch.from_numpy(numpy_of(t).copy()) for key, t in layer.state_dict().items()}
        other.load_state_dict(state)
        with torch.no_grad():
            expected = other(torch.from_numpy(numpy_of(x).copy()))
        expected = expected if isinstance(expected, tuple) else (expected,)
        path = tmp_path / "model.onnx"
        try:
            lucidlite.onnx.export(layer, x, path)
        except NotImplementedError:
            continue
        close(theirs(path, x), [t.numpy() for t in expected], 2e-5)


@pytest.mark.parametrize("name", POOLS + ADAPTIVE + CONVS)
def test_any_batch(name, tmp_path):
    for seed in range(COUNT // 4):
        draw, layer, x = drawn(name, 10_000 + seed)
        if layer is None or len(draw.shape) < draw.rank + 2:
            continue
        path = tmp_path / "model.onnx"
        try:
            lucidlite.onnx.export(layer, x, path, dynamic_axes={"input": {0: "n"}})
        except NotImplementedError:
            continue
        for batch in (1, 5):
            other = lucidlite.randn(batch, *draw.shape[1:]).abs()
            found = layer(other)
            found = found if isinstance(found, tuple) else (found,)
            close(theirs(path, other), [numpy_of(t) for t in found])
