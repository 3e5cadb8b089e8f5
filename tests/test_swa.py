"""Averaged weights: SWA and EMA as PyTorch has them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.optim import swa_utils


def model(lib: Any, dtype: str = "float32") -> Any:
    """A network with batch norm: the same values in both libraries."""
    net = lib.nn.Sequential(
        lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4, momentum=0.3), lib.nn.ReLU(), lib.nn.Linear(4, 2)
    ).to(getattr(lib, dtype))
    fill(lib, net, 0)
    return net


def fill(lib: Any, net: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with lib.no_grad():
        for p in net.parameters():
            p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape)).tolist(), dtype=p.dtype))
        for name, b in net.named_buffers():
            if name.endswith("num_batches_tracked"):
                b.fill_(3 * seed + 1)
            else:
                b.copy_(lib.tensor(rng.random(tuple(b.shape)).tolist(), dtype=b.dtype))


def values(net: Any) -> dict[str, np.ndarray]:
    return {name: np.array(v.detach().cpu().numpy()) for name, v in net.state_dict().items()}


def weighted(average: Any, value: Any, count: Any) -> Any:
    return average * 0.25 + value * 0.75 + 0 * count


FORMS: dict[str, Any] = {
    "mean": lambda _: {},
    "mean fn": lambda m: {"avg_fn": m.get_swa_avg_fn()},
    "mean multi": lambda m: {"multi_avg_fn": m.get_swa_multi_avg_fn()},
    "ema": lambda m: {"avg_fn": m.get_ema_avg_fn(0.9)},
    "ema multi": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.9)},
    "ema multi fast": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.3)},
    "ema default": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn()},
    "own": lambda _: {"avg_fn": weighted},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_averages_follow_torch(form: str, use_buffers: bool, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    averaged = use_buffers and form != "mean multi"  # which fails in PyTorch on integer buffers

    def run(lib: Any) -> list[dict[str, np.ndarray]]:
        net = model(lib, dtype)
        options = FORMS[form](lib.optim.swa_utils)
        average = lib.optim.swa_utils.AveragedModel(net, use_buffers=averaged, **options)
        seen = [values(average)]
        for step in range(6):
            fill(lib, net, step)
            average.update_parameters(net)
            seen.append(values(average))
        return seen

    # A mean's weight 1 / (n + 1) is a float32 tensor in PyTorch's multi form.
    limit = 1e-10 if dtype == "float64" and form != "mean multi" else 3e-6
    for ours, theirs in zip(run(ll), run(torch), strict=True):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert ours[name].dtype == value.dtype
            np.testing.assert_allclose(ours[name], value, rtol=limit, atol=limit / 3, err_msg=name)


def test_ema_by_hand() -> None:
    net = ll.nn.Linear(2, 1, bias=False)
    ema = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.75))
    want = None
    for step in range(4):
        net.weight.data.copy_(ll.tensor([[1.0 + step, -2.0 * step]]))
        ema.update_parameters(net)
        now = net.weight.detach().numpy().copy()
        want = now if want is None else 0.75 * want + 0.25 * now
        np.testing.assert_allclose(ema.module.weight.detach().numpy(), want, rtol=1e-6)
    assert int(ema.n_averaged) == 4
    assert ema.n_averaged.dtype is ll.int64
    x = ll.ones(3, 2)
    np.testing.assert_array_equal(ema(x).detach().numpy(), ema.module(x).detach().numpy())


def test_integer_buffers_are_averaged_and_cut_off() -> None:
    net = model(ll)
    for options in ({}, {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}):
        average = swa_utils.AveragedModel(net, use_buffers=True, **options)
        for count in (1, 4, 8):
            net[1].num_batches_tracked.fill_(count)
            average.update_parameters(net)
        assert average.module[1].num_batches_tracked.item() == 4  # 1, 2.5 -> 2, 4
        assert average.module[1].num_batches_tracked.dtype is ll.int64


def test_the_copy_is_its_own() -> None:
    net = ll.nn.Linear(2, 2)
    average = swa_utils.AveragedModel(net)
    before = average.module.weight.tolist()
    net.weight.data.add_(1.0)
    assert average.module.weight.tolist() == before
    version = average.module.weight._version
    average.update_parameters(net)
    average.update_parameters(net)
    assert average.module.weight._version >= version + 2
    assert average.module.weight.tolist() == net.weight.tolist()
    assert average.module.weight.grad_fn is None
    assert net.weight.requires_grad
    assert [name for name, _ in average.named_parameters()] == ["module.weight", "module.bias"]


def test_float16_averages_in_float32() -> None:
    net = ll.nn.Linear(2, 1, bias=False).half()
    ema = swa_utils.AveragedModel(net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.99))
    net.weight.data.copy_(ll.tensor([[1.0, 2.0]]))
    ema.update_parameters(net)
    net.weight.data.copy_(ll.tensor([[3.0, 1.0]]))
    ema.update_parameters(net)
    assert ema.module.weight.dtype is ll.float16
    np.testing.assert_allclose(ema.module.weight.detach().numpy(), [[1.02, 1.99]], rtol=1e-3)


def test_an_average_elsewhere(cuda: str) -> None:
    net = model(ll)
    for device, home in ((cuda, net), (None, copy.deepcopy(net).to(cuda))):
        for form in FORMS.values():
            kept = swa_utils.AveragedModel(home, device=device, **form(swa_utils))
            for step in range(3):
                fill(ll, net, step)
                home.load_state_dict(net.state_dict())
                kept.update_parameters(home)
            own = swa_utils.AveragedModel(net, **form(swa_utils))
            for step in range(3):
                fill(ll, net, step)
                own.update_parameters(net)
            for name, value in values(own).items():
                np.testing.assert_allclose(values(kept)[name], value, rtol=3e-6, atol=1e-6)
            assert {p.device.type for p in kept.module.parameters()} == {"cuda"}


def test_state_goes_both_ways() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    nets = {lib: model(lib) for lib in (ll, torch)}
    kept = {lib: lib.optim.swa_utils.AveragedModel(net) for lib, net in nets.items()}
    for step in range(3):
        for lib, net in nets.items():
            fill(lib, net, step)
            kept[lib].update_parameters(net)
    theirs = {name: ll.tensor(v) for name, v in values(kept[torch]).items()}
    again = swa_utils.AveragedModel(model(ll))
    again.load_state_dict(theirs)
    assert int(again.n_averaged) == 3
    ours = {name: torch.tensor(v) for name, v in values(kept[ll]).items()}
    torch.optim.swa_utils.AveragedModel(model(torch)).load_state_dict(ours)


class Batches:
    def __init__(self, lib: Any, form: str) -> None:
        rng = np.random.default_rng(1)
        self.data = [lib.tensor(rng.standard_normal((n, 3)).tolist()) for n in (5, 7, 4)]
        self.form = form

    def __iter__(self) -> Any:
        for x in self.data:
            yield {"tensor": x, "list": [x, 3], "tuple": (x,)}[self.form]


@pytest.mark.parametrize("form", ["tensor", "list", "tuple"])
@pytest.mark.parametrize("training", [False, True])
def test_update_bn(form: str, training: bool) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def run(lib: Any) -> dict[str, np.ndarray]:
        net = model(lib).train(training)
        net[1].weight.requires_grad_(True)
        lib.optim.swa_utils.update_bn(Batches(lib, form), net)
        assert net.training is training
        assert net[1].momentum == 0.3
        assert net[1].running_mean.grad_fn is None
        return values(net)

    ours, theirs = run(ll), run(torch)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=3e-6, atol=1e-6, err_msg=name)


def test_update_bn_without_any_reads_nothing(cuda: str) -> None:
    swa_utils.update_bn(iter(()), ll.nn.Linear(2, 2))
    net = ll.nn.Sequential(ll.nn.BatchNorm1d(3)).to(cuda)
    swa_utils.update_bn(Batches(ll, "tuple"), net, device=cuda)
    assert net[0].running_mean.device.type == "cuda"
    assert int(net[0].num_batches_tracked) == 3


def test_training_with_swa_follows_torch() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def train(lib: Any) -> tuple[list[float], dict[str, np.ndarray]]:
        net = model(lib)
        average = lib.optim.swa_utils.AveragedModel(net)
        optimizer = lib.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        schedule = lib.optim.swa_utils.SWALR(optimizer, 0.005, anneal_epochs=3)
        seen = []
        for _ in range(6):
            for x in Batches(lib, "tensor"):
                optimizer.zero_grad()
                (net(x) ** 2).mean().backward()
                optimizer.step()
            average.update_parameters(net)
            schedule.step()
            seen += schedule.get_last_lr()
        lib.optim.swa_utils.update_bn(Batches(lib, "tensor"), average)
        return seen, values(average)

    (rates, ours), (others, theirs) = train(ll), train(torch)
    assert rates == others
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_refusals() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for lib in (ll, torch):
        utils = lib.optim.swa_utils
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
            utils.AveragedModel(
                lib.nn.Linear(1, 1),
                avg_fn=utils.get_ema_avg_fn(),
                multi_avg_fn=utils.get_ema_multi_avg_fn(),
            )
        for make in (utils.get_ema_avg_fn, utils.get_ema_multi_avg_fn):
            for decay in (-0.1, 1.1):
                with pytest.raises(ValueError, match="Invalid decay value"):
                    make(decay)
