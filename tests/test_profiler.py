"""profile: what it counts, how its times nest, the trace it writes, and that it changes nothing."""

from __future__ import annotations

import gc
import json
import sys
import threading
import weakref
from collections import Counter

import numpy as np
import pytest

import lucidlite as torch
from lucidlite import nn
from lucidlite.profiler import ProfilerActivity, profile, record_function

F = nn.functional


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(96, 5),
    )


def batch():
    torch.manual_seed(4)
    return torch.randn(3, 1, 12, 12), torch.tensor([0, 4, 2])


def train(model, optimizer, x, y):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@pytest.fixture
def profiled():
    """A step of ``network()``, two batches of a loader and a label."""
    model, (x, y) = network(), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=2)
    with profile() as p:
        train(model, optimizer, x, y)
        with record_function("reading"):
            for _ in loader:
                pass
    return p


def counts(p, kind):
    return {row.name: row.calls for row in p.key_averages() if row.kind == kind}


def spans(p, kind):
    return [event for event in p.events() if event.kind == kind]


# -- counts --------------------------------------------------------------------------------------


def test_calls_of_a_known_network(profiled):
    ops = counts(profiled, "op")
    reading = ops.pop("getitem")
    assert reading == 4  # images and labels, of two batches
    assert ops == {
        "conv2d": 2, "relu": 2, "max_pool2d": 1, "dropout": 1, "flatten": 1, "linear": 1,
        "cross_entropy": 1,
    }  # fmt: skip
    assert counts(profiled, "vjp") == {
        "NllLossBackward0": 1, "AddmmBackward0": 1, "ViewBackward0": 1, "MulBackward0": 1,
        "MaxPool2DWithIndicesBackward0": 1, "ReluBackward0": 2, "ConvolutionBackward0": 2,
        "AccumulateGrad": 6,
    }  # fmt: skip
    assert counts(profiled, "backward") == {"backward": 1}
    assert counts(profiled, "optimizer") == {"SGD.zero_grad": 1, "SGD.step": 1}
    assert counts(profiled, "data") == {"DataLoader.__next__": 2}
    assert counts(profiled, "label") == {"reading": 1}
    kinds = [event.name for event in spans(profiled, "module")]
    assert kinds == [
        "Sequential", "Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d", "Dropout", "Flatten",
        "Linear",
    ]  # fmt: skip


def test_what_an_event_says(profiled):
    here = __file__
    first, second = [e for e in spans(profiled, "op") if e.name == "conv2d"]
    assert first.shapes == ((3, 1, 12, 12), (4, 1, 3, 3), (4,))
    assert (first.module, second.module) == ("0", "2")
    assert first.parent.name == "Conv2d"
    assert first.parent.parent.name == "Sequential"
    assert first.output_bytes == 3 * 4 * 10 * 10 * 4
    assert first.site.filename == here
    assert first.site.function == "train"
    gradients = [e for e in spans(profiled, "vjp") if e.name == "ConvolutionBackward0"]
    assert [g.node for g in gradients] == [second.node, first.node]
    assert gradients[1].module == "0"
    assert gradients[0].parent.kind == "backward"
    assert gradients[0].site == first.site
    assert gradients[0].shapes == ((3, 6, 8, 8),)
    (step,) = [e for e in spans(profiled, "optimizer") if e.name == "SGD.step"]
    assert step.parent is None
    loads = spans(profiled, "data")
    assert [e.parent.name for e in loads] == ["reading", "reading"]
    assert {e.parent for e in spans(profiled, "op") if e.name == "getitem"} == set(loads)


def test_memory():
    x = torch.ones(10, 10, requires_grad=True)
    with profile() as p:
        y = x.exp()
        z = y.view(100)
        y.detach()
        w = torch.no_grad()(lambda: z.add_(1))()
    assert {e.name: (e.output_bytes, e.saved_bytes) for e in p.events()} == {
        "exp": (400, y.grad_fn.saved_bytes()), "view": (0, 0), "detach": (0, 0), "add_": (0, 0),
    }  # fmt: skip
    assert w is z
    row = next(row for row in p.key_averages() if row.name == "exp")
    assert (row.output_bytes, row.saved_bytes) == (400, 400)


def test_options_leave_out():
    x = torch.ones(2, 2, requires_grad=True)
    with profile(
        record_shapes=False, profile_memory=False, with_stack=False, with_modules=False
    ) as p:
        nn.Linear(2, 2)(x).sum().backward()
    assert not spans(p, "module")
    for event in p.events():
        assert (event.shapes, event.output_bytes, event.saved_bytes) == ((), 0, 0)
        assert event.site is None
    assert counts(p, "op")["linear"] == 1


def test_operations_made_of_operations():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2)
    lstm, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    x = torch.randn(5, 2, 8)
    with profile() as p, torch.no_grad():
        attention(x, x, x, need_weights=False)
        lstm(torch.ones(6, 2, 3))
        cell(torch.ones(2, 3))
    ops = counts(p, "op")
    assert ops["multi_head_attention_forward"] == ops["scaled_dot_product_attention"] == 1
    assert ops["linear"] == 2 + 2  # in, out; the gates of an input and of a state
    assert ops["recurrent_layer"] == ops["lstm_step"] == 1
    assert ops["softmax"] == 1
    outer = next(e for e in p.events() if e.name == "multi_head_attention_forward")
    inner = next(e for e in p.events() if e.name == "scaled_dot_product_attention")
    assert inner.parent is outer
    assert outer.held > 3


def test_a_function_of_the_user():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.pow(3)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * x.square()

    x = torch.ones(3, requires_grad=True)
    with profile() as p:
        y = Cube.apply(x)
        y.sum().backward()
    assert [(e.name, e.parent and e.parent.name) for e in spans(p, "op")] == [
        ("Cube", None), ("pow", "Cube"), ("sum", None),
        ("square", "CubeBackward"), ("mul", "CubeBackward"),
    ]  # fmt: skip
    assert y.grad_fn.number in p.forward_seconds
    assert y.grad_fn.number in p.backward_seconds


def test_in_place_and_creation_have_their_own_names():
    with profile() as p:
        x = torch.zeros(3)
        x.add_(1).relu_()
        x[0] = 5.0
        F.relu(x, inplace=True)
        x.to(torch.float64)
        x.to(torch.float32)  # is that already
        assert x.is_floating_point()
        assert not torch.equal(x, x + 1)
    ops = counts(p, "op")
    assert ops["zeros"] == ops["add_"] == ops["add"] == ops["setitem"] == ops["to"] - 1 == 1
    assert ops["relu_"] == 2
    assert "is_floating_point" not in ops


def test_every_optimizer_and_closure():
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with profile() as p:
        optimizer.step(closure)
    (step,) = [e for e in spans(p, "optimizer") if e.name == "LBFGS.step"]
    runs = spans(p, "backward")
    assert len(runs) == counts(p, "optimizer")["LBFGS.zero_grad"] >= 1
    assert {e.parent for e in runs} == {step}


# -- times ---------------------------------------------------------------------------------------


def check_nesting(p):
    """Children lie in their parents and don't overlap; self times and sums are what they say."""
    inside = {}
    for event in p.events():
        assert 0 <= event.start <= event.end
        if event.kind != "step":
            inside.setdefault(event.parent, []).append(event)
    for parent, children in inside.items():
        ends = [0 if parent is None else parent.start]
        for child in children:  # in the order of beginnings
            assert child.start >= ends[-1]
            ends.append(child.end)
        if parent is not None:
            assert ends[-1] <= parent.end
            assert parent.inner == sum(c.end - c.start for c in children)
            assert parent.held == len(children)
    for event in p.events():
        assert event.self_seconds >= 0
        assert event.seconds >= event.self_seconds


def test_times_nest(profiled):
    check_nesting(profiled)
    rows = profiled.key_averages()
    whole = sum(row.self_seconds for row in rows)
    assert 0 < whole <= profiled.seconds * (1 + 1e-9)
    assert sum(row.share for row in rows) <= 1 + 1e-9
    roots = sum(e.seconds for e in profiled.events() if e.parent is None)
    selves = sum(e.self_seconds for e in profiled.events())
    assert abs(roots - selves) < 1e-9
    for row in rows:
        named = [e for e in profiled.events() if e.name == row.name]
        assert row.total_seconds == pytest.approx(sum(e.seconds for e in named))
        assert row.mean_seconds == pytest.approx(row.total_seconds / len(named))
        heaviest = max(named, key=lambda e: e.end - e.start - e.inner)
        assert row.shapes == heaviest.shapes


def test_seconds_of_nodes():
    model, (x, y) = network(), batch()
    with profile() as p:
        loss = F.cross_entropy(model(x), y)
        loss.backward(retain_graph=True)
    ops = {e.node: e for e in spans(p, "op")}
    numbers, pending = set(), [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node.number in numbers:
            continue
        numbers.add(node.number)
        assert p.backward_seconds[node.number] >= 0
        if node.name() == "AccumulateGrad":
            assert node.number not in p.forward_seconds
        else:
            seconds = p.forward_seconds[node.number]
            assert 0 <= seconds <= ops[node.number].seconds + 1e-9
        pending += [other for other, _ in node.next_functions if other is not None]
    assert set(p.backward_seconds) == numbers
    assert len(p.forward_seconds) == 9
    assert p.events()[0].name == "Sequential"


def test_nodes_inside_an_operation_have_their_own_time():
    x = torch.ones(2, 4, 6, requires_grad=True)
    with profile() as p:
        out = F.scaled_dot_product_attention(x, x, x)
    numbers, pending = set(), [out.grad_fn]
    while pending:
        node = pending.pop()
        if node.name() != "AccumulateGrad":
            numbers.add(node.number)
        pending += [other for other, _ in node.next_functions if other is not None]
    assert numbers == set(p.forward_seconds)
    (whole,) = [e for e in p.events() if e.parent is None]
    assert sum(p.forward_seconds.values()) <= whole.seconds * (1 + 1e-9)


def test_gradients_of_gradients():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with profile() as p:
        y = (x**3).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (g * g).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 36 * np.array([1.0, 2, 3]) ** 3, rtol=1e-6)
    assert counts(p, "backward") == {"autograd.grad": 1, "backward": 1}
    first = next(e for e in p.events() if e.name == "autograd.grad")
    power = next(e for e in p.events() if e.name == "PowBackward0")
    assert power.parent is first
    inside = [e for e in spans(p, "op") if e.parent is power]
    assert "mul" in {e.name for e in inside}  # recorded on a tape, so told of
    assert g.grad_fn.number in p.forward_seconds
    last = next(e for e in p.events() if e.name == "backward")
    assert not [e for e in spans(p, "op") if e.parent is not None and e.parent.parent is last]
    check_nesting(p)


def test_backward_step_by_step():
    x = torch.ones(3, requires_grad=True)
    with profile() as p:
        for step in (x.exp() * 2).sum().backward_steps():
            if step.node.name() == "MulBackward0":
                torch.ones(2)
    assert [(e.name, e.parent) for e in spans(p, "vjp")] == [
        (name, None) for name in ("SumBackward0", "MulBackward0", "ExpBackward0", "AccumulateGrad")
    ]
    assert counts(p, "op") == {"exp": 1, "mul": 1, "sum": 1, "ones": 1}


def test_labels_nest_and_decorate():
    @record_function("double")
    def double(x):
        return x + x

    with profile() as p:
        with record_function("outer", "first"), record_function("inner"):
            double(torch.ones(2))
        double(torch.ones(2))
    assert [(e.name, e.parent and e.parent.name) for e in spans(p, "label")] == [
        ("outer (first)", None), ("inner", "outer (first)"), ("double", "inner"), ("double", None),
    ]  # fmt: skip
    check_nesting(p)
    assert {e.site.function for e in spans(p, "label")} == {"test_labels_nest_and_decorate"}
    assert double.__name__ == "double"
    double(torch.ones(2))  # outside of a profile: nothing
    assert len(spans(p, "label")) == 4
    with pytest.raises(TypeError, match="name must be a string, got name=3"):
        record_function(3)


def test_a_block_around_half_a_call():
    """A profile that begins or ends inside of calls: these are no events, or end with it."""
    p = profile()

    class Half(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.act = act

        def forward(self, x):
            self.act()
            return x * 2

    Half(p.start)(torch.ones(2))
    Half(p.stop)(torch.ones(2))
    assert [(e.name, e.parent and e.parent.name) for e in p.events()] == [
        ("mul", None), ("ones", None), ("Half", None),
    ]  # fmt: skip
    check_nesting(p)


# -- tables and traces ---------------------------------------------------------------------------


def body(text):
    """The names of a table's rows."""
    lines = text.splitlines()
    rules = [n for n, line in enumerate(lines) if line and not line.strip("-")]
    return [line.split()[0] for line in lines[rules[0] + 1 : rules[1]]]


def test_table(profiled):
    text = str(profiled)
    assert text == profiled.table() == profiled.table(sort_by="self")
    lines = text.splitlines()
    assert lines[0].split()[:6] == ["name", "calls", "total", "ms", "self", "ms"]
    assert any(line.endswith("in Python around these") for line in lines[-2:])
    (conv,) = [line.split() for line in lines if line.startswith("conv2d ")]
    assert conv[1] == "2"
    for order, field in (
        ("total", "total_seconds"), ("calls", "calls"), ("self_cpu_time_total", "self_seconds"),
        ("count", "calls"), ("cpu_memory_usage", "output_bytes"), ("saved", "saved_bytes"),
        ("mean", "mean_seconds"),
    ):  # fmt: skip
        names = body(profiled.table(order))
        known = {row.name: getattr(row, field) for row in profiled.key_averages()}
        values = [known[name] for name in names]
        assert values == sorted(values, reverse=True)
        assert len(values) == len(known)
    by_name = body(profiled.table("name"))
    assert by_name == sorted(by_name, key=str.lower)
    short = profiled.table(row_limit=3)
    assert body(short) == body(text)[:3]
    assert f"\nand {len(profiled.key_averages()) - 3} more: see row_limit\n" in short
    with pytest.raises(ValueError, match="sort_by must be one of self, total, mean, calls"):
        profiled.table(sort_by="colour")


def test_key_averages(profiled):
    averages = profiled.key_averages()
    row = next(row for row in averages if row.name == "relu")
    assert (row.key, row.count) == ("relu", 2)
    assert row.cpu_time_total == pytest.approx(row.total_seconds * 1e6)
    assert row.self_cpu_time_total == pytest.approx(row.self_seconds * 1e6)
    assert row.cpu_time == pytest.approx(row.cpu_time_total / 2)
    assert averages[0].name == "conv2d"  # in the order of first calls
    by_shape = profiled.key_averages(group_by_input_shape=True)
    assert [r.calls for r in by_shape if r.name == "relu"] == [1, 1]
    table = averages.table(sort_by="calls", header="a step", max_name_column_width=12)
    assert table.startswith("a step\nname ")
    assert "MaxPool2D..." in table
    with pytest.raises(ValueError, match="events\\(\\) have their site, got group_by_stack_n=2"):
        profiled.key_averages(group_by_stack_n=2)


def check_tracks(p, path):
    """The spans of a trace, which nest on each of its tracks, as the viewers demand."""
    p.export_chrome_trace(path)
    found = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    open_until = {}
    for event in found:  # in order; each lies in what is open on its track, or after it
        assert set(event) == {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"}
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        ends = open_until.setdefault((event["pid"], event["tid"]), [])
        end = event["ts"] + event["dur"]
        while ends and ends[-1] <= event["ts"] + 1e-4:
            ends.pop()
        assert not ends or end <= ends[-1] + 1e-4
        ends.append(end)
    return found


def test_chrome_trace(profiled, tmp_path):
    path = tmp_path / "trace.json"
    path.write_text("an older one")
    found = check_tracks(profiled, path)
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]
    trace = json.loads(path.read_text())
    named = [e for e in trace["traceEvents"] if e["ph"] == "M"]
    assert {e["name"] for e in named} == {"process_name", "thread_name"}
    assert len(found) == len(profiled.events()) == len(trace["traceEvents"]) - 2
    assert {(e["pid"], e["tid"]) for e in trace["traceEvents"]} == {
        (found[0]["pid"], threading.get_native_id())
    }
    assert Counter(e["cat"] for e in found) == Counter(e.kind for e in profiled.events())
    conv = next(e for e in found if e["name"] == "conv2d")
    assert conv["args"]["input shapes"] == [[3, 1, 12, 12], [4, 1, 3, 3], [4]]
    assert conv["args"]["module"] == "0"
    assert conv["args"]["line"].startswith(f"{__file__}:")
    assert conv["args"]["line"].endswith(" in train")
    backward = next(e for e in found if e["name"] == "ConvolutionBackward0")
    assert backward["cat"] == "vjp"
    assert "2: Conv2d" in {e["name"] for e in found}


def test_steps_are_marked(tmp_path):
    with profile() as p:
        for _ in range(3):
            with record_function("part"):
                torch.ones(2) + 1
                p.step()
    steps = spans(p, "step")
    assert [e.name for e in steps] == ["ProfilerStep#0", "ProfilerStep#1", "ProfilerStep#2"]
    assert [e.start for e in steps] == [0, steps[0].end, steps[1].end]
    assert counts(p, "step") == {}
    for step, add in zip(steps, [e for e in p.events() if e.name == "add"], strict=True):
        assert step.start <= add.start <= add.end <= step.end
    found = check_tracks(p, tmp_path / "trace.json")
    tracks = {e["cat"]: e["tid"] for e in found}
    assert tracks["step"] != tracks["label"] == tracks["op"]
    with pytest.raises(RuntimeError, match=r"^profile: step\(\) after the end, or in another"):
        p.step()


def test_a_folder_that_is_not_there(profiled, tmp_path):
    with pytest.raises(FileNotFoundError, match="export_chrome_trace: the folder"):
        profiled.export_chrome_trace(tmp_path / "no" / "trace.json")


def test_before_and_again():
    p = profile()
    assert str(p) == repr(p) == "<profile: nothing recorded yet>"
    for use in (p.table, p.events, p.key_averages, lambda: p.forward_seconds, p.step):
        with pytest.raises(RuntimeError, match="needs a recording; use it as a with block"):
            use()
    with p:
        torch.ones(2) + 1
        assert "recording" in str(p)
    with p:
        torch.ones(2) * 1
    assert counts(p, "op") == {"ones": 1, "mul": 1}
    assert repr(p).startswith("<profile: 2 events, 0.")
    with profile() as nothing:
        nothing.stop()
    assert str(nothing).startswith("nothing was recorded\n")


# -- what it leaves alone ------------------------------------------------------------------------


def test_the_numbers_are_the_same():
    def run(watching):
        model, (x, y) = network(), batch()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(3):
            if watching:
                with profile():
                    losses.append(train(model, optimizer, x, y))
            else:
                losses.append(train(model, optimizer, x, y))
        state = [p.detach().numpy().copy() for p in model.parameters()]
        return [float(loss) for loss in losses], state

    plain, watched = run(False), run(True)
    assert plain[0] == watched[0]
    for a, b in zip(plain[1], watched[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_is_kept_alive():
    gc.disable()
    try:
        model, (x, y) = network(), batch()
        with profile() as p:
            hidden = model[0](x)
            held = weakref.ref(hidden), weakref.ref(hidden.grad_fn), weakref.ref(model[1])
            F.cross_entropy(model[2:](model[1](hidden)), y).backward()
            del hidden
            assert [each() for each in held[:2]] == [None, None]
        del model, x, y
        assert held[2]() is None
        assert len(p.events()) > 20
    finally:
        gc.enable()


def test_no_profile_no_listener(profiled):
    assert sys.getprofile() is None
    before = len(profiled.events())
    torch.ones(2) + 1
    assert len(profiled.events()) == before


def test_an_error_in_the_block():
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), profile() as p:
        model(torch.ones(2, 5))
    assert sys.getprofile() is None
    assert counts(p, "op") == {"ones": 1, "relu": 1}
    assert [e.name for e in spans(p, "module")] == ["Sequential", "ReLU", "Linear"]
    check_nesting(p)
    with profile() as again:
        torch.ones(1)
    assert counts(again, "op") == {"ones": 1}


def test_an_error_in_backward():
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    z = y.sum()
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"), profile() as p:
        z.backward()
    assert [e.name for e in p.events()] == ["backward", "SumBackward0", "ExpBackward0"]
    check_nesting(p)


def test_one_profile_at_a_time():
    with profile() as p:
        torch.ones(1)
        with pytest.raises(RuntimeError, match=r"use profiler\.record_function"), profile():
            pass
        with pytest.raises(RuntimeError, match="running in this thread already"):
            p.start()
        torch.zeros(1)
    assert counts(p, "op") == {"ones": 1, "zeros": 1}
    with pytest.raises(RuntimeError, match="without a start"):
        p.stop()


def test_another_profiler():
    def other(*_):
        pass

    sys.setprofile(other)
    try:
        with pytest.raises(RuntimeError, match="another profiler listens") as caught, profile():
            pass
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)
    assert "in test_another_profiler" in str(caught.value)
    try:
        with pytest.warns(UserWarning, match="something else called sys.setprofile"), profile():
            sys.setprofile(other)
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)


def test_threads_have_their_own():
    x = torch.ones(3)
    start = threading.Barrier(2)
    found = {}

    def work():
        with profile() as mine:
            start.wait(10)
            x.exp()
            start.wait(10)
        found["there"] = mine

    thread = threading.Thread(target=work)
    with profile() as here:
        thread.start()
        start.wait(10)
        x.log()
        start.wait(10)
        thread.join()
    assert counts(here, "op") == {"log": 1}
    assert counts(found["there"], "op") == {"exp": 1}
    assert sys.getprofile() is None


def test_a_layer_called_while_loading_workers_run():
    """What worker threads do isn't in it; waiting for them is."""
    data = torch.utils.data.TensorDataset(torch.randn(8, 2))
    with profile() as p:
        for _ in torch.utils.data.DataLoader(data, batch_size=2, num_workers=2):
            pass
    assert counts(p, "data") == {"DataLoader.__next__": 4}
    assert "getitem" not in counts(p, "op")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"schedule": len}, "put the block around the steps to record"),
        ({"on_trace_ready": print}, "call export_chrome_trace\\(path\\) after the block"),
        ({"with_flops": True}, "lucidlite.summary\\(model, x\\) counts multiply-adds"),
        ({"use_cuda": True}, "synchronize=True"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
    ],
)
def test_what_pytorch_has_and_this_has_not(arguments, says):
    with pytest.raises(TypeError, match=says):
        profile(**arguments)


def test_activities():
    both = list(ProfilerActivity)
    profile(activities=both, with_flops=False, schedule=None)
    profile(activities=[ProfilerActivity.CPU], synchronize=False)
    with pytest.raises(ValueError, match=r"ProfilerActivity\.CPU, with or without CUDA"):
        profile(activities=[ProfilerActivity.CUDA])
    with pytest.raises(ValueError, match="say different things"):
        profile(activities=both, synchronize=False)
    with pytest.raises(AttributeError, match="put the block around the steps"):
        _ = torch.profiler.schedule
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = torch.profiler.colour


def test_on_cuda(cuda):
    """It waits for the device after each call, unless told not to."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3).to(cuda)
    x = torch.randn(2, 4, device=cuda)
    backend = x.backend
    waits = []
    plain = type(backend.stream).synchronize

    class Stream(type(backend.stream)):
        def synchronize(self):
            waits.append(1)
            plain(self)

    for synchronize in (True, False):
        waits.clear()
        stream, backend.stream = backend.stream, Stream.__new__(Stream)
        backend.stream.__dict__.update(getattr(stream, "__dict__", {}))
        try:
            with profile(synchronize=synchronize) as p:
                layer(x).sum().backward()
        finally:
            backend.stream = stream
        assert counts(p, "op") == {"linear": 1, "sum": 1}
        assert (len(waits) >= 5) == synchronize
        says = "waited for the device" if synchronize else "launches only"
        assert says in p.table().splitlines()[-1]
        check_nesting(p)
