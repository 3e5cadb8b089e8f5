"""Every CUDA source compiles for every GPU, every kernel runs, and none depends on chance.

Kernels run on the CPU here (see cudasim); NVRTC, which compiles them for GPUs, needs none.
LUCIDLITE_TEST_ALL=1 compiles each source for each architecture, with 64-bit indices too.
"""

from __future__ import annotations

import os
from pathlib import Path

import kernel_tour
import numpy as np
import nvrtc
import pytest
from cudasim import kernels, why_not
from fakecupy import raw

from lucidlite.backends.cupy_kernels import launch

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
DTYPES = ("float32", "float16", "float64")
FAMILIES = sorted(path.stem for path in Path(launch.SOURCES).glob("*.cu"))
WHOLE = os.environ.get("LUCIDLITE_TEST_ALL", "0") not in ("", "0")
# One row of the table of operations in so many, where each is run several times.
EVERY = 1 if WHOLE else 2

runs_kernels = pytest.mark.skipif(bool(why_not()), reason=why_not() or "kernels run here")


def sources_of_tour(dtype, every=1):
    """The sources that the tour compiles, with the defines it chooses."""
    raw.forget()
    kernel_tour.run(dtype, every)
    return [code for code, _ in raw.programs()]


@runs_kernels
@pytest.mark.usefixtures("fake_cupy")
def test_every_kernel_runs():
    before = dict(raw.launched)
    for dtype in DTYPES:
        kernel_tour.run(dtype)
    for family in FAMILIES:
        names = kernels(launch.source(family, "f"))
        assert names == list(launch.parameters(family))  # the launcher reads the same
        never = [name for name in names if raw.launched.get(name, 0) == before.get(name, 0)]
        assert not never, f"{family}.cu: no stop of kernel_tour.py runs these"


def test_a_name_stands_for_one_kernel():
    names = [name for family in FAMILIES for name in launch.parameters(family)]
    assert len(set(names)) == len(names)


@runs_kernels
@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nvrtc_compiles(dtype):
    """Without a word of warning, each source for one architecture at least."""
    if nvrtc.missing():
        pytest.skip(nvrtc.missing())
    sources = sources_of_tour(dtype)
    known = [each for each in ARCHITECTURES if each in nvrtc.architectures()]
    assert known
    for number, source in enumerate(sources):
        chosen = known if WHOLE else [known[number % len(known)]]
        for architecture in chosen:
            for large in ("", "#define LARGE 1\n")[: 1 + WHOLE]:
                code, log = nvrtc.compiled(large + source, architecture,
                                           (*launch.OPTIONS, "-ftz=true"))  # fmt: skip
                assert not log, f"sm_{architecture}: {log}"
                assert code


def bits(dtype, every):
    return [
        (each.id, [t.detach().cpu().numpy().copy() for t in kernel_tour.case(each, dtype)])
        for each in kernel_tour.cases(dtype, every)
    ]


def assert_same_bits(first, second):
    for (name, a), (_, b) in zip(first, second, strict=True):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f"), name


@runs_kernels
@pytest.mark.usefixtures("fake_cupy")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_of_threads_does_not_matter(dtype, monkeypatch):
    monkeypatch.setenv("CUDASIM_ORDER", "forward")
    first = bits(dtype, EVERY)
    monkeypatch.setenv("CUDASIM_ORDER", "backward")
    assert_same_bits(first, bits(dtype, EVERY))


@runs_kernels
@pytest.mark.usefixtures("fake_cupy")
def test_indices_of_64_bits(monkeypatch):
    """Arrays that need them don't fit here: small ones are told to."""
    dtype = "float32"
    first = bits(dtype, EVERY)
    monkeypatch.setattr(launch, "LARGE", 0)
    raw.forget()
    assert_same_bits(first, bits(dtype, EVERY))
    assert raw.programs()
    assert all("#define LARGE 1" in code for code, _ in raw.programs())
