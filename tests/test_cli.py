"""The command line, in this process where that will do and in processes of its own where not."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_cases import TINY_MODEL, here, write_folder, write_image

import lucidlite as torch
from lucidlite import cli
from lucidlite.commands import doctor
from lucidlite.training import run_folder
from lucidlite.training.run_folder import newest_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images and a model, and a finished run on them."""
    root = tmp_path_factory.mktemp("cli")
    write_folder(root / "images")
    (root / "tiny.py").write_text(TINY_MODEL)
    done = lucidlite(root, *TRAIN, "--out", "done")
    assert done.returncode == 0, done.stderr
    return root, done


TRAIN = (
    "train", "--data", "images", "--model", "tiny.py:Tiny", "--input", "1,8,8", "--epochs", "3",
    "--batch-size", "5", "--device", "cpu",
)  # fmt: skip


def start(folder, *args):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "lucidlite", *args],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def lucidlite(folder, *args):
    process = start(folder, *args)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


@pytest.fixture
def command(monkeypatch, capsys, place):
    return lambda *args: here(monkeypatch, capsys, place[0], *args)


# -- train --------------------------------------------------------------------------------------


def test_train_writes_a_run(place):
    root, done = place
    assert "Tiny (819 parameters) on cpu\n36 training and 12 test images of " in done.stdout
    assert done.stdout.count("train loss") == 3
    assert "Best test accuracy" in done.stdout
    with (root / "done" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["test_accuracy"]) >= 0.9
    settings = json.loads((root / "done" / "run.json").read_text())
    assert settings["classes"] == ["high", "low", "middle"]
    assert settings["input"] == [1, 8, 8]
    assert settings["model"].endswith("tiny.py:Tiny")
    assert Path(settings["model"].rpartition(":")[0]).is_absolute()


def test_pictures_or_the_hint(place):
    root, done = place
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        assert "pip install 'lucidlite[plot]'" in done.stdout
        return
    for name in ("curves.png", "predictions.png"):
        assert (root / "done" / name).read_bytes().startswith(b"\x89PNG")


def test_hint_without_matplotlib(place, tmp_path):
    """A module of that name that cannot be imported stands for one that isn't there."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    root = place[0]
    process = subprocess.run(
        [sys.executable, "-m", "lucidlite", *TRAIN, "--out", str(tmp_path / "run")],
        cwd=root, text=True, capture_output=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "pip install 'lucidlite[plot]'" in process.stdout
    assert not (tmp_path / "run" / "curves.png").exists()


def same_arrays(one, other):
    first, second = torch.load(one), torch.load(other)
    for file in (first, second):
        file["more"].pop("seconds", None)
        file["generators"] = file["generators"]["lucidlite"]  # the others, nobody has seeded
        file["more"]["history"] = [row[:6] for row in file["more"]["history"]]
    assert flat(first) == flat(second)


def flat(value):
    if isinstance(value, dict):
        return {key: flat(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [flat(each) for each in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to one process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_and_resume(place, number, code):
    root, _ = place
    name = f"stopped-{code}"
    # A model of the same arithmetic that tells when training has begun, and waits for the signal.
    waiting = f"""
        while self.training and not pathlib.Path("{name}.go").exists():
            pathlib.Path("{name}.started").touch()
            time.sleep(0.01)
        return self.head"""
    model = TINY_MODEL.replace("\n        return self.head", waiting)
    # A file for each: Python may not notice a change of the same length within a second.
    (root / f"slow{code}.py").write_text(f"import pathlib\nimport time\n{model}")
    slow = [word.replace("tiny.py", f"slow{code}.py") for word in TRAIN]
    process = start(root, *slow, "--out", name, "--no-plots")
    while not (root / f"{name}.started").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    (root / f"{name}.go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"lucidlite train --resume {name}" in err
    assert "Everything is saved in" in err
    assert out.count("train loss") < 3
    resumed = lucidlite(root, "train", "--resume", name, "--no-plots", "--device", "cpu")
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from checkpoint-" in resumed.stdout
    same_arrays(*(newest_checkpoint(root / each) for each in ("done", name)))


def test_resume_of_a_finished_run(command):
    code, out, _ = command("train", "--resume", "done", "--no-plots", "--device", "cpu")
    assert code == 0
    assert "train loss" not in out
    assert "Best test accuracy" in out


def test_new_runs_get_numbers_and_resume_finds_the_newest(monkeypatch, capsys, place):
    root, _ = place
    quick = [*TRAIN, "--no-plots", "--quiet", "--limit", "6"]
    for folder in ("images-tiny", "images-tiny-2"):
        code, out, _ = here(monkeypatch, capsys, root, *quick)
        assert code == 0
        assert f"writing to {Path('runs', folder)}" in out
    code, out, _ = here(monkeypatch, capsys, root, "train", "--resume", "--no-plots")
    assert code == 0
    assert f"npz in {Path('runs', 'images-tiny-2')}" in out
    code, out, _ = here(monkeypatch, capsys, root, "eval", "--device", "cpu")
    assert code == 0
    assert "of 6 test images" in out


def test_no_run_is_overwritten(command):
    code, _, err = command(*TRAIN, "--out", "done")
    assert code == 2
    assert "holds a run already: --resume done" in err


@pytest.mark.skipif(os.name == "nt", reason="folders are not held there")
def test_of_two_that_begin_at_once_one_writes_the_settings(command, monkeypatch, tmp_path):
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    with run_folder.held(tmp_path):
        code, _, err = command(*TRAIN, "--out", str(tmp_path))
    assert code == 2
    assert "another process is training in" in err
    assert not (tmp_path / "run.json").exists()


def test_best_weights_without_checkpoints_are_not_overwritten(place, monkeypatch, capsys, tmp_path):
    """Who has removed a finished run's checkpoints has kept best.npz."""
    root, _ = place
    for folder in (tmp_path / "named", tmp_path / "runs" / "images-tiny"):
        folder.mkdir(parents=True)
        (folder / "best.npz").write_bytes((root / "done" / "best.npz").read_bytes())
    for name in ("images", "tiny.py"):
        (tmp_path / name).symlink_to(root / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("best.npz")}
    code, _, err = here(monkeypatch, capsys, tmp_path, *TRAIN, "--out", "named")
    assert code == 2
    assert "named has the best.npz of a run whose checkpoints are gone: another --out" in err
    assert os.listdir("named") == ["best.npz"]
    code, out, _ = here(monkeypatch, capsys, tmp_path, *TRAIN, "--no-plots")
    assert code == 0
    assert f"writing to {Path('runs', 'images-tiny-2')}" in out
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "done", "--lr", "1"], "--lr cannot change when a run goes on"),
        (["--resume", "done", "--data", "mnist"], "--data cannot change"),
        (["--resume", "nowhere"], "nothing to resume in nowhere"),
        (["--data", "nowhere"], "cifar10 or a folder of images, got data='nowhere'"),
        (["--data", "mnist"], "Dataset not found. You can use download=True"),
        (["--model", "resnet9"], "cnn-with-gap, lenet, resnet8 or path.py:Class, got"),
        (["--model", "no.py:Net"], "there is no file no.py"),
        (["--model", "tiny.py:Net"], "tiny.py has no nn.Module called Net, only Tiny"),
        (["--model", "lenet", "--input", "2,28,28"], "images have 1 or 3 channels, got 2"),
        (["--device", "cuda:9"], "cuda:9"),
        (["--device", "tpu"], "expected one of cpu, cuda device type"),
    ],
)
def test_mistakes_in_one_line(command, arguments, message):
    code, _, err = command("train", *arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert err.startswith("lucidlite train: error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "broken.py"),
        ("import lucidlite.nn as nn\nclass Net(nn.Module): pass\nx = y\n", "broken.py:3"),
        (
            "from lucidlite import nn\nclass Net(nn.Module):\n"
            "    def forward(self, x):\n        return x.oops\n",
            "oops",
        ),
        (
            "from lucidlite import nn\nclass Net(nn.Sequential):\n"
            "    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(4, 3))\n",
            "cannot take images of shape (3, 64, 64)",
        ),
        (
            "from lucidlite import nn\nclass Net(nn.Flatten): pass\n",
            "must return (N, 3) for 3 classes, got (1, 12288)",
        ),
    ],
)
def test_mistakes_in_the_models_file(command, place, text, message):
    (place[0] / "broken.py").write_text(text)
    code, _, err = command("train", "--data", "images", "--model", "broken.py:Net", "--out", "x")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_argparse_refuses(command):
    for arguments in (["--epochs", "0"], ["--lr", "-1"], ["--input", "3,32"], ["--bogus"]):
        code, _, err = command("train", *arguments)
        assert code == 2
        assert "lucidlite train: error:" in err or "unrecognized arguments" in err
    for option, text, rule in (
        ("--lr", "fast", "a positive number"), ("--epochs", "1.5", "a whole number of at least 1"),
        ("--save-every", "soon", "a number of seconds"),
    ):  # fmt: skip
        code, _, err = command("train", option, text)
        assert (code, err.splitlines()[-1]) == (
            2, f"lucidlite train: error: argument {option}: must be {rule}, got {text}"
        )  # fmt: skip


def test_debug_shows_the_traceback(monkeypatch, place):
    monkeypatch.chdir(place[0])
    with pytest.raises(ValueError, match="got data='nowhere'"):
        cli.main(["train", "--data", "nowhere", "--debug"])


# -- eval and predict ---------------------------------------------------------------------------


def test_eval(command, place):
    code, out, _ = command("eval", "done", "--device", "cpu", "--per-class")
    assert code == 0
    best = max(float(line.split(",")[4]) for line in metrics(place[0] / "done"))
    assert f"accuracy {best:.2%}" in out
    assert all(f"  {name}" in out for name in ("high", "low", "middle"))
    again = command("eval", str(newest_checkpoint(place[0] / "done")), "--device", "cpu")
    assert again[0] == 0


def metrics(folder):
    return (folder / "metrics.csv").read_text().splitlines()[1:]


def test_eval_of_weights_alone(command, place):
    (place[0] / "alone").mkdir()
    weights = place[0] / "alone" / "w.npz"
    weights.write_bytes((place[0] / "done" / "best.npz").read_bytes())
    code, _, err = command("eval", str(weights))
    assert code == 2
    assert "say what it is with --model and --data" in err
    options = ("--data", "images", "--model", "tiny.py:Tiny", "--input", "1,8,8", "--device", "cpu")
    code, out, _ = command("eval", str(weights), *options)
    assert code == 0
    assert "of 12 test images" in out
    code, _, err = command("eval", str(weights), "--data", "images", "--model", "lenet")
    assert code == 2
    assert "Error(s) in loading state_dict for LeNet" in err
    assert command("eval", "nowhere")[0] == 2


def test_predict(command, place):
    root, _ = place
    names = ["high", "low", "middle"]
    for label, name in enumerate(names):
        write_image(root / f"{name}.pgm", label, seed=100 + label)
        pixels = np.frombuffer((root / f"{name}.pgm").read_bytes()[-64:], np.uint8).reshape(8, 8)
        thrice = np.repeat(np.repeat(pixels, 3, 0), 3, 1)
        np.save(root / f"{name}.npy", thrice)
    files = [f"{name}.{end}" for name in names for end in ("pgm", "npy")]
    code, out, _ = command("predict", *files, "--run", "done", "--device", "cpu")
    assert code == 0
    found = [line.split()[:2] for line in out.splitlines()]
    assert found == [[f"{name}.{end}:", name] for name in names for end in ("pgm", "npy")]
    code, out, _ = command("predict", "high.pgm", "--run", "done", "--top", "3", "--device", "cpu")
    assert sum(float(part.split()[-1].rstrip("%")) for part in out.split(",")) == pytest.approx(
        100, abs=0.3
    )


def test_predict_goes_on_after_a_bad_file(command, place):
    (place[0] / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    files = ["bad.npy", "no.pgm", "images", str(Path("images", "test", "low", "00.pgm"))]
    code, out, err = command("predict", *files, "--run", "done", "--device", "cpu")
    assert code == 2
    assert "low" in out
    assert "no.pgm: no such file" in err
    assert "bad.npy: cannot read" in err
    assert "images: a folder; name the images in it, as in folder/*" in err


def test_digits_that_are_dark_on_light(monkeypatch, capsys, tmp_path):
    quick = ("--model", "lenet", "--limit", "64", "--epochs", "1", "--no-plots", "--quiet")
    assert here(monkeypatch, capsys, tmp_path, "train", *quick, "--out", "run")[0] == 0
    np.save(tmp_path / "scan.npy", np.full((40, 40), 230, np.uint8))
    code, out, err = here(monkeypatch, capsys, tmp_path, "predict", "scan.npy", "--run", "run")
    assert code == 0
    assert "try --invert" in err
    code, out, err = here(
        monkeypatch, capsys, tmp_path, "predict", "scan.npy", "--run", "run", "--invert"
    )
    assert (code, err) == (0, "")
    assert out.startswith("scan.npy: ")


# -- summary, doctor, help ----------------------------------------------------------------------


def test_summary(command):
    code, out, _ = command("summary", "cnn-with-gap", "--input", "3,32,32")
    assert code == 0
    total = [line.split() for line in out.splitlines() if line.startswith("total")]
    assert len(total) == 1
    assert total[0][:5] == ["total", "373,386", "39,520,768", "1.0", "MiB"]
    assert len(total[0]) == 9  # forward and backward times
    assert "    3: Conv2d" in out
    folded = ("--batch", "2", "--depth", "1", "--mode", "eval", "--no-time")
    code, out, _ = command("summary", "cnn-with-gap", *folded)
    assert code == 0
    assert out.startswith("CNNWithGAP for input 2x3x32x32 in evaluation mode")
    lines = [line.split() for line in out.splitlines()]
    assert ["features:", "Sequential", "2x256x4x4"] in [line[:3] for line in lines]
    total = [line for line in lines if line[:1] == ["total"]]
    assert [line[:5] for line in total] == [["total", "373,386", "79,041,536", "2.0", "MiB"]]
    assert len(total[0]) == 7
    code, _, err = command("summary", "lenet", "--input", "1,2,2")
    assert code == 2
    assert "image_size must be at least 4" in err


def test_doctor(command):
    code, out, _ = command("doctor")
    assert code == 0
    titles = (
        "lucidlite", "Python", "NumPy", "CPU", "threads", "memory", "GPU", "rich", "tensorboard",
        "matplotlib", "PIL",
    )  # fmt: skip
    for title in titles:
        assert f"\n{title} " in f"\n{out}"
    assert np.__version__ in out
    assert f"kernels use {torch.get_num_threads()}" in out


def test_doctor_names_a_wrong_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("LUCIDLITE_NUM_THREADS", "all")
    monkeypatch.setenv("LUCIDLITE_MALLOC", "mine")
    done = lucidlite(tmp_path, "doctor")
    assert done.returncode == 0, done.stderr
    assert "LUCIDLITE_NUM_THREADS: expects a positive integer, got 'all'" in done.stdout
    assert "LUCIDLITE_MALLOC: expects 'default' or nothing at all, got 'mine'" in done.stdout


def test_doctor_without_extras(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    found = {title: (finding, meaning) for title, finding, meaning in doctor.findings()}
    assert found["matplotlib"][0] == "not installed"
    assert "pip install 'lucidlite[plot]'" in found["matplotlib"][1]


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_has_examples(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"lucidlite {name}" in out
    assert "examples:" in out
    assert all(len(line) <= 100 for line in out.splitlines())


def test_without_a_command(command):
    code, out, _ = command()
    assert code == 2
    assert all(name in out for name in cli.COMMANDS)
    assert command("--help")[0] == 0
    assert command("fly")[0] == 2
    assert command("--version")[1] == f"lucidlite {torch.__version__}\n"


def test_unexpected_errors_say_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(doctor, "findings", lambda: {}["key"])
    code, _, err = here(monkeypatch, capsys, tmp_path, "doctor")
    assert code == 1
    assert err == "lucidlite doctor: unexpected KeyError: 'key' (--debug shows the traceback)\n"
