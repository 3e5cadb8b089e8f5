"""The pictures of a run: what is on them."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from lucidlite.training import report
from lucidlite.training.metrics import EpochRow

ROWS = [
    EpochRow(1, 1.0, 0.5, 0.8, 0.6, 1e-3, 100.0, 1.0),
    EpochRow(2, 0.5, 0.8, 0.4, 0.9, 1e-3, 100.0, 1.0),
    EpochRow(3, 0.3, 0.9, 0.5, 0.85, 1e-3, 100.0, 1.0),
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures instead of files."""
    pytest.importorskip("matplotlib", reason="draws a picture")
    figures = []
    monkeypatch.setattr(report, "_write", lambda figure, path: figures.append((figure, path)))
    return figures


def test_curves_show_every_number(drawn):
    report.draw_curves(ROWS, "curves.png", "Net on digits")
    ((figure, path),) = drawn
    assert path == "curves.png"
    assert figure.get_suptitle() == "Net on digits: best test accuracy 90.00%, epoch 2"
    loss, accuracy = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[1.0, 0.5, 0.3], [0.8, 0.4, 0.5]]
    lines = [line.get_ydata() for line in accuracy.lines]
    np.testing.assert_allclose(lines[1], [60, 90, 85])
    np.testing.assert_allclose(lines[2], [90])
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3]


def predictions(said, sure, targets):
    table = np.full((len(said), 3), 0.0, np.float32)
    table[np.arange(len(said)), said] = sure
    return table, np.array(targets)


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_mistakes_come_first_and_in_red(drawn):
    table, targets = predictions([0, 1, 2, 2, 1], [0.5, 0.6, 0.7, 0.8, 0.9], [0, 2, 2, 0, 1])
    images = np.random.default_rng(0).random((5, 3, 4, 4))
    names = ["0 - zero", "cat", "a name without end"]
    report.draw_predictions(images, table, targets, names, "p.png", columns=2, rows=2)
    ((figure, _),) = drawn
    assert titles(figure) == [
        "says a name with…  80%\nis 0", "says cat  60%\nis a name with…", "0  50%",
        "a name with…  70%",
    ]  # fmt: skip
    colors = [axes.title.get_color() for axes in figure.axes]
    assert [color == "black" for color in colors] == [False, False, True, True]
    assert [len(axes.patches) for axes in figure.axes] == [1, 1, 0, 0]
    np.testing.assert_allclose(
        figure.axes[0].images[0].get_array(), images[3].transpose(1, 2, 0), atol=1e-6
    )
    assert figure.get_suptitle() == "5 test images, 2 mistakes (60.0% right); mistakes in red"


def test_mistakes_fill_at_most_half_unless_there_is_room(drawn):
    count = 10
    table, targets = predictions([1] * count, [0.9] * count, [0] * 8 + [1] * 2)
    images = np.zeros((count, 1, 4, 4))
    report.draw_predictions(images, table, targets, ["a", "b", "c"], "p.png", columns=2, rows=2)
    report.draw_predictions(images, table, targets, ["a", "b", "c"], "p.png", columns=4, rows=2)
    small, large = (titles(figure) for figure, _ in drawn)
    assert [text.startswith("says") for text in small] == [True, True, False, False]
    assert sum(text.startswith("says") for text in large) == 6
    assert "the 2 surest mistakes in red" in drawn[0][0].get_suptitle()


def test_fewer_images_than_places(drawn):
    table, targets = predictions([0, 1], [0.9, 0.9], [0, 1])
    report.draw_predictions(np.zeros((2, 1, 4, 4)), table, targets, ["a", "b", "c"], "p.png")
    assert titles(drawn[0][0]) == ["a  90%", "b  90%"]
    assert "no mistake to show" in drawn[0][0].get_suptitle()


def test_files_are_pngs(tmp_path):
    pytest.importorskip("matplotlib", reason="draws a picture")
    assert report.can_draw()
    report.draw_curves(ROWS, tmp_path / "curves.png")
    table, targets = predictions([0, 1], [0.9, 0.9], [0, 2])
    report.draw_predictions(
        np.zeros((2, 1, 4, 4)), table, targets, ["a", "b", "c"], tmp_path / "p.png"
    )
    for name in ("curves.png", "p.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_names_are_no_formulas_and_may_be_of_any_script(tmp_path):
    """A dollar would begin a formula, a faulty one an error; a missing glyph is a warning."""
    pytest.importorskip("matplotlib", reason="draws a picture")
    table, targets = predictions([0, 1], [0.9, 0.9], [0, 2])
    report.draw_predictions(
        np.zeros((2, 1, 4, 4)), table, targets, ["$\\x$", "猫", "\x1b[31m"], tmp_path / "p.png"
    )
    report.draw_curves(ROWS, tmp_path / "curves.png", "Net on $\\x$")
    assert len(list(tmp_path.iterdir())) == 2


def test_nearly_all_is_not_all(drawn):
    table, targets = predictions([0] * 3000, [0.9999] * 3000, [1] + [0] * 2999)
    report.draw_predictions(np.zeros((3000, 1, 2, 2)), table, targets, ["a", "b", "c"], "p.png")
    assert "(99.9% right)" in drawn[0][0].get_suptitle()
    assert titles(drawn[0][0])[:2] == ["says a  99%\nis b", "a  99%"]


def test_without_matplotlib(monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert not report.can_draw()
    with pytest.raises(ImportError, match=r"pip install 'lucidlite\[plot\]'"):
        report.draw_curves(ROWS, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
