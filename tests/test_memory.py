"""What the tape holds, and that it lets go: by reference counting alone, and in linear time."""

from __future__ import annotations

import gc
import weakref

import cuda_suite
import numpy as np
import pytest
from case_kinds import differentiable, upstream
from cases import CASES

import lucidlite
from lucidlite import nn, optim
from lucidlite.autograd import Function, Node, backward, grad
from lucidlite.backends import cpu
from lucidlite.backends.base import Backend

F = nn.functional


@pytest.fixture(autouse=True)
def _no_collector():
    """The cycle collector is off: what these tests see freed was freed by counting."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def nodes_of(*tensors):
    """All nodes below some tensors."""
    pending = [t.grad_fn for t in tensors if t.grad_fn is not None]
    seen = {}
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            pending += [edge[0] for edge in node.edges if edge is not None]
    return list(seen.values())


def watched(*tensors):
    """Weak references to the nodes below some tensors, to those tensors and to their arrays."""
    things = [*nodes_of(*tensors), *tensors]
    return [weakref.ref(thing) for thing in things]


def alive(references):
    return [type(r()).__name__ for r in references if r() is not None]


def leaf(*shape):
    return lucidlite.from_numpy(np.random.default_rng(0).standard_normal(shape)).requires_grad_()


# -- freed by counting -----------------------------------------------------------------------------

WITH_GRADIENT = [case for case in CASES if case.grad]


def results_of(case, inputs):
    """The differentiable results that are not the inputs themselves."""
    outputs = differentiable(case.run(lucidlite, inputs))
    return [out for out in outputs if not any(out is given for given in inputs)]


def test_every_operation_is_freed():
    kept = {}
    for case in WITH_GRADIENT:
        inputs = case.ours(case.arrays("float64"))
        results = results_of(case, inputs)
        references = watched(*results)
        del results, inputs
        if alive(references):
            kept[case.id] = alive(references)
    assert not kept


def test_every_operation_is_freed_after_backward():
    kept = {}
    for case in WITH_GRADIENT:
        inputs = case.ours(case.arrays("float64"))
        results = results_of(case, inputs)
        if not results:
            continue
        weights = [lucidlite.from_numpy(g) for g in upstream(case, results)]
        references = watched(*results)
        backward(results, weights)
        del results, weights
        references += watched(*inputs)
        del inputs
        if alive(references):
            kept[case.id] = alive(references)
    assert not kept


def test_second_order_is_freed():
    kept = {}
    for case in WITH_GRADIENT:
        inputs = case.ours(case.arrays("float64"))
        results = results_of(case, inputs)
        if not results or not case.numeric:
            continue
        wanted = [t for t in inputs if t.requires_grad]
        weights = [lucidlite.from_numpy(g).requires_grad_() for g in upstream(case, results)]
        first = grad(results, wanted, weights, create_graph=True, allow_unused=True)
        first = [g for g in first if g is not None and g.grad_fn is not None]
        references = watched(*results, *first)
        if first:
            backward(first, [lucidlite.ones_like(g) for g in first])
        del results, weights, first, wanted, inputs
        if alive(references):
            kept[case.id] = alive(references)
    assert not kept


def sequence(x):
    for operation in (lucidlite.exp, lucidlite.tanh, lucidlite.sigmoid, lucidlite.relu):
        x = operation(x) * x
    return lucidlite.softmax(x, 0)


def written(x):
    y = x * 2
    y[0] += 1
    v = y.view(-1)
    v.mul_(2.0)
    y.add_(v.view(y.shape).clone())
    return y


def viewed(x):
    y = (x * 2).view(-1)
    parts = y.split(2)
    return y[1:].view(-1) * 3 + parts[0][0]


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        y = x * 2
        ctx.save_for_backward(x, y)
        return y, y + 1

    @staticmethod
    def backward(ctx, a, b):
        x, y = ctx.saved_tensors
        return a * 2 + b * 2 + (x + y) * 0


def hooked(x):
    y = x * 2
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    z = y.exp()
    z.grad_fn.register_hook(lambda grads, _: grads)
    z.grad_fn.register_prehook(lambda grads: grads)
    return z


@pytest.mark.parametrize("again", [False, True], ids=["dropped", "after backward"])
@pytest.mark.parametrize(
    "make",
    [sequence, written, viewed, hooked, lambda x: Doubled.apply(x * 1)[1], lambda x: x[0] + x],
    ids=["sequence", "written", "viewed", "hooked", "function", "selected"],
)
def test_graphs_are_freed(make, again):
    x = leaf(2, 3)
    y = make(x)
    references = watched(y)
    assert len(references) > 2
    if again:
        y.sum().backward()
    del y
    assert not alive(references)
    reference = weakref.ref(x)
    del x
    assert reference() is None


def test_views_hold_their_base_and_no_more():
    x = leaf(4)
    base = x * 2
    view = base[1:]
    references = [weakref.ref(base), weakref.ref(view)]
    del base
    assert references[0]() is not None
    view.mul_(3)
    del view
    assert not alive(references)


def network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def test_modules_are_freed():
    model = network()
    out = model(lucidlite.randn(5, 2, 4, 4))
    references = watched(out)
    F.cross_entropy(out, lucidlite.tensor([0, 1, 2, 0, 1])).backward()
    del out
    assert not alive(references)
    optimizer = optim.Adam(model.parameters())
    optimizer.step()
    things = [model, *model.modules(), *model.parameters(), *model.buffers(), optimizer]
    references = [weakref.ref(thing) for thing in things]
    del model, optimizer, things
    assert not alive(references)


def test_training_holds_nothing_more_from_step_to_step():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = lucidlite.randn(5, 2, 4, 4), lucidlite.tensor([0, 1, 2, 0, 1])

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        kinds = (Node, lucidlite.Tensor)
        return sum(issubclass(type(thing), kinds) for thing in gc.get_objects())

    step()
    after = [step() for _ in range(4)]
    assert after == after[:1] * 4


def test_an_accumulated_loss_keeps_its_graph():
    """The known mistake of summing losses with their graphs shows in the nodes held."""
    x = leaf(3)
    total = 0.0
    for _ in range(3):
        total = total + (x * x).sum()
    assert len(nodes_of(total)) == 10


# -- deep and wide ---------------------------------------------------------------------------------

DEEP = 10_000 if cuda_suite.ACTIVE else 100_000  # the stand-in for a GPU is slow


@pytest.mark.parametrize(
    "link",
    [
        lambda y, x: y + x,
        lambda y, x: y * x,
        lambda y, _: lucidlite.relu(y),
    ],
    ids=["add", "mul", "relu"],
)
def test_deep_chain(link):
    x = lucidlite.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP):
        y = link(y, x)
    y.backward()
    assert x.grad.item() in (DEEP + 1, 1.0)
    references = watched(y)
    del y
    assert not alive(references)


def test_deep_chain_dropped_without_backward():
    x = lucidlite.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP):
        y = y * x
    reference = weakref.ref(y.grad_fn)
    del y
    assert reference() is None


def test_deep_chain_by_grad():
    x = lucidlite.ones(1, requires_grad=True)
    y = x
    for _ in range(DEEP // 5):
        y = y * x
    (g,) = grad(y, x, create_graph=True)
    assert g.item() == DEEP // 5 + 1


class Calls:
    """Counts the calls of ``Backend.map`` and of the kernels around it."""

    def __init__(self, monkeypatch):
        self.count = 0
        plain = Backend.map

        def counted(backend, *args, **kwargs):
            self.count += 1
            return plain(backend, *args, **kwargs)

        for kind in type(cpu).__mro__:
            if "map" in vars(kind):
                plain = vars(kind)["map"]
                monkeypatch.setattr(kind, "map", counted)
                break


WIDE = 20_000


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


def test_wide_graph(calls):
    """20,000 uses of one tensor: one addition each, on the way back."""
    x = lucidlite.ones(3, requires_grad=True)
    terms = [x * 2.0 for _ in range(WIDE)]
    total = lucidlite.stack(terms).sum()
    del terms
    calls.count = 0
    total.backward()
    assert x.grad.tolist() == [2.0 * WIDE] * 3
    assert calls.count <= 2 * WIDE + 10


def test_wide_sum(calls):
    x = lucidlite.ones(3, requires_grad=True)
    total = lucidlite.zeros(3)
    for _ in range(WIDE):
        total = total + x
    calls.count = 0
    total.sum().backward()
    assert x.grad.tolist() == [WIDE] * 3
    assert calls.count <= WIDE + 10


def test_diamonds(calls):
    """2 ** 60 paths, 60 diamonds: each node is visited once."""
    x = lucidlite.ones(1, dtype=lucidlite.float64, requires_grad=True)
    y = x
    for _ in range(60):
        y = y + y
    calls.count = 0
    y.backward()
    assert x.grad.item() == 2.0**60
    assert calls.count <= 130


def test_unbinding_is_one_node(calls):
    x = lucidlite.ones(2000, 2, requires_grad=True)
    total = lucidlite.zeros(2)
    for part in x:
        total = total + part
    assert len({id(edge[0]) for node in nodes_of(total) for edge in node.edges if edge}) <= 2003
    calls.count = 0
    total.sum().backward()
    assert bool((x.grad == 1).all())
    assert calls.count <= 2100


def test_many_writes(calls):
    """Writing row by row costs a constant number of calls a row."""

    def cost(rows):
        calls.count = 0
        x = lucidlite.ones(rows, 2, requires_grad=True)
        y = x * 1
        for i in range(rows):
            y[i] *= 2.0
        y.sum().backward()
        assert bool((x.grad == 2).all())
        return calls.count

    assert cost(400) <= 2.2 * cost(200)
