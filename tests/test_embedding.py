"""Embedding, EmbeddingBag and Bilinear: their settings, and what the table of cases can't say."""

from __future__ import annotations

import numpy as np
import pytest
from layer_twins import same_as_torch, same_on_device, twins

import lucidlite
from lucidlite import nn

F = nn.functional
RNG = np.random.default_rng(0)
WORDS = RNG.integers(0, 5, (2, 4))
FLAT, OFFSETS = RNG.integers(0, 5, 7), np.array([0, 2, 2])

SETTINGS = [
    {},
    {"padding_idx": 1},
    {"padding_idx": -2},
    {"max_norm": 1.0},
    {"max_norm": 0.5, "norm_type": 1.0},
]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [*SETTINGS, {"scale_grad_by_freq": True}])
def test_embedding(torch, settings, dtype):
    same_as_torch(torch, lambda nn: nn.Embedding(5, 3, **settings), [WORDS], dtype=dtype)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_embedding_bag(torch, settings, mode):
    def build(nn):
        return nn.EmbeddingBag(5, 3, mode=mode, **settings)

    same_as_torch(torch, build, [WORDS])
    same_as_torch(torch, build, [FLAT, OFFSETS])


def test_bag_of_weighted_rows(torch):
    def call(layer, _lib, words, weights):
        return layer(words, per_sample_weights=weights)

    same_as_torch(torch, lambda nn: nn.EmbeddingBag(5, 3, mode="sum"), [WORDS, RNG.random((2, 4))],
                  call)  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(torch, bias):
    arrays = [RNG.standard_normal((2, 6, 3)), RNG.standard_normal((2, 6, 4))]
    same_as_torch(torch, lambda nn: nn.Bilinear(3, 4, 5, bias=bias), arrays, second=True)


@pytest.mark.parametrize("settings", SETTINGS)
def test_on_device(cuda, settings):
    same_on_device(lambda nn: nn.Embedding(5, 3, **settings), [WORDS], cuda)
    for mode in ("sum", "mean", "max"):
        same_on_device(lambda nn, mode=mode: nn.EmbeddingBag(5, 3, mode=mode, **settings),
                       [FLAT, OFFSETS], cuda)  # fmt: skip


def test_the_padding_row_is_zeros_and_stays_so():
    layer = nn.Embedding(4, 3, padding_idx=2)
    assert layer.weight[2].tolist() == [0, 0, 0]
    assert layer.weight[1].abs().sum() > 0
    layer(lucidlite.tensor([1, 2, 2])).sum().backward()
    assert layer.weight.grad.tolist() == [[0] * 3, [1] * 3, [0] * 3, [0] * 3]


def test_weights_start_normal():
    lucidlite.manual_seed(0)
    weight = nn.Embedding(200, 50).weight
    assert abs(float(weight.mean())) < 0.03
    assert abs(float(weight.std()) - 1) < 0.03


def test_frequency_divides_the_gradient_of_each_row():
    weight = lucidlite.ones(3, 1, dtype=lucidlite.float64, requires_grad=True)
    words = lucidlite.tensor([0, 2, 2])
    F.embedding(words, weight, scale_grad_by_freq=True).sum().backward()
    assert weight.grad.flatten().tolist() == [1, 0, 1]


def test_shortening_writes_to_the_weight():
    weight = lucidlite.tensor([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]], requires_grad=True)
    out = F.embedding(lucidlite.tensor([0, 2, 0]), weight, max_norm=1.0)
    np.testing.assert_allclose(out.tolist(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(weight.tolist(), [[0.6, 0.8], [6, 8], [0.3, 0.4]], rtol=1e-6)
    assert weight._version == 1


def test_from_pretrained():
    table = lucidlite.tensor([[1.0, 2.0], [3.0, 4.0]])
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    table[0, 0] = 9.0
    assert frozen(lucidlite.tensor(0)).tolist() == [9, 2]
    assert nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0).weight.requires_grad
    bag = nn.EmbeddingBag.from_pretrained(table, mode="sum")
    assert not bag.weight.requires_grad
    assert bag(lucidlite.tensor([[0, 1]])).tolist() == [[12, 6]]


def test_bags_may_be_empty_and_overlap_nothing(torch):
    ours, theirs = twins(torch, lambda nn: nn.EmbeddingBag(5, 3, mode="max", padding_idx=2))
    for words, offsets in (([], [0, 0]), ([2, 2], [0, 2]), ([4, 1, 2], [0, 0, 3])):
        found = [
            layer(lib.tensor(words, dtype=lib.int64), lib.tensor(offsets)).tolist()
            for lib, layer in ((lucidlite, ours), (torch, theirs))
        ]
        assert found[0] == found[1]


WORD = lucidlite.tensor([1])
TABLE = lucidlite.ones(3, 2)
BAGS = lucidlite.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: F.embedding(lucidlite.tensor([3]), TABLE), IndexError, "out of range in self"),
        (lambda: F.embedding(lucidlite.tensor([-1]), TABLE), IndexError, "got -1"),
        (lambda: F.embedding(lucidlite.ones(1), TABLE), RuntimeError, "Long, Int"),
        (lambda: F.embedding(WORD, lucidlite.ones(3)), RuntimeError, "'weight' must be 2-D"),
        (lambda: F.embedding(WORD, TABLE, padding_idx=3), AssertionError, "within num_embeddings"),
        (lambda: F.embedding(WORD, TABLE, sparse=True), NotImplementedError, "use sparse=False"),
        (lambda: nn.Embedding(3, 2, sparse=True), NotImplementedError, "use sparse=False"),
        (lambda: nn.Embedding(3, 2, padding_idx=-4), AssertionError, "within num_embeddings"),
        (lambda: nn.Embedding(3, 2, _weight=lucidlite.ones(2, 3)), AssertionError, "Shape of"),
        (lambda: nn.Embedding.from_pretrained(lucidlite.ones(3)), AssertionError, "2-dimensional"),
        (lambda: F.embedding_bag(BAGS, TABLE), ValueError, "offsets has to be a 1D Tensor"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS.view(1, 3)), ValueError, "offsets has to be"),
        (lambda: F.embedding_bag(BAGS.view(1, 3), TABLE, BAGS), ValueError, "input is 2D"),
        (lambda: F.embedding_bag(BAGS.view(1, 1, 3), TABLE), ValueError, "1D or 2D"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS + 1), RuntimeError, r"offsets\[0\] has to be 0"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS * 4), RuntimeError, "offsets must lie"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS, mode="prod"), ValueError, "one of sum, mean"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS, mode="max", scale_grad_by_freq=True),
         ValueError, "max mode"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS, per_sample_weights=lucidlite.ones(3)),
         NotImplementedError, "only supported for mode='sum'"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS, mode="sum",
                                 per_sample_weights=lucidlite.ones(2)), ValueError, "the shape of"),
        (lambda: nn.Bilinear(0, 2, 1), ValueError, "in1_features must be > 0"),
        (lambda: nn.Bilinear(3, 2, 1)(TABLE, TABLE), RuntimeError, "last dimensions"),
        (lambda: nn.Bilinear(2, 2, 1)(TABLE, TABLE[:2]), RuntimeError, "all dimensions but"),
    ],
)  # fmt: skip
def test_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
