"""What a comparison found: data, a table and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from lucidlite.parity.sides import Problem
from lucidlite.parity.step import STAGES, Finding

_COLUMNS = STAGES[1:]


@dataclass
class Report:
    """The findings of ``compare``, in the order of events.

    ``title`` says what was compared; ``notes`` what was done to compare it. ``problems`` are what
    the libraries raised, in ``stage`` of ``step`` with ``weights``. ``str()`` of a report is the
    table and the verdict.
    """

    title: str
    tolerance: float
    steps: int
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()
    stage: str = ""
    step: int = 0

    @property
    def differences(self) -> list[Finding]:
        """The findings above the tolerance."""
        return [each for each in self.findings if each.gap.error > self.tolerance]

    @property
    def first(self) -> Finding | None:
        """The first difference, None where there is none."""
        return next(iter(self.differences), None)

    @property
    def worst(self) -> Finding | None:
        """The largest error."""
        return max(self.findings, key=lambda each: each.gap.error, default=None)

    @property
    def equal(self) -> bool:
        """Whether both libraries did the same, without an error in either."""
        return not self.problems and self.first is None

    @property
    def verdict(self) -> str:
        """The first difference, or how far from one the libraries are."""
        first = self.first
        if first is not None:
            return f"first difference: {first}"
        if self.problems:
            who = [each.library for each in self.problems]
            raises = "both raise" if len(who) > 1 else f"only {who[0]} raises"
            return f"step {self.step}, {self.stage}: {raises}"
        worst = self.worst
        text = f"equal within {self.tolerance:g} over {_count(self.steps, 'step')}"
        if worst is None or not worst.gap.absolute:
            return f"{text} (to the last bit)"
        return f"{text} (worst: {worst.gap.error:.1e}, {_place(worst)})"

    @property
    def table(self) -> str:
        """A line for each step: the largest error of each stage, relative to the largest value."""
        rows: dict[tuple[str, int], dict[str, float]] = {}
        for each in self.findings:
            row = rows.setdefault((each.weights, each.step), {})
            row[each.stage] = max(row.get(each.stage, 0.0), each.gap.error)
        lines: list[tuple[str, ...]] = [("weights of", "step", *_COLUMNS)]
        for (weights, step), row in rows.items():
            if step:
                cells = [self._cell(row.get(stage)) for stage in _COLUMNS]
                lines.append((weights, str(step), *cells))
        return "\n".join(
            f"{line[0]:11}{line[1]:>4}" + "".join(f"{cell:>11}" for cell in line[2:])
            for line in lines
        )

    def _cell(self, error: float | None) -> str:
        if error is None:
            return "-"
        text = "0" if not error else f"{error:.1e}"
        return f"{text} <" if error > self.tolerance else text

    def __str__(self) -> str:
        parts = [self.title, *self.notes]
        if any(each.step for each in self.findings):
            parts += ["", self.table]
        early = [each for each in self.differences if not each.step]
        if len(early) > 1:
            parts += ["", *(f"  {each.where}: {each.gap}" for each in early)]
        parts += ["", self.verdict, *map(str, self.problems)]
        return "\n".join(parts)


def _place(finding: Finding) -> str:
    what = "" if finding.what == "output" else f", {finding.what}"
    return f"step {finding.step}, {finding.stage}, {finding.where}{what}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
