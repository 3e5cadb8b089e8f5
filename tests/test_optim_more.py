"""The optimizers that are a rule each: trajectories, state and refusals as PyTorch has them."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from optim_runs import assert_same_run, give_gradients, gradients, parameters, run

import lucidlite as ll
from lucidlite.backends import cpu
from lucidlite.backends.kernels import optim as optim_kernels
from lucidlite.backends.kernels.optim_rules import RULES

BETAS = [(0.9, 0.999), (0.3, 0.9)]
EITHER = [False, True]
GRIDS: dict[str, dict[str, list[Any]]] = {
    "RMSprop": {"alpha": [0.99, 0.3], "momentum": [0, 0.9], "centered": EITHER,
                "weight_decay": [0, 0.1], "maximize": EITHER},
    "Adagrad": {"lr": [0.1], "lr_decay": [0, 0.3], "weight_decay": [0, 0.1],
                "initial_accumulator_value": [0, 0.25], "maximize": EITHER},
    "Adadelta": {"rho": [0.9, 0.3], "eps": [1e-6, 1e-2], "lr": [1.0, 0.1],
                 "weight_decay": [0, 0.1], "maximize": EITHER},
    "Adamax": {"lr": [0.02], "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": [0, 0.1],
               "maximize": EITHER},
    "NAdam": {"lr": [0.02], "betas": BETAS, "momentum_decay": [4e-3, 0.1],
              "weight_decay": [0, 0.1], "decoupled_weight_decay": EITHER, "maximize": EITHER},
    "RAdam": {"lr": [0.02], "betas": [*BETAS, (0.5, 0.6)], "weight_decay": [0, 0.1],
              "decoupled_weight_decay": EITHER, "maximize": EITHER},
    "ASGD": {"lr": [0.1], "lambd": [1e-4, 0.1], "alpha": [0.75, 0.3], "t0": [1e6, 5],
             "weight_decay": [0, 0.1], "maximize": EITHER},
    "Rprop": {"lr": [0.01, 0.1], "etas": [(0.5, 1.2), (0.3, 1.5)],
              "step_sizes": [(1e-6, 50), (0.005, 0.2)], "maximize": EITHER},
}  # fmt: skip
NAMES = list(GRIDS)
SETTINGS = [
    (name, dict(zip(grid, values, strict=True)))
    for name, grid in GRIDS.items()
    for values in itertools.product(*grid.values())
]
# All options at once: what a checkpoint and a device have to keep.
FULL: dict[str, dict[str, Any]] = {
    name: {key: values[-1] for key, values in grid.items()} for name, grid in GRIDS.items()
}
MAKERS = {name: lambda lib, p, name=name: getattr(lib.optim, name)(p, **FULL[name])
          for name in NAMES}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_trajectories_follow_torch(name: str, options: dict[str, Any], dtype: str) -> None:
    assert_same_run(lambda lib, params: getattr(lib.optim, name)(params, **options), dtype)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_groups_follow_torch(name: str) -> None:
    assert_same_run(lambda lib, params: getattr(lib.optim, name)(params), "float64")

    def grouped(lib: Any, params: list[Any]) -> Any:
        own = {"params": params[1:], "lr": 0.03, "maximize": True}
        return getattr(lib.optim, name)([{"params": params[:1]}, own], lr=0.005)

    assert_same_run(grouped, "float64")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_text_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours, theirs = (getattr(lib.optim, name)(parameters(lib)) for lib in (ll, torch))
    assert ours.defaults == theirs.defaults
    assert list(ours.defaults) == list(theirs.defaults)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_rate_and_missing_gradients(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def steps(lib: Any) -> tuple[list[Any], list[int]]:
        params = parameters(lib, dtype="float64")
        optimizer = getattr(lib.optim, name)(params, lr=lib.tensor(0.25, dtype=lib.float64))
        for step in range(6):
            give_gradients(lib, params, step)
            params[step % 3].grad = None  # each counts its own steps
            optimizer.step()
        counts = [int(entry["step"]) for entry in optimizer.state.values()]
        return [p.detach().numpy() for p in params], counts

    (ours, own), (theirs, other) = steps(ll), steps(torch)
    assert own == other == [4, 4, 4]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_parameter_is_left_alone(name: str) -> None:
    a, b = parameters(ll, [(2,), (2,)])
    optimizer = MAKERS[name](ll, [a, b])
    before, version = b.tolist(), b._version
    a.grad = ll.ones(2)
    a.grad.array.flags.writeable = False
    loss = (a * a).sum()
    optimizer.step()
    assert b.tolist() == before
    assert b._version == version
    assert a.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert (b in optimizer.state) is (name == "Adagrad")  # as in PyTorch
    assert optimizer.step(lambda: 7) == 7


# -- numbers that only NumPy is needed for --------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_float16_steps_in_float32_and_rounds_once(name: str) -> None:
    def after_one(dtype: Any) -> tuple[Any, Any]:
        w = ll.tensor([1.0, -2.0, 0.5], dtype=dtype, requires_grad=True)
        w.grad = ll.tensor([0.25, -0.5, 1.0], dtype=dtype)
        optimizer = MAKERS[name](ll, [w])
        optimizer.step()
        return w.detach(), optimizer.state[w]

    (narrow, state), (wide, other) = after_one(ll.float16), after_one(ll.float32)
    np.testing.assert_array_equal(narrow.numpy(), wide.half().numpy())
    for key, value in other.items():
        host = key in ("step", "mu_product", "mu", "eta")
        assert state[key].dtype is (ll.float32 if host else ll.float16)
        np.testing.assert_array_equal(state[key].numpy(), value.to(state[key].dtype).numpy())


def items_of(name: str, turned: bool = False) -> tuple[list[np.ndarray], dict[str, float]]:
    """Arrays for a rule (parameter, gradient, state), and numbers it takes."""
    counts = {"rmsprop": 3, "adagrad": 1, "asgd": 1}
    rng = np.random.default_rng(3)
    made = [
        np.asarray(rng.random((7, 9)) + 0.1, np.float32) for _ in range(2 + counts.get(name, 2))
    ]
    code = RULES[name].__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    numbers = {n: 0.3 + 0.1 * i for i, n in enumerate(names)}
    return [a.T for a in made] if turned else made, numbers


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_blocks_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, name: str, turned: bool
) -> None:
    def step(block: int) -> list[np.ndarray]:
        monkeypatch.setattr(optim_kernels, "BLOCK", block)
        (p, grad, *states), numbers = items_of(name, turned)
        grad.flags.writeable = False
        cpu.rule_steps(
            name, [(p, grad, states, numbers)], weight_decay=0.1, shrink=0.9, maximize=True
        )
        return [p, *states]

    for whole, cut in zip(step(1 << 16), step(10), strict=True):
        np.testing.assert_array_equal(whole, cut)


def test_lerp_into_goes_from_the_nearer_end() -> None:
    rng = np.random.default_rng(0)
    for dtype, limit in ((np.float64, 1e-15), (np.float32, 1e-6), (np.float16, 1e-3)):
        for weight in (0.0, 0.1, 0.5, 0.9, 1.0):
            start, end = (rng.standard_normal((4, 5)).astype(dtype) for _ in range(2))
            want = start.astype(float) * (1 - weight) + end.astype(float) * weight
            cpu.lerp_into([start], [end], weight)
            np.testing.assert_allclose(start, want, rtol=limit, atol=limit)
            if weight in (0.0, 1.0):
                np.testing.assert_array_equal(start, want)


def test_overflow_and_nan_do_not_warn() -> None:
    for name in NAMES:
        w = ll.tensor([1.0, 2.0, 3.0], requires_grad=True)
        w.grad = ll.tensor([float("inf"), float("nan"), 1e30])
        optimizer = MAKERS[name](ll, [w])
        optimizer.step()
        optimizer.step()
        assert np.isnan(w.detach().numpy()[1]), name


@pytest.mark.parametrize("name", NAMES)
def test_steps_on_a_device_are_the_cpus(cuda: str, name: str) -> None:
    def steps(device: str, dtype: Any) -> tuple[list[Any], Any]:
        params = [p.detach().to(device, dtype).requires_grad_() for p in parameters(ll)]
        optimizer = MAKERS[name](ll, params)
        for step in range(4):
            for p, g in zip(params, gradients(step), strict=True):
                p.grad = ll.tensor(g.tolist(), dtype=dtype, device=device)
            optimizer.step()
            if step == 1:  # the scalars stay on the host through a checkpoint
                again = MAKERS[name](ll, params)
                again.load_state_dict(optimizer.state_dict())
                optimizer = again
        return params, optimizer

    for dtype, limit in ((ll.float64, 1e-12), (ll.float32, 3e-6), (ll.float16, 3e-3)):
        ours, optimizer = steps(cuda, dtype)
        host, _ = steps("cpu", dtype)
        for a, b in zip(ours, host, strict=True):
            assert a.device.type == "cuda"
            np.testing.assert_allclose(
                a.detach().cpu().numpy(), b.detach().numpy(), rtol=limit, atol=limit
            )
        for entry in optimizer.state.values():
            for key, value in entry.items():
                on_host = key in ("step", "mu_product", "mu", "eta")
                assert value.device.type == ("cpu" if on_host else "cuda")


# -- checkpoints ----------------------------------------------------------------------------------


def as_arrays(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value.numpy() for key, value in entry.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_go_to_torch_and_back(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    limits = {"rtol": 2e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}

    def steps(lib: Any, params: list[Any], optimizer: Any, numbers: range) -> None:
        for step in numbers:
            give_gradients(lib, params, step)
            optimizer.step()

    ours, theirs = parameters(ll, dtype=dtype), parameters(torch, dtype=dtype)
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
            np.testing.assert_allclose(held.numpy(), value.numpy(), **limits)

    # Theirs into a fresh one here, ours into a fresh one there, and both go on together.
    here = [ll.tensor(p.detach().numpy(), requires_grad=True) for p in theirs]
    c = MAKERS[name](ll, here)
    c.load_state_dict(other)
    state = {
        number: {key: torch.tensor(value) for key, value in as_arrays(entry).items()}
        for number, entry in mine["state"].items()
    }
    there = [torch.tensor(p.detach().numpy(), requires_grad=True) for p in ours]
    d = MAKERS[name](torch, there)
    d.load_state_dict({"state": state, "param_groups": mine["param_groups"]})
    for number, entry in d.state_dict()["state"].items():
        for field, value in entry.items():
            assert str(c.state_dict()["state"][number][field].dtype) == str(value.dtype), field
    steps(ll, here, c, range(4, 8))
    steps(torch, there, d, range(4, 8))
    for p, q in zip(here, there, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), **limits)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_resume_is_bit_equal(name: str, dtype: str) -> None:
    params = parameters(ll, dtype=dtype)
    optimizer = MAKERS[name](ll, params)
    for step in range(10):
        if step == 5:
            saved = optimizer.state_dict()
            state = {number: as_arrays(entry) for number, entry in saved["state"].items()}
            saved = pickle.loads(pickle.dumps({**saved, "state": state}))
            again = [p.detach().clone().requires_grad_() for p in params]
        give_gradients(ll, params, step)
        optimizer.step()
    resumed = MAKERS[name](ll, again)
    resumed.load_state_dict(saved)
    for step in range(5, 10):
        give_gradients(ll, again, step)
        resumed.step()
    for a, b in zip(params, again, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize("name", NAMES)
def test_old_state_and_options_of_later_times(name: str) -> None:
    (w,) = parameters(ll, [(2,)])
    optimizer = MAKERS[name](ll, [w])
    give_gradients(ll, [w], 0)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    entry = state["state"][0]
    for key in ("step", "mu_product", "eta", "mu"):
        if key in entry:
            entry[key] = entry[key].item()
    del state["param_groups"][0]["maximize"]
    other = getattr(ll.optim, name)([w])
    other.load_state_dict(state)
    assert other.state[w]["step"].item() == 1.0
    assert other.param_groups[0]["maximize"] is False
    other.step()
    assert other.state[w]["step"].item() == 2.0
    assert copy.deepcopy(other).state_dict()["state"][0]["step"].item() == 2.0


def test_momentum_may_be_switched_on_later() -> None:
    (w,) = parameters(ll, [(2,)])
    optimizer = ll.optim.RMSprop([w])
    for _ in range(2):
        give_gradients(ll, [w], 0)
        optimizer.step()
        optimizer.param_groups[0].update(momentum=0.9, centered=True)
    assert set(optimizer.state[w]) == {"step", "square_avg", "momentum_buffer", "grad_avg"}


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_rprop_has_no_weight_decay(lib: str) -> None:
    """A group may say more than its optimizer knows."""
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    p = library.ones(2, requires_grad=True)
    optimizer = library.optim.Rprop([{"params": [p], "weight_decay": 0.5}], lr=0.25)
    p.grad = library.zeros(2)
    optimizer.step()
    assert p.tolist() == [1.0, 1.0]


def test_adagrad_has_its_state_at_once() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def state(lib: Any) -> list[Any]:
        params = parameters(lib, [(2,), (3,)])
        optimizer = lib.optim.Adagrad(params[:1], initial_accumulator_value=0.5)
        optimizer.add_param_group({"params": params[1:], "initial_accumulator_value": 0.75})
        before = len(optimizer.state)
        give_gradients(lib, params, 0)
        optimizer.step()
        sums = [optimizer.state[p]["sum"].numpy() for p in params]
        return [before, *(value for one in sums for value in one)]

    np.testing.assert_allclose(state(ll), state(torch), rtol=1e-6)


def test_counters_follow_the_default_dtype() -> None:
    ll.set_default_dtype(ll.float64)
    try:
        (w,) = parameters(ll, [(2,)], dtype="float64")
        optimizer = ll.optim.NAdam([w])
        give_gradients(ll, [w], 0)
        optimizer.step()
        assert optimizer.state[w]["step"].dtype is ll.float64
        assert optimizer.state[w]["mu_product"].dtype is ll.float64
    finally:
        ll.set_default_dtype(ll.float32)


# -- refusals -------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any]]] = [
    *((name, {"lr": -1.0}) for name in NAMES),
    *((name, {"weight_decay": -1.0}) for name in NAMES if name != "Rprop"),
    *((name, {"eps": -1.0}) for name in NAMES if name not in ("Rprop", "ASGD")),
    *((name, {"betas": (1.0, 0.9)}) for name in ("Adamax", "NAdam", "RAdam")),
    *((name, {"betas": (0.9, -0.1)}) for name in ("Adamax", "NAdam", "RAdam")),
    ("RMSprop", {"momentum": -0.1}),
    ("RMSprop", {"alpha": -0.1}),
    ("Adagrad", {"lr_decay": -0.1}),
    ("Adagrad", {"initial_accumulator_value": -0.1}),
    ("Adadelta", {"rho": 1.5}),
    ("NAdam", {"momentum_decay": -0.1}),
    ("Rprop", {"etas": (0.5, 0.9)}),
    ("Rprop", {"etas": (1.5, 2.0)}),
]


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize(("name", "options"), WRONG, ids=str)
def test_options_out_of_range(lib: str, name: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    with pytest.raises(ValueError, match="Invalid"):
        getattr(library.optim, name)(parameters(library), **options)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_supported_says_so(name: str) -> None:
    cls = getattr(ll.optim, name)
    with pytest.raises(RuntimeError, match="differentiable is not supported"):
        cls(parameters(ll), differentiable=True)
    if name != "Adagrad":
        with pytest.raises(RuntimeError, match="capturable is not supported"):
            cls(parameters(ll), capturable=True)
    with pytest.raises(ValueError, match="must be 1-element"):
        cls(parameters(ll), lr=ll.ones(2))
    with pytest.raises(ValueError, match="empty parameter list"):
        cls([])
    same = run(ll, lambda _, params: cls(params, foreach=True))
    for a, b in zip(same, run(ll, lambda _, params: cls(params)), strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_not_there_says_so() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = set(ll.optim.__all__)
    absent = {name for name in torch.optim.__all__ if name not in ours}
    assert {"Adafactor", "Muon", "SparseAdam"} <= absent
    for name in sorted(absent):
        with pytest.raises(AttributeError, match=f"no attribute '{name}': "):
            getattr(ll.optim, name)
    with pytest.raises(AttributeError, match=r"no attribute 'Adm'"):
        _ = ll.optim.Adm


# -- hooks around state ---------------------------------------------------------------------------


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
def test_hooks_around_state(lib: str) -> None:
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    (w,) = parameters(library, [(2,)])
    optimizer = library.optim.RMSprop([w], lr=0.5)
    seen: list[Any] = []

    def changed(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        groups = [{**group, "lr": group["lr"] * 2} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    def extended(_: Any, state: dict[str, Any]) -> None:
        state["extra"] = 3

    optimizer.register_state_dict_pre_hook(lambda o: seen.append(("saving", o is optimizer)))
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("first"), prepend=True)
    removed = optimizer.register_state_dict_pre_hook(lambda _: seen.append("removed"))
    removed.remove()
    optimizer.register_state_dict_post_hook(changed)
    optimizer.register_state_dict_post_hook(extended)
    state = optimizer.state_dict()
    assert seen == ["first", ("saving", True)]
    assert state["extra"] == 3
    assert state["param_groups"][0]["lr"] == 1.0
    assert optimizer.param_groups[0]["lr"] == 0.5

    optimizer.register_load_state_dict_pre_hook(changed)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(state)
    assert seen[-1] == 2.0
    assert state["param_groups"][0]["lr"] == 1.0
