"""Every example runs, at a small setting, and ends with what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

RUNS = {
    "cnn_with_gap.py": [],
    "mnist.py": ["--quick", "--data", "no-such-folder"],
    "cifar10_resnet.py": ["--fake-data", "--quick"],
    "custom_function.py": [],
    "moons.py": ["--quick"],
    "watch_a_run.py": [],
}


def run(name, *arguments, folder=None):
    path = os.pathsep.join([str(EXAMPLES.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": path},
        text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_examples_are_here():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(RUNS)


def test_cnn_with_gap():
    out = run("cnn_with_gap.py")
    assert "Input shape: (4, 3, 32, 32)\nOutput shape: (4, 10)\n" in out
    losses = [float(found) for found in re.findall(r"loss (\S+)", out)]
    assert losses[-1] < losses[0]


def test_mnist(tmp_path):
    out = run("mnist.py", *RUNS["mnist.py"], folder=tmp_path)
    (accuracy,) = re.findall(r"test accuracy (\S+)%", out)
    assert float(accuracy) > 20


def test_cifar10_resnet():
    out = run("cifar10_resnet.py", *RUNS["cifar10_resnet.py"])
    accuracies = re.findall(r"test accuracy (\S+)%", out)
    assert len(accuracies) == 2
    assert float(accuracies[-1]) > 15


def test_custom_function():
    out = run("custom_function.py")
    assert "gradcheck: True" in out
    assert "gradgradcheck: True" in out
    assert "clipped:  tensor([-0.5000,  0.0000,  0.5000])" in out


def test_watch_a_run():
    out = run("watch_a_run.py")
    assert "4 mistakes: softmax-twice, inputs-0-255, zero-grad, eval-forgotten\n" in out
    assert out.count("\nwatch: ") + out.startswith("watch: ") == 4
    assert "without the mistakes: 0 warnings, accuracy 100%\n" in out


def test_moons(tmp_path):
    out = run("moons.py", "--quick")
    assert re.findall(r"accuracy (\d+)%", out)[-1] in ("99", "100")
    assert {"o", "#", ".", "+"} <= set(out)
    pytest.importorskip("matplotlib", reason="draws a picture")
    run("moons.py", "--quick", "--picture", str(tmp_path / "moons.png"))
    assert (tmp_path / "moons.png").read_bytes().startswith(b"\x89PNG")
