"""The stand-in offers nothing that CuPy doesn't have: names, parameters and messages.

They are kept in fakecupy/api.json, which is compared with CuPy itself where that is installed (it
needs no GPU for this).
"""

from __future__ import annotations

import inspect
import types

import fakecupy
import fakecupyx
import numpy as np
import pytest
from fakecupy.api import API, FUNCTIONS, METHODS, SHARED, UFUNCS, VIEWS
from fakecupy.errors import RUNTIME
from fakecupy.make_api import CLASSES, found, make, parameters

# What the stand-in has for tests, beside what CuPy has.
OURS = {"NAMES", "api", "array_methods", "counts", "counted", "cuda_module", "device",
        "device_array", "errors",
        "functions", "machine", "make_api", "memory", "no_sync", "pinned", "races", "raw", "reset",
        "runtime", "streams", "annotations"}  # fmt: skip
CUDA_OURS = {"machine", "races", "streams", "annotations", "SimpleNamespace", "CompileException",
             "CUDADriverError", "CUDARuntimeError", "OutOfMemoryError", "Any", "here"}  # fmt: skip
# Python's own, and the ends of CuPy's that are made of C.
NOT_COMPARED = {"Memory", "MemoryPointer", "PinnedMemoryPointer", "ufunc"}


def names(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_names_of_modules():
    known = API["modules"]
    assert names(fakecupy) - OURS <= set(known["cupy"])
    assert names(fakecupy.cuda) - CUDA_OURS <= set(known["cuda"])
    for name in ("runtime", "memory", "stream", "driver", "compiler", "nvrtc", "device"):
        extra = names(getattr(fakecupy.cuda, name)) - CUDA_OURS - {"memory"} - set(known[name])
        assert not extra, name
    assert set(UFUNCS) <= set(API["ufuncs"])
    offered = {name for name in names(fakecupyx)
               if getattr(getattr(fakecupyx, name), "__module__", "").startswith("fakecupy")
               and name in known["cupyx"]}  # fmt: skip
    assert {"empty_pinned", "zeros_pinned", "rsqrt", "scatter_add", "errstate"} <= offered


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in NOT_COMPARED])
def test_names_of_classes(name):
    ours = found(fakecupy, CLASSES[name])
    assert names(ours) <= set(API["classes"][name])


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in NOT_COMPARED])
def test_parameters_of_methods(name):
    if name == "ndarray":
        ours = {each: getattr(fakecupy.ndarray, each) for each in ("get", "set", "astype", "copy",
                "fill", "nonzero", "sort", "item", "tolist")}  # fmt: skip
    else:
        ours = {each: value for each, value in vars(found(fakecupy, CLASSES[name])).items()
                if isinstance(value, types.FunctionType) and not each.startswith("_")}  # fmt: skip
    for each, value in ours.items():
        theirs = (API["classes"][name][each] or "").split()
        assert parameters(value).split() == theirs[: len(parameters(value).split())], each
        assert all(word in parameters(value).split() for word in theirs), each


@pytest.mark.parametrize("name", ["Stream", "Event", "Device", "RawKernel", "RawModule"])
def test_parameters_of_constructors(name):
    ours = [p for p in inspect.signature(found(fakecupy, CLASSES[name])).parameters]
    assert ours == API["constructors"][name].split()


def test_parameters_of_functions():
    """Those that aren't made from the table are held to it."""
    for name in ("array", "asarray", "ascontiguousarray", "asnumpy", "empty", "empty_like", "where",
                 "argsort"):  # fmt: skip
        assert parameters(getattr(fakecupy, name)) == FUNCTIONS[name]
    for name in ("alloc", "using_allocator", "set_allocator", "get_allocator", "get_elapsed_time",
                 "get_current_stream", "alloc_pinned_memory"):  # fmt: skip
        assert parameters(getattr(fakecupy.cuda, name)) == API["modules"]["cuda"][name]
    for name in ("empty_pinned", "zeros_pinned", "empty_like_pinned", "scatter_add"):
        assert parameters(getattr(fakecupyx, name)) == API["modules"]["cupyx"][name]


def test_arguments_are_held_to_the_table():
    x = fakecupy.zeros((2, 3))
    for name in METHODS:
        with pytest.raises(TypeError, match="unexpected keyword"):
            getattr(x, name)(where=True)
    for name in VIEWS:
        with pytest.raises(TypeError, match="unexpected keyword"):
            getattr(x, name)(where=True)
    with pytest.raises(TypeError, match="positional"):
        x.item(0)
    with pytest.raises(TypeError, match="multiple values for argument 'axis'"):
        x.sum(0, axis=0)
    with pytest.raises(TypeError, match="takes 4 positional"):
        fakecupy.max(x, 0, None, True, 1)


def test_messages():
    for status, text in API["errors"].items():
        assert RUNTIME.get(int(status), text) == text


def test_the_installed_cupy_is_the_one_in_the_table():
    cupy = pytest.importorskip("cupy", exc_type=ImportError, reason="CuPy isn't installed")
    if cupy.__version__ != API["version"]:
        pytest.skip(f"the table is of CuPy {API['version']}, installed is {cupy.__version__}")
    assert make() == API
    assert all(getattr(cupy, name) is getattr(np, name) for name in SHARED if name != "newaxis")
