"""Where the user is: their file and line, and the modules being called. Errors and nodes ask here.

Both are gathered on every recorded op, so gathering is cheap (a code object and an instruction
offset, a linked stack of weak references) and the text is made only when somebody reads it.
"""

from __future__ import annotations

import sys
import threading
import weakref
from itertools import pairwise
from types import CodeType
from typing import Any, NamedTuple, TypeVar

from lucidlite.notes import watch

E = TypeVar("E", bound=BaseException)
_getframe = sys._getframe
_PACKAGE = __name__.partition(".")[0]
# What stands between users and us: a worker thread starts in threading or concurrent, a copy in
# copy, our generators in contextlib; CuPy calls back for memory, NumPy and Matplotlib for the
# values of a tensor that they were given.
_NOT_THE_USER = (
    _PACKAGE, "threading", "concurrent", "copy", "contextlib", "cupy", "cupyx", "numpy",
    "matplotlib",
)  # fmt: skip

# The names of modules by whose they are, each from the first time it was met.
_ours: set[Any] = set()
_theirs: set[Any] = set()


def _is_ours(name: Any) -> bool:
    ours = isinstance(name, str) and name.partition(".")[0] in _NOT_THE_USER
    (_ours if ours else _theirs).add(name)
    return ours


# The modules being called, innermost first: (weak reference to the module, the rest) or None.
ModuleStack = tuple["weakref.ref[Any]", Any] | None


class _State(threading.local):
    modules: ModuleStack = None


_state = _State()


class Site(NamedTuple):
    """A place in the user's code: ``str(site)`` is 'train.py:12 in main'."""

    code: CodeType
    offset: int

    @property
    def filename(self) -> str:
        return self.code.co_filename

    @property
    def function(self) -> str:
        return self.code.co_name

    @property
    def line(self) -> int:
        for start, end, line in self.code.co_lines():
            if start <= self.offset < end and line is not None:
                return line
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


def user_place(skip: int = 1) -> tuple[CodeType, int] | None:
    """The innermost frame outside this package, as what a Site is made of; None without one.

    The first ``skip`` frames are the package's own, known to the caller.
    """
    frame: Any = _getframe(skip)
    try:  # for every recorded op, so as quick as it gets
        while (name := frame.f_globals["__name__"]) in _ours:
            frame = frame.f_back
        if name in _theirs:
            return frame.f_code, frame.f_lasti
    except (KeyError, AttributeError):  # code without a module, or no frame left
        pass
    while frame is not None:
        if not _is_ours(frame.f_globals.get("__name__")):
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None


def user_site() -> Site | None:
    """The innermost frame outside this package, or None where the package is all there is."""
    place = user_place(2)
    return None if place is None else Site(*place)


def push_module(module: Any) -> ModuleStack:
    """Enter ``module``; the value returned goes to ``pop_module`` when its call ends."""
    token = _state.modules
    if token is None and watch.notes is not None:
        watch.notes.modules.append(module)
    _state.modules = (weakref.ref(module), token)
    return token


def pop_module(token: ModuleStack) -> None:
    _state.modules = token


def module_stack() -> ModuleStack:
    """The modules being called now, innermost first, as a linked tuple of weak references."""
    return _state.modules


def module_path(stack: ModuleStack) -> str:
    """'CNN.features.0: Conv2d(3 -> 32, kernel_size=3)' for a stack, '' for none.

    Names are found in each parent; what follows the colon is the innermost one's ``_brief()``.
    """
    modules = []
    while stack is not None:
        module = stack[0]()
        if module is not None:
            modules.append(module)
        stack = stack[1]
    if not modules:
        return ""
    modules.reverse()
    path = type(modules[0]).__name__
    for parent, child in pairwise(modules):
        children = getattr(parent, "_modules", {})
        name = next((n for n, m in children.items() if m is child), None)
        path += f".{name}" if name is not None else f" > {type(child).__name__}"
    last = _brief(modules[-1])
    return f"{path}: {last}" if len(modules) > 1 else last


def _brief(module: Any) -> str:
    try:
        return str(module._brief())
    except Exception:  # a class of its own kind: the error being made matters more
        return type(module).__name__


def describe(site: Site | None, stack: ModuleStack = None, label: str = "at") -> str:
    """The lines an error adds: the user's place, and the module where there is one."""
    text = f"\n  {label} {site}" if site is not None else ""
    path = module_path(stack)
    return f"{text}\n  in module {path}" if path else text


def error(kind: type[E], message: str, hint: str = "") -> E:
    """An exception of class ``kind`` whose message also names the user's line and module.

    The message reads ``op: rule, got name=value``; ``hint`` is a likely cause, for the last line.
    """
    return kind(placed(message, user_site(), _state.modules, hint))


HINT = "\n  hint: "


def placed(message: str, site: Site | None, stack: ModuleStack, hint: str = "") -> str:
    """A message with its place and, last, its hint, which the message may end in already."""
    message, _, held = message.partition(HINT)
    hint = hint or held
    text = message + describe(site, stack)
    return text + HINT + hint if hint else text
