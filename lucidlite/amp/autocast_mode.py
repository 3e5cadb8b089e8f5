"""autocast: matrix products and convolutions in float16, what needs the range in float32."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.dtypes import dtype, float16
from lucidlite.ops.common import to_dtype
from lucidlite.ops.precision import RULES, State, precision
from lucidlite.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def is_autocast_available(device_type: str) -> bool:
    """Whether there is an autocast for this type of device. Semantics: torch.amp."""
    _check_type(device_type)
    return device_type in RULES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is inside an autocast region of the device type."""
    _check_device(device_type)
    return precision.state.dtypes.get(device_type) is not None


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype that autocast regions of the device type compute in: float16."""
    _check_device(device_type)
    return float16


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept until autocast's outermost region ends."""
    return precision.state.keep


def clear_autocast_cache() -> None:
    """Drop the casts of parameters that this thread's autocast region keeps."""
    precision.forget()


class autocast:
    """A region in which operations choose their dtype: products in float16, sums in float32.

    For tensors of ``device_type`` ("cuda" or "cpu") linear, matmul and conv2d cast float32 operands
    to float16, and softmax, losses, sums and powers compute in float32; everything else takes the
    dtypes it is given, and float64 is left alone. A gradient is computed in the dtypes of its
    forward, also where ``backward`` is called in the region. Also a decorator; regions nest, and
    ``enabled=False`` makes a plain one. A parameter is cast once a region unless ``cache_enabled``
    is False.

    Without a GPU, "cuda" warns and does nothing. On the CPU, where float16 saves memory but no
    time, ``dtype=float16`` has to be said: PyTorch's bfloat16 doesn't exist here.

    >>> import lucidlite
    >>> x, w = lucidlite.ones(2, 3), lucidlite.ones(3, 3)
    >>> with lucidlite.autocast("cpu", dtype=lucidlite.float16):
    ...     (x @ w).dtype
    torch.float16

    Semantics: torch.autocast. Source: Micikevicius et al., 2018.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        _check_device(device_type)
        self.device = device_type
        self.fast_dtype = float16 if dtype is None else dtype
        self._keep = cache_enabled
        self._before: list[State] = []
        if enabled and device_type == "cuda" and not gpu_answers():
            warnings.warn("autocast: no GPU answers, so 'cuda' does nothing", stacklevel=2)
            enabled = False
        elif enabled and device_type == "cpu" and dtype is None:
            raise error(
                RuntimeError,
                "autocast: the default dtype on a CPU is bfloat16, which is not there; "
                "use dtype=lucidlite.float16 or enabled=False, got device_type='cpu', dtype=None",
            )
        elif enabled and self.fast_dtype is not float16:
            raise error(
                RuntimeError,
                f"autocast: dtype must be float16, got dtype={dtype}; "
                "enabled=False turns autocast off",
            )
        self._enabled = bool(enabled)

    def __enter__(self) -> autocast:
        state = precision.state
        kind = self.fast_dtype.numpy if self._enabled else None
        keep = state.keep if self._keep is None else bool(self._keep)
        self._before.append(precision.enter(State({**state.dtypes, self.device: kind}, keep)))
        return self

    def __exit__(self, *exc: object) -> None:
        precision.leave(self._before.pop())

    def __call__(self, function: F) -> F:
        if not callable(function):
            raise error(
                TypeError,
                "autocast: a decorator takes a function, a region is `with autocast(...):`, "
                f"got {type(function).__name__}",
            )

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: dtype | None = None) -> Any:
    """Decorates ``forward`` of an autograd.Function: it notes autocast's state for ``backward``.

    With ``cast_inputs`` (say float32), called inside autocast, floating-point tensors of the device
    among the arguments are converted first, and ``forward`` runs without autocast.

    >>> import lucidlite
    >>> class Double(lucidlite.autograd.Function):
    ...     @staticmethod
    ...     @lucidlite.amp.custom_fwd(device_type="cpu", cast_inputs=lucidlite.float32)
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @lucidlite.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> with lucidlite.autocast("cpu", dtype=lucidlite.float16):
    ...     Double.apply(lucidlite.ones(2).half()).dtype
    torch.float32

    Semantics: torch.amp.custom_fwd.
    """
    _check_device(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        inside = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = inside and cast_inputs is None
        if not inside or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            args, kwargs = _converted((args, kwargs), device_type, cast_inputs.numpy)
            return fwd(ctx, *args, **kwargs)

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorates ``backward`` of an autograd.Function: autocast is there as it was in ``forward``.

    Semantics: torch.amp.custom_bwd.
    """
    _check_device(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, float16, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return backward


def gpu_answers() -> bool:
    """Whether "cuda" means something here: asked once a region, so without a look at the driver."""
    try:
        get_backend("cuda")
    except RuntimeError:
        return False
    return True


def _converted(value: Any, device_type: str, kind: np.dtype[Any]) -> Any:
    """The float tensors of a device type among nested arguments, converted."""
    if isinstance(value, Tensor):
        found = value.array.dtype
        mine = value.backend.device.type == device_type
        return to_dtype(value, kind) if mine and found.kind == "f" and found.itemsize < 8 else value
    if isinstance(value, Mapping):
        return {key: _converted(each, device_type, kind) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_converted(each, device_type, kind) for each in value])
    return value


def _check_type(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise error(
            ValueError,
            f"autocast: expected device_type of type str, got {type(device_type).__name__}",
        )


def _check_device(device_type: Any) -> None:
    _check_type(device_type)
    if device_type not in RULES:
        raise error(
            RuntimeError,
            "autocast: unsupported autocast device_type, it must be one of "
            f"{', '.join(RULES)}, got device_type={device_type!r}",
        )
