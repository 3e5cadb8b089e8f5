"""A model's run, written down: every operation that an input's values go through.

As in a profile, ``sys.setprofile`` tells of the calls, so that nothing in the operations knows.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from lucidlite.callsite import HINT, Site, module_stack, user_place
from lucidlite.onnx.graph import Call, Graph
from lucidlite.onnx.operators import TABLE, WRITERS
from lucidlite.onnx.table import Entry, Unsupported
from lucidlite.onnx.views import seen, written
from lucidlite.ops import arranging, compare, packing, slices
from lucidlite.ops.inplace import assign
from lucidlite.ops.join import zeros_like_shape
from lucidlite.ops.precision import precision
from lucidlite.profiler.watched import watched
from lucidlite.tensor import Tensor
from lucidlite.tensor_base import TensorBase

_ASSIGN, _LIKE = assign.__code__, zeros_like_shape.__code__
_DATA = Tensor.data.fset.__code__  # type: ignore[attr-defined]
# What looks at the elements of these arguments, past all operations.
_LOOKING: dict[CodeType, tuple[str, ...]] = {
    Tensor.new_tensor.__code__: ("data",),
    Tensor.__deepcopy__.__code__: ("self",),
    arranging.repeat_interleave.__code__: ("repeats",),
    slices.masked_scatter.__code__: ("mask",),
}
# What leaves the graph: from here on a value is a number of this run's.
_ON_HOST = packing.on_host.__code__
_LEAVING: dict[CodeType, str] = {
    function.__code__: function.__name__
    for function in (compare.equal, compare.allclose, compare.is_nonzero, packing.on_host)
}
_LEAVING |= {
    getattr(Tensor, name).__code__: name
    for name in ("numpy", "__array__", "__dlpack__", "item", "tolist", "__float__", "__int__",
                 "__bool__", "__index__", "__contains__")
}  # fmt: skip


class Tracer:
    """Fills ``graph`` while it is entered; ``names`` has the path of each module."""

    def __init__(self, graph: Graph, names: dict[Any, str]) -> None:
        self.graph, self.names = graph, names
        self.failure: BaseException | None = None
        self._ops = {code for code, what in watched(modules=False).items() if what.kind == "op"}
        # By identity: the tensor, which keeps its identity alive, its version then, its name.
        self._known: dict[int, tuple[Any, int, str]] = {}
        self._arrays: dict[int, tuple[Any, int, str]] = {}  # the same by their arrays
        self._lost: dict[int, tuple[Any, Call]] = {}  # results that couldn't be written down
        self._folded: dict[int, Any] = {}  # results that depend on no input
        self._open: list[tuple[FrameType, Entry | None, Call, Any]] = []
        self._inside: FrameType | None = None
        self._warned: set[Any] = set()
        self._before: Any = None

    def __enter__(self) -> Tracer:
        self._before = sys.getprofile()
        sys.setprofile(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    # -- names of values ---------------------------------------------------------------------

    def bind(self, tensor: Any, name: str) -> None:
        """Say that ``tensor`` has, as it is now, the value ``name``."""
        known = tensor, _version(tensor), name
        self._known[id(tensor)] = known
        self._arrays[id(tensor.array)] = known
        self._lost.pop(id(tensor), None)

    def name(self, tensor: Any) -> str | None:
        """The value of a tensor; None where it depends on no input."""
        lost = self._lost.get(id(tensor))
        if lost is not None:
            raise _unwritten(lost[1])
        known = self._known.get(id(tensor))
        if known is not None and known[1] == _version(tensor):
            return known[2]
        if known is None and self._same_memory(tensor):
            return self._known[id(tensor)][2]
        view = tensor._view
        if view is not None:
            base = self._known.get(id(view.base))
            if base is not None and base[1] == _version(view.base):
                return self._seen(view, base[2], tensor)
        if known is not None:
            raise self._refused(
                "a tensor was written to in place through another one that shares its memory; "
                "use the operation that returns a new tensor"
            )
        return None

    def _same_memory(self, tensor: Any) -> bool:
        """Whether ``tensor`` is another's value under a name of its own, as composed ops give."""
        known = self._arrays.get(id(tensor.array))
        if known is None or known[0].array is not tensor.array or known[1] != _version(known[0]):
            return False
        self.bind(tensor, known[2])
        return True

    def _seen(self, view: Any, base: str, tensor: Any) -> str:
        """A view's value, from that of its base, which was written to since."""
        name = seen(self.graph, view, base, tuple(tensor.array.shape))
        self.bind(tensor, name)
        return name

    def _written(self, tensor: Any, name: str, base: str) -> None:
        """``tensor`` was overwritten with ``name``; so was the part of its base that it sees."""
        view = tensor._view
        if view is not None:
            whole = written(self.graph, view, base, name, tuple(tensor.array.shape))
            self.bind(view.base, whole)
        self.bind(tensor, name)

    # -- calls -------------------------------------------------------------------------------

    def _listen(self, frame: FrameType, what: str, value: Any) -> None:
        try:
            if what == "call":
                if self._inside is None:
                    self._enter(frame)
            elif what == "return" and self._open and self._open[-1][0] is frame:
                self._leave(value)
        except BaseException as problem:
            self.failure = self.failure or problem
            raise

    def _enter(self, frame: FrameType) -> None:
        code = frame.f_code
        entry = TABLE.get(code) or WRITERS.get(code)
        if code in _LEAVING:
            self._leaving(frame, _LEAVING[code])
            return
        looking = _LOOKING.get(code)
        if entry is None and looking is None and code not in self._ops and code is not _DATA:
            return
        args = _arguments(frame)
        home = frame.f_globals["__name__"]
        if code is _LIKE or (home == "lucidlite.creation" and code.co_name.endswith("_like")):
            others = tensors(list(args.values())[1:])
            if not any(id(t) in self._known for t in others):
                return  # of the tensor it takes the size alone
        if home == "lucidlite.sampling":
            self._warn(self._call(code.co_name, {}), "draws numbers at random")
        if entry is not None and entry.fits is not None and not entry.fits(args):
            entry = None
        call = self._call(entry.name if entry else code.co_name.lstrip("_"), args)
        before: Any = None
        target = args.get("target") if code is _ASSIGN or code in WRITERS else None
        if entry is not None and args.get("inplace"):
            target = args["input"]
        if target is not None and isinstance(target, TensorBase):
            before = self._base(target)
        if entry is not None:
            if precision.active:
                raise NotImplementedError(
                    "onnx.export: autocast converts inside of operations; export without it, the "
                    f"model converted by half() or float(){call.where}"
                )
            self.graph.call, self.graph.path = call, call.module
            for tensor in tensors(args):
                name = self.name(tensor)
                if name is not None:
                    call.names[id(tensor)] = name
                call.versions[id(tensor)] = _version(tensor)
            self._inside = frame
        elif looking is not None:
            if code is arranging.repeat_interleave.__code__ and args.get("repeats") is None:
                looking = ("input",)
            if any(self._depends(t) for t in tensors([args.get(name) for name in looking])):
                self._inside = frame
                call.args = {name: args.get(name) for name in looking}
            elif code not in self._ops:
                return
        self._open.append((frame, entry, call, before))

    def _depends(self, tensor: Any) -> bool:
        return id(tensor) in self._lost or self.name(tensor) is not None

    def _base(self, target: Any) -> Any:
        """What a write to ``target`` needs to know of its base: its value, or its elements."""
        view = target._view
        if view is None:
            return None
        name = self.name(view.base)
        return view.base.array.copy() if name is None else name

    def _leave(self, value: Any) -> None:
        frame, entry, call, before = self._open.pop()
        if self._inside is frame:
            self._inside = None
        if frame.f_code is _DATA:
            self._replaced(call["self"], call["value"])
        if value is None:  # an error, or nothing was made
            return
        call.out = value
        g = self.graph
        g.call, g.path = call, call.module
        if frame.f_code is _ASSIGN:
            made = frame.f_locals.get("value")
            name = None if made is None else self.name(made)
            if name is not None:
                self._write(call["target"], name, before)
            elif id(call["target"]) in self._known:
                raise _unwritten(call)
        elif entry is None:
            self._lose(call, value)
        elif call.names:
            self._emit(frame.f_code, entry, call, before)
        else:
            self._folded.update({id(tensor): tensor for tensor in tensors(value)})

    def _replaced(self, tensor: Any, value: Any) -> None:
        """``tensor.data = value``: another value under the same identity."""
        name = self.name(value)
        if tensor._view is not None and (name or self._view_known(tensor)):
            raise self._refused("the data of a view was replaced; use the view's copy_()")
        for known in self._known, self._lost:
            known.pop(id(tensor), None)
        if name is not None:
            self.bind(tensor, name)

    def _view_known(self, tensor: Any) -> bool:
        return id(tensor) in self._known or id(tensor._view.base) in self._known

    def _emit(self, code: CodeType, entry: Entry, call: Call, before: Any) -> None:
        try:
            names = entry.emit(self.graph, call)
        except Unsupported as problem:
            raise NotImplementedError(
                f"onnx.export: {call.op} has no ONNX form here: {problem}{call.where}"
            ) from None
        if code in WRITERS:
            self._write(call["target"], names, before)
            return
        given = {id(t): t for t in tensors(call.args)}
        found = list(tensors(call.out))
        for tensor, name in zip(found, [names] if isinstance(names, str) else names, strict=True):
            if id(tensor) not in given:
                self.bind(tensor, name)
            elif call.args.get("inplace"):
                self._write(tensor, name, before)
                given.pop(id(tensor))
        for tensor in given.values():  # running statistics
            if _version(tensor) != call.versions[id(tensor)]:
                self._lost[id(tensor)] = tensor, call

    def _write(self, target: Any, name: str, before: Any) -> None:
        if before is not None and not isinstance(before, str):
            backend = target._view.base.backend
            before = self.graph.constant(backend.to_numpy(before))
        self._written(target, name, before)

    def _lose(self, call: Call, value: Any) -> None:
        """Note which results of an operation without ONNX form depend on an input."""
        given = list(tensors(call.args))
        same = {id(t) for t in given}
        found = [t for t in tensors(value) if id(t) not in self._known and id(t) not in same]
        found = [t for t in found if not self._same_memory(t)]
        if not any(id(t) in self._lost or id(t) in self._known for t in given):
            if given:  # else who knows what the arrays were made of
                self._folded.update({id(tensor): tensor for tensor in found})
            return
        cause = next((self._lost[id(t)][1] for t in given if id(t) in self._lost), None)
        for tensor in found:
            if id(tensor) not in self._folded:
                self._lost[id(tensor)] = tensor, cause or call

    def _call(self, op: str, args: dict[str, Any]) -> Call:
        place = user_place(4)
        stack = module_stack()
        module = None if stack is None else stack[0]()
        path = self.names.get(module, "")
        return Call(op, args, {}, str(Site(*place)) if place else "", path)

    # -- what is said ------------------------------------------------------------------------

    def _leaving(self, frame: FrameType, name: str) -> None:
        caller = frame.f_back
        while caller is not None and caller.f_globals["__name__"] == "lucidlite.tensor":
            caller = caller.f_back
        home = caller.f_globals["__name__"] if caller else ""
        if home.startswith("lucidlite.ops.") and frame.f_code is not _ON_HOST:
            return  # an operation's own checks
        given = [id(tensor) for tensor in tensors(_arguments(frame))]
        if not any(each in self._known or each in self._lost for each in given):
            return
        what = "makes a value that depends on the input a Python or NumPy value"
        self._warn(self._call(name, {}), what)

    def _warn(self, call: Call, what: str) -> None:
        """Say, once a place, that what is done there is part of the file."""
        if call.place not in self._warned:
            self._warned.add(call.place)
            warnings.warn(
                f"onnx.export: {call.op} {what}; the file will have this run's for all inputs"
                f"{call.where}",
                stacklevel=2,
            )

    def _refused(self, why: str) -> NotImplementedError:
        where = self.graph.call.where if self.graph.call else ""
        return NotImplementedError(f"onnx.export: {why}{where}")


def _unwritten(call: Call) -> NotImplementedError:
    return NotImplementedError(
        f"onnx.export: {call.op} has no ONNX form{call.where}{HINT}write it with operations that "
        "have one (docs: Export to ONNX)"
    )


def _version(tensor: Any) -> int:
    cell = tensor._cell
    return 0 if cell is None else int(cell.value)


def _arguments(frame: FrameType) -> dict[str, Any]:
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return {name: values[name] for name in code.co_varnames[:count] if name in values}


def tensors(value: Any, depth: int = 4) -> Iterator[Any]:
    """The tensors in nested containers, in order."""
    if isinstance(value, TensorBase):
        yield value
    elif depth and isinstance(value, dict):
        for each in value.values():
            yield from tensors(each, depth - 1)
    elif depth and isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each, depth - 1)
    elif isinstance(value, slice):
        yield from tensors((value.start, value.stop, value.step))
