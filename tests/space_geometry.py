"""Draws calls of what works on places, good and bad, and makes them on lucidlite and PyTorch."""

from __future__ import annotations

import numpy as np
from parity import assert_close, layout, libraries, numpy_of, outcome, quietly

LAYOUTS = ("contiguous", "transposed", "channels_last", "conv", "sliced")
TOLERANCE = {"float64": (1e-8, 1e-10), "float32": (1e-4, 3e-5)}


class Draw:
    """One call: ``shapes`` of its tensors (None for an absent one) and its ``settings``.

    ``choose(options)`` picks one of a sequence. One in five has a fault of some kind.
    """

    def __init__(self, choose, op):
        self.choose, self.op = choose, op
        self.fault = choose(("", "", "", "", "range", "", "", "", "shape", "count"))
        self.rank = 1 if op.endswith("1d") else 2
        self.indices = 0  # how many places max_unpool's indices name, 0 for no indices
        self.shapes, self.settings = getattr(self, f"draw_{op}", self.draw_pool)()
        self.dtype, self.layout = choose(("float32", "float64")), choose(LAYOUTS)
        self.seed = choose(range(1000))

    def __repr__(self):
        return f"{self.op}{self.shapes} {self.settings} {self.dtype} {self.layout} seed={self.seed}"

    def flip(self):
        return self.choose((True, False))

    def bad(self, *values):
        return values if self.fault == "range" else ()

    def sizes(self, *options):
        """A number, or one for each dim as a tuple or list; a wrong count as a fault."""
        kind, count = self.choose((int, int, tuple, tuple, list)), self.rank
        if self.fault == "count":
            kind, count = tuple, 3
        if kind is int:
            return self.choose(options)
        return kind(self.choose(options) for _ in range(count))

    def image(self, channels=None, least=1, most=9):
        """The shape of a batch, or of a single example."""
        channels = self.choose((1, 2, 3, 4)) if channels is None else channels
        size = [self.choose(range(least, most)) for _ in range(self.rank)]
        if self.fault == "shape":
            return tuple(size[:1]) if self.flip() else (2, 2, channels, 1, *size)
        # PyTorch's convolutions check few settings where the batch is empty.
        empty = () if self.op.startswith("conv") else ((0, channels),)
        return self.choose(((2, channels), (1, channels), (channels,), *empty)) + tuple(size)

    def filled(self, **drawn):
        """Some of the settings: about half are left out."""
        return {name: draw() for name, draw in drawn.items() if self.flip()}

    def draw_conv1d(self):
        groups = self.choose((1, 1, 2, 3))
        inside, outside = self.choose((1, 2)), groups * self.choose((1, 2))
        numbers = lambda: self.sizes(0, 1, 2, *self.bad(-1))  # noqa: E731
        settings = {"groups": groups} | self.filled(
            stride=lambda: self.sizes(1, 2, 3, *self.bad(0, -1)),
            padding=lambda: self.choose((numbers(), numbers(), "same", "valid", *self.bad("all"))),
            dilation=lambda: self.sizes(1, 2, *self.bad(0)),
        )
        channels = inside * groups + (self.fault == "count" and self.flip())
        kernel = [self.choose((1, 2, 3, 4)) for _ in range(self.rank)]
        bias = self.choose((None, (outside,), (outside,), *self.bad((outside + 1,))))
        return [self.image(channels, 2), (outside, inside, *kernel), bias], settings

    def draw_conv_transpose2d(self):
        groups = self.choose((1, 1, 2, 3))
        inside, outside = groups * self.choose((1, 2)), self.choose((1, 2))
        settings = {"groups": groups} | self.filled(
            stride=lambda: self.sizes(1, 2, 3, *self.bad(0)),
            padding=lambda: self.sizes(0, 1, 2, *self.bad(-1)),
            output_padding=lambda: self.sizes(0, 0, 1, 2, *self.bad(-1, 4)),
            dilation=lambda: self.sizes(1, 2, 3, *self.bad(0)),
        )
        kernel = [self.choose((1, 2, 3, 4)) for _ in range(self.rank)]
        outputs = groups * outside
        bias = self.choose((None, (outputs,), (outputs,), *self.bad((outputs + 1,))))
        return [self.image(inside, 1, 6), (inside, outside, *kernel), bias], settings

    draw_conv_transpose1d = draw_conv_transpose2d

    def draw_pool(self):
        settings = {"kernel_size": self.sizes(1, 2, 3, *self.bad(0, -1))} | self.filled(
            stride=lambda: self.sizes(1, 2, 3, *self.bad(0)),
            padding=lambda: self.sizes(0, 0, 1, *self.bad(-1, 3)),
            ceil_mode=lambda: True,
        )
        if "max" in self.op:
            settings |= self.filled(dilation=lambda: self.sizes(1, 2, *self.bad(0)))
            settings["return_indices"] = self.flip()
        else:
            settings |= self.filled(count_include_pad=lambda: False)
        return [self.image()], settings

    def draw_adaptive_avg_pool1d(self):
        return [self.image()], {"output_size": self.sizes(1, 2, 3, 5, 11, *self.bad(-1))}

    def draw_adaptive_max_pool1d(self):
        shapes, settings = self.draw_adaptive_avg_pool1d()
        return shapes, settings | {"return_indices": self.flip()}

    def draw_lp_pool2d(self):
        return [self.image()], {
            "norm_type": self.choose((1, 2, 2.0, 3, float("inf"), float("-inf"))),
            "kernel_size": self.choose((1, 2, 3)),
        } | self.filled(stride=lambda: self.choose((1, 2, 3)), ceil_mode=lambda: True)

    draw_lp_pool1d = draw_lp_pool2d

    def draw_max_unpool2d(self):
        kernel, stride = self.choose((2, 3)), self.choose((2, 3))
        shape = self.image(None, 1, 4)
        settings = {"kernel_size": kernel, "stride": stride}
        if self.flip():
            settings["padding"] = self.choose((0, 1))
        usual = [(n - 1) * stride + kernel - 2 * settings.get("padding", 0)
                 for n in shape[-self.rank :]]  # fmt: skip
        if not all(usual):  # PyTorch doesn't look at the indices of an empty output
            settings.pop("padding")
            usual = [n + 2 for n in usual]
        size = [max(1, n + self.choose((-1, 0, 1, *self.bad(3)))) for n in usual]
        if self.flip():
            settings["output_size"] = (*shape[: -self.rank], *size) if self.flip() else size
            usual = size
        self.indices = max(1, int(np.prod(usual))) + (7 if self.bad(1) else 0)
        return [shape], settings

    draw_max_unpool1d = draw_max_unpool2d

    def draw_unfold(self):
        settings = {"kernel_size": self.sizes(1, 2, 3, *self.bad(0))} | self._windows()
        return [self.image()], settings

    def _windows(self):
        return self.filled(
            dilation=lambda: self.sizes(1, 2, *self.bad(0)),
            padding=lambda: self.sizes(0, 1, 2, *self.bad(-1)),
            stride=lambda: self.sizes(1, 2, *self.bad(0)),
        )

    def draw_fold(self):
        kernel, gap, pad, step = (self.choose(o) for o in ((1, 2, 3), (1, 2), (0, 1), (1, 2)))
        size = [self.choose(range(3, 8)) for _ in range(2)]
        counts = [(n + 2 * pad - gap * (kernel - 1) - 1) // step + 1 for n in size]
        blocks = max(int(np.prod(counts)), 1) + (self.fault == "count")
        rows = kernel * kernel * self.choose((1, 2)) + len(self.bad(1))
        lead = self.choose(((2,), (1,), (), *(((2, 1),) if self.fault == "shape" else ())))
        return [(*lead, rows, blocks)], {
            "output_size": size, "kernel_size": kernel, "dilation": gap, "padding": pad,
            "stride": step,
        }  # fmt: skip

    def draw_pad(self):
        mode = self.choose(("constant", "reflect", "replicate", "circular", *self.bad("mirror")))
        count = self.choose((1, 2, 3))
        lead = self.choose(((2, 3), (2,), *(((), (1, 2, 2)) if self.fault == "shape" else ())))
        size = [self.choose((3, 4, 5)) for _ in range(count)]
        # Where a circular pad crops all there is PyTorch's border is whatever memory holds.
        crop = -2 if mode == "circular" else -4
        pads = [self.choose((0, 1, 2, *self.bad(5, crop))) for _ in range(2 * count)]
        if self.fault == "count":
            pads.append(1)
        settings = {"pad": tuple(pads), "mode": mode}
        if self.choose((True, False, False)):
            settings["value"] = self.choose((0.0, 1.5))
        return [(*lead, *size)], settings

    def draw_interpolate(self):
        rank = self.choose((1, 2, 2, 2, 3))
        usual = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}[rank]
        others = ("bilinear", "linear", "cubic") if self.fault == "shape" else ()
        mode = self.choose((*usual, *usual, "nearest", "nearest-exact", "area", *others))
        shape = (self.choose((1, 2, 2)), 2, *(self.choose(range(1, 12)) for _ in range(rank)))
        settings = {"mode": mode}
        if self.flip():
            settings["size"] = self.choose((
                self.choose((1, 3, 7, 20)),
                tuple(self.choose((1, 2, 5, 16, *self.bad(0))) for _ in range(rank)),
            ))  # fmt: skip
        else:
            # Where a factor leaves a size as it is, what is nearest differs by memory order in
            # PyTorch, and by whether values or gradients are asked for.
            factors = (0.4, 0.5, 1.7, 2, 3, *((1.1,) if "nearest" not in mode else ()))
            one = self.choose(factors)
            settings["scale_factor"] = self.choose(
                (one, tuple(self.choose(factors) for _ in range(rank)))
            )
            settings |= self.filled(recompute_scale_factor=self.flip)
        if "linear" in mode or mode == "bicubic" or self.fault == "range":
            settings |= self.filled(align_corners=self.flip)
        if mode in ("bilinear", "bicubic") or self.fault == "count":
            settings |= self.filled(antialias=self.flip)
        if settings.get("antialias") and len(shape) == 4:
            # PyTorch errs where images become one column wide, and in the gradient where a
            # factor leaves a size as it is.
            shape = (*shape[:3], shape[3] + 4)
            settings = {k: v for k, v in settings.items() if k != "size"}
            settings["scale_factor"] = self.choose((0.5, 1.7, (2, 0.5), (0.6, 3)))
        return [shape], settings

    def draw_layer_norm(self):
        shape = tuple(self.choose((1, 2, 3, 4)) for _ in range(self.choose((1, 2, 3))))
        lead = self.choose(((), (2,), (3, 2), (0,)))
        wrong = shape[1:] if self.fault == "shape" else shape
        affine = [self.choose((None, shape, *self.bad((7,)))) for _ in range(2)]
        shapes = [(*lead, *wrong), *affine[: 1 if self.op == "rms_norm" else 2]]
        return shapes, {"normalized_shape": self.choose((shape, list(shape)))} | self.filled(
            eps=lambda: 1e-2
        )

    draw_rms_norm = draw_layer_norm

    def draw_group_norm(self):
        groups, each = self.choose((1, 2, 3)), self.choose((1, 2))
        channels = groups * each + len(self.bad(1))
        rest = self.choose(((), (4,), (3, 2), (2, 1, 2)))
        lead = () if self.fault == "shape" else (self.choose((0, 1, 2)),)
        affine = [self.choose((None, (channels,)))]  # a bias alone is an error in PyTorch's
        affine.append(affine[0] and self.choose((None, (channels,))))
        return [(*lead, channels, *rest), *affine], {"num_groups": groups} | self.filled(
            eps=lambda: 1e-2
        )

    def draw_instance_norm(self):
        channels = self.choose((1, 2, 3))
        rest = self.choose(((4,), (3, 2), (1,), (2, 1, 2)))
        affine = [self.choose((None, (channels,), *self.bad((5,)))) for _ in range(2)]
        return [(self.choose((1, 2)), channels, *rest), *affine], self.filled(eps=lambda: 1e-2)

    def draw_local_response_norm(self):
        rest = self.choose(((4,), (3, 2), (2, 1, 2), *(((),) if self.fault == "shape" else ())))
        settings = {"size": self.choose((1, 2, 3, 4))} | self.filled(
            alpha=lambda: 0.1, beta=lambda: 0.5, k=lambda: 2.0
        )
        return [(2, self.choose((1, 2, 5)), *rest)], settings

    def draw_pixel_shuffle(self):
        r = self.choose((1, 2, 3, *self.bad(0, -2)))
        lead = self.choose(((), (2,), (2, 1), (0,)))
        size = [self.choose((1, 2, 4)) for _ in range(2)]
        channels = self.choose((1, 2)) * r * r + (self.fault == "shape")
        return [(*lead, channels, *size)], {"upscale_factor": r}

    def draw_pixel_unshuffle(self):
        r = self.choose((1, 2, 3, *self.bad(0, -2)))
        lead = self.choose(((), (2,), (2, 1)))  # of an empty batch PyTorch gives back the input
        size = [self.choose((1, 2)) * abs(r) + (self.fault == "shape") for _ in range(2)]
        return [(*lead, self.choose((1, 2)), *size)], {"downscale_factor": r}

    def draw_channel_shuffle(self):
        groups = self.choose((1, 2, 3, *self.bad(0, -1)))
        channels = abs(groups) * self.choose((1, 2)) + (self.fault == "shape")
        rest = self.choose(((4,), (3, 2), *(((),) if self.fault == "count" else ())))
        return [(2, channels, *rest)], {"groups": groups}


OPS = [name.removeprefix("draw_") for name in vars(Draw) if name.startswith("draw_")]
OPS = sorted((set(OPS) - {"pool"}) | {"max_pool1d", "avg_pool1d"})
KEYWORDS = {"layer_norm": ("weight", "bias"), "rms_norm": ("weight",),
            "group_norm": ("weight", "bias"), "instance_norm": ("weight", "bias")}  # fmt: skip


def run(side, draw):
    """(outputs, gradients) of the call on one library, as NumPy arrays."""
    rng = np.random.default_rng(draw.seed)
    leaves = []
    for i, shape in enumerate(draw.shapes):
        values = None if shape is None else rng.standard_normal(shape).astype(draw.dtype)
        if i == 0 and draw.op.startswith("lp_"):
            values = np.abs(values) + 0.1  # the root of 0 has no slope
        if i == 0:
            values = layout(values, draw.layout)
        leaves.append(None if values is None else side.lib.from_numpy(values).requires_grad_())
    given = [leaves[0]]
    if draw.indices:
        shape = draw.shapes[0]
        planes = shape[: -draw.rank]
        count = int(np.prod(shape[-draw.rank :]))
        picks = [
            rng.permutation(max(draw.indices, count))[:count] for _ in range(int(np.prod(planes)))
        ]
        given.append(side.lib.from_numpy(np.array(picks, np.int64).reshape(shape)))
    named = dict(draw.settings)
    if draw.op in KEYWORDS:
        named |= zip(KEYWORDS[draw.op], leaves[1:], strict=True)
    else:
        given += leaves[1:]
    found = getattr(side.F, draw.op)(*given, **named)
    outs = found if isinstance(found, tuple) else (found,)
    cotangent = rng.standard_normal(tuple(outs[0].shape)).astype(draw.dtype)
    # PyTorch sends the gradient of a maximum over padding alone to an element of another plane.
    padding = outs[0].isinf().any()
    if outs[0].shape.numel() and not padding:
        outs[0].backward(side.lib.from_numpy(cotangent))
    return [numpy_of(out) for out in outs], [
        numpy_of(t.grad) for t in leaves if t is not None and t.grad is not None
    ]


def check(draw):
    """The call gives on lucidlite what it gives on PyTorch; returns whether both refused it."""
    ours_side, torch_side = libraries()
    theirs, refusal = quietly(lambda: run(torch_side, draw))
    ours, our_refusal = outcome(lambda: run(ours_side, draw))
    if refusal is None and our_refusal is not None and 0 in theirs[0][0].shape:
        # An output of no rows: here always an error, in PyTorch by dtype or mode.
        assert draw.op in ("conv_transpose1d", "conv_transpose2d", "interpolate", "pad"), draw
        return True
    if refusal is not None or our_refusal is not None:
        assert type(our_refusal) is type(refusal), (
            f"{draw}\n  torch: {refusal!r}\n  lucidlite: {our_refusal!r}"
        )
        return True
    assert [len(part) for part in ours] == [len(part) for part in theirs], draw
    for what, mine, want in (("output", *pair) for pair in zip(ours[0], theirs[0], strict=True)):
        assert_close(mine, want, *TOLERANCE[draw.dtype], f"{what} of {draw}")
    rtol, atol = TOLERANCE[draw.dtype]
    for mine, want in zip(ours[1], theirs[1], strict=True):
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        assert_close(mine, want, rtol, 10 * atol * scale, f"gradient of {draw}")
    return False
