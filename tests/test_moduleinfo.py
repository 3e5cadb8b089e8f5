"""PyTorch's own inputs of every layer we promise, asked of PyTorch and of lucidlite.

With the same weights: outputs, buffers afterwards, gradients of inputs and parameters and (float64)
second ones, in training and evaluation; repr and state_dict keys; every listed error.
"""

from __future__ import annotations

import pytest
from opinfo_database import databases
from opinfo_modules import run_module, run_module_errors
from opinfo_run import Count
from opinfo_table import MODULES
from test_opinfo import SLICE, convolution, report

NAMES = MODULES.split()


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    with convolution("exact"):
        run_module(torch, databases()[1][name], count, SLICE)
    report(count)
    assert count.checks


@pytest.mark.parametrize("name", [name for name in NAMES if "Conv" in name])
def test_samples_with_the_default_convolution(name):
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    with convolution("auto"):
        run_module(torch, databases()[1][name], count, SLICE, largest=1e-5)
    report(count)


@pytest.mark.parametrize("name", NAMES)
def test_error_inputs(name):
    torch = pytest.importorskip("torch", reason="the samples are PyTorch's own")
    count = Count(0, [], {})
    run_module_errors(torch, databases()[1][name], count)
    report(count)
