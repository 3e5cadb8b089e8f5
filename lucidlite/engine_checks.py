"""What the engine does on request, hooks and ``detect_anomaly``, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.determinism import exact_here
from lucidlite.ops.common import to_dtype
from lucidlite.ops.elementwise import add
from lucidlite.ops.unary import clone
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class _Anomaly:
    enabled = False


anomaly = _Anomaly()


class set_detect_anomaly:
    """Turn anomaly detection on or off: at once, or for the length of a ``with`` block.

    Where it is on, convolutions in this thread run as with ``conv_algorithm = "exact"``.

    Semantics: torch.autograd.set_detect_anomaly.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = anomaly.enabled, exact_here.on
        anomaly.enabled = exact_here.on = bool(mode and check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        anomaly.enabled, exact_here.on = self._before


class detect_anomaly(set_detect_anomaly):
    """Inside, a gradient with NaN is an error that names the op and the line it was recorded at.

    Semantics: torch.autograd.detect_anomaly.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def check_finite(node: Node, results: Sequence[Any]) -> None:
    """Under ``detect_anomaly``: refuse NaN in a gradient."""
    for index, grad in enumerate(results):
        if grad is not None and node.edges[index] is not None:
            xp = grad.backend.xp
            if bool(xp.isnan(grad.array).any()):
                raise error(
                    RuntimeError,
                    f"detect_anomaly: function '{node.name()}' returned nan values in its "
                    f"{index}th output",
                )


def check_inputs(inputs: Sequence[TensorBase]) -> None:
    """Refuse no inputs at all: everything is asked for by leaving them out."""
    if not inputs:
        raise error(RuntimeError, "backward: the inputs argument cannot be empty, got inputs=[]")


def wrong_count(node: Node, results: Sequence[Any]) -> RuntimeError:
    """What to say of a vjp that doesn't return one gradient (or None) an input."""
    return error(
        RuntimeError,
        f"backward: {node.name()} returned an incorrect number of gradients, "
        f"got {len(results)}, expected {len(node.edges)}",
    )


def check_shape(node: Node, index: int, got: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse a gradient whose shape the input doesn't broadcast to."""
    tail = got[len(got) - len(shape) :]
    if len(shape) > len(got) or any(n not in (m, 1) for n, m in zip(shape, tail, strict=True)):
        raise error(
            RuntimeError,
            f"backward: function {node.name()} returned an invalid gradient at index {index}, "
            f"got {list(got)} but expected shape compatible with {list(shape)}"
            f"{node.place}",
        )


def tell_place(problem: Exception, node: Node) -> None:
    """Add to an error from a vjp or its hooks where the user recorded the node."""
    if problem.args and isinstance(problem.args[0], str) and node.place not in problem.args[0]:
        text = f"{problem.args[0]}\n  in the gradient of {node.name()}{node.place}"
        problem.args = (text, *problem.args[1:])


def run_hooks(table: Any, grad: Any) -> Any:
    """A tensor's hooks on its summed gradient, each given what the one before made of it."""
    for hook in list(table.values()) if table else ():
        grad = hooked(hook, grad)
    return grad


def run_output_hooks(node: Node, grads: list[Tensor | None]) -> None:
    """The hooks on a node's outputs, then what ``retain_grad`` asked for."""
    if node.hooks is not None:
        for nr, grad in enumerate(grads):
            if grad is not None:
                grads[nr] = run_hooks(node.hooks.tables.get(nr), grad)
        for hook in node.hooks.get("pre"):
            replaced = hook(tuple(grads))
            grads[:] = grads if replaced is None else replaced
    for nr, held in (node.retained or {}).items():
        tensor, grad = held(), grads[nr]
        if tensor is not None and grad is not None:
            tensor._grad = clone(grad) if tensor._grad is None else add(tensor._grad, grad)
    keep_whole(grads)


def keep_whole(grads: Sequence[Any]) -> None:
    """Let nobody write to gradients that a hook may have kept."""
    for grad in grads:
        if grad is not None:
            grad._fresh = False


def hooked(hook: Any, grad: Any) -> Any:
    """What a tensor hook makes of a gradient: its return value, where it isn't None."""
    replaced = hook(grad)
    if replaced is None:
        return grad
    if not isinstance(replaced, TensorBase):
        raise error(TypeError, f"hook: expected Tensor or None, got {type(replaced).__name__}")
    if replaced.array.shape != grad.array.shape:
        raise error(
            RuntimeError,
            f"hook: the gradient has changed shape, got {tuple(replaced.shape)}, "
            f"expected {tuple(grad.shape)}",
        )
    return replaced


def seeds(op: str, tensors: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """The gradients a walk starts from: those given, 1 for a single element."""
    out = []
    for index, (tensor, grad) in enumerate(zip(tensors, given, strict=True)):
        if not tensor.requires_grad:
            raise error(
                RuntimeError,
                f"{op}: element {index} of tensors does not require grad and does not have a "
                f"grad_fn, got shape={tuple(tensor.shape)}",
            )
        if grad is None:
            if tensor.array.size != 1:
                raise error(
                    RuntimeError,
                    f"{op}: grad can be implicitly created only for scalar outputs, "
                    f"got shape={tuple(tensor.shape)}",
                )
            grad = wrap(tensor.backend.xp.ones_like(tensor.array), tensor.backend)
        elif not isinstance(grad, TensorBase):
            raise error(
                TypeError,
                f"{op}: gradients can be either Tensors or None, got {type(grad).__name__}",
            )
        elif grad.array.shape != tensor.array.shape:
            raise error(
                RuntimeError,
                f"{op}: mismatch in shape: grad_output[{index}] has a shape of "
                f"{tuple(grad.shape)} and output[{index}] has a shape of {tuple(tensor.shape)}",
            )
        out.append(grad if grad.dtype is tensor.dtype else to_dtype(grad, tensor.array.dtype))
    return out


def check_assigned(tensor: TensorBase, grad: Any) -> None:
    """Refuse to assign a ``.grad`` that doesn't match its tensor."""
    if not isinstance(grad, TensorBase):
        raise error(
            TypeError,
            "grad: assigned grad expected to be a Tensor or None but got grad of type "
            f"{type(grad).__name__}",
        )
    if grad is tensor:
        raise error(RuntimeError, "grad: can't assign Variable as its own grad")
    for what, mine, given in (
        ("of a different size", tuple(tensor.shape), tuple(grad.shape)),
        ("of a different type", tensor.dtype, grad.dtype),
        ("located on a different device", tensor.device, grad.device),
    ):
        if mine != given:
            raise error(
                RuntimeError, f"grad: assigned grad has data {what}, got {given}, expected {mine}"
            )
