"""A layer on lucidlite and on PyTorch with equal weights: outputs and gradients side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

import lucidlite

TOLERANCE = {"float32": 2e-5, "float64": 1e-9}

Arrays = list[np.ndarray]
Call = Callable[..., Any]


def plain(layer: Any, _lib: Any, *tensors: Any) -> Any:
    return layer(*tensors)


def flat(result: Any) -> Iterator[Any]:
    """The tensors of a result, nested or not."""
    if isinstance(result, (tuple, list)) and not hasattr(result, "numel"):
        for part in result:
            yield from flat(part)
    elif result is not None:
        yield result


def made(build: Call, lib: Any, dtype: str = "float64", device: str = "cpu") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(lib.nn).to(getattr(lib, dtype)).to(device)


def twins(torch: Any, build: Call, dtype: str = "float64") -> tuple[Any, Any]:
    """The layer of either library; each has loaded the other's state_dict."""
    ours, theirs = made(build, lucidlite, dtype), made(build, torch, dtype)
    state = {name: torch.tensor(t.numpy().copy()) for name, t in ours.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    back = {name: lucidlite.tensor(t.numpy()) for name, t in theirs.state_dict().items()}
    ours.load_state_dict(back)
    assert repr(ours) == repr(theirs)
    return ours, theirs


def leaves_of(lib: Any, arrays: Arrays, device: str = "cpu") -> list[Any]:
    tensors = [lib.tensor(array.copy()).to(device) for array in arrays]
    return [t.requires_grad_() if t.dtype.is_floating_point else t for t in tensors]


def run(lib: Any, layer: Any, arrays: Arrays, call: Call, second: bool, device: str = "cpu") -> Any:
    """(outputs, gradients by name) as arrays; with ``second``, gradients of squared gradients."""
    inputs = leaves_of(lib, arrays, device)
    outputs = list(flat(call(layer, lib, *inputs)))
    rng, total = np.random.default_rng(0), 0.0
    for out in outputs:
        seed = rng.standard_normal(tuple(out.shape)).astype(str(out.dtype).rpartition(".")[2])
        if out.requires_grad:
            total = total + (out * lib.tensor(seed).to(device)).sum()
    named = dict(layer.named_parameters())
    named.update({f"input {i}": t for i, t in enumerate(inputs) if t.requires_grad})
    if second:
        wanted = list(named.values())
        first = lib.autograd.grad(total, wanted, create_graph=True)
        total = sum(((g * g).sum() for g in first), 0.0)
    layer.zero_grad()
    total.backward()
    grads = {name: None if t.grad is None else t.grad.cpu().numpy() for name, t in named.items()}
    return [out.detach().cpu().numpy() for out in outputs], grads


def compare(ours: Any, theirs: Any, tol: float) -> None:
    for a, b in zip(ours[0], theirs[0], strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, tol, tol)
    assert ours[1].keys() == theirs[1].keys()
    for name, b in theirs[1].items():
        a = ours[1][name]
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, tol * 10, tol * 10, err_msg=name)


def same_as_torch(
    torch: Any,
    build: Call,
    arrays: Arrays,
    call: Call = plain,
    dtype: str = "float64",
    second: bool = False,
) -> None:
    """Values and gradients (second ones too) of a layer are PyTorch's."""
    layers = twins(torch, build, dtype)
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    tol, attention = TOLERANCE[dtype], torch.nn.attention
    for order in (False, True)[: 1 + second]:
        ours = run(lucidlite, layers[0], arrays, call, order)
        # PyTorch's fused attention has no second derivative; its plain one has.
        with attention.sdpa_kernel(attention.SDPBackend.MATH) if order else nullcontext():
            theirs = run(torch, layers[1], arrays, call, order)
        compare(ours, theirs, tol * (10 if order else 1))


def same_on_device(build: Call, arrays: Arrays, device: str, call: Call = plain) -> None:
    """Values and gradients are the same there as on the CPU, parameters' device included."""
    lucidlite.manual_seed(0)
    host = made(build, lucidlite)
    there = made(build, lucidlite, device=device)
    there.load_state_dict({name: t.to(device) for name, t in host.state_dict().items()})
    assert all(p.device.type == device for p in there.parameters())
    found = [
        run(lucidlite, layer, arrays, call, False, where)
        for layer, where in ((host, "cpu"), (there, device))
    ]
    compare(found[1], found[0], 1e-9)
