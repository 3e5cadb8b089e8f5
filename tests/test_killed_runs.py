"""A training run that is killed at any moment ends with the bits of one that never was.

LUCIDLITE_TEST_ALL=1 kills 200 times at random moments, and once at every step of what is written
at the end of an epoch (of the writes themselves at every fifth); otherwise a few of both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from parity import TEST_ALL
from project_files import ROOT

from lucidlite.training.checkpoint import read_checkpoint
from lucidlite.training.run_folder import numbered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")


def measure(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("LUCIDLITE_TEST_DEVICE", None)
    process = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "killed_runs.py"), *map(str, arguments)],
        text=True, capture_output=True, env=environment,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_killed_at_random_moments():
    kills = 200 if TEST_ALL else 6
    found = measure("--kills", kills)
    assert found["kills"] == kills
    assert sum(found["moments"].values()) == kills
    if TEST_ALL:
        assert found["while_saving"] >= 50
        assert found["left_a_temporary"] >= 10
        assert found["runs"] >= 10


def test_killed_at_each_step_of_what_is_written():
    found = measure("--each", *((5, 1) if TEST_ALL else (170, 9)))
    assert found["steps"] > 500
    assert found["killed_at"] >= (150 if TEST_ALL else 10)
    if TEST_ALL:
        assert set(found["moments"]) == {
            "opening", "writing", "half written", "written", "syncing", "synced", "renaming",
            "renamed", "removing", "removed",
        }  # fmt: skip


ONE_SAVE = """
import sys
import lucidlite as torch
from lucidlite.training import Checkpoint, Checkpoints
model = torch.nn.Linear(2, 1)
state = Checkpoint(model, torch.optim.SGD(model.parameters(), lr=0.1))
saved = Checkpoints(sys.argv[1], state, keep=2)
saved.resume()
for step in sys.argv[2:]:
    saved.save(int(step))
"""


@pytest.mark.skipif(not TEST_ALL, reason="LUCIDLITE_TEST_ALL=1 runs it")
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace kills at system calls")
def test_killed_at_each_system_call(tmp_path):
    """The same of one save, with nothing of ours between the product and the system."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, "-c", ONE_SAVE]

    def run(*words):
        return subprocess.run(words, env=environment, capture_output=True).returncode

    assert run(*program, str(tmp_path / "base"), "1", "2") == 0
    log = tmp_path / "log"
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    calls = ("write", "fsync", "rename", "unlink")
    traced = ("strace", "-f", "-o", str(log), "-e", f"trace={','.join(calls)}")
    if run(*traced, *program, str(tmp_path / "whole"), "3"):
        pytest.skip("strace may not trace here")
    lines = log.read_text().splitlines()
    seen = set()
    for call in calls:
        count = sum(f" {call}(" in line for line in lines)
        assert count
        for number in range(1, count + 1):
            folder = tmp_path / f"{call}-{number}"
            shutil.copytree(tmp_path / "base", folder)
            inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
            assert run("strace", "-f", "-o", os.devnull, *inject, *program, str(folder), "3") != 0
            steps = [int(path.stem[11:]) for path in numbered(folder)]
            assert steps in ([1, 2], [1, 2, 3], [2, 3])
            for path in numbered(folder):
                read_checkpoint(path)
            seen.add(tuple(steps))
            assert run(*program, str(folder), "4") == 0
            assert sorted(path.name for path in folder.iterdir()) == [
                f"checkpoint-0000000{step}.npz" for step in (steps[-1], 4)
            ]
    assert seen == {(1, 2), (1, 2, 3)}
