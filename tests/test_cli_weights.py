"""The commands with weights from files of others."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import lucidlite
from lucidlite import cli
from lucidlite.models import LeNet
from lucidlite.training.checkpoint import load_weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "run"
    arguments = "train --model lenet --epochs 1 --limit 200 --device cpu --no-plots --quiet --out"
    assert cli.main([*arguments.split(), str(folder)]) == 0
    return folder


def evaluated(capsys, *arguments):
    """What eval prints after the name of the file."""
    capsys.readouterr()
    assert cli.main(["eval", *map(str, arguments), "--device", "cpu"]) == 0
    return capsys.readouterr().out.partition(" on ")[2]


def test_eval_of_safetensors(run, tmp_path, capsys):
    pytest.importorskip("safetensors", reason="needs lucidlite[safetensors]")
    expected = evaluated(capsys, run)
    assert "accuracy" in expected
    path = tmp_path / "weights.safetensors"
    lucidlite.save(lucidlite.load(run / "best.npz"), path)
    shutil.copy(run / "run.json", tmp_path)
    assert evaluated(capsys, path) == expected
    (tmp_path / "run.json").unlink()
    with_options = evaluated(capsys, path, "--model", "lenet", "--data", "sample", "--limit", 200)
    assert with_options.split("(")[0] == expected.split("(")[0]


def test_eval_and_predict_with_a_pt(run, tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="writes a file with PyTorch")
    expected = evaluated(capsys, run)
    shutil.copy(run / "run.json", tmp_path)
    state = {k: torch.from_numpy(t.numpy()) for k, t in lucidlite.load(run / "best.npz").items()}
    torch.save(state, tmp_path / "weights.pt")
    assert evaluated(capsys, tmp_path / "weights.pt") == expected
    torch.save({"epoch": 3, "model_state_dict": state, "loss": 0.5}, tmp_path / "checkpoint.pt")
    assert evaluated(capsys, tmp_path / "checkpoint.pt") == expected
    np.save(tmp_path / "digit.npy", np.zeros((28, 28), np.uint8))
    image = str(tmp_path / "digit.npy")
    assert cli.main(["predict", image, "--run", str(tmp_path / "weights.pt")]) == 0
    first = capsys.readouterr().out
    assert cli.main(["predict", image, "--run", str(run)]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict", "net"])
def test_weights_inside_a_checkpoint(name, tmp_path):
    state = LeNet().state_dict()
    lucidlite.save({"epoch": 3, name: state, "optimizer": {"lr": 0.1}}, tmp_path / "w.npz")
    assert list(load_weights(tmp_path / "w.npz")) == list(state)
    lucidlite.save({"epoch": 3, "other": state}, tmp_path / "w.npz")
    with pytest.raises(RuntimeError, match="must hold a model's state_dict or a checkpoint"):
        load_weights(tmp_path / "w.npz")


def test_a_file_that_is_refused_is_one_line(run, tmp_path, capsys):
    shutil.copy(run / "run.json", tmp_path)
    (tmp_path / "old.pt").write_bytes(b"\x80\x02}q\x00.")
    assert cli.main(["eval", str(tmp_path / "old.pt"), "--device", "cpu"]) == 2
    assert "bare pickle" in capsys.readouterr().err
