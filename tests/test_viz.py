"""viz.tape: what the page is given equals what backward does, and nothing is disturbed by it."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from viz_graphs import GRAPHS, Residual, Square, host, mixed, residual

import lucidlite
from lucidlite import nn, viz
from lucidlite.tape import AccumulateGrad
from lucidlite.viz.graph import nodes_of, short_path
from lucidlite.viz.numbers import statistics

F = nn.functional


def real(loss):
    """The nodes in the order ``backward`` takes them, and the norm of what arrives at each."""
    taken, handles = [], []
    for node in nodes_of(loss):

        def note(grads, node=node):
            arrived = [host(grad).astype(np.float64) for grad in grads if grad is not None]
            taken.append((node, math.sqrt(sum(float((each**2).sum()) for each in arrived))))

        handles.append(node.register_prehook(note))
    loss.backward(retain_graph=True)
    for handle in handles:
        handle.remove()
    return taken


# -- the graph and the walk ---------------------------------------------------------------------


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_order_and_norms_are_those_of_backward(make):
    loss = make()
    data = viz.tape(loss).data
    taken = real(loss)
    nodes = data["nodes"]
    assert [nodes[step["node"]]["number"] for step in data["steps"]] == [n.number for n, _ in taken]
    for step, (_, norm) in zip(data["steps"], taken, strict=True):
        assert nodes[step["node"]]["gradient"]["norm"] == pytest.approx(norm, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_nodes_are_the_graph(make):
    loss = make()
    data = viz.tape(loss).data
    graph = nodes_of(loss)
    assert data["totals"]["nodes"] == len(graph) == len(data["nodes"])
    assert graph[0] is loss.grad_fn
    for nr, (node, entry) in enumerate(zip(graph, data["nodes"], strict=True)):
        assert entry["id"] == nr
        assert (entry["number"], entry["name"]) == (node.number, node.name())
        assert [out["shape"] for out in entry["outputs"]] == [list(m[0]) for m in node.metas]
        targets = [(None, 0) if e is None else (graph.index(e[0]), e[1]) for e in node.edges]
        assert [(each["node"], each["output"]) for each in entry["inputs"]] == targets
        assert (entry["kind"] == "leaf") == isinstance(node, AccumulateGrad)
        assert entry["saved_bytes"] == node.saved_bytes()
        assert sum(each["bytes"] for each in entry["saved"]) == node.saved_bytes()
    numbers = [entry["number"] for entry in data["nodes"]]
    assert numbers == sorted(numbers, reverse=True)
    leaves = [entry for entry in data["nodes"] if entry["kind"] == "leaf"]
    assert data["totals"]["leaves"] == len(leaves)
    assert data["totals"]["saved_bytes"] == sum(node.saved_bytes() for node in graph)
    assert 0 <= data["totals"]["kept_bytes"] <= data["totals"]["saved_bytes"]


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_the_steps_explain_themselves(make):
    """Whoever gets a gradient waits; the youngest that waits is next; nobody waits at the end."""
    data = viz.tape(make()).data
    waiting = {0}
    for step in data["steps"]:
        assert step["node"] == min(waiting)
        waiting.discard(step["node"])
        edges = Counter(each["node"] for each in data["nodes"][step["node"]]["inputs"])
        for delivery in step["delivers"]:
            assert delivery["first"] == (delivery["node"] not in waiting)
            waiting.add(delivery["node"])
            edges[delivery["node"]] -= 1
        assert min(edges.values(), default=0) >= 0
        assert step.keys() == {"node", "delivers"}
    assert not waiting


def test_data_grow_with_the_graph():
    """Many that wait at once don't make every step longer."""
    sizes = []
    for count in (100, 200):
        leaves = [lucidlite.ones(1, requires_grad=True) for _ in range(count)]
        data = viz.tape(lucidlite.cat([leaf.tanh() for leaf in leaves]).sum()).data
        sizes.append(len(json.dumps(data)) / len(data["nodes"]))
    assert sizes[1] < 1.05 * sizes[0]


def test_a_gradient_that_never_comes():
    x = lucidlite.ones(2, requires_grad=True)

    class Dead(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, _grad):
            return None

    data = viz.tape(Dead.apply(x * 2).sum()).data
    assert [data["nodes"][step["node"]]["op"] for step in data["steps"]] == ["sum", "Dead"]
    assert data["nodes"][2]["gradient"] is None
    assert data["nodes"][2]["backward_ms"] is None
    assert data["totals"]["nodes"] == 4


def test_gradients_of_leaves_equal_grad():
    model, loss = residual()
    nodes = viz.tape(loss).data["nodes"]
    loss.backward()
    found = {entry["label"]: entry["gradient"] for entry in nodes if entry["kind"] == "leaf"}
    assert found.keys() == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        grad = host(parameter.grad).astype(np.float64)
        assert found[name]["norm"] == pytest.approx(np.linalg.norm(grad), rel=1e-5, abs=1e-12)
        for key in ("min", "max", "mean"):
            value = getattr(grad, key)()
            assert found[name][key] == pytest.approx(value, rel=1e-5, abs=1e-9)
        assert found[name]["zeros"] == pytest.approx((grad == 0).mean())
        assert sum(found[name]["histogram"]["counts"]) == grad.size


# -- nothing is disturbed -----------------------------------------------------------------------


def test_backward_afterwards_gives_the_same_bits():
    model, loss = residual()
    loss.backward()
    expected = [host(p.grad).copy() for p in model.parameters()]
    model, loss = residual()
    state = lucidlite.get_rng_state()
    before = {name: (t._version, host(t).copy()) for name, t in model.state_dict().items()}
    for _ in range(2):
        viz.tape(loss)
        assert all(p.grad is None for p in model.parameters())
    for name, tensor in model.state_dict().items():
        assert tensor._version == before[name][0]
        np.testing.assert_array_equal(host(tensor), before[name][1])
    assert str(lucidlite.get_rng_state()) == str(state)
    loss.backward()
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(host(parameter.grad), grad)


def test_grad_and_retained_grad_stay_as_they_are():
    x = lucidlite.ones(2, requires_grad=True)
    x.grad = lucidlite.full((2,), 5.0)
    y = x * 3
    y.retain_grad()
    loss = (y * y).sum()
    viz.tape(loss)
    assert x.grad.tolist() == [5.0, 5.0]
    assert y.grad is None
    loss.backward()
    assert y.grad.tolist() == [6.0, 6.0]
    assert x.grad.tolist() == [23.0, 23.0]


def test_hooks_that_change_gradients_run_and_those_after_them_do_not():
    x = lucidlite.ones(2, requires_grad=True)
    after = []
    x.register_hook(lambda grad: grad * 10)
    x.register_post_accumulate_grad_hook(after.append)
    data = viz.tape((x * 2).sum()).data
    assert data["nodes"][-1]["gradient"]["max"] == 20.0
    assert after == []


def test_random_numbers_of_a_backward_are_given_back():
    class Noisy(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, grad):
            return grad * lucidlite.rand(2)

    x = lucidlite.ones(2, requires_grad=True)
    loss = Noisy.apply(x).sum()
    lucidlite.manual_seed(4)
    expected = lucidlite.rand(3).tolist()
    lucidlite.manual_seed(4)
    viz.tape(loss)
    assert lucidlite.rand(3).tolist() == expected


def test_an_error_in_backward_leaves_no_trace():
    class Failing(lucidlite.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, _grad):
            raise ValueError("on purpose")

    x = lucidlite.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    loss = Failing.apply(y).sum()
    with pytest.raises(ValueError, match="on purpose"):
        viz.tape(loss)
    assert y.grad_fn.retained
    assert lucidlite.is_grad_enabled()


def test_under_no_grad():
    loss = mixed()
    with lucidlite.no_grad():
        assert viz.tape(loss).data["totals"]["nodes"] == len(nodes_of(loss))


# -- what is refused ----------------------------------------------------------------------------


def test_a_graph_that_is_freed():
    x = lucidlite.ones(2, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"before loss.backward\(\), or .*retain_graph=True"):
        viz.tape(loss)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    assert viz.tape(loss).data["totals"]["nodes"] == 3
    assert x.grad.tolist() == [4.0, 4.0]


def test_what_has_no_graph():
    x = lucidlite.ones(2, requires_grad=True)
    for function in (viz.tape, viz.to_mermaid):
        with pytest.raises(TypeError, match="loss must be a Tensor, got float"):
            function(1.0)
        with pytest.raises(RuntimeError, match=r"nothing was recorded .* doesn't require grad"):
            function(lucidlite.ones(1).sum())
        with pytest.raises(RuntimeError, match=r"nothing was recorded .* a leaf of shape"):
            function(x)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        viz.tape(x * 2)
    with pytest.raises(TypeError, match="profile must be"):
        viz.tape((x * 2).sum(), profile=[1.0])
    with pytest.raises(TypeError, match=r"viz.tape: path must be .* got int"):
        viz.tape((x * 2).sum(), 7)


def test_an_overwritten_tensor():
    x = lucidlite.ones(2, requires_grad=True)
    y = x * 1
    loss = (y * y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        viz.tape(loss)


# -- names --------------------------------------------------------------------------------------


def test_modules_are_entered_call_by_call():
    model, loss = residual()
    data = viz.tape(loss).data
    told = [(m["path"], m["kind"], m["parent"], m["call"], m["calls"]) for m in data["modules"]]
    assert told == [
        ("", "Residual", None, 1, 1),
        ("stem", "Conv2d", 0, 1, 1),
        ("block", "Sequential", 0, 1, 2),
        ("block.0", "Conv2d", 2, 1, 2),
        ("block.1", "BatchNorm2d", 2, 1, 2),
        ("block.2", "ReLU", 2, 1, 2),
        ("block", "Sequential", 0, 2, 2),
        ("block.0", "Conv2d", 6, 2, 2),
        ("block.1", "BatchNorm2d", 6, 2, 2),
        ("block.2", "ReLU", 6, 2, 2),
        ("head", "Linear", 0, 1, 1),
    ]
    assert data["modules"][1]["brief"] == model.stem._brief()
    placed = {}
    for node in reversed(data["nodes"]):
        placed.setdefault(node["module"], []).append(node["label"])
    assert placed[None] == ["cross_entropy"]
    assert placed[0] == ["relu", "max_pool2d", "add", "add", "mean"]
    assert placed[1] == ["stem.weight", "stem.bias", "conv2d"]
    assert placed[3] == ["block.0.weight", "block.0.bias", "conv2d"]
    assert placed[7] == ["conv2d"]
    assert placed[10] == ["head.weight", "head.bias", "linear"]
    assert data["title"] == "Residual"
    assert viz.tape(loss, title="mine").data["title"] == "mine"


def test_leaves_belong_to_this_graph_s_calls():
    """An earlier graph that is still there made the leaves; they are placed in the later one."""
    model, first = residual()
    second = F.cross_entropy(model(lucidlite.ones(2, 3, 8, 8)), lucidlite.tensor([0, 1]))
    data = viz.tape(second).data
    assert len(data["modules"]) == 11
    modules = {n["label"]: data["modules"][n["module"]] for n in data["nodes"]
               if n["kind"] == "leaf"}  # fmt: skip
    assert all(name.startswith(module["path"]) for name, module in modules.items())
    assert viz.tape(first).data["totals"]["nodes"] == data["totals"]["nodes"]


def test_names_that_meet():
    first, second, other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Conv2d(1, 1, 1)
    x = lucidlite.ones(1, 2, requires_grad=True)
    loss = nn.MSELoss()(other(second(first(x)).view(1, 1, 1, 2)), lucidlite.zeros(1, 1, 1, 2))
    data = viz.tape(loss).data
    labels = {node["label"] for node in data["nodes"] if node["kind"] == "leaf"}
    assert labels == {
        "input (1, 2)", "Linear 1.weight", "Linear 1.bias", "Linear 2.weight", "Linear 2.bias",
        "Conv2d.weight", "Conv2d.bias",
    }  # fmt: skip
    (given,) = [node for node in data["nodes"] if node["label"] == "input (1, 2)"]
    assert given["module"] is None


def test_modules_that_are_gone():
    loss = nn.Sequential(nn.Linear(2, 3), nn.ReLU())(lucidlite.ones(1, 2)).sum()
    data = viz.tape(loss).data
    assert data["modules"] == []
    assert {n["label"] for n in data["nodes"]} == {
        "sum", "relu", "linear", "parameter (3, 2)", "parameter (3,)",
    }  # fmt: skip


def test_a_module_made_for_one_call():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Linear(2, 2)

        def forward(self, x):
            return nn.Sequential(self.part, nn.ReLU())(x)

    model = Outer()
    data = viz.tape(model(lucidlite.ones(1, 2)).sum()).data
    assert [(m["path"], m["parent"]) for m in data["modules"]] == [("", None), ("part", 0)]
    placed = {node["label"]: node["module"] for node in data["nodes"]}
    assert placed == {"sum": None, "relu": 0, "linear": 1, "part.weight": 1, "part.bias": 1}


def test_a_part_that_is_called_past_its_parent():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(2, 2)])
            self.loose = [nn.Linear(2, 2)]

        def forward(self, x):
            return self.loose[0](self.parts[0](x))

    model = Outer()
    data = viz.tape(model(lucidlite.ones(1, 2)).sum()).data
    assert [module["path"] for module in data["modules"]] == ["", "parts.0", "Linear"]


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (lambda w: F.linear(lucidlite.ones(2, 3), w), ["input"]),
        (lambda w: F.linear(lucidlite.ones(2, 3, requires_grad=True) * 1, w), ["input", "input"]),
        (lambda w: F.linear(lucidlite.ones(2, 4), nn.Parameter(w.detach().t())), ["input"]),
        (lambda w: w * lucidlite.ones(4, 3), ["input"]),
        (lambda w: w.exp(), ["output"]),
        (lambda w: F.rrelu(w - 1, training=True), ["kept"]),
        (lambda w: F.conv2d(lucidlite.ones(1, 3, 2, 2), w.view(4, 3, 1, 1)), ["input", "input"]),
        (lambda w: F.cross_entropy(w, lucidlite.tensor([0, 1, 2, 0])), ["input", "kept"]),
        (lambda w: F.max_pool2d(w[None], 2, 1), []),
    ],
)
def test_what_is_kept(make, kept):
    result = make(lucidlite.ones(4, 3, requires_grad=True))
    nodes = viz.tape(result.sum()).data["nodes"]
    (entry,) = [node for node in nodes if node["number"] == result.grad_fn.number]
    told = [each["what"] for each in entry["saved"]]
    assert [what for what in told if what != "state"] == kept  # a kernel's state is its device's
    if entry["op"] == "max_pool2d":
        assert told == ["state"]


def test_sites_are_the_user_s_lines():
    x = lucidlite.ones(2, requires_grad=True)
    y = x.exp()
    loss = y.sum()  # this line
    site = viz.tape(loss).data["nodes"][0]["site"]
    assert site["text"] == "loss = y.sum()  # this line"
    assert site["function"] == "test_sites_are_the_user_s_lines"
    assert site["file"].endswith("test_viz.py")
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert lines[site["line"] - 1].strip() == site["text"]


def test_short_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(os.path.join(os.getcwd(), "src", "train.py")) == "src/train.py"
    assert short_path(os.path.join(os.sep, "far", "away", "src", "train.py")) == "src/train.py"
    assert short_path(os.path.join(os.sep, "tmp", "ipykernel_12", "34.py")) == "notebook cell"
    assert short_path("<stdin>") == "<stdin>"
    assert short_path(os.path.join(os.sep, "train.py")) == "train.py"


@pytest.mark.parametrize(
    ("make", "op"),
    [
        (lambda x: F.dropout(x, 0.5), "dropout"),
        (lambda x: F.linear(x, lucidlite.ones(4, 4)), "linear"),
        (lambda x: x @ x, "matmul"),
        (lambda x: x.sum(0), "sum"),
        (lambda x: F.gelu(x), "gelu"),
        (lambda x: F.softplus(x), "softplus"),
        (lambda x: x.tan(), "tan"),
        (lambda x: x[1:], "slice"),
        (lambda x: x[[0, 1]], "getitem"),
        (lambda x: x.transpose(0, 1), "transpose"),
        (lambda x: F.cross_entropy(x, lucidlite.tensor([0, 1, 2, 3])), "cross_entropy"),
        (lambda x: F.adaptive_avg_pool2d(x.view(1, 1, 4, 4), 2), "adaptive_avg_pool2d"),
        (lambda x: Square.apply(x), "Square"),
        (lambda x: x.max(), "max"),
        (lambda x: x**2, "pow"),
    ],
)
def test_ops_are_called_as_their_functions(make, op):
    result = make(lucidlite.ones(4, 4, requires_grad=True))
    nodes = viz.tape(result.sum()).data["nodes"]
    (entry,) = [node for node in nodes if node["number"] == result.grad_fn.number]
    assert entry["op"] == entry["label"] == op


# -- numbers ------------------------------------------------------------------------------------


def test_statistics_of_numbers_that_are_not_finite():
    found = statistics([np.array([1.0, np.nan]), np.array([[np.inf, 0.0, -3.0]])])
    assert found["norm"] is None
    assert found["mean"] is None
    assert (found["min"], found["max"], found["nan"], found["inf"]) == (-3.0, 1.0, 1, 1)
    assert found["zeros"] == 0.2
    assert (found["histogram"]["low"], found["histogram"]["high"]) == (-3.0, 1.0)
    counts = found["histogram"]["counts"]
    assert len(counts) == 32
    assert sum(counts) == 3
    assert counts[0] == counts[24] == counts[31] == 1
    assert statistics([np.full(3, np.nan)])["histogram"] is None
    assert statistics([]) is None
    assert statistics([np.zeros((0, 2))]) is None


def test_statistics_at_the_ends_of_the_range():
    largest = float(np.finfo(np.float64).max)
    found = statistics([np.array([largest, -largest])])
    assert found["norm"] is None  # more than a float holds
    assert found["histogram"] is None
    assert found["mean"] == 0.0
    assert statistics([np.array([1e-200, 0.0])])["norm"] == 1e-200
    tiny = statistics([np.array([5e-324, 0.0, -5e-324])])  # less than 1 / 32 apart from zero
    assert sum(tiny["histogram"]["counts"]) == 3
    assert tiny["zeros"] == 0.3333333
    same = statistics([np.full((4,), 2.0, np.float16)])
    assert same["norm"] == 4.0
    assert same["histogram"]["counts"][16] == 4


def test_times():
    loss = mixed()
    data = viz.tape(loss).data
    assert all(node["backward_ms"] > 0 for node in data["nodes"])
    total = sum(node["backward_ms"] for node in data["nodes"])
    assert data["totals"]["backward_ms"] == pytest.approx(total)
    assert data["totals"]["forward_ms"] is None
    number = loss.grad_fn.number
    for profile in ({number: 0.25}, type("Profile", (), {"forward_seconds": {number: 0.25}})()):
        data = viz.tape(loss, profile=profile).data
        assert data["nodes"][0]["forward_ms"] == 250.0
        assert data["nodes"][1]["forward_ms"] is None
        assert data["totals"]["forward_ms"] == 250.0


# -- all of it ----------------------------------------------------------------------------------


def test_the_data_is_plain_finite_json():
    for make in GRAPHS.values():
        data = viz.tape(make()).data
        assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_memory_that_two_nodes_keep_counts_once():
    x = lucidlite.ones(2, requires_grad=True)
    y = x.exp()
    totals = viz.tape((y * y).sum()).data["totals"]
    assert (totals["saved_bytes"], totals["kept_bytes"]) == (24, 8)
    first, second = lucidlite.ones(4, requires_grad=True).split(2)  # two halves are two pieces
    totals = viz.tape((first * second).sum()).data["totals"]
    assert (totals["saved_bytes"], totals["kept_bytes"]) == (16, 16)
    wide = lucidlite.ones(1, 2, requires_grad=True).expand(5, 2)
    totals = viz.tape((wide * wide).sum()).data["totals"]
    assert (totals["saved_bytes"], totals["kept_bytes"]) == (80, 8)


def test_a_second_look_is_the_same():
    _, loss = residual()
    first, second = viz.tape(loss).data, viz.tape(loss).data
    for data in (first, second):
        data["totals"].pop("backward_ms")
        for node in data["nodes"]:
            node.pop("backward_ms")
    assert first == second


def test_on_a_device(cuda):
    """The same page as on the CPU, but for times and the last digits."""
    told = []
    for device in ("cpu", cuda):
        lucidlite.manual_seed(0)
        model = Residual().to(device)
        x = lucidlite.rand(2, 3, 8, 8).to(device)
        loss = F.cross_entropy(model(x), lucidlite.tensor([0, 2]).to(device))
        told.append(viz.tape(loss).data)
    here, there = told
    assert there["device"] == "cuda:0"
    assert [n["label"] for n in here["nodes"]] == [n["label"] for n in there["nodes"]]
    assert here["modules"] == there["modules"]
    for one, other in zip(here["steps"], there["steps"], strict=True):
        assert one == other
    for one, other in zip(here["nodes"], there["nodes"], strict=True):
        norm = pytest.approx(one["gradient"]["norm"], rel=1e-3, abs=1e-6)
        assert other["gradient"]["norm"] == norm
        assert one["images"] == other["images"]
    captions = [[image["caption"] for image in data["images"]] for data in told]
    assert captions[0] == captions[1]


def test_backward_times_are_milliseconds(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) / 4)
    data = viz.tape(mixed()).data
    assert {node["backward_ms"] for node in data["nodes"]} == {250.0}
    assert data["totals"]["backward_ms"] == 250.0 * len(data["nodes"])


def test_forward_times_of_a_profile():
    profiler = pytest.importorskip("lucidlite.profiler")
    lucidlite.manual_seed(0)
    model = Residual()
    x, target = lucidlite.rand(2, 3, 8, 8), lucidlite.tensor([0, 2])
    with profiler.profile() as profile:
        loss = F.cross_entropy(model(x), target)
    nodes = viz.tape(loss, profile=profile).data["nodes"]
    for node in nodes:
        assert (node["forward_ms"] is None) == (node["kind"] == "leaf")
        if node["kind"] == "op":
            seconds = profile.forward_seconds[node["number"]]
            assert node["forward_ms"] == pytest.approx(seconds * 1e3)
