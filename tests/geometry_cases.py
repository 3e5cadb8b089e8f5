"""Draws calls of pools and convolutions, good and bad, and makes them on lucidlite and PyTorch."""

from __future__ import annotations

import numpy as np
from parity import assert_close, layout, libraries, numpy_of, outcome, quietly

OPS = ("max_pool2d", "avg_pool2d", "conv2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
LAYOUTS = ("contiguous", "transposed", "channels_last", "conv", "sliced", "expanded")
FLOATS = ("float32", "float32", "float32", "float64", "float16")
DTYPES = ("int64", "int32", "int16", "int8", "uint8", "bool")
TOLERANCE = {"float64": (1e-9, 1e-11), "float32": (2e-5, 2e-5), "float16": (4e-3, 4e-3)}


FAULTS = ("rank", "odd", "count", "range", "channels", "dtype")


def draw_case(choose, op):
    """A call as a dict; ``choose(options)`` picks one of a sequence. One in six has a fault."""
    draw = Draw(choose, op, choose(FAULTS) if choose(range(6)) == 0 else "")
    shape = draw.shape()
    case = {
        "op": op,
        "shape": shape,
        "layout": choose(LAYOUTS),
        "dtype": choose(DTYPES if draw.fault == "dtype" else FLOATS),
        "seed": choose(range(100)),
        "ties": choose([False, False, True]),
    }
    if case["dtype"] in ("int8", "uint8"):  # PyTorch limits planes it takes for channels_last
        case["layout"] = "contiguous"
    if op == "conv2d":
        return {**case, **draw.conv(shape[-3] if len(shape) > 2 else 2, case["dtype"])}
    if "adaptive" in op:
        return {**case, "settings": draw.adaptive()}
    return {**case, "settings": draw.pool()}


class Draw:
    """The parts of a case. ``fault`` names what may be wrong with it, '' for nothing."""

    def __init__(self, choose, op, fault):
        self.choose, self.op, self.fault = choose, op, fault

    def shape(self):
        choose = self.choose
        batch = choose([1, 2, 2, 3, 3, 5, None, None] + [0] * (not self.fault))
        channels = choose([1, 2, 3, 4, 6])
        size = (choose(range(1, 13)), choose(range(1, 13)))
        if self.fault == "rank":
            # PyTorch's adaptive average to one value is a mean and takes all of these; its
            # convolution of no channels has no output channels either.
            if self.op == "adaptive_avg_pool2d":
                return (2, 0, *size)
            empty = [] if self.op == "conv2d" else [(2, 0, *size)]
            return choose([size, (), (2, 1, 2, *size), (2, channels, 0, 5), *empty])
        return (channels, *size) if batch is None else (batch, channels, *size)

    def bad(self, *values):
        return list(values) if self.fault == "range" else []

    def pair(self, *options):
        """An int, or a pair as tuple or list; one of another length or type as a fault."""
        choose = self.choose
        if self.fault == "odd" and choose([True, False]):
            return choose([True, 2.0, "2", (2, 1.5), (2, None)])
        kinds = [0, 0, 2, 2, 2]
        if "adaptive" not in self.op:
            kinds += [1]
        count = choose(kinds + ([1, 3, 4] if self.fault == "count" else []))
        if not count:
            return choose(options)
        values = [choose(options) for _ in range(count)]
        return choose([tuple(values), tuple(values), values])

    def pool(self):
        choose = self.choose
        case = {"kernel_size": self.pair(1, 2, 2, 2, 3, 3, 3, 4, 5, 7, *self.bad(0, -1))}
        if choose([True, True, False]):
            stride = self.pair(1, 1, 2, 2, 3, 4, *self.bad(0, -2))
            case["stride"] = choose([None, (), stride, stride, stride])
        if choose([True, False]):
            case["padding"] = self.pair(0, 0, 1, 1, 2, *self.bad(-1, 3, 5))
        if choose([True, False]):
            case["ceil_mode"] = 1 if self.fault == "odd" else True
        if self.op == "max_pool2d":
            if choose([True, False, False]):
                case["dilation"] = self.pair(1, 2, 2, 3, *self.bad(0))
            case["return_indices"] = choose([True, False])
            return case
        if choose([True, False]):
            case["count_include_pad"] = 0 if self.fault == "odd" else False
        if choose([True, False, False]):
            case["divisor_override"] = choose([1, 2, 3, 7, -2, *self.bad(0)])
        return case

    def adaptive(self):
        none = [0] * (self.fault != "dtype")  # averages of nothing have any dtype in PyTorch
        case = {"output_size": self.pair(1, 1, 2, 3, 4, 5, 7, 11, *none, *self.bad(-1))}
        if isinstance(case["output_size"], tuple) and self.choose([True, False, False]):
            case["output_size"] = (None, *case["output_size"][1:])
        if self.op == "adaptive_max_pool2d":
            case["return_indices"] = self.choose([True, False])
        return case

    def conv(self, channels, dtype):
        choose = self.choose
        groups = choose([1, 1, 1, channels, *(g for g in (2, 3) if channels % g == 0)]) or 1
        inside, outputs = channels // groups, groups * choose([1, 2, 3])
        if self.fault == "channels":
            groups = choose([groups, groups + 1, 0, -1])
            outputs, inside = outputs + choose([0, 1]), inside + choose([0, 1])
        kernel = (choose([1, 2, 3, 3, 3, 4, 5]), choose([1, 2, 3, 3, 3, 4]))
        settings = {} if groups == 1 else {"groups": groups}
        if choose([True, False]):
            settings["stride"] = self.pair(1, 2, 2, 3, *self.bad(0, -1))
        if choose([True, True, False]):
            numbers = self.pair(0, 1, 1, 2, 3, *self.bad(-1))
            settings["padding"] = choose([numbers] * 5 + ["same", "valid", *self.bad("full")])
        # PyTorch has no dilated convolution of integers.
        if dtype.startswith("float") and choose([True, False, False]):
            settings["dilation"] = self.pair(1, 2, 3, *self.bad(0))
        bias = choose([None, outputs, outputs, *self.bad(outputs + 1)])
        return {"weight": (outputs, inside, *kernel), "bias": bias, "settings": settings}


def _values(rng, shape, dtype, ties):
    if not dtype.startswith("float"):
        return rng.integers(0 if dtype[0] in "ub" else -3, 4, shape).astype(dtype)
    if ties:
        return rng.integers(-3, 4, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _run(side, case):
    """(outputs, gradients) of the call on one library, as NumPy arrays."""
    rng = np.random.default_rng(case["seed"])
    dtype, grads = case["dtype"], case["dtype"].startswith("float")
    shape, expanded = case["shape"], case["layout"] == "expanded"
    stored = (1, *shape[1:]) if expanded and shape else shape
    values = _values(rng, stored, dtype, case["ties"])
    leaves = [side.lib.from_numpy(layout(values, "contiguous" if expanded else case["layout"]))]
    if case["op"] == "conv2d":
        leaves.append(side.lib.from_numpy(_values(rng, case["weight"], dtype, False)))
        if case["bias"] is not None:
            leaves.append(side.lib.from_numpy(_values(rng, (case["bias"],), dtype, False)))
    for leaf in leaves if grads else ():
        leaf.requires_grad_()
    x = leaves[0].expand(shape) if expanded else leaves[0]
    found = getattr(side.F, case["op"])(x, *leaves[1:], **case["settings"])
    outs = found if isinstance(found, tuple) else (found,)
    if grads and has_gradient(case, outs[0]):
        cotangent = rng.standard_normal(tuple(outs[0].shape)).astype(dtype)
        outs[0].backward(side.lib.from_numpy(cotangent))
    return [numpy_of(out) for out in outs], [
        numpy_of(leaf.grad) for leaf in leaves if leaf.grad is not None
    ]


def has_gradient(case, out):
    """Whether PyTorch's gradient means anything.

    It refuses one of no output elements, and sends that of a maximum over padding alone to an
    element outside the plane.
    """
    if "adaptive" in case["op"]:
        return 0 not in out.shape[-3:]
    return case["op"] != "max_pool2d" or not bool((out == -float("inf")).any())


def check_case(case):
    """The call gives on lucidlite what it gives on PyTorch; returns whether both refused it."""
    ours_side, torch_side = libraries()
    theirs, refusal = quietly(lambda: _run(torch_side, case))
    ours, our_refusal = outcome(lambda: _run(ours_side, case))
    if refusal is not None or our_refusal is not None:
        assert type(our_refusal) is type(refusal), (
            f"{case}\n  torch: {refusal!r}\n  lucidlite: {our_refusal!r}"
        )
        return True
    exact, tiled = "max" in case["op"], in_tiles(case)

    def tolerance(want):
        if tiled:
            return 1e-4, 1e-5 * abs(want).max(initial=0)
        return TOLERANCE.get(case["dtype"], (0, 0))

    for name, mine, want in zip(("output", "indices"), ours[0], theirs[0], strict=False):
        rtol, atol = (0, 0) if exact else tolerance(want)
        assert_close(mine, want, rtol, atol, f"{name} of {case}")
    assert len(ours[0]) == len(theirs[0])
    for name, mine, want in zip(("input", "weight", "bias"), ours[1], theirs[1], strict=False):
        rtol, atol = tolerance(want)
        assert_close(mine, want, rtol, atol if tiled else atol * 10, f"{name} gradient of {case}")
    return False


def in_tiles(case):
    """Whether a convolution may be Winograd's, whose rounding errors are of the largest values."""
    if case["op"] != "conv2d" or case["dtype"] != "float32":
        return False
    channels = min(case["weight"][:2])
    return tuple(case["weight"][2:]) == (3, 3) and channels >= 8
