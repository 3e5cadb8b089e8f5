"""One sample of PyTorch's test data, asked of PyTorch and of lucidlite, and what differs."""

from __future__ import annotations

import operator
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

import lucidlite


class Difference(AssertionError):
    """Where lucidlite isn't PyTorch."""


# -- values from one library to the other ----------------------------------------------------------


def flat(value: Any) -> Iterator[Any]:
    """Everything in nested tuples, lists, dicts and slices."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from flat(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from flat(part)
    elif isinstance(value, slice):
        yield from flat((value.start, value.stop, value.step))
    else:
        yield value


def rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nest with every leaf changed; a torch.Size becomes a tuple."""
    if isinstance(value, (tuple, list)):
        kind = list if isinstance(value, list) else tuple
        return kind(rebuilt(part, change) for part in value)
    if isinstance(value, dict):
        return {name: rebuilt(part, change) for name, part in value.items()}
    if isinstance(value, slice):
        return slice(*(rebuilt(p, change) for p in (value.start, value.stop, value.step)))
    return change(value)


class Pair:
    """Two copies of the same arguments, PyTorch's and ours, in the same memory order."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.leaves: list[tuple[Any, Any]] = []
        self._seen: dict[int, tuple[Any, Any, Any]] = {}

    def theirs(self, value: Any) -> Any:
        return rebuilt(value, lambda v: self._both(v)[0])

    def ours(self, value: Any) -> Any:
        return rebuilt(value, lambda v: self._both(v)[1])

    def _both(self, value: Any) -> tuple[Any, Any]:
        if isinstance(value, self.torch.Tensor):
            if id(value) not in self._seen:
                self._seen[id(value)] = (value, *self._tensors(value))
            return self._seen[id(value)][1:]
        if isinstance(value, self.torch.dtype):
            return value, getattr(lucidlite, str(value).removeprefix("torch."))
        if isinstance(value, self.torch.device):
            return value, str(value)
        if isinstance(value, self.torch.Generator):
            return value, lucidlite.Generator().manual_seed(0)
        if value is self.torch.strided:
            return value, None
        if isinstance(value, self.torch.nn.Module):
            return value, twin(value)
        if callable(value) and str(getattr(value, "__module__", "")).startswith("torch"):
            return value, partner(value)
        if isinstance(value, self.torch.memory_format):
            return value, getattr(lucidlite, str(value).removeprefix("torch."))
        return value, value

    def _tensors(self, value: Any) -> tuple[Any, Any]:
        theirs, mine = _copied(self.torch, value), _copied(self.torch, value).numpy()
        ours = lucidlite.from_numpy(mine)
        if value.requires_grad:
            theirs.requires_grad_()
            ours.requires_grad_()
            self.leaves.append((theirs, ours))
        return theirs, ours


def twin(module: Any) -> Any:
    """Our layer for one of PyTorch's that is an argument; its weights come with the whole state."""
    made = getattr(lucidlite.nn, type(module).__name__)
    if type(module).__name__ == "PairwiseDistance":
        return made(module.norm, module.eps, module.keepdim)
    attention = module.self_attn
    return made(
        attention.embed_dim,
        attention.num_heads,
        module.linear1.out_features,
        module.dropout.p,
        partner(module.activation),
        module.norm1.eps,
        attention.batch_first,
        module.norm_first,
        module.linear1.bias is not None,
    )


def _copied(torch: Any, value: Any) -> Any:
    """A leaf of the same values, strides included."""
    value = value.detach().resolve_conj().resolve_neg()
    if value.is_contiguous() or not value.numel():
        return value.clone()
    storage = value.untyped_storage().clone()
    copy = torch.empty(0, dtype=value.dtype)
    return copy.set_(storage, value.storage_offset(), value.shape, value.stride())


# -- operations of one library in the other --------------------------------------------------------


def _lookup(path: str) -> Any:
    return reduce(getattr, path.split("."), lucidlite)


def _seedless(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return call(*args, **named)


def _partner(f: Any) -> Any:
    """What a global of PyTorch's test code is here."""
    if isinstance(f, types.FunctionType) and "testing._internal" in f.__module__:
        return partner(f)
    return f


def partner(call: Any, name: str = "") -> Any:
    """lucidlite's form of PyTorch's callable; AttributeError where it has none.

    What PyTorch's test code wraps in Python of its own runs as it is, with ``torch`` meaning us.
    """
    if isinstance(call, partial):
        return partial(partner(call.func, name), *call.args, **call.keywords)
    if isinstance(call, types.FunctionType) and "testing._internal" in call.__module__:
        names = {**call.__globals__}
        for key in call.__code__.co_names:
            if key in names and key not in ("torch", "F"):
                names[key] = _partner(names[key])
        names.update(torch=lucidlite, F=lucidlite.nn.functional, wrapper_set_seed=_seedless)
        twin = types.FunctionType(
            call.__code__, names, call.__name__, call.__defaults__, call.__closure__
        )
        twin.__kwdefaults__ = call.__kwdefaults__
        return twin
    if getattr(operator, getattr(call, "__name__", ""), None) is call:
        return call
    path = name or _path(call)
    try:
        return _lookup(path)
    except AttributeError:
        if "." in path:
            raise
        return getattr(lucidlite.Tensor, path)


def _path(call: Any) -> str:
    """'nn.functional.pad', 'Tensor.add_': under what name ``call`` is known."""
    owner = getattr(call, "__objclass__", None)
    name = str(call.__name__)
    if owner is not None and owner.__name__ in ("TensorBase", "_TensorBase", "Tensor"):
        return f"Tensor.{name}"
    qualified = str(getattr(call, "__qualname__", name))
    if qualified.startswith("Tensor."):
        return qualified
    module = str(getattr(call, "__module__", None) or "torch")
    return f"nn.functional.{name}" if module in ("torch.nn.functional", "torch._C._nn") else name


# -- comparing -------------------------------------------------------------------------------------

DEFAULT = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def tolerances(info: Any) -> dict[str, tuple[float, float]]:
    """(rtol, atol) of each dtype: those of torch.testing, or wider where PyTorch's tests of values
    on the CPU say so for this op.
    """
    found = dict(DEFAULT)
    for decorator in info.decorators:
        if getattr(decorator, "device_type", None) not in (None, "cpu"):
            continue
        for each in getattr(decorator, "decorators", [decorator]):
            for dtype, limit in getattr(each, "d", {}).items():
                name = str(dtype).removeprefix("torch.")
                if name not in found:
                    continue
                # tol(atol, rtol), or one number for atol
                atol, rtol = limit if isinstance(limit, tuple) else (limit, 0.0)
                found[name] = max(found[name][0], rtol), max(found[name][1], atol)
    return found


def host(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().numpy(force=True))


def is_tensor(value: Any) -> bool:
    return hasattr(value, "requires_grad") and hasattr(value, "grad_fn")


def outputs(result: Any) -> list[Any]:
    return list(flat(result))


def same(
    ours: Any, theirs: Any, limits: Any, what: str, values: bool = True, truth: Any = None
) -> None:
    """Equal in number, class, dtype, shape and, within ``limits``, value; ``truth`` in float64."""
    mine, others = outputs(ours), outputs(theirs)
    if len(mine) != len(others):
        raise Difference(f"{what}: {len(mine)} results, PyTorch has {len(others)}")
    for i, (a, b) in enumerate(zip(mine, others, strict=True)):
        place = what if len(mine) == 1 else f"{what} [{i}]"
        if not is_tensor(b):
            same_plain(a, b, limits, place)
            continue
        if not is_tensor(a):
            raise Difference(f"{place}: {type(a).__name__}, PyTorch has a tensor")
        if repr(a.dtype) != repr(b.dtype):
            raise Difference(f"{place}: {a.dtype}, PyTorch has {b.dtype}")
        if tuple(a.shape) != tuple(b.shape):
            raise Difference(f"{place}: shape {tuple(a.shape)}, PyTorch has {tuple(b.shape)}")
        if values:
            exact = truth[i] if truth is not None and is_tensor(truth[i]) else None
            same_arrays(host(a), host(b), limits, place, None if exact is None else host(exact))


def same_plain(a: Any, b: Any, limits: Any, place: str) -> None:
    if str(type(b).__name__) in ("dtype", "Size"):
        same = str(a).replace("torch.Size", "") == str(b).replace("torch.Size", "")
    elif isinstance(b, float) and isinstance(a, float):
        rtol, atol = limits["float64"]
        same = bool(np.isclose(a, b, rtol, atol, equal_nan=True))
    else:
        same = type(a) is type(b) and (a == b)
    if not same:
        raise Difference(f"{place}: {a!r}, PyTorch has {b!r}")


def same_arrays(
    a: np.ndarray, b: np.ndarray, limits: Any, place: str, truth: np.ndarray | None = None
) -> None:
    """Within ``limits``; or as near to ``truth`` as twice PyTorch's own largest error."""
    if a.dtype.kind != "f":
        wrong = a != b
    else:
        rtol, atol = limits[str(a.dtype)]
        with np.errstate(all="ignore"):
            x, y = a.astype(np.float64), b.astype(np.float64)
            if "largest" in limits:  # an error of this part of the largest finite value
                finite = np.abs(y[np.isfinite(y)])
                atol = max(atol, limits["largest"] * float(finite.max(initial=0)))
            near = np.isfinite(y) & (np.abs(x - y) <= atol + rtol * np.abs(y))
            if truth is not None:
                theirs = np.nan_to_num(np.abs(y - truth)).max(initial=0)
                far = atol + rtol * np.abs(truth) + 2 * theirs
                near |= np.isfinite(truth) & (np.abs(x - truth) <= far)
        wrong = ~(near | (x == y) | (np.isnan(x) & np.isnan(y)))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise Difference(
            f"{place}: {int(wrong.sum())} of {a.size} differ, at {where}: {a[where]!r}, "
            f"PyTorch has {b[where]!r}"
        )


# -- asking ----------------------------------------------------------------------------------------


def quiet(call: Callable[[], Any]) -> Any:
    """The result or the exception, warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Difference:
            raise
        except Exception as problem:
            return problem


def text(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]


def both(ours: Callable[[], Any], theirs: Callable[[], Any], what: str) -> tuple[Any, Any] | None:
    """Both results; None where both raise, and a Difference where one does."""
    expected, got = quiet(theirs), quiet(ours)
    if isinstance(expected, Exception):
        if not isinstance(got, Exception):
            raise Difference(f"{what}: PyTorch raises {text(expected)}")
        return None
    if isinstance(got, Exception):
        raise Difference(f"{what}: {text(got)}")
    return got, expected


def cotangents(tensors: list[Any], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        np.asarray(rng.standard_normal(tuple(t.shape))).astype(str(t.dtype).removeprefix("torch."))
        for t in tensors
    ]


def gradients(T: Any, results: list[Any], inputs: list[Any], seed: int, again: bool) -> Any:
    """The gradients of ``inputs``, None as zeros, and the cotangents they were made from."""
    grads = [T.from_numpy(np.array(g)).requires_grad_(again) for g in cotangents(results, seed)]
    found = T.autograd.grad(results, inputs, grads, create_graph=again, allow_unused=True)
    return [
        T.zeros(x.shape, dtype=x.dtype) if g is None else g
        for g, x in zip(found, inputs, strict=True)
    ], grads


def check_gradients(
    torch: Any,
    got: Any,
    expected: Any,
    leaves: list[tuple[Any, Any]],
    limits: Any,
    second: bool,
    truth: Any = None,
) -> None:
    """First gradients of everything differentiable and, if ``second``, second ones.

    The second ones are those of the first, of the inputs and of the gradient that came in alike.
    """
    ours, theirs = [], []
    for a, b in zip(outputs(got), outputs(expected), strict=True):
        if is_tensor(b) and a.requires_grad != b.requires_grad:
            raise Difference(f"requires_grad: {a.requires_grad}, PyTorch has {b.requires_grad}")
        if is_tensor(b) and b.requires_grad:
            ours.append(a)
            theirs.append(b)
    if not theirs or not leaves:
        return
    inputs = [pair[1] for pair in leaves], [pair[0] for pair in leaves]
    if "largest" in limits:
        limits = {**limits, "largest": 3 * limits["largest"]}
    for order, again in (("gradient", second), ("second gradient", False)):
        expected = quiet(partial(gradients, torch, theirs, inputs[1], 1, again))
        if isinstance(expected, Exception):
            return  # PyTorch has no derivative of its own gradient here
        got = quiet(partial(gradients, lucidlite, ours, inputs[0], 1, again))
        if isinstance(got, Exception):
            raise Difference(f"{order}: {text(got)}")
        (mine, seeds), (others, their_seeds) = got, expected
        same(mine, others, limits, order, truth=truth)
        keep = [i for i, g in enumerate(others) if g.requires_grad and g.numel()]
        keep = keep if any(seed.numel() for seed in their_seeds) else []
        if not again or not keep:
            return
        for i in keep:
            if not mine[i].requires_grad:
                raise Difference(f"second gradient: gradient {i} can't be differentiated again")
        ours, theirs = [mine[i] for i in keep], [others[i] for i in keep]
        inputs = inputs[0] + seeds, inputs[1] + their_seeds


def doubled(torch: Any, call: Any, given: Any, more: list[Any]) -> tuple[Any, Any] | None:
    """PyTorch's float64 results and gradients of float32 arguments, or None without them.

    ``given`` is (args, kwargs); after the arguments' come the gradients of the leaves ``more``.
    """

    def wide(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            return value.detach().double().requires_grad_(value.requires_grad)
        return torch.float64 if value is torch.float32 else value

    seen: dict[int, Any] = {}
    args, named = rebuilt(given, lambda v: seen.setdefault(id(v), wide(v)))
    result = quiet(lambda: call(*args, **named))
    if isinstance(result, Exception):
        return None
    results = [v for v in outputs(result) if is_tensor(v) and v.requires_grad]
    leaves = [v for v in seen.values() if is_tensor(v) and v.requires_grad] + more
    if not results or not leaves:
        return outputs(result), None
    grads = [torch.from_numpy(g.astype(np.float32)).double() for g in cotangents(results, 1)]
    found = torch.autograd.grad(results, leaves, grads, allow_unused=True)
    return outputs(result), [
        torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)
    ]


def signature(sample: Any) -> str:
    """A sample in one short line."""

    def short(value: Any) -> Any:
        if is_tensor(value):
            kind = str(value.dtype).removeprefix("torch.")
            return f"{kind}{list(value.shape)}"
        return value

    parts = rebuilt((sample.input, *sample.args), short)
    named = rebuilt(dict(sample.kwargs), short)
    text = ", ".join([*(str(p) for p in parts), *(f"{k}={v}" for k, v in named.items())])
    return text[:160]
