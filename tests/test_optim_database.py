"""The options and the mistakes with which PyTorch tests its own optimizers, from its wheel."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
import pytest
from opinfo_database import internal
from optim_runs import give_gradients, parameters

import lucidlite as ll

NAMES = ["ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "NAdam", "RAdam",
         "RMSprop", "Rprop", "SGD"]  # fmt: skip
# capturable and differentiable are refused here; sparse gradients are not there.


@functools.lru_cache(maxsize=1)
def database() -> dict[str, Any]:
    """Optimizer name -> its OptimizerInfo; skips without torch."""
    (found,) = internal("common_optimizers")
    return {info.optim_cls.__name__: info for info in found.optim_db}


def ours(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """The value with lucidlite's Tensors, one for each of PyTorch's."""
    torch = importlib.import_module("torch")
    seen = {} if seen is None else seen
    if isinstance(value, torch.Tensor):
        if id(value) not in seen:
            made = ll.tensor(value.detach().numpy(), requires_grad=value.requires_grad)
            seen[id(value)] = made if value.is_leaf else made * 1
        return seen[id(value)]
    if isinstance(value, dict):
        return {key: ours(v, seen) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([ours(v, seen) for v in value])
    return value


def train(lib: Any, name: str, options: dict[str, Any]) -> list[np.ndarray]:
    params = parameters(lib, dtype="float64")
    optimizer = getattr(lib.optim, name)(params, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = sum(((p - 0.25) ** 4).sum() for p in params)
        loss.backward()
        return loss

    for step in range(8):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            give_gradients(lib, params, step)
            optimizer.step()
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_trains_as_in_torch(name: str) -> None:
    info = database()[name]
    torch = importlib.import_module("torch")
    inputs = info.optim_inputs_func(device="cpu")
    settings = [dict(each.kwargs) for each in inputs]
    assert len(settings) >= 5
    for options in settings:
        got = train(ll, name, ours(options))
        for a, b in zip(got, train(torch, name, options), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=str(options))


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_is_one_here(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    mistakes = database()[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)
    assert len(mistakes) >= 5
    for mistake in mistakes:
        given = mistake.optimizer_error_input
        kind, params = mistake.error_type, ours(given.params)
        watch = pytest.warns if issubclass(kind, Warning) else pytest.raises
        with watch(kind):
            getattr(ll.optim, name)(params, **ours(given.kwargs))
