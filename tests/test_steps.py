"""steps.csv and the events for TensorBoard: right numbers, and no trace of interruptions."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_cases import BATCH, COUNT, EPOCHS, trainer

import lucidlite as torch
from lucidlite.png import encode
from lucidlite.training import steps as module
from lucidlite.training.metrics import EpochRow, RunningResult
from lucidlite.training.steps import (
    Recorder,
    Recording,
    StepRow,
    StepsFile,
    read_steps,
    row_every,
)
from lucidlite.training.tensorboard import EventFile, can_record

ROOT = Path(__file__).resolve().parents[1]
ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"
PER_EPOCH = -(-COUNT // BATCH)
TAGS = ["images_per_second", "lr", "test/accuracy", "test/loss", "train/accuracy", "train/loss"]


def table(path):
    """The columns that don't depend on the time, as they are written."""
    with open(path, newline="") as file:
        return [list(row.values())[:-1] for row in csv.DictReader(file)]


def scalars(folder):
    """What TensorBoard's own reader makes of the folder: (step, value) by tag."""
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="reads TensorBoard's files"
    )
    found = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return {
        tag: [(each.step, each.value) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


# -- what the rows say --------------------------------------------------------------------------


class Kept(Recorder):
    def __init__(self):
        self.rows, self.epochs = [], []

    def step(self, row):
        self.rows.append(row)

    def epoch(self, row, step):
        self.epochs.append((row, step))


def batch(running, loss, hits, count):
    """Add a batch of so many images, of which so many are told right."""
    output = torch.eye(2)[torch.tensor([0] * hits + [1] * (count - hits))]
    running.add(torch.tensor(loss), output, torch.zeros(count, dtype=torch.int64))


def test_rows_are_means_over_their_images():
    kept = Kept()
    recording = Recording([kept], 2, 3)
    recording.begin([], 0.0)
    running = RunningResult()
    batches = [(2.0, 1, 4), (1.0, 3, 4), (0.5, 2, 2)]
    for number, each in enumerate(batches, 1):
        batch(running, *each)
        recording.add(running, 1, 0.1 * number, 0.5 * number)
    recording.end(running, 1, 0.3, 1.5)
    recording.flush()
    assert kept.rows == [
        StepRow(2, 1, 1.5, 0.5, 0.2, 8.0),
        StepRow(3, 1, 0.5, 1.0, 0.3, 4.0),  # the epoch's rest is a row of its own
    ]


def test_an_epoch_that_ends_with_a_row_has_no_second():
    kept = Kept()
    recording = Recording([kept], 1, 1)
    for epoch in (1, 2):
        running = RunningResult()
        batch(running, 1.0 * epoch, 0, 2)
        recording.add(running, epoch, 0.1, 1.0)
        recording.end(running, epoch, 0.1, 1.0)
        recording.epoch(EpochRow(epoch, 0, 0, 0, 0, 0, 0, 0))
    assert [(row.step, row.epoch, row.loss) for row in kept.rows] == [(1, 1, 1.0), (2, 2, 2.0)]
    assert [step for _, step in kept.epochs] == [1, 2]


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (499, 1), (1000, 2), (10**6, 100)])
def test_rows_of_a_run_are_some_hundreds(steps, every):
    assert row_every(steps) == every


def test_rows_add_up_to_the_epochs(tmp_path, monkeypatch):
    """Means of the rows, weighted by images, are what metrics.csv has."""
    monkeypatch.setattr(module, "_ROWS", 4)
    run = trainer(tmp_path)
    run.fit()
    rows = read_steps(tmp_path / "steps.csv")
    assert [row.step for row in rows] == [4, 6, 10, 12, 16, 18]
    last = COUNT - (PER_EPOCH - 1) * BATCH
    for row, first, second in zip(run.history, rows[::2], rows[1::2], strict=True):
        counts = np.array([4 * BATCH, BATCH + last])
        for name in ("loss", "accuracy"):
            values = [getattr(first, name), getattr(second, name)]
            want = getattr(row, f"train_{name}")
            np.testing.assert_allclose(np.average(values, weights=counts), want, rtol=1e-12)
        assert first.epoch == second.epoch == row.epoch
    assert [row.lr for row in rows[1::2]] == [row.lr for row in run.history]


def test_the_loop_waits_for_no_number(monkeypatch):
    """A row is taken as the sums on the device: they are read when the rows are written."""
    read = []
    real = torch.Tensor.__float__
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: read.append(1) or real(self))
    kept = Kept()
    recording = Recording([kept], 1, 9)
    running = RunningResult()
    for _ in range(9):
        batch(running, 1.0, 1, 2)
        recording.add(running, 1, 0.1, 1.0)
    assert (read, kept.rows) == ([], [])
    recording.flush()
    assert len(kept.rows) == 9


# -- the file -----------------------------------------------------------------------------------


def rows_of(*steps):
    return [StepRow(step, 1, 1 / 3 * step, 0.1, 2e-5, 10.5) for step in steps]


def written(path, *steps):
    file = StepsFile(path)
    file.begin(0)
    for row in rows_of(*steps):
        file.step(row)
    file.flush(durable=True)
    return file


def test_numbers_are_read_as_they_were(tmp_path):
    written(tmp_path / "s.csv", 1, 2)
    assert read_steps(tmp_path / "s.csv") == rows_of(1, 2)
    nan = StepRow(3, 1, math.nan, 0.0, 1.0, 0.0)
    file = StepsFile(tmp_path / "n.csv")
    file.begin(0)
    file.step(nan)
    file.flush(durable=False)
    assert math.isnan(read_steps(tmp_path / "n.csv")[0].loss)


@pytest.mark.parametrize(
    "torn", ["", "5,1,0.3", "5,1,0.3,0.1,2e-05,1\nx", "garbage\n7,1,1,1,1,1\n"]
)
def test_going_on_cuts_what_came_later(tmp_path, torn):
    path = tmp_path / "s.csv"
    written(path, 1, 2, 3, 4)
    with open(path, "a") as file:
        file.write(torn)
    again = StepsFile(path)
    assert again.begin(2) == rows_of(1, 2)
    again.step(rows_of(3)[0])
    again.flush(durable=False)
    assert read_steps(path) == rows_of(1, 2, 3)


@pytest.mark.parametrize("content", [None, "", "other,header\n1,2\n", b"\xff\xfe\x00"])
def test_a_file_that_is_none_of_ours_begins_anew(tmp_path, content):
    path = tmp_path / "s.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_steps(path) == []
    assert StepsFile(path).begin(5) == []
    assert path.read_text() == ",".join(StepRow._fields) + "\n"


def test_a_full_disk_loses_no_row(tmp_path, monkeypatch):
    """Some bytes get through, then nothing: said once, and made good when there is room."""
    file = written(tmp_path / "s.csv", 1)
    real = open

    def full(path, mode="r", **options):
        opened = real(path, mode, **options)
        if mode == "r+b":
            opened.seek(0, os.SEEK_END)
            opened.write(b"2,1,0.")
            opened.close()
            raise OSError(28, "No space left on device")
        return opened

    for row in rows_of(2):
        file.step(row)
    monkeypatch.setattr("builtins.open", full)
    with pytest.warns(RuntimeWarning, match=r"s\.csv can't be written \(No space left on device\)"):
        file.flush(durable=False)
    file.flush(durable=True)  # not said again: a warning would be an error here
    monkeypatch.undo()
    file.step(rows_of(3)[0])
    file.flush(durable=False)
    assert read_steps(tmp_path / "s.csv") == rows_of(1, 2, 3)


# -- interruptions ------------------------------------------------------------------------------

# Kills itself after so many steps. Some checkpoints come in the middle of a row, and with
# flush=-1 there are rows that the newest checkpoint knows nothing of.
KILLED = """
import os, signal, sys
from training_cases import trainer
from lucidlite.training import steps, trainer as module
from lucidlite.training.tensorboard import EventFile, can_record

folder, rows, flush, kill, seed = sys.argv[1], *map(int, sys.argv[2:])
steps._ROWS, module._FLUSH_EVERY = rows, flush
events = [EventFile(folder)] if can_record() else []
run = trainer(folder, seed=seed, recorders=events)
done = 0

def count(*_):
    global done
    done += 1
    run.save_every = -1.0 if done in (5, 11) else 1e9
    if done == kill:
        os.kill(os.getpid(), signal.SIGKILL)

run.optimizer.register_step_post_hook(count)
run.fit(resume="auto")
for each in events:
    each.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("flush", [-1, 10**9])
@pytest.mark.parametrize("rows", [500, 4] if ALL else [4])
def test_killed_runs_leave_the_same_curves(tmp_path, rows, flush):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])

    def process(where, kill, seed):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(where), *map(str, (rows, flush, kill, seed))],
            env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == (0 if kill == 99 else -signal.SIGKILL), done.stderr

    process(whole, 99, 5)
    # Steps of each process, from 0, 0 (killed before a checkpoint), 11 and 12 on. Those that go on
    # would have other weights.
    for kill, seed in ((5, 5), (12, 77), (4, 78), (99, 79)):
        process(folder, kill, seed)
    assert table(folder / "steps.csv") == table(whole / "steps.csv")
    assert len(table(whole / "steps.csv")) == (18 if rows == 500 else 6)
    if not can_record():
        pytest.skip("the rest is about TensorBoard's files")
    assert len(list(folder.glob("events.*"))) == 4
    killed, expected = scalars(folder), scalars(whole)
    assert sorted(killed) == sorted(expected) == TAGS
    for tag in TAGS[1:]:
        assert killed[tag] == expected[tag], tag
    speeds = (each["images_per_second"] for each in (killed, expected))
    assert len({tuple(step for step, _ in each) for each in speeds}) == 1


def test_events_are_the_runs_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="writes TensorBoard's files")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with EventFile(tmp_path, {"optimizer": "a|b\n**c**", "lr": 0.1}) as events:
        run = trainer(tmp_path, recorders=[events])
        run.fit()
        png = encode(np.zeros((3, 5), np.uint8))
        events.picture("mistakes/01", png, 5, 3, 18)
    found = scalars(tmp_path)
    rows = read_steps(tmp_path / "steps.csv")
    f32 = np.float32
    assert found["train/loss"] == [(row.step, f32(row.loss)) for row in rows]
    assert found["train/accuracy"] == [(row.step, f32(row.accuracy)) for row in rows]
    assert found["lr"] == [(row.step, f32(row.lr)) for row in rows]
    assert found["images_per_second"] == [(row.step, f32(row.images_per_second)) for row in rows]
    ends = [PER_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]
    history = list(zip(ends, run.history, strict=True))
    assert found["test/loss"] == [(step, f32(row.test_loss)) for step, row in history]
    assert found["test/accuracy"] == [(step, f32(row.test_accuracy)) for step, row in history]
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    (image,) = reader.Images("mistakes/01")
    assert (image.step, image.width, image.height) == (18, 5, 3)
    assert image.encoded_image_string == png
    (text,) = reader.Tensors("configuration")
    assert text.tensor_proto.string_val == [
        b"| setting | value |\n| --- | --- |\n| optimizer | a\\|b **c** |\n| lr | 0.1 |"
    ]


def test_without_the_package_the_error_names_the_extra(monkeypatch, tmp_path):
    for name in ("tensorboard", "tensorboard.compat", "tensorboard.compat.proto"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'lucidlite\[tensorboard\]'"):
        EventFile(tmp_path)
    assert list(tmp_path.iterdir()) == []
