"""The benchmarks: every script runs and compares like with like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_digits
from project_files import BENCHMARKS

import lucidlite
from lucidlite.backends import get_backend

TINY = ["--rounds", "1", "--repeats", "1"]


def run(bench, name, *options, folder):
    """Run a benchmark as small as it gets; what it wrote."""
    bench(name).main([*options, "--json", str(folder)])
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["results"]


def check_ratios(row):
    """The ratios are those of the figures beside them."""
    ours = row["contenders"]["lucidlite"]
    assert "ratio" not in ours
    for name, figures in row["contenders"].items():
        assert 0 < figures["min_ms"] <= figures["low_quartile_ms"]
        assert figures["low_quartile_ms"] <= figures["median_ms"] <= figures["high_quartile_ms"]
        if name != "lucidlite":
            assert figures["ratio"] == round(figures["median_ms"] / ours["median_ms"], 3)
            assert figures["ratio_of_minima"] == round(figures["min_ms"] / ours["min_ms"], 3)


# The measuring.


def test_samples_of_clean_rounds(timing):
    rounds = [{"a": 1.0, "b": 2.0}, {"a": 9.0, "b": 9.0}, {"a": 1.5, "b": 3.0}, {"a": 2.0, "b": 4}]
    chosen = timing.choose(rounds, [True, False, True, True], 3)
    assert chosen == ({"a": [1.0, 1.5, 2.0], "b": [2.0, 3.0, 4]}, 3, 4, "clean")
    # Too few are clean: all count, and that is told.
    chosen = timing.choose(rounds, [True, False, False, True], 3)
    assert chosen == ({"a": [1.0, 9.0, 1.5, 2.0], "b": [2.0, 9.0, 3.0, 4]}, 2, 4, "all")


def test_ratios_of_made_up_times(timing):
    samples = {"lucidlite": [2.0, 4.0, 3.0], "torch eager": [9.0, 5.0, 6.0], "other": [1.5] * 3}
    times = timing.Times(samples, 3, 4, "clean")
    row = timing.compare(times, {"torch eager": 2.5}, model="Net")
    assert row == {
        "model": "Net",
        "rounds": {"clean": 3, "run": 4, "used": "clean"},
        "contenders": {
            "lucidlite": {
                "median_ms": 3, "min_ms": 2, "low_quartile_ms": 2.5, "high_quartile_ms": 3.5
            },
            "torch eager": {
                "median_ms": 6, "min_ms": 5, "low_quartile_ms": 5.5, "high_quartile_ms": 7.5,
                "ratio": 2.0, "ratio_of_minima": 2.5, "goal": 2.5,
            },
            "other": {
                "median_ms": 1.5, "min_ms": 1.5, "low_quartile_ms": 1.5, "high_quartile_ms": 1.5,
                "ratio": 0.5, "ratio_of_minima": 0.75,
            },
        },
    }  # fmt: skip
    text = timing.ratio_text(row["contenders"]["torch eager"])
    assert text == "2.00 (2.50)  goal 2.5: missed"


def test_contenders_take_turns(timing):
    calls = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    entered = []

    class Context:
        def __enter__(self):
            entered.append(len(calls))

        def __exit__(self, *problem):
            pass

    times = timing.measure(contenders, 3, repeats=1, inside=4, around={"b": Context})
    assert {name: len(found) for name, found in times.samples.items()} == dict.fromkeys("abc", 3)
    assert (times.clean, times.rounds, times.used) == (3, 3, "clean")
    # A turn is one call untimed and one timed; another contender is first in the next round.
    assert "".join(calls[-18:]) == "aabbccbbccaaccaabb"
    assert [len(calls) - n for n in entered[-3:]] == [16, 12, 2]


def test_disturbed_rounds_are_repeated_and_then_counted(timing, monkeypatch):
    shares = iter([0.5, 0.0, 0.3, 0.0])
    monkeypatch.setattr(timing, "disturbance", lambda: lambda: next(shares))
    assert [quiet for _, quiet in timing.watch(lambda: None, 2)] == [False, True, False, True]
    monkeypatch.setattr(timing, "disturbance", lambda: lambda: 0.5)
    times = timing.measure({"lucidlite": int}, 2, repeats=1)
    assert (times.clean, times.rounds, times.used) == (0, 6, "all")


def test_other_processes_are_noticed(timing, monkeypatch):
    monkeypatch.undo()  # the fixture's calm
    disturbance = timing.disturbance
    clock = {"busy": 100.0, "own": 10.0, "wall": 0.0}
    monkeypatch.setattr(timing, "_busy", lambda: clock["busy"])
    monkeypatch.setattr(timing, "_own", lambda: clock["own"])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["wall"])
    share = disturbance()
    clock.update(busy=103.02, own=12.0, wall=2.0)  # 3.02 s of work, 2 of them ours
    assert share() == pytest.approx(0.5)
    clock["own"] = 13.02
    assert share() == 0
    clock["busy"] = None
    assert share() == 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [(1529.4, "1529 ms"), (43.123, "43.1 ms"), (0.5, "0.500 ms"), (0.003211, "3.21 us")],
)
def test_times_in_words(bench, ms, text):
    assert bench("records").time_text(ms) == text


# The twins.


@pytest.mark.parametrize("name", ["CNNWithGAP", "LeNet", "ResNet8"])
def test_twins_are_the_models(timing, bench, name):
    torch = timing.torch
    sides = bench("twins").sides(name, 3)
    ours = sides["lucidlite"]
    assert list(sides) == ["lucidlite", "torch eager", "torch channels_last"]
    values = {key: value.numpy().copy() for key, value in ours.model.state_dict().items()}
    found = ours.model(ours.images)
    lucidlite.nn.functional.cross_entropy(found, ours.labels).backward()
    for order, side in list(sides.items())[1:]:
        state = side.model.state_dict()
        assert list(state) == list(values)
        for key, value in state.items():
            np.testing.assert_array_equal(value.numpy(), values[key])
        np.testing.assert_array_equal(side.images.numpy(), ours.images.numpy())
        out = side.model(side.images)
        np.testing.assert_allclose(out.detach().numpy(), found.detach().numpy(), 1e-4, 1e-4)
        torch.nn.functional.cross_entropy(out, side.labels).backward()
        pairs = zip(side.model.parameters(), ours.model.parameters(), strict=True)
        for theirs, mine in pairs:
            # A sum near 0 that rounds to the other side of a ReLU shifts a gradient by 0.5%.
            difference = np.linalg.norm(theirs.grad.numpy() - mine.grad.numpy())
            assert difference < 0.02 * np.linalg.norm(mine.grad.numpy())
        if order == "torch channels_last":
            assert side.images.is_contiguous(memory_format=torch.channels_last)


# The scripts, each as small as it gets.


@pytest.mark.parametrize("name", ["train_step", "inference"])
def test_models(timing, bench, name, tmp_path):  # noqa: ARG001
    rows = run(bench, name, *TINY, "--cases", "LeNet:2", "CNNWithGAP:1", folder=tmp_path)
    assert [(row["model"], row["batch"]) for row in rows] == [("LeNet", 2), ("CNNWithGAP", 1)]
    for row in rows:
        check_ratios(row)
        assert list(row["contenders"]) == ["lucidlite", "torch eager", "torch channels_last"]
    assert "goal" in rows[1]["contenders"]["torch eager"]
    content = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert content["benchmark"] == name
    assert content["settings"]["cases"] == [["LeNet", 2], ["CNNWithGAP", 1]]
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["versions"]["numpy"] == np.__version__


def test_unknown_case(timing, bench, capsys):  # noqa: ARG001
    for case in ("Nothing:3", "LeNet:0", "LeNet"):
        with pytest.raises(SystemExit):
            bench("train_step").main(["--cases", case])
        assert "invalid case value" in capsys.readouterr().err


def test_disagreement_stops(timing, bench):  # noqa: ARG001
    class Value(float):
        def item(self):
            return self

    with pytest.raises(SystemExit, match="disagree about the loss"):
        bench("train_step").check_losses({"lucidlite": lambda: Value(1), "torch": lambda: Value(2)})


def test_layers(timing, bench, tmp_path):  # noqa: ARG001
    names = bench("layers").NAMES
    rows = run(bench, "layers", *TINY, "--batch", "2", folder=tmp_path)
    assert [row["name"] for row in rows] == names
    for row in rows:
        check_ratios(row)
    rows = run(bench, "layers", *TINY, "--batch", "2", "--only", "ADAMW", folder=tmp_path)
    assert [row["name"] for row in rows] == ["AdamW"]


def test_small_ops(timing, bench, tmp_path):  # noqa: ARG001
    small = bench("small_ops")
    only = ["mul", "matmul", "sum"]
    rows = run(bench, "small_ops", *TINY, "--only", *only, folder=tmp_path)
    found = [(row["mode"], row["floats"], row["name"]) for row in rows]
    sizes = [("4", "mul"), ("4", "sum"), *(("8x8", name) for name in only)]
    assert found == [(mode, *size) for mode in small.MODES for size in sizes]
    for row in rows:
        check_ratios(row)
        assert ("goal" in row["contenders"]["torch eager"]) == (row["mode"] == small.BACKWARD)
    for name in small.OPERATIONS:
        ours, theirs = (
            small.chain(library, name, (8, 8), small.TAPED)()
            for library in (lucidlite, small.torch)
        )
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4)
        assert ours.requires_grad
        assert theirs.requires_grad
    assert not small.chain(lucidlite, "mul", (4,), small.PLAIN)().requires_grad


def test_line_tracking(timing, bench, tmp_path):
    tracking = bench("line_tracking")
    cases = ["--cases", "MLP:4", "CNNWithGAP:1"]
    rows = run(bench, "line_tracking", *TINY, *cases, folder=tmp_path)
    assert [(row["model"], row["batch"]) for row in rows] == [("MLP", 4), ("CNNWithGAP", 1)]
    for row in rows:
        check_ratios(row)
        with_, without = (
            row["contenders"][name]["median_ms"] for name in ("lucidlite", "without tracking")
        )
        assert row["cost"] == pytest.approx(with_ / without - 1, abs=0.01 * with_ / without)
        assert row["goal"] == 0.03
    step = tracking.training_step("MLP", 2)
    before = [getattr(*place) for place in tracking.TRACKING]
    with tracking.untracked():
        assert step().grad_fn.site is None
    assert [getattr(*place) for place in tracking.TRACKING] == before
    assert step().grad_fn.site.function == "step"
    samples = {"lucidlite": [2.0, 3.0, 9.0], "without tracking": [1.0, 2.0, 8.0]}
    times = timing.Times(samples, 3, 3, "all")
    assert tracking.cost(times, *samples) == [0.3125, 0.5, 0.75]
    with pytest.raises(SystemExit):
        tracking.main(["--cases", "LeNet:8"])


def test_watch_cost(timing, bench, tmp_path):  # noqa: ARG001
    (row,) = run(bench, "watch_cost", *TINY, "--cases", "MLP:4", folder=tmp_path)
    check_ratios(row)
    assert (row["model"], row["batch"]) == ("MLP", 4)
    assert list(row["contenders"]) == ["lucidlite", "between", "looked at"]
    for way in ("between", "looked at"):
        low, middle, high = row["cost"][way]
        assert -1 < low <= middle <= high


def test_import_time(timing, bench, tmp_path, monkeypatch):  # noqa: ARG001
    module = bench("import_time")
    monkeypatch.setitem(module.IMPORTS, "torch", "pass")  # takes long
    (row,) = run(bench, "import_time", *TINY, folder=tmp_path)
    check_ratios(row)
    assert list(row["contenders"]) == [
        "python",
        "numpy",
        "lucidlite",
        "lucidlite with nn and optim",
        "torch",
    ]


def test_profile_step(timing, bench, tmp_path):  # noqa: ARG001
    module, backend = bench("profile_step"), get_backend("cpu")
    (row,) = run(bench, "profile_step", *TINY, "--batch", "2", folder=tmp_path)
    assert not any(name in vars(backend) for name in ("conv2d", "map"))  # the timers are gone
    assert list(row["phases"]) == list(module.PHASES)
    forward = [name for name in row["phases"]["forward"] if name.startswith("conv2d")]
    assert len(forward) == 3
    assert module.PYTHON in row["phases"]["backward"]
    total = sum(ms for rows in row["phases"].values() for ms in rows.values())
    assert row["step_with_timers_ms"] == pytest.approx(total, abs=0.01)
    parts = row["floor"]["parts"]
    assert row["floor"]["ms"] == pytest.approx(sum(part["ms"] for part in parts), abs=0.01)


def test_the_floors_arithmetic(timing, bench):  # noqa: ARG001
    parts = {part["part"]: part["amount"] for part in bench("profile_step").floor(64, 1)}
    # By hand: 2 x 2 x 64 x 1024 x 27 x 64 and, twice, 3 x 2 x 64 x 128 x 576 x 16,384 / 4.
    assert parts["products"] == pytest.approx((453.0 + 2 * 1811.9) / 1000, rel=1e-3)
    assert parts["passes"] == pytest.approx(6.5 * 64 * (65_536 + 32_768 + 16_384) / 1e6, abs=1e-3)


def test_kernels_within_kernels_count_once(timing, bench):  # noqa: ARG001
    module = bench("profile_step")

    class Kernels:
        def outer(self, x):
            return self.inner("add", x)

        def inner(self, name, x):
            return name, x.shape

    timers, kernels = module.Timers(), Kernels()
    with module.wrapped(kernels, timers), timers.during("forward"):
        assert kernels.outer(np.zeros((2, 3))) == ("add", (2, 3))
        kernels.inner("add", np.zeros(4))
    assert set(timers.spent) == {
        "forward: outer (2, 3)", "forward: inner add (4,)", "forward: (Python)"
    }  # fmt: skip
    assert vars(kernels) == {}


def test_peers(timing, bench, tmp_path):  # noqa: ARG001
    (row,) = run(bench, "peers", *TINY, "--batch", "2", folder=tmp_path)
    check_ratios(row)
    assert list(row["contenders"])[:2] == ["lucidlite", "torch eager"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory(timing, bench, tmp_path):  # noqa: ARG001
    (row,) = run(bench, "memory", *TINY, "--cases", "LeNet:2", folder=tmp_path)
    ours = row["contenders"].pop("lucidlite")
    assert list(row["contenders"]) == ["torch eager", "torch channels_last"]
    for side in row["contenders"].values():
        assert side["level_mib"] > ours["level_mib"] > 0
        assert side["ratio"] == round(side["peak_mib"] / ours["peak_mib"], 3)


def test_time_to_accuracy(timing, bench, tmp_path):  # noqa: ARG001
    write_digits(tmp_path, "train", 200)
    write_digits(tmp_path, "t10k", 20)
    options = ["--data", str(tmp_path), "--seeds", "1", "--epochs", "2", "--limit", "150"]
    sides = ["--sides", "lucidlite", "torch eager", "torch channels_last"]
    (row,) = run(bench, "time_to_accuracy", *options, *sides, "--goal", "0", folder=tmp_path)
    for name, side in row["contenders"].items():
        (found,) = side["seeds"]
        assert side["epochs_to_goal"] == found["epochs_to_goal"] == 1
        assert found["seconds_to_goal"] == found["epoch_seconds"][0]
        assert len(found["accuracies"]) == 2
        assert found["loading_to_goal"] <= found["seconds_to_goal"]
        assert ("ratio" in side) == (name != "lucidlite")
    (row,) = run(bench, "time_to_accuracy", *options, "--goal", "1.1", folder=tmp_path)
    assert row["contenders"]["lucidlite"]["seconds_to_goal"] is None


def test_racers_see_the_same(timing, bench, tmp_path):  # noqa: ARG001
    """Same weights, same batches: the first losses agree, so luck is out of the race."""
    module = bench("time_to_accuracy")
    write_digits(tmp_path, "train", 260)
    write_digits(tmp_path, "t10k", 20)
    train, test = (module.read(tmp_path, split, None) for split in (True, False))
    assert train[0].dtype == np.float32
    runs = module.race(0, ["lucidlite", "torch eager"], train, test, 1)
    seen = []
    for one in runs.values():
        one.loading.append(0.0)
        seen.append([(x.numpy(), y.numpy()) for x, y in one.batches(one.loader)])
    assert [len(y) for _, y in seen[0]] == [128, 128, 4]
    for (x, y), (other_x, other_y) in zip(*seen, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)


def test_scripts_run_as_files(timing, tmp_path):  # noqa: ARG001
    """From anywhere, as the README's commands and `make bench` start them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    script = str(BENCHMARKS / "inference.py")
    words = [sys.executable, script, *TINY, "--cases", "LeNet:1", "--json", str(tmp_path)]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "inference with LeNet, batch 1" in done.stdout
    assert (tmp_path / "inference.json").exists()
