"""The GPU check: it survives what it meets, and all of it runs in small on CuPy's stand-in."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

import lucidlite
from lucidlite import determinism
from lucidlite.backends import cudnn

ALL_OK = {"ok", "left out"}


@pytest.fixture
def check(bench):
    return bench("gpu_check")


@pytest.fixture
def gpu(bench, fake_cupy, monkeypatch):
    """Imports a phase on the stand-in; switches and seeds are put back afterwards."""
    assert fake_cupy
    for name in ("allow_tf32", "enabled", "deterministic"):
        monkeypatch.setattr(cudnn, name, getattr(cudnn, name))
    state, precise = lucidlite.get_rng_state(), lucidlite.get_float32_matmul_precision()
    mode = determinism.are_deterministic_algorithms_enabled()
    yield bench
    lucidlite.set_rng_state(state)
    lucidlite.set_float32_matmul_precision(precise)
    lucidlite.use_deterministic_algorithms(mode)


def results(folder, name):
    """A phase's rows by check."""
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return {row["check"]: row for row in content["results"]}


# -- the frame -------------------------------------------------------------------------------------


def made_up(check, phase):
    """Checks with every outcome there is."""

    def left_out():
        raise check.LeftOut("no such thing here")

    def failed():
        raise check.Failed("too far off", worst=0.5)

    phase.check("fine", lambda: {"value": 1.25, "rows": [1, 2]})
    phase.check("broken", lambda: 1 / 0)
    phase.check("wrong", failed)
    phase.check("missing", left_out)
    phase.check("silent", lambda: None)


def test_it_goes_on_after_every_failure(check, tmp_path, capsys):
    phase = check.Phase("truth", tmp_path, False, 100.0)
    made_up(check, phase)
    rows = results(tmp_path, "truth")
    assert [row["status"] for row in rows.values()] == ["ok", "ERROR", "FAILED", "left out", "ok"]
    assert rows["fine"]["figures"] == {"value": 1.25, "rows": [1, 2]}
    assert rows["broken"]["detail"] == "ZeroDivisionError: division by zero"
    assert rows["wrong"]["figures"] == {"worst": 0.5}
    assert rows["missing"]["detail"] == "no such thing here"
    assert phase.code() == 1
    table = phase.table()
    assert "== truth: 2 ok, 1 left out, 1 FAILED, 1 ERROR" in table
    assert re.search(r"ok +0\.0 s +fine +value 1\.25\n", table)
    assert "Traceback" in capsys.readouterr().err  # of what broke


def test_junit(check, tmp_path):
    made_up(check, check.Phase("speed", tmp_path, False, 100.0))
    root = ElementTree.parse(tmp_path / "speed.xml").getroot()
    assert root.get("tests") == "5"
    kinds = [[child.tag for child in case] for case in root]
    assert kinds == [[], ["error"], ["failure"], ["skipped"], []]
    assert root[2][0].get("message") == "too far off"


def test_what_time_is_short_for_is_left_out(check, tmp_path):
    phase = check.Phase("truth", tmp_path, False, 3.0)
    assert phase.check("long", lambda: 1, least=60.0) is None
    assert phase.check("short", lambda: 1, least=1.0) == 1
    rows = results(tmp_path, "truth")
    assert rows["long"]["status"] == "left out"
    assert "no time left" in rows["long"]["detail"]
    assert check.Phase("truth", tmp_path, True, 0.0).check("tiny", lambda: 2) == 2


def test_a_check_that_hangs_is_given_up(check, tmp_path, monkeypatch, capsys):
    codes = []
    monkeypatch.setattr(check.os, "_exit", codes.append)
    monkeypatch.setattr(check.faulthandler, "dump_traceback", lambda **_: None)
    phase = check.Phase("truth", tmp_path, False, 100.0)
    phase.check("before", lambda: 1)
    phase.now = "stuck"
    phase.give_up()
    assert codes == [3]
    rows = results(tmp_path, "truth")
    assert (rows["before"]["status"], rows["stuck"]["detail"]) == ("ok", "hung: given up")
    assert "1 ok, 1 ERROR" in capsys.readouterr().out


def test_exit_codes(check, tmp_path, monkeypatch, capsys):
    def phase_of(*runs):
        def run(phase):
            for number, each in enumerate(runs):
                phase.check(str(number), each)

        return SimpleNamespace(run=run)

    def left_out():
        raise check.LeftOut("no GPU")

    def main(**phases):
        for name, module in phases.items():
            monkeypatch.setitem(sys.modules, f"gpu_{name}", module)
        return check.main(["--phase", *phases, "--out", str(tmp_path)])

    fine, broken, absent = phase_of(lambda: 1), phase_of(lambda: 1 / 0), phase_of(left_out)
    assert main(truth=fine, speed=fine) == 0
    assert main(truth=fine, speed=broken, safety=fine) == 1
    assert main(truth=absent) == 2
    assert main(truth=SimpleNamespace()) == 1  # a phase that can't begin
    assert set(check.load(tmp_path)) == {"truth", "speed", "safety"}
    assert "written to" in capsys.readouterr().out


def test_without_cupy_every_phase_says_so(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(lucidlite.backends, "_backends",
                        {k: v for k, v in lucidlite.backends._backends.items()
                         if k.type == "cpu"})  # fmt: skip
    code = bench("gpu_check").main(["--out", str(tmp_path)])
    assert code == 2
    for name in ("truth", "speed", "safety"):
        assert list(results(tmp_path, name)) == ["device"]
        assert "CuPy is not installed" in results(tmp_path, name)["device"]["detail"]
    assert "1 left out" in capsys.readouterr().out


# -- its measures ----------------------------------------------------------------------------------


def test_deviations(gpu, check):
    parity = gpu("gpu_parity")
    exact = np.array([3.0, 4.0, np.inf, np.nan])
    assert parity.off(exact, exact) == 0.0
    assert parity.off(np.array([3.0, 4.5, np.inf, np.nan]), exact) == pytest.approx(0.1)
    assert parity.off(np.array([3.0, np.nan, np.inf, np.nan]), exact) == np.inf
    assert parity.off(exact[:2], exact) == np.inf
    worst = parity.Worst(0.1)
    for value, what in ((0.05, "a"), (0.2, "b"), (np.nan, "c")):
        worst.add(value, what)
    assert [each.partition(":")[0] for each in worst.over] == ["b", "c"]
    with pytest.raises(check.Failed, match=r"2 over the limit, first b: 2\.00e-01"):
        parity.judge({"float32": worst})


def test_a_wrong_kernel_is_noticed(gpu, check, tmp_path, monkeypatch):
    parity = gpu("gpu_parity")
    kind = type(parity.backend())
    plain = kind.max_pool2d
    monkeypatch.setattr(kind, "max_pool2d", lambda *a: (plain(*a)[0] * 1.001, *plain(*a)[1:]))
    phase = check.Phase("truth", tmp_path, True, 100.0)
    with pytest.raises(check.Failed, match="over the limit, first max_pool2d"):
        parity.geometries(phase, **parity.GEOMETRIES["strict float32"])


def test_a_wait_is_noticed(gpu):
    tools = gpu("gpu_tools")
    x = lucidlite.ones(3, device="cuda")
    assert tools.waits(lambda: x + x, 3)["sync"] == 0
    assert tools.waits(lambda: (x + x)[0].item(), 3)["sync"] >= 3


def test_the_order_of_turns(gpu):
    tools = gpu("gpu_tools")
    seen = []
    contenders = {name: (lambda name=name: seen.append(name)) for name in "ab"}
    rows = tools.interleaved(contenders, dict.fromkeys("ab", lambda: None), 2, 2)
    assert "".join(seen) == "ab" + "aaa" + "bbb" + "bbb" + "aaa"
    assert rows["a"]["min_ms"] <= rows["a"]["median_ms"] <= rows["a"]["high_quartile_ms"]


def test_the_outcome_of_the_suite(gpu, check, tmp_path, monkeypatch):
    """Counted from what pytest prints, with and without workers, also where time was over."""
    truth = gpu("gpu_truth")
    lines = [
        "tests/test_a.py::test_one[x y] PASSED      [  1%]",
        "[gw3] [ 12%] PASSED tests/test_b.py::test_two ",
        "tests/test_b.py::test_three SKIPPED (no GPU) [ 20%]",
        "[gw0] [ 30%] FAILED tests/test_c.py::test_four ",
        "FAILED tests/test_c.py::test_four - assert 1 == 2",
    ]

    def process(words, limit, log, environment):
        assert words[:3] == [sys.executable, "-m", "pytest"]
        assert environment == {"LUCIDLITE_TEST_DEVICE": "cuda"}
        assert limit > 0
        log.write_text("\n".join(lines), encoding="utf-8")
        return code

    monkeypatch.setattr(truth, "process", process)
    phase = check.Phase("truth", tmp_path, True, 100.0)
    assert [each for each in truth.KERNEL_TESTS if not list(truth.TESTS.glob(each))] == []
    code = 1
    with pytest.raises(check.Failed, match="1 of 4 tests failed") as told:
        truth.suite(phase)
    assert told.value.figures["wrong"] == ["tests/test_c.py::test_four"]
    del lines[3:]
    code = 0
    assert truth.suite(phase) == {"PASSED": 2, "SKIPPED": 1, "exit": 0, "wrong": []}
    code = None
    assert truth.suite(phase)["note"] == "time was over: a part of the tests"


def test_a_process_is_ended_when_its_time_is_over(gpu, tmp_path):
    tools = gpu("gpu_tools")
    log = tmp_path / "log"
    words = [sys.executable, "-c", "import os; print(os.environ['HOW'])"]
    assert tools.process(words, 60, log, {"HOW": "well"}) == 0
    assert log.read_text(encoding="utf-8") == "well\n"
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert tools.process(sleep, 1, log) is None


@pytest.mark.parametrize(("name", "tiny"), [("CNNWithGAP", True), ("LeNet", False), ("MLP", False)])
def test_pytorch_trains_the_same_network(gpu, check, tmp_path, monkeypatch, name, tiny):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: module)
    tools, speed = gpu("gpu_tools"), gpu("gpu_speed")
    phase = check.Phase("speed", tmp_path, tiny, 100.0)
    step = speed.torch_step(phase, torch, name, 2, torch.channels_last)
    ours = tools.training(name, 2, tiny)[0]
    for _ in range(2):
        assert ours().item() == pytest.approx(step().item(), rel=1e-5)


# -- all of it, in small ---------------------------------------------------------------------------


def run_tiny(gpu, name, folder):
    check = gpu("gpu_check")
    phase = check.Phase(name, folder, True, 400.0)
    gpu(f"gpu_{name}").run(phase)
    return results(folder, name)


def test_truth(gpu, tmp_path, monkeypatch):
    truth = gpu("gpu_truth")
    for name in ("suite", "kernel_tests"):  # a suite in the suite: above
        monkeypatch.setattr(truth, name, lambda _: {"PASSED": 1})
    rows = run_tiny(gpu, "truth", tmp_path)
    assert {name: row["detail"] for name, row in rows.items() if row["status"] not in ALL_OK} == {}
    assert rows["device"]["figures"]["stand_in"] is True
    assert rows["no waits in 10 steps"]["figures"]["sync"] == 0
    assert rows["trajectory of 20 steps"]["figures"]["strict_worst"] < 1e-4
    assert rows["every op against float64"]["figures"]["compared"] > 50
    for name in ("strict float32", "TF32", "float16", "without cuDNN", "float64"):
        assert rows[f"convolutions and pools, {name}"]["figures"]["compared"] == 4
    assert rows["the test-suite on the device"]["figures"] == {"PASSED": 1}


def test_speed(gpu, tmp_path):
    rows = run_tiny(gpu, "speed", tmp_path)
    assert {name: row["detail"] for name, row in rows.items() if row["status"] not in ALL_OK} == {}
    step = rows["step of CNNWithGAP, batch 128"]["figures"]
    assert {"lucidlite", "lucidlite float16", "lucidlite graph"} <= set(step["rows"])
    assert set(step["problems"]) <= {"torch", "torch channels_last", "torch channels_last float16"}
    assert rows["launches in a step"]["figures"]["launch"] > 10
    assert rows["launches in a step"]["figures"]["sync"] == 0
    assert "conv 3-64" in rows["operations of CNNWithGAP, batch 128"]["figures"]["rows"]
    assert rows["torch.compile"]["status"] == "left out"


def test_safety(gpu, tmp_path):
    rows = run_tiny(gpu, "safety", tmp_path)
    assert {name: row["detail"] for name, row in rows.items() if row["status"] not in ALL_OK} == {}
    assert rows["two runs have the same bits"]["figures"]["deterministic"] is True
    graph = rows["a graph repeats the eager step"]["figures"]
    assert graph["worst"] < 1e-6
    assert graph["graphs"] == 1
    assert "target 10 is out of bounds" in rows["labels out of range"]["figures"]["message"]
    assert rows["nothing, one, odd"]["figures"]["cases"] == 7
