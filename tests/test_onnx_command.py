"""``lucidlite export``: a run as an ONNX file."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_agreement import close, opened
from training_cases import TINY_MODEL, write_folder

import lucidlite
from lucidlite import cli
from lucidlite.commands.common import open_run
from lucidlite.training.modes import inference

pytest.importorskip("onnx", reason="writes ONNX files")
pytest.importorskip("onnxruntime", reason="runs ONNX files")

TRAIN = (
    "train", "--data", "images", "--model", "tiny.py:Tiny", "--input", "1,8,8", "--epochs", "1",
    "--batch-size", "5", "--device", "cpu", "--out", "runs/tiny",
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    write_folder(tmp_path / "images")
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    monkeypatch.chdir(tmp_path)
    assert cli.main(list(TRAIN)) == 0
    capsys.readouterr()
    return tmp_path


class _Nothing:
    device = "cpu"


def logits(x):
    model = open_run("runs/tiny", _Nothing(), "cpu").model
    with inference(model):
        return model(lucidlite.tensor(x, device="cpu")).numpy()


def test_export(place, capsys):
    assert cli.main(["export", "--onnx", "tiny.onnx", "--device", "cpu", "--verify"]) == 0
    said = capsys.readouterr().out
    assert f"-> tiny.onnx ({(place / 'tiny.onnx').stat().st_size:,} bytes)" in said
    assert "images: batch x 1x8x8, float32; pixels / 255, less (" in said
    session = opened("tiny.onnx")
    assert session.get_inputs()[0].shape == ["batch", 1, 8, 8]
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype("f")
    close(session.run(["logits"], {"images": x}), [logits(x)])


def test_pixels(place, capsys):  # noqa: ARG001
    from lucidlite.training.settings import Settings

    line = ["export", "runs/tiny", "--onnx", "tiny.onnx", "--pixels", "--opset", "20"]
    assert cli.main([*line, "--device", "cpu"]) == 0
    assert "pixels: batch x 1x8x8, float32, 0 to 255" in capsys.readouterr().out
    settings = Settings.load("runs/tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8)).astype("f")
    shape = (1, -1, 1, 1)
    mean, std = (np.array(v, "f").reshape(shape) for v in (settings.mean, settings.std))
    found = opened("tiny.onnx").run(None, {"pixels": pixels})
    close(found, [logits((pixels / 255 - mean) / std)])


def test_mistakes(place, capsys):  # noqa: ARG001
    assert cli.main(["export", "runs/none", "--onnx", "x.onnx", "--device", "cpu"]) == 2
    assert "there is no folder and no file" in capsys.readouterr().err
    assert cli.main(["export", "runs/tiny", "--onnx", "no/x.onnx", "--device", "cpu"]) == 2
    assert "the folder of the file must exist" in capsys.readouterr().err
