"""The live view of a run: in a pseudo-terminal, as someone at a terminal sees it."""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
from pathlib import Path

import pytest
from training_cases import TINY_MODEL, write_folder

from lucidlite.training.live import LiveView, clock, sparkline
from lucidlite.training.progress import Progress
from lucidlite.training.steps import StepRow

ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"
ROOT = Path(__file__).resolve().parents[1]
COMMAND = [
    sys.executable, "-m", "lucidlite", "train", "--data", "images", "--model", "tiny.py:Tiny",
    "--input", "1,8,8", "--epochs", "2", "--batch-size", "4", "--device", "cpu", "--no-plots",
    "--no-tensorboard",
]  # fmt: skip
NUMBERS = itertools.count()
BLOCKS = "▁▂▃▄▅▆▇█"
PAUSE = """
        if self.training:
            time.sleep(0.05)
        return self.head"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("live")
    write_folder(root / "images", train=16)
    slow = TINY_MODEL.replace("\n        return self.head", PAUSE)
    (root / "tiny.py").write_text(f"import time\n{slow}")
    return root


def opened(place, columns, shell=(), **environment):
    """A run in a terminal of so many columns."""
    terminal = pytest.importorskip("terminal", reason="pseudo-terminals are those of Unix")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
    kept = {name: value for name, value in os.environ.items() if name not in told}
    given = {"TERM": "xterm-256color", "PYTHONUTF8": "1", "PYTHONPATH": path, **environment}
    command = [*shell, *COMMAND, "--out", f"out-{next(NUMBERS)}"]
    return terminal.Terminal(command, place, {**kept, **given}, columns)


def watched(place, columns, **environment):
    """(all frames, the terminal) of a whole run."""
    there = opened(place, columns, **environment)
    frames = list(there.frames())
    assert there.process.returncode == 0, frames[-1]
    return frames, there


def views(frames, columns):
    """The frames of a whole view: the last lines, from the bar on."""
    found = []
    for frame in frames:
        lines = frame.splitlines()
        at = [i for i, line in enumerate(lines) if re.match(r"epoch \d/2 (train|test) ", line)]
        if at and "loss so far" in lines[-1]:
            found.append(lines[at[-1] :])
    assert found, frames[-1]
    assert max(len(line) for view in found for line in view) <= columns
    return found


VALUES = re.compile(
    r"loss (\d\.\d{4})  acc (\d+\.\d)%  lr (\d\.\d\de-\d\d)  ([\d,]+) images/s  "
    r"epoch (\d+:\d\d)  run (\d+:\d\d) left"
)


def test_a_wide_terminal(place):
    pytest.importorskip("rich", reason="draws the live view")
    frames, there = watched(place, 100)
    seen = views(frames, 100)
    train = [view for view in seen if " train " in view[0]]
    bars = [
        re.fullmatch(r"epoch (\d)/2 train [━╸╺ ]{40,} +(\d+)% (\d+)/48", view[0]) for view in train
    ]
    assert all(bars)
    for bar in bars:
        assert int(bar[2]) == round(100 * int(bar[3]) / 48)
    assert {bar[1] for bar in bars} == {"1", "2"}
    numbers = [VALUES.fullmatch(view[1]) for view in train]
    assert all(numbers)
    for number in numbers:
        assert 0 < float(number[1]) < 5
        assert 0 <= float(number[2]) <= 100
        assert 0 < float(number[3]) <= 5e-3
        assert number[5] <= number[6]
    curve = re.fullmatch(rf"loss so far (\d\.\d+) ([{BLOCKS}]+) (\d\.\d+)", train[-1][-1])
    assert curve
    assert len(curve[2]) > 5
    # Nothing of it is left in the end, only the lines of the epochs and the farewell.
    assert "loss so far" not in frames[-1]
    assert len(re.findall(r"epoch \d/2  train loss", frames[-1])) == 2
    assert "Best test accuracy" in frames[-1]
    assert "\x1b[3" in there.raw  # in colour


@pytest.mark.parametrize("columns", [44, 24] if ALL else [44])
def test_a_narrow_terminal(place, columns):
    pytest.importorskip("rich", reason="draws the live view")
    frames, _ = watched(place, columns)
    whole = views(frames, columns)[-1] if columns > 30 else frames[-2].splitlines()
    text = " ".join(line for frame in frames[-40:] for line in frame.splitlines())
    assert re.search(r"epoch 2/2 train +\d+%|epoch 2/2 train ━+", text)
    assert "images/s" in text
    assert "loss" in "".join(whole)


def test_no_unicode_and_no_colour(place):
    pytest.importorskip("rich", reason="draws the live view")
    frames, there = watched(place, 90, PYTHONIOENCODING="ascii", NO_COLOR="1")
    view = views(frames, 90)[-1]
    assert there.raw.isascii()
    assert re.search(r"loss so far \d\.\d+ [_.=+*#@-]+ \d\.\d+", view[-1])
    assert not re.search(r"\x1b\[[\d;]*3[0-8]", there.raw)


@pytest.mark.parametrize("name", ["dumb", "unknown"] if ALL else ["dumb"])
def test_a_terminal_that_can_only_print(place, name):
    frames, there = watched(place, 80, TERM=name)
    assert "\x1b" not in there.raw
    assert "loss so far" not in there.raw
    assert len(re.findall(r"epoch \d/2  train loss", frames[-1].replace("\n", ""))) == 2


def test_without_rich(place):
    """A module of that name that cannot be imported stands for one that isn't there."""
    (place / "bare").mkdir(exist_ok=True)
    (place / "bare" / "rich.py").write_text("raise ImportError\n")
    path = os.pathsep.join([str(place / "bare"), str(ROOT)])
    frames, there = watched(place, 80, PYTHONPATH=path)
    assert "\x1b" not in there.raw
    assert "Best test accuracy" in frames[-1]


def test_resizing(place):
    """After it has become narrower no line is wider than the terminal."""
    pytest.importorskip("rich", reason="draws the live view")
    there = opened(place, 100)
    at = None
    for frame in there.frames():
        if at is None and "loss so far" in frame:
            there.resize(50)
            at = len(there.raw)
    later = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", there.raw[at:])
    bars = re.findall(r"epoch 2/2 (?:train|test)[^\r\n]*", later)
    assert bars
    assert max(map(len, bars)) <= 50


def test_a_stream_that_goes_elsewhere_stays_there(place):
    """`lucidlite train > log`: the log gets the lines of the epochs and nothing of the view."""
    pytest.importorskip("rich", reason="draws the live view")
    there = opened(place, 100, shell=["sh", "-c", '"$@" > log', "sh"])
    frames = list(there.frames())
    assert any("loss so far" in frame for frame in frames)
    log = (place / "log").read_text()
    assert "\x1b" not in log
    assert len(re.findall(r"epoch \d/2  train loss", log)) == 2
    assert "train loss" not in there.raw


@pytest.mark.parametrize("columns", [80, 40])
def test_ctrl_c_leaves_nothing_of_the_view(place, columns):
    """The terminal echoes ^C; then one line says what is done, and the view goes."""
    pytest.importorskip("rich", reason="draws the live view")
    there = opened(place, columns)
    frames, sent = [], False
    for frame in there.frames():
        frames.append(frame)
        if not sent and "loss so far" in frame:
            there.interrupt()
            sent = True
    assert there.process.returncode == 130, frames[-1]
    end = frames[-1]
    assert not re.search(r"epoch \d/2 (train|test) |loss so far|images/s|\^C", end), end
    told = "Stopping after this batch (Ctrl-C again stops at once, without saving)."
    assert " ".join(end.split()).count(told) == 1
    assert end.index("Stopping after") < end.index("Stopped in epoch")


def test_a_line_told_while_the_view_is_drawn_comes_right_after(monkeypatch):
    """As where a signal comes while the terminal is written to."""
    pytest.importorskip("rich", reason="draws the live view")
    stream = io.StringIO()
    view = LiveView(stream)
    assert not view.tell("too early")
    view.start("epoch 1/2 train", 10, 0)
    real = view._live.refresh

    def interrupted():
        assert view.tell("Stopping.")
        assert "Stopping." not in stream.getvalue()
        real()

    monkeypatch.setattr(view._live, "refresh", interrupted)
    view.show(5, 1.0, 0.5, None, 10.0, 1.0, None, [2.0, 1.0])
    monkeypatch.undo()
    assert stream.getvalue().count("Stopping.") == 1
    view.stop()
    assert not view.tell("too late")
    assert "too" not in stream.getvalue()


# -- its parts ----------------------------------------------------------------------------------


def test_a_second_run_of_the_same_view_begins_its_curve_anew():
    """A run that was stopped and goes on in the same process is recalled from its first step."""
    progress = Progress(io.StringIO())
    rows = [StepRow(step, 1, 1.0 / step, 0.5, 1e-3, 10.0) for step in (1, 2, 3)]
    progress.recall([], [])
    for row in rows:
        progress.step(row)
    progress.recall(rows[:2], [])
    assert progress._losses == [1.0, 0.5]


@pytest.mark.parametrize(
    ("values", "width", "want"),
    [
        ([1.0, 1.0], 5, "▁▁"),
        (list(range(8)), 8, BLOCKS),
        ([7, 7, 0, 0], 2, "█▁"),
        ([1.0, float("nan"), 2.0], 3, "▁!█"),
        ([float("inf")], 3, "!"),
    ],
)
def test_sparkline(values, width, want):
    assert sparkline(values, width) == want


def test_sparkline_in_ascii():
    assert sparkline(list(range(8)), 8, ascii_only=True) == "_.-=+*#@"


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (0.2, "0:01"), (59.5, "1:00"), (3600, "1:00:00"), (99 * 3600, "99:00:00"),
        (50 * 3600 * 24, "50 d 0 h"), (float("inf"), "?"),
    ],
)  # fmt: skip
def test_clock(seconds, want):
    assert clock(seconds) == want
