"""Every layer's weights from PyTorch to lucidlite and back, through files, by name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.parity.sides import Side
from lucidlite.parity.source import OURS, THEIRS
from lucidlite.parity.twins import from_source
from lucidlite.training.build import MODELS

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def whole(below, *shape):
    return RNG.integers(0, below, shape)


def call(layer, _lib, *inputs):
    return layer(*inputs)


def into_itself(layer, _lib, source):
    return layer(source, source, source)


def summed(layer, lib, scores):
    return layer(scores, lib.ones(len(scores), dtype=lib.int64))


def halves(layer, lib, scores):
    return layer(scores.sigmoid(), lib.full(tuple(scores.shape), 0.5))


def last_bag(layer, lib, tokens):
    return layer(tokens, lib.tensor([0, 3]))


# The layer, its inputs, how it is called where that is not layer(*inputs).
LAYERS = [
    (lambda nn: nn.Linear(5, 3), [real(4, 5)]),
    (lambda nn: nn.Linear(5, 3, bias=False), [real(4, 5)]),
    (lambda nn: nn.Bilinear(3, 4, 2), [real(5, 3), real(5, 4)]),
    (lambda nn: nn.Conv1d(2, 4, 3, groups=2), [real(2, 2, 9)]),
    (lambda nn: nn.Conv2d(3, 4, (3, 2), padding=1), [real(2, 3, 6, 5)]),
    (lambda nn: nn.Conv2d(4, 8, 3, groups=4, bias=False), [real(2, 4, 5, 5)]),
    (lambda nn: nn.ConvTranspose1d(2, 4, 3, stride=2), [real(2, 2, 5)]),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, stride=2, groups=2), [real(2, 4, 4, 3)]),
    (lambda nn: nn.BatchNorm1d(3), [real(5, 3)]),
    (lambda nn: nn.BatchNorm1d(3, affine=False), [real(5, 3, 4)]),
    (lambda nn: nn.BatchNorm2d(3), [real(2, 3, 4, 5)]),
    (lambda nn: nn.BatchNorm2d(3, momentum=None), [real(2, 3, 4, 5)]),
    (lambda nn: nn.BatchNorm2d(3, track_running_stats=False), [real(2, 3, 4, 5)]),
    (lambda nn: nn.InstanceNorm1d(3, affine=True, track_running_stats=True), [real(2, 3, 4)]),
    (lambda nn: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), [real(2, 3, 4, 5)]),
    (lambda nn: nn.GroupNorm(2, 4), [real(2, 4, 5)]),
    (lambda nn: nn.LayerNorm((4, 5)), [real(3, 4, 5)]),
    (lambda nn: nn.RMSNorm(5), [real(3, 5)]),
    (lambda nn: nn.PReLU(3, init=0.3), [real(2, 3, 4)]),
    (lambda nn: nn.Embedding(7, 3, padding_idx=1), [whole(7, 2, 4)]),
    (lambda nn: nn.EmbeddingBag(7, 3), [whole(7, 5)], last_bag),
    (lambda nn: nn.RNN(3, 4, 2, bidirectional=True), [real(5, 2, 3)]),
    (lambda nn: nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), [real(2, 5, 3)]),
    (lambda nn: nn.LSTM(3, 4, proj_size=2), [real(5, 2, 3)]),
    (lambda nn: nn.GRU(3, 4, 2, bias=False), [real(5, 2, 3)]),
    (lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"), [real(2, 3)]),
    (lambda nn: nn.LSTMCell(3, 4), [real(2, 3)]),
    (lambda nn: nn.GRUCell(3, 4), [real(2, 3)]),
    (lambda nn: nn.MultiheadAttention(8, 2), [real(4, 2, 8)], into_itself),
    (lambda nn: nn.MultiheadAttention(8, 2, kdim=5, vdim=6, add_bias_kv=True),
     [real(4, 2, 8), real(3, 2, 5), real(3, 2, 6)]),
    (lambda nn: nn.TransformerEncoderLayer(8, 2, 16), [real(4, 2, 8)]),
    (lambda nn: nn.TransformerDecoderLayer(8, 2, 16), [real(4, 2, 8), real(3, 2, 8)]),
    (lambda nn: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), 2, nn.LayerNorm(8)),
     [real(4, 2, 8)]),
    (lambda nn: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2),
     [real(4, 2, 8), real(3, 2, 8)]),
    (lambda nn: nn.Transformer(8, 2, 1, 1, 16), [real(4, 2, 8), real(3, 2, 8)]),
    (lambda nn: nn.ModuleList([nn.Linear(3, 4), nn.PReLU()]), [real(2, 3)],
     lambda layer, _, x: layer[1](layer[0](x))),
    (lambda nn: nn.ModuleDict({"a": nn.Linear(3, 4)}), [real(2, 3)],
     lambda layer, _, x: layer["a"](x)),
    (lambda nn: nn.ParameterList([nn.Linear(3, 4).weight]), [real(2, 3)],
     lambda layer, _, x: x @ layer[0].T),
    (lambda nn: nn.ParameterDict({"w": nn.Linear(3, 4).weight}), [real(2, 3)],
     lambda layer, _, x: x @ layer["w"].T),
    (lambda nn: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), [real(2, 3)]),
    (lambda nn: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), [real(2, 3)]),
    (lambda nn: nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 3)), [real(2, 1, 8, 8)]),
]  # fmt: skip

# The losses keep their weights as buffers, which PyTorch saves as well.
WEIGHTS = (0.5, 2.0, 1.0)
LOSSES = [
    ("CrossEntropyLoss", "weight", summed),
    ("NLLLoss", "weight", summed),
    ("MultiMarginLoss", "weight", summed),
    ("BCEWithLogitsLoss", "pos_weight", halves),
    ("BCELoss", "weight", halves),
    ("MultiLabelSoftMarginLoss", "weight", halves),
]

# Layers of which nothing is saved, and the bases of others.
STATELESS = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d AlphaDropout AvgPool1d
    AvgPool2d CELU ChannelShuffle CircularPad1d CircularPad2d CircularPad3d ConstantPad1d
    ConstantPad2d ConstantPad3d CosineEmbeddingLoss CosineSimilarity Dropout Dropout1d Dropout2d
    Dropout3d ELU FeatureAlphaDropout Flatten Fold GELU GLU GaussianNLLLoss Hardshrink Hardsigmoid
    Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity KLDivLoss L1Loss LPPool1d LPPool2d
    LeakyReLU LocalResponseNorm LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d MaxPool2d
    MaxUnpool1d MaxUnpool2d Mish Module MultiLabelMarginLoss NLLLoss2d PairwiseDistance
    PixelShuffle PixelUnshuffle PoissonNLLLoss RNNBase RNNCellBase RReLU
    ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d
    ReplicationPad3d SELU SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin
    Softplus Softshrink Softsign Tanh Tanhshrink Threshold TripletMarginLoss
    TripletMarginWithDistanceLoss Unflatten Unfold Upsample UpsamplingBilinear2d
    UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
"""


@pytest.fixture
def libraries():
    torch = pytest.importorskip("torch", reason="exchanges weights with PyTorch")
    return torch, pytest.importorskip("safetensors.torch", reason="needs lucidlite[safetensors]")


def built(build, lib, seed):
    """The layer with weights that no other has, after a step of training where there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = build(lib.nn)
    random = np.random.default_rng(seed)
    values = {}
    for key, tensor in layer.state_dict().items():
        old = tensor.detach().numpy()
        new = random.random(old.shape) + 0.1 if old.dtype.kind == "f" else random.integers(9)
        values[key] = lib.tensor(np.asarray(new, old.dtype))
    layer.load_state_dict(values)
    return layer.eval()


def outputs(layer, lib, inputs, how):
    def flat(result):
        if isinstance(result, (tuple, list)) and not hasattr(result, "numel"):
            for part in result:
                yield from flat(part)
        elif result is not None:
            yield result.detach().numpy()

    with lib.no_grad():
        return list(flat(how(layer, lib, *(lib.from_numpy(x.copy()) for x in inputs))))


def equal(ours, theirs, inputs, how, torch):
    one, other = outputs(ours, lucidlite, inputs, how), outputs(theirs, torch, inputs, how)
    assert one
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-5 * max(1, np.abs(b).max()))


def exchange(libraries, build, inputs, how, folder):
    torch, safetensors = libraries
    path = folder / "theirs.safetensors"
    theirs, ours = built(build, torch, 1), built(build, lucidlite, 2)
    safetensors.save_file(theirs.state_dict(), path)
    assert str(ours.load_state_dict(lucidlite.load(path))) == "<All keys matched successfully>"
    equal(ours, theirs, inputs, how, torch)

    theirs, ours = built(build, torch, 3), built(build, lucidlite, 4)
    path = folder / "ours.safetensors"
    lucidlite.save(ours.state_dict(), path)
    state = safetensors.load_file(path)
    assert str(theirs.load_state_dict(state, strict=True)) == "<All keys matched successfully>"
    equal(ours, theirs, inputs, how, torch)

    theirs, ours = built(build, torch, 5), built(build, lucidlite, 6)
    path = folder / "theirs.pt"
    torch.save(theirs.state_dict(), path)
    back = lucidlite.load(path)
    assert list(back) == list(theirs.state_dict())
    assert str(ours.load_state_dict(back)) == "<All keys matched successfully>"
    for key, tensor in theirs.state_dict().items():
        assert ours.state_dict()[key].numpy().tobytes() == tensor.numpy().tobytes()
    equal(ours, theirs, inputs, how, torch)


def title(row):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return type(row[0](nn)).__name__


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("row", LAYERS, ids=title)
def test_layers(libraries, row, tmp_path):
    build, inputs, how = (*row, call)[:3]
    exchange(libraries, build, inputs, how, tmp_path)


@pytest.mark.parametrize(("kind", "named", "how"), LOSSES)
def test_losses(libraries, kind, named, how, tmp_path):
    def build(there):
        lib = lucidlite if there is nn else libraries[0]
        return getattr(there, kind)(**{named: lib.tensor(WEIGHTS)})

    exchange(libraries, build, [real(4, 3)], how, tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_models(libraries, name, tmp_path):
    """The networks of the package, from one source in both libraries."""
    twins = from_source(name, (Side(OURS), Side(THEIRS)), 10, ())

    def build(there):
        return twins.make()[0 if there is nn else 1]

    exchange(libraries, build, [real(2, *twins.inputs.sizes[0])], call, tmp_path)


def test_the_table_has_every_layer():
    """A new layer is put into one of the two lists."""
    modules = {
        n for n in nn.__all__
        if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)
    }  # fmt: skip
    seen = {kind for kind, _, _ in LOSSES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in LAYERS:
            kinds = {type(module).__name__ for module in row[0](nn).modules()}
            seen |= {kind.removeprefix("Parametrized") for kind in kinds}
        assert not modules - seen - {*STATELESS.split()}
        for name in {*STATELESS.split()} & modules - {"RNNBase", "RNNCellBase"}:
            try:
                layer = getattr(nn, name)()
            except TypeError:  # settings without a default
                continue
            assert not layer.state_dict()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_of_other_precision(libraries, dtype, tmp_path):
    torch, safetensors = libraries
    theirs = torch.nn.Linear(3, 2).to(getattr(torch, dtype))
    safetensors.save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        state = lucidlite.load(tmp_path / name)
        expected = theirs.weight.detach()
        expected = (expected.float() if dtype == "bfloat16" else expected).numpy()
        assert state["weight"].numpy().dtype == expected.dtype
        assert state["weight"].numpy().tobytes() == expected.tobytes()
        ours = nn.Linear(3, 2)
        ours.load_state_dict(state)
        assert ours.weight.dtype is lucidlite.float32
        np.testing.assert_array_equal(ours.weight.detach().numpy(), expected.astype("float32"))


def test_tied_weights(libraries, tmp_path):
    """safetensors.torch.save_model leaves the second name out; what is written here has both."""
    torch, safetensors = libraries

    def tied(lib):
        model = lib.nn.Sequential(lib.nn.Linear(3, 3), lib.nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    theirs, ours = tied(torch), tied(lucidlite)
    path = tmp_path / "tied.safetensors"
    lucidlite.save(ours.state_dict(), path)
    theirs.load_state_dict(safetensors.load_file(path), strict=True)
    assert theirs[1].weight is theirs[0].weight
    np.testing.assert_array_equal(theirs[1].weight.tolist(), ours[1].weight.tolist())
    with pytest.raises(RuntimeError, match="share memory"):
        safetensors.save_file(theirs.state_dict(), path)
    theirs[0].weight.data.fill_(2)
    safetensors.save_model(theirs, path)
    found = ours.load_state_dict(lucidlite.load(path), strict=False)
    assert len(found.missing_keys) == 1
    assert ours[1].weight is ours[0].weight
    assert ours[1].weight.tolist() == [[2] * 3] * 3
