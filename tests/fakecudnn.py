"""A stand-in for the module ``cudnn`` of nvidia-cudnn-frontend, for tests without a GPU.

It has the few names lucidlite uses and refuses what the real one refuses, and more: dims that don't
fit a convolution, strides of another order, addresses that no device array has or that aren't
aligned, plans that were struck out. ``execute`` convolves in the stand-in's arrays by einsum.

What a test may set: ``unsupported(graph) -> bool``, ``missing`` (cuDNN itself isn't there),
``broken`` (it fails at run time), ``plans`` (each an algorithm: its notes, bytes, milliseconds).
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import threading
from types import SimpleNamespace
from typing import Any, NamedTuple

import fakecupy
import numpy as np
from fakecupy.streams import issue

__version__ = "1.26.0+fake"


class cudnnGraphNotSupportedError(RuntimeError): ...


def _names(names: str) -> Any:
    """Like a pybind enum; its members are their names."""
    return SimpleNamespace(**{name: name for name in names.split()})


data_type = _names("HALF FLOAT DOUBLE NOT_SET")
numerical_note = _names(
    "TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION FFT NONDETERMINISTIC WINOGRAD"
)
heur_mode = _names("A B FALLBACK")
build_plan_policy = _names("HEURISTICS_CHOICE ALL")

_DTYPES = {"HALF": np.float16, "FLOAT": np.float32, "DOUBLE": np.float64}


class Algorithm(NamedTuple):
    notes: frozenset[str] = frozenset()
    workspace: int = 0
    milliseconds: float = 1.0


DEFAULTS: dict[str, Any] = {
    "unsupported": lambda graph: False,  # noqa: ARG005
    "missing": False,
    "broken": False,
    "plans": [
        Algorithm(frozenset({"TENSOR_CORE", "DOWN_CONVERT_INPUTS"}), 64),
        Algorithm(frozenset({"WINOGRAD"}), 32, 0.5),
        Algorithm(frozenset({"NONDETERMINISTIC"}), 0),
        Algorithm(frozenset(), 1 << 10, 2.0),
    ],
}
unsupported: Any = DEFAULTS["unsupported"]
missing: bool = False
broken: bool = False
plans: list[Algorithm] = DEFAULTS["plans"]

built: list[pygraph] = []  # every graph that got as far as plans
executed: list[tuple[pygraph, int]] = []  # with the algorithm that ran
streams: list[int] = []  # that handles were told
_handles: dict[int, int] = {}  # each to the thread that made it
_numbers = itertools.count(4096)


def reset() -> None:
    globals().update(DEFAULTS)
    for made in (built, executed, streams, _handles):
        made.clear()


reset()


def backend_version() -> int:
    if missing:
        raise RuntimeError("Unable to find symbol cudnnGetVersion")
    return 92800


def create_handle() -> int:
    backend_version()
    handle = next(_numbers)
    _handles[handle] = threading.get_ident()
    return handle


def set_stream(handle: int, stream: int) -> None:
    _own(handle)
    streams.append(stream)


def _own(handle: int) -> None:
    if _handles.get(handle) != threading.get_ident():
        raise RuntimeError("CUDNN_STATUS_BAD_PARAM: a handle of another thread, or none")


class Tensor:
    """A node of a graph."""

    def __init__(self, dim: Any = None, stride: Any = None, dtype: Any = None, uid: int = -1):
        self.dim, self.stride, self.dtype, self.uid = dim, stride, dtype, uid
        self.is_output = False

    def set_output(self, value: bool) -> Tensor:
        self.is_output = value
        return self

    def set_dim(self, value: list[int]) -> Tensor:
        self.dim = _integers(value)
        return self

    def set_stride(self, value: list[int]) -> Tensor:
        self.stride = _integers(value)
        return self

    def set_data_type(self, value: str) -> Tensor:
        self.dtype = value
        return self

    def set_uid(self, value: int) -> Tensor:
        self.uid = value
        return self


def _integers(values: Any) -> list[int]:
    if not isinstance(values, list) or any(type(v) is not int for v in values):
        raise TypeError(f"incompatible function arguments: a list of int is wanted, got {values}")
    return values


class pygraph:
    """One convolution, its bias, and the algorithms for it."""

    def __init__(self, *, io_data_type: str, intermediate_data_type: str, compute_data_type: str,
                 handle: int) -> None:  # fmt: skip
        _own(handle)
        self.io, self.computed = io_data_type, compute_data_type
        if intermediate_data_type != compute_data_type:
            raise cudnnGraphNotSupportedError("intermediate results are wanted as computed")
        self.tensors: dict[int, Tensor] = {}
        self.kind, self.form, self.bias_tensor = "", {}, None
        self.operands, self.output = (Tensor(), Tensor()), Tensor()
        self.state = "made"
        self.struck: set[str] = set()
        self.limit: float = float("inf")
        self.ready: set[int] = set()
        self.chosen = -1

    def tensor(self, *, dim: list[int], stride: list[int], data_type: str, name: str,
               uid: int) -> Tensor:  # fmt: skip
        if not name or uid in self.tensors:
            raise ValueError(f"uid {uid} is already user-assigned")
        made = Tensor(_integers(dim), _integers(stride), data_type, uid)
        self.tensors[uid] = made
        return made

    def _convolution(
        self, kind: str, first: Tensor, second: Tensor, form: dict[str, Any]
    ) -> Tensor:
        if self.kind:
            raise RuntimeError("one convolution a graph here")
        for name in ("pre_padding", "post_padding", "stride", "dilation"):
            _integers(form[name])
        self.kind, self.operands, self.form = kind, (first, second), form
        return self.output

    def conv_fprop(self, *, image: Tensor, weight: Tensor, **form: Any) -> Tensor:
        return self._convolution("forward", image, weight, form)

    def conv_dgrad(self, *, loss: Tensor, filter: Tensor, **form: Any) -> Tensor:
        return self._convolution("input_grad", loss, filter, form)

    def conv_wgrad(self, *, image: Tensor, loss: Tensor, **form: Any) -> Tensor:
        return self._convolution("weight_grad", loss, image, form)

    def bias(self, *, input: Tensor, bias: Tensor) -> Tensor:
        if input is not self.output or self.kind != "forward":
            raise RuntimeError("a bias is added to a convolution's result")
        self.bias_tensor = bias
        return input

    # -- from the graph to plans -------------------------------------------------------------------

    def validate(self) -> None:
        if not self.output.is_output or self.output.uid in self.tensors:
            raise RuntimeError("the result is no output, or has a number that is taken")
        self.tensors[self.output.uid] = self.output
        for each in self.tensors.values():
            _, c, h, w = each.dim
            if min(each.dim) < 1 or each.dtype != self.io:
                raise cudnnGraphNotSupportedError(f"dims {each.dim} of {each.dtype}")
            if each.stride != [c * h * w, 1, w * c, c]:
                raise cudnnGraphNotSupportedError(f"strides {each.stride} of {each.dim}")
        x, w, y = self._roles()
        sizes = []
        for axis in (0, 1):
            extent = (w.dim[2 + axis] - 1) * self.form["dilation"][axis] + 1
            padded = x.dim[2 + axis] + self.form["pre_padding"][axis]
            slack = padded + self.form["post_padding"][axis] - extent
            sizes.append(slack // self.form["stride"][axis] + 1)
        groups = x.dim[1] / w.dim[1]
        if y.dim != [x.dim[0], w.dim[0], *sizes] or groups % 1 or w.dim[0] % groups:
            raise RuntimeError(f"shapes don't fit: {x.dim} {w.dim} {y.dim}")
        if self.bias_tensor is not None and self.bias_tensor.dim != [1, w.dim[0], 1, 1]:
            raise RuntimeError(f"bias of {self.bias_tensor.dim}")
        self.state = "valid"

    def _roles(self) -> tuple[Tensor, Tensor, Tensor]:
        """The image, the weight and the convolution's result, whatever is computed."""
        first, second = self.operands
        return {
            "forward": (first, second, self.output),
            "input_grad": (self.output, second, first),
            "weight_grad": (second, self.output, first),
        }[self.kind]

    def _after(self, wanted: str, state: str) -> None:
        if self.state != wanted:
            raise RuntimeError(f"{state} after {self.state}")
        self.state = state

    def build_operation_graph(self) -> None:
        self._after("valid", "lowered")

    def create_execution_plans(self, modes: list[str]) -> None:
        self._after("lowered", "listed")
        if modes != ["A", "FALLBACK"]:
            raise RuntimeError(f"heuristics {modes}")

    def deselect_numeric_notes(self, notes: list[str]) -> pygraph:
        if self.state != "listed":
            raise RuntimeError("notes strike out plans, which aren't listed yet")
        self.struck |= set(notes)
        return self

    def deselect_workspace_greater_than(self, limit: int) -> pygraph:
        self.limit = limit
        return self

    def _left(self) -> list[int]:
        return [i for i, plan in enumerate(plans)
                if not plan.notes & self.struck and plan.workspace <= self.limit]  # fmt: skip

    def check_support(self) -> None:
        self._after("listed", "supported")
        if unsupported(self) or not self._left():
            raise cudnnGraphNotSupportedError("No valid engine configs")

    def build_plans(self, policy: str = "HEURISTICS_CHOICE") -> None:
        self._after("supported", "built")
        self.ready = set(self._left()) if policy == "ALL" else {self._left()[0]}
        self.chosen = self._left()[0]
        built.append(self)

    def get_workspace_size(self) -> int:
        return self.get_workspace_size_plan_at_index(self.chosen)

    def get_execution_plan_count(self) -> int:
        return len(plans)

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        if index not in self.ready:
            raise RuntimeError(f"plan {index} wasn't built")
        return plans[index].workspace

    # -- execution ---------------------------------------------------------------------------------

    def execute(self, pointers: dict[int, int], workspace: int, handle: int) -> None:
        self.execute_plan_at_index(pointers, workspace, self.chosen, handle)

    def execute_plan_at_index(
        self, pointers: dict[int, int], workspace: int, index: int, handle: int
    ) -> None:
        _own(handle)
        if broken:
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")
        if index not in self.ready:
            raise RuntimeError(f"plan {index} wasn't built")
        if pointers.keys() != self.tensors.keys():
            raise ValueError(f"the variant pack has {set(pointers)}, not {set(self.tensors)}")
        size = plans[index].workspace
        memory = _memory()
        if size:
            _check(memory, workspace, size, "workspace")
        arrays = {}
        for uid, pointer in pointers.items():
            tensor = self.tensors[uid]
            dtype = np.dtype(_DTYPES[tensor.dtype])
            n, c, h, w = tensor.dim
            _check(memory, pointer, n * c * h * w * dtype.itemsize, f"tensor {uid}")
            raw = (ctypes.c_char * (n * c * h * w * dtype.itemsize)).from_address(pointer)
            arrays[uid] = np.frombuffer(raw, dtype).reshape(n, h, w, c).transpose(0, 3, 1, 2)
        executed.append((self, index))
        issue(lambda: self._compute(arrays))

    def _compute(self, arrays: dict[int, np.ndarray]) -> None:
        computed = np.float64 if self.computed == "DOUBLE" else np.float32
        x, w, y = (np.array(arrays[t.uid], computed, order="C") for t in self._roles())
        groups = x.shape[1] // w.shape[1]
        n, height, width = x.shape[0], *x.shape[2:]
        (top, left), (bottom, right) = self.form["pre_padding"], self.form["post_padding"]
        padded = np.zeros((n, groups, w.shape[1], height + top + bottom, width + left + right),
                          computed)  # fmt: skip
        inner = padded[..., top : top + height, left : left + width]
        kernels = w.reshape(groups, -1, *w.shape[1:])
        sums = y.reshape(n, groups, -1, *y.shape[2:])
        if self.kind != "input_grad":
            inner[...] = x.reshape(n, groups, -1, height, width)
            (sums if self.kind == "forward" else kernels)[...] = 0
        (sh, sw), (dh, dw) = self.form["stride"], self.form["dilation"]
        oh, ow = y.shape[2:]
        for p, q in np.ndindex(*w.shape[2:]):
            seen = padded[..., p * dh : p * dh + (oh - 1) * sh + 1 : sh,
                          q * dw : q * dw + (ow - 1) * sw + 1 : sw]  # fmt: skip
            tap = kernels[..., p, q]
            if self.kind == "forward":
                sums += np.einsum("ngchw,gkc->ngkhw", seen, tap)
            elif self.kind == "input_grad":
                seen += np.einsum("ngkhw,gkc->ngchw", sums, tap)
            else:
                tap += np.einsum("ngkhw,ngchw->gkc", sums, seen)
        result = {"forward": y, "input_grad": inner.reshape(x.shape), "weight_grad": w}[self.kind]
        if self.bias_tensor is not None:
            result = result + arrays[self.bias_tensor.uid].astype(computed)
        with np.errstate(over="ignore"):
            arrays[self.output.uid][...] = result


def _memory() -> list[tuple[int, int]]:
    """Where device arrays lie: (start, end) of each."""
    arrays = (each for each in gc.get_objects() if type(each) is fakecupy.ndarray)
    return [(a.data.ptr, a.data.ptr + a.nbytes) for a in arrays if a.flags.c_contiguous]


def _check(memory: list[tuple[int, int]], pointer: int, size: int, what: str) -> None:
    if type(pointer) is not int:
        raise TypeError(f"{what}: an address is an int, got {type(pointer)}")
    if pointer % 16:
        raise RuntimeError(f"{what}: misaligned address {pointer:#x}")
    if not any(start <= pointer and pointer + size <= end for start, end in memory):
        raise RuntimeError(f"{what}: no device array holds {size} bytes at {pointer:#x}")
