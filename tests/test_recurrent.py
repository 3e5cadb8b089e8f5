"""RNN, LSTM, GRU, their cells and packed sequences: every setting against PyTorch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from layer_twins import same_as_torch, same_on_device
from parity import TEST_ALL

import lucidlite
from lucidlite import nn
from lucidlite.nn.utils import rnn as sequences

RNG = np.random.default_rng(0)
KINDS = ("RNN", "LSTM", "GRU")
STEPS, BATCH, IN, HIDDEN = 5, 2, 3, 4
EXTRA = {"RNN": {"nonlinearity": "relu"}, "LSTM": {"proj_size": 2}, "GRU": {}}

# Layers, both directions, batch first, bias, and what only one kind has.
GRID = list(itertools.product((1, 2), *[(False, True)] * 4))
CASES = [
    (kind, *each)
    for i, kind in enumerate(KINDS)
    for each in (GRID if TEST_ALL else GRID[i::5])
    if not (kind == "GRU" and each[-1])
]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch")


def values(*shape):
    return RNG.standard_normal(shape)


def with_state(layer, _lib, x, *state):
    """An LSTM's state is a pair."""
    if type(layer).__name__.startswith("LSTM") and state:
        return layer(x, state)
    return layer(x, *state)


def packed(layer, lib, x, *state):
    """The run over sequences of lengths 2, 5, 1 and 5, padded again."""
    utils = lib.nn.utils.rnn
    given = utils.pack_padded_sequence(x, [2, 5, 1, 5], batch_first=True, enforce_sorted=False)
    out, last = with_state(layer, lib, given, *state)
    return utils.pad_packed_sequence(out, batch_first=True, padding_value=0.5), last


def build_of(kind, layers, both, first, bias, extra):
    options = {"num_layers": layers, "bidirectional": both, "batch_first": first, "bias": bias}
    options.update(EXTRA[kind] if extra else {})
    return lambda nn: getattr(nn, kind)(IN, HIDDEN, **options)


def state_of(kind, layers, both, extra, *batch):
    """Arrays of the state before the first step."""
    rows, width = layers * (1 + both), 2 if kind == "LSTM" and extra else HIDDEN
    first = values(rows, *batch, width)
    return [first, values(rows, *batch, HIDDEN)] if kind == "LSTM" else [first]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layers(torch, case):
    kind, layers, both, first, _, extra = case
    build = build_of(*case)
    batch = STEPS if first else BATCH
    x = values(STEPS, BATCH, IN)
    same_as_torch(torch, build, [x], with_state)
    same_as_torch(torch, build, [x], with_state, dtype="float32")
    same_as_torch(torch, build, [x, *state_of(kind, layers, both, extra, batch)], with_state)
    same_as_torch(torch, build, [values(STEPS, IN)], with_state)
    same_as_torch(torch, build, [values(STEPS, IN), *state_of(kind, layers, both, extra)],
                  with_state)  # fmt: skip
    same_as_torch(torch, build, [values(4, 5, IN)], packed)
    same_as_torch(torch, build, [values(4, 5, IN), *state_of(kind, layers, both, extra, 4)], packed)


@pytest.mark.parametrize("kind", KINDS)
def test_second_gradients(torch, kind):
    build = build_of(kind, 2, True, False, True, False)
    same_as_torch(torch, build, [values(3, 2, IN)], second=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_cells(torch, kind, bias):
    def build(nn):
        return getattr(nn, f"{kind}Cell")(IN, HIDDEN, bias)

    for batch in ((), (2,)):
        state = [values(*batch, HIDDEN) for _ in range(2 if kind == "LSTM" else 1)]
        same_as_torch(torch, build, [values(*batch, IN)], second=True)
        same_as_torch(torch, build, [values(*batch, IN), *state], with_state)


def test_a_cell_with_relu(torch):
    same_as_torch(torch, lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"), [values(2, 3)])


@pytest.mark.parametrize("kind", KINDS)
def test_on_device(cuda, kind):
    build = build_of(kind, 2, True, True, True, True)
    same_on_device(build, [values(2, 4, IN)], cuda)
    same_on_device(build, [values(4, 5, IN)], cuda, packed)
    same_on_device(lambda nn: getattr(nn, f"{kind}Cell")(IN, HIDDEN), [values(2, IN)], cuda)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_its_cell_again_and_again(kind):
    lucidlite.manual_seed(0)
    layer, cell = getattr(nn, kind)(IN, HIDDEN), getattr(nn, f"{kind}Cell")(IN, HIDDEN)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, state = lucidlite.randn(STEPS, BATCH, IN), None
    outputs = []
    for step in x:
        state = cell(step, state)
        outputs.append(state[0] if kind == "LSTM" else state)
    np.testing.assert_allclose(
        layer(x)[0].tolist(), lucidlite.stack(outputs).tolist(), rtol=1e-5, atol=1e-6
    )


def test_initial_weights():
    lucidlite.manual_seed(0)
    for layer in (nn.LSTM(30, 100), nn.GRUCell(30, 100)):
        for weight in layer.parameters():
            top = float(weight.abs().max())
            assert 0.9 / math.sqrt(100) < top <= 1 / math.sqrt(100)
            assert abs(float(weight.mean())) < 0.02


def test_dropout_acts_between_layers_in_training():
    lucidlite.manual_seed(0)
    layer, x = nn.GRU(3, 4, 2, dropout=0.5), lucidlite.randn(5, 2, 3)
    assert not layer(x)[0].equal(layer(x)[0])
    layer.eval()
    assert layer(x)[0].equal(layer(x)[0])
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.GRU(3, 4, dropout=0.5)


def test_what_scripts_ask_of_a_layer():
    layer = nn.LSTM(3, 4, 2, bidirectional=True)
    layer.flatten_parameters()
    assert [len(weights) for weights in layer.all_weights] == [4] * 4
    assert layer.all_weights[1][0] is layer.weight_ih_l0_reverse
    assert layer._flat_weights[4] is layer.weight_ih_l0_reverse
    out, (h, c) = nn.LSTM(3, 4, batch_first=True)(lucidlite.ones(0, 5, 3))
    assert out.shape == (0, 5, 4)
    assert h.shape == c.shape == (1, 0, 4)


X = lucidlite.ones(2, 2, 3)


def zeros(*shape):
    return lucidlite.zeros(*shape)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: nn.LSTM(3, 4)(X[None]), ValueError, "LSTM: Expected input to be 2D or 3D, got 4D"),
        (lambda: nn.LSTM(5, 4)(X), RuntimeError, r"input.size\(-1\).*Expected 5, got 3"),
        (lambda: nn.LSTM(3, 4)(X, (zeros(1, 3, 4), zeros(1, 2, 4))), RuntimeError,
         r"hidden\[0\] size \(1, 2, 4\), got \[1, 3, 4\]"),
        (lambda: nn.LSTM(3, 4)(X, (zeros(1, 2, 4), zeros(1, 2, 5))), RuntimeError, r"hidden\[1\]"),
        (lambda: nn.LSTM(3, 4)(X, (zeros(2, 4), zeros(2, 4))), RuntimeError, "batched 3-D input"),
        (lambda: nn.GRU(3, 4)(X[0], zeros(1, 2, 4)), RuntimeError, "unbatched 2-D input"),
        (lambda: nn.GRU(3, 4)(X, zeros(1, 3, 4)), RuntimeError, "Expected hidden size"),
        (lambda: nn.GRU(3, 4)(X.double()), ValueError, "does not match weight dtype"),
        (lambda: nn.RNN(3, 4)(X[:0]), RuntimeError, "larger than 0"),
        (lambda: nn.RNN(3, 4, nonlinearity="gelu"), ValueError, "Select from 'tanh' or 'relu'"),
        (lambda: nn.RNN(3, 4, proj_size=2), ValueError, "only supported for LSTM"),
        (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "only supported for LSTM"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "smaller than hidden_size"),
        (lambda: nn.LSTM(3, 4, dropout=2), ValueError, r"range \[0, 1\]"),
        (lambda: nn.LSTM(3, 4, 1, 1), TypeError, "bias should be of type bool, got: int"),
        (lambda: nn.LSTM(3.0, 4), TypeError, "input_size should be of type int"),
        (lambda: nn.LSTM(0, 4), ValueError, "input_size must be greater than zero"),
        (lambda: nn.LSTM(3, 4, 0), ValueError, "num_layers must be greater than zero"),
        (lambda: nn.GRUCell(3, 4)(X), ValueError, "1D or 2D, got 3D"),
        (lambda: nn.GRUCell(5, 4)(X[0]), RuntimeError, "inconsistent input_size"),
        (lambda: nn.GRUCell(3, 4)(X[0], zeros(3, 4)), RuntimeError, "hidden must have shape"),
        (lambda: nn.GRUCell(3, 4)(X[0], X), ValueError, "Expected hidden to be 1D or 2D"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="x")(X[0]), RuntimeError, "Unknown nonlinearity"),
        (lambda: nn.LSTMCell(3, 4)(X[0].double()), RuntimeError, "same dtype"),
    ],
)  # fmt: skip
def test_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


# -- sequences of different lengths ----------------------------------------------------------------


def arrays_of(*lengths, tail=(2,)):
    return [values(n, *tail) for n in lengths]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("first", [True, False])
def test_padding(torch, first, side):
    given = arrays_of(2, 4, 1)
    pads = [
        lib.nn.utils.rnn.pad_sequence([lib.tensor(a) for a in given], first, 7.0, side)
        for lib in (lucidlite, torch)
    ]
    assert pads[0].tolist() == pads[1].tolist()
    lengths = lucidlite.tensor([2, 4, 1])
    if side == "right":
        back = sequences.unpad_sequence(pads[0], lengths, first)
        assert [b.tolist() for b in back] == [a.tolist() for a in given]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("lengths", [[4, 3, 1], [2, 4, 1], [3, 3, 3]])
def test_packing(torch, lengths, first):
    x = values(3, 4, 2) if first else values(4, 3, 2)
    found = []
    for lib in (lucidlite, torch):
        tensor = lib.tensor(x).requires_grad_()
        utils = lib.nn.utils.rnn
        pack = utils.pack_padded_sequence(tensor, lengths, first, enforce_sorted=False)
        out, sizes = utils.pad_packed_sequence(pack, not first, 0.5, total_length=6)
        (out * out).sum().backward()
        order = pack.sorted_indices.tolist()
        found.append([pack.data.tolist(), pack.batch_sizes.tolist(), order,
                      pack.unsorted_indices.tolist(), out.tolist(), sizes.tolist(),
                      tensor.grad.tolist()])  # fmt: skip
    if len(set(lengths)) == 3:  # the order of equal lengths is nobody's promise
        assert found[0] == found[1]
    else:
        assert found[0][-3:] == found[1][-3:]


def test_pack_and_unpack():
    given = [lucidlite.tensor(a) for a in arrays_of(4, 3, 1)]
    pack = sequences.pack_sequence(given)
    assert pack.sorted_indices is None
    assert pack.batch_sizes.tolist() == [3, 2, 2, 1]
    assert [t.tolist() for t in sequences.unpack_sequence(pack)] == [t.tolist() for t in given]
    assert isinstance(pack, tuple)
    assert repr(pack).startswith("PackedSequence(data=tensor(")
    data, sizes, *_ = pack.float()
    assert data.dtype is lucidlite.float32
    assert sizes is pack.batch_sizes
    assert pack.to(lucidlite.float64) is pack


def test_packed_on_device(cuda):
    given = [lucidlite.tensor(a) for a in arrays_of(2, 4)]
    pack = sequences.pack_sequence(given, enforce_sorted=False).to(cuda)
    assert pack.is_cuda
    assert pack.batch_sizes.device.type == "cpu"
    assert pack.unsorted_indices.device.type == "cuda"
    assert [t.tolist() for t in sequences.unpack_sequence(pack)] == [t.tolist() for t in given]
    assert not pack.cpu().is_cuda


def pack_of(shape, lengths, **options):
    return sequences.pack_padded_sequence(lucidlite.ones(*shape), lengths, **options)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: pack_of((4, 2), [2, 4]), RuntimeError, "enforce_sorted=False"),
        (lambda: pack_of((4, 2), [4, 0]), RuntimeError, "greater than 0"),
        (lambda: pack_of((4, 2), [5, 4]), RuntimeError, "must not exceed"),
        (lambda: pack_of((4, 2), [4]), RuntimeError, "equal to batch_size"),
        (lambda: pack_of((4, 2), lucidlite.ones(1, 2).long()), RuntimeError, "1D CPU int64"),
        (lambda: pack_of((0, 2), [0, 0]), RuntimeError, "Cannot pack empty"),
        (lambda: sequences.pad_sequence([]), RuntimeError, "empty list"),
        (lambda: sequences.pad_sequence(3), RuntimeError, "Expected iterable"),
        (lambda: sequences.pad_sequence([zeros(2, 3), zeros(2, 2)]), RuntimeError, "must be equal"),
        (lambda: sequences.pad_sequence([zeros(2)], padding_side="x"), RuntimeError, "left or rig"),
        (lambda: sequences.pad_packed_sequence(pack_of((4, 1), [4]), total_length=2), ValueError,
         "total_length=2"),
    ],
)  # fmt: skip
def test_sequence_refusals(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
