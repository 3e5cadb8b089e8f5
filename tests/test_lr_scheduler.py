"""Schedules: whole runs against PyTorch, to the bit, and interrupted ones."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest

import lucidlite as ll
from lucidlite.optim import lr_scheduler

RUN = 30


def optimizer(lib: Any, name: str = "SGD", groups: int = 2) -> Any:
    params = [lib.zeros(1, requires_grad=True) for _ in range(groups)]
    options = {"momentum": 0.9} if name == "SGD" else {}
    given = [{"params": [p], "lr": 0.1 * (i + 1)} for i, p in enumerate(params)]
    return getattr(lib.optim, name)(given, lr=0.7, **options)


def rates(lib: Any, make: Any, steps: int = RUN, name: str = "SGD") -> list[Any]:
    opt = optimizer(lib, name)
    schedule = make(lib.optim.lr_scheduler, opt)
    seen = []
    for _ in range(steps):
        names = ("lr", "momentum", "betas", "initial_lr")
        options = [{name: group.get(name) for name in names} for group in opt.param_groups]
        seen.append((options, list(schedule.get_last_lr())))
        opt.step()
        schedule.step()
    return seen


FORMULAS = {
    "step": lambda s, o: s.StepLR(o, step_size=4, gamma=0.3),
    "step every": lambda s, o: s.StepLR(o, 1),
    "multistep": lambda s, o: s.MultiStepLR(o, milestones=[3, 9, 9, 20], gamma=0.5),
    "exponential": lambda s, o: s.ExponentialLR(o, gamma=0.93),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=30),
    "cosine min": lambda s, o: s.CosineAnnealingLR(o, T_max=7, eta_min=0.01),
    "cosine one": lambda s, o: s.CosineAnnealingLR(o, T_max=1, eta_min=0.02),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.25, total_iters=6),
    "linear down": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=9),
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda e: 1.0 / (e + 1), lambda e: 0.5 ** (e // 5)]),
    "sequence": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, T_max=20)], milestones=[5]
    ),
    "sequence of three": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.5), s.ExponentialLR(o, 0.9), s.StepLR(o, 4)], milestones=[4, 15]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_rates_equal_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with warnings.catch_warnings():
        # torch's own SequentialLR passes a deprecated argument and starts schedules out of order.
        warnings.simplefilter("ignore")
        theirs = rates(torch, FORMULAS[name])
    assert rates(ll, FORMULAS[name]) == theirs


ONE_CYCLE: list[dict[str, Any]] = [
    {"total_steps": 31},
    {"total_steps": 31, "three_phase": True},
    {"epochs": 5, "steps_per_epoch": 7, "pct_start": 0.5},
    {"total_steps": 31, "anneal_strategy": "linear"},
    {"total_steps": 40, "anneal_strategy": "linear", "three_phase": True, "pct_start": 0.2},
    {"total_steps": 31, "cycle_momentum": False},
    {"total_steps": 31, "pct_start": 0.0},
    {"total_steps": 31, "pct_start": 1.0},
    {"total_steps": 33, "div_factor": 10.0, "final_div_factor": 50.0},
    {"total_steps": 33, "base_momentum": [0.6, 0.7], "max_momentum": [0.8, 0.99]},
]


@pytest.mark.parametrize("options", ONE_CYCLE, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("peak", [0.5, [0.5, 0.05]], ids=str)
def test_one_cycle_equals_torch(name: str, options: dict[str, Any], peak: Any) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def make(schedulers: Any, opt: Any) -> Any:
        return schedulers.OneCycleLR(opt, peak, **options)

    assert rates(ll, make, name=name) == rates(torch, make, name=name)


def test_one_cycle_with_a_phase_of_one_step() -> None:
    opt = optimizer(ll)
    schedule = lr_scheduler.OneCycleLR(opt, 1.0, total_steps=10, pct_start=0.1)
    assert schedule.get_last_lr() == [1.0, 1.0]


def test_one_cycle_ends() -> None:
    opt = optimizer(ll)
    schedule = lr_scheduler.OneCycleLR(opt, 1.0, total_steps=4)
    for _ in range(4):
        opt.step()
        schedule.step()
    with pytest.raises(ValueError, match="Tried to step 5 times"):
        schedule.step()


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epochs": 3},
        {"total_steps": 0},
        {"total_steps": 2.5},
        {"epochs": 3, "steps_per_epoch": -1},
        {"total_steps": 5, "pct_start": 1.5},
        {"total_steps": 5, "pct_start": 1},
        {"total_steps": 5, "anneal_strategy": "spline"},
        {"total_steps": 5, "max_lr": [0.1]},
        {"total_steps": 5, "max_momentum": [0.1, 0.2, 0.3]},
    ],
    ids=str,
)
def test_one_cycle_refuses(lib: str, options: dict[str, Any]) -> None:
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    with pytest.raises(ValueError):  # noqa: PT011  (two libraries' texts)
        library.optim.lr_scheduler.OneCycleLR(optimizer(library), **{"max_lr": 0.1, **options})


def test_one_cycle_needs_a_momentum() -> None:
    opt = ll.optim.Optimizer([ll.zeros(1, requires_grad=True)], {"lr": 0.1})
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        lr_scheduler.OneCycleLR(opt, 0.1, total_steps=5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 1},
        {"patience": 2, "threshold_mode": "abs", "threshold": 0.1, "cooldown": 2},
        {"mode": "max", "patience": 0, "threshold_mode": "abs", "min_lr": [0.01, 0.1]},
        {"patience": 1, "factor": 0.5, "min_lr": 0.06, "eps": 0.03},
    ],
    ids=str,
)
def test_plateau_equals_torch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values = [1.0, 0.9, 0.95, 0.91, 0.9, 0.88, 0.5, 0.5, 0.5, 0.5, 0.51, 0.52, 0.7, 0.9, 1.5] * 3

    def run(lib: Any) -> list[Any]:
        opt = optimizer(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, **options)
        seen = []
        for value in values:
            opt.step()
            schedule.step(value)
            seen.append(([g["lr"] for g in opt.param_groups], schedule.get_last_lr()))
        return seen

    assert run(ll) == run(torch)


RESUMABLE: dict[str, Any] = {
    **FORMULAS,
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=RUN + 1),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_resume_equals_uninterrupted(name: str) -> None:
    make = RESUMABLE[name]
    opt = optimizer(ll)
    schedule = make(lr_scheduler, opt)
    whole = []
    for step in range(RUN):
        if step == 11:
            saved = copy.deepcopy((opt.state_dict(), schedule.state_dict()))
        opt.step()
        schedule.step()
        whole.append(schedule.get_last_lr())

    opt = optimizer(ll)
    schedule = make(lr_scheduler, opt)
    opt.load_state_dict(saved[0])
    schedule.load_state_dict(saved[1])
    for step in range(11, RUN):
        opt.step()
        schedule.step()
        assert schedule.get_last_lr() == whole[step]


@pytest.mark.parametrize("name", ["step", "cosine", "exponential", "one cycle"])
def test_state_has_torch_names(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = RESUMABLE[name](lr_scheduler, optimizer(ll)).state_dict()
    theirs = RESUMABLE[name](torch.optim.lr_scheduler, optimizer(torch)).state_dict()
    assert ours == {key: theirs[key] for key in ours}
    assert set(theirs) >= {"last_epoch", "base_lrs", "_last_lr", "_step_count"}


def test_last_epoch_resumes() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def start(lib: Any) -> list[float]:
        opt = optimizer(lib)
        for group in opt.param_groups:
            group["initial_lr"] = 0.4
        schedule = lib.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=10, last_epoch=3)
        return schedule.get_last_lr()

    assert start(ll) == start(torch)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(optimizer(ll), 3, last_epoch=3)


def test_order_of_steps_is_watched() -> None:
    opt = optimizer(ll)
    schedule = lr_scheduler.StepLR(opt, 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()
    opt.step()
    schedule.step()


def test_step_to_an_epoch_uses_the_closed_form() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def jump(lib: Any, make: Any) -> Any:
        opt = optimizer(lib)
        schedule = make(lib.optim.lr_scheduler, opt)
        opt.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            schedule.step(8)
        return schedule.get_last_lr()

    for name in ("step", "multistep", "exponential", "cosine min", "linear", "lambda"):
        assert jump(ll, FORMULAS[name]) == jump(torch, FORMULAS[name]), name


def test_milestones_may_come_back_as_a_dict() -> None:
    opt = optimizer(ll)
    schedule = lr_scheduler.MultiStepLR(opt, [3, 3], gamma=0.5)
    opt.step()
    schedule.load_state_dict({**schedule.state_dict(), "milestones": {3: 2}})
    with pytest.warns(UserWarning, match="epoch parameter"):
        schedule.step(5)
    assert schedule.get_last_lr() == [0.1 * 0.25, 0.2 * 0.25]


def test_get_lr_is_for_subclasses() -> None:
    schedule = lr_scheduler.StepLR(optimizer(ll), 3)
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()
    with pytest.raises(NotImplementedError, match="define get_lr"):
        lr_scheduler.LRScheduler(optimizer(ll))
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        lr_scheduler.StepLR(3, 3)


def test_a_schedule_of_ones_own() -> None:
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base / 2**self.last_epoch for base in self.base_lrs]

    opt = optimizer(ll)
    schedule = Halving(opt)
    opt.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.05, 0.1]


def test_callable_objects_are_saved_functions_are_not() -> None:
    class Decay:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, epoch: int) -> float:
            return self.factor**epoch

    saved = lr_scheduler.LambdaLR(optimizer(ll), [Decay(0.5), lambda _: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"factor": 0.5}, None]
    schedule = lr_scheduler.LambdaLR(optimizer(ll), [Decay(0.1), lambda _: 1.0])
    schedule.load_state_dict(saved)
    assert schedule.lr_lambdas[0].factor == 0.5
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
        lr_scheduler.LambdaLR(optimizer(ll), [lambda _: 1.0])


def test_a_tensor_rate_is_written_in_place() -> None:
    rate = ll.tensor(0.5)
    opt = ll.optim.SGD([ll.zeros(1, requires_grad=True)], lr=rate)
    schedule = lr_scheduler.StepLR(opt, 1, gamma=0.5)
    opt.step()
    schedule.step()
    assert opt.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert schedule.get_last_lr() == [0.25]


def test_sequence_refuses() -> None:
    opt = optimizer(ll)
    step = lr_scheduler.StepLR(opt, 3)
    with pytest.raises(ValueError, match="at least one scheduler"):
        lr_scheduler.SequentialLR(opt, [], [])
    with pytest.raises(ValueError, match="one scheduler more than milestones"):
        lr_scheduler.SequentialLR(opt, [step], [3])
    with pytest.raises(ValueError, match="same optimizer"):
        lr_scheduler.SequentialLR(optimizer(ll), [step], [])
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        lr_scheduler.SequentialLR(opt, [lr_scheduler.ReduceLROnPlateau(opt)], [])
    with pytest.raises(ValueError, match="greater than 0"):
        lr_scheduler.LinearLR(opt, start_factor=0.0)
