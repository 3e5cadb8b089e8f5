"""TensorBase: an array, where it lives, and what the tape needs to know. No mathematics here."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from lucidlite.backends import Backend
from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.dtypes import dtype, from_numpy_dtype
from lucidlite.grad_mode import enable_grad, grad_mode
from lucidlite.hooks import HookTable
from lucidlite.size import Size
from lucidlite.view import Version, View, replay

if TYPE_CHECKING:
    from lucidlite.backends.kernels import Array
    from lucidlite.tape import AccumulateGrad, Node


class TensorBase:
    """The attributes of a tensor. ``class Tensor(TensorBase, concrete=True)`` adds the operations.

    Names with an underscore belong to the core (the tape, the engine and the ops).
    """

    concrete: ClassVar[type[Any]]

    array: Array
    backend: Backend
    _grad: Any = None
    _requires_grad = False
    _node: Node | None = None
    _output_nr = 0
    _cell: Version | None = None
    _view: View | None = None
    _accumulator: weakref.ref[AccumulateGrad] | None = None
    _hooks: HookTable | None = None
    _post_hooks: HookTable | None = None
    _inference = False
    _fresh = False  # a gradient nobody else sees: whom it arrives at may keep it, or write to it

    def __init_subclass__(cls, concrete: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if concrete:
            TensorBase.concrete = cls

    # -- the array ---------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    @property
    def ndim(self) -> int:
        return int(self.array.ndim)

    @property
    def dtype(self) -> dtype:
        return from_numpy_dtype(self.array.dtype)

    @property
    def device(self) -> Device:
        return self.backend.device

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    # -- versions ----------------------------------------------------------------------------

    def version_cell(self, share: bool = False) -> Version:
        """This tensor's cell; ``share`` notes that someone else sees the memory from now on."""
        cell = self._cell
        if cell is None:
            cell = self._cell = Version()
        if share:
            cell.shared = True
        return cell

    @property
    def _version(self) -> int:
        if self._inference:
            raise error(RuntimeError, "_version: inference tensors do not track a version counter")
        return 0 if self._cell is None else self._cell.value

    def bump_version(self) -> None:
        """Say that ``array`` was written to."""
        self.version_cell().bump()

    # -- the tape ----------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        if self._view is not None:
            self._refresh(self._view)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Record (or don't) the operations on this leaf from now on; returns the tensor."""
        if not requires_grad:
            if self.grad_fn is not None:
                raise error(
                    RuntimeError,
                    "requires_grad_: you can only change requires_grad flags of leaf variables, "
                    "got a non-leaf; use detach() to cut it from the graph",
                )
        elif not self.dtype.is_floating_point:
            raise error(
                RuntimeError,
                "requires_grad_: only Tensors of floating point dtype can require gradients, "
                f"got dtype={self.dtype}",
            )
        elif self._inference and not grad_mode.inference:
            raise error(
                RuntimeError,
                "requires_grad_: setting requires_grad=True on an inference tensor outside "
                "inference_mode is not allowed; make a clone() first",
            )
        self._requires_grad = bool(requires_grad)
        if requires_grad and self.grad_fn is None:
            self._view = None  # a leaf from now on, whatever memory it sees
        return self

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Node | None:
        """The Node that computed this tensor, None for a leaf.

        A view remakes its Node from its base after the memory they share was written to.
        """
        if self._view is not None:
            self._refresh(self._view)
        return self._node

    def _refresh(self, view: View) -> None:
        version = view.base.version_cell().value
        if view.version != version:
            with enable_grad():
                fresh = replay(view.base, view.steps)
            self._node, self._output_nr = fresh._node, fresh._output_nr
            self._requires_grad = fresh._requires_grad
            self._view = view._replace(version=version)
