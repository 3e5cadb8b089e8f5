"""What the tape holds, and that it lets go: by reference counting alone, and in linear time."""

from __future__ import annotations

import gc
import weakref

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

DEEP = 100_000


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
    for _ in range(20_000):
        y = y * x
    (g,) = grad(y, x, create_graph=True)
    assert g.item() == 20_001.0


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


# -- what is kept for backward ---------------------------------------------------------------------


def test_activations_go_as_backward_passes():
    """At the first layer, what the later layers kept is gone already."""
    x = leaf(50)
    arrays, left = [], []
    y = x * 1
    y.register_hook(lambda _: left.append([a() is not None for a in arrays]))
    for _ in range(5):
        y = lucidlite.tanh(y * 2.0)
        arrays.append(weakref.ref(y.array))
    loss = y.sum()
    del y
    loss.backward()
    assert left == [[False] * 5]


def test_retain_graph_keeps_activations():
    x = leaf(50)
    y = lucidlite.tanh(x * 2.0)
    node = y.grad_fn
    y.sum().backward(retain_graph=True)
    assert node.saved_bytes() == y.nbytes
    y.sum().backward()
    assert node.saved_bytes() == 0


def test_activations_nobody_saved_die_at_once():
    x = leaf(50)
    y = x + 1
    array = weakref.ref(y.array)
    z = y + 2
    del y
    assert array() is None
    assert z.requires_grad


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: x + 1.0, 0),
        (lambda x: x - x, 0),
        (lambda x: x.sum(), 0),
        (lambda x: x.view(-1), 0),
        (lambda x: x.permute(1, 0, 2, 3), 0),
        (lambda x: x * 3.0, 8),
        (lambda x: x * x.detach(), 1),
        (lambda x: x * x, 2),
        (lambda x: x.exp(), 1),
        (lambda x: lucidlite.relu(x), 1),
        (lambda x: lucidlite.softmax(x, 1), 1),
        (lambda x: x.clone(), 0),
        (lambda x: F.avg_pool2d(x, 2), 0),
        (lambda x: x.mean(), 0),
        (lambda x: x[1:], 0),
        (lambda x: lucidlite.cat([x, x]), 0),
    ],
)
def test_saved_bytes(make, expected):
    x = leaf(2, 3, 4, 4)
    node = make(x).grad_fn
    assert node.saved_bytes() == (expected if expected > 4 else expected * x.nbytes)


def test_saved_bytes_of_kernels():
    x, w = leaf(2, 4, 8, 8), leaf(6, 4, 3, 3)
    pooled = F.max_pool2d(x, 2)
    assert pooled.grad_fn.saved_bytes() == pooled.numel()  # one byte a window
    conv = F.conv2d(x, w, padding=1)
    # the input and the weight, and the kernel's transform of the input at most
    assert x.nbytes + w.nbytes <= conv.grad_fn.saved_bytes() <= 4 * x.nbytes + w.nbytes
    out = F.batch_norm(x, None, None, training=True)
    assert x.nbytes <= out.grad_fn.saved_bytes() <= x.nbytes + 64 * 4
    for result in (pooled, conv, out):
        node = result.grad_fn
        result.sum().backward()
        assert node.saved_bytes() == 0


def test_in_place_relu_saves_its_own_memory():
    x = leaf(10)
    y = x + 1
    before = y.array
    y.relu_()
    assert y.array is before
    (saved,) = y.grad_fn.saved_tensors
    assert np.shares_memory(saved.array, before)


# -- no state where nobody asks --------------------------------------------------------------------


class Keeps:
    """What the kernels were told to keep."""

    def __init__(self, monkeypatch):
        self.asked = []
        for name, place in (("conv2d", 5), ("max_pool2d", 2), ("cross_entropy", 4)):
            plain = getattr(type(cpu), name)

            def spy(backend, *args, plain=plain, name=name, place=place):
                self.asked.append((name, args[place]))
                return plain(backend, *args)

            monkeypatch.setattr(type(cpu), name, spy)


@pytest.fixture
def keeps(monkeypatch):
    return Keeps(monkeypatch)


def kernels(x, w, b):
    y = F.max_pool2d(F.conv2d(x, w, b), 2)
    return F.cross_entropy(y.flatten(1), lucidlite.zeros(2, dtype=lucidlite.int64))


def test_state_is_kept_for_a_gradient(keeps):
    kernels(leaf(2, 2, 5, 5), leaf(3, 2, 2, 2), leaf(3))
    assert keeps.asked == [("conv2d", True), ("max_pool2d", True), ("cross_entropy", True)]


def test_no_state_without_gradients(keeps):
    x, w, b = leaf(2, 2, 5, 5), leaf(3, 2, 2, 2), leaf(3)
    with lucidlite.no_grad():
        kernels(x, w, b)
    kernels(x.detach(), w.detach(), b.detach())
    with lucidlite.inference_mode():
        kernels(x, w, b)
    assert {kept for _, kept in keeps.asked} == {False}


def test_no_state_for_a_gradient_nobody_needs(keeps):
    kernels(leaf(2, 2, 5, 5).detach(), leaf(3, 2, 2, 2).detach(), leaf(3))
    assert keeps.asked[0] == ("conv2d", False)


def test_operands_nobody_needs_are_not_saved():
    x, y = leaf(20), leaf(20)
    frozen = y.detach()
    reference = weakref.ref(x.array)
    product = (x * 1) * frozen
    assert product.grad_fn.saved_bytes() == frozen.nbytes
    del x, product
    assert reference() is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_convolution_saves_no_images(frozen):
    x, w = leaf(2, 4, 8, 8), leaf(6, 4, 3, 3)
    node = F.conv2d(x, w.detach() if frozen else w).grad_fn
    assert (node.saved_bytes() < x.nbytes) == frozen


def test_a_frozen_layer_saves_no_input():
    weight = leaf(5, 20).detach()
    assert F.linear(leaf(30, 20), weight).grad_fn.saved_bytes() == weight.nbytes


def test_nothing_is_recorded_without_gradients():
    x = leaf(3)
    with lucidlite.no_grad():
        y = (x * 2).exp().sum()
    assert y.grad_fn is None
    assert not y.requires_grad
    assert (x.detach() * 2).grad_fn is None
