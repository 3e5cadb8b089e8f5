"""The loop that docs/train-overnight.md shows, as it is written there, and killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest
from killed_runs import flat
from parity import TEST_ALL
from project_files import ROOT, fences

from lucidlite.training.checkpoint import read_checkpoint
from lucidlite.training.run_folder import newest_checkpoint, numbered

LOOP = next(
    fence.code for fence in fences("docs/train-overnight.md") if "Checkpoints" in fence.code
)


def start(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "overnight.py"], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_it_is_short():
    lines = LOOP.splitlines()
    assert len(lines) - next(n for n, line in enumerate(lines) if "saved = " in line) <= 15


@pytest.mark.skipif(os.name == "nt", reason="files that are open cannot be replaced there")
def test_the_loop_survives(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "overnight.py").write_text(LOOP, encoding="utf-8")
    said = finished(start(tmp_path / "whole"))
    rng = random.Random(0)
    runs, seen = tmp_path / "killed" / "runs" / "mine", []
    for _ in range(20 if TEST_ALL else 2):
        process = start(tmp_path / "killed")
        before = newest_checkpoint(runs)
        while process.poll() is None and newest_checkpoint(runs) == before:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        process.communicate()
        seen.append(newest_checkpoint(runs).name)
        for path in numbered(runs):
            read_checkpoint(path)
    assert seen == sorted(seen)
    assert finished(start(tmp_path / "killed")) == said == "finished after 120 steps\n"
    ends = [read_checkpoint(newest_checkpoint(tmp_path / n / "runs" / "mine")) for n in
            ("whole", "killed")]  # fmt: skip
    for end in ends:  # of Python's and NumPy's, which nobody has seeded
        end["generators"] = end["generators"]["lucidlite"]
    assert flat(ends[0]) == flat(ends[1])
    assert sorted(path.name for path in runs.iterdir()) == [
        f"checkpoint-00000{step}.npz" for step in ("080", "100", "120")
    ]
