"""Line charts as SVG text, readable without a script, with their points as data for one."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_WIDTH, _HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 44
_POINTS = 600  # of one line: more than there are pixels for


class Line(NamedTuple):
    """Points of a chart: ``kind`` is its CSS class, ``dots`` whether each point gets one."""

    name: str
    kind: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


class Chart(NamedTuple):
    """A drawn chart: its HTML, and what a script needs to tell values at a place."""

    html: str
    data: dict[str, Any]


def draw(
    name: str,
    lines: Sequence[Line],
    last_x: float,
    *,
    label: str,
    say: Callable[[float], str],
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    ring: tuple[float, float] | None = None,
) -> Chart:
    """Draw lines over x from 0 to ``last_x`` epochs; ``say`` makes text of a value.

    ``low`` and ``high`` are ends of the y axis (None: from the values), ``label`` is its name,
    ``unit`` follows a value. ``ring`` marks one point. What is not finite is left out.
    """
    lines = [_thinned(line) for line in lines]
    values = [y for line in lines for y in line.y]
    bottom = min(values, default=0.0) if low is None else low
    top = max(values, default=1.0) if high is None else high
    if high is not None and bottom >= high:  # all of it at the upper end: from 0 on, not beyond
        bottom = 0.0
    ticks = nice_ticks(bottom, top, 5)
    bottom, top = min(bottom, ticks[0]), max(top, ticks[-1])
    span_x, span_y = last_x or 1.0, (top - bottom) or 1.0
    right, base = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (right - _LEFT) * x / span_x,
            base - (base - _TOP) * (y - bottom) / span_y,
        )

    parts = []
    for tick in ticks:
        y = at(0, tick)[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{say(tick)}</text>')
    for tick in nice_ticks(0, last_x, 6):
        if tick > last_x + 1e-9:
            continue
        x = at(tick, bottom)[0]
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 19}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{base}" y2="{base}"/>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text class="name" x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">epoch</text>'
    )
    for line in lines:
        places = [at(x, y) for x, y in zip(line.x, line.y, strict=True)]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        if len(places) > 1:
            parts.append(f'<polyline class="line {line.kind}" points="{text}"/>')
        if line.dots or len(places) == 1:
            parts += [
                f'<circle class="dot {line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'
                for x, y in places
            ]
    if ring is not None:
        x, y = at(*ring)
        parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="7.5"/>')
    parts.append('<g class="cursor"></g>')
    legend = "".join(
        '<li><svg class="key" viewBox="0 0 22 10" aria-hidden="true">'
        f'<path class="line {each.kind}" d="M1 5H21"/>'
        + (f'<circle class="dot {each.kind}" cx="11" cy="5" r="3.2"/>' if each.dots else "")
        + f"</svg>{html.escape(each.name)}</li>"
        for each in lines
    )
    said = html.escape(f"{label} over epochs. " + " ".join(map(_told(say), lines)))
    text = (
        f'<div class="chart" data-chart="{name}"><p class="label">{html.escape(label)}</p>'
        + (f'<ul class="legend">{legend}</ul>' if len(lines) > 1 else "")
        + f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" tabindex="0" '
        f'aria-label="{said}">{"".join(parts)}</svg>'
        '<output class="tip" hidden></output></div>'
    )
    data = {
        "frame": [_LEFT, right, _TOP, base], "x": span_x, "y": [bottom, top], "unit": unit,
        "lines": [
            {
                "name": each.name, "kind": each.kind,
                "x": [round(x, 4) for x in each.x],
                "y": [round(y, 7) for y in each.y],
                "said": [say(y) for y in each.y] if each.dots else None,
            }
            for each in lines
        ],
    }  # fmt: skip
    return Chart(text, data)


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, about so many.

    >>> nice_ticks(0, 2.3, 5)
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        low, span = low - abs(low) / 2, abs(low) or 1.0
        high = low + span
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def _thinned(line: Line) -> Line:
    """The line with what is finite of it, as means of neighbours where it is long."""
    points = [
        (x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)
    ]
    if len(points) > _POINTS:
        ends = [len(points) * i // _POINTS for i in range(_POINTS + 1)]
        chunks = [points[start:end] for start, end in itertools.pairwise(ends)]
        points = [(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks]
    return line._replace(x=[x for x, _ in points], y=[y for _, y in points])


def _told(say: Callable[[float], str]) -> Callable[[Line], str]:
    """What a screen reader says of a line."""

    def told(line: Line) -> str:
        if not line.y:
            return f"{line.name}: nothing yet."
        return f"{line.name}: from {say(line.y[0])} to {say(line.y[-1])}."

    return told
