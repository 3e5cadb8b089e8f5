"""The graphs we give cuDNN: the real frontend takes them, the stand-in refuses what doesn't fit."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest
from cupy_arrays import use_fake_cudnn
from project_files import ROOT

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import cudnn as adapter
from lucidlite.backends.cupy_kernels.cudnn import Case
from lucidlite.geometry import conv_window


@pytest.fixture
def cudnn(fake_cupy, monkeypatch):
    """The stand-in for cuDNN."""
    assert fake_cupy
    return use_fake_cudnn(monkeypatch, get_backend("cuda"))


STUB = """
#include <stddef.h>
size_t cudnnGetVersion(void) { return 92800; }
const char *cudnnGetErrorString(int status) { (void)status; return "stand-in"; }
"""

BUILD = """
import json, sys
import cudnn
from lucidlite.backends.cupy_kernels.cudnn import Case, build
from lucidlite.window import Window

handle = cudnn.Handle(8, 0, 0) if hasattr(cudnn, "Handle") else 8
graphs = []
for kind, shapes, window, dtype, bias in json.loads(sys.stdin.read()):
    shapes = tuple(map(tuple, shapes))
    window = Window(*[tuple(map(tuple, v)) if i == 2 else tuple(v) for i, v in enumerate(window)])
    case = Case(kind, shapes, window, dtype, bias, True, False, False, False)
    graphs.append(json.loads(repr(build(cudnn, case, handle))))
print(json.dumps(graphs))
"""


def real_cases():
    """Of each kind, with its tensors by number: (case as JSON takes it, {number: dims})."""
    image, weight, result = [2, 8, 9, 7], [6, 4, 3, 2], [2, 6, 4, 8]
    window = [[3, 2], [2, 1], [[1, 0], [1, 2]], [1, 2]]
    for dtype in "efd":
        for bias in (False, True):
            numbers = {1: image, 2: weight, 3: result, **({4: [1, 6, 1, 1]} if bias else {})}
            yield ["forward", [image, weight, result], window, dtype, bias], numbers
        numbers = {1: result, 2: weight, 3: image}
        yield ["input_grad", [result, weight, image], window, dtype, False], numbers
        numbers = {1: result, 2: image, 3: weight}
        yield ["weight_grad", [result, image, weight], window, dtype, False], numbers


def test_the_real_frontend_takes_our_graphs(tmp_path):
    """It validates graphs without a GPU; of cuDNN it asks the version only."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    python = os.environ.get("LUCIDLITE_CUDNN_PYTHON", sys.executable)
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('cudnn') is None)"
    if subprocess.run([python, "-c", probe], check=False).returncode:
        pytest.skip("nvidia-cudnn-frontend isn't installed")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a library that stands for cuDNN is made by a C compiler on Linux")
    source = tmp_path / "stub.c"
    source.write_text(STUB)
    library = tmp_path / "libcudnn.so.9"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    cases = list(real_cases())
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [python, "-c", BUILD],
        input=json.dumps([case for case, _ in cases]),
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    names = {"e": "HALF", "f": "FLOAT", "d": "DOUBLE"}
    tags = {"forward": "CONV_FPROP", "input_grad": "CONV_DGRAD", "weight_grad": "CONV_WGRAD"}
    for graph, (case, numbers) in zip(json.loads(found.stdout), cases, strict=True):
        kind, _, window, dtype, bias = case
        node = graph["nodes"][0]
        assert node["tag"] == tags[kind]
        assert len(graph["nodes"]) == 1 + bias
        assert (node["stride"], node["dilation"]) == (window[1], window[3])
        (top, bottom), (left, right) = window[2]
        assert node["pre_padding"] == [top, left]
        assert node["post_padding"] == [bottom, right]
        assert graph["context"]["compute_data_type"] == ("DOUBLE" if dtype == "d" else "FLOAT")
        real = {t["uid"]: t for t in graph["tensors"] if not t["is_virtual"]}
        assert real.keys() == numbers.keys()
        for number, dims in numbers.items():
            _, c, h, w = dims
            assert real[number]["dim"] == dims
            assert real[number]["stride"] == [c * h * w, 1, w * c, c]
            assert real[number]["data_type"] == names[dtype]


def test_the_stand_in_takes_the_same_graphs(cudnn):
    handle = cudnn.create_handle()
    for (kind, shapes, window, dtype, bias), numbers in real_cases():
        (top, bottom), (left, right) = window[2]
        shaped = conv_window("conv2d", (2, 8, 9, 7), (6, 4, 3, 2), (2, 1), 0, (1, 2), 2)
        shaped = shaped._replace(padding=((top, bottom), (left, right)))
        case = Case(kind, tuple(map(tuple, shapes)), shaped, dtype, bias, *[True] * 4)
        graph = adapter.build(cudnn, case, handle)
        assert {uid: t.dim for uid, t in graph.tensors.items()} == numbers


@pytest.mark.parametrize("wrong", list(itertools.product((0, 1, 2), range(4))))
def test_the_stand_in_refuses_other_shapes(wrong, cudnn):
    shapes = [[2, 8, 9, 7], [6, 4, 3, 3], [2, 6, 9, 7]]
    window = conv_window("conv2d", (2, 8, 9, 7), (6, 4, 3, 3), 1, 1, 1, 2)
    handle = cudnn.create_handle()
    adapter.build(cudnn, Case("forward", tuple(map(tuple, shapes)), window, "f", *[False] * 5),
                  handle)  # fmt: skip
    which, axis = wrong
    shapes[which][axis] += 3 if (which, axis) != (1, 0) else 2
    case = Case("forward", tuple(map(tuple, shapes)), window, "f", *[False] * 5)
    with pytest.raises(RuntimeError, match="don't fit"):
        adapter.build(cudnn, case, handle)
