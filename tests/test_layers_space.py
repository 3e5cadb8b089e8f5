"""Layers on places beside PyTorch's where a row of layer_cases can't say it: refusals, sizes asked
for, maxima put back, a network that goes down and up again."""

import numpy as np
import pytest
from parity import assert_close, libraries, numpy_of, quietly

import lucidlite
from lucidlite import nn

REFUSED = {
    "groups": lambda s: s.nn.Conv1d(3, 4, 3, groups=2),
    "no groups": lambda s: s.nn.ConvTranspose2d(3, 4, 3, groups=0),
    "padding word": lambda s: s.nn.Conv1d(3, 4, 3, padding="all"),
    "same and stride": lambda s: s.nn.Conv1d(3, 4, 3, stride=2, padding="same"),
    "padding mode": lambda s: s.nn.Conv1d(3, 4, 3, padding_mode="mirror"),
    "mode of a transposed one": lambda s: s.nn.ConvTranspose1d(3, 4, 3, padding_mode="reflect"),
    "no such size": lambda s: s.nn.ConvTranspose2d(3, 4, 3, stride=2)(s.ones(1, 3, 4, 4), (8, 8)),
    "too many sizes": lambda s: s.nn.ConvTranspose1d(3, 4, 3)(s.ones(1, 3, 4), (1, 2, 3, 4)),
    "too much padding": lambda s: s.nn.ConvTranspose2d(3, 4, 3, output_padding=1)(
        s.ones(1, 3, 4, 4)),
    "channels": lambda s: s.nn.Conv1d(3, 4, 3)(s.ones(1, 2, 8)),
    "rank": lambda s: s.nn.Conv1d(3, 4, 3)(s.ones(1, 3, 8, 8)),
    "dtypes": lambda s: s.nn.Conv1d(3, 4, 3)(s.ones(1, 3, 8).double()),
    "indivisible channels": lambda s: s.nn.GroupNorm(4, 6),
    "other channels": lambda s: s.nn.GroupNorm(2, 6)(s.ones(2, 4, 3)),
    "other features": lambda s: s.nn.LayerNorm(5)(s.ones(2, 4)),
    "rms of others": lambda s: s.nn.RMSNorm(5)(s.ones(2, 4)),
    "instance of one": lambda s: s.nn.InstanceNorm2d(3)(s.ones(2, 3, 1, 1)),
    "instances of a vector": lambda s: s.nn.InstanceNorm1d(3)(s.ones(3)),
    "affine of others": lambda s: s.nn.InstanceNorm2d(3, affine=True)(s.ones(2, 4, 5, 5)),
    "responses of a matrix": lambda s: s.nn.LocalResponseNorm(2)(s.ones(3, 4)),
    "unflatten a number": lambda s: s.nn.Unflatten(1, 6),
    "unflatten by floats": lambda s: s.nn.Unflatten(1, (2.0, 3)),
    "unflatten wrongly": lambda s: s.nn.Unflatten(1, (2, 4))(s.ones(2, 6)),
    "circular rank": lambda s: s.nn.CircularPad2d(1)(s.ones(4, 4)),
    "reflect too much": lambda s: s.nn.ReflectionPad1d(4)(s.ones(2, 3, 4)),
    "reflect rank": lambda s: s.nn.ReflectionPad2d(1)(s.ones(4, 4)),
    "no size": lambda s: s.nn.Upsample()(s.ones(1, 1, 4, 4)),
    "two sizes": lambda s: s.nn.Upsample(4, 2.0)(s.ones(1, 1, 4, 4)),
    "corners of nearest": lambda s: s.nn.Upsample(4, align_corners=True)(s.ones(1, 1, 4, 4)),
    "mode of another rank": lambda s: s.nn.Upsample(4, mode="linear")(s.ones(1, 1, 4, 4)),
    "no such mode": lambda s: s.nn.Upsample(4, mode="best")(s.ones(1, 1, 4, 4)),
    "pixels": lambda s: s.nn.PixelShuffle(2)(s.ones(1, 3, 4, 4)),
    "pixels back": lambda s: s.nn.PixelUnshuffle(3)(s.ones(1, 3, 4, 4)),
    "shuffled channels": lambda s: s.nn.ChannelShuffle(2)(s.ones(1, 3, 4, 4)),
    "blocks": lambda s: s.nn.Fold((4, 4), 2)(s.ones(1, 4, 7)),
    "block rows": lambda s: s.nn.Fold((4, 4), 2)(s.ones(1, 5, 9)),
    "no window fits": lambda s: s.nn.Unfold(5)(s.ones(1, 1, 4, 4)),
    "indices outside": lambda s: s.nn.MaxUnpool2d(2)(
        s.ones(1, 1, 1, 1), s.lib.full((1, 1, 1, 1), 4)),
    "indices of another shape": lambda s: s.nn.MaxUnpool2d(2)(
        s.ones(1, 1, 1, 1), s.lib.zeros(1, 1, 2, 2, dtype=s.lib.int64)),
    "indices of another dtype": lambda s: s.nn.MaxUnpool2d(2)(
        s.ones(1, 1, 1, 1), s.lib.zeros(1, 1, 1, 1)),
    "unpooled size": lambda s: s.nn.MaxUnpool1d(2)(
        s.ones(1, 1, 1), s.lib.zeros(1, 1, 1, dtype=s.lib.int64), (9,)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_torch_refuses(name):
    pytest.importorskip("torch", reason="compares with PyTorch")
    kinds = []
    for side in libraries():
        side.ones = side.lib.ones
        kinds.append(type(quietly(lambda side=side: REFUSED[name](side))[1]))
    assert kinds[0] is kinds[1] is not type(None)


@pytest.mark.parametrize("size", [(8, 9), (2, 4, 9, 8), [9, 9], None])
def test_a_transposed_convolution_goes_back_to_the_size_asked_for(size):
    pytest.importorskip("torch", reason="compares with PyTorch")
    ours, theirs = libraries()
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    layers = [side.nn.ConvTranspose2d(3, 4, 3, stride=2, padding=0) for side in (ours, theirs)]
    state = {k: theirs.lib.from_numpy(numpy_of(v)) for k, v in layers[0].state_dict().items()}
    layers[1].load_state_dict(state)
    if size is not None:
        size = type(size)(n + 1 if i >= len(size) - 2 else n for i, n in enumerate(size))
    got, want = (
        layer(side.lib.from_numpy(x), size)
        for side, layer in zip((ours, theirs), layers, strict=True)
    )
    assert_close(numpy_of(got), numpy_of(want), 1e-5, 1e-5)


@pytest.mark.parametrize("rank", [1, 2])
def test_maxima_are_put_back(rank):
    pool = getattr(nn, f"MaxPool{rank}d")(3, 2, return_indices=True)
    back = getattr(nn, f"MaxUnpool{rank}d")(3, 2)
    x = lucidlite.from_numpy(np.random.default_rng(0).permutation(2 * 3 * 8**rank).astype(
        np.float32).reshape(2, 3, *[8] * rank)).requires_grad_()  # fmt: skip
    maxima, places = pool(x)
    out = back(maxima, places, output_size=x.size())
    kept = out != 0
    assert out.shape == x.shape
    assert lucidlite.equal(out[kept], x[kept])
    assert lucidlite.equal(pool(out)[0], maxima)
    out.sum().backward()
    assert (x.grad != 0).sum() == len(np.unique(numpy_of(maxima)))


def test_a_network_that_goes_down_and_up_learns_its_input():
    lucidlite.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8), nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(8, 8, 3, padding=1),
        nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(8, 4, 3),
        nn.PixelShuffle(2), nn.AvgPool2d(2), nn.ConvTranspose2d(1, 1, 1),
    )  # fmt: skip
    x = lucidlite.randn(4, 1, 8, 8)
    optimizer = lucidlite.optim.Adam(net.parameters(), 0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_statistics_that_nobody_uses_are_warned_of():
    layer = nn.InstanceNorm2d(3)
    with pytest.warns(UserWarning, match="num_features=3"):
        layer(lucidlite.randn(2, 4, 5, 5))
