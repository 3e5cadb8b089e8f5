"""Likely causes: what each says, where it says nothing, and that none ever fails."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

import lucidlite
from lucidlite import callsite, hints, nn, training_hints
from lucidlite.nn.brief import brief

# -- a layer in a few words ------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, channels, reduction=4, name="block", act=None):
        super().__init__()
        self.channels, self.reduction, self.name, self.act = channels, reduction, name, act


class Keeps(nn.Module):
    def __init__(self, *sizes, deep=False):
        super().__init__()
        self.sizes, self.deep = sizes, deep


BRIEFS = {
    "Linear(256 -> 10)": lambda: nn.Linear(256, 10),
    "Linear(3 -> 4, bias=False)": lambda: nn.Linear(3, 4, bias=False),
    "Conv2d(3 -> 32, kernel_size=3)": lambda: nn.Conv2d(3, 32, 3),
    "Conv2d(4 -> 8, kernel_size=(3, 5), stride=2, padding='same', groups=2)": lambda: (
        setattr(made := nn.Conv2d(4, 8, (3, 5), padding="same", groups=2), "stride", (2, 2)),
        made,
    )[1],
    "ConvTranspose2d(3 -> 4, kernel_size=2, stride=2)": lambda: nn.ConvTranspose2d(3, 4, 2, 2),
    "MaxPool2d(kernel_size=2)": lambda: nn.MaxPool2d(2),
    "MaxPool2d(kernel_size=3, stride=2, padding=1)": lambda: nn.MaxPool2d(3, 2, 1),
    "AdaptiveAvgPool2d(output_size=(1, 7))": lambda: nn.AdaptiveAvgPool2d((1, 7)),
    "Dropout(p=0.5)": lambda: nn.Dropout(),
    "Dropout(p=0.2)": lambda: nn.Dropout(0.2),
    "BatchNorm2d(num_features=32)": lambda: nn.BatchNorm2d(32),
    "BatchNorm2d(num_features=32, affine=False)": lambda: nn.BatchNorm2d(32, affine=False),
    "LayerNorm(normalized_shape=10)": lambda: nn.LayerNorm(10),
    "GroupNorm(num_groups=2, num_channels=8)": lambda: nn.GroupNorm(2, 8),
    "ReLU": lambda: nn.ReLU(),
    "ReLU(inplace=True)": lambda: nn.ReLU(inplace=True),
    "Flatten(start_dim=1)": lambda: nn.Flatten(),
    "Sequential": lambda: nn.Sequential(nn.ReLU()),
    "Embedding(100 -> 8)": lambda: nn.Embedding(100, 8),
    "LSTM(10 -> 20, num_layers=2, batch_first=True)": lambda: nn.LSTM(10, 20, 2, batch_first=True),
    "GRUCell(3 -> 4)": lambda: nn.GRUCell(3, 4),
    "CrossEntropyLoss": lambda: nn.CrossEntropyLoss(),
    "CrossEntropyLoss(label_smoothing=0.1)": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "Block(channels=64)": lambda: Block(64),
    "Block(channels=64, reduction=2)": lambda: Block(64, 2, act=nn.ReLU()),
    "Keeps": lambda: Keeps(1, 2, 3),
}


@pytest.mark.parametrize(("text", "make"), BRIEFS.items(), ids=BRIEFS.keys())
def test_brief(text, make):
    assert brief(make()) == text


def test_a_module_path_ends_in_the_layer():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1)))
    stack = None
    for module in (model, model[0], model[0][1]):
        stack = (callsite.weakref.ref(module), stack)
    assert callsite.module_path(stack) == "Sequential.0.1: Dropout(p=0.1)"
    assert callsite.module_path(stack[1]) == "Sequential.0: Sequential"


def test_a_brief_that_fails_does_not_hide_the_error():
    class Odd(nn.Linear):
        def _brief(self):
            raise ValueError("no words")

    with pytest.raises(RuntimeError, match=r"in module Odd\n"):
        Odd(2, 3)(lucidlite.ones(2, 5))


# -- an error and its hint -------------------------------------------------------------------------


def test_the_hint_is_the_last_line():
    text = str(callsite.error(ValueError, "op: rule, got x=1", "try 2"))
    first, place, last = text.splitlines()
    assert (first, last) == ("op: rule, got x=1", "  hint: try 2")
    assert place.startswith(f"  at {__file__}:")
    held = str(callsite.error(ValueError, f"op: rule{callsite.HINT}try 3"))
    assert held.splitlines()[-1] == "  hint: try 3"
    assert callsite.HINT not in str(callsite.error(ValueError, "op: rule"))


# -- what is said ----------------------------------------------------------------------------------

float32, float64, uint8 = lucidlite.float32, lucidlite.float64, lucidlite.uint8
SAID = [
    (hints.for_linear, ((8, 16, 6, 6), 576), "flatten first? x.flatten(1) makes it (8, 576)"),
    (hints.for_linear, ((8, 16, 6, 6), 100), "makes it (8, 576), then in_features=576"),
    (hints.for_linear, ((8, 16, 6, 6), 16), "average each channel first?"),
    (hints.for_linear, ((8, 16, 6), 16), "x.transpose(1, 2) makes it (8, 6, 16)"),
    (hints.for_linear, ((3, 4, 4), 48), "one sample without a batch axis? x.reshape(1, 48)"),
    (hints.for_linear, ((28, 28), 784), "one sample without a batch axis?"),
    (hints.for_linear, ((16, 5), 16), "have to be 5, or turned around? x.t() makes it (5, 16)"),
    (hints.for_linear, ((16, 5, 12), 10), "in_features would have to be 12, the size of the last"),
    (hints.for_linear, ((16, 5), 7), "in_features would have to be 5"),
    (hints.for_linear, ((16,), 1), "x.unsqueeze(1) makes it (16, 1)"),
    (hints.for_linear, ((), 1), ""),
    (hints.for_channels, ("conv2d", (32, 32, 3), 3), "x.permute(2, 0, 1) makes it (3, 32, 32)"),
    (hints.for_channels, ("conv2d", (5, 7, 9), 7), "those are for Conv1d"),
    # A square image that happens to be as wide as the layer has channels.
    (hints.for_channels, ("conv2d", (2, 16, 32, 32), 32), "in_channels would have to be 16"),
    (hints.for_channels, ("conv2d", (16, 32, 32), 32), "in_channels would have to be 16"),
    (hints.for_channels, ("conv2d", (2, 4, 9, 9), 3), "RGBA"),
    (hints.for_channels, ("conv2d", (5, 1, 9, 9), 3), "grey images into a layer for colour?"),
    (hints.for_channels, ("conv2d", (5, 6, 9, 9), 8), "in_channels would have to be 6"),
    (hints.for_channels, ("conv1d", (5, 9, 1, 8), 8), "channels last? x.transpose(1, 2)"),
    (hints.for_images, ((4, 3072), 3), "x.reshape(-1, 3, 32, 32)"),
    (hints.for_images, ((28, 28), 1), "x.unsqueeze(0)"),
    (hints.for_images, ((2, 5, 3, 8, 8), 3), "x.flatten(0, 1) makes it (10, 3, 8, 8)"),
    (hints.for_images, ((7, 11), 3), ""),
    (hints.for_layer_dtype, (lucidlite.int64, float32), "whole numbers? x.float()"),
    (hints.for_layer_dtype, (float32, float64), "the model is in float64"),
    (hints.for_layer_dtype, (lucidlite.float16, float32), "amp.autocast() mixes them"),
    (hints.for_dtypes, (float32, float64), "float64 as NumPy makes it?"),
    (hints.for_dtypes, (float32, uint8), "whole numbers"),
    (hints.for_dtypes, (lucidlite.float16, float32), ""),
    (hints.for_broadcast, ((4, 3), (4,)), "b.unsqueeze(1) makes b (4, 1)"),
    (hints.for_broadcast, ((4,), (4, 3)), "a.unsqueeze(1) makes a (4, 1)"),
    (hints.for_broadcast, ((2, 8, 5, 5), (2, 8)), "b[:, :, None, None] makes b (2, 8, 1, 1)"),
    (hints.for_broadcast, ((2, 8, 5, 5), (8,)), "b.view(-1, 1, 1) makes b (8, 1, 1)"),
    (hints.for_broadcast, ((4, 3), (3, 4)), "b.t() makes b (4, 3)"),
    (hints.for_broadcast, ((2, 8, 5, 5), (2, 8, 3, 3)), "images of other sizes"),
    (hints.for_broadcast, ((4, 3), (5, 3)), "drop_last=True"),
    (hints.for_broadcast, ((4, 3), (4, 5)), ""),
    (hints.for_broadcast, ((4,), (5,)), ""),
    (hints.for_cat, ((2, 3), (2,), 0), "unsqueeze() adds one"),
    (hints.for_cat, ((2, 3), (2, 4), 0), "along dim 1 instead?"),
    (hints.for_cat, ((2, 3, 8, 8), (2, 5, 7, 7), 1), "an odd size loses a row in a pool"),
    (hints.for_cat, ((2, 3, 4), (5, 3, 6), 1), ""),
    (hints.for_matmul, ((2, 3), (4, 3)), "the second as b.mT is (3, 4)"),
    (hints.for_matmul, ((3, 2), (3, 4)), "the first as a.mT is (2, 3)"),
    (hints.for_matmul, ((2, 3), (4, 5)), ""),
    (hints.for_view, ((4, 10), 48), "12 elements for each of 4"),
    (hints.for_view, ((8, 256), 1280), "enough for 5 of 256: view(-1, 256) takes a batch"),
    (hints.for_view, ((8, 4, 4), 80), "enough for 5 of 16: view(-1, 4, 4) takes a batch"),
    (hints.for_view, ((-1, 10), 48), "flatten(1) keeps the batch"),
    (hints.for_view, ((7,), 6), ""),
    (hints.for_non_tensor, (np.ones(3),), "lucidlite.from_numpy(x), then .float()"),
    (hints.for_non_tensor, (np.ones(3, int),), "lucidlite.from_numpy(x)"),
    (hints.for_non_tensor, (np.float64(1),), "lucidlite.tensor(x)"),
    (hints.for_non_tensor, ([1.0, 2.0],), "lucidlite.tensor(x)"),
    (hints.for_non_tensor, ((lucidlite.ones(2), 1),), "a tuple of tensors: unpack it"),
    (hints.for_non_tensor, (None,), "`return`"),
    (hints.for_non_tensor, (nn.ReLU(),), "call it, as in model(x)"),
    (hints.for_non_tensor, (nn.ReLU(lucidlite.ones(2)),), "ReLU()(x) calls the layer"),
    (hints.for_non_tensor, (Block(lucidlite.ones(2)),), "call it, as in model(x)"),
    (hints.for_non_tensor, (2.0,), "did .item() make a number of it?"),
    (hints.for_non_tensor, ("x",), ""),
    (hints.for_class_shape, ((4, 3, 1, 1), (4,)), "x.flatten(1) makes them (4, 3)"),
    (hints.for_class_shape, ((2, 5, 3), (2, 5)), "x.permute(0, 2, 1)"),
    (hints.for_class_shape, ((2, 8, 8, 3), (2, 8, 8)), "x.permute(0, 3, 1, 2)"),
    (hints.for_class_shape, ((3, 5), (5,)), "turned around? x.t() makes it (5, 3)"),
    (hints.for_class_shape, ((4,), (4, 3)), "arguments swapped?"),
    (hints.for_class_shape, ((4, 3), (7,)), ""),
    (hints.for_class_shape, ((4, 3), (4, 5)), "of 5 classes, and scores of 3"),
    (hints.for_class_shape, ((2, 5, 8, 9), (2, 1, 8, 9)), "target.squeeze(1) makes it (2, 8, 9)"),
    (hints.for_one_hot, ((4, 3),), "target.argmax(1)"),
    (hints.for_one_hot, ((4, 1),), "one score a sample?"),
    (hints.for_one_hot, ((),), "one score a sample?"),
    (hints.for_class_dtype, (lucidlite.int64,), ""),
    (hints.for_same_shape, ((4,), (4, 1)), "target.squeeze(1) makes it (4,)"),
    (hints.for_same_shape, ((4, 3), (4,)), "class numbers? cross_entropy takes those"),
    (hints.for_same_shape, ((4, 3), (5, 2)), ""),
    (hints.for_batch_norm, ((2, 5, 5, 3), 3), "channels last?"),
    (hints.for_batch_norm, ((2, 5), 3), "num_features would have to be 5"),
    (hints.for_batch_norm, ((2, 5, 8, 8), 8), "num_features would have to be 5"),
    (hints.for_layer_norm, ((2, 5, 8, 8), (5,)), "GroupNorm(1, 5)"),
    (hints.for_layer_norm, ((2, 5, 8), (5,)), "x.transpose(1, 2) makes it (2, 8, 5)"),
    (hints.for_layer_norm, ((2, 12), (10,)), "normalized_shape would have to be 12"),
    (hints.for_layer_norm, ((2, 12), (3, 4)), ""),
    (hints.for_one_value, ((1, 4),), "DataLoader(drop_last=True)"),
    (hints.for_one_value, ((0, 4),), ""),
    (training_hints.for_no_grad, (True, True, True), "made in inference_mode()"),
    (training_hints.for_no_grad, (True, False, False), "whole numbers have no gradient"),
    (training_hints.for_no_module, (nn.ReLU,), "ReLU(...) makes a layer of it"),
    (training_hints.for_no_module, ([nn.ReLU()],), "nn.Sequential(*layers)"),
    (training_hints.for_no_module, (lucidlite.relu,), "call it in a module's forward()"),
    (training_hints.for_no_module, (3,), ""),
    (training_hints.for_no_state, ("weights.pt",), "lucidlite.load(path)"),
    (training_hints.for_no_state, (nn.ReLU(),), "its state_dict()"),
    (training_hints.for_no_state, (7,), ""),
    (training_hints.for_state_dict, (["a"], ["b"], {}), "another architecture"),
    (training_hints.for_state_dict, (["a"], [], {}), ""),
]


@pytest.mark.parametrize(("hint", "args", "text"), SAID)
def test_said(hint, args, text):
    found = hint(*args)
    assert (text in found) if text else found == "", found


CALL = r"(x\.\w+\([-\d, ]*\)|[ab](?:\.\w+\([-\d, ]*\)|\[.*?\]))"
ADVICE = re.compile(CALL + r" makes \w+ (\([\d, ]*\))")


def test_what_is_advised_works():
    """The shape that a hint promises is the one its call gives."""
    advised = 0
    for hint, args, _ in SAID:
        found = ADVICE.search(hint(*args))
        if found is None:
            continue
        shapes = [each for each in args if isinstance(each, tuple)]
        names = {name: lucidlite.zeros(*shape) for name, shape in zip("ab", shapes, strict=False)}
        names["x"] = names["a"]
        result = eval(found[1], names)
        assert str(tuple(result.shape)) == found[2], hint(*args)
        if hint is hints.for_broadcast:
            assert (result + names["a" if found[1][0] == "b" else "b"]).dim() >= result.dim()
        advised += 1
    assert advised == 16


def test_no_hint_fails_on_any_shape():
    draw = random.Random(0)

    def shape():
        return tuple(draw.choice((0, 1, 2, 3, 3, 4, 16)) for _ in range(draw.randrange(6)))

    for _ in range(3000):
        a, b, n = shape(), shape(), draw.choice((1, 2, 3, 16))
        assert isinstance(hints.for_linear(a, n), str)
        assert isinstance(hints.for_images(a, n), str)
        assert isinstance(hints.for_pool(a), str)
        assert isinstance(hints.for_broadcast(a, b), str)
        assert isinstance(hints.for_matmul(a, b), str)
        assert isinstance(hints.for_view(b, int(np.prod(a))), str)
        assert isinstance(hints.for_same_shape(a, b), str)
        assert isinstance(hints.for_batch_norm(a, n), str)
        assert isinstance(hints.for_layer_norm(a, b), str)
        if a:
            assert isinstance(hints.for_class_shape(a, b), str)
            assert isinstance(hints.for_one_hot(a), str)
            assert isinstance(hints.for_cat(a, b, draw.randrange(len(a))), str)
            assert isinstance(hints.for_one_value(a), str)
        if len(a) in (3, 4):
            assert isinstance(hints.for_channels("conv2d", a, n), str)
            assert isinstance(hints.for_channels("conv1d", a, n), str)
