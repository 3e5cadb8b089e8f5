"""GradScaler: a loss scaled up, so that small gradients survive float16."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from lucidlite.amp.autocast_mode import gpu_answers
from lucidlite.backends import Backend
from lucidlite.callsite import error
from lucidlite.creation import full
from lucidlite.dtypes import float32, int32
from lucidlite.ops.transfer import to_device
from lucidlite.optim import Optimizer
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor


class _Stage(enum.Enum):
    """How far an optimizer is in this iteration."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """An optimizer's stage, and on each of its devices whether an inf or NaN was found."""

    def __init__(self) -> None:
        self.stage = _Stage.READY
        self.found: dict[Backend, Tensor] = {}


class GradScaler:
    """Scales a loss, divides its gradients again, and skips steps whose gradients overflowed.

    An overflow (inf or NaN) multiplies the scale by ``backoff_factor``; ``growth_interval`` steps
    without one multiply it by ``growth_factor``. With ``enabled=False``, or "cuda" without a GPU
    (which warns), every method lets things through unchanged.

    Scaling, unscaling and ``update`` happen on the device. ``step`` alone waits for it, once for
    each device, as PyTorch's does: whether to step is decided on the host.

    >>> import lucidlite
    >>> w = lucidlite.ones(2, requires_grad=True)
    >>> optimizer = lucidlite.optim.SGD([w], lr=0.5)
    >>> scaler = lucidlite.amp.GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale(w.sum()).backward(); w.grad
    tensor([8., 8.])
    >>> scaler.step(optimizer); scaler.update(); w.tolist()
    [0.5, 0.5]

    Semantics: torch.amp.GradScaler. Source: Micikevicius et al., 2018.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device == "cuda" and not gpu_answers():
            warnings.warn("GradScaler: no GPU answers, so it does nothing", stacklevel=2)
            enabled = False
        if enabled and not growth_factor > 1.0:
            raise error(
                AssertionError,
                f"GradScaler: the growth factor must be > 1.0, got growth_factor={growth_factor}",
            )
        if enabled and not backoff_factor < 1.0:
            raise error(
                AssertionError,
                "GradScaler: the backoff factor must be < 1.0, "
                f"got backoff_factor={backoff_factor}",
            )
        self._device = device
        self._enabled = bool(enabled)
        self._init_scale = float(init_scale)
        self._init_growth_tracker = 0
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        # On the device of the first loss.
        self._scale: Tensor | None = None
        self._growth_tracker: Tensor | None = None
        self._progress: dict[int, _Progress] = {}

    # -- one iteration -----------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """The loss (or each of an iterable of losses) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                place = outputs.device
                self._scale = full((), self._init_scale, dtype=float32, device=place)
                self._growth_tracker = full((), self._init_growth_tracker, dtype=int32,
                                            device=place)  # fmt: skip
            return outputs * _on(self._scale, outputs.backend)
        if isinstance(outputs, Iterable):
            scaled = [self.scale(each) for each in outputs]
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise error(
            ValueError,
            "GradScaler.scale: outputs must be a Tensor or an iterable of Tensors, "
            f"got {type(outputs).__name__}",
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, in place, once.

        For what reads gradients before ``step``, such as clipping. ValueError for float16
        gradients: parameters stay float32. RuntimeError where it, or ``step``, came before.
        """
        if not self._enabled:
            return
        scale, _ = self._ready("unscale_")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is not _Stage.READY:
            done = "unscale_() has already been called on this optimizer"
            if progress.stage is _Stage.STEPPED:
                done = "unscale_() is being called after step()"
            raise error(RuntimeError, f"GradScaler.unscale_: {done} since the last update()")
        for backend, params in _with_gradients(optimizer).items():
            found = wrap(backend.xp.zeros((), np.float32), backend)
            try:
                backend.unscale(
                    [p.grad.array for p in params], _on(scale, backend).array, found.array
                )
            finally:  # one that is interrupted has written too
                for p in params:
                    p.grad.bump_version()
            progress.found[backend] = found
        progress.stage = _Stage.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args)`` unless a gradient is inf or NaN; None where it is skipped.

        Gradients are divided by the scale first, if ``unscale_`` didn't. The one method that waits
        for the device.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise error(
                RuntimeError,
                "GradScaler.step: closure use is not supported if GradScaler is enabled",
            )
        self._ready("step")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is _Stage.STEPPED:
            raise error(
                RuntimeError,
                "GradScaler.step: step() has already been called since the last update()",
            )
        if progress.stage is _Stage.READY:
            self.unscale_(optimizer)
        if not progress.found:
            raise error(
                AssertionError,
                "GradScaler.step: no inf checks were recorded for this optimizer, none of its "
                "parameters has a gradient",
            )
        overflowed = any([bool(found.item()) for found in progress.found.values()])
        result = None if overflowed else optimizer.step(**kwargs)
        progress.stage = _Stage.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The scale for the next iteration: found from this one's overflows, or ``new_scale``."""
        if not self._enabled:
            return
        scale, tracker = self._ready("update")
        if new_scale is not None:
            self._set(scale, new_scale)
        else:
            found = [_on(t, scale.backend) for p in self._progress.values()
                     for t in p.found.values()]  # fmt: skip
            if not found:
                raise error(
                    AssertionError,
                    "GradScaler.update: no inf checks were recorded prior to update; call step() "
                    "first",
                )
            total = found[0]
            for other in found[1:]:
                total = total + other
            scale.backend.update_scale(
                scale.array, tracker.array, total.array, self._growth_factor,
                self._backoff_factor, self._growth_interval,
            )  # fmt: skip
            scale.bump_version()
            tracker.bump_version()
        self._progress = {}

    def _set(self, scale: Tensor, value: Any) -> None:
        if isinstance(value, Tensor):
            if value.numel() != 1 or value.requires_grad:
                raise error(
                    AssertionError,
                    "GradScaler.update: new_scale should be a float or a 1-element tensor with "
                    f"requires_grad=False, got new_scale={value}",
                )
            scale.copy_(value.reshape(()))
        else:
            scale.fill_(float(value))

    def _ready(self, method: str) -> tuple[Tensor, Tensor]:
        """Scale and tracker, which the first ``scale()`` makes."""
        if self._scale is None or self._growth_tracker is None:
            raise error(
                AssertionError,
                f"GradScaler.{method}: attempted {method} but there is no scale yet; use "
                "scaler.scale(loss) earlier in the iteration",
            )
        return self._scale, self._growth_tracker

    # -- settings ----------------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale as a number, 1.0 where disabled; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        held = self._growth_tracker
        return self._init_growth_tracker if held is None else int(held.item())

    # -- files -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Scale and settings as plain numbers, under PyTorch's names; {} where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what ``state_dict`` gave, here or in PyTorch; nothing where disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise error(
                RuntimeError,
                "GradScaler.load_state_dict: the source state dict is empty, possibly because it "
                "was saved from a disabled instance of GradScaler",
            )
        self._init_scale = float(state_dict["scale"])
        self._init_growth_tracker = int(state_dict["_growth_tracker"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)  # in place: a captured step reads these two
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        if self._progress:
            raise error(
                AssertionError,
                "GradScaler: may only be pickled at the beginning of an iteration, or at the end "
                "after scaler.update()",
            )
        state = self.__dict__.copy()
        state["_init_scale"], state["_init_growth_tracker"] = (
            self.get_scale() if self._enabled else self._init_scale, self._get_growth_tracker(),
        )  # fmt: skip
        state["_scale"] = state["_growth_tracker"] = None
        return state


def _on(tensor: Tensor, backend: Backend) -> Tensor:
    return tensor if tensor.backend is backend else to_device(tensor, backend.device)


def _with_gradients(optimizer: Optimizer) -> dict[Backend, list[Tensor]]:
    """The parameters that have a gradient, by device."""
    found: dict[Backend, list[Tensor]] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.array.dtype == np.float16:
                raise error(
                    ValueError,
                    "GradScaler.unscale_: attempting to unscale FP16 gradients; keep the "
                    "parameters float32 and use autocast",
                )
            found.setdefault(p.backend, []).append(p)
    return found
