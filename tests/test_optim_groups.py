"""Optimizers: parameter groups, checkpoints, and what the constructors refuse."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from optim_runs import assert_same_run, give_gradients, parameters

import lucidlite as ll

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
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

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
    library = pytest.importorskip(lib, reason="compares with PyTorch")
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
    with pytest.raises(ValueError, match="either both floats or both Tensors"):
        ll.optim.Adam(params, betas=(ll.tensor(0.9), 0.9))
    with pytest.raises(ValueError, match=r"Tensor betas\[0\] must be 1-element, got shape=\(2,\)"):
        ll.optim.Adam(params, betas=(ll.zeros(2), ll.zeros(2)))


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
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

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
