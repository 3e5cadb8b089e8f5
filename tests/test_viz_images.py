"""The pictures of a page, decoded: maps, filters, pooling windows and gradients."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from viz_graphs import host, pictured

import lucidlite
from lucidlite import nn, viz
from lucidlite.models import CNNWithGAP
from lucidlite.viz.images import Gallery

F = nn.functional


def pixels(data, nr):
    image = data["images"][nr]
    assert image["id"] == nr
    head, _, content = image["src"].partition(",")
    assert head == "data:image/png;base64"
    found = pytest.importorskip("PIL.Image").open(io.BytesIO(base64.b64decode(content)))
    assert found.size == (image["width"], image["height"])
    return np.asarray(found.convert("RGBA"))


def pooled():
    """A leaf of values 0..15, and the maxima of its 2 x 2 windows."""
    x = lucidlite.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    return viz.tape(F.max_pool2d(x, 2).sum()).data


def test_the_input_is_a_grey_map():
    data = pooled()
    _, _, leaf = data["nodes"]
    found = pixels(data, pictured(leaf)["input"])
    expected = np.rint(np.rint(np.arange(16) / 15 * 250) * 255 / 250).reshape(4, 4)
    np.testing.assert_array_equal(found[..., 0], expected)
    image = data["images"][pictured(leaf)["input"]]
    assert (image["low"], image["high"], image["scale"]) == (0.0, 15.0, "grey")
    assert image["caption"] == "1 channel, sample 0 of 1"


def test_gradients_are_red_and_blue():
    data = pooled()
    _, pool, leaf = data["nodes"]
    found = pixels(data, pictured(leaf)["gradient"])
    expected = np.full((4, 4, 4), 255)
    expected[1::2, 1::2] = 178, 24, 43, 255
    np.testing.assert_array_equal(found, expected)
    assert (pixels(data, pictured(pool)["gradient"]) == (178, 24, 43, 255)).all()
    image = data["images"][pictured(leaf)["gradient"]]
    assert (image["low"], image["high"], image["scale"]) == (-1.0, 1.0, "diverging")


def test_pooling_windows_frame_what_they_took():
    data = pooled()
    pool = data["nodes"][1]
    nr = pictured(pool)["windows"]
    assert [(each["what"], each["image"]) for each in pool["saved"]] == [("state", nr)]
    found = pixels(data, nr)
    zoom = found.shape[0] // 4
    assert found.shape == (4 * zoom, 4 * zoom, 4)
    orange = (found == (255, 127, 14, 255)).all(-1)
    framed = orange.reshape(4, zoom, 4, zoom).any((1, 3))
    assert np.argwhere(framed).tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]
    rules = (found == (70, 110, 160, 255)).all(-1)
    assert np.flatnonzero(rules.all(1)).tolist() == [0, 2 * zoom]
    assert np.flatnonzero(rules.all(0)).tolist() == [0, 2 * zoom]
    middle = found[zoom // 2 :: zoom, zoom // 2 :: zoom, 0]
    assert (np.diff(middle.reshape(-1).astype(int)) > 0).all()


def test_only_inputs_are_photos():
    x = lucidlite.rand(1, 3, 4, 4, requires_grad=True)
    data = viz.tape(x.relu().sum()).data
    scales = {
        t: data["images"][nr]["scale"] for n in data["nodes"] for t, nr in pictured(n).items()
    }
    assert scales == {"input": "colour", "output": "grey", "gradient": "diverging"}


def test_the_first_sample_is_shown():
    x = lucidlite.arange(8.0).view(2, 1, 2, 2).requires_grad_()
    data = viz.tape((x * x).sum()).data
    mul, leaf = data["nodes"][1:]
    image = data["images"][pictured(leaf)["input"]]
    assert (image["low"], image["high"]) == (0.0, 3.0)
    assert image["caption"] == "1 channel, sample 0 of 2"
    assert data["images"][pictured(leaf)["gradient"]]["high"] == 6.0
    assert mul["saved"][0]["image"] == mul["saved"][1]["image"] == image["id"]


def test_filters_and_input_channels_have_their_sides():
    w = nn.Parameter(lucidlite.zeros(2, 5, 3, 3))
    with lucidlite.no_grad():
        w[1, 3] = 1.0
    data = viz.tape(F.conv2d(lucidlite.ones(1, 5, 4, 4), w).sum()).data
    image = data["images"][pictured(data["nodes"][-1])["weight"]]
    assert (image["width"], image["height"]) == (4 * 3 + 3, 2 * 3 + 1)
    assert image["caption"] == "2 filters down, 4 of 5 input channels across"
    red = (pixels(data, image["id"]) == (178, 24, 43, 255)).all(-1)
    assert np.argwhere(red).min(0).tolist() == [4, 12]
    assert red.sum() == 9


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, 1), (3, 1, 0), (2, 3, 0)])
def test_pooling_windows_of_every_kind(size, stride, padding):
    lucidlite.manual_seed(1)
    x = lucidlite.randn(2, 5, 7, 9, requires_grad=True)
    result, where = F.max_pool2d(x, size, stride, padding, return_indices=True)
    data = viz.tape(result.sum()).data
    image = data["images"][pictured(data["nodes"][1])["windows"]]
    assert image["caption"] == "the element each window took, 4 of 5 channels, sample 0 of 2"
    found = pixels(data, image["id"])
    zoom = (image["width"] - 1) // 2 // 9
    assert (image["width"], image["height"]) == (2 * 9 * zoom + 1, 2 * 7 * zoom + 1)
    taken = {int(nr) for nr in host(where)[0, 0].reshape(-1)}
    rules = (found[: 7 * zoom, : 9 * zoom] == (70, 110, 160, 255)).all(-1)
    for axis, length in ((1, 7), (0, 9)):
        starts = [zoom * (nr * stride - padding) for nr in range(result.shape[3 - axis])]
        ruled = np.flatnonzero(rules.mean(axis) > 0.5).tolist()
        assert ruled == [start for start in starts if 0 <= start < zoom * length]
    tile = (found[: 7 * zoom, : 9 * zoom] == (255, 127, 14, 255)).all(-1)
    framed = tile.reshape(7, zoom, 9, zoom).any((1, 3))
    assert {int(nr) for nr in np.flatnonzero(framed)} == taken


def test_filters_maps_and_photos():
    lucidlite.manual_seed(0)
    model = CNNWithGAP()
    loss = F.cross_entropy(model(lucidlite.rand(2, 3, 16, 16)), lucidlite.tensor([1, 2]))
    data = viz.tape(loss).data
    by = {node["label"]: node for node in data["nodes"]}
    first = data["images"][pictured(by["features.0.weight"])["weight"]]
    assert (first["scale"], first["width"], first["height"]) == ("colour", 15, 15)
    assert first["caption"] == "16 of 64 filters, 3 input channels as colour"
    second = data["images"][pictured(by["features.3.weight"])["weight"]]
    assert (second["scale"], second["width"], second["height"]) == ("diverging", 15, 15)
    assert second["caption"] == "4 of 128 filters down, 4 of 64 input channels across"
    weight = host(model.features[3].weight)[:4, :4]
    assert second["high"] == -second["low"] == pytest.approx(np.abs(weight).max())
    shown = pixels(data, second["id"])
    red = shown[..., 0].astype(int) > shown[..., 2]
    for row in range(4):
        for column in range(4):
            tile = red[row * 4 : row * 4 + 3, column * 4 : column * 4 + 3]
            strong = np.abs(weight[row, column]) > second["high"] / 100
            assert (tile == (weight[row, column] > 0))[strong].all()
    convs = [node for node in data["nodes"] if node["op"] == "conv2d"]
    photo = data["images"][pictured(convs[-1])["input"]]
    assert (photo["scale"], photo["caption"]) == ("colour", "3 channels as colour, sample 0 of 2")
    relu = next(node for node in data["nodes"] if node["op"] == "relu")
    assert relu["saved"][0]["what"] == "output"
    assert relu["saved"][0]["image"] == pictured(relu)["output"]
    # What the next layer keeps as its input is the picture of the layer that made it.
    pools = [node for node in data["nodes"] if node["op"] == "max_pool2d"]
    assert convs[0]["saved"][0]["image"] == pictured(pools[1])["output"]
    assert [each["what"] for each in convs[0]["saved"][:2]] == ["input", "weight"]
    assert convs[0]["saved"][1]["image"] == pictured(by["features.6.weight"])["weight"]
    for node in data["nodes"]:
        shape = node["outputs"][0]["shape"]
        large = len(shape) == 4 and shape[2] * shape[3] > 1
        assert ("gradient" in pictured(node)) == large
    assert data["totals"]["images_left_out"] == 0


def test_maps_that_say_little():
    x = lucidlite.full((1, 2, 4, 4), 3.0, requires_grad=True)
    data = viz.tape((x * float("nan")).relu().sum()).data
    relu = data["nodes"][1]
    assert (pixels(data, pictured(relu)["output"])[:, :4] == (230, 0, 230, 255)).all()
    image = data["images"][pictured(relu)["output"]]
    assert (image["low"], image["high"]) == (None, None)
    constant = pixels(data, pictured(data["nodes"][-1])["input"])
    assert len(np.unique(constant[:, :4].reshape(-1, 4), axis=0)) == 1
    empty = lucidlite.zeros(0, 3, 4, 4, requires_grad=True)
    assert viz.tape(empty.relu().sum()).data["images"] == []


def test_a_tensor_written_to_since_is_not_shown_as_computed():
    x = lucidlite.ones(1, 1, 2, 2, requires_grad=True)
    y = x + 0
    loss = y.sum() + F.max_pool2d(y, 2).sum()
    y.mul_(5)

    class Careless(lucidlite.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(_ctx, grad):
            return grad

    z = x * 2
    loss = loss + Careless.apply(z).sum()
    kept = viz.tape(loss).data
    assert [each for n in kept["nodes"] for each in n["images"] if each["title"] == "output"]
    with lucidlite.no_grad():
        z.add_(1)
    data = viz.tape(loss).data
    assert not [each for n in data["nodes"] for each in n["images"] if each["title"] == "output"]


def test_pictures_shrink_to_the_budget():
    shapes = [(2, 64, 100, 100)] * 30
    room = Gallery(10_000_000)
    room.plan(shapes)
    assert (room._tiles, room._side) == (16, 128)
    tight = Gallery(1_000_000)
    tight.plan(shapes)
    assert tight._side < 128
    noise = lucidlite.rand(2, 64, 100, 100)
    small = Gallery(20_000)
    small.plan(shapes)
    for _ in shapes:
        small.maps(noise.array, noise.backend, "grey")
    assert sum(len(image["src"]) for image in small.images) <= 20_000
    assert small.left_out == 30 - len(small.images) > 0
    assert small.images[0]["caption"].endswith("sample 0 of 2, 1 of 4 rows and columns")


def test_the_page_of_a_cnn_stays_small():
    lucidlite.manual_seed(0)
    model = CNNWithGAP()
    loss = F.cross_entropy(model(lucidlite.randn(64, 3, 32, 32)), lucidlite.arange(64) % 10)
    tape = viz.tape(loss)
    assert len(tape.html().encode()) < 5_000_000
    assert len(tape.data["images"]) > 20
    assert len(tape.data["steps"]) == tape.data["totals"]["nodes"] == 21


def test_a_deep_network_stays_within_the_limit():
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()) for _ in range(40)]
    loss = nn.Sequential(*layers)(lucidlite.rand(1, 16, 64, 64)).mean()
    data = viz.tape(loss).data
    assert sum(len(image["src"]) for image in data["images"]) <= 3_000_000
    assert len(data["images"]) + data["totals"]["images_left_out"] >= 160
