"""lucidlite.watch: what it finds in small programs, and what it leaves alone."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import re
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import watch_programs
import watch_programs_kinds
import watch_programs_more
import watch_programs_odd  # noqa: F401  its programs register themselves
from watch_programs import classes, mlp, train

import lucidlite
import lucidlite.nn as nn
import lucidlite.nn.functional as F
from lucidlite.engine_checks import _start_hooks
from lucidlite.optim import hooks
from lucidlite.watching import RULES, TrainingWarning
from lucidlite.watching.rule import Rule

PROGRAMS = watch_programs.PROGRAMS  # those of the other files are in it too


def marked(function):
    """(rule, line) of each line of a function that ends in a comment with a rule's name."""
    lines, first = inspect.getsourcelines(function)
    found = [(re.search(r"  # ([a-z0-9-]+(?:, [a-z0-9-]+)*)$", line.rstrip()), number)
             for number, line in enumerate(lines, first)]  # fmt: skip
    return {(rule, number) for match, number in found if match for rule in match[1].split(", ")}


def run(function):
    """The findings of a program's watches."""
    watches, said = [], []

    def watch(*args, **options):
        watches.append(lucidlite.watch(*args, log=said.append, **options))
        return watches[-1]

    lucidlite.manual_seed(0)
    try:
        function(watch)
    finally:
        for each in watches:
            each.remove()
    found = [finding for each in watches for finding in each.found]
    assert sorted(map(str, said)) == sorted(each.message for each in found)
    return found


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda function: function.__name__)
def test_programs(function):
    findings = run(function)
    found = {(each.rule, each.place and each.place.line) for each in findings}
    assert found == marked(function), "\n\n".join(each.message for each in findings)
    for each in findings:
        assert each.message.startswith("watch: ")
        assert (
            f"\n  at {Path(inspect.getsourcefile(function))}:{each.place.line} in " in each.message
        )
        assert "\n  hint: " in each.message


def test_every_rule_has_a_program_that_it_finds():
    assert {rule for function in PROGRAMS for rule, _ in marked(function)} == set(RULES)


# -- how it speaks ---------------------------------------------------------------------------


def never_zeroed(model, steps=3):
    """Steps with old gradients; returns the line of the step."""
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.01)
    x, y = classes()
    for _ in range(steps):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return inspect.currentframe().f_lineno - 1


def test_a_warning_at_the_users_line():
    model = mlp(8, 16, 3)
    with lucidlite.watch(model) as watch, pytest.warns(TrainingWarning) as seen:
        line = never_zeroed(model)
    (warning,) = seen
    assert (warning.filename, warning.lineno) == (__file__, line)
    assert issubclass(TrainingWarning, UserWarning)
    (finding,) = watch.found
    assert (
        str(warning.message)
        == finding.message
        == (
            "watch: gradients are never zeroed: backward adds to those of earlier steps, got 2 "
            f"steps in a row with old gradients in them\n  at {__file__}:{line} in never_zeroed\n"
            "  hint: call optimizer.zero_grad() before each backward()"
        )
    )
    assert (finding.rule, finding.place.filename, finding.place.line) == (
        "zero-grad", __file__, line,
    )  # fmt: skip


def test_an_error_where_warnings_are_errors():
    model = mlp(8, 16, 3)
    with (
        lucidlite.watch(model),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        with pytest.raises(TrainingWarning, match="never zeroed"):
            never_zeroed(model)


def test_once_for_each_place():
    model = mlp(8, 16, 3)
    said = []
    with lucidlite.watch(model, log=said.append) as watch:
        never_zeroed(model, 9)
        x, y = classes()
        optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(9):
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert [str(each) for each in said] == [each.message for each in watch.found]
    assert len({each.place.line for each in watch.found}) == len(said) == 2


def test_rules_are_chosen():
    for options, expected in (
        ({"rules": ["zero-grad"]}, {"zero-grad"}),
        ({"rules": ["dead-relu"]}, set()),
        ({"skip": ["zero-grad"]}, {"softmax-twice"}),
        ({}, {"zero-grad", "softmax-twice"}),
    ):
        model = nn.Sequential(mlp(8, 16, 3), nn.Softmax(1))
        with lucidlite.watch(model, log=str, **options) as watch:
            never_zeroed(model)
        assert {each.rule for each in watch.found} == expected


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"rules": ["zero_grad"]}, ValueError, "rules and skip must list names of .*, got zero_grad"),
    ({"skip": "zero-grad"}, ValueError, "rules and skip must list names"),
    ({"every": 0}, ValueError, "every must be 1 at least, got every=0"),
    ({"optimizer": [3]}, TypeError, "optimizer must be an Optimizer, got int"),
])  # fmt: skip
def test_refused(options, kind, message):
    with pytest.raises(kind, match=f"^watch: {message}"):
        lucidlite.watch(mlp(8, 3), **options)
    with pytest.raises(TypeError, match=r"^watch: model must be a Module, got int"):
        lucidlite.watch(3)


def test_a_rule_that_fails_is_off(monkeypatch):
    class Broken(Rule):
        name = "zero-grad"
        calls = 0

        def backward(self, graph):
            Broken.calls += 1
            raise RuntimeError(f"no {graph.leaves and 'leaves'}")

    monkeypatch.setitem(RULES, "zero-grad", Broken)
    model = mlp(8, 16, 3)
    with lucidlite.watch(model, log=str) as watch:
        never_zeroed(model)
    assert Broken.calls == 1
    assert watch.found[0].message == (
        "watch: this rule failed and is off, got RuntimeError: no leaves"
    )


def test_what_a_log_raises_arrives():
    def log(warning):
        raise KeyError(warning.args[0][:30])

    model = mlp(8, 16, 3)
    with lucidlite.watch(model, log=log), pytest.raises(KeyError, match="gradients are never"):
        never_zeroed(model)


# -- what it leaves behind -------------------------------------------------------------------


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(72, 32), nn.ReLU(), nn.Linear(32, 4),
    )  # fmt: skip


def bits(watched):
    """All numbers after 30 steps and an evaluation: losses, weights, gradients, the generator."""
    lucidlite.manual_seed(3)
    model = network()
    optimizer = lucidlite.optim.Adam(model.parameters(), lr=1e-3)
    watch = lucidlite.watch(model, optimizer, every=4) if watched else None
    losses = []
    for _ in range(30):
        x = lucidlite.randn(16, 1, 8, 8)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), lucidlite.randint(0, 4, (16,)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if watch is not None:
        assert not watch.found
        watch.remove()
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    generator = lucidlite.get_rng_state()
    return [
        np.array(losses),
        np.array([generator["seed"], generator["offset"]]),
        *(t.detach().numpy() for t in tensors),
    ]


def test_numbers_stay_the_same_bit_for_bit():
    for plain, watched in zip(bits(False), bits(True), strict=True):
        np.testing.assert_array_equal(plain, watched)


TABLES = _start_hooks, hooks._global_pre_hooks, hooks._global_post_hooks


def tables(model):
    """All hooks that a watch could have left."""
    own = [(m._forward_hooks, m._forward_pre_hooks, m._backward_hooks) for m in model.modules()]
    return [*TABLES, *(table for three in own for table in three)]


def test_nothing_is_left():
    model = network()
    before = [len(table) for table in tables(model)]
    watch = lucidlite.watch(model)
    train(model, lucidlite.randn(8, 1, 8, 8), lucidlite.arange(8) % 4, 2)
    with pytest.raises(RuntimeError):
        model(lucidlite.randn(8, 2, 8, 8))
    assert [len(table) for table in tables(model)] != before
    watch.remove()
    watch.remove()
    assert [len(table) for table in tables(model)] == before


def test_it_ends_with_its_model():
    before = [len(table) for table in TABLES]
    model = network()
    lucidlite.watch(model)
    train(model, lucidlite.randn(8, 1, 8, 8), lucidlite.arange(8) % 4, 2)
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
        assert [len(table) for table in TABLES] == before
    finally:
        gc.enable()


def test_copies_are_not_watched():
    model = mlp(8, 16, 3)
    with lucidlite.watch(model, log=str) as watch:
        never_zeroed(copy.deepcopy(model))
        again = pickle.loads(pickle.dumps(model._forward_pre_hooks))
        assert all(hook(model, (), {}) is None for hook in again.values())
    assert not watch.found


# -- what it costs ---------------------------------------------------------------------------


def test_few_steps_are_looked_at(monkeypatch):
    seen = []
    monkeypatch.setitem(RULES, "zero-grad", type("Seeing", (Rule,), {
        "name": "zero-grad",
        "before_step": lambda self, step: seen.append(self.run.steps),  # noqa: ARG005
    }))  # fmt: skip
    model = mlp(8, 16, 3)
    x, y = classes()
    with lucidlite.watch(model, rules=["zero-grad"], every=50):
        train(model, x, y, 160)
    assert seen == [*range(20), 50, 100, 150]


def test_the_host_waits_six_times_at_most(monkeypatch):
    model = network()
    backend = next(model.parameters()).backend
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.01)
    x, y = lucidlite.randn(32, 1, 8, 8), lucidlite.randperm(32) % 4
    reads, plain = [], backend.to_numpy
    monkeypatch.setattr(backend, "to_numpy", lambda a: reads.append(a) or plain(a), raising=False)
    counts = []
    with lucidlite.watch(model, optimizer):
        for _ in range(30):
            before = len(reads)
            train(model, x, y, 1, optimizer=optimizer)
            counts.append(len(reads) - before)
    assert 1 <= max(counts) <= 6
    assert counts[20:] == [0] * 10


# -- beside other rooms ----------------------------------------------------------------------


def test_graphed_steps_are_not_disturbed(cuda):
    model = mlp(8, 16, 3).to(cuda)
    optimizer = lucidlite.optim.SGD(model.parameters(), lr=0.1)
    x, y = (t.to(cuda) for t in classes())

    @lucidlite.cuda.make_graphed_step
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    with lucidlite.watch(model, optimizer) as watch:
        losses = [step(x, y).item() for _ in range(30)]
    assert step.captured == 1
    assert losses[-1] < losses[0] / 1.2
    assert not watch.found


@pytest.mark.parametrize("function", [
    watch_programs.never_zeroed, watch_programs.eval_forgotten, watch_programs_more.pixels,
    watch_programs_more.dead_channels_of_a_function, watch_programs_more.one_class_at_a_time,
    watch_programs_kinds.a_variational_autoencoder,
], ids=lambda function: function.__name__)  # fmt: skip
def test_programs_on_a_gpu(cuda, function):
    before = lucidlite.get_default_device()
    lucidlite.set_default_device(cuda)
    try:
        assert {(each.rule, each.place.line) for each in run(function)} == marked(function)
    finally:
        lucidlite.set_default_device(before)


def test_the_command_line_watches(tmp_path, capsys):
    from lucidlite.cli import main

    (tmp_path / "net.py").write_text(
        "from lucidlite import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))\n"
        "    def forward(self, x):\n"
        "        return self.net(x).softmax(1)\n"
    )
    args = ["train", "--model", f"{tmp_path}/net.py:Net", "--epochs", "1", "--limit", "64",
            "--no-plots", "--quiet", "--input", "1,28,28", "--device", "cpu"]  # fmt: skip
    for more, expected in (([], 1), (["--no-watch"], 0)):
        assert main([*args, *more, "--out", str(tmp_path / f"run{expected}")]) == 0
        said = capsys.readouterr().err
        assert said.count("watch: cross_entropy takes raw scores") == expected
        assert said.count(f"{tmp_path}/net.py:7 in forward") == expected


def test_optimizer_hooks_for_all():
    """torch.optim.optimizer.register_optimizer_step_pre_hook and its kin."""
    from lucidlite.optim import optimizer as module

    events = []
    before = module.register_optimizer_step_pre_hook(lambda *_: events.append("all, before"))
    after = module.register_optimizer_step_post_hook(lambda *_: events.append("all, after"))
    w = lucidlite.ones(2, requires_grad=True)
    sgd = lucidlite.optim.SGD([w], lr=1.0)
    sgd.register_step_pre_hook(lambda *_: events.append("own, before"))
    sgd.register_step_post_hook(lambda *_: events.append("own, after"))
    sgd.step()
    assert events == ["all, before", "own, before", "own, after", "all, after"]
    before.remove()
    after.remove()
    sgd.step()
    assert events[4:] == ["own, before", "own, after"]


def test_hooks_that_act_are_no_part_of_a_graphed_step(cuda):
    w = lucidlite.ones(2, requires_grad=True, device=cuda)
    optimizer = lucidlite.optim.SGD([w], lr=0.1)

    @lucidlite.cuda.make_graphed_step
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    with (
        hooks.register_optimizer_step_post_hook(lambda *_: None),
        pytest.raises(RuntimeError, match="step hooks of SGD"),
    ):
        step(lucidlite.ones(2, device=cuda))
