"""Rows of the table for what works on places: sequences and images, pools, pads, sizes, norms."""

from __future__ import annotations

import warnings

from case_kinds import HALF, Input, Table, const, ints

F = "nn.functional."
SINGLE = "a batch of one, squeezed"
COMPOSITE = "PyTorch composes this of other operations"


def add_rows(table: Table) -> None:
    """The rows, at the end of ``table``."""
    for part in (convolutions, pools, pads, sizes, norms, columns):
        part(table.row)


def convolutions(row):
    conv = F + "conv1d"
    row(conv, [(2, 3, 8), (4, 3, 3), (4,)], dtypes=HALF, tol=4)
    row(conv, [(2, 3, 8), (4, 3, 2)], stride=2, padding=1, tol=4)
    row(conv, [(2, 4, 9), (6, 2, 3), (6,)], None, (2,), (1,), (2,), 2, tol=4,
        call=lambda T, x, w, b: T.nn.functional.conv1d(x, w, b, (2,), (1,), (2,), 2))  # fmt: skip
    row(conv, [(2, 3, 8), (4, 3, 4), (4,)], padding="same", dilation=2, tol=4)
    row(conv, [(3, 8), (4, 3, 3), (4,)], padding="valid", tol=4)
    row(conv, [(0, 3, 8), (4, 3, 3), (4,)], tol=4)
    transpose = F + "conv_transpose2d"
    row(transpose, [(2, 3, 4, 5), (3, 4, 3, 2), (4,)], dtypes=HALF, tol=4)
    row(transpose, [(2, 3, 4, 5), (3, 4, 3, 2)], stride=2, padding=1, output_padding=1, tol=4)
    row(transpose, [(2, 4, 4, 3), (4, 3, 3, 3), (6,)], stride=(2, 1), groups=2, dilation=(1, 2),
        tol=4)  # fmt: skip
    row(transpose, [(2, 4, 3, 4), (4, 1, 2, 2)], stride=2, groups=4, tol=4)
    row(transpose, [(1, 2, 3, 3), (2, 2, 3, 3), (2,)], stride=2, padding=1, dilation=4,
        output_padding=3, tol=4, node=COMPOSITE)  # fmt: skip
    row(transpose, [(1, 2, 3, 3), (2, 2, 3, 3), (2,)], stride=1, dilation=3, output_padding=2,
        tol=4, node=COMPOSITE)  # fmt: skip
    row(transpose, [(3, 4, 5), (3, 4, 3, 3), (4,)], tol=4)
    row(transpose, [(0, 3, 4, 5), (3, 4, 3, 3)], tol=4)
    transpose = F + "conv_transpose1d"
    row(transpose, [(2, 3, 5), (3, 4, 3), (4,)], dtypes=HALF, tol=4)
    row(transpose, [(2, 4, 5), (4, 3, 3), (6,)], (3,), (1,), (2,), groups=2, dilation=(2,), tol=4,
        call=lambda T, x, w, b: T.nn.functional.conv_transpose1d(
            x, w, b, (3,), (1,), (2,), 2, (2,)))  # fmt: skip
    row(transpose, [(3, 5), (3, 4, 3)], stride=2, tol=4)


def pools(row):
    row(F + "max_pool1d", [(2, 3, 8)], 2, domain="distinct", dtypes=HALF)
    row(F + "max_pool1d", [(2, 3, 9)], (3,), stride=2, padding=1, domain="distinct")
    row(F + "max_pool1d", [(2, 3, 9)], 3, ceil_mode=True, return_indices=True, domain="distinct")
    row(F + "max_pool1d", [(3, 9)], 2, dilation=3, return_indices=True, domain="distinct")
    row(F + "avg_pool1d", [(2, 3, 8)], 2, dtypes=HALF)
    row(F + "avg_pool1d", [(2, 3, 9)], (3,), (2,), (1,), True, False)
    row(F + "avg_pool1d", [(3, 9)], 4, stride=3, padding=2)
    row(F + "adaptive_avg_pool1d", [(2, 3, 9)], 4, dtypes=HALF)
    row(F + "adaptive_avg_pool1d", [(3, 9)], (3,))
    row(F + "adaptive_avg_pool1d", [(2, 3, 9)], 1)
    row(F + "adaptive_max_pool1d", [(2, 3, 9)], 4, domain="distinct")
    row(F + "adaptive_max_pool1d", [(3, 9)], (3,), return_indices=True, domain="distinct")
    places = Input((2, 3, 2, 2), dtype="int64", low=0, high=4, constant=True)

    def unpool(T, x, at, **named):
        # In windows of 2 x 2: no place is named twice.
        rows = T.arange(2).to(x.device).reshape(2, 1)
        columns = T.arange(2).to(x.device)
        at = (2 * rows + at // 2) * 4 + 2 * columns + at % 2
        return T.nn.functional.max_unpool2d(x, at, 2, **named)

    row(F + "max_unpool2d", [(2, 3, 2, 2), places], call=unpool, dtypes=HALF)
    row(F + "max_unpool2d", [(3, 2, 2), places], numeric=False, grad=False, dtypes=HALF,
        call=lambda T, x, at: unpool(T, x, at[0]))  # fmt: skip
    row(F + "max_unpool2d", [(2, 3, 2, 2), ints((2, 3, 2, 2), 0, 4)], numeric=False,
        call=lambda T, x, at: T.nn.functional.max_unpool2d(
            x, at * 6 + T.arange(4).to(x.device).reshape(2, 2), 2, output_size=(5, 5)))  # fmt: skip
    row(F + "max_unpool1d", [(2, 3, 4)], call=lambda T, x: T.nn.functional.max_unpool1d(
        x, T.tensor([1, 2, 5, 7]).to(x.device).expand(2, 3, 4), 2))  # fmt: skip
    row(F + "max_unpool1d", [(3, 4)], call=lambda T, x: T.nn.functional.max_unpool1d(
        x, T.tensor([0, 4, 6, 9]).to(x.device).expand(3, 4), 3, 2, 0, (10,)))  # fmt: skip
    row(F + "lp_pool2d", [(2, 3, 6, 8)], 2, 2, domain="positive", tol=4)
    row(F + "lp_pool2d", [(2, 3, 7, 9)], 3.0, (3, 2), stride=2, ceil_mode=True, domain="positive",
        tol=4)  # fmt: skip
    row(F + "lp_pool2d", [(3, 6, 8)], float("inf"), 2, domain="distinct", node=SINGLE)
    row(F + "lp_pool2d", [(2, 3, 6, 8)], float("-inf"), 2, domain="distinct", node=COMPOSITE)
    row(F + "lp_pool1d", [(2, 3, 9)], 2, 3, domain="positive", tol=4)
    row(F + "lp_pool1d", [(3, 9)], 1.5, 2, 1, domain="positive", tol=4)
    row(F + "lp_pool1d", [(2, 3, 9)], float("inf"), 2, domain="distinct")


def pads(row):
    pad = F + "pad"
    for mode in ("reflect", "replicate", "circular"):
        options = {"mode": mode}
        row(pad, [(2, 3, 5)], (2, 1), dtypes=HALF, **options)
        row(pad, [(3, 5)], (4, 3), **options)
        row(pad, [(3, 4, 5)], (2, 1, 0, 3), **options)
        row(pad, [(2, 3, 4, 5)], (-1, 2, 1, -2), node=COMPOSITE, **options)
        row(pad, [(1, 2, 3, 3, 4)], (1, 2, 2, 1, 1, 0), **options)
    row(pad, [(2, 3, 5)], (9, 8), mode="replicate")


def sizes(row):
    resize = F + "interpolate"
    for shape in ((2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 4, 3)):
        for mode in ("nearest", "nearest-exact"):
            row(resize, [shape], scale_factor=2, mode=mode)
            row(resize, [shape], scale_factor=1.7, mode=mode)
            row(resize, [shape], scale_factor=0.6, mode=mode, recompute_scale_factor=True)
            row(resize, [shape], 7, mode=mode)
        mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[len(shape)]
        for corners in (False, True):
            row(resize, [shape], 7, mode=mode, align_corners=corners)
            row(resize, [shape], 2, mode=mode, align_corners=corners)
            row(resize, [shape], 1, mode=mode, align_corners=corners)
            row(resize, [shape], scale_factor=1.7, mode=mode, align_corners=corners)
        row(resize, [shape], 3, mode="area")
    row(resize, [(2, 3, 4, 5)], (7, 5), mode="nearest", dtypes=HALF)
    row(resize, [(2, 3, 4, 5)], scale_factor=(2, 0.5), mode="bilinear", dtypes=HALF)
    row(resize, [(2, 3, 4, 5)], (4, 5), mode="nearest")
    row(resize, [(2, 3, 4, 5)], (4, 5), mode="bilinear")
    row(resize, [(2, 3, 4, 5)], 9, mode="nearest", dtypes=("uint8",), grad=False)
    row(resize, [(0, 3, 4, 5)], 9)
    for corners in (False, True):
        row(resize, [(2, 3, 4, 5)], (7, 3), mode="bicubic", align_corners=corners, tol=4)
        row(resize, [(2, 3, 4, 5)], scale_factor=1.7, mode="bicubic", align_corners=corners, tol=4)
    for mode in ("bilinear", "bicubic", "lanczos"):
        row(resize, [(1, 2, 9, 8)], (4, 11), mode=mode, antialias=True, tol=10)
    for name in ("upsample", "upsample_nearest", "upsample_bilinear"):
        row(F + name, [(2, 3, 4, 5)], call=_upsample(name))


def _upsample(name):
    def call(T, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(T.nn.functional, name)(x, 6)

    return call


def norms(row):
    layer, group = F + "layer_norm", F + "group_norm"
    row(layer, [(2, 3, 4)], (4,), dtypes=HALF, tol=4)
    row(layer, [(2, 3, 4), (3, 4), (3, 4)], tol=4, dtypes=HALF,
        call=lambda T, x, w, b: T.nn.functional.layer_norm(x, (3, 4), w, b))  # fmt: skip
    row(layer, [(5, 4), (4,)], tol=4,
        call=lambda T, x, w: T.nn.functional.layer_norm(x, [4], w, eps=1e-2))  # fmt: skip
    row(layer, [(2, 3, 2, 2), (2, 2)], tol=4,
        call=lambda T, x, b: T.nn.functional.layer_norm(x, (2, 2), bias=b))  # fmt: skip
    row(layer, [(0, 4)], (4,))
    row(group, [(2, 6, 5), (6,), (6,)], tol=4, dtypes=HALF,
        call=lambda T, x, w, b: T.nn.functional.group_norm(x, 3, w, b))  # fmt: skip
    row(group, [(2, 6, 4, 3), (6,), (6,)], tol=4,
        call=lambda T, x, w, b: T.nn.functional.group_norm(x, 2, w, b, 1e-2))  # fmt: skip
    row(group, [(3, 6)], 2, tol=4)
    row(group, [(2, 4, 3, 2)], 4, tol=4)
    row(group, [(2, 4, 3)], 1, tol=4)
    row(group, [(0, 4, 3)], 2)
    instance = F + "instance_norm"
    row(instance, [(2, 3, 5)], tol=4, dtypes=HALF)
    row(instance, [(2, 3, 4, 5), (3,), (3,)], tol=4,
        call=lambda T, x, w, b: T.nn.functional.instance_norm(x, weight=w, bias=b))  # fmt: skip
    for use in (True, False):
        row(instance, [(2, 3, 4, 5), const((3,)), const((3,), "positive"), (3,), (3,)], tol=4,
            call=_instance(use))  # fmt: skip
    row(F + "rms_norm", [(2, 3, 4)], (4,), tol=4)
    row(F + "rms_norm", [(2, 3, 4), (3, 4)], tol=4,
        call=lambda T, x, w: T.nn.functional.rms_norm(x, (3, 4), w, 1e-2))  # fmt: skip
    row(F + "rms_norm", [(2, 4), (4,)], tol=4, dtypes=("float16",), numeric=False,
        call=lambda T, x, w: T.nn.functional.rms_norm(x, (4,), w))  # fmt: skip
    row(F + "local_response_norm", [(2, 5, 4)], 3, tol=4)
    row(F + "local_response_norm", [(2, 5, 3, 4)], 2, 0.1, 0.5, 2.0, tol=4)
    row(F + "local_response_norm", [(1, 5, 2, 3, 2)], size=4, alpha=0.1, tol=4)


def _instance(use_input_stats):
    def call(T, x, mean, var, weight, bias):
        mean, var = mean.clone(), var.clone()
        out = T.nn.functional.instance_norm(x, mean, var, weight, bias, use_input_stats, 0.3)
        return out, mean, var

    return call


def columns(row):
    row(F + "unfold", [(2, 3, 5, 6)], 2, dtypes=HALF)
    row(F + "unfold", [(2, 3, 5, 6)], (3, 2), (1, 2), (2, 1), (2, 1))
    row(F + "unfold", [(3, 5, 6)], 3, padding=1, stride=2, node=SINGLE)
    row(F + "unfold", [(0, 3, 5, 6)], 2)
    row(F + "fold", [(2, 12, 20)], (5, 6), 2, dtypes=HALF)
    row(F + "fold", [(2, 18, 24)], (5, 6), (3, 2), (1, 2), (2, 1), (2, 1))
    row(F + "fold", [(12, 6)], (4, 5), 2, stride=(1, 2), node=SINGLE)
    row(F + "pixel_shuffle", [(2, 8, 3, 4)], 2, dtypes=(*HALF, "int64"))
    row(F + "pixel_shuffle", [(9, 2, 2)], 3)
    row(F + "pixel_unshuffle", [(2, 2, 4, 6)], 2, dtypes=(*HALF, "int64"))
    row(F + "pixel_unshuffle", [(3, 1, 2, 3, 3)], 3)
    row(F + "channel_shuffle", [(2, 6, 3, 4)], 3, dtypes=(*HALF, "int64"))
    row(F + "channel_shuffle", [(2, 6, 3)], groups=2)
