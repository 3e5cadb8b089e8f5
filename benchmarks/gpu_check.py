"""The GPU check: is lucidlite right, fast and safe on the NVIDIA GPU of this machine?

    python benchmarks/gpu_check.py --phase truth|speed|safety --out runs/gpu

Runs unattended, each phase in less than 8 minutes: a check that fails or crashes is noted and the
next one begins, what time is short for is left out and named. Every check ends in one line of the
table printed last; its figures are in <out>/<phase>.json, which is written after each of them, and
<phase>.xml has the outcomes for tools that read JUnit's form.

Needs CuPy. PyTorch with CUDA, the cuDNN frontend, pytest and compute-sanitizer are used where they
are there. ``--tiny`` makes every check as small as it gets: it proves that the checks run.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import records

PHASES = ("truth", "speed", "safety")
BUDGET = 440.0  # seconds; what would begin later is left out
LAST = 470.0  # a check that hangs is given up then, and the process ends


class LeftOut(Exception):
    """A check can't be made here, for the reason given."""


class Failed(Exception):
    """A check found something wrong; ``figures`` go into the results all the same."""

    def __init__(self, why: str, **figures: Any) -> None:
        super().__init__(why)
        self.figures = figures


class Phase:
    """The checks of one phase, their outcomes and where they are written."""

    def __init__(self, name: str, out: Path, tiny: bool, budget: float) -> None:
        self.name, self.out, self.tiny, self.budget = name, out, tiny, budget
        self.begun = time.monotonic()
        self.rows: list[dict[str, Any]] = []
        self.now = ""  # the check that is running
        self.facts: dict[str, Any] = {}  # what later checks read: ceilings, the device
        self._lock = threading.Lock()

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.budget - (time.monotonic() - self.begun)

    def check(self, title: str, run: Callable[[], Any], least: float = 5.0) -> Any:
        """Make a check: ``run()`` returns its figures, or raises LeftOut, Failed or anything."""
        self.now = title
        begun = time.monotonic()
        status, detail, figures = "ok", "", None
        try:
            if self.left() < least and not self.tiny:
                raise LeftOut(f"no time left ({self.left():.0f} s of {self.budget:.0f})")
            figures = run()
        except LeftOut as why:
            status, detail = "left out", str(why)
        except Failed as why:
            status, detail, figures = "FAILED", str(why), why.figures
        except Exception as problem:
            status, detail = "ERROR", f"{type(problem).__name__}: {problem}".strip()
            traceback.print_exc()
        self.note(title, status, time.monotonic() - begun, detail, figures)
        self.now = ""
        return figures

    def note(self, title: str, status: str, seconds: float, detail: str, figures: Any) -> None:
        row = {"check": title, "status": status, "seconds": round(seconds, 2), "detail": detail,
               "figures": figures}  # fmt: skip
        with self._lock:
            self.rows.append(row)
            self.write()
        print(self.line(row), flush=True)

    def write(self) -> None:
        settings = {"tiny": self.tiny, "budget": self.budget, "argv": sys.argv[1:]}
        records.write(self.out, self.name, settings, self.rows)
        cases = []
        for row in self.rows:
            tag = {"left out": "skipped", "FAILED": "failure", "ERROR": "error"}.get(row["status"])
            inner = f"<{tag} message={quoteattr(row['detail'])}/>" if tag else ""
            cases.append(f'<testcase classname="gpu_check.{self.name}" '
                         f'name={quoteattr(row["check"])} time="{row["seconds"]}">{inner}'
                         "</testcase>")  # fmt: skip
        text = "\n".join(['<?xml version="1.0" encoding="utf-8"?>',
                          f'<testsuite name="gpu_check {self.name}" tests="{len(cases)}">',
                          *cases, "</testsuite>\n"])  # fmt: skip
        (self.out / f"{self.name}.xml").write_text(text, encoding="utf-8")

    def line(self, row: dict[str, Any]) -> str:
        said = row["detail"] or brief(row["figures"])
        said = said.splitlines()[0] if said else ""
        return f"{row['status']:8} {row['seconds']:7.1f} s  {row['check']:34} {said:.120}"

    def table(self) -> str:
        counts = {s: sum(r["status"] == s for r in self.rows)
                  for s in ("ok", "left out", "FAILED", "ERROR")}  # fmt: skip
        total = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        title = f"== {self.name}: {total}, {time.monotonic() - self.begun:.0f} s"
        return "\n".join(["", title, *map(self.line, self.rows)])

    def code(self) -> int:
        """For the exit: 0 where all is well, 1 where something failed, 2 where nothing was made."""
        statuses = {row["status"] for row in self.rows}
        return 1 if statuses & {"FAILED", "ERROR"} else 0 if "ok" in statuses else 2

    def give_up(self) -> None:
        """A check hangs: keep what there is, and end."""
        faulthandler.dump_traceback(all_threads=True)
        self.note(self.now or "between checks", "ERROR", LAST, "hung: given up", None)
        print(self.table(), flush=True)
        os._exit(3)


def brief(figures: Any) -> str:
    """Some figures in one line: numbers and words, nothing nested."""
    if not isinstance(figures, dict):
        return "" if figures is None else str(figures)
    plain = {k: v for k, v in figures.items() if isinstance(v, (int, float, str, bool))}
    return ", ".join(f"{k} {f'{v:.4g}' if isinstance(v, float) else v}" for k, v in plain.items())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--phase", choices=PHASES, nargs="+", default=list(PHASES), help="what to check (all)")
    add("--out", type=Path, default=records.HERE.parent / "runs" / "gpu", metavar="FOLDER",
        help="where results go (runs/gpu)")  # fmt: skip
    add("--budget", type=float, default=BUDGET, help=f"seconds a phase may take ({BUDGET:.0f})")
    add("--tiny", action="store_true", help="as small as it gets, to see that the checks run")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    tables, codes = [], []
    for name in args.phase:
        phase = Phase(name, args.out, args.tiny, args.budget)
        watchdog = threading.Timer(LAST if args.budget == BUDGET else args.budget + 30,
                                   phase.give_up)  # fmt: skip
        watchdog.daemon = True
        watchdog.start()
        try:
            importlib.import_module(f"gpu_{name}").run(phase)
        except Exception as problem:  # outside every check: an import that fails, say
            traceback.print_exc()
            phase.note("the phase itself", "ERROR", 0, f"{type(problem).__name__}: {problem}", None)
        finally:
            watchdog.cancel()
        tables.append(phase.table())
        codes.append(phase.code())
    print("\n".join(tables), flush=True)
    print(f"\nwritten to {args.out}: " + " ".join(f"{name}.json" for name in args.phase))
    return 1 if 1 in codes else max(codes)


def load(folder: Path) -> dict[str, Any]:
    """The results of every phase that ran."""
    paths = [folder / f"{name}.json" for name in PHASES]
    return {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in paths if p.exists()}


if __name__ == "__main__":
    sys.modules.setdefault("gpu_check", sys.modules["__main__"])  # the phases import this file
    raise SystemExit(main())
