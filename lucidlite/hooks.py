"""Handles that take a registered hook off again, shared by tensors, nodes and modules."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lucidlite.callsite import error

HookTable = OrderedDict[int, Callable[..., Any]]
Marks = OrderedDict[int, bool]

_numbers = itertools.count()


class RemovableHandle:
    """Take a hook off with ``handle.remove()``, or use the handle as a context manager.

    ``table`` maps hook numbers to hooks, ``companions`` are further tables keyed by the same
    numbers, cleaned together with it. An OrderedDict is held weakly, so that a forgotten handle
    keeps nothing alive; a plain dict can't be and is held.

    >>> from collections import OrderedDict
    >>> from lucidlite.hooks import RemovableHandle
    >>> table = OrderedDict()
    >>> handle = RemovableHandle(table)
    >>> table[handle.id] = print
    >>> handle.remove()
    >>> len(table)
    0
    """

    def __init__(self, table: dict[int, Any], companions: tuple[dict[int, Any], ...] = ()) -> None:
        self.id = next(_numbers)
        self._tables = tuple(_reference(each) for each in (table, *companions))

    def remove(self) -> None:
        """Take the hook off; a second call, or one after the owner died, does nothing."""
        for reference in self._tables:
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    # copy.deepcopy copies a weak reference as itself, so the copy of a module that keeps a handle
    # would remove the original's hook. Handing out the tables lets it find their copies instead.
    def __getstate__(self) -> tuple[int, list[dict[int, Any] | None]]:
        return self.id, [reference() for reference in self._tables]

    def __setstate__(self, state: tuple[int, list[dict[int, Any] | None]]) -> None:
        self.id, tables = state
        self._tables = tuple(_reference({} if table is None else table) for table in tables)


def _reference(table: dict[int, Any]) -> Callable[[], dict[int, Any] | None]:
    return weakref.ref(table) if isinstance(table, OrderedDict) else lambda: table


def add_hook(
    table: HookTable,
    hook: Callable[..., Any],
    prepend: bool = False,
    options: tuple[tuple[Marks, bool], ...] = (),
) -> RemovableHandle:
    """Put ``hook`` at the end (or the front) of ``table`` and return its handle.

    ``options`` are (marks, wanted) pairs: the hook's number is noted in ``marks`` where wanted.
    """
    if not callable(hook):
        raise error(TypeError, f"register: a hook must be callable, got hook={hook!r}")
    handle = RemovableHandle(table, tuple(marks for marks, _ in options))
    table[handle.id] = hook
    for marks, wanted in options:
        if wanted:
            marks[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


class NodeHooks:
    """The hooks of a node on the tape: 'pre' and 'post' its vjp, and by output number."""

    def __init__(self) -> None:
        self.tables: dict[str | int, HookTable] = {}

    def add(self, when: str | int, hook: Callable[..., Any]) -> RemovableHandle:
        return add_hook(self.tables.setdefault(when, OrderedDict()), hook)

    def get(self, when: str | int) -> list[Callable[..., Any]]:
        return list(self.tables.get(when, {}).values())
