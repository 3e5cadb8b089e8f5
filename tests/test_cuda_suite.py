"""What the suite does to run on a GPU (cuda_suite.py): what it leaves out, changes, and slices."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import cuda_suite
import numpy as np
import pytest

import lucidlite
from lucidlite.device import _defaults

TESTS = Path(__file__).parent


def functions_in(name):
    """The names of the test functions in a file."""
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("pattern", cuda_suite.patterns())
def test_what_is_left_out_exists(pattern):
    """Else a test that was renamed would silently be run, or a stale line would stay for ever."""
    name, _, wanted = pattern.partition("::")
    assert list(TESTS.glob(name)) or list(TESTS.parent.glob(name))
    if wanted:
        assert any(fnmatchcase(found, wanted.partition("[")[0]) for found in functions_in(name))


def test_nothing_is_left_out_twice():
    patterns = cuda_suite.patterns()
    assert len(set(patterns)) == len(patterns)
    whole = {pattern for pattern in patterns if "::" not in pattern}
    assert not [p for p in patterns if "::" in p and p.partition("::")[0] in whole]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("test_a.py::test_b", "test_a.py", True),
        ("test_a.py::test_b[1-x]", "test_a.py", True),
        ("test_ab.py::test_b", "test_a.py", False),
        ("test_ab.py::test_b", "test_a*.py", True),
        ("test_a.py::test_b", "test_a.py::test_b", True),
        ("test_a.py::test_b[1-x]", "test_a.py::test_b", True),
        ("test_a.py::test_bc", "test_a.py::test_b", False),
        ("test_a.py::test_bc", "test_a.py::test_b*", True),
        ("test_a.py::test_b[1-x]", "test_a.py::test_b[*-x]", True),
        ("test_a.py::test_b[1-y]", "test_a.py::test_b[*-x]", False),
        ("test_a.py::test_b[[1, -1]]", "test_a.py::test_b[[1, -1]]", True),
        ("test_a.py::test_b", "test_a.py::test_b[x]", False),
    ],
)
def test_patterns(name, pattern, expected):
    assert cuda_suite.matches(name, pattern) == expected


def test_every_test_is_in_one_slice():
    names = [f"tests/test_{i % 7}.py::test_x[{i}]" for i in range(4000)]
    parts = [[name for name in names if cuda_suite.in_slice(name, f"{i}/8")] for i in range(1, 9)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(400 < len(part) < 600 for part in parts)
    assert all(cuda_suite.in_slice(name, "") for name in names)


def test_the_slices_stay_what_they_are():
    """By the test's name alone, whatever the process and the machine."""
    names = [f"tests/test_a.py::test_{i}" for i in range(16)]
    assert [i for i, name in enumerate(names) if cuda_suite.in_slice(name, "1/8")] == [1, 10]


@pytest.mark.parametrize(
    "turn",
    [
        lambda a: a,
        lambda a: a.T,
        lambda a: a[::2, :, 1:],
        lambda a: a[1],
        lambda a: a[1, 2, 3:].reshape(()),
        lambda a: a[:0],
        lambda a: a.transpose(2, 0, 1),
        lambda a: np.broadcast_to(a[:, :1], a.shape),
        lambda a: a.astype(np.float16)[:, ::2],
        lambda a: a > 3,
    ],
)
def test_arrays_keep_their_strides(turn, cuda):
    from_numpy = lucidlite.creation.from_numpy
    array = turn(np.arange(2 * 3 * 4.0).reshape(2, 3, 4))
    there = cuda_suite._from_numpy(from_numpy)(array)
    assert str(there.device) == f"{cuda}:0"
    assert there.array.strides == array.strides or not array.size
    np.testing.assert_array_equal(there.cpu().array, array)


def test_values_come_to_the_host(cuda):
    numpy = cuda_suite._numpy(lucidlite.Tensor.numpy)
    x = lucidlite.tensor([1.0, 2.0], device=cuda, requires_grad=True)
    assert numpy(x.detach()).tolist() == [1.0, 2.0]
    assert numpy(x, force=True).tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="requires grad"):
        numpy(x)


def test_the_device_is_not_printed(cuda, monkeypatch):
    monkeypatch.setattr(_defaults, "chosen", None)
    printed = cuda_suite._repr(lambda _: "tensor([1.], device='cuda:0', requires_grad=True)")
    assert printed(lucidlite.ones(1, device=cuda)) == "tensor([1.], requires_grad=True)"


@pytest.mark.parametrize("which", ["", "1/2", "2/2"])
def test_a_run(which, tmp_path):
    """Tensors made with nothing said are on the device; each half runs its own tests."""
    text = "import lucidlite\n" + "".join(
        f"def test_{i}():\n    assert lucidlite.ones(2).is_cuda\n" for i in range(8)
    )
    (tmp_path / "test_there.py").write_text(text)
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         tmp_path],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "LUCIDLITE_TEST_DEVICE": "cuda",
             "LUCIDLITE_TEST_SLICE": which, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    passed = {i for i in range(8) if cuda_suite.in_slice(f"test_there.py::test_{i}", which)}
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(passed)} passed" in done.stdout
