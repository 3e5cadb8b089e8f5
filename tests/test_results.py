"""What `lucidlite train` leaves to be read: report.html, warnings, events for TensorBoard."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from html import unescape

import numpy as np
import pytest
from training_cases import TINY_MODEL, here, write_folder

from lucidlite.commands import results
from lucidlite.commands.common import build
from lucidlite.training import Trainer
from lucidlite.training.build import make_loader
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.confusion import confusion
from lucidlite.training.predictions import predict_all
from lucidlite.training.settings import Settings
from lucidlite.training.sources import find_source

TRAIN = [
    "train", "--data", "images", "--model", "tiny.py:Tiny", "--input", "1,8,8", "--epochs", "2",
    "--batch-size", "5", "--device", "cpu", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images and models: one that learns, one with a mistake that raises no error."""
    root = tmp_path_factory.mktemp("results")
    write_folder(root / "images")
    (root / "tiny.py").write_text(TINY_MODEL)
    wrong = TINY_MODEL.replace("flatten(1)))", "flatten(1))).softmax(1)")
    assert wrong != TINY_MODEL
    (root / "wrong.py").write_text(wrong)
    return root


@pytest.fixture
def command(monkeypatch, capsys, place):
    return lambda *args: here(monkeypatch, capsys, place, *args)


def rows_of(page, name):
    """The cells of the body of the table of that id, as texts."""
    table = re.search(rf'id="{name}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[unescape(re.sub(r"<.*?>", "", cell)) for cell in row] for row in cells]


def facts_of(page):
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL)
    return {unescape(name): unescape(re.sub(r"<.*?>", "", value)) for name, value in pairs}


def test_the_report_of_a_run(command, place):
    code, out, err = command(*TRAIN, "--out", "first")
    assert code == 0, err
    page = (place / "first" / "report.html").read_text(encoding="utf-8")
    # The matrix, against the best weights shown the images again, one by one.
    settings = Settings.load("first")
    model = build(settings, "cpu")
    model.load_state_dict(load_weights("first/best.npz"))
    source = find_source(settings.data, settings.data_root, False)
    seen = predict_all(model, make_loader(source, settings, False), "cpu")
    table = np.zeros((3, 3), int)
    for truth, row in zip(seen.targets, seen.probabilities, strict=True):
        table[truth, row.argmax()] += 1
    np.testing.assert_array_equal(confusion(seen, 3), table)
    found = rows_of(page, "counts")
    assert [row[0] for row in found] == ["high", "low", "middle"]
    assert [[0 if c == "·" else int(c) for c in row[1:]] for row in found] == table.tolist()
    best = np.trace(table) / 12
    assert f"puts {best:.2%} of the test images" in page
    assert f"Best test accuracy {best:.2%}" in out
    facts = facts_of(page)
    assert facts["data"] == str(place / "images")
    assert facts["input"] == "1 x 8 x 8"
    assert facts["classes"] == "3: high, low, middle"
    assert facts["peak learning rate"] == "0.005"
    assert facts["Python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert facts["NumPy"].startswith(np.__version__)
    assert facts["device"] == "cpu"
    assert "<h1>Tiny on images</h1>" in page
    layers = rows_of(page.replace('<section id="model">', '<section id="model"><p id="layers">'),
                     "layers")  # fmt: skip
    assert [row[0].strip() for row in layers] == [
        "Tiny", "conv: Conv2d", "norm: BatchNorm2d", "drop: Dropout", "head: Linear",
    ]  # fmt: skip
    assert layers[1][2] == "40"


def test_the_command_repeats_the_run(command, place):
    """As it stands in the report: the same numbers in another folder."""
    command(*TRAIN, "--out", "repeated", "--seed", "3", "--limit", "30")
    page = (place / "repeated" / "report.html").read_text(encoding="utf-8")
    words = shlex.split(facts_of(page)["train it again"])
    assert words[0] == "lucidlite"
    code, _, err = command(*words[1:], "--out", "again", "--quiet", "--no-plots", "--device", "cpu")
    assert code == 0, err
    first, second = (
        [line.rpartition(",")[0] for line in (place / name / "steps.csv").read_text().splitlines()]
        for name in ("repeated", "again")
    )
    assert first == second
    assert len(first) == 1 + 12
    assert not (place / "again" / "report.html").exists()


def test_warnings_stay_with_the_run(command, place):
    wrong = [word.replace("tiny.py", "wrong.py") for word in TRAIN]
    code, _, err = command(*wrong, "--out", "warned", "--no-plots")
    assert code == 0
    said = (place / "warned" / "warnings.txt").read_text()
    assert "softmax" in said
    assert said.strip() in err
    code, _, _ = command("train", "--resume", "warned", "--device", "cpu")
    page = (place / "warned" / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"<pre>(.*?)</pre>", page.partition('id="warnings"')[2].partition("</s")[0],
                       re.DOTALL)  # fmt: skip
    assert [unescape(each) for each in found] == said.strip().split("\n\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_report_of_a_part(command, place, monkeypatch, number):
    """After the second epoch's third batch. Who sent SIGTERM waits for no look at the images."""
    real = Trainer.__init__

    def stopping(self, *args, **options):
        real(self, *args, **options)
        done = iter(range(100))
        self.optimizer.register_step_post_hook(
            lambda *_: signal.raise_signal(number) if next(done) == 10 else None
        )

    monkeypatch.setattr(Trainer, "__init__", stopping)
    code, _, err = command(*TRAIN, "--out", f"part-{number}")
    assert code == 128 + number
    assert "report.html shows the run so far." in err
    page = (place / f"part-{number}" / "report.html").read_text(encoding="utf-8")
    assert "It was stopped in epoch 2 of 2 and can go on." in page
    assert len(rows_of(page, "curves")) == 1
    assert ('id="counts"' in page) == (number == signal.SIGINT)
    lines = (place / f"part-{number}" / "steps.csv").read_text().splitlines()
    assert len(lines) == 1 + 11


def test_a_report_that_cannot_be_written(command, place, monkeypatch):
    """The run is what counts: it is done and said to be."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "atomic_write", full)
    code, out, err = command(*TRAIN, "--out", "full")
    assert code == 0
    assert "the report and pictures are not whole: [Errno 28] No space left on device" in err
    assert "Best test accuracy" in out
    assert (place / "full" / "best.npz").exists()


# -- TensorBoard --------------------------------------------------------------------------------


def without_tensorboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)


def test_events_where_the_package_is(command, place):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="reads TensorBoard's files"
    )
    code, _, err = command(*TRAIN, "--out", "events", "--epochs", "1", "--lr", "1e-6")
    assert code == 0, err
    reader = event_accumulator.EventAccumulator(str(place / "events"))
    reader.Reload()
    tags = reader.Tags()
    assert "test/accuracy" in tags["scalars"]
    page = (place / "events" / "report.html").read_text(encoding="utf-8")
    count = sum(int(number) for _, _, number, _ in rows_of(page, "pairs"))
    assert len(tags["images"]) == count > 0
    assert all(re.match(r"mistakes/\d\d says \w+ is \w+", tag) for tag in tags["images"])
    (text,) = reader.Tensors("configuration")
    assert b"| optimizer | adam |" in text.tensor_proto.string_val[0]


def test_no_events_where_they_are_not_wanted(command, place):
    code, _, err = command(*TRAIN, "--out", "quiet", "--no-plots", "--no-tensorboard")
    assert (code, err) == (0, "")
    assert list((place / "quiet").glob("events.*")) == []


def test_without_the_package(command, place, monkeypatch):
    """Silent, unless events were asked for: then a line says how to get them."""
    without_tensorboard(monkeypatch)
    code, _, err = command(*TRAIN, "--out", "bare", "--no-plots")
    assert (code, err) == (0, "")
    code, _, err = command(*TRAIN, "--out", "asked", "--no-plots", "--tensorboard")
    assert code == 0
    assert err.splitlines() == [
        "No events for TensorBoard: they take its package, pip install 'lucidlite[tensorboard]' "
        "gets it."
    ]
    assert list(place.glob("bare/events.*")) == list(place.glob("asked/events.*")) == []
