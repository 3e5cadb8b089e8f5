"""ModuleConversion: moving a module to another dtype or device, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.creation import empty_like
from lucidlite.device import Device
from lucidlite.dtypes import as_dtype, dtype, float16, float32, float64
from lucidlite.grad_mode import no_grad
from lucidlite.nn.tree import ModuleTree
from lucidlite.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self


class ModuleConversion(ModuleTree):
    """``to`` and its short forms. Parameters and gradients stay the same objects."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the values of parameters, their gradients and the buffers by ``fn`` of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is not None:
                    # The gradient is out of the way while the dtypes differ.
                    grad, parameter.grad = parameter.grad, None
                    parameter.data = fn(parameter)
                    if grad is not None:
                        grad.data = fn(grad)
                        parameter.grad = grad
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the module in place to a device, a floating-point dtype, or those of a tensor.

        ``to(device=None, dtype=None, non_blocking=False)``, ``to(dtype)`` or ``to(tensor)``; the
        dtype is for floating-point parameters and buffers alone. ``non_blocking`` changes nothing:
        weights aren't in pinned memory. Returns the module. TypeError for any other dtype.

        >>> import lucidlite
        >>> lucidlite.nn.Linear(2, 1).to(lucidlite.float64).weight.dtype
        torch.float64
        """
        device, kind = _destination(args, kwargs)
        if kind is not None and not kind.is_floating_point:
            raise error(
                TypeError, f"nn.Module.to only accepts floating point dtypes, got dtype={kind}"
            )

        def convert(tensor: Tensor) -> Tensor:
            moved = tensor if device is None else tensor.to(device)
            return moved.to(kind) if kind is not None and moved.dtype.is_floating_point else moved

        return self._apply(convert)

    def to_empty(
        self, *, device: int | str | Device | None, recurse: bool = True
    ) -> Self:
        """Move the module without its values: all parameters and buffers are uninitialised."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse)

    def cpu(self) -> Self:
        """Move the module to the CPU, in place; returns it."""
        return self.to(Device("cpu"))

    def cuda(self, device: int | str | Device | None = None) -> Self:
        """Move the module to a GPU (the current one unless named), in place; returns it."""
        return self.to(Device("cuda" if device is None else device))

    def type(self, dst_type: dtype) -> Self:
        """Convert all parameters and buffers, integer ones too, to ``dst_type``; returns it."""
        kind = as_dtype(dst_type, "type")
        return self._apply(lambda tensor: tensor.to(kind))

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32; returns the module."""
        return self.to(float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64; returns the module."""
        return self.to(float64)

    def half(self) -> Self:
        """Convert floating-point parameters and buffers to float16; returns the module."""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """Refused: there is no bfloat16 here."""
        raise error(
            NotImplementedError, "bfloat16: there is no such dtype; use half(), or amp.autocast"
        )

    def share_memory(self) -> Self:
        """Refused: no processes share tensors here."""
        raise error(
            NotImplementedError,
            "share_memory: tensors can't be shared between processes; use threads, or state_dict()",
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Refused: nothing is compiled here."""
        del args, kwargs
        raise error(
            NotImplementedError, "compile: there is no compiler; call the module as it is"
        )


def _destination(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Device | None, dtype | None]:
    """Device and dtype that the arguments of ``to`` ask for."""
    names: tuple[str, ...] = ("device", "dtype", "non_blocking")
    if args and isinstance(args[0], (Tensor, dtype)):
        names = ("tensor" if isinstance(args[0], Tensor) else "dtype", "non_blocking")
    elif "tensor" in kwargs:
        names = ("tensor", "non_blocking")
    if len(args) > len(names):
        raise error(TypeError, f"to: takes at most {', '.join(names)}, got {len(args)} arguments")
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name in given or name not in names:
            problem = "given twice" if name in given else f"not one of {', '.join(names)}"
            raise error(TypeError, f"to: an argument is {problem}, got {name}={value!r}")
        given[name] = value
    tensor = given.get("tensor")
    if tensor is not None:
        return tensor.device, tensor.dtype
    device, kind = given.get("device"), given.get("dtype")
    return (
        None if device is None else Device(device),
        None if kind is None else as_dtype(kind, "to"),
    )
