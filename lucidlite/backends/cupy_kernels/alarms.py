"""Errors that kernels find on the device: noted there, raised at the host's next look at a value.

To ask the device whether all labels are classes would mean waiting for it in every step. So an op
registers what it would say, with the user's line, and gets a number for it; a kernel that finds a
bad label or index writes the number and the value to a flag in device memory, once, and puts NaN
where a result should be. Whoever fetches a value or synchronizes reads the flag too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.callsite import (
    HINT,
    ModuleStack,
    Site,
    describe,
    module_stack,
    user_place,
    user_site,
)

# Places remembered: a training script has a few, one that checks ever new sizes many.
MOST_ALARMS = 4096
ON = ("1", "true", "yes", "on")


class Alarm(NamedTuple):
    """What to raise; ``{}`` in the message stands for the value found."""

    kind: type[Exception]
    message: str
    site: Site | None
    modules: ModuleStack


class Alarms:
    """The alarms of one device and their flag, two numbers: which (0: none), and the value."""

    def __init__(self, module: Callable[[], Any]) -> None:
        """``module()`` is cupy, with the backend's device and stream made current."""
        self._module = module
        self._flag: Array | None = None
        self._numbers: dict[Any, int] = {}
        self._alarms: dict[int, Alarm] = {}
        self._last = 0
        self._armed = False
        self.at_once = os.environ.get("LUCIDLITE_DEBUG", "").lower() in ON

    def register(self, kind: type[Exception], message: str) -> int:
        """The number of an alarm at the user's present line: one line and message, one number."""
        self._armed = True
        place = user_place(2)
        key = kind, message, place
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= MOST_ALARMS:  # kernels under way may still name the others
                oldest = next(iter(self._numbers))
                del self._alarms[self._numbers.pop(oldest)]
            self._last += 1
            number = self._numbers[key] = self._last
            site = None if place is None else Site(*place)
            self._alarms[number] = Alarm(kind, message, site, module_stack())
        return number

    def arm(self) -> None:
        """Have the next check read the flag: kernels that may raise run again, in a CUDA graph."""
        self._armed = bool(self._last)

    @property
    def flag(self) -> Array:
        """The flag, for kernels."""
        if self._flag is None:
            self._flag = self._module().zeros(2, np.uint64)
        return self._flag

    def check(self) -> None:
        """Raise the first alarm since the last check, if there is one; waits for the device."""
        if not self._armed or self._flag is None:
            return
        number, value = self._module().asnumpy(self._flag).view(np.int64).tolist()
        self._armed = False
        if not number:
            return
        self._flag.fill(0)
        here = describe(user_site(), None, "noticed at")
        alarm = self._alarms.get(number)
        if alarm is None:
            raise IndexError(
                f"index {value} is out of bounds, in an operation too long ago to be remembered; "
                f"LUCIDLITE_DEBUG=1 in the environment checks at once{here}"
            )
        message, mark, hint = alarm.message.partition(HINT)
        text = message.replace("{}", str(value)) + describe(alarm.site, alarm.modules)
        if not self.at_once:
            text += here + " (a GPU reports late; LUCIDLITE_DEBUG=1 in the environment: at once)"
        raise alarm.kind(text + mark + hint)
