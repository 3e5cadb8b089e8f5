"""The live view of a run on a terminal, drawn by the package rich."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from lucidlite.tables import share

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_CURVE = 48  # the widest curve of losses
_ECHO = 2  # columns left free after the view: a terminal writes ^C there, on no line of its own
_GAP = "  "


class LiveView:
    """Draws a bar and the numbers below it, as many to a line as the terminal is wide for.

    A terminal that isn't told to be one of Unicode gets ASCII; NO_COLOR is heeded. What other
    code prints meanwhile to the terminal goes above the view.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._live: Any = None
        self._drawing = False
        self._to_tell: list[str] = []

    def start(self, label: str, total: int, done: int) -> None:
        from rich.live import Live

        self._label, self._total, self._done = label, total, done
        self._values: tuple[Any, ...] | None = None
        live = Live(
            self,
            console=self._console,
            auto_refresh=False,
            transient=True,
            # A stream that goes elsewhere, into a file say, keeps what is its own.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        with self._drawn():
            live.start()
            self._live = live

    def show(
        self, done: int, loss: float, accuracy: float, lr: float | None, rate: float,
        epoch_left: float, run_left: float | None, losses: Sequence[float],
    ) -> None:  # fmt: skip
        """Draw anew. The curve is of ``losses``, of the whole run so far."""
        self._done = done
        self._values = loss, accuracy, lr, rate, epoch_left, run_left, losses
        with self._drawn():
            self._live.refresh()

    def stop(self) -> None:
        if self._live is not None:
            with self._drawn():
                self._live.stop()
                self._live = None

    def tell(self, text: str) -> bool:
        """Say a line above the view, from a signal's handler too; False where there is none."""
        if self._drawing:  # that is what the signal has interrupted: the line comes right after it
            self._to_tell.append(text)
        elif self._live is None:
            return False
        else:
            try:
                self._say(text)
            except (OSError, RuntimeError):  # what was interrupted is a print() to the same stream
                return False
        return True

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def _drawn(self) -> Iterator[None]:
        self._drawing = True
        try:
            yield
        finally:
            self._drawing = False
            while self._to_tell:
                self._say(self._to_tell.pop(0))

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = options.max_width
        part = self._done / self._total if self._total else 1.0
        count = f"{self._done:,}/{self._total:,}"
        room = width - len(self._label) - len(count) - 9
        if room >= 8:
            line = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(self._total, 1), completed=self._done, width=min(room, 60))
            line.add_row(Text(self._label, "bold"), bar, f"{share(part, 0):>4}", Text(count, "dim"))
            yield line
        else:
            text = Text.assemble((self._label, "bold"), f" {share(part, 0)} ", (count, "dim"))
            yield _cut(text, width)
        if self._values is not None:
            yield from self._numbers(width, options.ascii_only)

    def _numbers(self, width: int, ascii_only: bool) -> Iterator[Any]:
        from rich.text import Text

        loss, accuracy, lr, rate, epoch_left, run_left, losses = self._values or ()
        said = [f"loss {loss:.4f}", f"acc {share(accuracy)}"]
        if lr is not None:
            said.append(f"lr {lr:.2e}")
        said.append(f"{rate:,.0f} images/s")
        if run_left is None:
            said.append(f"{clock(epoch_left)} left")
        else:
            said += [f"epoch {clock(epoch_left)}", f"run {clock(run_left)} left"]
        lines = [Text()]
        for text in said:
            piece = _piece(text)
            if lines[-1] and lines[-1].cell_len + len(_GAP) + piece.cell_len > width:
                lines.append(Text())
            lines[-1].append_text(Text(_GAP) + piece if lines[-1] else piece)
        for line in lines:
            yield _cut(line, width)
        if len(losses) < 2:
            return
        first, last = _digits(losses[0]), _digits(losses[-1])
        room = min(_CURVE, width - len(f"loss so far {first}  {last}") - _ECHO)
        if room >= 4:
            curve = sparkline(losses, room, ascii_only)
            yield Text.assemble(("loss so far ", "dim"), first + " ", (curve, "cyan"), " " + last)


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A line of at most ``width`` bars, each the mean of as many values, lowest to highest.

    >>> sparkline([8, 4, 2, 1, 1, 1], 3)
    '█▂▁'
    """
    marks = _ASCII if ascii_only else _BLOCKS
    width = max(1, min(width, len(values)))
    ends = [len(values) * i // width for i in range(width + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in itertools.pairwise(ends)]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    span = high - low

    def mark(mean: float) -> str:
        if not math.isfinite(mean):
            return "!"
        return marks[round((mean - low) / span * (len(marks) - 1))] if span else marks[0]

    return "".join(map(mark, means))


def clock(seconds: float) -> str:
    """'0:07', '12:34', '3:04:05' or '2 d 3 h'.

    >>> clock(3723.4)
    '1:02:04'
    """
    if not math.isfinite(seconds):
        return "?"
    whole = math.ceil(seconds)
    if whole >= 100 * 3600:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _piece(text: str) -> Any:
    """Words dimmed, numbers plain."""
    from rich.text import Text

    piece = Text(text)
    piece.highlight_regex(r"[a-z/,]+(?![\d.e])", "dim")
    return piece


def _cut(line: Any, width: int) -> Any:
    line.no_wrap, line.overflow = True, "crop"
    line.truncate(width)
    return line


def _digits(value: float) -> str:
    size = abs(value)
    if 0 < size < 0.1:
        return f"{value:.3f}" if size >= 0.01 else f"{value:.0e}"
    return f"{value:.2f}" if size < 1000 else f"{value:.0e}"
