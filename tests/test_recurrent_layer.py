"""A recurrent layer as one operation: against the steps it stands for, and what it keeps."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from fakecupy.machine import counted

import lucidlite
from lucidlite import nn, threads
from lucidlite.backends.kernels.recurrent import RecurrentKernels
from lucidlite.backends.numpy_kernels import recurrent as on_cpu
from lucidlite.cuda import make_graphed_step
from lucidlite.ops import recurrent_layer as op

RNG = np.random.default_rng(0)
MODES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3, "LSTM with a projection": 4}
IN, SIZE, OUT = 3, 4, 2
COUNTS = {"even": (3, 3, 3, 3), "ending": (4, 3, 3, 1), "one step": (2,), "nobody": (0, 0)}
NAMES = ("w_ih", "w_hh", "b_ih", "b_hh", "w_hr")

every_mode = pytest.mark.parametrize("kind", MODES)
both_ways = pytest.mark.parametrize("reverse", [False, True])


class Case:
    """Tensors for a layer, made anew each time, with the same values."""

    def __init__(self, kind, counts, bias=True, dtype="float64"):
        self.mode, self.counts = kind.partition(" ")[0], counts
        out = OUT if "projection" in kind else SIZE
        rows, total, first = MODES[kind] * SIZE, sum(counts), counts[0]
        shapes = [(total, IN), (first, out), (first, SIZE)][: 3 if self.mode == "LSTM" else 2]
        self.parts = len(shapes) - 1
        shapes += [(rows, IN), (rows, out), *[(rows,) if bias else None] * 2]
        shapes.append((out, SIZE) if out != SIZE else None)
        draw = RNG.standard_normal
        self.arrays = [None if s is None else draw(s).astype(dtype) for s in shapes]
        ends = [(total, out), (first, out), (first, SIZE)][: self.parts + 1]
        self.grads = [draw(s).astype(dtype) for s in ends]

    def tensors(self):
        held = [None if a is None else lucidlite.tensor(a) for a in self.arrays]
        return [t if t is None else t.requires_grad_() for t in held]

    def run(self, tensors, reverse=False):
        x, *others = tensors
        out, last = op.recurrent_layer(
            self.mode, x, self.counts, tuple(others[:-5]), others[-5:], reverse
        )
        return [out, *last]


def composed(monkeypatch):
    """From here on the small operations run."""
    monkeypatch.setattr(op, "_one_kind", lambda *_: False)


def gradients(outs, tensors, grads, **options):
    seeds = [lucidlite.tensor(g) for g in grads]
    wanted = [t for t in tensors if t is not None]
    return lucidlite.autograd.grad(outs, wanted, seeds, allow_unused=True, **options)


def same(found, expected, tol=1e-12):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype is b.dtype
            np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), tol, tol)


@every_mode
@both_ways
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_it_is_the_small_operations(monkeypatch, kind, reverse, bias, counts):
    """Values; gradients by the kernel and as operations; all of the tape of the small ones."""
    case = Case(kind, counts, bias)
    tensors = case.tensors()
    outs = case.run(tensors, reverse)
    assert len({id(out.grad_fn) for out in outs}) == 1
    found = gradients(outs, tensors, case.grads, retain_graph=True)
    as_operations = gradients(outs, tensors, case.grads, create_graph=True)
    assert not any(g.requires_grad for g in found)
    assert any(g.requires_grad for g in as_operations)
    composed(monkeypatch)
    others = case.tensors()
    expected = case.run(others, reverse)
    assert len({id(out.grad_fn) for out in expected}) == len(expected)
    same(outs, expected)
    wanted = gradients(expected, others, case.grads)
    same(found, wanted)
    same(as_operations, wanted)


@every_mode
@both_ways
def test_second_gradients(monkeypatch, kind, reverse):
    case, found = Case(kind, COUNTS["ending"]), []
    for _ in range(2):
        tensors = case.tensors()
        outs = case.run(tensors, reverse)
        first = gradients(outs, tensors, case.grads, create_graph=True)
        total = sum((g * g).sum() for g in first)
        found.append(gradients([total], tensors, [1.0]))
        composed(monkeypatch)
    same(*found, tol=1e-9)


@every_mode
def test_only_what_is_wanted(kind):
    case = Case(kind, COUNTS["ending"])
    tensors = case.tensors()
    whole = gradients(case.run(tensors), tensors, case.grads)
    there = [i for i, t in enumerate(tensors) if t is not None]
    for i, expected in zip(there, whole, strict=True):
        for create in (False, True):
            tensors = [None if a is None else lucidlite.tensor(a) for a in case.arrays]
            tensors[i].requires_grad_()
            outs = case.run(tensors)
            assert sum(outs[0].grad_fn.needs_input_grad) == 1
            seeds = [lucidlite.tensor(g) for g in case.grads]
            found = lucidlite.autograd.grad(outs, tensors[i], seeds, create_graph=create)
            same(found, [expected])


@every_mode
def test_some_outputs_alone(kind):
    """No gradient of an output is a gradient of zeros."""
    case = Case(kind, COUNTS["ending"])
    tensors = case.tensors()
    outs = case.run(tensors)
    for i in range(len(outs)):
        zeros = [np.zeros_like(g) for g in case.grads]
        zeros[i] = case.grads[i]
        expected = gradients(outs, tensors, zeros, retain_graph=True)
        for create in (False, True):
            same(
                gradients(
                    [outs[i]], tensors, [case.grads[i]], retain_graph=True, create_graph=create
                ),
                expected,
            )


@every_mode
@both_ways
def test_the_cpu_s_products_are_the_others(kind, reverse, monkeypatch):
    """Products into memory that is there, and those that threads share, change nothing."""
    case = Case(kind, COUNTS["ending"], dtype="float32")
    found = []
    for tile in (on_cpu.TILE, 0, None):
        monkeypatch.setattr(on_cpu, "TILE", tile)
        if tile is None:
            for name in ("_step_product", "_product_into", "_product_space"):
                monkeypatch.setattr(on_cpu.NumPyRecurrent, name, getattr(RecurrentKernels, name))
        tensors = case.tensors()
        outs = case.run(tensors, reverse)
        found.append([*outs, *gradients(outs, tensors, case.grads)])
    same(found[0], found[2], 1e-5)
    same(found[1], found[2], 1e-5)


@every_mode
def test_any_number_of_threads(kind):
    case, before = Case(kind, COUNTS["ending"], dtype="float32"), threads.get_num_threads()
    found = []
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            tensors = case.tensors()
            outs = case.run(tensors)
            found.append([*outs, *gradients(outs, tensors, case.grads)])
    finally:
        threads.set_num_threads(before)
    same(found[1], found[0], 0)
    same(found[2], found[0], 0)


# -- what is kept ----------------------------------------------------------------------------------


@every_mode
def test_the_node(kind):
    case = Case(kind, COUNTS["even"])
    tensors = case.tensors()
    outs = case.run(tensors)
    node = outs[0].grad_fn
    name = "".join(word.capitalize() for word in case.mode.split("_"))
    assert node.name() == f"{name}Backward0"
    assert node.saved_bytes() >= sum(part.nbytes for part in node.kernel_state())
    kept = [weakref.ref(part) for part in node.kernel_state()]
    gc.disable()
    try:
        outs[0].sum().backward()
        assert not any(ref() is not None for ref in kept)
        with pytest.raises(RuntimeError, match="second time"):
            outs[0].sum().backward()
        del node
        x = weakref.ref(tensors[0])
        tensors = outs = None
        assert x() is None
    finally:
        gc.enable()


@every_mode
def test_nothing_is_kept_without_a_tape(kind, monkeypatch):
    case, seen = Case(kind, COUNTS["even"]), []
    plain = op.record_many
    monkeypatch.setattr(op, "record_many", lambda *a, **k: seen.append(a[5]) or plain(*a, **k))
    tensors = case.tensors()
    with lucidlite.no_grad():
        assert not any(out.requires_grad for out in case.run(tensors))
    case.run([None if t is None else t.detach() for t in tensors])
    case.run(tensors)
    assert seen[:2] == [None, None]
    assert seen[2] is not None


@every_mode
def test_outputs_may_be_written_to_and_inputs_not(kind):
    case = Case(kind, COUNTS["even"])
    tensors = case.tensors()
    outs = case.run(tensors)
    expected = gradients(outs, tensors, case.grads, retain_graph=True)
    with lucidlite.no_grad():
        for out in outs:
            out.fill_(7.0)
    same(gradients(outs, tensors, case.grads, retain_graph=True), expected)
    for i in (0, 1, case.parts + 2):
        tensors = case.tensors()
        outs = case.run(tensors)
        with lucidlite.no_grad():
            tensors[i].mul_(2)
        with pytest.raises(RuntimeError, match=r"modified.*inplace"):
            outs[0].sum().backward()


@every_mode
def test_arguments_stay_as_they_are(kind):
    case = Case(kind, COUNTS["ending"])
    tensors = case.tensors()
    seeds = [lucidlite.tensor(g) for g in case.grads]
    for t in (*tensors, *seeds):
        if t is not None:
            t.array.flags.writeable = False
    outs = case.run(tensors)
    for part in outs[0].grad_fn.kernel_state():
        part.flags.writeable = False
    wanted = [t for t in tensors if t is not None]
    again = [lucidlite.autograd.grad(outs, wanted, seeds, retain_graph=True) for _ in range(2)]
    same(*again, tol=0)
    memory = [g.array for g in again[0]]
    assert not any(
        np.shares_memory(a, b) for i, a in enumerate(memory) for b in memory[:i] if a.size
    )


# -- dtypes and devices ----------------------------------------------------------------------------


@every_mode
def test_half_precision(kind):
    """Computed in float32: the results are those of float32, rounded once."""
    case = Case(kind, COUNTS["ending"], dtype="float16")
    tensors = case.tensors()
    outs = case.run(tensors)
    found = [*outs, *gradients(outs, tensors, case.grads)]
    case.arrays = [None if a is None else a.astype("float32") for a in case.arrays]
    tensors = case.tensors()
    outs = case.run(tensors)
    single = [g.astype("float32") for g in case.grads]
    expected = [*outs, *gradients(outs, tensors, single)]
    same(found, [t.half() for t in expected], tol=0)


def test_autocast_runs_the_small_operations():
    layer, x = nn.LSTM(IN, SIZE), lucidlite.randn(5, 2, IN)
    with lucidlite.autocast("cpu", dtype=lucidlite.float16):
        out, (h, c) = layer(x)
    assert (out.dtype, h.dtype, c.dtype) == (lucidlite.float32,) * 3
    expected, _ = layer(x)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), 1e-2, 1e-2)


def test_extreme_gates():
    """sigmoid by tanh: 0 and 1 at the ends, nothing overflows, NaN stays."""
    layer = nn.LSTM(1, 1, bias=False)
    with lucidlite.no_grad():
        for weight in layer.parameters():
            weight.fill_(1000.0)
        out, _ = layer(lucidlite.tensor([[1.0], [-1.0], [float("nan")]]))
    assert out[0].item() == pytest.approx(np.tanh(1.0))
    assert out[1].item() == 0
    assert np.isnan(out[2].item())


@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_launches(kind):
    """Of one more step, forward and backward; nothing waits. (The small operations: 42 of LSTM.)"""
    layer = getattr(nn, kind)(IN, SIZE).to("cuda")
    counts = []
    for steps in (4, 14):
        x = lucidlite.randn(steps, 2, IN).to("cuda").requires_grad_()
        layer(x)[0].sum().backward()
        with counted() as found:
            layer(x)[0].sum().backward()
        assert found["sync"] == found["d2h"] == 0
        counts.append(found["launch"])
    assert counts[1] - counts[0] <= 10 * {"RNN": 8, "LSTM": 20, "GRU": 19}[kind]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_in_a_graphed_step(cuda, kind):
    """A step recorded as a CUDA graph comes to the numbers of the step itself."""
    found = []
    for wrapped in (lambda step: step, lambda step: make_graphed_step(step, warmup=1)):
        lucidlite.manual_seed(0)
        layer = getattr(nn, kind)(IN, SIZE, 2, bidirectional=True).to(cuda)
        optimizer = lucidlite.optim.SGD(layer.parameters(), lr=0.1)

        def step(x, layer=layer, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (layer(x)[0] ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = wrapped(step)
        losses = [run(lucidlite.randn(5, 2, IN).to(cuda)).item() for _ in range(4)]
        found.append([np.array(losses), *[p.detach().cpu().numpy() for p in layer.parameters()]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)
