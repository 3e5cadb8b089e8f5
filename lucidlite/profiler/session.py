"""profile and record_function: what users write."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from enum import Enum
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from lucidlite.callsite import error
from lucidlite.profiler import trace
from lucidlite.profiler.events import Event, Row, averages, in_order
from lucidlite.profiler.recorder import Recorder
from lucidlite.profiler.table import text
from lucidlite.profiler.watched import watched
from lucidlite.tables import milliseconds
from lucidlite.tape import Node

F = TypeVar("F", bound=Callable[..., Any])


class _Running(threading.local):
    profile: profile | None = None


_running = _Running()

# What PyTorch's profile takes and this one doesn't, and what to do instead.
_REFUSED = {
    "schedule": "put the block around the steps to record",
    "on_trace_ready": "call export_chrome_trace(path) after the block",
    "with_flops": "lucidlite.summary(model, x) counts multiply-adds",
    "experimental_config": "leave it out",
    "execution_trace_observer": "export_chrome_trace(path) writes what ran",
    "acc_events": "every event since the beginning of the block is kept",
    "use_cuda": "synchronize=True, the default, times work on a GPU",
    "use_device": "synchronize=True, the default, times work on a GPU",
    "use_kineto": "leave it out",
    "use_cpu": "leave it out",
    "profile_all_threads": "use a profile in each thread",
    "custom_trace_id_callback": "leave it out",
    "post_processing_timeout_s": "leave it out",
}


class ProfilerActivity(Enum):
    """What to time, in ``profile(activities=...)``: Python and the CPU, or GPUs as well."""

    CPU = 0
    CUDA = 2


class profile:
    """Time everything that runs in a ``with`` block: operations, gradients, layers, steps, loading.

    ``print(p)`` is a table of operations, forward and backward, by their own time; see ``table``
    and ``export_chrome_trace``. ``forward_seconds`` and ``backward_seconds`` map node numbers
    (``tensor.grad_fn.number``) to the time of the op that made the node, and of its gradient.

    It listens to Python's calls (``sys.setprofile``) in this thread. Outside of a block nothing is
    slower; inside, every call of a Python function is, a little, while the clock stands still for
    what it takes to note an event. RuntimeError where another profiler listens. Worker threads
    aren't seen.
    ``synchronize``: on a GPU wait after each op, so that its time is its own; False times the
    launches, as ``activities=[ProfilerActivity.CPU]`` does. ``record_shapes``, ``profile_memory``,
    ``with_stack`` and ``with_modules`` leave those out of the events where False.

    >>> import lucidlite
    >>> x = lucidlite.ones(2, 3, requires_grad=True)
    >>> with lucidlite.profiler.profile() as p:
    ...     (x * x).sum().backward()
    >>> [(row.name, row.calls) for row in p.key_averages()][:2]
    [('mul', 1), ('sum', 1)]

    After torch.profiler.profile.
    """

    def __init__(
        self,
        *,
        activities: Sequence[ProfilerActivity] | None = None,
        synchronize: bool | None = None,
        record_shapes: bool = True,
        profile_memory: bool = True,
        with_stack: bool = True,
        with_modules: bool = True,
        **others: Any,
    ) -> None:
        _refuse(others)
        self._synchronize = _waits(activities, synchronize)
        self._options = record_shapes, profile_memory, with_stack
        self._with_modules = with_modules
        self._recorder: Recorder | None = None
        self._whole = 0
        self._thread = self._steps = self._mark = 0

    # -- the block ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to record, as the block does; what was recorded before is forgotten."""
        if _running.profile is not None:
            raise error(
                RuntimeError,
                "profile: a profile is running in this thread already; to mark a part of it, use "
                "profiler.record_function(name)",
            )
        other = sys.getprofile()
        if other is not None:
            raise error(
                RuntimeError,
                "profile: another profiler listens in this thread; end it first, "
                f"got sys.getprofile()={other!r}",
            )
        codes = watched(self._with_modules)
        first = _youngest()
        self._recorder = Recorder(codes, first, self._synchronize, *self._options)
        self._thread, self._steps, self._mark = threading.get_native_id(), 0, 0
        _running.profile = self
        sys.setprofile(self._recorder.listen)

    def stop(self) -> None:
        """End the recording, in the thread that it began in."""
        if _running.profile is not self or self._recorder is None:
            raise error(RuntimeError, "profile: stop() without a start() in this thread")
        # A method is a new object each time it is asked for: they are compared by ==.
        mine = sys.getprofile() == self._recorder.listen
        if mine:
            sys.setprofile(None)
        _running.profile = None
        self._recorder.close()
        self._whole = self._recorder.now
        if not mine:
            warnings.warn(
                "profile: something else called sys.setprofile in the block; what ran after that "
                "is not in the profile",
                stacklevel=2,
            )

    def step(self) -> None:
        """Mark the end of a training step: the trace shows one span from mark to mark."""
        recorder = self._recording("step")
        if _running.profile is not self:
            raise error(RuntimeError, "profile: step() after the end, or in another thread")
        name, before, self._mark = f"ProfilerStep#{self._steps}", self._mark, recorder.now
        recorder.events.append(Event(name, "step", before, self._mark, None))
        self._steps += 1

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _running.profile is self:  # stop() may have ended it in the block
            self.stop()

    # -- what it found -----------------------------------------------------------------------

    def _recording(self, op: str) -> Recorder:
        if self._recorder is None:
            raise error(RuntimeError, f"profile: {op} needs a recording; use it as a with block")
        return self._recorder

    @property
    def seconds(self) -> float:
        """How long the block took, without what noting things down took."""
        return self._whole / 1e9

    @property
    def forward_seconds(self) -> dict[int, float]:
        """By the number of a node on the tape: the time of the operation that made it."""
        return dict(self._recording("forward_seconds").forward)

    @property
    def backward_seconds(self) -> dict[int, float]:
        """By the number of a node on the tape: the time of its gradient, of the last backward."""
        return dict(self._recording("backward_seconds").vjps)

    def events(self) -> list[Event]:
        """Everything that ran, in the order of the beginnings."""
        return sorted(self._recording("events").events, key=lambda e: (e.start, -e.end))

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> Averages:
        """A Row for each name, or for each name and input shapes; ``.table()`` prints them."""
        if group_by_stack_n:
            raise error(
                ValueError,
                "key_averages: events aren't grouped by stacks; events() have their site, "
                f"got group_by_stack_n={group_by_stack_n}",
            )
        recorder = self._recording("key_averages")
        rows = averages(recorder.events, self._whole, group_by_input_shape)
        return Averages(rows, self._footer(rows))

    def table(self, sort_by: str | None = "self", row_limit: int = 100) -> str:
        """The rows as text, sorted by self, total, mean, calls, output, saved or name.

        PyTorch's names for these, such as "self_cpu_time_total", are understood.
        """
        return self.key_averages().table(sort_by, row_limit)

    def _footer(self, rows: list[Row]) -> str:
        rest = max(self.seconds - sum(row.self_seconds for row in rows), 0.0)
        lines = [
            f"{milliseconds(self.seconds)} ms in all, {milliseconds(rest)} ms of it "
            "in Python around these"
        ]
        if self._recorder is not None and self._recorder.gpus:
            lines.append(
                "cuda: waited for the device after each call, so that its time is its own"
                if self._synchronize
                else "cuda: launches only, the device worked on its own (synchronize=False)"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        if self._recorder is None or _running.profile is self:
            return repr(self)
        return self.table()

    def __repr__(self) -> str:
        if self._recorder is None:
            return "<profile: nothing recorded yet>"
        state = ", recording" if _running.profile is self else f", {self.seconds:.3f} s"
        return f"<profile: {len(self._recorder.events)} events{state}>"

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a timeline: layers, operations, gradients and steps as nested spans, as JSON.

        Open it at ui.perfetto.dev or chrome://tracing. A span's arguments are its input shapes,
        bytes, its node's number and the user's line.
        """
        trace.write(path, self._recording("export_chrome_trace").events, self._thread)


class Averages(list[Row]):
    """Rows of a profile; ``str()`` is their table."""

    def __init__(self, rows: list[Row], footer: str) -> None:
        super().__init__(rows)
        self._footer = footer

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 48,
        header: str | None = None,
    ) -> str:
        """As ``profile.table``, in the order of first calls where ``sort_by`` is None."""
        rows = in_order(self, sort_by)
        shown = rows if row_limit < 0 else rows[:row_limit]
        lines = [text(shown, max_name_column_width, max_shapes_column_width)]
        if len(shown) < len(rows):
            lines.append(f"and {len(rows) - len(shown)} more: see row_limit")
        return "\n".join([*([] if header is None else [header]), *lines, self._footer])

    def __str__(self) -> str:
        return self.table()

    __repr__ = __str__


class record_function:
    """Name a part of a profile: ``with record_function("loss"):``, or as a decorator.

    Outside of a profile it does nothing.

    >>> import lucidlite
    >>> with lucidlite.profiler.profile() as p, lucidlite.profiler.record_function("setup"):
    ...     _ = lucidlite.zeros(3)
    >>> [(row.name, row.calls) for row in p.key_averages()]
    [('setup', 1), ('zeros', 1)]

    Semantics: torch.profiler.record_function.
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        if not isinstance(name, str):
            raise error(TypeError, f"record_function: name must be a string, got name={name!r}")
        self.name = name if args is None else f"{name} ({args})"
        self._open: list[tuple[Recorder, Any] | None] = []

    def __enter__(self) -> record_function:
        running = _running.profile
        recorder = None if running is None else running._recorder
        entered = None if recorder is None else (recorder, recorder.open(self.name, "label"))
        self._open.append(entered)
        return self

    def __exit__(self, *exc: object) -> None:
        entered = self._open.pop()
        if entered is not None:
            entered[0].close(entered[1])

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def _waits(activities: Sequence[ProfilerActivity] | None, synchronize: bool | None) -> bool:
    if activities is None:
        return synchronize is not False
    wanted = set(activities)
    if not wanted <= set(ProfilerActivity) or ProfilerActivity.CPU not in wanted:
        raise error(
            ValueError,
            "profile: activities must be ProfilerActivity.CPU, with or without CUDA, "
            f"got activities={list(activities)}",
        )
    waits = ProfilerActivity.CUDA in wanted
    if synchronize is not None and synchronize != waits:
        raise error(
            ValueError,
            "profile: synchronize and activities say different things of a GPU's time, "
            f"got synchronize={synchronize}, activities={list(activities)}",
        )
    return waits


def _refuse(others: dict[str, Any]) -> None:
    for name, value in others.items():
        if name not in _REFUSED:
            raise error(TypeError, f"profile: got an unexpected keyword argument {name!r}")
        if value:
            raise error(
                TypeError,
                f"profile: {name} is not supported; {_REFUSED[name]}, got {name}={value!r}",
            )


def _youngest() -> int:
    """A number that nodes made from now on are above."""
    return Node(None, (), (), (), None).number
