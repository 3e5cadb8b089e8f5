"""cuDNN's convolutions, through the module ``cudnn`` of nvidia-cudnn-frontend (an optional extra).

A convolution of given shapes is a plan, made once and kept. Images and results are C-contiguous
(N, H, W, C), weights (K, kH, kW, C / groups), which is what the dims (N, C, H, W) with the strides
of ``_strides`` say.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from lucidlite.backends.kernels import Array
from lucidlite.window import Window

Shape = tuple[int, int, int, int]

MOST_PLANS = 256
MOST_WORKSPACE = 1 << 30  # bytes
ALIGNED = 16  # bytes; plans read as many at once
TRIED = 8  # algorithms that ``benchmark`` times
INPUTS, RESULT, BIAS = (1, 2), 3, 4  # numbers of a plan's tensors


class Case(NamedTuple):
    """What a plan depends on. ``shapes``: of the two inputs and the result, as (N, C, H, W)."""

    kind: str  # "forward", "input_grad" or "weight_grad"
    shapes: tuple[Shape, Shape, Shape]
    window: Window
    dtype: str  # its char
    bias: bool
    allow_tf32: bool
    deterministic: bool
    exact: bool  # nothing that spreads an inf or NaN beyond the windows that hold it
    benchmark: bool


def load() -> tuple[Any, str]:
    """The module ``cudnn`` and '', or None and what is missing."""
    try:
        import cudnn
    except ImportError as failure:
        if failure.name == "cudnn":
            return None, "nvidia-cudnn-frontend is not installed"
        return None, f"nvidia-cudnn-frontend doesn't load: {failure}"
    except (OSError, RuntimeError) as failure:
        return None, f"nvidia-cudnn-frontend doesn't load: {failure}"
    try:
        cudnn.backend_version()
    except RuntimeError as failure:
        return None, f"nvidia-cudnn-frontend finds no cuDNN: {failure}"
    return cudnn, ""


class Refused(Exception):
    """cuDNN doesn't do what it was asked; nothing was computed."""


class Broken(Refused):
    """It won't do anything else either."""


class _Plan(NamedTuple):
    graph: Any
    which: int | None  # of the graph's algorithms, None for cuDNN's own choice
    workspace: int


class _Handle(threading.local):
    """cuDNN's handle of this thread, and the stream it was last told."""

    value: Any = None
    stream: int | None = None


class CuDNN:
    """The plans of one device."""

    def __init__(self, module: Any) -> None:
        self._cudnn = module
        self._handle = _Handle()
        self._plans: OrderedDict[Case, _Plan | str] = OrderedDict()  # or why there is none
        self._lock = threading.Lock()

    def run(
        self,
        xp: Any,
        case: Case,
        inputs: tuple[Array, Array],
        result: Array,
        bias: Array | None,
        timing: bool = True,
    ) -> None:
        """Compute ``result``, or raise Refused. ``timing``: whether algorithms may be timed now."""
        handle = self._current_handle(xp)
        arrays = dict(zip(INPUTS, map(_aligned, inputs), strict=True))
        arrays[RESULT] = result
        if bias is not None:
            arrays[BIAS] = _aligned(bias)
        pointers = {number: array.data.ptr for number, array in arrays.items()}
        plan = self._kept(case)
        if plan is None and case.benchmark and not timing:
            case = case._replace(benchmark=False)
            plan = self._kept(case)
        if plan is None:
            plan = self._make(xp, case, handle, pointers)
            with self._lock:
                self._plans[case] = plan
                if len(self._plans) > MOST_PLANS:
                    self._plans.popitem(last=False)
        if isinstance(plan, str):
            raise Refused(plan)
        self._execute(xp, plan, handle, pointers)

    def _kept(self, case: Case) -> _Plan | str | None:
        with self._lock:
            plan = self._plans.get(case)
            if plan is not None:
                self._plans.move_to_end(case)
            return plan

    def _current_handle(self, xp: Any) -> Any:
        handle = self._handle
        try:
            if handle.value is None:
                handle.value = self._cudnn.create_handle()
            stream = xp.cuda.get_current_stream().ptr
            if handle.stream != stream:  # telling it costs calls to the driver
                self._cudnn.set_stream(handle=handle.value, stream=stream)
                handle.stream = stream
        except RuntimeError as failure:
            raise Broken(f"cuDNN doesn't start: {failure}") from failure
        return handle.value

    def _execute(self, xp: Any, plan: _Plan, handle: Any, pointers: dict[int, int]) -> None:
        # The pool may hand the room out again at once: only to what the stream does later.
        room = xp.empty(plan.workspace, xp.uint8) if plan.workspace else None
        at = room.data.ptr if room is not None else 0
        try:
            if plan.which is None:
                plan.graph.execute(pointers, at, handle=handle)
            else:
                plan.graph.execute_plan_at_index(pointers, at, plan.which, handle=handle)
        except RuntimeError as failure:
            raise Broken(f"cuDNN failed: {failure}") from failure

    def _make(self, xp: Any, case: Case, handle: Any, pointers: dict[int, int]) -> _Plan | str:
        """A plan, or why there is none."""
        cudnn = self._cudnn
        try:
            graph = build(cudnn, case, handle)
            plan_graph(cudnn, graph, case)
            if case.benchmark:
                return self._fastest(xp, graph, handle, pointers)
            graph.build_plans()
            return _Plan(graph, None, graph.get_workspace_size())
        except _failures(cudnn) as failure:
            return f"cuDNN has no plan: {failure}"

    def _fastest(self, xp: Any, graph: Any, handle: Any, pointers: dict[int, int]) -> _Plan:
        """Of the first algorithms the one that takes the least time; this waits for the device."""
        graph.build_plans(self._cudnn.build_plan_policy.ALL)
        timed: list[tuple[float, int, _Plan]] = []
        for index in range(graph.get_execution_plan_count()):
            try:
                size = graph.get_workspace_size_plan_at_index(index)
                plan = _Plan(graph, index, size)
                self._execute(xp, plan, handle, pointers)
                start, end = xp.cuda.Event(), xp.cuda.Event()
                start.record()
                for _ in range(3):
                    self._execute(xp, plan, handle, pointers)
                end.record()
            except (RuntimeError, ValueError, Refused):
                continue  # it was struck out, couldn't be built or has no room to work in
            end.synchronize()
            timed.append((xp.cuda.get_elapsed_time(start, end), index, plan))
            if len(timed) == TRIED:
                break
        if not timed:
            raise RuntimeError("none of its algorithms runs")
        return min(timed, key=lambda each: each[:2])[2]


def _failures(cudnn: Any) -> tuple[type[Exception], ...]:
    """What the module raises where a graph can't be planned: it depends on the version."""
    return cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError, NotImplementedError


def build(cudnn: Any, case: Case, handle: Any) -> Any:
    """The graph of a case, validated."""
    kinds = cudnn.data_type
    io = {"e": kinds.HALF, "f": kinds.FLOAT, "d": kinds.DOUBLE}[case.dtype]
    computed = kinds.DOUBLE if case.dtype == "d" else kinds.FLOAT
    graph = cudnn.pygraph(
        io_data_type=io, intermediate_data_type=computed, compute_data_type=computed, handle=handle
    )

    def tensor(number: int, shape: Shape) -> Any:
        return graph.tensor(
            name=f"t{number}", dim=list(shape), stride=_strides(shape), data_type=io, uid=number
        )

    window = case.window
    (top, bottom), (left, right) = window.padding
    form = {
        "pre_padding": [top, left], "post_padding": [bottom, right],
        "stride": list(window.stride), "dilation": list(window.dilation),
        "compute_data_type": computed,
    }  # fmt: skip
    first, second = (tensor(n, s) for n, s in zip(INPUTS, case.shapes[:2], strict=True))
    if case.kind == "forward":
        out = graph.conv_fprop(image=first, weight=second, **form)
    elif case.kind == "input_grad":
        out = graph.conv_dgrad(loss=first, filter=second, **form)
    else:
        out = graph.conv_wgrad(image=second, loss=first, **form)
    shape = case.shapes[2]
    if case.bias:
        out = graph.bias(input=out, bias=tensor(BIAS, (1, shape[1], 1, 1)))
    # Dims and strides are always set: what is inferred differs between versions.
    out.set_output(True).set_dim(list(shape)).set_stride(_strides(shape))
    out.set_data_type(io).set_uid(RESULT)
    graph.validate()
    return graph


def plan_graph(cudnn: Any, graph: Any, case: Case) -> None:
    """Have cuDNN list its algorithms for the graph, and strike out those that aren't wanted."""
    notes = cudnn.numerical_note
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    unwanted = []
    if case.dtype == "f" and not case.allow_tf32:
        unwanted += [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS]
    if case.deterministic:
        unwanted.append(notes.NONDETERMINISTIC)
    if case.exact:
        unwanted += [notes.WINOGRAD, notes.FFT]
    if unwanted:
        graph.deselect_numeric_notes(unwanted)
    graph.deselect_workspace_greater_than(MOST_WORKSPACE)
    graph.check_support()


def _strides(shape: Shape) -> list[int]:
    """Elements between neighbours along (N, C, H, W) in memory of order (N, H, W, C)."""
    _, c, h, w = shape
    return [c * h * w, 1, w * c, c]


def _aligned(array: Array) -> Array:
    return array if array.data.ptr % ALIGNED == 0 else array.copy()
