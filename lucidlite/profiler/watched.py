"""Which functions a profile looks at: the operations, and the few that everything else passes."""

from __future__ import annotations

import inspect
import sys
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import lucidlite.nn.functional  # noqa: F401  every operation is loaded with it
from lucidlite.autograd import Function
from lucidlite.engine import Walk, backward, call_vjp, gradients
from lucidlite.nn.module import Module
from lucidlite.ops.inplace import assign, setitem
from lucidlite.optim.hooks import with_hooks
from lucidlite.optim.optimizer import Optimizer
from lucidlite.utils.data.iterator import BatchIterator

_OPS = "lucidlite.ops."
_MAKERS = ("lucidlite.creation", "lucidlite.sampling")
# What operations use, and are no operations; but a conversion is one.
_HELPERS = {f"{_OPS}{name}" for name in ("common", "facts", "index_key", "precision")}
_BUT = ("to_dtype",)
# Operations made of operations: these have events of their own inside.
_MADE_OF_OPS = {
    f"{_OPS}{name}"
    for name in (
        "attention", "bilinear", "contraction", "multihead", "recurrent", "recurrent_layer"
    )
}  # fmt: skip


class Watched(NamedTuple):
    """A function whose calls are events; ``open``: operations that it calls are events too."""

    kind: str
    name: str
    open: bool = True


def watched(modules: bool = True) -> dict[CodeType, Watched]:
    """By the code objects they run; ``modules``: calls of layers and models too."""
    found: dict[CodeType, Watched] = {}
    for home, module in tuple(sys.modules.items()):
        if home.startswith(_OPS) or home in _MAKERS:
            for value in tuple(vars(module).values()):
                if isinstance(value, FunctionType) and value.__module__ == home:
                    _add(found, home, value)
    found[_code(call_vjp)] = Watched("vjp", "")
    found[_code(Walk.arrive)] = Watched("vjp", "AccumulateGrad")
    found[_code(backward)] = Watched("backward", "backward")
    found[_code(gradients)] = Watched("backward", "autograd.grad")
    found[_code(Function.apply)] = Watched("op", "")
    found[_code(with_hooks(_nothing))] = Watched("optimizer", "step")
    found[_code(Optimizer.zero_grad)] = Watched("optimizer", "zero_grad")
    found[_code(BatchIterator.__next__)] = Watched("data", "DataLoader.__next__")
    if modules:
        found[_code(Module.__call__)] = Watched("module", "")
    return found


def _add(found: dict[CodeType, Watched], home: str, function: FunctionType) -> None:
    name, made = function.__name__, home in _MADE_OF_OPS
    if (home in _HELPERS and name not in _BUT) or inspect.isgeneratorfunction(function):
        return
    if name.endswith("_vjp"):
        return  # the engine calls it: see call_vjp
    if (name.startswith("_") and (made or home in _MAKERS)) or name == "run":
        return
    found[function.__code__] = Watched("op", name.lstrip("_"), made)


def _code(function: Any) -> CodeType:
    code: CodeType = getattr(function, "__func__", function).__code__
    return code


def _nothing(*args: Any) -> None:
    """Stands for a step: its wrapper is what all of them have in common."""


SETITEM = _code(setitem)  # returns nothing, whether it fails or not
IN_PLACE = _code(assign)  # its first argument is the operation's name
APPLY = _code(Function.apply)
