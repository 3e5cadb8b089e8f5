"""What a user's function touches, noted for whoever wants to repeat it without running it again."""

from __future__ import annotations

import threading
from typing import Any


class Notes:
    """Of one run, in the order of events."""

    def __init__(self) -> None:
        self.leaves: list[Any] = []  # tensors whose ``grad`` was written to by backward
        self.optimizers: list[Any] = []  # one for each ``step()``
        self.modules: list[Any] = []  # called, and not by another module


class _Watch(threading.local):
    notes: Notes | None = None

    def see_leaf(self, leaf: Any) -> None:
        if self.notes is not None:
            self.notes.leaves.append(leaf)


watch = _Watch()
