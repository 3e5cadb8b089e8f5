"""CUDA kernels under g++'s sanitizers: no read or write beside an array, no undefined arithmetic.

The sanitizers must be loaded before Python, so a second Python runs the kernels. The gate runs a
part of kernel_tour.py; LUCIDLITE_TEST_ALL=1 all of it and the tests of the kernels.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cudasim import compiler, why_not

HERE = Path(__file__).parent
WHOLE = os.environ.get("LUCIDLITE_TEST_ALL", "0") not in ("", "0")
# Python allocates most of its own memory once and never frees it: that is no leak of a kernel.
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def library():
    """The address sanitizer's, '' where there is none."""
    if why_not():
        return ""
    asked = [compiler(), "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else ""


pytestmark = pytest.mark.skipif(
    not library(), reason=why_not() or "g++ has no address sanitizer here"
)


def sanitized(*arguments, cwd=HERE, timeout=1800):
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, **OPTIONS, "LD_PRELOAD": library(), "CUDASIM_SANITIZE": "1",
           "PYTHONPATH": os.pathsep.join(filter(None, paths))}  # fmt: skip
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, timeout=timeout,
                          capture_output=True, text=True)  # fmt: skip


def test_kernels():
    done = sanitized("kernel_tour.py", "1" if WHOLE else "8",
                     *(("float32", "float16", "float64") if WHOLE else ("float32",)))  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    assert "kernels" in done.stdout


@pytest.mark.skipif(not WHOLE, reason="takes minutes: LUCIDLITE_TEST_ALL=1 runs it")
def test_the_tests_of_kernels():
    files = sorted(path.name for path in HERE.glob("test_cupy_*.py"))
    done = sanitized("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *files)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]


PROGRAM = """
import numpy as np
import fakecupy

SOURCE = r'''
extern "C" __global__ void wrong(int *x, int n) { %s }
'''
x = fakecupy.zeros(5, np.int32)
kernel = fakecupy.RawModule(code=SOURCE).get_function("wrong")
kernel((1,), (1,), (x, np.int32(5)))
print("went on")
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x[0] = x[4];", ""),
        ("x[0] = x[n];", "AddressSanitizer: use-after-poison"),
        ("x[n] = 1;", "AddressSanitizer: use-after-poison"),
        ("x[-1] = 1;", "AddressSanitizer: use-after-poison"),
        ("__shared__ int s[4]; s[n] = 1; x[0] = s[n];", "out of bounds for type"),
        ("int s[4] = {}; s[n % 3 + 3] = 1; x[0] = s[1];", "out of bounds for type"),
        ("x[0] = 2147483647 + n;", "signed integer overflow"),
        ("x[0] = 1 << (n + 30);", "shift exponent 35 is too large"),
    ],
)
def test_mistakes_are_found(body, said):
    done = sanitized("-c", PROGRAM % body)
    assert ("went on" in done.stdout) == (not said), done.stderr
    assert said in done.stderr
