"""What a profile found: a span of time for each thing that ran, and their sums by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import CodeType

from lucidlite.callsite import Site, error

Shapes = tuple[tuple[int, ...], ...]

# What the events of each kind are spans of.
KINDS = {
    "op": "a call of an operation",
    "vjp": "the gradient of one, by its node's name",
    "backward": "a run of the engine",
    "module": "a call of a layer or model",
    "optimizer": "a step or a zero_grad",
    "data": "waiting for a DataLoader's next batch",
    "label": "what the user put into record_function",
    "step": "from one step() of the profile to the next",
}
# These have no row in a table: what runs in them has.
_UNLISTED = ("module", "step")


@dataclass(eq=False, slots=True)
class Event:
    """One span: ``start`` and ``end`` in nanoseconds of the profile's clock, ``parent`` around it.

    ``shapes`` are those of the tensors that went in; ``output_bytes`` what came out in memory of
    its own; ``saved_bytes`` what its node keeps for backward. ``node`` is the number of the node an
    op left on the tape, or whose gradient a vjp computed. ``module`` names the layer.
    """

    name: str
    kind: str
    start: int
    end: int
    parent: Event | None
    module: str = ""
    shapes: Shapes = ()
    output_bytes: int = 0
    saved_bytes: int = 0
    node: int | None = None
    place: tuple[CodeType, int] | None = None
    inner: int = 0  # nanoseconds in events directly inside
    held: int = 0  # how many of these there are

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        return (self.end - self.start) / 1e9

    @property
    def self_seconds(self) -> float:
        """Without the events inside it."""
        return (self.end - self.start - self.inner) / 1e9

    @property
    def site(self) -> Site | None:
        """The user's line that it came from; of a vjp the line of its op."""
        return None if self.place is None else Site(*self.place)


@dataclass(slots=True)
class Row:
    """All events of one name: times in seconds, ``share`` of the whole profile in ``[0, 1]``.

    ``shapes`` are the input shapes of the call that took longest by itself. PyTorch's names for the
    numbers are here too, and mean microseconds where they are times.
    """

    name: str
    kind: str
    calls: int
    total_seconds: float
    self_seconds: float
    share: float
    output_bytes: int
    saved_bytes: int
    shapes: Shapes
    site: Site | None

    @property
    def mean_seconds(self) -> float:
        """Of one call."""
        return self.total_seconds / self.calls

    @property
    def key(self) -> str:
        return self.name

    @property
    def count(self) -> int:
        return self.calls

    @property
    def cpu_time_total(self) -> float:
        return self.total_seconds * 1e6

    @property
    def self_cpu_time_total(self) -> float:
        return self.self_seconds * 1e6

    @property
    def cpu_time(self) -> float:
        return self.mean_seconds * 1e6


# What a table may be sorted by: our word, then PyTorch's for the same.
_ORDERS = {
    "self": ("self_seconds", "self_cpu_time_total", "self_cuda_time_total",
             "self_device_time_total"),
    "total": ("total_seconds", "cpu_time_total", "cuda_time_total", "device_time_total"),
    "mean": ("mean_seconds", "cpu_time", "cuda_time", "device_time"),
    "calls": ("calls", "count"),
    "output": ("output_bytes", "cpu_memory_usage", "cuda_memory_usage", "device_memory_usage",
               "self_cpu_memory_usage", "self_cuda_memory_usage", "self_device_memory_usage"),
    "saved": ("saved_bytes",),
}  # fmt: skip
_FIELDS = {word: fields[0] for ours, fields in _ORDERS.items() for word in (ours, *fields)}


def in_order(rows: Iterable[Row], sort_by: str | None) -> list[Row]:
    """The rows, the largest of ``sort_by`` first; None leaves them, "name" is the alphabet."""
    if sort_by is None:
        return list(rows)
    if sort_by == "name":
        return sorted(rows, key=lambda row: row.name.lower())
    if sort_by not in _FIELDS:
        raise error(
            ValueError,
            f"table: sort_by must be one of {', '.join([*_ORDERS, 'name'])}, or PyTorch's name of "
            f"one, got sort_by={sort_by!r}",
        )
    field = _FIELDS[sort_by]
    return sorted(rows, key=lambda row: getattr(row, field), reverse=True)


def averages(events: Iterable[Event], whole: int, by_shape: bool = False) -> list[Row]:
    """A row for each name (and input shapes), in the order of their first call.

    ``whole``: the nanoseconds that shares are of.
    """
    groups: dict[tuple[object, ...], list[Event]] = {}
    for event in sorted(events, key=lambda each: each.start):
        if event.kind not in _UNLISTED:
            key = event.name, event.kind, event.shapes if by_shape else None
            groups.setdefault(key, []).append(event)
    return [_row(group, whole) for group in groups.values()]


def _row(group: Sequence[Event], whole: int) -> Row:
    heaviest = max(group, key=lambda event: event.end - event.start - event.inner)
    own = sum(event.end - event.start - event.inner for event in group)
    return Row(
        heaviest.name,
        heaviest.kind,
        len(group),
        sum(event.end - event.start for event in group) / 1e9,
        own / 1e9,
        own / whole if whole else 0.0,
        sum(event.output_bytes for event in group),
        sum(event.saved_bytes for event in group),
        heaviest.shapes,
        heaviest.site,
    )
