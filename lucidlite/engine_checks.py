"""What the engine does on request, hooks and ``detect_anomaly``, and what it refuses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lucidlite.callsite import HINT, error
from lucidlite.determinism import exact_here
from lucidlite.grad_mode import grad_mode
from lucidlite.hooks import HookTable, RemovableHandle, add_hook
from lucidlite.nonfinite import refuse
from lucidlite.ops.common import to_dtype
from lucidlite.ops.elementwise import add
from lucidlite.ops.unary import clone
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase
from lucidlite.training_hints import SCALAR, for_no_grad

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class _Anomaly:
    enabled = False
    inf = True


anomaly = _Anomaly()


class set_detect_anomaly:
    """Turn anomaly detection on or off: at once, or for the length of a ``with`` block.

    Where it is on, convolutions in this thread run as with ``conv_algorithm = "exact"``. Without
    ``check_nan`` nothing is looked at; ``check_inf`` is an addition to PyTorch's.

    Semantics: torch.autograd.set_detect_anomaly.
    """

    def __init__(self, mode: bool, check_nan: bool = True, check_inf: bool = True) -> None:
        self._before = anomaly.enabled, exact_here.on, anomaly.inf
        anomaly.enabled = exact_here.on = bool(mode and check_nan)
        anomaly.inf = check_inf

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        anomaly.enabled, exact_here.on, anomaly.inf = self._before


class detect_anomaly(set_detect_anomaly):
    """Inside, a gradient with NaN or infinity is an error that says where the first came from.

    It names the op, the line it was recorded at, and what in the forward pass made it so.
    ``check_inf`` (an addition to PyTorch's) False lets infinity pass, which a GradScaler expects.

    >>> import lucidlite
    >>> x = lucidlite.tensor([4.0], requires_grad=True)
    >>> with lucidlite.autograd.detect_anomaly():
    ...     x.sqrt().backward()
    >>> x.grad
    tensor([0.2500])

    Semantics: torch.autograd.detect_anomaly.
    """

    def __init__(self, check_nan: bool = True, check_inf: bool = True) -> None:
        super().__init__(True, check_nan, check_inf)


def check_finite(node: Node, results: Sequence[Any], incoming: Sequence[Any] = ()) -> None:
    """Under ``detect_anomaly``: refuse NaN in a gradient, and infinity where that is asked for."""
    for index, grad in enumerate(results):
        if grad is not None and node.edges[index] is not None:
            xp = grad.backend.xp
            fine = xp.isfinite(grad.array) if anomaly.inf else ~xp.isnan(grad.array)
            if not bool(fine.all()):
                raise refuse(node, index, grad, incoming)


def check_inputs(op: str, inputs: Any) -> list[Any]:
    """What gradients are asked for, one tensor or several, as a list; no others and not none."""
    several = isinstance(inputs, Iterable) and not isinstance(inputs, TensorBase)
    found = list(inputs) if several else [inputs]
    if not found:
        raise error(RuntimeError, f"{op}: the inputs argument cannot be empty, got inputs=[]")
    for index, tensor in enumerate(found):
        if not isinstance(tensor, TensorBase):
            kind = type(tensor).__name__
            raise error(RuntimeError, f"{op}: all inputs have to be Tensors, got {kind}")
        if not tensor.requires_grad:
            raise error(
                RuntimeError,
                f"{op}: one of the differentiated Tensors does not require grad, "
                f"got shape={tuple(tensor.shape)} for inputs[{index}]",
            )
    return found


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


def tell_place(problem: Exception, node: Node, what: str = "in the gradient of") -> None:
    """Add to an error from a vjp or its hooks where the user recorded the node.

    The exception stays what it is: the text goes into its message, or a note where it has none.
    """
    place, before = node.place, problem.args
    if place and place in str(problem):
        return
    text = f"  {what} {node.name()}{place}"
    if not before or isinstance(before[0], str):
        message, mark, hint = str(before[0] if before else "").partition(HINT)
        problem.args = (f"{message}\n{text}".strip() + mark + hint, *before[1:])
    if text.strip() not in str(problem) and hasattr(problem, "add_note"):
        problem.args = before
        problem.add_note(text)


def run_hooks(table: Any, grad: Any, node: Node | None = None) -> Any:
    """A tensor's hooks on its summed gradient, each given what the one before made of it."""
    for hook in list(table.values()) if table else ():
        try:
            grad = hooked(hook, grad)
        except Exception as problem:
            if node is not None:
                tell_place(problem, node, "in a hook on the gradient of")
            raise
    return grad


def run_output_hooks(node: Node, grads: list[Tensor | None]) -> None:
    """The hooks on a node's outputs, then what ``retain_grad`` asked for."""
    if node.hooks is not None:
        for nr, grad in enumerate(grads):
            if grad is not None:
                grads[nr] = run_hooks(node.hooks.tables.get(nr), grad, node)
        for hook in node.hooks.get("pre"):
            try:
                found = replaced_all(hook(tuple(grads)), grads)
                grads[:] = [replaced(*pair) for pair in zip(found, grads, strict=True)]
            except Exception as problem:
                tell_place(problem, node, "in a hook on the gradient of")
                raise
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
    returned = hook(grad)
    return grad if returned is None else replaced(returned, grad)


def replaced(returned: Any, grad: Any) -> Any:
    """A gradient of a hook's in place of ``grad``."""
    if returned is not None and not isinstance(returned, TensorBase):
        raise error(TypeError, f"hook: expected Tensor or None, got {type(returned).__name__}")
    if returned is not None and grad is not None and returned.array.shape != grad.array.shape:
        raise error(
            RuntimeError,
            f"hook: the gradient has changed shape, got {tuple(returned.shape)}, "
            f"expected {tuple(grad.shape)}",
        )
    return returned


def replaced_all(returned: Any, grads: Sequence[Any]) -> Sequence[Any]:
    """What a node's hook makes of its gradients: as many, or None for those there are."""
    if returned is None:
        return grads
    if not isinstance(returned, (tuple, list)):
        raise error(TypeError, f"hook: expected tuple or None, got {type(returned).__name__}")
    if len(returned) != len(grads):
        raise error(
            RuntimeError,
            f"hook: returned an incorrect number of values, got {len(returned)}, "
            f"expected {len(grads)}",
        )
    for grad in returned:
        replaced(grad, None)
    return returned


_start_hooks: HookTable = OrderedDict()


def register_start_hook(hook: Callable[[str, Sequence[Any]], Any]) -> RemovableHandle:
    """Call ``hook(op, tensors)`` before each walk, 'backward' or 'grad', from ``tensors``."""
    return add_hook(_start_hooks, hook)


def seeds(op: str, tensors: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """The gradients a walk starts from: those given, 1 for a single element."""
    out = _seeds(op, tensors, given)
    if _start_hooks:
        for hook in list(_start_hooks.values()):
            hook(op, tensors)
    return out


def _seeds(op: str, tensors: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    out = []
    for index, (tensor, grad) in enumerate(zip(tensors, given, strict=True)):
        if not isinstance(tensor, TensorBase):
            kind = type(tensor).__name__
            raise error(TypeError, f"{op}: expected Tensors to start from, got {kind}")
        if not tensor.requires_grad:
            raise error(
                RuntimeError,
                f"{op}: element {index} of tensors does not require grad and does not have a "
                f"grad_fn, got shape={tuple(tensor.shape)}",
                for_no_grad(grad_mode.enabled, tensor.array.dtype.kind == "f", tensor._inference),
            )
        if grad is None:
            if tensor.array.size != 1:
                raise error(
                    RuntimeError,
                    f"{op}: grad can be implicitly created only for scalar outputs, "
                    f"got shape={tuple(tensor.shape)}",
                    SCALAR,
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
