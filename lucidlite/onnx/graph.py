"""A graph in the making: nodes and constants under the names they will have in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

END = 2**63 - 1  # of a slice: as far as it goes
Array = Any
Pairs = Sequence[tuple[int, int]]  # what is added before and after, a pair for each dim


def sides(pairs: Pairs) -> tuple[int, ...]:
    """Pairs as ONNX has them: all before, then all after."""
    return (*(before for before, _ in pairs), *(after for _, after in pairs))


def same_bytes(a: Array, b: Array) -> bool:
    """Whether two arrays are the same, zeros' signs and NaNs included."""
    return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())


@dataclass
class Call:
    """A call of an operation that is being written down.

    ``args`` are its arguments by name, ``out`` what it returned, ``names`` the names its tensors
    had when it was called (by identity), ``op``, ``place`` and ``module`` are what an error says.
    """

    op: str
    args: dict[str, Any]
    names: dict[int, str]
    place: str
    module: str
    out: Any = None
    versions: dict[int, int] = field(default_factory=dict)  # of its tensors, when it was called

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    @property
    def where(self) -> str:
        text = f"\n  at {self.place}" if self.place else ""
        return text + (f"\n  in module {self.module}" if self.module else "")


@dataclass
class Node:
    """One node of the file; ``call`` is the operation it belongs to."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    call: Call | None
    source: tuple[int, ...] = ()  # of a Reshape: the shape of its input


@dataclass
class Graph:
    """Nodes in order, constants by name, and the names of tensors."""

    state: dict[int, str]  # parameters and buffers by identity
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    calls: dict[str, Call | None] = field(default_factory=dict)  # of constants
    call: Call | None = None
    path: str = ""  # of the module that is being called
    _counts: dict[str, int] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._taken.update(self.state.values())

    # -- names ---------------------------------------------------------------------------------

    def unique(self, stem: str) -> str:
        """``stem``, with a number from its second use on."""
        name = stem
        while name in self._taken:
            self._counts[stem] = self._counts.get(stem, 0) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._taken.add(name)
        return name

    def constant(self, array: Any, dtype: Any = None, stem: str = "") -> str:
        """The name of a new constant."""
        array = np.array(array, dtype)  # a copy: the tensor may be written to later
        name = self.unique(stem or (f"{self.path}." if self.path else "") + "constant")
        self.constants[name] = array
        self.calls[name] = self.call
        return name

    def ints(self, values: Sequence[int]) -> str:
        """A constant of int64 numbers in one dim: axes, sizes, starts."""
        return self.constant(list(values), np.int64)

    def of(self, value: Any, dtype: Any = None) -> str:
        """The name of a tensor's or number's value, converted to ``dtype``."""
        if not hasattr(value, "array"):
            return self.constant(value, dtype)
        kind = value.array.dtype
        name = None if self.call is None else self.call.names.get(id(value))
        if name is None:
            held = value.backend.to_numpy(value.array)
            if dtype is not None and kind != dtype:
                return self.constant(held, dtype)
            return self.initializer(value, held)
        return name if dtype is None or kind == dtype else self.cast(name, dtype)

    def initializer(self, tensor: Any, array: Array) -> str:
        """The name of a tensor that depends on no input."""
        known = self.state.get(id(tensor))
        if known is None:
            return self.constant(array)
        if known not in self.constants:
            self.constants[known] = np.array(array)
            self.calls[known] = self.call
        elif not same_bytes(self.constants[known], array):
            return self.constant(array)  # it was written to since
        return known

    # -- nodes ---------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str | None, n: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or a list of names where there are several."""
        name = self.unique((f"{self.path}." if self.path else "") + op)
        outputs = [f"{name}_output_{i}" for i in range(n)]
        given = [each or "" for each in inputs]
        while given and not given[-1]:
            given.pop()
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(Node(op, name, given, outputs, kept, self.call))
        return outputs[0] if n == 1 else outputs

    def cast(self, name: str, dtype: Any) -> str:
        return self.add("Cast", name, to=np.dtype(dtype))  # type: ignore[no-any-return]

    def reshape(self, name: str, shape: Sequence[int], source: Sequence[int]) -> str:
        """``name``, whose shape is ``source``, in another shape."""
        if tuple(shape) == tuple(source):
            return name
        out: str = self.add("Reshape", name, self.ints(shape))
        self.nodes[-1].source = tuple(source)
        return out

    def reduce(self, op: str, name: str, dims: Sequence[int], keepdim: bool) -> str:
        """A reduction over ``dims``."""
        out: str = self.add(op, name, self.ints(dims), keepdims=int(keepdim))
        return out

    def transpose(self, name: str, order: Sequence[int]) -> str:
        """``name`` with its dims in another order."""
        if list(order) == list(range(len(order))):
            return name
        out: str = self.add("Transpose", name, perm=list(order))
        return out

    def unsqueeze(self, name: str, *dims: int) -> str:
        return self.add("Unsqueeze", name, self.ints(dims)) if dims else name

    def squeeze(self, name: str, *dims: int) -> str:
        return self.add("Squeeze", name, self.ints(dims)) if dims else name

    def pad(
        self, name: str, ndim: int, pairs: Pairs, value: Array = None, mode: str = "constant"
    ) -> str:
        """``name``, of ``ndim`` dims, with more in the last ones: ``value`` (a NumPy scalar)."""
        if not any(map(any, pairs)):
            return name
        # For all dims: onnxruntime's optimizer breaks a Pad with axes that follows a Transpose.
        every = [(0, 0)] * (ndim - len(pairs)) + list(pairs)
        filler = None if value is None else self.constant(value)
        out: str = self.add("Pad", name, self.ints(sides(every)), filler, mode=mode)
        return out

    def slice(self, name: str, dim: int, start: int, end: int = END, step: int = 1) -> str:
        """The elements from ``start`` to ``end`` of a dim."""
        if (start, end, step) == (0, END, 1):
            return name
        places = [self.ints([value]) for value in (start, end, dim, step)]
        out: str = self.add("Slice", name, *places)
        return out
