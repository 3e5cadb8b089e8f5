"""The allocator's settings: made once, where it is glibc's and nobody else has set them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lucidlite import malloc
from lucidlite.malloc import MOST_KEPT, OLD_MMAP_THRESHOLD, TOP_PAD, bound, keep_freed_memory

THEIRS = [f"MALLOC_{name}_" for name in malloc._THEIRS]


class Library:
    """A C library that notes what it is told."""

    def __init__(self, *, glibc=True, refuses=()):
        self.told = []
        self.refuses = refuses
        if glibc:
            self.gnu_get_libc_version = None

    def mallopt(self, setting, value):
        self.told.append((setting, value))
        return (setting, value) not in self.refuses


@pytest.fixture
def ask(monkeypatch):
    """Asks anew, of a library that stands in for the C library."""
    for name in ("LUCIDLITE_MALLOC", "GLIBC_TUNABLES", *THEIRS):
        monkeypatch.delenv(name, raising=False)

    def found(library):
        def load(name):
            assert name is None
            if isinstance(library, Exception):
                raise library
            return library

        monkeypatch.setattr(malloc.ctypes, "PyDLL", load)
        return keep_freed_memory.__wrapped__()

    return found


def test_what_is_set(ask):
    library = Library()
    assert ask(library) == f"keeps up to {bound() >> 20} MB of freed memory"
    assert library.told == [(-1, bound()), (-2, TOP_PAD), (-3, bound())]


def test_an_older_glibc_takes_less(ask):
    library = Library(refuses=[(-3, bound())])
    assert ask(library).startswith("keeps")
    assert library.told[-1] == (-3, OLD_MMAP_THRESHOLD)
    assert ask(Library(refuses=[(-1, bound())])) == "left alone (refused)"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LUCIDLITE_MALLOC", "default"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")]
    + [(name, "100000") for name in THEIRS],
)
def test_left_alone(ask, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    library = Library()
    assert ask(library).startswith("left alone")
    assert not library.told


def test_other_tunables_are_no_wish(ask, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
    assert ask(Library()).startswith("keeps")


@pytest.mark.parametrize(
    "library",
    [Library(glibc=False), object(), OSError("no"), TypeError("no"), AttributeError("no")],
    ids=["another C library", "without mallopt", "none to load", "Windows", "no name"],
)
def test_another_library_is_not_touched(ask, library):
    assert ask(library) == "left alone (not glibc)"
    assert not getattr(library, "told", ())


def test_a_wrong_wish(ask, monkeypatch):
    monkeypatch.setenv("LUCIDLITE_MALLOC", "jemalloc")
    with pytest.raises(RuntimeError, match=r"^LUCIDLITE_MALLOC: expects 'default' .*'jemalloc'"):
        ask(Library())


@pytest.mark.parametrize(
    ("pages", "expected"), [(1 << 30, MOST_KEPT), (1 << 20, 1 << 29), (0, MOST_KEPT)]
)
def test_the_bound(monkeypatch, pages, expected):
    """A machine with less memory keeps less."""
    sizes = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    assert bound() == expected


def test_the_bound_where_nobody_knows(monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown, raising=False)
    assert bound() == MOST_KEPT


# -- what it does ----------------------------------------------------------------------------------

PROGRAM = """
    import numpy as np
    from lucidlite import malloc
    malloc.MOST_KEPT = 1 << 26
    malloc.keep_freed_memory()

    def resident():
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

    def faults(size, times=20):
        import resource
        np.ones(size, np.uint8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(times):
            np.ones(size, np.uint8)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times

    few, many = faults(3 << 20), faults(100 << 20, 3)
    level = resident()
    arrays = [np.ones(3 << 20, np.uint8) for _ in range(100)]
    held = resident() - level
    del arrays
    left = resident() - level
    big = np.ones(200 << 20, np.uint8)
    del big
    print(few, many, held >> 20, left >> 20, (resident() - level) >> 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_is_kept_up_to_the_bound():
    """Small arrays find their pages again; what is free beyond the bound goes back."""
    if keep_freed_memory().startswith("left alone"):
        pytest.skip("the allocator here isn't set")
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    few, many, held, left, after = map(float, done.stdout.split())
    assert few < 10  # 768 pages an array, if they were new ones
    assert many > 20  # beyond the bound: mapped anew each time, in large pages maybe
    assert held >= 295
    assert left <= 64 + 64 + 16  # the bound, what the heap grows by, some more
    assert after <= 64 + 64 + 16
