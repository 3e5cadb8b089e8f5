"""Draws calls of pools and convolutions, good and bad, and makes them on lucidlite and PyTorch."""

from __future__ import annotations

import numpy as np
from parity import assert_close, layout, libraries, numpy_of, outcome, quietly

OPS = ("max_pool2d", "avg_pool2d", "conv2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
LAYOUTS = ("contiguous", "transposed", "channels_last", "conv", "sliced", "expanded")
DTYPES = ["int64", "int32", "int16", "int8", "uint8", "bool"]
TOLERANCE = {"float64": (1e-9, 1e-11), "float32": (2e-5, 2e-5), "float16": (4e-3, 4e-3)}


def draw_case(choose, op):
    """A call as a dict; ``choose(options)`` picks one of a sequence."""
    case = {
        "op": op,
        "dtype": choose(["float32"] * 9 + ["float64"] * 2 + ["float16"] * 2 + DTYPES),
        "layout": choose(LAYOUTS),
        "shape": _shape(choose),
        "seed": choose(range(100)),
        "ties": choose([False, False, True]),
    }
    return {**case, **_SETTINGS[op](choose, case)}


def _shape(choose):
    batch = choose([1, 2, 2, 3, 3, 5, 0, None, None])
    channels = choose([1, 2, 3, 4, 6])
    size = (choose(range(1, 13)), choose(range(1, 13)))
    if choose(range(30)) == 0:
        return choose([size, (), (2, 1, channels, *size), (2, channels, 0, 5), (2, 0, *size)])
    return (channels, *size) if batch is None else (batch, channels, *size)


def _pair(choose, options):
    """An int, or a pair as tuple or list, now and then of another length."""
    kind = choose(["int"] * 4 + ["tuple"] * 4 + ["list", "one"] * 1 + ["wrong"] * (choose(range(8)) == 0))
    if kind == "int":
        odd = choose([True, 2.0, "2", None, np.int64(2)]) if choose(range(40)) == 0 else None
        return choose(options) if odd is None else odd
    count = {"tuple": 2, "list": 2, "one": 1, "wrong": choose([3, 4])}[kind]
    values = [choose(options) for _ in range(count)]
    return values if kind == "list" else tuple(values)


def _pool(choose, padding):
    case = {"kernel_size": _pair(choose, [1, 2, 2, 2, 3, 3, 3, 4, 5, 7, *_rarely(choose, [0, -1])])}
    if choose([True, True, False]):
        case["stride"] = choose(
            [None, _pair(choose, [1, 1, 2, 2, 3, 4, *_rarely(choose, [0, -2])])]
        )
    if choose([True, False]):
        case["padding"] = _pair(choose, padding + _rarely(choose, [-1, 3, 5]))
    if choose([True, False]):
        case["ceil_mode"] = True
    return case


def _rarely(choose, options):
    return list(options) if choose(range(6)) == 0 else []


def _max_pool(choose, case):
    settings = _pool(choose, [0, 1, 1, 2])
    if choose([True, False, False]):
        settings["dilation"] = _pair(choose, [1, 2, 2, 3, *_rarely(choose, [0])])
    settings["return_indices"] = choose([True, False])
    return {"settings": settings}


def _avg_pool(choose, case):
    settings = _pool(choose, [0, 1, 1, 2])
    if choose([True, False]):
        settings["count_include_pad"] = False
    if choose([True, False, False]):
        settings["divisor_override"] = choose([1, 2, 3, 7, -2, *_rarely(choose, [0])])
    return {"settings": settings}


def _adaptive(choose, case):
    size = _pair(choose, [1, 1, 2, 3, 4, 5, 7, 11, None, *_rarely(choose, [0, -1])])
    return {"settings": {"output_size": size}}


def _adaptive_max(choose, case):
    settings = _adaptive(choose, case)["settings"]
    return {"settings": {**settings, "return_indices": choose([True, False])}}


def _conv(choose, case):
    channels = case["shape"][-3] if len(case["shape"]) > 2 else 2
    groups = choose([1, 1, 1, channels, *(g for g in (2, 3) if channels and channels % g == 0)])
    groups = choose([groups] * 12 + [2, 0])
    inside = channels // groups if groups else channels
    outputs = max(groups, 1) * choose([1, 2, 3])
    if choose(range(12)) == 0:
        outputs, inside = outputs + 1, inside + choose([0, 1])
    kernel = (choose([1, 2, 3, 3, 3, 4, 5]), choose([1, 2, 3, 3, 3, 4]))
    settings = {}
    if groups != 1:
        settings["groups"] = groups
    if choose([True, False]):
        settings["stride"] = _pair(choose, [1, 2, 2, 3, *_rarely(choose, [0, -1])])
    if choose([True, True, False]):
        settings["padding"] = choose(
            [_pair(choose, [0, 1, 1, 2, 3, *_rarely(choose, [-1])])] * 5
            + ["same", "valid", *_rarely(choose, ["full"])]
        )
    if choose([True, False, False]):
        settings["dilation"] = _pair(choose, [1, 2, 3, *_rarely(choose, [0])])
    bias = choose([None, outputs, outputs, *_rarely(choose, [outputs + 1])])
    return {"weight": (outputs, inside, *kernel), "bias": bias, "settings": settings}


_SETTINGS = {
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "conv2d": _conv,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive_max,
}


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
    if grads:
        cotangent = rng.standard_normal(tuple(outs[0].shape)).astype(dtype)
        outs[0].backward(side.lib.from_numpy(cotangent))
    return [numpy_of(out) for out in outs], [numpy_of(leaf.grad) for leaf in leaves if grads]


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
    rtol, atol = TOLERANCE.get(case["dtype"], (0, 0))
    exact = "max" in case["op"]
    for name, mine, want in zip(("output", "indices"), ours[0], theirs[0], strict=False):
        assert_close(mine, want, 0 if exact else rtol, 0 if exact else atol, f"{name} of {case}")
    assert len(ours[0]) == len(theirs[0])
    for name, mine, want in zip(("input", "weight", "bias"), ours[1], theirs[1], strict=False):
        assert_close(mine, want, rtol, atol * 10, f"{name} gradient of {case}")
    return False
