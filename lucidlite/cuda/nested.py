"""Tensors inside lists, tuples and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucidlite.callsite import error
from lucidlite.tensor import Tensor


def flattened(op: str, value: Any, tensors: list[Tensor]) -> Any:
    """What tells calls of one kind from others; the tensors in ``value`` are put into the list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return "tensor", tuple(value.array.shape), str(value.array.dtype)
    if isinstance(value, dict):
        return "dict", tuple([(k, flattened(op, v, tensors)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple([flattened(op, each, tensors) for each in value])
    try:
        hash(value)
    except TypeError:
        raise error(
            TypeError,
            f"{op}: inputs must be tensors, lists, tuples, dicts and what can be "
            f"hashed, got {type(value).__name__}",
        ) from None
    return type(value).__name__, value


def mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """``value`` with its tensors replaced, in the order of ``flattened``."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return type(value)([(k, mapped(v, function)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        each = [mapped(v, function) for v in value]
        return type(value)(*each) if hasattr(value, "_fields") else type(value)(each)
    return value


def words(kind: Any) -> str:
    """A kind as a user would write it: 'float32 (8, 3, 32, 32), int64 (8,)'."""
    name, content = kind[0], kind[1]
    if name == "tensor":
        return f"{kind[2]} {content}"
    if name == "dict":
        return ", ".join([f"{key}: {words(each)}" for key, each in content])
    if name in ("tuple", "list"):
        return ", ".join(filter(None, map(words, content)))
    return repr(content)
