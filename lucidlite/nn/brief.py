"""A layer in a few words: its class and the arguments that make it what it is."""

from __future__ import annotations

import inspect
from typing import Any

# Printed as 'from -> to'.
PAIRS = {
    "in_features": "out_features",
    "in_channels": "out_channels",
    "input_size": "hidden_size",
    "num_embeddings": "embedding_dim",
}
_ABSENT: Any = object()


def brief(module: Any) -> str:
    """'Conv2d(3 -> 32, kernel_size=3)': what an error calls a layer.

    By one rule for all classes, users' own too: the arguments of ``__init__`` that the module keeps
    under their names, if they have no default or differ from it; else the first, if it is a number.
    """
    usual = _arguments(type(module))
    kept = {name: _value(module, name) for name in usual}
    kept = {name: value for name, value in kept.items() if value is not _ABSENT}
    shown: dict[str, Any] = {}
    for name, value in kept.items():
        default = usual[name]
        if default is None:  # a stride of None is the kernel's size
            same = value in shown.values()
        else:  # a word that must be given is a name, as in LSTM's mode
            name_only = isinstance(value, str) and default is inspect.Parameter.empty
            same = name_only or value == default
        if not same:
            shown[name] = value
    first = next(iter(usual), "")
    if not shown and type(kept.get(first)) in (int, float):
        shown[first] = kept[first]
    words = []
    for name, value in shown.items():
        if PAIRS.get(name) in shown:
            words.append(f"{value} -> {shown[PAIRS[name]]}")
        elif not any(pair[1] == name and pair[0] in shown for pair in PAIRS.items()):
            words.append(f"{name}={value!r}")
    settings = ", ".join(words)
    return type(module).__name__ + (f"({settings})" if settings else "")


def _arguments(kind: type) -> dict[str, Any]:
    """The names of a class's arguments, and their defaults."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            _, *own = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
            if all(p.kind is not p.VAR_POSITIONAL for p in own):  # else handed on to its base
                return {p.name: _plain(p.default) for p in own}
    return {}


def _value(module: Any, name: str) -> Any:
    """What the module keeps of an argument, where that is short."""
    held = vars(module)
    parameters = held.get("_parameters", {})
    if name == "bias" and parameters.get("weight") is not None and name in parameters:
        return parameters[name] is not None
    value = _plain(held.get(name, _ABSENT))
    short = isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < 20)
    if isinstance(value, tuple):
        short = len(value) < 5 and all(isinstance(n, (bool, int, float)) for n in value)
    return value if short else _ABSENT


def _plain(value: Any) -> Any:
    """(3, 3) as 3, which most say for it."""
    if isinstance(value, (tuple, list)) and value:
        same = all(type(n) is int and n == value[0] for n in value)
        return value[0] if same else tuple(value)
    return value
