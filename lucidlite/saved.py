"""What a node keeps of tensors for its vjp, and the refusals where it can't be had any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lucidlite.callsite import Site, describe, error, module_path
from lucidlite.training_hints import OUT_OF_PLACE, STEPPED, for_second_backward

if TYPE_CHECKING:
    from lucidlite.backends import Backend
    from lucidlite.backends.kernels import Array
    from lucidlite.tape import Node
    from lucidlite.view import Version


class Out(NamedTuple):
    """In ``save=``: the op's own output number ``nr``, held without a reference cycle."""

    nr: int


OUT = Out(0)


class SavedOutput:
    """What a node holds of its own output: memory and version, not the tensor."""

    __slots__ = ("_cell", "array", "backend", "nr")

    def __init__(self, array: Array, backend: Backend, cell: Version, nr: int) -> None:
        self.array, self.backend, self._cell, self.nr = array, backend, cell, nr


Saved = tuple[Any, int] | None  # a tensor or SavedOutput, and its version when it was saved


def entries(save: Sequence[Any], outs: Sequence[Any], wanted: Any = None) -> tuple[Saved, ...]:
    """What to keep of ``save`` (where an entry of ``wanted`` is not None), with versions now."""
    found: list[Saved] = []
    for index, held in enumerate(save):
        if held is None or (wanted is not None and wanted[index] is None):
            found.append(None)
        elif type(held) is Out:
            out = outs[held.nr]
            cell = out.version_cell()
            found.append((SavedOutput(out.array, out.backend, cell, held.nr), cell.value))
        elif held._inference:
            raise error(
                RuntimeError,
                "record: inference tensors cannot be saved for backward; make a clone() outside "
                f"inference_mode to get a normal tensor, got shape={tuple(held.shape)}",
            )
        else:
            cell = held._cell
            found.append((held, 0 if cell is None else cell.value))
    return tuple(found)


def freed(node: Node) -> RuntimeError:
    """What to say when a node's saved tensors are wanted after they were let go of."""
    return error(
        RuntimeError,
        "backward: trying to backward through the graph a second time (or directly access "
        "saved tensors after they have already been freed). Saved intermediate values of "
        "the graph are freed when you call .backward() or autograd.grad(). Specify "
        "retain_graph=True if you need to backward through the graph a second time, "
        f"got node={node.name()}{node.place}",
        for_second_backward(module_path(node.modules)),
    )


def overwritten(node: Node, held: Any, now: int, version: int) -> RuntimeError:
    """What to say when somebody wrote to a saved tensor."""
    return error(
        RuntimeError,
        "backward: one of the variables needed for gradient computation has been modified "
        f"by an inplace operation: {node.name()} saved a tensor of shape "
        f"{tuple(held.array.shape)}, got version={now}, expected version={version}"
        f"{node.place}{_writer(held._cell, version)}",
        STEPPED if getattr(held, "is_leaf", False) and held.requires_grad else OUT_OF_PLACE,
    )


def _writer(cell: Version, version: int) -> str:
    """The line that wrote to what was saved at ``version``, where that is on the tape."""
    after, kind, place = getattr(cell, "writer", (version, object, None))
    if after <= version or place is None:
        return ""
    return describe(Site(*place), None, f"written by {kind.__name__} at")
