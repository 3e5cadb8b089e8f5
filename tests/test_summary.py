"""summary: its numbers against hand counts and the tape, and that the model stays as it was."""

from __future__ import annotations

import cProfile
import json
import random
import sys
from typing import NamedTuple

import numpy as np
import pytest

import lucidlite as torch
from lucidlite import models, nn
from lucidlite.costs import Layer, Summary
from lucidlite.profiler import profile

F = nn.functional


def summary(model, *args, **kwargs):
    return torch.summary(model, *args, **{"time": False, **kwargs})


def work(model, *args, **kwargs):
    return summary(model, *args, **kwargs).multiply_adds


def nodes_of(*outputs):
    found, waiting = {}, [t.grad_fn for t in outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and node.number not in found:
            found[node.number] = node
            waiting += [other for other, _ in node.next_functions]
    return list(found.values())


# -- numbers -------------------------------------------------------------------------------------


def test_numbers_of_each_layer():
    model = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
    )
    table = summary(model, (4, 9, 9))
    root, conv, norm, relu, pool, flat, linear = table.layers
    assert (root.name, root.kind, root.depth, root.parameters) == ("", "Sequential", 0, 0)
    assert (conv.name, conv.kind, conv.depth, conv.calls) == ("0", "Conv2d", 1, 1)
    assert (conv.input, conv.output) == ((1, 4, 9, 9), (1, 6, 5, 5))
    assert conv.parameters == 6 * 2 * 6 + 6
    assert (conv.multiply_adds, conv.activation_bytes) == (150 * 2 * 6, 600)
    assert (norm.output, norm.parameters) == ((1, 6, 5, 5), 12)
    assert (norm.multiply_adds, norm.activation_bytes) == (0, 600)
    assert (relu.activation_bytes, pool.output, flat.output) == (600, (1, 6, 1, 1), (1, 6))
    assert flat.activation_bytes == 0  # a view
    assert (linear.output, linear.parameters, linear.multiply_adds) == ((1, 5), 30, 30)
    assert table.parameters == table.trainable == 78 + 12 + 30
    assert table.multiply_adds == 1800 + 30
    assert table.parameter_bytes == 4 * 120
    assert table.buffer_bytes == 6 * 4 + 6 * 4 + 8
    assert table.activation_bytes == 3 * 600 + 24 + 20
    assert table.inputs == ((1, 4, 9, 9),)


def test_work_agrees_with_the_formula_for_the_documented_cnn():
    convs = [(3, 64, 32), (64, 128, 16), (128, 256, 8)]
    formula = sum(9 * c * k * size * size for c, k, size in convs) + 256 * 10
    assert work(models.CNNWithGAP(), (3, 32, 32)) == formula


def test_work_of_every_layer_that_has_products():
    x, sequence = torch.zeros(2, 4, 10, 7), torch.zeros(2, 4, 10)
    assert work(nn.Conv2d(4, 6, 3, padding=1, dilation=2), x) == 2 * 6 * 8 * 5 * 4 * 9
    assert work(nn.Conv2d(4, 4, 3, groups=4), x) == 2 * 4 * 8 * 5 * 9
    assert work(nn.Conv2d(4, 6, 3), x[0]) == 6 * 8 * 5 * 4 * 9
    assert work(nn.Conv1d(4, 6, 3, stride=2), sequence) == 2 * 6 * 4 * 4 * 3
    # Each input meets all weights of its channel.
    assert work(nn.ConvTranspose2d(4, 6, 3, stride=2), x) == 2 * 4 * 10 * 7 * 6 * 9
    assert work(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), x) == 2 * 4 * 10 * 7 * 3 * 9
    assert work(nn.ConvTranspose1d(4, 6, 5), sequence) == 2 * 4 * 10 * 6 * 5
    assert work(nn.Linear(10, 3), sequence) == 2 * 4 * 10 * 3
    rows = torch.zeros(5, 3), torch.zeros(5, 4)
    assert work(nn.Bilinear(3, 4, 2), *rows) == 5 * (3 * 2 * 4 + 2 * 4)
    assert work(nn.MaxPool2d(2), x) == work(nn.AdaptiveAvgPool2d(3), x) == 0


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
def test_work_of_recurrent_layers(kind, gates):
    steps, batch, inputs, hidden = 7, 2, 3, 5
    x = torch.zeros(steps, batch, inputs)
    one = steps * batch * gates * hidden * (inputs + hidden)
    two = steps * batch * gates * hidden * (2 * hidden + hidden)
    assert work(kind(inputs, hidden), x) == one
    assert work(kind(inputs, hidden, num_layers=2, bidirectional=True), x) == 2 * one + 2 * two
    cell = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}[kind]
    assert work(cell(inputs, hidden), x[0]) == one // steps


def test_work_of_projected_lstm():
    x = torch.zeros(4, 2, 3)
    assert work(nn.LSTM(3, 5, proj_size=2), x) == 4 * 2 * (20 * 3 + 20 * 2 + 2 * 5)


@pytest.mark.parametrize("weights", [True, False])
def test_work_of_attention(weights):
    length, seen, batch, width, heads = 6, 5, 2, 8, 4
    query, other = torch.zeros(length, batch, width), torch.zeros(seen, batch, width)
    projections = batch * width * width * (length + 2 * seen + length)
    scores = batch * heads * length * seen * (width // heads)
    layer = nn.MultiheadAttention(width, heads)
    table = summary(layer, query, other, other, need_weights=weights)
    assert table.multiply_adds == projections + 2 * scores
    assert table["out_proj"].calls == 0  # its weight is used, it isn't called
    assert table["out_proj"].parameters == width * width + width


def test_work_outside_of_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(6, 3, 3, 3))
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            x = F.conv2d(x, self.weight).mean((2, 3))
            y = self.head(x) @ torch.zeros(2, 4)
            torch.einsum("ij,kj->ik", y, y)
            torch.addmm(y, x, torch.zeros(6, 4))
            torch.baddbmm(torch.zeros(3, 1, 1), torch.zeros(3, 2, 5), torch.zeros(3, 5, 4))
            torch.dot(y[0], y[0])
            F.linear(x, torch.zeros(6))
            return y

    table = summary(Net(), torch.zeros(2, 3, 5, 5))
    conv, products = 2 * 6 * 3 * 3 * 27, 2 * 2 * 4 + 2 * 2 * 4
    sums = 2 * 6 * 4 + 3 * 2 * 5 * 4
    assert table[""].multiply_adds == conv + products + sums + 4 + 2 * 6
    assert table["head"].multiply_adds == 2 * 6 * 2
    assert (table[""].parameters, table["head"].parameters) == (162, 14)


def test_a_batch_costs_its_size():
    model = models.LeNet()
    one, four = summary(model, (1, 28, 28)), summary(model, torch.zeros(4, 1, 28, 28))
    assert four.multiply_adds == 4 * one.multiply_adds
    assert four.activation_bytes == 4 * one.activation_bytes
    assert four.inputs == ((4, 1, 28, 28),)
    assert four.parameters == one.parameters


# -- what the tape keeps -------------------------------------------------------------------------


def by_module(model, *outputs):
    names = {module: name for name, module in model.named_modules()}
    sums = dict.fromkeys(names.values(), 0)
    for node in nodes_of(*outputs):
        made_in = None if node.modules is None else node.modules[0]()
        sums[names.get(made_in, "")] += node.saved_bytes()
    return sums


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_saved_bytes_are_what_the_nodes_keep(mode):
    torch.manual_seed(0)
    model = nn.Sequential(
        models.ResNet8(), nn.Dropout(0.5), nn.LayerNorm(10), nn.Sequential(nn.Linear(10, 4))
    )
    x = torch.randn(2, 3, 32, 32)
    table = summary(model, x, mode=mode)
    expected = by_module(model, model.train(mode == "train")(x))
    assert {layer.name: layer.saved_bytes for layer in table} == expected
    assert table.saved_bytes == sum(expected.values()) > 100_000
    if x.device.type == "cpu":  # a GPU draws the mask anew
        assert (table["1"].saved_bytes > 0) == (mode == "train")


def test_memory_of_the_tape_counts_pieces_once():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Flatten())
    table = summary(model, torch.zeros(10, 8))
    # The hidden values are kept by the relu and by the layer behind it; weights and the input
    # are there anyway.
    hidden, weight = 10 * 16 * 4, 16 * 4 * 4
    # The input for the first weight's gradient; nobody asks for the input's.
    assert table["0"].saved_bytes == 10 * 8 * 4
    assert table["1"].saved_bytes == hidden
    assert table["2"].saved_bytes == hidden + weight
    assert table.tape_bytes == hidden
    frozen = summary(model.requires_grad_(False), torch.zeros(10, 8))
    assert frozen.saved_bytes == frozen.tape_bytes == 0
    assert "kept for backward" not in str(frozen)
    wanted = summary(model, torch.zeros(10, 8, requires_grad=True))
    assert wanted["0"].saved_bytes == 8 * 16 * 4


def test_the_tapes_memory_counts_pieces_of_one_buffer_once():
    class Halves(nn.Module):
        def forward(self, x):
            first, second = (x + 1).split(2)
            return first * second

    halves = summary(Halves(), torch.ones(4, requires_grad=True))
    assert (halves.saved_bytes, halves.tape_bytes) == (16, 16)  # two pieces of 8 bytes

    class Whole(nn.Module):
        def forward(self, x):
            y = x.exp()
            return y[:2] * y[2:]

    whole = summary(Whole(), torch.ones(4, requires_grad=True))
    assert (whole.saved_bytes, whole.tape_bytes) == (32, 16)  # the halves are parts of the whole


def test_an_input_of_a_larger_graph_is_cut_off():
    weight = torch.ones(4, requires_grad=True)
    x = weight * 2
    table = torch.summary(nn.ReLU(inplace=True), x)
    assert table.saved_bytes == 16
    assert weight.grad is None
    assert x.tolist() == [2.0] * 4
    x.sum().backward()  # its graph is whole
    assert weight.grad.tolist() == [2.0] * 4


# -- the tree ------------------------------------------------------------------------------------


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(9, 9)
        self.frozen = nn.Linear(3, 2).requires_grad_(False)
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return {"out": [self.frozen(self.layer(self.layer(x)))]}


def test_shared_and_frozen_layers():
    table = summary(Twice(), (3,))
    assert [(each.name, each.calls, each.multiply_adds) for each in table] == [
        ("", 1, 0), ("layer", 2, 18), ("frozen", 1, 6), ("unused", 0, 0),
    ]  # fmt: skip
    assert (table.parameters, table.trainable) == (12 + 8 + 90, 12 + 90)
    assert table["frozen"].parameters == 8
    assert table["frozen"].trainable == 0
    assert table["layer"].activation_bytes == 24
    assert table["unused"].outputs == ()
    text = str(table)
    assert "  layer: Linear x2  1x3" in text
    assert "102 trainable, 8 frozen" in text


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(2)])
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.blocks[0][0].weight

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.tied(x))


def test_the_tree_and_its_order():
    table = summary(Nested(), (4,))
    assert [(layer.title, layer.name) for layer in table] == [
        ("Nested", ""),
        ("  blocks: ModuleList", "blocks"),
        ("    0: Sequential", "blocks.0"),
        ("      0: Linear", "blocks.0.0"),
        ("      1: ReLU", "blocks.0.1"),
        ("    1: Sequential", "blocks.1"),
        ("      0: Linear", "blocks.1.0"),
        ("      1: ReLU", "blocks.1.1"),
        ("  tied: Linear", "tied"),
        ("  head: Linear", "head"),
    ]
    assert table["blocks"].calls == 0
    assert table["tied"].parameters == 4  # its weight was counted at the first block
    assert table.parameters == sum(layer.parameters for layer in table) == 20 + 20 + 4 + 10
    lines = str(table).splitlines()
    assert [line.partition(":")[0].split()[0] for line in lines[3:13]] == [
        "Nested", "blocks", "0", "0", "1", "1", "0", "1", "tied", "head"
    ]  # fmt: skip


def test_depth_folds_what_is_below():
    whole, flat = summary(Nested(), (4,)), summary(Nested(), (4,), depth=1)
    assert [layer.name for layer in flat] == ["", "blocks", "tied", "head"]
    assert flat["blocks"].parameters == 40
    assert flat["blocks"].multiply_adds == 32
    for name in ("multiply_adds", "activation_bytes", "saved_bytes", "parameters"):
        assert getattr(flat, name) == getattr(whole, name)
        assert sum(getattr(layer, name) for layer in flat) == getattr(whole, name)
    (top,) = torch.summary(Nested(), (4,), depth=0)
    assert top.forward_seconds > 0
    with pytest.raises(ValueError, match="depth must be at least 0, got depth=-1"):
        summary(Nested(), (4,), depth=-1)


def test_a_single_layer_has_its_classes_name():
    assert [layer.title for layer in summary(nn.Linear(2, 2), (2,))] == ["Linear"]


# -- inputs --------------------------------------------------------------------------------------


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Many(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.mix = nn.Linear(4, 3)

    def forward(self, ids, state, extra, scale=1.0):
        x = self.embed(ids) + extra["shift"]
        return Pair(self.mix(x) * scale, state[0] + state[1])


def test_inputs_of_every_kind():
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    state = (torch.zeros(2), torch.ones(2))
    table = summary(Many(), ids, state, {"shift": torch.zeros(4)}, scale=2.0)
    assert table.inputs == ((2, 3), (2,), (2,), (4,))
    assert table[""].inputs == table.inputs
    assert table[""].outputs == ((2, 3, 3), (2,))
    assert "2x3x3 +1" in str(table)
    assert table["embed"].output == (2, 3, 4)
    assert table["mix"].multiply_adds == 2 * 3 * 4 * 3
    given = {"ids": ids, "state": Pair(*state), "extra": {"shift": 0.5}}
    assert summary(Many(), input_data=given).inputs == ((2, 3), (2,), (2,))
    listed = summary(Many(), input_data=[ids, state, {"shift": torch.zeros(4)}])
    assert listed.to_dict() == summary(Many(), ids, state, {"shift": torch.zeros(4)}).to_dict()


def test_shapes_instead_of_tensors():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 4, dtype=torch.float64)

        def forward(self, ids, x):
            return self.embed(ids).sum(1) * x

    table = summary(Both(), (3,), (4,), dtypes=[torch.int64, None])
    assert table.inputs == ((1, 3), (1, 4))
    assert table[""].activation_bytes == 4 * 8  # of the model's dtype
    sized = summary(Both(), input_size=[(5, 3), (5, 4)], dtypes=(torch.int64, torch.float64))
    assert sized.inputs == ((5, 3), (5, 4))
    assert summary(models.LeNet(), input_size=(2, 1, 28, 28)).inputs == ((2, 1, 28, 28),)
    with pytest.raises(ValueError, match="dtypes must have one for each shape, got 1 for 2"):
        summary(Both(), (3,), (4,), dtypes=[torch.int64])
    refused = ({}, 0), ({"input_data": torch.zeros(1, 3)}, 0), ({"input_size": (3,)}, 1)
    for given, count in refused:
        with pytest.raises(ValueError, match=f"one for each shape, got 2 for {count}"):
            summary(Both(), dtypes=[torch.int64] * 2, **given)


def test_without_an_input():
    table = summary(Nested())
    assert [layer.name for layer in table][:2] == ["", "head"]  # as they were registered
    assert table.parameters == 54
    assert (table.multiply_adds, table.forward_seconds) == (0, None)
    assert str(table).startswith("Nested, not run\nlayer")


def test_refused_inputs():
    model = models.LeNet()
    with pytest.raises(ValueError, match="positive sizes, got \\(1, 0, 28, 28\\)"):
        summary(model, (0, 28, 28))
    for size in (3, [3, "4"], [(1, 3), 4]):
        with pytest.raises(ValueError, match="a shape has positive sizes, got"):
            summary(model, input_size=size)
    with pytest.raises(ValueError, match="only one of them"):
        summary(model, (1, 28, 28), input_size=(1, 1, 28, 28))
    with pytest.raises(ValueError, match="mode must be same, train or eval, got mode='test'"):
        summary(model, (1, 28, 28), mode="test")
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got type"):
        summary(models.LeNet, (1, 28, 28))
    with pytest.raises(TypeError, match="no col_names here: all columns"):
        summary(model, (1, 28, 28), col_names=("output_size",))
    with pytest.raises(KeyError, match="has no layer 'conv9'"):
        summary(model, (1, 28, 28))["conv9"]


def test_a_batch_of_one_in_training():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="a larger batch, or mode='eval'"):
        summary(model, (3,))
    assert summary(model, (3,), mode="eval").mode == "evaluation mode"
    assert all(module.training for module in model.modules())


# -- time ----------------------------------------------------------------------------------------


def test_times_of_layers():
    table = torch.summary(Nested(), torch.zeros(2, 4))
    for layer in table:
        if layer.calls:
            assert layer.forward_seconds >= 0
        else:
            assert layer.forward_seconds is layer.backward_seconds is None
        assert (layer.backward_seconds is not None) == (layer.kind in ("Linear", "ReLU"))
    forward = [layer.forward_seconds for layer in table if layer.calls]
    assert table.forward_seconds == pytest.approx(sum(forward))
    assert table.backward_seconds > 0
    head = str(table).splitlines()[1]
    assert head.endswith("forward ms  backward ms")
    untimed = summary(Nested(), torch.zeros(2, 4))
    assert untimed.forward_seconds is untimed.backward_seconds is None
    assert str(untimed).splitlines()[1].endswith("saved")


def test_a_model_without_a_backward():
    class Stuck(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise NotImplementedError("there is no <way> back")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(Stuck.apply(self.layer(x)))

    table = torch.summary(Net(), (3,))
    assert table["layer"].forward_seconds > 0
    assert table["layer"].backward_seconds is None
    assert str(table).splitlines()[-1] == "backward not timed: there is no <way> back"
    assert table._repr_html_().endswith("<br>backward not timed: there is no &lt;way&gt; back</p>")
    plain = torch.summary(nn.Flatten(), (3, 4))  # nothing to go back to
    assert plain.forward_seconds > 0
    assert plain.backward_seconds is None


def test_a_layer_that_fails_and_another_way():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 4), nn.Linear(3, 4)

        def forward(self, x):
            try:
                return self.first(x)
            except RuntimeError:
                return self.second(x).sum(1)

    table = torch.summary(Net(), (3,))
    assert [(layer.name, layer.calls, layer.outputs) for layer in table] == [
        ("", 1, ((1,),)), ("first", 1, ()), ("second", 1, ((1, 4),)),
    ]  # fmt: skip
    assert all(layer.forward_seconds >= 0 for layer in table)
    assert table.activation_bytes == 16 + 4


# -- what it leaves alone ------------------------------------------------------------------------


class Restless(nn.Module):
    """Changes itself whenever it runs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.own = torch.Generator().manual_seed(3)
        self.register_buffer("total", torch.zeros(6))
        self.runs = 0
        self.seen = None

    def forward(self, x):
        self.runs += 1
        self.total += x.sum(0)
        self.seen = x = self.drop(self.norm(self.layer(x)))
        self.added = torch.rand(6, generator=self.own) + random.random() + np.random.rand()
        return x * torch.rand(6)


@pytest.mark.parametrize("mode", ["same", "train", "eval"])
def test_the_model_stays_as_it_was(mode):
    torch.manual_seed(5)
    model = nn.Sequential(Restless(), nn.ReLU())
    model[1].eval()
    x = torch.randn(4, 6)
    (x * model[0].layer.bias).sum().backward()

    def state():
        return {
            "modes": [module.training for module in model.modules()],
            "values": {k: v.numpy().tobytes() for k, v in model.state_dict().items()},
            "versions": {k: v._version for k, v in model.state_dict().items()},
            "tensors": [id(t) for t in (*model.parameters(), *model.buffers())],
            "grads": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
            "attributes": [sorted(vars(module)) for module in model.modules()],
            "restless": (model[0].runs, model[0].seen, model[0].own.get_state()),
            "generators": (torch.get_rng_state(), random.getstate()),
            "numpy": str(np.random.get_state()),
            "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
            "x": (x.numpy().tobytes(), x.requires_grad),
            "listener": sys.getprofile(),
        }

    before = state()
    torch.summary(model, x, mode=mode)
    after = state()
    for key, value in before.items():
        assert str(after[key]) == str(value), key
    # What the hooks of the model itself would have seen is undone too: a second run is like it.
    one, two = (summary(model, x, mode=mode).to_dict() for _ in range(2))
    assert one == two


def test_it_works_where_nothing_is_recorded():
    model = models.LeNet()
    table = summary(model, (1, 28, 28))
    with torch.no_grad():
        assert summary(model, (1, 28, 28)).saved_bytes == table.saved_bytes
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert summary(model, torch.ones(1, 1, 28, 28)).saved_bytes == table.saved_bytes
        assert torch.is_inference_mode_enabled()


def test_hooks_leave_after_an_error():
    model = models.LeNet()
    with pytest.raises(RuntimeError, match="channels"):
        summary(model, (3, 28, 28))
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(module.training for module in model.modules())
    assert sys.getprofile() is None


def test_other_profilers_wait():
    model, whole = nn.Linear(3, 2), 3 * 2
    with profile() as p:
        torch.ones(1)
        assert work(model, (3,)) == whole
        torch.zeros(1)
    names = [e.name for e in p.events() if e.parent is None]
    assert names[0] == "ones"
    assert names[-1] == "zeros"
    calls = []

    def other(frame, what, value):  # noqa: ARG001
        calls.append(what)

    sys.setprofile(other)
    try:
        assert work(model, (3,)) == whole
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)
    assert calls
    python = cProfile.Profile()
    python.enable()
    try:
        assert work(model, (3,)) == whole
        sorted([3, 1])
    finally:
        python.disable()
    assert any("sorted" in str(entry.code) for entry in python.getstats())


# -- as data and in a notebook -------------------------------------------------------------------


def test_data():
    table = torch.summary(Nested(), (4,))
    assert isinstance(table, Summary)
    assert all(isinstance(layer, Layer) for layer in table)
    data = table.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["multiply_adds"] == table.multiply_adds
    assert data["inputs"] == [[1, 4]]
    assert [layer["name"] for layer in data["layers"]] == [layer.name for layer in table]
    assert data["layers"][3]["outputs"] == [[1, 4]]
    assert data["layers"][3]["forward_seconds"] == table.layers[3].forward_seconds


def test_text():
    text = str(summary(models.ResNet8(), (3, 32, 32)))
    lines = text.splitlines()
    assert lines[0].startswith("ResNet8 for input 1x3x32x32 in training mode, on c")
    assert lines[1].split() == [
        "layer", "output", "parameters", "multiply-adds", "activations", "saved"
    ]  # fmt: skip
    (total,) = [line.split() for line in lines if line.startswith("total")]
    assert total[1:3] == ["78,042", "12,501,632"]
    assert lines[-2].startswith("parameters: 304.9 KiB, 78,042 trainable; buffers: ")
    assert "each piece counted once" in lines[-1]
    assert repr(summary(nn.Linear(1, 1), (1,))).startswith("Linear for input 1x1")


def test_html():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<b>", nn.Linear(2, 3))

        def forward(self, x):
            return self._modules["<b>"](x)

    table = summary(Odd(), (2,))
    html = table._repr_html_()
    assert html.startswith("<table><caption>Odd for input 1x2 in training mode")
    assert html.count("<tr>") == 1 + 2 + 1
    assert "  &lt;b&gt;: Linear" in html
    assert "<b>" not in html
    assert ">1x2</td>" in html  # the input has a column here
    assert ">6</td>" in html
    assert "parameters: 36 B, 9 trainable" in html
