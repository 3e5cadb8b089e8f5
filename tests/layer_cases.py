"""Layers with settings and an input for each, and the same layer on both libraries."""

from __future__ import annotations

import numpy as np
from layer_cases_act import ACTIVATIONS
from layer_cases_space import SPACE
from parity import numpy_of

# Name, how to make it, the shape of an input.
LAYERS = [
    ("linear", lambda nn: nn.Linear(5, 3), (4, 5)),
    ("linear-no-bias", lambda nn: nn.Linear(5, 3, bias=False), (4, 5)),
    ("linear-unbatched", lambda nn: nn.Linear(5, 3), (5,)),
    ("linear-nd", lambda nn: nn.Linear(5, 3), (2, 3, 4, 5)),
    ("linear-one", lambda nn: nn.Linear(1, 1), (3, 1)),
    ("identity", lambda nn: nn.Identity(54, unused=True), (2, 3)),
    ("conv", lambda nn: nn.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    ("conv-unbatched", lambda nn: nn.Conv2d(3, 4, 3), (3, 7, 6)),
    ("conv-pairs", lambda nn: nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), (1, 2)), (2, 3, 9, 8)),
    ("conv-lists", lambda nn: nn.Conv2d(3, 4, [3, 2], stride=[2, 1]), (2, 3, 9, 8)),
    ("conv-groups", lambda nn: nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 5, 5)),
    ("conv-depthwise", lambda nn: nn.Conv2d(4, 8, 3, groups=4, bias=False), (2, 4, 5, 5)),
    ("conv-1x1", lambda nn: nn.Conv2d(4, 8, 1, stride=2), (2, 4, 5, 5)),
    ("conv-same", lambda nn: nn.Conv2d(3, 4, (3, 5), padding="same", dilation=2), (2, 3, 9, 9)),
    ("conv-same-even", lambda nn: nn.Conv2d(3, 4, 4, padding="same"), (2, 3, 7, 8)),
    ("conv-valid", lambda nn: nn.Conv2d(3, 4, 3, padding="valid"), (2, 3, 7, 6)),
    *(
        (f"conv-{mode}", lambda nn, mode=mode: nn.Conv2d(
            3, 4, 3, padding=(2, 1), padding_mode=mode), (2, 3, 6, 5))
        for mode in ("zeros", "reflect", "replicate", "circular")
    ),
    ("conv-reflect-same", lambda nn: nn.Conv2d(
        2, 3, (4, 3), padding="same", padding_mode="reflect"), (2, 2, 6, 5)),
    ("conv-circular-unbatched", lambda nn: nn.Conv2d(
        2, 3, 3, stride=2, padding=1, padding_mode="circular"), (2, 6, 5)),
    ("max", lambda nn: nn.MaxPool2d(2), (2, 3, 6, 7)),
    ("max-all", lambda nn: nn.MaxPool2d((3, 2), 2, 1, (1, 2), ceil_mode=True), (2, 3, 8, 9)),
    ("avg", lambda nn: nn.AvgPool2d(2), (2, 3, 6, 7)),
    ("avg-all", lambda nn: nn.AvgPool2d((3, 2), 2, 1, True, False, 5), (3, 8, 9)),
    ("adaptive-avg", lambda nn: nn.AdaptiveAvgPool2d((3, None)), (2, 3, 8, 5)),
    ("adaptive-max", lambda nn: nn.AdaptiveMaxPool2d((3, 2)), (2, 3, 8, 5)),
    ("relu", lambda nn: nn.ReLU(), (2, 3)),
    ("leaky", lambda nn: nn.LeakyReLU(0.2), (2, 3)),
    ("sigmoid", lambda nn: nn.Sigmoid(), (2, 3)),
    ("tanh", lambda nn: nn.Tanh(), (2, 3)),
    ("gelu", lambda nn: nn.GELU(), (2, 3)),
    ("gelu-tanh", lambda nn: nn.GELU(approximate="tanh"), (2, 3)),
    ("softmax", lambda nn: nn.Softmax(dim=1), (2, 3)),
    ("log-softmax", lambda nn: nn.LogSoftmax(dim=-1), (2, 3, 4)),
    ("bn1d", lambda nn: nn.BatchNorm1d(3), (5, 3)),
    ("bn1d-length", lambda nn: nn.BatchNorm1d(3), (5, 3, 4)),
    ("bn2d", lambda nn: nn.BatchNorm2d(3), (2, 3, 4, 5)),
    ("bn2d-plain", lambda nn: nn.BatchNorm2d(3, affine=False), (2, 3, 4, 5)),
    ("bn2d-no-bias", lambda nn: nn.BatchNorm2d(3, bias=False), (2, 3, 4, 5)),
    ("bn2d-untracked", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 4, 5)),
    ("bn2d-mean", lambda nn: nn.BatchNorm2d(3, 1e-3, None), (2, 3, 4, 5)),
    ("flatten", lambda nn: nn.Flatten(), (2, 3, 4, 5)),
    ("flatten-some", lambda nn: nn.Flatten(2, -1), (2, 3, 4, 5)),
    ("dropout-0", lambda nn: nn.Dropout(0.0), (2, 3)),
    ("dropout-1", lambda nn: nn.Dropout(1.0), (2, 3)),
    *SPACE,
]  # fmt: skip


LAYERS += ACTIVATIONS


def twin_layers(ours_side, torch_side, build):
    """The layer on both libraries, PyTorch's with lucidlite's initial values."""
    ours, theirs = build(ours_side.nn), build(torch_side.nn)
    state = {name: torch_side.lib.from_numpy(numpy_of(t).copy())
             for name, t in ours.state_dict().items()}  # fmt: skip
    theirs.load_state_dict(state)
    return ours, theirs


def apply_layer(lib, layer, x, seed=0):
    """(output, gradient of the input, gradients of the parameters) as NumPy arrays."""
    layer.zero_grad()
    tensor = lib.from_numpy(x.copy()).requires_grad_()
    out = layer(tensor)
    grad = np.random.default_rng(seed).standard_normal(tuple(out.shape)).astype(x.dtype)
    out.backward(lib.from_numpy(grad))
    parameters = {name: numpy_of(p.grad) for name, p in layer.named_parameters()}
    return numpy_of(out), numpy_of(tensor.grad), parameters
