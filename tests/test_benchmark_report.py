"""All benchmarks together, and what the README says of them: none of this needs PyTorch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from dataset_files import write_digits
from project_files import BENCHMARKS, make_targets, project

SCRIPTS = {path.stem for path in BENCHMARKS.glob("*.py")}


def test_every_script_is_run_by_make_bench(bench):
    shared = {"records", "side_by_side", "twins", "report", "run_all"}
    gpu = {"gpu_check", "gpu_parity", "gpu_safety", "gpu_speed", "gpu_tools", "gpu_truth"}
    assert SCRIPTS - shared - gpu <= set(bench("run_all").SCRIPTS)
    assert "bench" in make_targets()
    optional = project()["project"]["optional-dependencies"]
    assert set(optional["bench"]) >= set(optional["parity"])


def test_run_all(bench, tmp_path, monkeypatch, capsys):
    module = bench("run_all")
    commands = []

    def pretend(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, int("layers" in command[1]))

    monkeypatch.setattr(module.subprocess, "run", pretend)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    wanted = ["train_step", "layers", "time_to_accuracy"]
    options = ["--only", *wanted, "--rounds", "2", "--threads", "1"]
    with pytest.raises(SystemExit, match="failed: layers"):
        module.main([*options, "--data", str(tmp_path)])
    assert [Path(command[1]).stem for command in commands] == wanted[:2]
    assert commands[0][2:] == ["--json", str(tmp_path), "--threads", "1", "--rounds", "2"]
    assert "time_to_accuracy is left out: no MNIST" in capsys.readouterr().out
    write_digits(tmp_path)
    module.main(["--only", "time_to_accuracy", "--data", str(tmp_path)])
    assert commands[-1][4:] == ["--data", str(tmp_path), "--seeds", "2"]


def made_up(bench, folder):
    """Results as the benchmarks write them, from times that are given."""

    def contenders(ours, **others):
        rows = {"lucidlite": {"median_ms": ours}}
        for name, ms in others.items():
            rows[name.replace("_", " ", 1)] = {"median_ms": ms, "ratio": round(ms / ours, 3)}
        return rows

    clean, dirty = {"used": "clean"}, {"used": "all"}
    write = bench("records").write
    both = contenders(40.0, torch_eager=100.0, torch_channels_last=80.0)
    lost = contenders(4.0, torch_eager=5.0, torch_channels_last=3.0)
    steps = [
        {"model": "Net", "batch": 64, "rounds": clean, "contenders": both},
        {"model": "Net", "batch": 1, "rounds": dirty, "contenders": lost},
    ]
    write(folder, "train_step", {}, steps)
    ops = [
        {"mode": "taped", "rounds": clean, "contenders": contenders(0.002, torch_eager=0.001)},
        {"mode": "taped", "rounds": clean, "contenders": contenders(0.002, torch_eager=0.004)},
    ]
    write(folder, "small_ops", {}, ops)
    imports = contenders(100.0, torch=1500.0)
    write(folder, "import_time", {}, [{"rounds": clean, "contenders": imports}])
    layers = [
        {"name": "ReLU", "rounds": clean, "contenders": both},
        {"name": "Pool", "rounds": clean, "contenders": lost},
    ]
    write(folder, "layers", {}, layers)
    sides = {
        "lucidlite": {"seconds_to_goal": 20.0},
        "torch eager": {"seconds_to_goal": 50.0, "ratio": 2.5},
    }
    race = {"model": "LeNet", "batch": 128, "goal": 0.99, "contenders": sides}
    write(folder, "time_to_accuracy", {}, [race])
    peaks = {"lucidlite": {"peak_mib": 50.0}, "torch eager": {"peak_mib": 60.0, "ratio": 1.2}}
    write(folder, "memory", {}, [{"model": "LeNet", "batch": 64, "contenders": peaks}])
    peers = contenders(40.0, torch_eager=100.0, mygrad=600.0)
    write(
        folder, "peers", {}, [{"model": "Net", "batch": 64, "rounds": clean, "contenders": peers}]
    )


def test_report_says_what_was_measured(bench, tmp_path):
    made_up(bench, tmp_path)
    lines = bench("report").text(bench("records").read(tmp_path)).splitlines()
    assert lines[0].startswith("Measured on ")
    assert "A ratio is PyTorch's over lucidlite's: above 1, lucidlite is faster" in lines[0]
    assert lines[4:] == [
        "| training step, Net, batch 64 | 40.0 ms | 100 ms | 80.0 ms | 2.50 | 2.00 |",
        "| training step, Net, batch 1 | 4.00 ms | 5.00 ms | 3.00 ms | 1.25 | 0.75 |",
        "| LeNet to 99% on MNIST, batch 128 | 20.0 s | 50.0 s |  | 2.50 |  |",
        "| one operation on a tiny tensor, taped | 2.00 us | 2.00 us |  | 1.00 |  |",
        "| a fresh process that imports it | 100 ms | 1500 ms |  | 15.00 |  |",
        "| memory of a training step, LeNet, batch 64 | 50 MiB | 60 MiB |  | 1.20 |  |",
        "",
        "Where PyTorch is ahead (ratios below 1):",
        "",
        "- training step, Net, batch 1: channels_last 0.75",
        "",
        "Of 2 layers and optimizers timed alone, forward and backward, PyTorch is faster in 1: "
        "Pool (channels_last 0.75).",
        "",
        "Other frameworks' time over lucidlite's, training step of Net, batch 64: mygrad 15.00.",
        "",
        "In 1 of 8 measurements other programs kept the machine busy and disturbed rounds count "
        "too; that tends to hurt PyTorch's threads more.",
        "",
        "![PyTorch's time over lucidlite's](benchmarks/results/ratios.png)",
    ]


def test_report_round_trip(bench, tmp_path, monkeypatch, capsys):
    """What --write puts into the README is what --check asks for; a changed figure fails it."""
    pytest.importorskip("matplotlib", reason="draws a picture")
    report, records = bench("report"), bench("records")
    readme, results = tmp_path / "README.md", tmp_path / "benchmarks" / "results"
    readme.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nrest\n", encoding="utf-8")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "RESULTS", results)
    monkeypatch.setattr(report, "HERE", tmp_path / "benchmarks")
    made_up(bench, results)
    with pytest.raises(SystemExit, match="use --write"):
        report.main([str(results), "--check"])
    report.main([str(results), "--write"])
    written = readme.read_text(encoding="utf-8")
    assert written.startswith(f"# Title\n\n{report.BEGIN}\nMeasured on ")
    assert written.endswith(f"{report.END}\n\nrest\n")
    assert (results / "ratios.png").read_bytes().startswith(b"\x89PNG")
    report.main([str(results), "--check"])
    content = records.read(results)["train_step"]
    content["results"][0]["contenders"]["torch eager"]["ratio"] = 2.6
    (results / "train_step.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SystemExit, match="use --write"):
        report.main([str(results), "--check"])
    content["machine"]["processor"] = "another"
    (results / "train_step.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SystemExit, match="different machines"):
        report.main([str(results)])
    capsys.readouterr()


def test_readme_has_the_results(bench):
    """Figures in the README are those in benchmarks/results, picture included."""
    report = bench("report")
    report.main(["--check"])
    if bench("records").read():
        assert (BENCHMARKS / "results" / report.PICTURE).exists()
