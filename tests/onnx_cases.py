"""Models for the tests of ONNX files: name, how to make it, its inputs (or their shapes)."""

from __future__ import annotations

import lucidlite as L
from lucidlite import nn
from lucidlite.nn import functional as F


class Net(nn.Module):
    """Parts by name, and a function of them and the inputs."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args):
        return self.run(self, *args)


def whole(*shape, most=5):
    return L.randint(0, most, shape)


def attention(**settings):
    return lambda: nn.MultiheadAttention(8, 2, batch_first=True, **settings)


def looking(mask=None, **named):
    def forward(net, x):
        seen = None if mask is None else mask(x)
        return net.part(x, x, x, **({} if mask is None else {"attn_mask": seen}), **named)

    return forward


def _last(net, x):
    return net.part(x)[0]


def _written(net, x):  # noqa: ARG001
    y = x * 2
    y[:, 0] = 1.0
    y[:, 1] += y[:, 2]
    return y.relu_()


def _through_a_view(net, x):  # noqa: ARG001
    y = x + 1
    row = y.view(-1)
    row.mul_(3)
    return y, row


def _into_zeros(net, x):  # noqa: ARG001
    out = L.zeros(2, 5, 4)
    out[:, 1:4] = x
    return out


def _shared(net, x):
    return net.a(net.b(net.a(x)))


def _tied(net, x):
    return F.linear(net.table(x), net.table.weight)


CAUSAL = looking(lambda x: nn.Transformer.generate_square_subsequent_mask(x.shape[1]))

MORE = [
    ("embedding", lambda: nn.Embedding(5, 3), [whole(2, 4)]),
    ("embedding-bag", lambda: nn.EmbeddingBag(5, 3, mode="mean"), [whole(2, 4)]),
    ("embedding-bag-sum", lambda: nn.EmbeddingBag(5, 3, mode="sum"), [whole(2, 4)]),
    ("bilinear", lambda: nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
    ("cosine", lambda: nn.CosineSimilarity(), [(2, 3), (2, 3)]),
    ("distance", lambda: nn.PairwiseDistance(), [(2, 3), (2, 3)]),
    ("rms", lambda: nn.RMSNorm(4), [(2, 3, 4)]),
    ("local-response", lambda: nn.LocalResponseNorm(3), [(2, 5, 4, 4)]),
    ("softmax2d", lambda: nn.Softmax2d(), [(2, 3, 4, 4)]),
    ("rnn", lambda: nn.RNN(3, 4), [(5, 2, 3)]),
    ("rnn-relu", lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True), [(2, 5, 3)]),
    ("rnn-both", lambda: nn.RNN(3, 4, 2, bidirectional=True, batch_first=True), [(2, 5, 3)]),
    ("lstm", lambda: nn.LSTM(3, 4, 2, batch_first=True), [(2, 5, 3)]),
    ("lstm-no-bias", lambda: nn.LSTM(3, 4, bias=False), [(5, 2, 3)]),
    ("lstm-both", lambda: nn.LSTM(3, 4, 2, bidirectional=True), [(5, 2, 3)]),
    ("lstm-unbatched", lambda: nn.LSTM(3, 4), [(5, 3)]),
    ("lstm-state", lambda: Net(lambda net, x, h, c: net.part(x, (h, c)), part=nn.LSTM(3, 4)),
     [(5, 2, 3), (1, 2, 4), (1, 2, 4)]),
    ("gru", lambda: nn.GRU(3, 4), [(5, 2, 3)]),
    ("gru-both", lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True), [(2, 5, 3)]),
    ("lstm-cell", lambda: nn.LSTMCell(3, 4), [(2, 3)]),
    ("gru-cell", lambda: nn.GRUCell(3, 4), [(2, 3)]),
    ("rnn-cell", lambda: nn.RNNCell(3, 4), [(2, 3)]),
    ("attention", lambda: Net(looking(), part=attention()()), [(2, 5, 8)]),
    ("attention-causal", lambda: Net(CAUSAL, part=attention()()), [(2, 5, 8)]),
    ("attention-no-weights", lambda: Net(looking(need_weights=False), part=attention()()),
     [(2, 5, 8)]),
    ("attention-more", lambda: Net(looking(average_attn_weights=False), part=attention(
        add_bias_kv=True, add_zero_attn=True)()), [(2, 5, 8)]),
    ("encoder-layer", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), [(2, 5, 8)]),
    ("encoder-layer-first", lambda: nn.TransformerEncoderLayer(
        8, 2, 16, norm_first=True, activation="gelu"), [(5, 2, 8)]),
    ("encoder", lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2), [(2, 5, 8)]),
    ("decoder-layer", lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
     [(2, 5, 8), (2, 4, 8)]),
    ("transformer", lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
     [(2, 5, 8), (2, 4, 8)]),
    ("unpool", lambda: Net(lambda net, x: net.back(*net.part(x)), part=nn.MaxPool2d(
        2, return_indices=True), back=nn.MaxUnpool2d(2)), [(2, 3, 6, 8)]),
    ("max-indices", lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True, return_indices=True),
     [(2, 3, 7, 8)]),
    ("adaptive-max-indices", lambda: nn.AdaptiveMaxPool2d(2, return_indices=True), [(2, 3, 6, 8)]),
    ("upsample-nearest", lambda: nn.Upsample(scale_factor=2), [(2, 3, 4, 5)]),
    ("upsample-nearest-size", lambda: nn.Upsample((6, 11)), [(2, 3, 4, 5)]),
    ("upsample-bilinear", lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"), [(2, 3, 4, 6)]),
    ("upsample-odd", lambda: nn.Upsample(scale_factor=(1.7, 2.3), mode="bilinear"),
     [(2, 3, 5, 7)]),
    ("upsample-size", lambda: nn.Upsample((7, 3), mode="bilinear"), [(2, 3, 4, 5)]),
    ("upsample-corners", lambda: nn.Upsample((7, 9), mode="bilinear", align_corners=True),
     [(2, 3, 4, 5)]),
    ("upsample-one", lambda: nn.Upsample((1, 9), mode="bilinear", align_corners=True),
     [(2, 3, 4, 5)]),
    ("upsample-linear", lambda: nn.Upsample(9, mode="linear"), [(2, 3, 5)]),
    ("upsample-bicubic", lambda: nn.Upsample((7, 9), mode="bicubic"), [(2, 3, 4, 5)]),
    ("upsample-trilinear", lambda: nn.Upsample(scale_factor=2, mode="trilinear"),
     [(1, 2, 3, 3, 4)]),
    ("antialias", lambda: Net(lambda _, x: F.interpolate(
        x, (3, 4), mode="bilinear", antialias=True)), [(2, 3, 8, 9)]),
    ("written", lambda: Net(_written), [(2, 4)]),
    ("through-a-view", lambda: Net(_through_a_view), [(2, 4)]),
    ("into-zeros", lambda: Net(_into_zeros), [(2, 3, 4)]),
    ("shared-weights", lambda: Net(_shared, a=nn.Linear(4, 4), b=nn.ReLU(inplace=True)), [(2, 4)]),
    ("tied-weights", lambda: Net(_tied, table=nn.Embedding(5, 3)), [whole(2, 4)]),
    ("weight-norm", lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), [(2, 4)]),
    ("spectral-norm", lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), [(2, 4)]),
    ("inplace-relu6", lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU6(inplace=True)), [(2, 4)]),
    ("dict", lambda: Net(lambda _, x: {"a": x + 1, "b": (x * 2, x.sum(1))}), [(2, 4)]),
    ("inputs-as-outputs", lambda: Net(lambda _, x: (x, x, x.view(-1))), [(2, 4)]),
    ("constant-output", lambda: Net(lambda net, x: (x * 2, net.w * 2), w=nn.Parameter(
        L.ones(3))), [(2, 4)]),
    ("negative-zero", lambda: Net(lambda _, x: 1 / (x * 0 * -0.0 + L.tensor([-0.0, 0.0]))),
     [(2, 2)]),
    ("integers", lambda: Net(lambda _, x: (x // 2, x % 3, x * 2.5, (x > 1).float(), x / 2)),
     [whole(2, 3)]),
    ("bools", lambda: Net(lambda _, x: L.where((x > 0) & ~(x > 1), x, 0.5)), [(2, 3)]),
    ("float64-number", lambda: Net(lambda _, x: x * L.tensor(0.1, dtype=L.float64) + 0.1),
     [(2, 3)]),
    ("slices", lambda: Net(lambda _, x: (x[:, 1:, ::2], x[0, ..., -1], x[:, None, :, -2:],
     x[..., [0, 2]], x[[0, 1], :, [1, 2]], x[:, L.tensor([True, False, True])])), [(2, 3, 4)]),
    ("joined", lambda: Net(lambda _, x: (L.cat([x, x * 2], 1), L.stack([x, x], -1),
     *x.split([1, 2], 1), *x.chunk(2, -1), *x.unbind(1), x.flip(1), x.roll(1, 2))), [(2, 3, 4)]),
    ("shapes", lambda: Net(lambda _, x: (x.view(2, -1), x.permute(2, 0, 1), x.transpose(1, 2),
     x.unsqueeze(1).squeeze(1), x.flatten(1), x.movedim(0, -1), x.expand(5, 2, 3, 4),
     x.repeat(2, 1, 3), x.unflatten(2, (2, 2)))), [(2, 3, 4)]),
    ("reductions", lambda: Net(lambda _, x: (x.mean(1), x.sum((0, 2), keepdim=True), x.max(1),
     x.amin(-1), x.std(1), x.var(), x.argmax(-1), x.norm(), x.logsumexp(1), x.prod(2),
     x.cumsum(1), x.topk(2, 1), x.sort(2, descending=True), (x > 0).any(1))), [(2, 3, 4)]),
    ("cross-entropy", lambda: nn.CrossEntropyLoss(), [(3, 4), whole(3, most=4)]),
    ("mse", lambda: nn.MSELoss(), [(3, 4), (3, 4)]),
    ("smooth-l1", lambda: nn.SmoothL1Loss(), [(3, 4), (3, 4)]),
    ("bce-logits", lambda: nn.BCEWithLogitsLoss(), [(3, 4), (3, 4)]),
    ("copied", lambda: Net(lambda _, x: (x.detach().clone() + x.data, L.zeros_like(x) + x[0])),
     [(2, 3)]),
    ("hardsigmoid", lambda: nn.Hardsigmoid(), [(3, 4)]),
    ("unpool1d", lambda: Net(lambda net, x: net.back(*net.part(x)), part=nn.MaxPool1d(
        2, return_indices=True), back=nn.MaxUnpool1d(2)), [(2, 3, 6)]),
    *(
        (name, lambda name=name: getattr(nn, name)(), [(3, 4), (3, 4)])
        for name in ("L1Loss", "HuberLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss",
                     "HingeEmbeddingLoss", "PoissonNLLLoss")
    ),
    ("kl-div", lambda: nn.KLDivLoss(reduction="batchmean"), [(3, 4), (3, 4)]),
    ("bce", lambda: Net(lambda net, x, y: net.part(x.sigmoid(), y.sigmoid()), part=nn.BCELoss()),
     [(3, 4), (3, 4)]),
    ("gaussian-nll", lambda: Net(lambda net, x, y: net.part(x, y, x.exp()),
     part=nn.GaussianNLLLoss()), [(3, 4), (3, 4)]),
    ("cosine-embedding", lambda: Net(lambda net, x, y: net.part(x, y, L.ones(3)),
     part=nn.CosineEmbeddingLoss()), [(3, 4), (3, 4)]),
    ("margin-ranking", lambda: Net(lambda net, x, y: net.part(x, y, L.ones(3)),
     part=nn.MarginRankingLoss()), [(3,), (3,)]),
    ("triplet", lambda: nn.TripletMarginLoss(), [(3, 4), (3, 4), (3, 4)]),
    ("multi-margin", lambda: Net(lambda net, x: net.part(x, L.tensor([1, 0, 3])),
     part=nn.MultiMarginLoss()), [(3, 4)]),
    ("nll", lambda: nn.NLLLoss(), [(3, 4), whole(3, most=4)]),
]  # fmt: skip


def given(inputs):
    return [each if hasattr(each, "array") else L.randn(*each) for each in inputs]
