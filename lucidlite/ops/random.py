"""Tensors filled with random numbers in place, and draws by probabilities that tensors hold.

Every number comes from a generator's counter, the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.callsite import error
from lucidlite.generator import Generator, current_generator
from lucidlite.ops.common import (
    as_int,
    check_dtype,
    check_tensor,
    no_derivative_vjp,
    zero_vjp,
)
from lucidlite.ops.inplace import assign
from lucidlite.tape import record, wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lucidlite.tensor import Tensor

    Draw = Callable[[Generator, tuple[int, ...]], NDArray[Any]]


def _fill(op: str, target: Tensor, generator: Generator | None, kinds: str, draw: Draw) -> Tensor:
    """Write what ``draw`` makes of the generator and a shape into ``target``."""
    check_tensor(op, "input", target)
    check_dtype(op, target, kinds)

    def compute(old: Tensor) -> Tensor:
        values = draw(generator or current_generator(), tuple(old.array.shape))
        with np.errstate(all="ignore"):
            values = values.astype(old.array.dtype)
        return record(old.backend.asarray(values), zero_vjp, (old,), name=op.strip("_"))

    return assign(op, target, compute)


def normal_(target: Tensor, mean: float, std: float, generator: Generator | None) -> Tensor:
    """Fill with normal numbers. Semantics: torch.Tensor.normal_."""
    if std < 0:
        raise error(RuntimeError, f"normal_: expects std >= 0.0, but found std={std}")
    kind = target.array.dtype if target.array.dtype.kind == "f" else np.dtype(np.float32)
    return _fill("normal_", target, generator, "f", lambda g, n: g.normal(n, kind) * std + mean)


def uniform_(target: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """Fill with uniform numbers in [low, high). Semantics: torch.Tensor.uniform_."""
    if low > high:
        raise error(
            RuntimeError,
            f"uniform_: expects to return a [from, to) range, but found from={low} > to={high}",
        )
    kind = target.array.dtype if target.array.dtype.kind == "f" else np.dtype(np.float32)
    return _fill(
        "uniform_", target, generator, "f", lambda g, n: g.uniform(n, kind) * (high - low) + low
    )


def random_(target: Tensor, low: Any, high: Any, generator: Generator | None) -> Tensor:
    """Fill with integers in [low, high); all that the dtype has from 0 on without them.

    Semantics: torch.Tensor.random_.
    """
    kind = target.array.dtype
    first = 0 if low is None or high is None else as_int("random_", "from", low)
    if high is not None or low is not None:
        last = as_int("random_", "to", low if high is None else high)
    elif kind.kind == "f":
        last = 2 ** (np.finfo(kind).nmant + 1) + 1
    else:
        last = 2 if kind.kind == "b" else int(np.iinfo(kind).max)
    if first >= last:
        raise error(
            RuntimeError,
            f"random_: expects 'from' to be less than 'to', but got from={first} >= to={last}",
        )
    return _fill("random_", target, generator, "biuf", lambda g, n: g.integers(first, last, n))


def exponential_(target: Tensor, lambd: float, generator: Generator | None) -> Tensor:
    """Fill with exponentially distributed numbers. Semantics: torch.Tensor.exponential_."""
    _positive("exponential_", "lambda", lambd)
    return _fill("exponential_", target, generator, "f", lambda g, n: -_logs(g, n) / lambd)


def geometric_(target: Tensor, p: float, generator: Generator | None) -> Tensor:
    """Fill with the tries until the first success. Semantics: torch.Tensor.geometric_."""
    if not 0 < p < 1:
        raise error(RuntimeError, f"geometric_: expects p to be in (0, 1), but got p={p}")
    log_failure = math.log1p(-p)
    return _fill(
        "geometric_", target, generator, "iuf", lambda g, n: np.ceil(_logs(g, n) / log_failure)
    )


def log_normal_(target: Tensor, mean: float, std: float, generator: Generator | None) -> Tensor:
    """Fill with exponentials of normal numbers. Semantics: torch.Tensor.log_normal_."""
    _positive("log_normal_", "std", std)
    draw: Draw = lambda g, n: np.exp(g.normal(n, np.float64) * std + mean)  # noqa: E731
    return _fill("log_normal_", target, generator, "f", draw)


def cauchy_(target: Tensor, median: float, sigma: float, generator: Generator | None) -> Tensor:
    """Fill with numbers of Cauchy's distribution. Semantics: torch.Tensor.cauchy_."""
    _positive("cauchy_", "sigma", sigma)

    def draw(g: Generator, n: tuple[int, ...]) -> NDArray[Any]:
        return median + sigma * np.tan(np.pi * (g.uniform(n, np.float64) - 0.5))

    return _fill("cauchy_", target, generator, "f", draw)


def _logs(generator: Generator, shape: tuple[int, ...]) -> NDArray[Any]:
    """Logarithms of uniform numbers in (0, 1]."""
    return np.log1p(-generator.uniform(shape, np.float64))  # type: ignore[no-any-return]


def _positive(op: str, name: str, value: float) -> None:
    if not value > 0:
        raise error(RuntimeError, f"{op}: expects {name} > 0.0, but found {name}={value}")


def bernoulli_(target: Tensor, p: Any, generator: Generator | None) -> Tensor:
    """Fill with 1 with probability ``p`` (a number, or a tensor of them), else 0.

    Semantics: torch.Tensor.bernoulli_.
    """
    host = p.backend.to_numpy(p.array) if isinstance(p, TensorBase) else np.asarray(p, np.float64)
    _probabilities("bernoulli_", host, p)

    def draw(g: Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        return g.uniform(shape, np.float64) < np.broadcast_to(host, shape)

    return _fill("bernoulli_", target, generator, "biuf", draw)


def _probabilities(op: str, values: Any, shown: Any) -> None:
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise error(RuntimeError, f"{op}: expected 0 <= p <= 1, got p={shown}")


def _check_chances(input: Tensor) -> None:
    """Refuse what is no probability; a GPU notes it, and nobody waits."""
    backend, array = input.backend, input.array
    if backend.device.type == "cpu":
        _probabilities("bernoulli", array, input)
        return
    inside = backend.map(
        "logical_and",
        backend.map("greater_equal", array, backend.constant(0, array.dtype)),
        backend.map("less_equal", array, backend.constant(1, array.dtype)),
    )
    wrong = backend.cast(backend.map("logical_not", inside), np.dtype(np.int64))
    rule = f"bernoulli: expected 0 <= p <= 1, got p of shape {tuple(array.shape)}"
    backend.check_index(wrong, 0, 1, RuntimeError, rule)


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with the probability each element gives (or ``p``), else 0. Semantics: torch.bernoulli."""
    check_tensor("bernoulli", "input", input)
    backend, array = input.backend, input.array
    chance = array if p is None else backend.constant(p, np.dtype(np.float64))
    if p is None:
        check_dtype("bernoulli", input, "f")
        _check_chances(input)
    else:
        _probabilities("bernoulli", np.float64(p), p)
    draws = backend.uniform(array.shape, np.dtype(np.float64), generator or current_generator())
    out = backend.map("less", draws, chance).astype(array.dtype)
    if p is not None:
        return record(out, no_derivative_vjp, (input,), ("bernoulli",), name="not_implemented")
    return record(out, zero_vjp, (input,), name="bernoulli")


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with the weights in ``input``, a vector or rows of them.

    Without ``replacement`` each index comes once at most, in the order of the draws.

    >>> import lucidlite
    >>> lucidlite.multinomial(lucidlite.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])

    Semantics: torch.multinomial.
    """
    check_tensor("multinomial", "input", input)
    if input.array.dtype.kind != "f":
        raise error(
            RuntimeError,
            f"multinomial: only supports floating-point dtypes for input, got {input.dtype}",
        )
    if not 1 <= input.array.ndim <= 2:
        raise error(
            RuntimeError,
            f"multinomial: prob_dist must be 1 or 2 dim, got {input.array.ndim} dim",
        )
    count, size = as_int("multinomial", "num_samples", num_samples), input.array.shape[-1]
    if size > 1 << 24:
        raise error(
            RuntimeError, f"multinomial: number of categories cannot exceed 2^24, got {size}"
        )
    weights = input.backend.to_numpy(input.array).astype(np.float64)
    if count <= 0:
        raise error(RuntimeError, f"multinomial: cannot sample n_sample <= 0 samples, got {count}")
    if not replacement and count > size:
        raise error(
            RuntimeError,
            "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without "
            f"replacement, got num_samples={count}, size={size}",
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise error(
            RuntimeError,
            "multinomial: probability tensor contains either `inf`, `nan` or element < 0",
        )
    if not (weights.sum(-1) > 0).all():
        raise error(
            RuntimeError,
            "multinomial: invalid multinomial distribution (sum of probabilities <= 0)",
        )
    source = generator or current_generator()
    rows = weights.reshape(-1, size)
    if replacement:
        sums = rows.cumsum(1)
        points = source.uniform((rows.shape[0], count), np.float64) * sums[:, -1:]
        pairs = zip(sums, points, strict=True)
        found = np.stack([np.searchsorted(s, p, "right") for s, p in pairs])
    else:
        # The order of exponential waiting times with these rates; a rate of 0 comes last.
        with np.errstate(divide="ignore"):
            times = -_logs(source, rows.shape) / rows
        found = np.argsort(times, axis=1, kind="stable")[:, :count]
    found = found.astype(np.int64).reshape((*weights.shape[:-1], count))
    return wrap(input.backend.asarray(found), input.backend)
