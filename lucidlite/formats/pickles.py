"""Pickles of plain data read as data: a small machine that has no way to run anything.

A pickle is a program for a stack machine, and two of its instructions, naming a global and calling
what is on the stack, reach all of Python. Here a name is looked up in a table that the caller
gives, nothing is imported, and only what stands in that table can be called. Python's own unpickler
is not used: `pickletools` cuts the bytes into instructions, and this file knows those few that
plain containers, numbers and text are made of. Anything else ends the reading.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from lucidlite.formats.refused import Refused

_MOST = 4_000_000  # instructions: each makes one small object at most
_LONGEST = 1 << 27  # bytes
_LARGE = 2**60
_KEYS = (str, int, float, bool, type(None))


class Maker:
    """What a permitted name stands for: a function of ours to call in its place."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name = name
        self.make = make


class Machine:
    """Runs one pickle.

    names: what each 'module name' stands for, a Maker or a value. refuse: builds the error for any
    other name. persistent: turns a persistent id, as PyTorch gives storages, into a value.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        refuse: Callable[[str], Exception],
        persistent: Callable[[Any], Any],
    ) -> None:
        self._names = names
        self._refuse = refuse
        self._persistent = persistent
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # the stacks below each open mark
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """The value that the pickle makes; Refused or any other exception where it makes none."""
        if len(data) > _LONGEST:
            raise Refused(f"its pickle is longer than {_LONGEST} bytes")
        for count, (code, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST:
                raise Refused(f"its pickle has more than {_MOST} instructions")
            if code.name == "STOP":
                break
            step = _STEPS.get(code.name)
            if step is None:
                raise Refused(
                    f"its pickle has the instruction {code.name}, and only dicts, lists, tuples, "
                    f"numbers, text, None and tensors are read"
                )
            step(self, argument)
        if self._outer or len(self._stack) != 1:
            raise ValueError("the pickle ends before its value is whole")
        return self._stack[0]

    # -- instructions ------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def nothing(self, _: Any) -> None:
        """A protocol number or a frame, which say nothing about the value."""

    def mark(self, _: Any) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def since_mark(self) -> list[Any]:
        """What came onto the stack since the last mark, taken from it with the mark."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    def tuple_of_all(self, _: Any) -> None:
        items = self.since_mark()
        self._stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        items = self._stack[len(self._stack) - count :]
        if len(items) != count:
            raise IndexError("a tuple of more than is on the stack")
        del self._stack[-count:]
        self._stack.append(tuple(items))

    def extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError(f"items for a {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target, keys = self._stack[-1], items[::2]
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise TypeError(f"{len(items)} keys and values for a {type(target).__name__}")
        for key in keys:
            if type(key) not in _KEYS:
                raise Refused(f"a dict in it has a key of type {type(key).__name__}")
            # Larger integers can be chosen to share one hash: a dict of them takes ages to fill.
            if type(key) is int and abs(key) >= _LARGE:
                raise Refused(f"a dict in it has the key {hex(key):.40}")
        target.update(zip(keys, items[1::2], strict=True))

    def name(self, name: str) -> None:
        if name not in self._names:
            raise self._refuse(name.replace(" ", "."))
        self._stack.append(self._names[name])

    def stack_name(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError("a name that is no text")
        self.name(f"{module} {name}")

    def call(self, _: Any) -> None:
        arguments, maker = self._stack.pop(), self._stack.pop()
        if type(maker) is not Maker or type(arguments) is not tuple:
            raise Refused(f"its pickle calls a {type(maker).__name__}")
        self._stack.append(maker.make(*arguments))

    def set_state(self, _: Any) -> None:
        """PyTorch's state dicts have their modules' versions as an attribute; nothing else has."""
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is not OrderedDict or type(state) is not dict:
            raise Refused(f"its pickle sets the state of a {type(target).__name__}")
        if list(state) != ["_metadata"]:
            raise Refused("a dict in it has attributes")
        target._metadata = state["_metadata"]  # type: ignore[attr-defined]

    def persistent(self, _: Any) -> None:
        self._stack.append(self._persistent(self._stack.pop()))


_Step = Callable[[Machine, Any], None]
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), Machine.nothing),
    "NONE": Machine.push,
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4"), Machine.push),
    **dict.fromkeys(("BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), Machine.push),
    "MARK": Machine.mark,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Machine.put),
    "MEMOIZE": Machine.memoize,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Machine.get),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": Machine.tuple_of_all,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: machine.extend([machine._stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.set_items(_last_two(machine._stack)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.stack_name,
    "REDUCE": Machine.call,
    "BUILD": Machine.set_state,
    "BINPERSID": Machine.persistent,
}


def _last_two(stack: list[Any]) -> list[Any]:
    value, key = stack.pop(), stack.pop()
    return [key, value]
