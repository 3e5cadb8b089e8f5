"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any, TypeVar

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.tensor import Tensor

T = TypeVar("T", bound=Tensor)


class Parameter(Tensor):
    """A tensor to be trained: assigned to a Module, it joins its ``parameters()``.

    Sees the memory of ``data`` (a Tensor; an empty one if None) but not its graph. Requires grad
    unless told otherwise, under ``no_grad`` too; RuntimeError where the dtype is an integer one.

    >>> import lucidlite
    >>> lucidlite.nn.Parameter(lucidlite.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)

    Semantics: torch.nn.Parameter.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        parameter = _seeing(cls, data)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Nothing is left to do after ``__new__``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that is state but isn't trained: assigned to a Module, it joins its ``buffers()``.

    ``persistent`` says whether it is part of the module's state_dict.

    >>> import lucidlite
    >>> from lucidlite import nn
    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(lucidlite.zeros(2))
    >>> list(module.state_dict())
    ['mean']

    Semantics: torch.nn.Buffer.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        buffer = _seeing(cls, data)
        buffer.persistent = persistent
        buffer.requires_grad_(data is not None and data.requires_grad)
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """Nothing is left to do after ``__new__``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), persistent=self.persistent)
            memo[id(self)].requires_grad_(self.requires_grad)
        return memo[id(self)]  # type: ignore[no-any-return]


def _seeing(kind: type[T], data: Tensor | None) -> T:
    """A leaf of class ``kind`` that sees the memory of ``data``."""
    if data is None:
        data = empty(0)
    if not isinstance(data, Tensor):
        raise error(
            TypeError,
            f"{kind.__name__}: data must be a Tensor, got a {type(data).__name__}; "
            "make one of it with tensor()",
        )
    made = object.__new__(kind)
    made.array = data.array
    made.backend = data.backend
    made._cell = data.version_cell(share=True)
    made._inference = data._inference
    return made
