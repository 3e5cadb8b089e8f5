"""L-BFGS against PyTorch: losses, parameters, state, and how often it looks."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.optim.wolfe import strong_wolfe

OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.5, "max_iter": 4},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "lr": 20.0, "max_iter": 3},
    {"line_search_fn": "strong_wolfe", "lr": 0.05, "max_iter": 3, "max_eval": 6},
    {"line_search_fn": "strong_wolfe", "max_eval": 1},
    {"lr": 0.1, "tolerance_grad": 0.5},
    {"lr": 0.1, "tolerance_change": 1e-2},
]


class Problem:
    """A small regression with a tanh in it, two parameters, and a third without a gradient."""

    def __init__(self, lib: Any, dtype: str = "float64", device: str = "cpu") -> None:
        rng = np.random.default_rng(7)
        kind = getattr(lib, dtype)

        def make(*shape: int) -> Any:
            return lib.tensor(rng.standard_normal(shape).tolist(), dtype=kind, device=device)

        self.x, self.y = make(12, 3), make(12, 2)
        self.params = [make(3, 2).requires_grad_(), make(2).requires_grad_(),
                       make(3).requires_grad_()]  # fmt: skip
        self.calls = 0

    def loss(self) -> Any:
        out = (self.x @ self.params[0] + self.params[1]).tanh()
        return ((out - self.y) ** 2).sum() + 0.1 * (self.params[0] ** 4).sum()

    def closure(self) -> Any:
        self.calls += 1
        for p in self.params:
            p.grad = None
        loss = self.loss()
        loss.backward()
        return loss


def train(problem: Problem, optimizer: Any, steps: int = 4) -> tuple[list[float], list[Any], int]:
    losses = [float(optimizer.step(problem.closure).detach()) for _ in range(steps)]
    return losses, [p.detach().cpu().numpy() for p in problem.params], problem.calls


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_follow_torch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    runs = []
    for lib in (ll, torch):
        problem = Problem(lib)
        optimizer = lib.optim.LBFGS(problem.params, **options)
        runs.append((*train(problem, optimizer), optimizer.state_dict()))
    (losses, params, calls, mine), (others, theirs, called, other) = runs
    assert calls == called
    np.testing.assert_allclose(losses, others, rtol=1e-9)
    for a, b in zip(params, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert mine["param_groups"] == other["param_groups"]
    (own,), (given,) = mine["state"].values(), other["state"].values()
    assert set(own) == set(given)
    assert (own["func_evals"], own["n_iter"]) == (given["func_evals"], given["n_iter"])
    for name in ("old_dirs", "old_stps", "ro"):
        assert len(own.get(name, [])) == len(given.get(name, []))


def line_search(lib: Any, seed: int, most: int) -> Any:
    """Along a drawn function of one variable, from a drawn first step, there or here."""
    rng = np.random.default_rng(seed)
    a, b, c, w = rng.uniform(-1, 1, 4) * [1, 3, 5, 6]
    first = float(10 ** rng.uniform(-3, 1.5))
    direction = lib.tensor([1.0, -0.5], dtype=lib.float64) * (-1.0 if c > 0 else 1.0)

    def look(t: Any) -> tuple[float, Any]:
        at = (direction * t).detach().requires_grad_()
        x = at.sum()
        loss = (a * x**2) ** 2 + b * (w * x).sin() + c * x
        loss.backward()
        return float(loss.detach()), at.grad

    loss, grad = look(0.0)
    given = (first, direction, loss, grad, grad.dot(direction))
    if lib is ll:
        return strong_wolfe(look, *given, most)
    search = importlib.import_module("torch.optim.lbfgs")._strong_wolfe
    return search(lambda *place: look(place[1]), None, *given, max_ls=most)


@pytest.mark.parametrize("most", [1, 3, 25])
def test_line_searches_are_torchs(most: int) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    lengths = set()
    for seed in range(60):
        loss, grad, t, looked = line_search(ll, seed, most)
        other, slope, length, count = line_search(torch, seed, most)
        assert looked == count, seed
        np.testing.assert_allclose([loss, float(t)], [other, float(length)], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(grad.numpy(), slope.numpy(), rtol=1e-5, atol=1e-7)
        lengths.add(looked)
    assert len(lengths) > min(most, 5)


def test_float32_gets_as_low_as_torch() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ends = []
    for lib in (ll, torch):
        problem = Problem(lib, "float32")
        train(problem, lib.optim.LBFGS(problem.params, line_search_fn="strong_wolfe"))
        ends.append(float(problem.loss().detach()))
    np.testing.assert_allclose(*ends, rtol=1e-5)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_state_goes_to_torch_and_back(search: str | None) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    options = {"lr": 0.3, "max_iter": 3, "line_search_fn": search}

    def turned(lib: Any, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(lib, v) for key, v in value.items()}
        if isinstance(value, list):
            return [turned(lib, v) for v in value]
        return lib.tensor(value.numpy()) if hasattr(value, "numpy") else value

    def resumed(source: Any, target: Any) -> Any:
        first, second = Problem(source), Problem(target)
        old = source.optim.LBFGS(first.params, **options)
        train(first, old, 2)
        new = target.optim.LBFGS(second.params, **options)
        new.load_state_dict(turned(target, old.state_dict()))
        with target.no_grad():
            for p, q in zip(second.params, first.params, strict=True):
                p.copy_(target.tensor(q.detach().numpy()))
        return train(second, new, 2)

    whole = Problem(torch)
    optimizer = torch.optim.LBFGS(whole.params, **options)
    train(whole, optimizer, 2)
    losses, params, _ = train(whole, optimizer, 2)
    for source, target in ((torch, ll), (ll, torch), (ll, ll)):
        got, ends, _ = resumed(source, target)
        np.testing.assert_allclose(got, losses, rtol=1e-9)
        for a, b in zip(ends, params, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_on_a_device(cuda: str) -> None:
    results = []
    for device in ("cpu", cuda):
        problem = Problem(ll, device=device)
        results.append(
            train(problem, ll.optim.LBFGS(problem.params, line_search_fn="strong_wolfe"))
        )
    (losses, params, calls), (others, theirs, called) = results
    assert calls == called
    np.testing.assert_allclose(losses, others, rtol=1e-9)
    for a, b in zip(params, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_gradients_may_be_kept_and_zeroed_in_place() -> None:
    problem = Problem(ll)

    def closure() -> Any:
        optimizer.zero_grad(set_to_none=False)
        loss = problem.loss()
        loss.backward()
        return loss

    (problem.params,) = ([problem.params[0], problem.params[1]],)
    optimizer = ll.optim.LBFGS(problem.params[:1], lr=0.1)
    kept = [float(optimizer.step(closure).detach()) for _ in range(3)]
    other = Problem(ll)
    optimizer = ll.optim.LBFGS(other.params[:1], lr=0.1)
    assert kept == [float(optimizer.step(other.closure).detach()) for _ in range(3)]


def test_nothing_to_do_at_the_minimum() -> None:
    w = ll.zeros(2, requires_grad=True)
    optimizer = ll.optim.LBFGS([w])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with ll.no_grad():  # the closure has gradients on
        assert optimizer.step(closure).item() == 0.0
    assert optimizer.state[w] == {"func_evals": 1, "n_iter": 0}


def test_what_it_refuses() -> None:
    w = ll.zeros(2, requires_grad=True)
    v = ll.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        ll.optim.LBFGS([{"params": [w]}, {"params": [v]}])
    with pytest.raises(ValueError, match="Invalid learning rate"):
        ll.optim.LBFGS([w], lr=-1.0)
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        ll.optim.LBFGS([w], line_search_fn="armijo").step(lambda: 0.0)
    with pytest.raises(TypeError, match="closure"):
        ll.optim.LBFGS([w]).step()
    with pytest.raises(TypeError, match="needs a closure"):
        ll.optim.LBFGS([w]).step(None)
    optimizer = ll.optim.LBFGS([w])
    optimizer.add_param_group({"params": [v]})
    with pytest.raises(AssertionError, match="expected one param_group, got 2"):
        optimizer.step(lambda: 0.0)
