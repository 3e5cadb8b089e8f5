"""Optimizers: trajectories against PyTorch, and what a step does and leaves alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from optim_runs import assert_same_run, parameters

import lucidlite as ll
from lucidlite.backends.kernels import optim as optim_kernels

SGD_OPTIONS = [
    {"lr": 0.1, "momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": x}
    for m, d, w, n, x in itertools.product(
        (0, 0.9), (0, 0.3), (0, 0.05), (False, True), (False, True)
    )
    if not (n and (m == 0 or d != 0))
]
ADAM_OPTIONS = [
    {"lr": 0.02, "betas": b, "eps": e, "weight_decay": w, "amsgrad": a, "maximize": x}
    for b, e, w, a, x in itertools.product(
        ((0.9, 0.999), (0.3, 0.9)), (1e-8, 1e-2), (0, 0.1), (False, True), (False, True)
    )
]


@pytest.mark.parametrize("options", SGD_OPTIONS, ids=str)
def test_sgd_follows_torch(options: dict[str, Any]) -> None:
    assert_same_run(lambda lib, params: lib.optim.SGD(params, **options))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("options", ADAM_OPTIONS, ids=str)
def test_adam_follows_torch(name: str, options: dict[str, Any]) -> None:
    assert_same_run(lambda lib, params: getattr(lib.optim, name)(params, **options))


def test_defaults_follow_torch() -> None:
    for name in ("SGD", "Adam", "AdamW"):
        assert_same_run(lambda lib, params, name=name: getattr(lib.optim, name)(params))


def test_sgd_by_hand() -> None:
    w = ll.tensor([1.0], requires_grad=True)
    optimizer = ll.optim.SGD([w], lr=0.5, momentum=0.5, dampening=0.5)
    buffer = value = None
    for step in range(4):
        w.grad = ll.tensor([float(step + 1)])
        optimizer.step()
        g = step + 1.0
        buffer = g if buffer is None else 0.5 * buffer + 0.5 * g
        value = (1.0 if value is None else value) - 0.5 * buffer
        assert w.item() == value


def test_adam_by_hand() -> None:
    w = ll.tensor([1.0], dtype=ll.float64, requires_grad=True)
    optimizer = ll.optim.AdamW([w], lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.5)
    m = v = 0.0
    value = 1.0
    for t in range(1, 6):
        g = float(t)
        w.grad = ll.tensor([g], dtype=ll.float64)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        value *= 1 - 0.1 * 0.5
        value -= 0.1 * (m / (1 - 0.8**t)) / ((v / (1 - 0.9**t)) ** 0.5 + 1e-3)
        assert w.item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("order", ["C", "T"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_blocks_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, name: str, order: str) -> None:
    backend = ll.ones(1).backend

    def arrays() -> list[np.ndarray]:
        made = [np.abs(a) for a in np.random.default_rng(3).standard_normal((5, 7, 9), np.float32)]
        return [a.T for a in made] if order == "T" else made

    def step(block: int) -> list[np.ndarray]:
        monkeypatch.setattr(optim_kernels, "BLOCK", block)
        a = arrays()
        grad = a.pop()
        grad.flags.writeable = False
        if name == "sgd":
            backend.sgd_step(
                a[0], grad, a[1], lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1,
                nesterov=False, maximize=True, first=False,
            )  # fmt: skip
        else:
            backend.adam_step(
                a[0], grad, a[1], a[2], a[3], step=3.0, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8,
                weight_decay=0.1, decoupled=False, maximize=True,
            )  # fmt: skip
        return a

    for whole, cut in zip(step(1 << 16), step(10), strict=True):
        np.testing.assert_array_equal(whole, cut)


def test_float16_steps_in_float32() -> None:
    w = ll.tensor([1.0, 2.0], dtype=ll.float16, requires_grad=True)
    optimizer = ll.optim.Adam([w], lr=0.5)
    w.grad = ll.tensor([1e-4, -1e-4], dtype=ll.float16)
    optimizer.step()
    assert w.dtype is ll.float16
    np.testing.assert_allclose(w.detach().numpy(), [0.5, 2.5], rtol=1e-3)
    sgd = ll.optim.SGD([w], lr=0.5, momentum=0.9)
    sgd.step()
    assert sgd.state[w]["momentum_buffer"].dtype is ll.float16


def test_a_real_model_follows_torch() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x = np.random.default_rng(5).standard_normal((16, 4)).astype(np.float32)
    y = np.random.default_rng(6).standard_normal((16, 2)).astype(np.float32)

    def train(lib: Any) -> list[float]:
        params = parameters(lib, [(4, 8), (8,), (8, 2)])
        optimizer = lib.optim.AdamW(params, lr=0.05)
        losses = []
        data, target = lib.tensor(x.tolist()), lib.tensor(y.tolist())
        for _ in range(20):
            optimizer.zero_grad()
            hidden = (data @ params[0] + params[1]).tanh()
            loss = ((hidden @ params[2] - target) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    ours = train(ll)
    np.testing.assert_allclose(ours, train(torch), rtol=1e-4)
    assert ours[-1] < ours[0] / 2


# -- stepping -----------------------------------------------------------------------------------


def test_missing_gradients_are_skipped() -> None:
    a, b = parameters(ll, [(2,), (2,)])
    before = b.tolist()
    optimizer = ll.optim.Adam([a, b])
    a.grad = ll.ones(2)
    optimizer.step()
    assert b.tolist() == before
    assert a in optimizer.state
    assert b not in optimizer.state


def test_a_step_counts_as_a_write() -> None:
    w = ll.tensor([2.0], requires_grad=True)
    loss = (w * w).sum()
    w.grad = ll.ones(1)
    version = w._version
    ll.optim.SGD([w], lr=0.1).step()
    assert w._version == version + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_gradient_is_left_alone() -> None:
    for name, options in (("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {})):
        w = ll.tensor([2.0, 3.0], requires_grad=True)
        w.grad = ll.tensor([1.0, -1.0])
        w.grad.array.flags.writeable = False
        cls = getattr(ll.optim, name)
        cls([w], lr=0.1, weight_decay=0.1, maximize=True, **options).step()
        assert w.grad.tolist() == [1.0, -1.0]


def test_closure_runs_with_gradients_on() -> None:
    w = ll.tensor([3.0], requires_grad=True)
    optimizer = ll.optim.SGD([w], lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with ll.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == 0.0


def test_zero_grad() -> None:
    w = ll.tensor([3.0], requires_grad=True)
    optimizer = ll.optim.SGD([w])
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is None
    w.grad = ll.ones(1)
    kept = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is kept
    assert w.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert w.grad is None
    (w**3).sum().backward(create_graph=True)
    graded = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0]
    assert w.grad.grad_fn is None
    assert graded.item() == 27.0


def test_learning_rate_may_be_a_tensor() -> None:
    w = ll.tensor([1.0], requires_grad=True)
    rate = ll.tensor(0.5)
    optimizer = ll.optim.SGD([w], lr=rate)
    w.grad = ll.ones(1)
    optimizer.step()
    assert w.item() == 0.5
    rate.fill_(0.25)
    optimizer.step()
    assert w.item() == 0.25


def test_hooks_run_around_each_step() -> None:
    w = ll.tensor([1.0], requires_grad=True)
    optimizer = ll.optim.SGD([w], lr=1.0)
    w.grad = ll.ones(1)
    seen: list[Any] = []
    before = optimizer.register_step_pre_hook(lambda _, a, k: seen.append(("pre", w.item(), a, k)))
    optimizer.register_step_post_hook(lambda *_: seen.append(("post", w.item())))
    optimizer.step()
    assert seen == [("pre", 1.0, (), {}), ("post", 0.0)]
    before.remove()
    optimizer.step()
    assert [s[0] for s in seen] == ["pre", "post", "post"]
    optimizer.register_step_pre_hook(lambda *_: ((lambda: 42,), {}))
    assert optimizer.step() == 42
    optimizer.register_step_pre_hook(lambda *_: 5)
    with pytest.raises(RuntimeError, match="pre-hook must return None or a tuple"):
        optimizer.step()
