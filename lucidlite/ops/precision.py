"""Which operations autocast runs in which dtype: the tables, and what an op asks at its entry.

An op in the tables starts with ``if precision.active: x, y = precision.cast("op", x, y)``, which
costs one look at an attribute where no thread is inside autocast. ``lucidlite.amp`` turns it on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lucidlite.grad_mode import grad_mode
from lucidlite.ops.common import to_dtype
from lucidlite.tensor_base import TensorBase

_HALF = np.dtype(np.float16)
_SINGLE = np.dtype(np.float32)

_LOSSES = (
    "mse_loss", "nll_loss", "cross_entropy", "l1_loss", "smooth_l1_loss", "huber_loss",
    "binary_cross_entropy_with_logits", "kl_div", "poisson_nll_loss", "soft_margin_loss",
    "hinge_embedding_loss", "margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss",
    "multi_margin_loss", "multilabel_margin_loss",
)  # fmt: skip
# PyTorch's lists, of the operations there are here. "narrow" runs in autocast's dtype, "single" in
# float32, "widest" in the widest dtype of its operands; what isn't listed takes what it is given.
# A sum, product or softmax asked for in a dtype is computed in that one.
_SUMS = ("addmm", "baddbmm", "addbmm")
_CONVOLUTIONS = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
_RESIZES = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_nearest_exact1d",
    "upsample_nearest_exact2d", "upsample_nearest_exact3d", "upsample_linear1d",
    "upsample_bilinear2d", "upsample_bilinear2d_aa", "upsample_trilinear3d", "upsample_bicubic2d",
    "upsample_bicubic2d_aa",
)  # fmt: skip
_PADS = (
    "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d",
)  # fmt: skip
RULES: dict[str, dict[str, str]] = {
    "cuda": {
        **dict.fromkeys(
            ("matmul", "mm", "mv", "bmm", "linear", *_SUMS, "addmv", "addr", "chain_matmul",
             "einsum", *_CONVOLUTIONS, "prelu", "scaled_dot_product_attention"), "narrow",
        ),
        **dict.fromkeys(
            (
                "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "pow",
                "logsumexp", "norm", "sum", "prod", "cumsum", "cumprod", "dist", "cdist", "renorm",
                "acos", "asin", "cosh", "sinh", "tan", "erfinv",
                "softmax", "log_softmax", "softplus",
                "cosine_similarity", "layer_norm", "group_norm", "rms_norm", *_RESIZES, *_LOSSES,
            ),
            "single",
        ),
        **dict.fromkeys(
            ("dot", "vdot", "scatter_add", "index_put", "atan2", "addcmul", "addcdiv", "cross",
             "tensordot", "bilinear"), "widest",
        ),
    },
    "cpu": {
        **dict.fromkeys(
            ("matmul", "mm", "bmm", *_SUMS, "linear", *_CONVOLUTIONS, "prelu",
             "scaled_dot_product_attention"), "narrow",
        ),
        **dict.fromkeys(
            ("prod", "trace", "quantile", "cdist",
             "max_unpool2d", "avg_pool3d", *_PADS, "binary_cross_entropy", *_LOSSES),
            "single",
        ),
    },
}  # fmt: skip


class State(NamedTuple):
    """What autocast is set to in a thread: per device type a dtype, and whether casts are kept."""

    dtypes: dict[str, Any]
    keep: bool


OFF = State({}, True)


class _Here(threading.local):
    state = OFF
    depth = 0

    def __init__(self) -> None:
        # Casts of parameters by id: (parameter, its version, whether on the tape, the cast).
        self.kept: dict[int, tuple[TensorBase, int, bool, Any]] = {}


class Precision:
    """The switch of autocast: of each thread, and whether any thread is inside."""

    __slots__ = ("_here", "_lock", "active")

    def __init__(self) -> None:
        self.active = 0  # regions entered and not left, in all threads
        self._here = _Here()
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """What this thread is set to."""
        return self._here.state

    def enter(self, state: State) -> State:
        """Set this thread to ``state``; returns what it was set to, for ``leave``."""
        here = self._here
        before, here.state = here.state, state
        here.depth += 1
        with self._lock:
            self.active += 1
        return before

    def leave(self, before: State) -> None:
        """Set this thread back; outside every region nothing is kept."""
        here = self._here
        here.state = before
        here.depth -= 1
        with self._lock:
            self.active -= 1
        if not here.depth:
            here.kept.clear()

    def forget(self) -> None:
        """Drop the casts kept for this thread."""
        self._here.kept.clear()

    def cast(self, op: str, *tensors: Any) -> tuple[Any, ...]:
        """The operands of ``op`` as autocast wants them; others than float16 and float32 stay.

        What isn't a tensor stays too: the op itself checks its arguments.
        """
        state = self._here.state
        there = [t for t in tensors if isinstance(t, TensorBase)]
        if not state.dtypes or not there:
            return tensors
        place = there[0].backend.device.type
        narrow, rule = state.dtypes.get(place), RULES[place].get(op)
        if narrow is None or rule is None:
            return tensors
        if rule == "narrow":
            kind = narrow
        elif rule == "single" or any(t.array.dtype == _SINGLE for t in there):
            kind = _SINGLE
        else:
            kind = narrow
        return tuple([self._cast(t, kind, place, state.keep) for t in tensors])

    def _cast(self, value: Any, kind: Any, place: str, keep: bool) -> Any:
        if not isinstance(value, TensorBase) or value.backend.device.type != place:
            return value
        found = value.array.dtype
        if found == kind or found not in (_HALF, _SINGLE):
            return value
        leaf = value._requires_grad and value._view is None and value._node is None
        return self._kept(value) if leaf and keep and kind == _HALF else to_dtype(value, kind)

    def _kept(self, leaf: TensorBase) -> Any:
        """The cast of a parameter, made once in a region (a layer may run several times in it)."""
        version = 0 if leaf._cell is None else leaf._cell.value
        taped = grad_mode.enabled
        found = self._here.kept.get(id(leaf))
        if found is not None and found[1] == version and found[2] == taped:
            return found[3]
        cast = to_dtype(leaf, _HALF)
        self._here.kept[id(leaf)] = leaf, version, taped, cast
        return cast


precision = Precision()


@contextmanager
def as_cast(op: str = "", like: TensorBase | None = None) -> Iterator[None]:
    """No autocast inside: for an operation made of others, once its own operands are cast.

    With ``op`` only where that has a rule on the device of ``like``.
    """
    if not precision.active or (like is not None and op not in RULES[like.backend.device.type]):
        yield
        return
    before = precision.enter(OFF)
    try:
        yield
    finally:
        precision.leave(before)


class gradient_mode:
    """Gradients are taped only where asked for, and not autocast: their dtype is the forward's."""

    __slots__ = ("_before", "_casting")

    def __init__(self, create_graph: bool) -> None:
        self._before = grad_mode.enabled
        self._casting = precision.enter(OFF) if precision.active else None
        grad_mode.enabled = create_graph

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self._before
        if self._casting is not None:
            precision.leave(self._casting)
