"""GradScaler: the scale's course, skipped steps, unscaled gradients; beside torch.amp's."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import lucidlite
from lucidlite import nn, optim
from lucidlite.amp import GradScaler

F = nn.functional
OVERFLOW = float("inf")


def course(lib, gradients, **options):
    """Scale, tracker and weight after each of some iterations with these gradients."""
    w = lib.ones(2)
    w.requires_grad_()
    optimizer = lib.optim.SGD([w], lr=0.25, momentum=0.5)
    scaler = lib.amp.GradScaler("cpu", **options)
    found = []
    for gradient in gradients:
        optimizer.zero_grad()
        scaler.scale((w * lib.tensor([1.0, gradient])).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append([scaler.get_scale(), scaler._get_growth_tracker(), *w.tolist()])
    return found


COURSES = {
    "grows": ([1.0] * 7, {"growth_interval": 3}),
    "backs off": ([1.0, OVERFLOW, 1.0, math.nan, -OVERFLOW, 2.0, 2.0, 2.0, 2.0, 2.0],
                  {"growth_interval": 4, "init_scale": 1024.0}),
    "other factors": ([1.0, 1.0, OVERFLOW, 1.0], {"growth_factor": 1.5, "backoff_factor": 0.25,
                                                  "growth_interval": 1, "init_scale": 8.0}),
    "no further than float32": ([1e-30] * 4, {"growth_interval": 1, "init_scale": 2.0**126}),
    "overflows by the scale": ([1e30, 1e30], {"init_scale": 2.0**40}),
    "disabled": ([1.0, 2.0], {"enabled": False}),
}  # fmt: skip


@pytest.mark.parametrize(("gradients", "options"), COURSES.values(), ids=COURSES.keys())
def test_course_is_that_of_torch(gradients, options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert course(lucidlite, gradients, **options) == course(torch, gradients, **options)


def test_values_of_a_course():
    found = course(lucidlite, [1.0, OVERFLOW, 1.0, 1.0], init_scale=4.0, growth_interval=2)
    assert [row[:2] for row in found] == [[4.0, 1], [2.0, 0], [2.0, 1], [4.0, 0]]
    assert found[1][2:] == found[0][2:] == [0.75, 0.75]


# -- one iteration ---------------------------------------------------------------------------------


def scaled(grad=1.0, device="cpu", scale=8.0, **options):
    """A parameter with a scaled gradient, its optimizer and the scaler."""
    w = lucidlite.ones(3, device=device, requires_grad=True)
    scaler = GradScaler(device, init_scale=scale, **options)
    optimizer = optim.SGD([w], lr=1.0)
    scaler.scale((w * grad).sum()).backward()
    return w, optimizer, scaler


def test_unscale_before_clipping():
    w, optimizer, scaler = scaled(2.0)
    assert w.grad.tolist() == [16.0] * 3
    before = w.grad._version
    scaler.unscale_(optimizer)
    assert w.grad.tolist() == [2.0] * 3
    assert w.grad._version > before
    w.grad.clamp_(max=0.5)
    scaler.step(optimizer)
    assert w.tolist() == [0.5] * 3


@pytest.mark.parametrize("bad", [OVERFLOW, -OVERFLOW, math.nan])
@pytest.mark.parametrize("size", [1, 5000])
def test_one_bad_element_skips_the_step(bad, size, cuda):
    for device in ("cpu", cuda):
        for place in (0, size - 1):
            w = lucidlite.zeros(size, device=device, requires_grad=True)
            v = lucidlite.zeros(2, device=device, requires_grad=True)
            factors = np.ones(size, np.float32)
            factors[place] = bad
            scaler = GradScaler(device, init_scale=2.0)
            optimizer = optim.SGD([w, v], lr=1.0)
            loss = (w * lucidlite.from_numpy(factors).to(device)).sum() + v.sum()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            assert scaler.get_scale() == 1.0
            assert not w.any()
            assert v.grad.tolist() == [1.0, 1.0]


def test_several_losses_and_optimizers():
    a, b = (lucidlite.ones(2, requires_grad=True) for _ in range(2))
    first, second = optim.SGD([a], lr=1.0), optim.SGD([b], lr=1.0)
    scaler = GradScaler("cpu", init_scale=4.0)
    losses = scaler.scale([(a * 2).sum(), ((b * OVERFLOW).sum(),)])
    assert isinstance(losses, list)
    assert isinstance(losses[1], tuple)
    losses[0].backward()
    losses[1][0].backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert a.tolist() == [-1.0, -1.0]
    assert b.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 2.0


def test_a_generator_of_losses():
    w = lucidlite.ones(1, requires_grad=True)
    scaler = GradScaler("cpu", init_scale=4.0)
    assert [loss.item() for loss in scaler.scale(w * n for n in (1, 2))] == [4.0, 8.0]


def test_parameters_without_gradients_are_left_out():
    w, _, scaler = scaled()
    idle = lucidlite.ones(2, requires_grad=True)
    optimizer = optim.SGD([{"params": [idle]}, {"params": [w]}], lr=1.0)
    scaler.step(optimizer)
    assert w.tolist() == [0.0] * 3
    assert idle.grad is None


def test_step_returns_what_the_optimizer_does():
    class Counting(optim.SGD):
        def step(self, closure=None, *, times=1):
            super().step(closure)
            return times

    w, _, scaler = scaled()
    assert scaler.step(Counting([w], lr=1.0), times=3) == 3


def test_new_scale():
    _, optimizer, scaler = scaled()
    scaler.step(optimizer)
    scaler.update(32.0)
    assert scaler.get_scale() == 32.0
    scaler.update(lucidlite.tensor([64.0]))
    assert scaler.get_scale() == 64.0
    with pytest.raises(AssertionError, match="1-element tensor with requires_grad=False"):
        scaler.update(lucidlite.ones(2))


def test_settings():
    scaler = GradScaler("cpu")
    assert scaler.is_enabled()
    assert scaler.get_scale() == 65536.0
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.1)
    scaler.set_growth_interval(7)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor()) == (3.0, 0.1)
    assert scaler.get_growth_interval() == 7


def test_disabled():
    w = lucidlite.ones(1, requires_grad=True)
    scaler = GradScaler("cpu", enabled=False)
    optimizer = optim.SGD([w], lr=0.5)
    loss = w.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.5]
    assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)
    scaler.load_state_dict({})


# -- files -----------------------------------------------------------------------------------------


def test_state_dicts_go_both_ways():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    _, optimizer, scaler = scaled(growth_interval=5)
    scaler.step(optimizer)
    scaler.update()
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(scaler.state_dict())
    assert theirs.state_dict() == scaler.state_dict()
    ours = GradScaler("cpu")
    ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict() == {
        "scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 5,
        "_growth_tracker": 1,
    }  # fmt: skip
    assert ours.scale(lucidlite.ones(())).item() == 8.0


def test_loading_into_one_in_use():
    _, optimizer, scaler = scaled()
    state = {**scaler.state_dict(), "scale": 128.0, "_growth_tracker": 3}
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict(state)
    assert scaler.state_dict() == state
    assert scaler.scale(lucidlite.ones(())).item() == 128.0
    assert scaler._growth_tracker.item() == 3


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_loading_in_the_middle_of_an_iteration(lib):
    """It goes on with what was loaded, in the tensors there are: a captured step reads them."""
    lib = pytest.importorskip(lib, reason="compares with PyTorch")
    w = lib.ones(2, requires_grad=True)
    optimizer = lib.optim.SGD([w], lr=0.5)
    scaler = lib.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(w.sum()).backward()
    held = scaler._scale, scaler._growth_tracker
    scaler.load_state_dict({**scaler.state_dict(), "scale": 4.0, "_growth_tracker": 5})
    assert [t.item() for t in held] == [4.0, 5]
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.0, 0.0]
    assert scaler._get_growth_tracker() == 6


@pytest.mark.parametrize("duplicate", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_copies(duplicate):
    _, optimizer, scaler = scaled()
    scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning"):
        duplicate(scaler)
    scaler.step(optimizer)
    scaler.update()
    assert duplicate(scaler).state_dict() == scaler.state_dict()
    assert duplicate(GradScaler("cpu", enabled=False)).state_dict() == {}


# -- what is refused -------------------------------------------------------------------------------


def twice(method):
    def call():
        _, optimizer, scaler = scaled()
        getattr(scaler, method)(optimizer)
        getattr(scaler, method)(optimizer)

    return call


def step_then_unscale():
    _, optimizer, scaler = scaled()
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def float16_gradients():
    w = lucidlite.ones(2, dtype=lucidlite.float16, requires_grad=True)
    scaler = GradScaler("cpu", init_scale=2.0)
    scaler.scale(w.sum()).backward()
    scaler.step(optim.SGD([w], lr=1.0))


def no_gradients():
    _, _, scaler = scaled()
    scaler.step(optim.SGD([lucidlite.ones(1, requires_grad=True)], lr=1.0))


REFUSED = [
    (twice("unscale_"), RuntimeError, r"unscale_\(\) has already been called on this optimizer"),
    (twice("step"), RuntimeError, r"step\(\) has already been called since the last update"),
    (step_then_unscale, RuntimeError, r"unscale_\(\) is being called after step\(\)"),
    (float16_gradients, ValueError, "attempting to unscale FP16 gradients"),
    (no_gradients, AssertionError, "no inf checks were recorded for this optimizer"),
    (lambda: scaled()[2].update(), AssertionError, "no inf checks were recorded prior to update"),
    (lambda: GradScaler("cpu").update(), AssertionError, "attempted update but there is no scale"),
    (lambda: GradScaler("cpu").step(scaled()[1]), AssertionError, "attempted step but"),
    (lambda: scaled()[2].step(scaled()[1], closure=lambda: 1), RuntimeError, "closure use"),
    (lambda: GradScaler("cpu", growth_factor=1.0), AssertionError, "must be > 1.0, got growth_f"),
    (lambda: GradScaler("cpu", backoff_factor=1.0), AssertionError, "must be < 1.0, got backoff"),
    (lambda: GradScaler("cpu").scale(3), ValueError, "iterable of Tensors, got int"),
    (lambda: GradScaler("cpu").load_state_dict({}), RuntimeError, "source state dict is empty"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_without_a_gpu_it_warns_and_does_nothing(monkeypatch):
    from lucidlite.amp import grad_scaler

    monkeypatch.setattr(grad_scaler, "gpu_answers", lambda: False)
    with pytest.warns(UserWarning, match="GradScaler: no GPU answers"):
        scaler = GradScaler()
    assert not scaler.is_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not GradScaler(enabled=False).is_enabled()


# -- on a GPU --------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def train(device, mixed, steps=8):
    """The losses of a run, in mixed precision or not."""
    lucidlite.manual_seed(0)
    rng = np.random.default_rng(0)
    images = lucidlite.from_numpy(rng.standard_normal((8, 3, 6, 6)).astype(np.float32)).to(device)
    labels = lucidlite.from_numpy(rng.integers(0, 4, 8)).to(device)
    model = Net().to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = GradScaler(device, init_scale=2.0**10, enabled=mixed)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with lucidlite.autocast(device, dtype=lucidlite.float16, enabled=mixed):
            loss = F.cross_entropy(model(images), labels)
        assert loss.dtype is lucidlite.float32
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert all(p.grad.dtype is lucidlite.float32 for p in model.parameters())
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


def test_training_in_mixed_precision(cuda):
    expected = train("cpu", False)
    assert expected[-1] < expected[0]
    for device in ("cpu", cuda):
        np.testing.assert_allclose(train(device, True), expected, rtol=0.02)


def test_gradients_that_only_scaling_saves(cuda):
    """Below 6e-8 a float16 gradient is 0: without the scale this weight would stand still."""
    for device in ("cpu", cuda):
        x = lucidlite.full((1, 1), 1e-4, device=device)
        for scale, expected in ((1.0, 0.0), (2.0**15, 1e-8)):
            w = lucidlite.ones(1, 1, device=device, requires_grad=True)
            scaler = GradScaler(device, init_scale=scale)
            optimizer = optim.SGD([w], lr=1.0)
            with lucidlite.autocast(device, dtype=lucidlite.float16):
                loss = (F.linear(x, w) * 1e-4).sum().float()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            assert w.grad.item() == pytest.approx(expected, rel=2e-3), (device, scale)


def test_a_step_waits_once(fake_cupy):
    w = lucidlite.ones(3, device="cuda", requires_grad=True)
    scaler = GradScaler("cuda")
    optimizer = optim.SGD([w], lr=1.0)
    scaler.scale(w.sum()).backward()  # makes the scale
    waits = fake_cupy.counts["sync"]
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    assert fake_cupy.counts["sync"] == waits
    scaler.step(optimizer)
    assert fake_cupy.counts["sync"] == waits + 1
    scaler.update()
    assert fake_cupy.counts["sync"] == waits + 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_are_those_of_the_cpu(dtype, cuda):
    rng = np.random.default_rng(3)
    places = ("cpu", cuda)
    backends = [lucidlite.zeros(1, device=d).backend for d in places]
    for bad in (None, np.inf, np.nan):
        arrays = [rng.standard_normal(n).astype(dtype) for n in (0, 1, 700)]
        arrays.append(rng.standard_normal((5, 7)).astype(dtype).T)
        if bad is not None:
            arrays[2][613] = bad
        results = []
        for backend in backends:
            # Of another size and order, the last one is transposed on both.
            grads = [backend.asarray(a.T.copy()).T if a.ndim > 1 else backend.asarray(a.copy())
                     for a in arrays]  # fmt: skip
            scale = backend.asarray(np.array(3.0, np.float32))
            found = backend.asarray(np.zeros((), np.float32))
            tracker = backend.asarray(np.array(4, np.int32))
            backend.unscale(grads, scale, found)
            values = [np.array(backend.to_numpy(a)) for a in (*grads, found)]
            backend.update_scale(scale, tracker, found, 2.0, 0.5, 5)
            results.append([*values, *(np.array(backend.to_numpy(a)) for a in (scale, tracker))])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(results[1][2], arrays[2] / 3, rtol=1e-6)
        assert results[1][4] == (bad is not None)
        assert results[1][5] == (6.0 if bad is None else 1.5)
        assert results[1][6] == 0
