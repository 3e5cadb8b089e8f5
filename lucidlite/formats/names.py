"""Names for the entries of a zip, from the place that each has in what is saved."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

_LONGEST = 200  # bytes, of the 255 that file systems allow
_ELSEWHERE = frozenset('\\:*?"<>|')  # what Windows allows in no name


class EntryNames:
    """Gives each place a name of its own: 'model/conv.weight' for obj['model']['conv.weight'].

    Whoever unpacks the zip gets files inside one folder, on any system: no name leads out of it,
    and none is another's but for capitals. Where a key can't be a name, or not a second time, the
    name differs from it.
    """

    def __init__(self, *taken: str) -> None:
        self._taken = {_folded(name) for name in taken}
        self._tries: dict[str, int] = {}

    def take(self, path: Iterable[Any]) -> str:
        """The name for the value at these keys."""
        name = first = _cleaned("/".join(str(key) for key in path))
        while _folded(name) in self._taken:
            count = self._tries[first] = self._tries.get(first, 1) + 1
            name = f"{first}~{count}"
        self._taken.add(_folded(name))
        return name


def _cleaned(text: str) -> str:
    text = "".join(c if c.isprintable() and c not in _ELSEWHERE else "_" for c in text or "value")
    text = text.encode()[:_LONGEST].decode(errors="ignore")
    # '..' leads out, '' to the root, and Windows drops dots and spaces at the end.
    return "/".join(part.rstrip(". ") or "_" for part in text.split("/"))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
