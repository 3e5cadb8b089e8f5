"""Optimizers: trajectories against PyTorch, groups, checkpoints, and what they refuse."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.backends.kernels import optim as optim_kernels

STEPS = 25
SHAPES = [(3, 4), (5,), ()]


def gradients(step: int, shapes: Any = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(1000 + step)
    return [np.asarray(rng.standard_normal(s), dtype=np.float32) for s in shapes]


def start(shapes: Any = SHAPES) -> list[np.ndarray]:
    return [np.asarray(a + 0.5, dtype=np.float32) for a in gradients(-1, shapes)]


def parameters(lib: Any, shapes: Any = SHAPES) -> list[Any]:
    return [lib.tensor(a.tolist(), requires_grad=True) for a in start(shapes)]


def give_gradients(lib: Any, params: list[Any], step: int) -> None:
    for p, g in zip(params, gradients(step, [tuple(p.shape) for p in params]), strict=True):
        p.grad = lib.tensor(g.tolist(), dtype=p.dtype)


def run(lib: Any, make: Any, steps: int = STEPS) -> list[list[np.ndarray]]:
    params = parameters(lib)
    optimizer = make(lib, params)
    seen = []
    for step in range(steps):
        give_gradients(lib, params, step)
        optimizer.step()
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def assert_same_run(make: Any) -> None:
    torch = pytest.importorskip("torch")
    for ours, theirs in zip(run(ll, make), run(torch, make), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=3e-6, atol=1e-6)


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
    rng = np.random.default_rng(0)

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

    assert rng is not None
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
    torch = pytest.importorskip("torch")
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


# -- groups -------------------------------------------------------------------------------------


def test_groups_follow_torch() -> None:
    def make(lib: Any, params: list[Any]) -> Any:
        groups = [{"params": params[:1], "lr": 0.3, "weight_decay": 0.1}, {"params": params[1]}]
        optimizer = lib.optim.SGD(groups, lr=0.05, momentum=0.9)
        optimizer.add_param_group({"params": iter(params[2:]), "momentum": 0.0})
        return optimizer

    assert_same_run(make)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_prints_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch")

    def text(lib: Any) -> str:
        a, b = parameters(lib, [(2,), (3,)])
        groups = [{"params": [("a", a)]}, {"params": [("b", b)], "lr": 0.5}]
        return repr(getattr(lib.optim, name)(groups, lr=0.1, weight_decay=0.01))

    assert text(ll) == text(torch)


def test_named_parameters() -> None:
    a, b = parameters(ll, [(2,), (3,)])
    optimizer = ll.optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
    assert optimizer.param_groups[0]["params"][1] is b
    with pytest.raises(ValueError, match="Some param names are missing"):
        ll.optim.SGD([("a", a), b])
    with pytest.raises(ValueError, match="cannot add param group without names"):
        optimizer.add_param_group({"params": parameters(ll, [(1,)])})


def test_bad_parameters() -> None:
    a, b = parameters(ll, [(2,), (3,)])
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        ll.optim.SGD([])
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts"):
        ll.optim.SGD(a)
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is int"):
        ll.optim.SGD([3])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        ll.optim.SGD([a * 2])
    with pytest.raises(TypeError, match="ordered collections"):
        ll.optim.SGD([{"params": {a, b}}])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        ll.optim.SGD([a]).add_param_group([b])
    with pytest.raises(ValueError, match="appear in more than one parameter group"):
        ll.optim.SGD([{"params": [a]}, {"params": [b, a]}])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        ll.optim.SGD([a, a])
    with pytest.raises(ValueError, match="didn't specify a value of required"):
        ll.optim.Optimizer([a], {"lr": ll.optim.optimizer.required})


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": -1.0}),
        ("SGD", {"momentum": -0.1}),
        ("SGD", {"weight_decay": -0.1}),
        ("SGD", {"nesterov": True}),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"lr": -1.0}),
        ("Adam", {"lr": float("nan")}),
        ("Adam", {"eps": -1.0}),
        ("Adam", {"betas": (1.0, 0.9)}),
        ("Adam", {"betas": (0.9, -0.1)}),
        ("AdamW", {"weight_decay": -1.0}),
    ],
)
def test_bad_options(lib: str, name: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip(lib)
    with pytest.raises(ValueError, match=r"Invalid|Nesterov"):
        getattr(library.optim, name)(parameters(library, [(2,)]), **options)


def test_options_without_a_counterpart() -> None:
    params = parameters(ll, [(2,)])
    for option in ("foreach", "fused"):
        ll.optim.Adam(params, **{option: True})
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        ll.optim.SGD(params, foreach=True, fused=True)
    with pytest.raises(RuntimeError, match="capturable is not supported"):
        ll.optim.Adam(params, capturable=True)
    for cls in (ll.optim.SGD, ll.optim.AdamW):
        with pytest.raises(RuntimeError, match="differentiable is not supported"):
            cls(params, differentiable=True)
    with pytest.raises(RuntimeError, match="differentiable is not supported"):
        ll.optim.SGD([{"params": params, "differentiable": True}])
    with pytest.raises(TypeError, match="betas must be floats"):
        ll.optim.Adam(params, betas=(ll.tensor(0.9), 0.9))


def test_a_subclass_written_for_torch() -> None:
    class Plain(ll.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        @ll.no_grad()
        def step(self) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    w = ll.tensor([1.0], requires_grad=True)
    optimizer = Plain([w], lr=0.5)
    calls: list[str] = []
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    w.grad = ll.ones(1)
    optimizer.step()
    assert w.item() == 0.5
    assert calls == ["post"]
    with pytest.raises(NotImplementedError, match="define step"):
        ll.optim.Optimizer([w], {}).step()


# -- checkpoints --------------------------------------------------------------------------------

MAKERS = {
    "sgd": lambda lib, p: lib.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "plain": lambda lib, p: lib.optim.SGD(p, lr=0.1),
    "adam": lambda lib, p: lib.optim.Adam(p, lr=0.1, amsgrad=True),
    "adamw": lambda lib, p: lib.optim.AdamW([{"params": p[:1]}, {"params": p[1:], "lr": 0.01}]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_resume_is_bit_equal(name: str) -> None:
    params = parameters(ll)
    optimizer = MAKERS[name](ll, params)
    for step in range(5):
        give_gradients(ll, params, step)
        optimizer.step()
    saved = pickle.loads(pickle.dumps(to_arrays(optimizer.state_dict())))
    values = [p.detach().clone() for p in params]
    for step in range(5, 10):
        give_gradients(ll, params, step)
        optimizer.step()

    again = [v.clone().requires_grad_() for v in values]
    resumed = MAKERS[name](ll, again)
    resumed.load_state_dict(saved)
    for step in range(5, 10):
        give_gradients(ll, again, step)
        resumed.step()
    for a, b in zip(params, again, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def to_arrays(state_dict: dict[str, Any]) -> dict[str, Any]:
    state = {
        k: {n: v.numpy() if hasattr(v, "numpy") else v for n, v in entry.items()}
        for k, entry in state_dict["state"].items()
    }
    return {"state": state, "param_groups": state_dict["param_groups"]}


@pytest.mark.parametrize("name", MAKERS)
def test_state_dicts_go_to_torch_and_back(name: str) -> None:
    torch = pytest.importorskip("torch")

    def steps(lib: Any, params: list[Any], optimizer: Any, numbers: range) -> None:
        for step in numbers:
            give_gradients(lib, params, step)
            optimizer.step()

    ours, theirs = parameters(ll), parameters(torch)
    a, b = MAKERS[name](ll, ours), MAKERS[name](torch, theirs)
    steps(ll, ours, a, range(4))
    steps(torch, theirs, b, range(4))
    mine, other = a.state_dict(), b.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert list(mine["state"]) == list(other["state"])
    for key, entry in other["state"].items():
        assert list(mine["state"][key]) == list(entry)
        for field, value in entry.items():
            held = mine["state"][key][field]
            assert str(held.dtype) == str(value.dtype)
            np.testing.assert_allclose(held.numpy(), value.numpy(), rtol=1e-5, atol=1e-7)

    # Theirs into a fresh one here, ours into a fresh one there, and both go on together.
    here = [ll.tensor(p.detach().numpy(), requires_grad=True) for p in theirs]
    c = MAKERS[name](ll, here)
    c.load_state_dict(other)
    state = {
        k: {n: torch.tensor(v.numpy()) for n, v in entry.items()}
        for k, entry in mine["state"].items()
    }
    there = [torch.tensor(p.detach().numpy(), requires_grad=True) for p in ours]
    d = MAKERS[name](torch, there)
    d.load_state_dict({"state": state, "param_groups": mine["param_groups"]})
    steps(ll, here, c, range(4, 8))
    steps(torch, there, d, range(4, 8))
    for p, q in zip(here, there, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-5, atol=1e-6)


def test_loading_checks_groups_and_copies() -> None:
    a, b = parameters(ll, [(2,), (3,)])
    optimizer = ll.optim.Adam([a, b])
    give_gradients(ll, [a, b], 0)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        ll.optim.Adam([{"params": [a]}, {"params": [b]}]).load_state_dict(state)
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        ll.optim.Adam([a]).load_state_dict(state)

    wide = [p.detach().to(ll.float64).requires_grad_() for p in (a, b)]
    other = ll.optim.Adam(wide)
    other.load_state_dict(state)
    assert other.state[wide[0]]["exp_avg"].dtype is ll.float64
    assert other.state[wide[0]]["step"].dtype is ll.float32
    before = state["state"][0]["exp_avg"].tolist()
    give_gradients(ll, wide, 1)
    other.step()
    assert state["state"][0]["exp_avg"].tolist() == before
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_loading_old_and_foreign_state() -> None:
    (w,) = parameters(ll, [(2,)])
    optimizer = ll.optim.AdamW([w])
    give_gradients(ll, [w], 0)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["step"] = 7
    state["param_groups"][0]["decoupled_weight_decay"] = False
    del state["param_groups"][0]["maximize"]
    optimizer.load_state_dict(state)
    assert optimizer.state[w]["step"].item() == 7.0
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert optimizer.param_groups[0]["maximize"] is False
    state["param_groups"][0]["capturable"] = True
    with pytest.raises(RuntimeError, match="capturable is not supported"):
        optimizer.load_state_dict(state)


def test_deepcopy_keeps_parameters_and_state_together() -> None:
    (w,) = parameters(ll, [(2,)])
    optimizer = ll.optim.SGD([w], lr=0.1, momentum=0.9)
    give_gradients(ll, [w], 0)
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    (v,) = twin.param_groups[0]["params"]
    assert v is not w
    v.grad = ll.ones(2)
    w.grad = ll.ones(2)
    twin.step()
    assert w.tolist() != v.tolist()
    optimizer.step()
    assert w.tolist() == v.tolist()
