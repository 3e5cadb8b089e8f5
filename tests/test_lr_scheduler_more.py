"""More schedules: whole runs, jumps, interrupted runs and refusals as PyTorch has them."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import Any

import pytest

import lucidlite as ll
from lucidlite.optim import lr_scheduler, swa_utils

RUN = 30


def optimizer(lib: Any, name: str = "SGD") -> Any:
    params = [lib.zeros(1, requires_grad=True) for _ in range(2)]
    options = {"momentum": 0.9} if name == "SGD" else {}
    given = [{"params": [p], "lr": 0.1 * (i + 1)} for i, p in enumerate(params)]
    return getattr(lib.optim, name)(given, lr=0.7, **options)


def squared(x: float) -> float:
    return 1.0 / x**2 if x else 1.0


# Name: a schedule from (the library's optim, an optimizer).
MAKERS: dict[str, Any] = {
    "constant": lambda m, o: m.lr_scheduler.ConstantLR(o),
    "constant half": lambda m, o: m.lr_scheduler.ConstantLR(o, factor=0.5, total_iters=3),
    "constant none": lambda m, o: m.lr_scheduler.ConstantLR(o, 0.5, total_iters=0),
    "polynomial": lambda m, o: m.lr_scheduler.PolynomialLR(o),
    "polynomial 2": lambda m, o: m.lr_scheduler.PolynomialLR(o, total_iters=12, power=2.0),
    "times": lambda m, o: m.lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9 + 0.001 * epoch),
    "times each": lambda m, o: m.lr_scheduler.MultiplicativeLR(
        o, [lambda _: 0.95, lambda e: 1.1 if e % 2 else 0.8]
    ),
    "restarts": lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=4),
    "restarts longer": lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "cyclic": lambda m, o: m.lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=4),
    "cyclic uneven": lambda m, o: m.lr_scheduler.CyclicLR(
        o, [0.01, 0.02], [0.1, 0.3], step_size_up=3, step_size_down=5, mode="triangular2"
    ),
    "cyclic range": lambda m, o: m.lr_scheduler.CyclicLR(
        o, 0.01, 0.1, 4, mode="exp_range", gamma=0.97, base_momentum=[0.5, 0.6], max_momentum=0.95
    ),
    "cyclic own": lambda m, o: m.lr_scheduler.CyclicLR(o, 0.01, 0.1, 4, scale_fn=squared),
    "cyclic own steps": lambda m, o: m.lr_scheduler.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=squared, scale_mode="iterations", cycle_momentum=False
    ),
    "chained": lambda m, o: m.lr_scheduler.ChainedScheduler(
        [m.lr_scheduler.ConstantLR(o, 0.1, 4), m.lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "chained sequence": lambda m, o: m.lr_scheduler.ChainedScheduler(
        [
            m.lr_scheduler.SequentialLR(
                o,
                [m.lr_scheduler.LinearLR(o, 0.5), m.lr_scheduler.PolynomialLR(o, 20)],
                milestones=[4],
            ),
            m.lr_scheduler.StepLR(o, 7),
        ],
        o,
    ),
    "sequence": lambda m, o: m.lr_scheduler.SequentialLR(
        o,
        [
            m.lr_scheduler.ChainedScheduler(
                [m.lr_scheduler.ConstantLR(o, 0.1, 2), m.lr_scheduler.ExponentialLR(o, 0.9)]
            ),
            m.lr_scheduler.PolynomialLR(o, 12),
            m.lr_scheduler.ExponentialLR(o, 0.8),
        ],
        milestones=[5, 15],
    ),
    "swa": lambda m, o: m.swa_utils.SWALR(o, 0.05),
    "swa linear": lambda m, o: m.swa_utils.SWALR(
        o, [0.05, 0.5], anneal_epochs=7, anneal_strategy="linear"
    ),
    "swa at once": lambda m, o: m.swa_utils.SWALR(o, 0.05, anneal_epochs=0),
}
OTHERS: dict[str, Any] = {
    "step": lambda m, o: m.lr_scheduler.StepLR(o, 4),
    "milestones": lambda m, o: m.lr_scheduler.MultiStepLR(o, [3, 9, 9]),
    "exponential": lambda m, o: m.lr_scheduler.ExponentialLR(o, 0.9),
    "lambda": lambda m, o: m.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "linear": lambda m, o: m.lr_scheduler.LinearLR(o),
    "cosine": lambda m, o: m.lr_scheduler.CosineAnnealingLR(o, 9),
    "one cycle": lambda m, o: m.lr_scheduler.OneCycleLR(o, 0.5, total_steps=RUN + 1),
    "plateau": lambda m, o: m.lr_scheduler.ReduceLROnPlateau(o, patience=2),
}


def note(opt: Any, schedule: Any) -> Any:
    names = ("lr", "momentum", "betas", "initial_lr", "base_momentum", "swa_lr")
    groups = [{name: group.get(name) for name in names} for group in opt.param_groups]
    return groups, list(schedule.get_last_lr())


def rates(lib: Any, make: Any, name: str = "SGD") -> list[Any]:
    opt = optimizer(lib, name)
    schedule = make(lib.optim, opt)
    seen = []
    for _ in range(RUN):
        seen.append(note(opt, schedule))
        opt.step()
        schedule.step()
    return seen


@pytest.mark.filterwarnings("ignore")  # torch's own sequence passes a deprecated argument
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_rates_equal_torch(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert rates(ll, MAKERS[name], kind) == rates(torch, MAKERS[name], kind)


# A chain inside a sequence makes steps before the optimizer does; PyTorch warns of it too.
QUIET = [name for name in MAKERS if name != "sequence"]


@pytest.mark.parametrize("name", QUIET)
def test_rates_without_warnings(name: str) -> None:
    assert len(rates(ll, MAKERS[name])) == RUN


def stepped(schedule: Any, number: int) -> None:
    values = (1.0, 0.9, 0.95)
    plateau = type(schedule).__name__ == "ReduceLROnPlateau"
    schedule.optimizer.step()
    schedule.step(*([values[number % 3]] if plateau else []))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*MAKERS, *OTHERS])
def test_state_is_torchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    states = []
    for lib in (ll, torch):
        schedule = {**MAKERS, **OTHERS}[name](lib.optim, optimizer(lib))
        for number in range(9):
            stepped(schedule, number)
        states.append(schedule.state_dict())
    assert states[0] == states[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*MAKERS, *OTHERS])
def test_state_goes_from_torch_and_to_it(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    make = {**MAKERS, **OTHERS}[name]

    def resumed(source: Any, target: Any) -> list[Any]:
        old = make(source.optim, optimizer(source))
        for number in range(9):
            stepped(old, number)
        new = make(target.optim, optimizer(target))
        saved = copy.deepcopy((old.optimizer.state_dict(), old.state_dict()))
        new.optimizer.load_state_dict(saved[0])
        new.load_state_dict(saved[1])
        seen = []
        for number in range(9, 20):
            stepped(new, number)
            seen.append(note(new.optimizer, new))
        return seen

    whole = resumed(torch, torch)
    assert resumed(torch, ll) == resumed(ll, torch) == resumed(ll, ll) == whole


@pytest.mark.parametrize("name", ["constant", "polynomial", "polynomial 2", "times", "cyclic"])
def test_step_to_an_epoch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def jump(lib: Any) -> list[Any]:
        opt = optimizer(lib)
        schedule = MAKERS[name](lib.optim, opt)
        seen = []
        for epoch in (3, 8, 2):
            opt.step()
            with pytest.warns(UserWarning, match="epoch parameter"):
                schedule.step(epoch)
            seen.append(note(opt, schedule))
        return seen

    assert jump(ll) == jump(torch)


@pytest.mark.parametrize("name", ["restarts", "restarts longer"])
def test_restarts_go_to_any_epoch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def jump(lib: Any) -> list[Any]:
        schedule = MAKERS[name](lib.optim, optimizer(lib))
        seen = []
        for epoch in (0, 0.5, 2.75, 3, 4, 9.25, 17, None, None, 1, 21.0, None):
            schedule.step(epoch)
            seen.append((note(schedule.optimizer, schedule), schedule.T_cur, schedule.T_i))
        return seen

    assert jump(ll) == jump(torch)
    with pytest.raises(ValueError, match="non-negative epoch, but got -1"):
        MAKERS[name](ll.optim, optimizer(ll)).step(-1)


@pytest.mark.parametrize("name", ["restarts", "polynomial", "cyclic", "swa", "times", "constant"])
def test_last_epoch_resumes(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    options = {
        "restarts": ("CosineAnnealingWarmRestarts", (4,)),
        "polynomial": ("PolynomialLR", (12,)),
        "cyclic": ("CyclicLR", (0.01, 0.1, 4)),
        "swa": ("SWALR", (0.05,)),
        "times": ("MultiplicativeLR", (lambda _: 0.9,)),
        "constant": ("ConstantLR", (0.5,)),
    }
    cls, given = options[name]

    def go_on(lib: Any) -> list[Any]:
        opt = optimizer(lib)
        for group in opt.param_groups:
            group["initial_lr"] = 0.4
        home = lib.optim.swa_utils if cls == "SWALR" else lib.optim.lr_scheduler
        schedule = getattr(home, cls)(opt, *given, last_epoch=3)
        seen = [note(opt, schedule)]
        for _ in range(5):
            opt.step()
            schedule.step()
            seen.append(note(opt, schedule))
        return seen

    assert go_on(ll) == go_on(torch)


def test_a_callable_scale_is_saved() -> None:
    class Falling:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, x: float) -> float:
            return self.factor**x

    def make(factor: float) -> Any:
        return lr_scheduler.CyclicLR(optimizer(ll), 0.01, 0.1, 2, scale_fn=Falling(factor))

    saved = make(0.5).state_dict()
    assert saved["_scale_fn_custom"] == {"factor": 0.5}
    other = make(0.25)
    other.load_state_dict(saved)
    assert other.scale_fn(2) == 0.25
    other.optimizer.step()
    other.step()
    assert saved["_scale_fn_custom"] == {"factor": 0.5}


def test_plateau_knows_of_new_groups_and_epochs() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def go(lib: Any, low: Any) -> Any:
        opt = optimizer(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0, min_lr=low)
        schedule.step(1.0)
        opt.add_param_group({"params": [lib.zeros(1, requires_grad=True)]})
        with pytest.warns(UserWarning, match="epoch parameter"):
            schedule.step(2.0, epoch=5)
        return schedule.last_epoch, schedule.min_lrs, [g["lr"] for g in opt.param_groups]

    assert go(ll, 0.05) == go(torch, 0.05)
    for lib in (ll, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(RuntimeError, match="param groups"):
                go(lib, [0.0, 0.0])
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer(ll), patience=0, cooldown=2)
    schedule.step(1.0)
    assert not schedule.in_cooldown
    schedule.step(1.0)
    assert schedule.in_cooldown


def test_a_tensor_rate_is_written_in_place() -> None:
    for name in QUIET:
        rate = ll.tensor(0.5, dtype=ll.float64)
        opt = ll.optim.SGD([{"params": [ll.zeros(1, requires_grad=True)]},
                            {"params": [ll.zeros(1, requires_grad=True)]}],
                           lr=0.5, momentum=0.5)  # fmt: skip
        opt.param_groups[0]["lr"] = rate
        schedule = MAKERS[name](ll.optim, opt)
        for _ in range(6):
            opt.step()
            schedule.step()
        assert opt.param_groups[0]["lr"] is rate
        assert schedule.get_last_lr()[0] == rate.item()


def test_get_lr_warns_outside_of_step() -> None:
    for name in ("constant", "polynomial", "times", "restarts", "cyclic", "swa"):
        schedule = MAKERS[name](ll.optim, optimizer(ll))
        with pytest.warns(UserWarning, match="get_last_lr"):
            schedule.get_lr()


# -- refusals and signatures ----------------------------------------------------------------------

WRONG: dict[str, tuple[type[Exception], Any]] = {
    "factor": (ValueError, lambda m, o: m.lr_scheduler.ConstantLR(o, factor=1.5)),
    "factor below": (ValueError, lambda m, o: m.lr_scheduler.ConstantLR(o, factor=-0.5)),
    "T_0": (ValueError, lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 0)),
    "T_0 float": (ValueError, lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 2.5)),
    "T_mult": (ValueError, lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 0)),
    "eta_min": (
        ValueError,
        lambda m, o: m.lr_scheduler.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
    ),
    "mode": (ValueError, lambda m, o: m.lr_scheduler.CyclicLR(o, 0.1, 1.0, mode="square")),
    "base_lr": (ValueError, lambda m, o: m.lr_scheduler.CyclicLR(o, [0.1], 1.0)),
    "max_lr": (ValueError, lambda m, o: m.lr_scheduler.CyclicLR(o, 0.1, [1.0] * 3)),
    "no momentum": (
        ValueError,
        lambda m, o: m.lr_scheduler.CyclicLR(m.Adagrad(o.param_groups[0]["params"]), 0.1, 1.0),
    ),
    "not an optimizer": (TypeError, lambda m, _: m.lr_scheduler.CyclicLR(3, 0.1, 1.0)),
    "lambda": (TypeError, lambda m, o: m.lr_scheduler.MultiplicativeLR(o, 0.9)),
    "lambdas": (ValueError, lambda m, o: m.lr_scheduler.MultiplicativeLR(o, [abs])),
    "chain of none": (ValueError, lambda m, _: m.lr_scheduler.ChainedScheduler([])),
    "chain of numbers": (TypeError, lambda m, o: m.lr_scheduler.ChainedScheduler([3], o)),
    "chain of two's": (
        ValueError,
        lambda m, o: m.lr_scheduler.ChainedScheduler(
            [m.lr_scheduler.StepLR(o, 3), m.lr_scheduler.StepLR(m.SGD(o.param_groups), 3)]
        ),
    ),
    "chain of plateau": (
        ValueError,
        lambda m, o: m.lr_scheduler.ChainedScheduler([m.lr_scheduler.ReduceLROnPlateau(o)]),
    ),
    "sequence of numbers": (TypeError, lambda m, o: m.lr_scheduler.SequentialLR(o, [3], [])),
    "swa_lr": (ValueError, lambda m, o: m.swa_utils.SWALR(o, [0.1])),
    "strategy": (ValueError, lambda m, o: m.swa_utils.SWALR(o, 0.1, anneal_strategy="spline")),
    "epochs": (ValueError, lambda m, o: m.swa_utils.SWALR(o, 0.1, anneal_epochs=-1)),
    "resumed": (KeyError, lambda m, o: m.lr_scheduler.PolynomialLR(o, last_epoch=3)),
    "chained step": (TypeError, lambda m, o: MAKERS["chained"](m, o).step(3)),
}  # fmt: skip


@pytest.mark.parametrize("lib", ["lucidlite", "torch"])
@pytest.mark.parametrize("name", WRONG)
def test_refusals(lib: str, name: str) -> None:
    library = pytest.importorskip(lib, reason="compares with PyTorch")
    kind, make = WRONG[name]
    with pytest.raises(kind):
        make(library.optim, optimizer(library))


def test_signatures_are_torchs() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    homes = ((lr_scheduler, torch.optim.lr_scheduler), (swa_utils, torch.optim.swa_utils))
    for ours, theirs in homes:
        assert set(ours.__all__) == set(theirs.__all__)
        for name in ours.__all__:
            own, other = (
                {p.name: p.default for p in inspect.signature(getattr(m, name)).parameters.values()}
                for m in (ours, theirs)
            )
            assert list(own.items()) == list(other.items()), name
