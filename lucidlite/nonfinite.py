"""Why a gradient is NaN or infinite: read off what the tape still holds, once it has happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lucidlite.callsite import describe, error

if TYPE_CHECKING:
    from lucidlite.tape import Node
    from lucidlite.tensor import Tensor


class Cause(NamedTuple):
    """What was found, of which node (None: of the one whose gradient it is), and what helps."""

    text: str
    node: Any
    hint: str
    label: str = "recorded at"


def refuse(node: Node, index: int, grad: Tensor, incoming: Sequence[Any]) -> RuntimeError:
    """What to say of a gradient with NaN or infinity that ``node`` made for input ``index``."""
    nan, inf = _counts(grad)
    what, size = "nan" if nan else "inf", grad.array.size
    found = ", ".join(f"{n} {word}" for n, word in ((nan, "nan"), (inf, "inf")) if n)
    cause = _cause(node, incoming)
    origin = ""
    if cause.node is not None:
        origin = describe(cause.node.site, cause.node.modules, cause.label)
    return error(
        RuntimeError,
        f"detect_anomaly: function '{node.name()}' returned {what} values in its {index}th output, "
        f"got {found} of {size} in the gradient for {_input(node, index)}{node.place}"
        + (f"\n  {cause.text}{origin}" if cause.text else ""),
        cause.hint,
    )


def _counts(tensor: Any) -> tuple[int, int]:
    """How many NaN and how many infinities."""
    array, xp = tensor.array, tensor.backend.xp
    if array.dtype.kind != "f":
        return 0, 0
    return int(xp.isnan(array).sum()), int(xp.isinf(array).sum())


def _told(tensor: Any) -> str:
    """'2 nan of 10', '' where all is finite."""
    nan, inf = _counts(tensor)
    found = [f"{n} {word}" for n, word in ((nan, "nan"), (inf, "inf")) if n]
    return f"{' and '.join(found)} of {tensor.array.size}" if found else ""


def _input(node: Node, index: int) -> str:
    edge = node.edges[index]
    if edge is None:
        return f"input {index}"
    owner = edge[0]
    if owner.vjp is None:
        return _leaf(owner, node)
    return f"the output of {owner.name()}, shape {edge[0].metas[edge[1]][0]}"


def _leaf(owner: Any, user: Node) -> str:
    """A leaf by its name in the module that used it, or by its shape."""
    stack = user.modules
    while stack is not None:
        for name, held in getattr(stack[0](), "_parameters", {}).items():
            if held is owner.variable:
                return f"parameter '{name}', shape {tuple(held.array.shape)}"
        stack = stack[1]
    return f"a leaf of shape {tuple(owner.variable.array.shape)}"


def _cause(node: Node, incoming: Sequence[Any]) -> Cause:
    for grad in incoming:
        if grad is not None and (told := _told(grad)):
            hint = "from a hook, from backward(gradient), or a sum that overflows"
            return Cause(f"the gradient it was given had them already: {told}", None, hint)
    if not any(_told(held) for held in _saved(node)):
        text, hint = _suspect(node) or ("", "")
        return Cause(text, None, hint or _overflow(node, incoming))
    # The values were wrong before their gradients: where first?
    before = _before(node)
    for each in before:
        if each.vjp is None:
            if told := _told(each.variable):
                user = next(n for n in before if any(e and e[0] is each for e in n.edges))
                name = _leaf(each, user)
                hint = DIVERGED if name.startswith("parameter") else f"made so? else {DIVERGED}"
                return Cause(f"{name} had them before: {told}", user, hint, "first used at")
            continue
        text, hint = _broken(each)
        if text:
            other = None if each is node else each
            return Cause(f"the forward pass had them before: {text}", other, hint)
    return Cause("", None, "")


def _broken(node: Node) -> tuple[str, str]:
    """What a node saved that shows NaN or infinity in the forward pass, and the usual way out."""
    known = SUSPECTS.get(_name(node))
    found = None if known is None or known.slope else _suspect(node)
    if found is not None:
        return found
    for held in _saved(node):
        if told := _told(held):
            leaves = all(edge is None or edge[0].vjp is None for edge in node.edges)
            hint = known.hint if known else DATA if leaves else DIVERGED
            return f"{told} in what {node.name()} saved", hint
    return "", ""


def _before(node: Node) -> list[Any]:
    """The node and all it came from, in the order of the forward pass."""
    seen, pending = {node}, [node]
    while pending:
        for edge in pending.pop().edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                pending.append(edge[0])
    # A leaf's number says when it was used first.
    return sorted(seen, key=lambda each: each.number)


def _saved(node: Node) -> list[Any]:
    return [entry[0] for entry in node.saved if entry is not None]


# -- operations and where they break ---------------------------------------------------------------

INF = float("inf")
DIVERGED = "a step before this one made them: a lower learning rate, or clip_grad_norm_()"
DATA = "NaN in the data? x.isfinite().all() tells"

LOG = "log of 0 is -inf, below 0 NaN: x.clamp(min=1e-8).log(), log_softmax for scores"
ROOT = "at 0 a root's slope is infinite, below 0 it is NaN: x.clamp(min=1e-12).sqrt()"
RATIO = "division by 0: add 1e-8 to the divisor, or clamp(min=1e-8)"
EXP = "exp() overflows: subtract the maximum first, as softmax and logsumexp do"
POWER = "at 0 a power below 1 has an infinite slope, below 0 none: x.clamp(min=1e-8) first"
EDGE = "there the slope is infinite, and beyond NaN: x.clamp() to a little inside"
NORM = "at 0 a norm has no slope: (x.square().sum() + 1e-12).sqrt()"


class Suspect(NamedTuple):
    """Which of a node's saved tensors tells, what it is, and what values in it are wrong."""

    saved: int
    what: str
    wrong: Callable[[Any], Any]
    are: str
    hint: str
    slope: bool = False  # the value is right, and only its slope infinite


SUSPECTS = {  # by the node's name
    "Log": Suspect(0, "the input of log", lambda x: x <= 0, "at or below 0", LOG),
    "Log2": Suspect(0, "the input of log2", lambda x: x <= 0, "at or below 0", LOG),
    "Log10": Suspect(0, "the input of log10", lambda x: x <= 0, "at or below 0", LOG),
    "Log1P": Suspect(0, "the input of log1p", lambda x: x <= -1, "at or below -1", LOG),
    "Asin": Suspect(0, "the input of asin", lambda x: abs(x) >= 1, "at or beyond 1", EDGE, True),
    "Acos": Suspect(0, "the input of acos", lambda x: abs(x) >= 1, "at or beyond 1", EDGE, True),
    "Atanh": Suspect(0, "the input of atanh", lambda x: abs(x) >= 1, "at or beyond 1", EDGE),
    "Sqrt": Suspect(0, "the result of sqrt", lambda y: y == 0, "at 0", ROOT, True),
    "Rsqrt": Suspect(0, "the result of rsqrt", lambda y: y == INF, "infinite", RATIO),
    "Reciprocal": Suspect(0, "the result of 1 / x", lambda y: abs(y) == INF, "infinite", RATIO),
    "Div": Suspect(1, "the divisor", lambda y: y == 0, "at 0", RATIO),
    "Exp": Suspect(0, "the result of exp", lambda y: y == INF, "infinite", EXP),
    "Expm1": Suspect(0, "the result of expm1", lambda y: y == INF, "infinite", EXP),
    "Pow": Suspect(0, "the base of pow", lambda x: x <= 0, "at or below 0", POWER, True),
    "LinalgVectorNorm": Suspect(0, "the input of norm", lambda x: x == 0, "at 0", NORM, True),
}


def _name(node: Node) -> str:
    return node.name().partition("Backward")[0]


def _suspect(node: Node) -> tuple[str, str] | None:
    """What an operation has seen that it can't bear, and the usual way out."""
    known = SUSPECTS.get(_name(node))
    entry = None if known is None or len(node.saved) <= known.saved else node.saved[known.saved]
    if known is None or entry is None:
        return None
    array = entry[0].array
    wrong = int(known.wrong(array).sum())
    text = f"{known.what} had {wrong} of {array.size} values {known.are}"
    return (text, known.hint) if wrong else None


def _overflow(node: Node, incoming: Sequence[Any]) -> str:
    """Finite values that gave infinite gradients may be too large, for float16 first of all."""
    arrays = [held.array for held in (*_saved(node), *incoming) if held is not None]
    if not any(_large(array) for array in arrays):
        return ""  # an operation's own fault, or a Function's
    if any(str(shape[1]) == "float16" for shape in node.metas):
        return "float16 ends at 65504: amp.GradScaler() keeps gradients inside, float32 has room"
    return "values too large? " + DIVERGED


def _large(array: Any) -> bool:
    """Whether there is a value whose square is infinite."""
    if array.dtype.kind != "f" or not array.size:
        return False
    most: float = abs(array).max()
    return bool(most >= float(np.finfo(array.dtype).max) ** 0.5)
