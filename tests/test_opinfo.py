"""PyTorch's own samples of every operation we promise, asked of PyTorch and of lucidlite.

Values, dtypes, shapes, gradients and (float64) second gradients of float32 and float64 samples, the
method, operator and in-place forms, and every listed error input, at PyTorch's own tolerances.
opinfo_table.py says which operations, and everything that is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opinfo_checks import DEFAULT, Difference, same_arrays
from opinfo_database import databases
from opinfo_modules import asked_of_module, halves
from opinfo_run import Count, asked_of, run_errors, run_samples
from opinfo_table import LEFT_OUT, MODULES, OPS, WITHOUT_OPINFO
from parity import TEST_ALL

import lucidlite
from lucidlite import backends

# Samples of each OpInfo and dtype in the ordinary run, the same ones each time; 0 is all.
SLICE = 0 if TEST_ALL else 4

NAMES = [name for names in OPS.values() for name in names.split()]
CONVOLUTIONS = [name for name in NAMES if "conv" in name]


@contextmanager
def convolution(algorithm: str) -> Iterator[None]:
    before = backends.cpu.conv_algorithm
    backends.cpu.conv_algorithm = algorithm
    try:
        yield
    finally:
        backends.cpu.conv_algorithm = before


def report(count: Count) -> None:
    assert not count.failures, (
        f"{len(count.failures)} of {count.checks} checks:\n" + "\n".join(count.failures[:20])
    )


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    with convolution("exact"):
        for info in databases()[0][name]:
            run_samples(torch, info, count, SLICE)
    report(count)
    assert count.checks


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_samples_of_the_default_convolution(name):
    """At the error that the README states for it."""
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    with convolution("auto"):
        for info in databases()[0][name]:
            run_samples(torch, info, count, SLICE, largest=1e-5)
    report(count)


@pytest.mark.parametrize("name", NAMES)
def test_error_inputs(name):
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    for info in databases()[0][name]:
        run_errors(torch, info, count)
    report(count)


def test_what_is_promised_has_samples():
    """Every name is in PyTorch's databases, or stands among those that aren't, and only there."""
    ops, modules = databases()
    assert [name for name in NAMES if name not in ops] == []
    assert [name for name in MODULES.split() if name not in modules] == []
    listed = WITHOUT_OPINFO.split()
    assert [name for name in listed if name in ops or name in modules] == []


def test_every_reason_is_needed():
    """A row of LEFT_OUT that leaves nothing out is taken away."""
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    if not TEST_ALL:
        pytest.skip("LUCIDLITE_TEST_ALL=1 goes through all samples for it")
    ops, modules = databases()
    kinds = ("value", "gradient", "second", "error", "numbers", "in place")
    unused = list(LEFT_OUT)

    def look(asked):
        unused[:] = [row for row in unused if not any(row.holds(asked, kind) for kind in kinds)]

    for name in NAMES:
        for info in ops[name]:
            for sample in info.sample_inputs("cpu", torch.float32):
                look(asked_of(name, sample, dtype="float32"))
            for wrong in info.error_inputs("cpu") if info.error_inputs_func else ():
                look(asked_of(name, wrong.sample_input, str(wrong.error_regex) or "any"))
    for name in MODULES.split():
        info = modules[name]
        for dtype in ("float32", "float64"):
            torch.manual_seed(0)
            for each in info.module_inputs_func(info, "cpu", getattr(torch, dtype), True, True):
                look(asked_of_module(info, halves(each), dtype))
    assert [row.why for row in unused] == []


def test_differences_are_seen():
    """What the comparison calls equal, and what not."""
    import numpy as np

    one = np.ones(3, np.float32)
    same_arrays(one, one * (1 + 1e-6), DEFAULT, "")
    same_arrays(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), DEFAULT, "")
    for other in (one * 1.001, one * np.nan, one * np.inf):
        with pytest.raises(Difference):
            same_arrays(one, other, DEFAULT, "")
    assert lucidlite.is_grad_enabled()
