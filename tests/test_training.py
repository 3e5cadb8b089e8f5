"""The trainer: what it measures and writes, and that interruptions leave no trace."""

from __future__ import annotations

import io
import math
import os
import re
import signal
import threading

import numpy as np
import pytest
from training_cases import BATCH, COUNT, EPOCHS, Net, outcome, trainer

import lucidlite as torch
from lucidlite import nn
from lucidlite.training import Checkpoint, EpochRow, Stopped, evaluate
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.metrics import RunningResult, Stopwatch, write_csv
from lucidlite.training.predictions import denormalized, predict_all
from lucidlite.training.progress import Progress
from lucidlite.training.signals import StopSignals
from lucidlite.training.steps import StepRow
from lucidlite.utils.data import DataLoader, TensorDataset


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = trainer(tmp_path_factory.mktemp("whole"))
    run.fit()
    return run, outcome(run)


def test_it_learns_and_writes(uninterrupted):
    run, _ = uninterrupted
    first, *_, last = run.history
    assert last.train_loss < first.train_loss
    assert last.test_accuracy == 1.0
    assert [row.epoch for row in run.history] == [1, 2, 3]
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "best.npz", "checkpoint-00000006.npz", "checkpoint-00000012.npz",
        "checkpoint-00000018.npz", "metrics.csv", "steps.csv",
    ]  # fmt: skip


def test_metrics_file(uninterrupted):
    run, _ = uninterrupted
    lines = (run.folder / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",") == list(EpochRow._fields)
    table = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:]])
    np.testing.assert_allclose(table, np.array(run.history), rtol=1e-5)


def test_best_weights_are_the_best_epochs(uninterrupted):
    run, _ = uninterrupted
    model = Net()
    model.load_state_dict(torch.load(run.folder / "best.npz"))
    found = evaluate(model, run.test_loader)
    assert found.accuracy == run.best.test_accuracy == max(r.test_accuracy for r in run.history)
    assert found.loss == run.best.test_loss


# -- going on -----------------------------------------------------------------------------------


def stop_after(run, calls, where="optimizer"):
    """Send a signal to ourselves when the run has done something so many times."""
    seen = 0

    def count(*_):
        nonlocal seen
        seen += 1
        if seen == calls:
            signal.raise_signal(signal.SIGINT)

    if where == "optimizer":
        run.optimizer.register_step_post_hook(count)
    else:
        run.model.register_forward_hook(lambda model, *_: None if model.training else count())


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ("optimizer", 1),  # in the first epoch
        ("optimizer", 6),  # at its last batch
        ("optimizer", 10),  # within the second
        ("evaluation", 4),  # while testing after it
        ("evaluation", 6),  # at its last test batch
    ],
)
@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"loader_generator": True}])
def test_resumed_run_ends_bit_equal(tmp_path, uninterrupted, where, calls, options):
    expected = uninterrupted[1]
    if options.get("loader_generator"):  # another stream of shuffles, so other numbers
        whole = trainer(tmp_path / "whole", **options)
        whole.fit()
        expected = outcome(whole)
    first = trainer(tmp_path / "run", **options)
    stop_after(first, calls, where)
    with pytest.raises(Stopped) as stopped:
        first.fit()
    assert stopped.value.signal == signal.SIGINT
    assert stopped.value.path == str(first.path)
    assert first.path.parent == tmp_path / "run"
    # Another process would have other weights and another generator.
    second = trainer(tmp_path / "run", seed=77, **options)
    torch.rand(13)
    second.fit(resume=True)
    assert outcome(second) == expected


def test_stopped_twice(tmp_path, uninterrupted):
    for calls in (3, 5):
        run = trainer(tmp_path, seed=calls)
        if calls == 3:
            run = trainer(tmp_path)
        stop_after(run, calls)
        with pytest.raises(Stopped):
            run.fit(resume=calls == 5)
    last = trainer(tmp_path, seed=1)
    last.fit(resume=True)
    assert outcome(last) == uninterrupted[1]


def test_stopped_says_where(tmp_path):
    run = trainer(tmp_path)
    stop_after(run, 8)
    with pytest.raises(Stopped, match=r"epoch 2 after batch 2 of 6; saved .*-00000008\.npz"):
        run.fit()


def test_a_crash_goes_on_from_the_last_save(tmp_path, uninterrupted):
    class Crash(Exception):
        pass

    run = trainer(tmp_path, save_every=0.0)  # saved after every batch
    seen = []

    def crash(*_):
        seen.append(1)
        if len(seen) == 9:
            raise Crash

    run.optimizer.register_step_pre_hook(crash)
    with pytest.raises(Crash):
        run.fit()
    again = trainer(tmp_path, seed=3)
    again.fit(resume=True)
    assert outcome(again) == uninterrupted[1]


def test_finished_run_has_nothing_left_to_do(uninterrupted):
    run, expected = uninterrupted
    again = trainer(run.folder, seed=8)
    stop_after(again, 1)  # would stop at the first step
    assert again.fit(resume=True) == run.history
    assert outcome(again) == expected


def test_resume_refuses_what_does_not_fit(tmp_path, uninterrupted):
    folder = uninterrupted[0].folder
    with pytest.raises(ValueError, match="epochs=3, got epochs=4"):
        trainer(folder, epochs=4).fit(resume=True)
    with pytest.raises(FileNotFoundError):
        trainer(tmp_path).fit(resume=True)
    with pytest.raises(ValueError, match="needs the folder"):
        trainer().fit(resume=True)
    with pytest.raises(ValueError, match="at least 1, got epochs=0"):
        trainer(epochs=0)


def test_checkpoint_refuses_other_files(tmp_path):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    torch.save({"epoch": 1}, tmp_path / "other.npz")
    with pytest.raises(RuntimeError, match="no training checkpoint"):
        Checkpoint(model, optimizer).load(tmp_path / "other.npz")
    Checkpoint(model, optimizer).save(tmp_path / "here.npz")
    loader = DataLoader(TensorDataset(torch.zeros(2)))
    with pytest.raises(RuntimeError, match="must hold model, optimizer, loader, got model, opt"):
        Checkpoint(model, optimizer, loader=loader).load(tmp_path / "here.npz")
    assert list(load_weights(tmp_path / "here.npz")) == ["weight", "bias"]
    with pytest.raises(RuntimeError, match="must hold a model's state_dict"):
        load_weights(tmp_path / "other.npz")


def test_on_another_device(tmp_path, uninterrupted, cuda):
    """The numbers of the CPU up to rounding, and no trace of an interruption there either."""
    whole = trainer(tmp_path / "whole", device=cuda)
    whole.fit()
    first = trainer(tmp_path / "run", device=cuda)
    stop_after(first, 8)
    with pytest.raises(Stopped):
        first.fit()
    second = trainer(tmp_path / "run", seed=77, device=cuda)
    second.fit(resume=True)
    assert outcome(second) == outcome(whole)
    losses = [[row.train_loss for row in run.history] for run in (whole, uninterrupted[0])]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    on_cpu = Net()
    on_cpu.load_state_dict(load_weights(tmp_path / "run" / "best.npz"))
    assert evaluate(on_cpu, first.test_loader).accuracy == whole.best.test_accuracy


# -- the parts ----------------------------------------------------------------------------------


def test_the_second_signal_interrupts():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.received is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_stay_alone_in_other_threads():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def body():
        with StopSignals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [before]


def test_evaluate_counts_and_leaves_everything():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2))
    model[2].eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    x, y = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]]), torch.tensor([0, 1, 1])
    state = dict(torch.get_rng_state())
    loader = DataLoader(TensorDataset(x, y), batch_size=2, shuffle=True)
    found = evaluate(model, loader)
    assert found.accuracy == pytest.approx(2 / 3)
    scale = 4 / math.sqrt(1 + 1e-5)
    right, wrong = math.log1p(math.exp(-scale)), math.log1p(math.exp(scale))
    assert found.loss == pytest.approx((2 * right + wrong) / 3, rel=1e-5)
    assert [m.training for m in model] == [True, True, False]
    assert torch.get_rng_state() == state


def test_running_result_is_the_mean_over_images():
    running = RunningResult()
    assert running.result() == (0.0, 0.0, 0)
    output = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    running.add(torch.tensor(1.0), output, torch.tensor([0, 1]))
    running.add(torch.tensor(4.0), output[:1], torch.tensor([1]))
    assert running.result() == (2.0, pytest.approx(2 / 3), 3)
    copy = RunningResult()
    copy.load_state_dict(running.state_dict())
    assert copy.result() == running.result()


def test_loss_that_is_not_finite_ends_the_run(tmp_path):
    run = trainer(tmp_path)
    run.loss = lambda output, _: (output * float("inf")).sum()
    with pytest.raises(FloatingPointError, match="epoch 1; a lower learning rate"):
        run.fit()
    assert [path.name for path in tmp_path.glob("*.npz")] == ["checkpoint-00000000.npz"]


def test_stopwatch_adds_stretches():
    watch = Stopwatch(5.0)
    assert watch.seconds == 5.0
    watch.start()
    watch.stop()
    assert 5.0 <= watch.seconds < 6.0


def test_csv_replaces_the_file(tmp_path):
    row = EpochRow(1, 0.5, 0.25, 0.125, 1.0, 1e-3, 800.0, 2.0)
    for rows in ([row, row], [row]):
        write_csv(rows, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[1:] == ["1,0.5,0.25,0.125,1,0.001,800,2"]
    assert os.listdir(tmp_path) == ["m.csv"]


def test_predict_all_and_denormalized():
    data = TensorDataset(torch.arange(6.0).reshape(3, 1, 1, 2), torch.tensor([0, 1, 1]))
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    seen = predict_all(model, DataLoader(data, batch_size=2))
    assert seen.images.shape == (3, 1, 1, 2)
    np.testing.assert_allclose(seen.probabilities.sum(1), 1, rtol=1e-6)
    assert seen.targets.tolist() == [0, 1, 1]
    back = denormalized(np.array([[[[1.0]], [[2.0]]]]), [0.5, 1.0], [2.0, 3.0])
    assert back.ravel().tolist() == [2.5, 7.0]


# -- progress -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def results(count):
    running = RunningResult()
    running.add(torch.tensor(0.5), torch.eye(2), torch.tensor([0, 0]))
    running.count = count
    return running


def test_lines_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr("lucidlite.training.progress._EVERY", 0.0)
    stream = io.StringIO()
    progress = Progress(stream)
    progress.start("epoch 1/2 train", 100)
    progress.update(results(50))
    progress.end()
    line = stream.getvalue()
    assert line.startswith("epoch 1/2 train  50/100  loss ")
    assert line.rstrip().endswith("s left")


def test_view_on_a_terminal(monkeypatch):
    pytest.importorskip("rich", reason="draws the live view")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("lucidlite.training.progress._REFRESH", 0.0)
    stream = Terminal()
    progress = Progress(stream)
    progress.start("epoch 1/2 train", 100, 10, "train", (50, 100, 50))
    for step, loss in ((1, 2.0), (2, 0.5)):
        progress.step(StepRow(step, 1, loss, 0.5, 1.25e-3, 10.0))
    progress.update(results(60))
    progress.end()
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", stream.getvalue())
    assert "epoch 1/2 train" in shown
    assert " 60% 60/100" in shown
    assert "loss 0.0167  acc 1.7%  lr 1.25e-03" in shown
    assert "images/s" in shown
    assert re.search(r"epoch \d+:\d\d  run \d+:\d\d left", shown)
    assert "loss so far 2.00 " in shown


def test_time_left(monkeypatch):
    """10 images a second in training: 4 s for its rest, 2 s for the test, then as much again."""
    times = iter([0.0, 5.0, 10.0, 10.0, 11.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    monkeypatch.setattr("lucidlite.training.progress._EVERY", 0.0)
    stream = io.StringIO()
    progress = Progress(stream)
    progress.start("epoch 1/2 train", 90, 0, "train", (50, 90, 50))
    progress.update(results(50))
    # A test is taken to be 2.5 times as fast, until there was one.
    assert stream.getvalue().endswith("10 images/s  6 s left\n")
    assert progress._left(40, 10.0) == (6.0, 6.0 + 9.0 + 2.0)
    progress.end()
    progress.start("epoch 1/2 test", 50, 0, "test", (0, 90, 50))
    progress.update(results(10))
    seconds, run = progress._left(40, 10.0)
    assert seconds == 4.0
    assert run == 4.0 + 90 / 5.0 + 50 / 10.0  # 50 images in 10 seconds, as the pass ended


def test_a_terminal_that_has_gone(monkeypatch):
    """Nothing is shown any more, and nothing else happens."""
    monkeypatch.setattr("lucidlite.training.progress._EVERY", 0.0)

    class Gone(io.StringIO):
        def write(self, _):
            raise OSError(5, "Input/output error")

    progress = Progress(Gone())
    progress.start("x", 100)
    progress.update(results(50))
    progress.update(results(60))
    progress.end()


def test_quiet_shows_nothing():
    stream = Terminal()
    progress = Progress(stream, quiet=True)
    progress.start("x", 1)
    progress.update(results(1))
    progress.end()
    assert stream.getvalue() == ""


def test_sizes_of_the_case():
    run = trainer()
    assert (len(run.train_loader), COUNT % BATCH, run.epochs) == (6, 4, EPOCHS)
