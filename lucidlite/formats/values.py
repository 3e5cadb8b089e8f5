"""The last look at what a pickle made, before anyone gets it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from lucidlite.dtypes import dtype
from lucidlite.formats.refused import Refused
from lucidlite.tensor import Tensor

_PLAIN = (type(None), bool, int, float, str, Tensor, dtype)
_CONTAINERS = (dict, OrderedDict, list, tuple)
_DEEPEST = 100
# A list that holds one list twice, which holds one twice, and so on: a few objects that take for
# ever to print. This is how many there may be with each counted wherever it stands.
_MOST = 10_000_000


@dataclass
class _Open:
    """A container that is being looked through: what is left of it, and what was seen in it."""

    value: Any
    items: Iterator[Any]
    depth: int = 1
    size: int = 1

    def add(self, depth: int, size: int) -> None:
        self.depth = max(self.depth, depth + 1)
        self.size += size


def check_values(value: Any) -> None:
    """Refuse what is no plain data, or has no end: what prints, saves or compares it finishes.

    Without recursion, as containers may be nested deeper than Python can call.
    """
    if not _is_container(value):
        return
    done: dict[int, tuple[int, int]] = {}  # by id: depth, and size with all repetitions
    path = [_Open(value, _items(value, done))]
    inside = {id(value)}
    while path:
        here = path[-1]
        for item in here.items:
            if not _is_container(item):
                here.size += 1
            elif id(item) in done:
                here.add(*done[id(item)])
            elif id(item) in inside:
                raise Refused("a container in it holds itself")
            else:
                inside.add(id(item))
                path.append(_Open(item, _items(item, done)))
                break
        else:
            inside.remove(id(here.value))
            done[id(here.value)] = here.depth, here.size
            path.pop()
            if path:
                path[-1].add(here.depth, here.size)
        if len(path) > _DEEPEST or here.depth > _DEEPEST:
            raise Refused(f"its containers nest more than {_DEEPEST} deep")
        if here.size > _MOST:
            raise Refused(f"it unfolds to more than {_MOST} values")


def _is_container(value: Any) -> bool:
    if type(value) in _CONTAINERS:
        return True
    if type(value) not in _PLAIN:
        raise Refused(f"it holds a {getattr(value, 'name', type(value).__name__)} by itself")
    return False


def _items(container: Any, done: Collection[int]) -> Iterator[Any]:
    if not isinstance(container, dict):
        return iter(container)
    metadata = getattr(container, "_metadata", None)
    if metadata is None:
        return iter(container.values())
    if id(metadata) not in done and not (
        type(metadata) in (dict, OrderedDict) and all(type(v) is dict for v in metadata.values())
    ):
        raise Refused("a dict in it has an attribute that is no table of versions")
    return iter((metadata, *container.values()))
