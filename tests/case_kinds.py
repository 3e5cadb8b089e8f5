"""What a row of cases.py says, and the inputs, calls and comparisons that are made from it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

import lucidlite

FLOATS = ("float32", "float64")
HALF = (*FLOATS, "float16")
NUMBERS = (*HALF, "int64", "int32", "uint8")
ALL_DTYPES = (*NUMBERS, "bool")

TOLERANCE = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-11}


@dataclass(frozen=True)
class Input:
    """One tensor of a row: a bare shape in the table is ``Input(shape)``."""

    shape: tuple[int, ...]
    domain: str = ""  # where the values lie, '' for the row's domain
    dtype: str = ""  # '' for the dtype the row is run in
    low: int = 0
    high: int = 0
    constant: bool = False  # takes no gradient

    def draw(self, rng: np.random.Generator, domain: str, dtype: str) -> np.ndarray:
        dtype = self.dtype or dtype
        if self.high > self.low:
            return rng.integers(self.low, self.high, self.shape).astype(dtype)
        values = DOMAINS[self.domain or domain](rng, self.shape)
        if dtype == "bool":
            return np.asarray(rng.random(self.shape) > 0.5)
        if "int" in dtype:
            values = np.round(np.nan_to_num(values, posinf=3.0, neginf=-3.0) * 3)
            values = np.abs(values) if dtype == "uint8" else values
            if (self.domain or domain) in ("positive", "away", "unit"):
                values = np.where(values == 0, 1, values)
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(dtype)


def ints(shape: tuple[int, ...], low: int, high: int, dtype: str = "int64") -> Input:
    """Integers in [low, high), whatever dtype the row is run in."""
    return Input(shape, dtype=dtype, low=low, high=high, constant=True)


def bools(*shape: int) -> Input:
    return Input(shape, dtype="bool", constant=True)


def const(shape: tuple[int, ...], domain: str = "") -> Input:
    """A tensor that takes no gradient."""
    return Input(shape, domain, constant=True)


def of(dtype: str, *shape: int) -> Input:
    """A tensor of this dtype, whatever dtype the row is run in."""
    return Input(shape, dtype=dtype, constant="float" not in dtype)


def _away(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.25, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def _between(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    parts = rng.uniform(0.1, 0.4, shape) + 0.5 * rng.integers(0, 2, shape)
    return rng.integers(-3, 3, shape) + parts


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    n = int(np.prod(shape))
    return (rng.permutation(n).reshape(shape) - n / 2 + rng.uniform(-0.2, 0.2, shape)) * 0.3


def _extreme(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e30, 88.0, -88.0, 0.5]
    n = int(np.prod(shape))
    return rng.permutation(np.resize(values, n)).reshape(shape)


DOMAINS: dict[str, Callable[..., Any]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.uniform(0.3, 2.0, shape),
    "unit": lambda rng, shape: rng.uniform(0.05, 0.95, shape),
    "away": _away,  # from 0
    "small": lambda rng, shape: rng.uniform(-0.45, 0.45, shape),
    "nans": lambda rng, shape: np.where(rng.random(shape) < 0.3, np.nan, rng.random(shape)),
    "between": _between,  # integers and halves
    "distinct": _distinct,  # no two closer than 0.18
    "ties": lambda rng, shape: rng.integers(-2, 3, shape).astype(float),
    "zeros": lambda rng, shape: rng.standard_normal(shape) * rng.integers(0, 2, shape),
    "extreme": _extreme,  # infinities, NaN, both zeros
}


@dataclass(frozen=True)
class Case:
    """One row: an operation, its inputs, and what is to be checked of it.

    ``path`` names the operation in lucidlite and in torch alike. It is called with the inputs, then
    ``args`` and ``kwargs``; ``call(T, *inputs)`` replaces that where T is either framework.
    """

    path: str
    inputs: tuple[Input, ...]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    call: Callable[..., Any] | None = None
    domain: str = "normal"
    dtypes: tuple[str, ...] = FLOATS
    tol: float = 1.0  # times the dtype's tolerance
    grad: bool = True  # some output can be differentiated
    numeric: bool = True  # gradcheck makes sense: no kinks, no infinities
    second: str = ""  # why gradgradcheck is left out
    parity: str = ""  # why PyTorch is not asked
    torch_grad: str = ""  # why PyTorch is asked for values only
    node: str = ""  # why grad_fn prints another name than PyTorch's
    layouts: bool = True  # give the same in any memory order

    @property
    def id(self) -> str:
        return f"{self.path}-{self.number}"

    def arrays(self, dtype: str) -> list[np.ndarray]:
        """The inputs' values: the same at every call, and read-only."""
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [read_only(each.draw(rng, self.domain, dtype)) for each in self.inputs]

    def run(self, T: Any, tensors: list[Any]) -> Any:
        """The operation of framework ``T`` on its tensors."""
        if self.call is not None:
            return self.call(T, *tensors)
        return reduce(getattr, self.path.split("."), T)(*tensors, *self.args, **self.kwargs)

    def ours(self, arrays: list[np.ndarray], device: str = "", grad: bool = True) -> list[Any]:
        """lucidlite tensors of the arrays, over the same memory on the CPU."""
        tensors = [lucidlite.from_numpy(array) for array in arrays]
        tensors = [t.to(device) for t in tensors] if device else tensors
        return [
            t.requires_grad_() if grad and self._takes_grad(i, t.array.dtype.kind) else t
            for i, t in enumerate(tensors)
        ]

    def torchs(self, torch: Any, arrays: list[np.ndarray]) -> list[Any]:
        """torch tensors of copies of the arrays."""
        return [
            torch.tensor(np.array(a)).requires_grad_(self._takes_grad(i, a.dtype.kind))
            for i, a in enumerate(arrays)
        ]

    def _takes_grad(self, i: int, kind: str) -> bool:
        return self.grad and not self.inputs[i].constant and kind == "f"


OPTIONS = {"call", "domain", "dtypes", "tol", "grad", "numeric", "second", "parity", "torch_grad",
           "node", "layouts"}  # fmt: skip


class Table(list[Case]):
    """The rows, in order."""

    def row(self, path: str, inputs: list[Any], *args: Any, **named: Any) -> None:
        """Add a row; names in OPTIONS are fields of Case, the others arguments of the operation."""
        options = {name: named.pop(name) for name in OPTIONS & named.keys()}
        specs = tuple(each if isinstance(each, Input) else Input(each) for each in inputs)
        number = sum(case.path == path for case in self)
        self.append(Case(path, specs, args, named, number, **options))

    def rows(self, paths: str, inputs: list[Any], *args: Any, **named: Any) -> None:
        """The same row for several operations."""
        for path in paths.split():
            self.row(path, inputs, *args, **named)

    def include(self, others: Table) -> None:
        """Add the rows of another table, numbered after those that are here."""
        for other in others:
            number = sum(case.path == other.path for case in self)
            self.append(replace(other, number=number))


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array


def leaves(result: Any) -> Iterator[Any]:
    """The tensors and Python values of a result, nested or not, in order."""
    if isinstance(result, (tuple, list)) and not hasattr(result, "numel"):
        for part in result:
            yield from leaves(part)
    else:
        yield result


def tensors_of(result: Any) -> list[Any]:
    return [leaf for leaf in leaves(result) if hasattr(leaf, "requires_grad")]


def differentiable(result: Any) -> list[Any]:
    return [t for t in tensors_of(result) if t.requires_grad]


def host(tensor: Any) -> np.ndarray:
    """Any framework's tensor as a NumPy array."""
    tensor = tensor.detach()
    return np.asarray(tensor.cpu().numpy())


def same(got: Any, expected: Any, dtype: str, tol: float = 1.0, what: str = "") -> None:
    """Equal in number, kind, shape, dtype and value, within the dtype's tolerance."""
    got, expected = list(leaves(got)), list(leaves(expected))
    assert len(got) == len(expected), f"{what}: {len(got)} results, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        place = f"{what} {i}"
        if a is None or b is None or not hasattr(b, "requires_grad"):
            assert type(a) is type(b), place
            assert a == b or (a != a and b != b), place
            continue
        assert repr(a.dtype) == repr(b.dtype), place
        assert tuple(a.shape) == tuple(b.shape), place
        close(host(a), host(b), TOLERANCE.get(dtype, 2e-5) * tol, place)


def close(a: np.ndarray, b: np.ndarray, tolerance: float, what: str) -> None:
    """Within ``tolerance`` of the largest finite value expected; NaN and infinities in place."""
    assert a.shape == b.shape, what
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, what)
        return
    tolerance = max(tolerance, {2: 4e-3, 4: 2e-5, 8: 0.0}[a.itemsize])
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.abs(b[np.isfinite(b)])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    scale = min(scale, 1e6)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def upstream(case: Case, outputs: list[Any], round_: int = 0) -> list[np.ndarray]:
    """A random gradient for each output, read-only."""
    rng = np.random.default_rng(zlib.crc32(f"{case.id} {round_}".encode()))
    return [
        read_only(np.asarray(rng.standard_normal(tuple(t.shape))).astype(str(t.dtype)[6:]))
        for t in outputs
    ]


def memory_orders(array: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in other memory: reversed axes, every second element, conv layout."""
    orders = {}
    if array.ndim >= 2 and array.size:
        orders["reversed"] = np.ascontiguousarray(array.T).T
    if array.ndim >= 1 and array.size:
        larger = np.full([2 * n for n in array.shape], 7, array.dtype)
        inner = tuple(slice(0, None, 2) for _ in array.shape)
        larger[inner] = array
        orders["strided"] = larger[inner]
    if array.ndim == 4 and array.size:
        rows = np.ascontiguousarray(array.transpose(2, 3, 0, 1))
        orders["conv"] = rows.transpose(2, 3, 0, 1)
        h, w, n, c = rows.shape
        padded = np.full((h + 3, w + 2, n, c), 7, array.dtype)
        padded[1 : h + 1, 1 : w + 1] = rows
        orders["inside"] = padded[1 : h + 1, 1 : w + 1].transpose(2, 3, 0, 1)
    return {name: read_only(each) for name, each in orders.items()}
