"""Attention and transformers: every setting against PyTorch, masks, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from layer_twins import same_as_torch, same_on_device, twins

import lucidlite
from lucidlite import nn

F = nn.functional
RNG = np.random.default_rng(0)
BATCH, LONG, SEEN, WIDTH = 3, 4, 5, 8


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch")


def values(*shape):
    return RNG.standard_normal(shape)


def mask(*shape):
    """True where attention doesn't go; the first key is seen by all."""
    found = RNG.random(shape) > 0.6
    found[..., 0] = False
    return found


SETTINGS = [
    {},
    {"bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"kdim": 5, "vdim": 6},
    {"batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
]
ASKED = [
    {"need_weights": True},
    {"need_weights": True, "average_attn_weights": False},
    {"need_weights": False},
]


def sequences(settings):
    """Query, keys and values for a layer of these settings."""
    widths = WIDTH, settings.get("kdim", WIDTH), settings.get("vdim", WIDTH)
    lengths = LONG, SEEN, SEEN
    first = settings.get("batch_first")
    return [
        values(BATCH, n, w) if first else values(n, BATCH, w)
        for n, w in zip(lengths, widths, strict=True)
    ]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_multihead(torch, settings, asked):
    def build(nn):
        return nn.MultiheadAttention(WIDTH, 2, **settings)

    padding, own = mask(BATCH, SEEN), mask(LONG, SEEN)
    each, numbers = mask(BATCH * 2, LONG, SEEN), np.where(own, -1e9, 0.3)

    def call(layer, _lib, q, k, v, attn_mask=None, key_padding_mask=None):
        masks = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask}
        return layer(q, k, v, **masks, **asked)

    def padded(layer, lib, q, k, v, key_padding_mask):
        return call(layer, lib, q, k, v, None, key_padding_mask)

    q, k, v = sequences(settings)
    same_as_torch(torch, build, [q, k, v], call, second=True)
    same_as_torch(torch, build, [q, k, v, padding], padded)
    for given in ([own], [own, padding], [each], [numbers]):
        same_as_torch(torch, build, [q, k, v, *given], call)
    alone = [values(LONG, WIDTH), values(SEEN, k.shape[-1]), values(SEEN, v.shape[-1])]
    same_as_torch(torch, build, [*alone, own, padding[0]], call)
    same_as_torch(torch, build, [q, k, v], call, dtype="float32")


@pytest.mark.parametrize("need_weights", [True, False])
def test_self_attention_with_the_causal_mask(torch, need_weights):
    later = np.triu(np.ones((LONG, LONG), bool), 1)

    def call(layer, _lib, x, later):
        return layer(x, x, x, need_weights=need_weights, attn_mask=later, is_causal=True)

    def build(nn):
        return nn.MultiheadAttention(WIDTH, 2)

    same_as_torch(torch, build, [values(LONG, BATCH, WIDTH), later], call, second=True)


@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
def test_multihead_on_device(cuda, settings):
    def call(layer, _lib, q, k, v, attn_mask):
        return layer(q, k, v, attn_mask=attn_mask), layer(q, k, v, need_weights=False)

    arrays = [*sequences(settings), mask(LONG, SEEN)]
    same_on_device(lambda nn: nn.MultiheadAttention(WIDTH, 2, **settings), arrays, cuda, call)


def test_initial_weights():
    lucidlite.manual_seed(0)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    assert layer.in_proj_bias.abs().sum() == 0
    assert layer.out_proj.bias.abs().sum() == 0
    bound = np.sqrt(6 / (64 + 192))
    assert 0.98 * bound < float(layer.in_proj_weight.abs().max()) <= bound
    assert abs(float(layer.bias_k.std()) - np.sqrt(2 / (64 + 64))) < 0.03


def test_a_query_that_sees_nothing_gets_nothing():
    x = lucidlite.tensor(values(3, 4), requires_grad=True)
    blind = lucidlite.tensor([[True] * 3, [False] * 3, [True, False, True]])
    out = F.scaled_dot_product_attention(x, x, x, blind)
    out.sum().backward()
    assert out[1].tolist() == [0.0] * 4
    assert not x.grad.isnan().any()


def test_half_precision_is_rounded_once(torch):
    arrays = [values(2, 6, 5, 16).astype(np.float16) for _ in range(3)]
    ours = F.scaled_dot_product_attention(*map(lucidlite.tensor, arrays), is_causal=True)
    wide = [torch.tensor(a).double() for a in arrays]
    exact = torch.nn.functional.scaled_dot_product_attention(*wide, is_causal=True)
    assert ours.dtype is lucidlite.float16
    np.testing.assert_allclose(ours.numpy(), exact.numpy(), rtol=1.2e-3, atol=1e-6)


def test_dropout_acts_in_training_alone():
    lucidlite.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.5)
    x = lucidlite.randn(6, 1, 8)
    weights = layer(x, x, x, average_attn_weights=False)[1]
    assert 0 < int((weights == 0).sum()) < weights.numel()
    layer.eval()
    assert layer(x, x, x)[1].sum(-1).allclose(lucidlite.ones(1, 6))


X = lucidlite.ones(2, 3, 4)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: F.scaled_dot_product_attention(X, X, X, X[0, :, :3] > 0, is_causal=True),
         RuntimeError, "should not be set when is_causal"),
        (lambda: F.scaled_dot_product_attention(X, X.double(), X), RuntimeError, "same floating"),
        (lambda: F.scaled_dot_product_attention(X.long(), X.long(), X.long()), RuntimeError,
         "floating point"),
        (lambda: F.scaled_dot_product_attention(X[0, 0], X, X), RuntimeError, "at least 2"),
        (lambda: F.scaled_dot_product_attention(X, X, X, X.long()), RuntimeError, "bool or float"),
        (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=2.0), RuntimeError,
         "between 0 and 1"),
        (lambda: F.scaled_dot_product_attention(X, X, X, X[:, :, :2]), RuntimeError, "must match"),
        (lambda: F.scaled_dot_product_attention(X, X[..., :3], X), RuntimeError, "matmul"),
        (lambda: F.scaled_dot_product_attention(X, X[:1].expand(3, 3, 4), X, enable_gqa=True),
         RuntimeError, "must divide the number of heads"),
        (lambda: nn.MultiheadAttention(4, 3), AssertionError, "divisible by num_heads"),
        (lambda: nn.MultiheadAttention(4, 0), ValueError, "greater than 0"),
        (lambda: nn.MultiheadAttention(4, 2)(X[0, 0], X, X), AssertionError, "1-D query"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X[0], X), AssertionError, "to be 3-D"),
        (lambda: nn.MultiheadAttention(6, 2)(X, X, X), AssertionError, "dimension of 6"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X, X[:1]), AssertionError, "value shape"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X, X, is_causal=True), RuntimeError,
         "Need attn_mask"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=X[0] > 0), RuntimeError,
         "2D attn_mask"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=X.long()), AssertionError,
         "only bool and floating"),
        (lambda: nn.MultiheadAttention(4, 2)(X, X, X, key_padding_mask=X[0] > 0), AssertionError,
         "key_padding_mask of shape"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), RuntimeError, "relu/gelu"),
        (lambda: nn.Transformer(4, 2, 1, 1, 4)(X, X[:, :1]), RuntimeError, "batch number"),
        (lambda: nn.Transformer(6, 2, 1, 1, 4)(X, X), RuntimeError, "feature number"),
    ],
)  # fmt: skip
def test_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_mixed_masks_warn():
    own, padding = X[0, :2, :2] * 0, lucidlite.zeros(3, 2).bool()
    with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask"):
        nn.MultiheadAttention(4, 2)(X, X, X, padding, attn_mask=own)


# -- transformers ----------------------------------------------------------------------------------

LAYERS = [{}, {"norm_first": True}, {"activation": "gelu", "batch_first": True}, {"bias": False}]


@pytest.mark.parametrize("settings", LAYERS, ids=str)
def test_encoder(torch, settings):
    options = {"dropout": 0.0, **settings}

    def one(nn):
        return nn.TransformerEncoderLayer(8, 2, 12, **options)

    def several(nn):
        return nn.TransformerEncoder(one(nn), 2, nn.LayerNorm(8), enable_nested_tensor=False)

    x = values(4, 3, 8)
    rows, length = (4, 3) if settings.get("batch_first") else (3, 4)
    padding, later = mask(rows, length), np.triu(np.ones((length, length), bool), 1)
    same_as_torch(torch, one, [x], second=True)
    same_as_torch(torch, one, [values(4, 8)])
    same_as_torch(torch, one, [x], dtype="float32")
    same_as_torch(torch, several, [x, padding], lambda m, _, x, p: m(x, src_key_padding_mask=p))
    same_as_torch(torch, several, [x, later])
    same_as_torch(torch, several, [x, later, padding])
    same_as_torch(torch, several, [x, later], lambda m, _, x, c: m(x, c, is_causal=True))

    def causal(layer, lib, x):
        make = lib.nn.Transformer.generate_square_subsequent_mask
        return layer(x, make(length, dtype=lib.float64))

    same_as_torch(torch, several, [x], causal)


@pytest.mark.parametrize("settings", LAYERS, ids=str)
def test_decoder_and_transformer(torch, settings):
    options = {"dropout": 0.0, **settings}
    arrays = [values(4, 3, 8), values(4, 3, 8)]
    length = 3 if settings.get("batch_first") else 4
    later = np.triu(np.ones((length, length), bool), 1)
    same_as_torch(torch, lambda nn: nn.TransformerDecoderLayer(8, 2, 12, **options), arrays)
    same_as_torch(torch, lambda nn: nn.Transformer(8, 2, 2, 1, 12, **options), [*arrays, later],
                  lambda m, _, x, y, c: m(x, y, tgt_mask=c, src_mask=c))  # fmt: skip


def test_transformer_on_device(cuda):
    same_on_device(lambda nn: nn.Transformer(8, 2, 1, 1, 12, dropout=0.0),
                   [values(4, 3, 8), values(4, 3, 8), np.triu(np.ones((4, 4), bool), 1)], cuda,
                   lambda m, _, x, y, c: m(x, y, tgt_mask=c))  # fmt: skip


def test_copies_have_weights_of_their_own(torch):
    ours, theirs = twins(torch, lambda nn: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 4), 3, enable_nested_tensor=False))  # fmt: skip
    assert len(list(ours.parameters())) == len(list(theirs.parameters())) == 3 * 12
    assert len({id(p) for p in ours.parameters()}) == 36
    assert ours.layers[0].linear1.weight.equal(ours.layers[2].linear1.weight)
