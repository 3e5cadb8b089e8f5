"""ModuleHooks: functions called around a module's forward and at its gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lucidlite.callsite import error
from lucidlite.grad_mode import is_grad_enabled
from lucidlite.hooks import HookTable, Marks, RemovableHandle, add_hook
from lucidlite.nn.state import ModuleState
from lucidlite.tape import Node, as_view, record_many, wrap
from lucidlite.tensor import Tensor

Grads = tuple["Tensor | None", ...]


class ModuleHooks(ModuleState):
    """Registration of forward and full backward hooks, and the call that runs them.

    Every method returns a handle: ``handle.remove()`` takes the hook off, and so does leaving
    ``with handle:``. Hooks run in order of registration; ``prepend`` puts one first.
    """

    forward: Callable[..., Any]
    _forward_pre_hooks: HookTable
    _forward_pre_hooks_with_kwargs: Marks
    _forward_hooks: HookTable
    _forward_hooks_with_kwargs: Marks
    _forward_hooks_always_called: Marks
    _backward_pre_hooks: HookTable
    _backward_hooks: HookTable

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; it may return new args.

        With ``with_kwargs``: ``hook(module, args, kwargs)``, which may return (args, kwargs).
        """
        options = ((self._forward_pre_hooks_with_kwargs, with_kwargs),)
        return add_hook(self._forward_pre_hooks, hook, prepend, options)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; it may return another output.

        With ``with_kwargs``: ``hook(module, args, kwargs, output)``. With ``always_call`` it is
        called even if forward raises, with what output there is so far (None).

        >>> import lucidlite
        >>> layer = lucidlite.nn.Linear(2, 1)
        >>> with layer.register_forward_hook(lambda module, args, output: print(output.shape)):
        ...     _ = layer(lucidlite.ones(4, 2))
        (4, 1)
        """
        options = (
            (self._forward_hooks_with_kwargs, with_kwargs),
            (self._forward_hooks_always_called, always_call),
        )
        return add_hook(self._forward_hooks, hook, prepend, options)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the inputs' gradients are known.

        Both are tuples, in the order of the positional arguments and of the outputs, with None
        for what isn't a tensor and for unused outputs. The hook may return a replacement of
        grad_input. It fires at the outputs, with a warning, where no input requires grad. Inputs
        and outputs of a module with such hooks can't be modified in place.
        """
        return add_hook(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Refused: PyTorch's older hook, which saw the gradients of one operation only."""
        raise error(
            NotImplementedError,
            "register_backward_hook: deprecated in PyTorch and absent here, "
            f"use register_full_backward_hook, got hook={hook!r}",
        )

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before the backward of this module's operations.

        It may return a replacement of the tuple grad_output.
        """
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result: Any = None
        called: set[int] = set()
        try:
            for number, hook in tuple(self._forward_pre_hooks.items()):
                if number in self._forward_pre_hooks_with_kwargs:
                    args, kwargs = self._run_pre_hook(hook, args, kwargs)
                else:
                    replaced = hook(self, args)
                    if replaced is not None:
                        args = replaced if isinstance(replaced, tuple) else (replaced,)
            backward = None
            if self._backward_hooks or self._backward_pre_hooks:
                backward = BackwardHooks(self)
                args = backward.at_inputs(args)
            result = self.forward(*args, **kwargs)
            for number, hook in tuple(self._forward_hooks.items()):
                called.add(number)
                replaced = self._run_hook(number, hook, args, kwargs, result)
                if replaced is not None:
                    result = replaced
            return result if backward is None else backward.at_outputs(result)
        except Exception:
            for number, hook in tuple(self._forward_hooks.items()):
                if number in self._forward_hooks_always_called and number not in called:
                    try:
                        replaced = self._run_hook(number, hook, args, kwargs, result)
                    except Exception as problem:
                        warnings.warn(
                            "module forward hook with always_call=True raised an exception that "
                            f"was silenced as another error was raised in forward: {problem}",
                            stacklevel=3,
                        )
                    else:
                        result = result if replaced is None else replaced
            raise

    def _run_pre_hook(
        self, hook: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Any]:
        replaced = hook(self, args, kwargs)
        if replaced is None:
            return args, kwargs
        if not isinstance(replaced, tuple) or len(replaced) != 2:
            raise error(
                RuntimeError,
                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                f"got {replaced!r}",
            )
        return replaced

    def _run_hook(
        self,
        number: int,
        hook: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Any:
        if number in self._forward_hooks_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)


class BackwardHooks:
    """The full backward hooks of one call of a module.

    Two identity nodes stand around the call: the one over its outputs is reached first in
    backward and learns grad_output, the one over its inputs comes when all of grad_input is known.
    """

    def __init__(self, module: ModuleHooks) -> None:
        self.module = module
        self.pre_hooks = tuple(module._backward_pre_hooks.values())
        self.hooks = tuple(module._backward_hooks.values())
        self.inputs: tuple[int, ...] = ()  # positions that take part
        self.outputs: tuple[int, ...] = ()
        self.zeros: tuple[Any, ...] = ()  # shape, dtype and backend of each tensor input
        self.n_outputs = 0
        self.grad_outputs: Grads | None = None

    def at_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args``, with the tensors that require grad behind the input node."""
        self.zeros = tuple(
            (v.array.shape, v.array.dtype, v.backend) if isinstance(v, Tensor) else None
            for v in args
        )
        self.inputs = _wanted(args)
        return self._behind(_input_vjp, args, self.inputs)

    def at_outputs(self, result: Any) -> Any:
        """``result``, a tensor or a tuple, behind the output node."""
        single = not isinstance(result, tuple)
        if single and not isinstance(result, Tensor):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=4,
            )
        outputs = (result,) if single else result
        self.n_outputs = len(outputs)
        self.outputs = _wanted(outputs)
        outputs = self._behind(_output_vjp, outputs, self.outputs)
        return outputs[0] if single else outputs

    def _behind(
        self, vjp: Callable[..., Any], values: tuple[Any, ...], positions: tuple[int, ...]
    ) -> tuple[Any, ...]:
        if not positions:
            return values
        tensors = [values[i] for i in positions]
        passed = record_many(
            [t.array for t in tensors], vjp, tensors, (self,), name="BackwardHookFunctionBackward"
        )
        placed = list(values)
        for i, tensor, out in zip(positions, tensors, passed, strict=True):
            placed[i] = as_view(out, tensor, _identity, (), REFUSAL)
        kind = type(values)
        return tuple(placed) if kind is tuple else kind(*placed)  # a named tuple keeps its class

    def run_at_outputs(self, grads: Grads) -> Grads:
        """Pre-hooks on grad_output; the hooks too, where no input will bring grad_input."""
        held = _spread(grads, self.outputs, self.n_outputs)
        for hook in self.pre_hooks:
            held = _replacement("pre hook", "grad_output", hook(self.module, held), held)
        if self.inputs:
            self.grad_outputs = held
        else:
            self._run_without_inputs(held)
        return tuple(held[i] for i in self.outputs)

    def _run_without_inputs(self, grad_outputs: Grads) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module "
            "outputs since no inputs require gradients",
            stacklevel=2,
        )
        nothing = (None,) * len(self.zeros)
        for hook in self.hooks:
            returned = hook(self.module, nothing, grad_outputs)
            if returned is not None and any(grad is not None for grad in returned):
                raise error(
                    RuntimeError,
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients",
                )

    def run_at_inputs(self, grads: Grads) -> Grads:
        """The hooks, on grad_input and grad_output."""
        if self.grad_outputs is None:  # the gradient came by another way than the outputs
            return grads
        held = self._with_zeros(_spread(grads, self.inputs, len(self.zeros)))
        for hook in self.hooks:
            returned = hook(self.module, held, self.grad_outputs)
            held = _replacement("hook", "grad_input", returned, held)
        self.grad_outputs = None
        return tuple(held[i] for i in self.inputs)

    def _with_zeros(self, grads: Grads) -> Grads:
        # A tensor that forward did not use, or that doesn't require grad, has a zero gradient
        # where another input has one: None is for what isn't a tensor.
        filled = list(grads)
        for i, kind in enumerate(self.zeros):
            if filled[i] is None and kind is not None:
                shape, dtype, backend = kind
                filled[i] = wrap(backend.xp.zeros(shape, dtype), backend)
        return tuple(filled)


REFUSAL = "is an input or output of a module with full backward hooks"


def _input_vjp(_node: Node, grads: Grads, hooks: BackwardHooks) -> Grads:
    return hooks.run_at_inputs(grads)


def _output_vjp(_node: Node, grads: Grads, hooks: BackwardHooks) -> Grads:
    return hooks.run_at_outputs(grads)


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _wanted(values: Sequence[Any]) -> tuple[int, ...]:
    if not is_grad_enabled():
        return ()
    return tuple(i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad)


def _spread(grads: Grads, positions: tuple[int, ...], size: int) -> Grads:
    placed: list[Tensor | None] = [None] * size
    for i, grad in zip(positions, grads, strict=True):
        placed[i] = grad
    return tuple(placed)


def _replacement(kind: str, name: str, returned: Any, held: Grads) -> Grads:
    if returned is None:
        return held
    size = len(returned) if isinstance(returned, (tuple, list)) else type(returned).__name__
    if size != len(held):
        raise error(
            RuntimeError,
            f"Backward {kind} returned an invalid number of {name}, got {size}, "
            f"but expected a tuple of {len(held)}",
        )
    return tuple(returned)
