"""Tensor: PyTorch's methods and operators, each a line that calls its op.

The mathematics is in ``ops/``; what a tensor holds is in ``tensor_base.py``.
"""

from __future__ import annotations

import warnings
import weakref

# Methods of the same names hide the builtins from the class's annotations.
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import cpu, get_backend
from lucidlite.callsite import error
from lucidlite.dtypes import (
    as_dtype,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lucidlite.engine import backward
from lucidlite.engine_checks import check_assigned, check_inputs, seeds
from lucidlite.hooks import RemovableHandle, add_hook
from lucidlite.ops import (
    activation,
    arranging,
    choose,
    compare,
    cumulative,
    diagonals,
    distinct,
    elementwise,
    extremes,
    gates,
    gather,
    indexing,
    inplace,
    join,
    linalg,
    pairs,
    random,
    reduce,
    scatter,
    selection,
    slices,
    smooth,
    sorting,
    statistics,
    strided,
    transfer,
    unary,
    units,
)
from lucidlite.ops import matmul as products
from lucidlite.ops import products as more_products
from lucidlite.ops import put as put_ops
from lucidlite.ops import shape as shape_ops
from lucidlite.ops.common import (
    OPERANDS,
    as_ints,
    as_sizes,
    as_tensor_operand,
    listed,
    number_array,
    wrap_dim,
)
from lucidlite.printing import tensor_format, tensor_repr
from lucidlite.printing_html import tensor_html
from lucidlite.reading import read
from lucidlite.scope import absent
from lucidlite.size import Size
from lucidlite.stepping import Step, steps
from lucidlite.tape import wrap
from lucidlite.tensor_base import TensorBase
from lucidlite.training_hints import DETACHED, ONE_NUMBER

_ARRAYS = (TensorBase, np.ndarray)


class Tensor(TensorBase, concrete=True):
    """An n-dimensional array that can remember how it was computed.

    Made by ``lucidlite.tensor``, ``zeros``, ``randn`` and the like; ``Tensor(data)`` makes a float
    tensor from numbers and ``Tensor(2, 3)`` an uninitialised one.

    >>> import lucidlite
    >>> x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # NumPy leaves ``ndarray * tensor`` to ``Tensor.__rmul__``.
    __array_priority__ = 1000
    __array_ufunc__ = None

    def __init__(self, *data: Any) -> None:
        if len(data) == 1 and not _is_size(data[0]):
            if isinstance(data[0], (float, complex, np.floating, np.bool_, type(None))):
                raise error(
                    TypeError, f"Tensor: data must be a sequence (got {type(data[0]).__name__})"
                )
            host = read("Tensor", data[0], float32)
        else:
            host = np.empty(as_sizes("Tensor", data or (0,)), np.float32)
        self.array, self.backend = cpu.asarray(host), cpu

    # -- values --------------------------------------------------------------------------------

    def numpy(self, *, force: _bool = False) -> np.ndarray[Any, Any]:
        """The values as a NumPy array that shares memory; ``force`` detaches and copies if needed.

        RuntimeError for a tensor that requires grad, TypeError for one on a GPU, without ``force``.
        """
        if not force:
            if self.requires_grad:
                raise error(
                    RuntimeError,
                    "numpy: can't call numpy() on Tensor that requires grad. Use "
                    "tensor.detach().numpy() instead",
                    DETACHED,
                )
            if self.backend is not cpu:
                raise error(
                    TypeError,
                    f"numpy: can't convert {self.device} device type tensor to numpy. Use "
                    "Tensor.cpu() to copy the tensor to host memory first",
                )
        if self.backend is cpu:
            self.version_cell().leave()
        return self.backend.to_numpy(self.array)

    def __array__(self, dtype: Any = None, copy: _bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.numpy(), dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        """A DLPack capsule that shares memory. Semantics: torch.Tensor.__dlpack__."""
        if self.requires_grad:
            raise error(
                BufferError,
                "__dlpack__: can't export tensors that require gradient, use tensor.detach()",
            )
        self.version_cell().leave()
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def item(self) -> Any:
        """The one element as a Python number; RuntimeError where there are more or none."""
        if self.array.size != 1:
            raise error(
                RuntimeError,
                f"item: a Tensor with {self.array.size} elements cannot be converted to Scalar, "
                f"got shape={tuple(self.shape)}",
                ONE_NUMBER,
            )
        return self.backend.to_numpy(self.array).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.backend.to_numpy(self.array).tolist()

    def _number(self) -> Any:
        if self.array.size != 1:
            raise error(
                ValueError,
                "float: only one element tensors can be converted to Python scalars, "
                f"got shape={tuple(self.shape)}",
            )
        return self.item()

    def __float__(self) -> _float: return float(self._number())
    def __int__(self) -> _int: return int(self._number())
    def __complex__(self) -> complex: return complex(self._number())

    def __bool__(self) -> _bool:
        return compare.is_nonzero(self)

    def __index__(self) -> _int:
        if self.array.dtype.kind not in "biu" or self.array.size != 1:
            raise error(
                TypeError,
                "index: only integer tensors of a single element can be converted to an index, "
                f"got dtype={self.dtype}, shape={tuple(self.shape)}",
            )
        return int(self.item())

    def __len__(self) -> _int:
        if not self.array.ndim:
            raise error(TypeError, "len: len() of a 0-d tensor")
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.array.ndim:
            raise error(TypeError, "iter: iteration over a 0-d tensor")
        return iter(join.unbind(self))

    def __reversed__(self) -> Tensor:
        return join.flip(self, (0,)) if self.array.ndim else self

    def __contains__(self, element: Any) -> _bool:
        if not isinstance(element, (int, float, Tensor)):
            raise error(
                RuntimeError,
                f"contains: only supports Tensor or number, got {type(element).__name__}",
            )
        return bool(compare.eq(self, element).array.any())

    def __repr__(self) -> str:
        return tensor_repr(self)

    def _repr_html_(self) -> str:
        return tensor_html(self, repr(self))

    def __format__(self, spec: str) -> str:
        return tensor_format(self, spec)

    def __deepcopy__(self, memo: dict[_int, Any]) -> Any:
        if self.grad_fn is not None:
            raise error(
                RuntimeError,
                "deepcopy: only Tensors created explicitly by the user (graph leaves) support the "
                "deepcopy protocol; use detach() or clone()",
            )
        if id(self) in memo:
            return memo[id(self)]
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.array, twin.backend = self.array.copy(order="K"), self.backend
        twin._requires_grad = self._requires_grad
        twin._grad = None if self._grad is None else self._grad.__deepcopy__(memo)
        return twin

    def __copy__(self) -> Any:
        # A leaf that sees the same memory, as PyTorch's.
        twin = type(self).__new__(type(self))
        twin.array, twin.backend = self.array, self.backend
        twin._cell, twin._requires_grad = self.version_cell(share=True), self.requires_grad
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise error(
            TypeError,
            "pickle: tensors are not pickled; use lucidlite.save, or numpy() and from_numpy",
        )

    # -- facts ---------------------------------------------------------------------------------

    def size(self, dim: _int | None = None) -> Any:
        """The shape, or the size of one dim."""
        if dim is None:
            return self.shape
        return self.shape[wrap_dim("size", dim, self.array.ndim)]

    def dim(self) -> _int: return int(self.array.ndim)
    def ndimension(self) -> _int: return int(self.array.ndim)
    def nelement(self) -> _int: return int(self.array.size)
    def element_size(self) -> _int: return int(self.array.itemsize)
    def is_floating_point(self) -> _bool: return bool(self.array.dtype.kind == "f")
    def is_complex(self) -> _bool: return False
    def is_inference(self) -> _bool: return self._inference
    def get_device(self) -> _int: return -1 if self.device.type == "cpu" else self.device.index or 0

    def stride(self, dim: _int | None = None) -> Any:
        """Elements from one index to the next along each dim (or one dim), in memory."""
        steps = tuple(s // self.array.itemsize for s in self.array.strides)
        return steps if dim is None else steps[wrap_dim("stride", dim, len(steps))]

    def is_contiguous(self) -> _bool:
        """Whether memory is in row-major order. What convolutions and pools return isn't."""
        return bool(self.array.flags.c_contiguous)

    def data_ptr(self) -> _int:
        """The address of the first element."""
        self.version_cell().leave(address=True)
        pointer = self.array.ctypes.data if self.backend is cpu else self.array.data.ptr
        return int(pointer)

    @property
    def nbytes(self) -> _int:
        return int(self.array.nbytes)

    @property
    def itemsize(self) -> _int:
        return int(self.array.itemsize)

    @property
    def is_cuda(self) -> _bool:
        return self.device.type == "cuda"

    @property
    def data(self) -> Tensor:
        """The values outside the graph, sharing memory and version; assigning replaces them."""
        return shape_ops.detach(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array, self.backend = value.array, value.backend
        self._cell = value.version_cell(share=True)
        self._accumulator = None  # it knows the old shape, dtype and device

    # -- conversion ----------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Tensor: return transfer.to(self, *args, **kwargs)
    def cpu(self) -> Tensor: return transfer.to_device(self, "cpu")
    def cuda(self, device: Any = None, non_blocking: _bool = False) -> Tensor:
        return transfer.to_device(self, "cuda" if device is None else device, non_blocking)
    def type_as(self, other: Tensor) -> Tensor: return transfer.to(self, other.dtype)
    def type(self, dtype: Any = None) -> Any:
        """The name of the dtype's old tensor class, 'torch.FloatTensor'; or ``to(dtype)``."""
        return transfer.type_name(self) if dtype is None else transfer.to_type(self, dtype)
    def float(self) -> Tensor: return transfer.to(self, float32)
    def double(self) -> Tensor: return transfer.to(self, float64)
    def half(self) -> Tensor: return transfer.to(self, float16)
    def byte(self) -> Tensor: return transfer.to(self, uint8)
    def char(self) -> Tensor: return transfer.to(self, int8)
    def short(self) -> Tensor: return transfer.to(self, int16)
    def int(self) -> Tensor: return transfer.to(self, int32)
    def long(self) -> Tensor: return transfer.to(self, int64)
    def bool(self) -> Tensor: return transfer.to(self, bool_)
    def pin_memory(self) -> Tensor: return transfer.pin_memory(self)
    def is_pinned(self) -> _bool: return transfer.is_pinned(self)

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None,
                   requires_grad: _bool = False) -> Tensor:
        """A tensor of ``data`` with this one's dtype and device."""
        kind = self.dtype if dtype is None else as_dtype(dtype, "new_tensor")
        return self._new(read("new_tensor", data, kind), device, requires_grad)

    def new_zeros(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: _bool = False,
        **named: Any,
    ) -> Tensor:
        return self.new_full(
            listed("new_zeros", "size", size, named),
            0,
            dtype=dtype,
            device=device,
            requires_grad=requires_grad,
        )

    def new_ones(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: _bool = False,
        **named: Any,
    ) -> Tensor:
        return self.new_full(
            listed("new_ones", "size", size, named),
            1,
            dtype=dtype,
            device=device,
            requires_grad=requires_grad,
        )

    def new_empty(
        self,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: _bool = False,
        **named: Any,
    ) -> Tensor:
        return self.new_full(
            listed("new_empty", "size", size, named),
            0,
            dtype=dtype,
            device=device,
            requires_grad=requires_grad,
        )
    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
                 requires_grad: _bool = False) -> Tensor:
        """One number in a shape, with this tensor's dtype and device."""
        sizes = as_ints("new_full", "size", size)
        if min(sizes, default=0) < 0:
            raise error(RuntimeError, f"new_full: negative dimension, got size={sizes}")
        kind = self.dtype if dtype is None else as_dtype(dtype, "new_full")
        number = number_array("new_full", fill_value, wrap(np.empty((), kind.numpy), cpu))
        return self._new(np.full(sizes, number), device, requires_grad)

    def _new(self, host: np.ndarray[Any, Any], device: Any, requires_grad: _bool) -> Tensor:
        backend = self.backend if device is None else get_backend(device)
        out: Tensor = wrap(backend.asarray(host), backend)
        return out.requires_grad_() if requires_grad else out

    # -- autograd ------------------------------------------------------------------------------

    @property
    def grad(self) -> Any:
        """The gradient summed so far, None before the first; only leaves have one by themselves."""
        if self._grad is None and self._node is not None and not self.retains_grad:
            warnings.warn(
                "grad: the .grad attribute of a Tensor that is not a leaf Tensor is being read. "
                "Its .grad attribute won't be populated during autograd.backward(). If you want "
                "it, call .retain_grad() on the non-leaf Tensor first",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            check_assigned(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: Any = None,
        create_graph: Any = False,
        inputs: Any = None,
    ) -> None:
        """Add this tensor's gradients to the ``.grad`` of the leaves it was computed from.

        ``gradient`` is the gradient of this tensor itself, 1 for a single element.

        Semantics: torch.Tensor.backward.
        """
        keep = create_graph if retain_graph is None else retain_graph
        wanted = None if inputs is None else check_inputs("backward", inputs)
        backward([self], seeds("backward", [self], [gradient]), keep, create_graph, wanted)

    def backward_steps(
        self,
        gradient: Tensor | None = None,
        retain_graph: Any = None,
        create_graph: Any = False,
        inputs: Any = None,
    ) -> Iterator[Step]:
        """``backward``, handed out node by node in the order the engine takes them.

        Each Step has the ``node``, the gradients ``incoming`` to its outputs and ``outgoing`` to
        its inputs, and the nodes that are ``pending``. Leaves get their ``.grad`` as they are
        reached; a walk that isn't finished leaves the others without.

        >>> import lucidlite
        >>> x = lucidlite.tensor(3.0, requires_grad=True)
        >>> for step in (x * x).exp().backward_steps():
        ...     print(step.node.name(), round(step.incoming[0].item(), 1))
        ExpBackward0 1.0
        MulBackward0 8103.1
        AccumulateGrad 48618.5
        """
        keep = create_graph if retain_graph is None else retain_graph
        wanted = None if inputs is None else check_inputs("backward_steps", inputs)
        start = seeds("backward_steps", [self], [gradient])
        return steps([self], start, keep, create_graph, wanted)

    def detach_(self) -> Tensor:
        """Cut this tensor from the graph it was made in."""
        if self._view is not None:
            raise error(RuntimeError, "detach_: can't detach views in-place, use detach() instead")
        self._node, self._output_nr, self._requires_grad = None, 0, False
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in ``.grad`` too."""
        if not self.requires_grad:
            raise error(
                RuntimeError,
                "retain_grad: can't retain_grad on Tensor that has requires_grad=False",
            )
        node = self.grad_fn
        if node is not None:
            node.retained = {**(node.retained or {}), self._output_nr: weakref.ref(self)}

    @property
    def retains_grad(self) -> Any:
        node = self.grad_fn
        held = (node.retained or {}).get(self._output_nr) if node is not None else None
        return held is not None and held() is self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` on this tensor's gradient; what it returns (unless None) replaces it.

        Semantics: torch.Tensor.register_hook.
        """
        if not self.requires_grad:
            raise error(
                RuntimeError,
                "register_hook: cannot register a hook on a tensor that doesn't require gradient",
            )
        node = self.grad_fn
        if node is not None:
            return node.add_hook(self._output_nr, hook)
        if self._hooks is None:
            self._hooks = OrderedDict()
        return add_hook(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` after a gradient was added to this leaf's ``.grad``."""
        if not self.requires_grad or not self.is_leaf:
            raise error(
                RuntimeError,
                "register_post_accumulate_grad_hook: can only be registered on leaf tensors that "
                "require gradient",
            )
        if self._post_hooks is None:
            self._post_hooks = OrderedDict()
        return add_hook(self._post_hooks, hook)

    # -- arithmetic ----------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return elementwise.add(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __sub__(self, other: Any) -> Tensor:
        return elementwise.sub(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __mul__(self, other: Any) -> Tensor:
        return elementwise.mul(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __truediv__(self, other: Any) -> Tensor:
        return elementwise.div(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __floordiv__(self, other: Any) -> Tensor:
        return (
            elementwise.floor_divide(self, other) if isinstance(other, OPERANDS) else NotImplemented
        )
    def __mod__(self, other: Any) -> Tensor:
        return elementwise.remainder(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __pow__(self, other: Any) -> Tensor:
        return elementwise.pow(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __radd__(self, other: Any) -> Tensor:
        return elementwise.add(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __rsub__(self, other: Any) -> Tensor:
        return elementwise.rsub(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __rmul__(self, other: Any) -> Tensor:
        return elementwise.mul(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __rtruediv__(self, other: Any) -> Tensor:
        return (
            elementwise.mul(unary.reciprocal(self), other)
            if isinstance(other, OPERANDS)
            else NotImplemented
        )
    def __rfloordiv__(self, other: Any) -> Tensor:
        return (
            elementwise.floor_divide(other, self) if isinstance(other, OPERANDS) else NotImplemented
        )
    def __rmod__(self, other: Any) -> Tensor:
        return elementwise.remainder(other, self) if isinstance(other, OPERANDS) else NotImplemented
    def __rpow__(self, other: Any) -> Tensor:
        return elementwise.pow(other, self) if isinstance(other, OPERANDS) else NotImplemented
    def __matmul__(self, other: Any) -> Tensor:
        return (
            products.matmul(self, as_tensor_operand("matmul", other, self))
            if isinstance(other, _ARRAYS)
            else NotImplemented
        )
    def __rmatmul__(self, other: Any) -> Tensor:
        return (
            products.matmul(as_tensor_operand("matmul", other, self), self)
            if isinstance(other, _ARRAYS)
            else NotImplemented
        )
    def __neg__(self) -> Tensor: return unary.neg(self)
    def __pos__(self) -> Tensor: return unary.positive(self)
    def __abs__(self) -> Tensor: return unary.abs(self)
    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return elementwise.add(self, other, alpha=alpha)
    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return elementwise.sub(self, other, alpha=alpha)
    def mul(self, other: Any) -> Tensor: return elementwise.mul(self, other)
    def multiply(self, other: Any) -> Tensor: return elementwise.mul(self, other)
    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        return elementwise.div(self, other, rounding_mode=rounding_mode)
    def floor_divide(self, other: Any) -> Tensor: return elementwise.floor_divide(self, other)
    def remainder(self, other: Any) -> Tensor: return elementwise.remainder(self, other)
    def pow(self, exponent: Any) -> Tensor: return elementwise.pow(self, exponent)
    def square(self) -> Tensor: return elementwise.square(self)
    def maximum(self, other: Any) -> Tensor: return choose.maximum(self, other)
    def minimum(self, other: Any) -> Tensor: return choose.minimum(self, other)
    def clamp(self, min: Any = None, max: Any = None) -> Tensor: return choose.clamp(self, min, max)
    def clip(self, min: Any = None, max: Any = None) -> Tensor: return choose.clamp(self, min, max)
    def where(self, condition: Tensor, other: Any) -> Tensor:
        return choose.where(condition, self, other)
    def lerp(self, end: Tensor, weight: Any) -> Tensor: return elementwise.lerp(self, end, weight)
    def atan2(self, other: Any) -> Tensor: return pairs.atan2(self, other)
    def hypot(self, other: Any) -> Tensor: return pairs.hypot(self, other)
    def fmax(self, other: Any) -> Tensor: return pairs.fmax(self, other)
    def fmin(self, other: Any) -> Tensor: return pairs.fmin(self, other)
    def logaddexp(self, other: Any) -> Tensor: return pairs.logaddexp(self, other)
    def logaddexp2(self, other: Any) -> Tensor: return pairs.logaddexp2(self, other)
    def xlogy(self, other: Any) -> Tensor: return pairs.xlogy(self, other)
    def fmod(self, other: Any) -> Tensor: return pairs.fmod(self, other)
    def copysign(self, other: Any) -> Tensor: return pairs.copysign(self, other)
    def ldexp(self, other: Any) -> Tensor: return pairs.ldexp(self, other)
    def arctan2(self, other: Any) -> Tensor: return pairs.atan2(self, other)
    def heaviside(self, values: Tensor) -> Tensor: return pairs.heaviside(self, values)
    def float_power(self, exponent: Any) -> Tensor: return pairs.float_power(self, exponent)
    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        return pairs.addcmul(self, tensor1, tensor2, value=value)
    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        return pairs.addcdiv(self, tensor1, tensor2, value=value)
    def clamp_min(self, min: Any) -> Tensor: return choose.clamp_min(self, min)
    def clamp_max(self, max: Any) -> Tensor: return choose.clamp_max(self, max)
    def subtract(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return elementwise.sub(self, other, alpha=alpha)
    def divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        return elementwise.div(self, other, rounding_mode=rounding_mode)
    def true_divide(self, other: Any) -> Tensor: return elementwise.div(self, other)
    def abs(self) -> Tensor: return unary.abs(self)
    def absolute(self) -> Tensor: return unary.abs(self)
    def neg(self) -> Tensor: return unary.neg(self)
    def negative(self) -> Tensor: return unary.neg(self)
    def sign(self) -> Tensor: return unary.sign(self)
    def sqrt(self) -> Tensor: return unary.sqrt(self)
    def rsqrt(self) -> Tensor: return unary.rsqrt(self)
    def reciprocal(self) -> Tensor: return unary.reciprocal(self)
    def floor(self) -> Tensor: return unary.floor(self)
    def ceil(self) -> Tensor: return unary.ceil(self)
    def trunc(self) -> Tensor: return unary.trunc(self)
    def exp(self) -> Tensor: return unary.exp(self)
    def expm1(self) -> Tensor: return unary.expm1(self)
    def log(self) -> Tensor: return unary.log(self)
    def log2(self) -> Tensor: return unary.log2(self)
    def log10(self) -> Tensor: return unary.log10(self)
    def log1p(self) -> Tensor: return unary.log1p(self)
    def sin(self) -> Tensor: return unary.sin(self)
    def cos(self) -> Tensor: return unary.cos(self)
    def round(self, *, decimals: Any = None) -> Tensor: return unary.round(self, decimals=decimals)
    def clone(self) -> Tensor: return unary.clone(self)
    def relu(self) -> Tensor: return activation.relu(self)
    def sigmoid(self) -> Tensor: return activation.sigmoid(self)
    def prelu(self, weight: Tensor) -> Tensor: return gates.prelu(self, weight)
    def hardshrink(self, lambd: _float = 0.5) -> Tensor: return units.hardshrink(self, lambd)
    def tanh(self) -> Tensor: return activation.tanh(self)
    def erf(self) -> Tensor: return activation.erf(self)
    def tan(self) -> Tensor: return smooth.tan(self)
    def asin(self) -> Tensor: return smooth.asin(self)
    def acos(self) -> Tensor: return smooth.acos(self)
    def atan(self) -> Tensor: return smooth.atan(self)
    def sinh(self) -> Tensor: return smooth.sinh(self)
    def cosh(self) -> Tensor: return smooth.cosh(self)
    def asinh(self) -> Tensor: return smooth.asinh(self)
    def acosh(self) -> Tensor: return smooth.acosh(self)
    def atanh(self) -> Tensor: return smooth.atanh(self)
    def exp2(self) -> Tensor: return smooth.exp2(self)
    def erfc(self) -> Tensor: return smooth.erfc(self)
    def erfinv(self) -> Tensor: return smooth.erfinv(self)
    def sinc(self) -> Tensor: return smooth.sinc(self)
    def deg2rad(self) -> Tensor: return smooth.deg2rad(self)
    def rad2deg(self) -> Tensor: return smooth.rad2deg(self)
    def frac(self) -> Tensor: return smooth.frac(self)
    def arcsin(self) -> Tensor: return smooth.asin(self)
    def arccos(self) -> Tensor: return smooth.acos(self)
    def arctan(self) -> Tensor: return smooth.atan(self)
    def arcsinh(self) -> Tensor: return smooth.asinh(self)
    def arccosh(self) -> Tensor: return smooth.acosh(self)
    def arctanh(self) -> Tensor: return smooth.atanh(self)
    def logit(self, eps: _float | None = None) -> Tensor: return smooth.logit(self, eps)
    def nan_to_num(self, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
        return smooth.nan_to_num(self, nan, posinf, neginf)
    def fix(self) -> Tensor: return unary.trunc(self)
    def sgn(self) -> Tensor: return unary.sgn(self)
    def positive(self) -> Tensor: return unary.positive(self)
    def softmax(self, dim: _int, dtype: Any = None) -> Tensor:
        return activation.softmax(self, dim, dtype)
    def log_softmax(self, dim: _int, dtype: Any = None) -> Tensor:
        return activation.log_softmax(self, dim, dtype)

    # -- comparison and logic ------------------------------------------------------------------

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare.eq(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare.ne(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __lt__(self, other: Any) -> Tensor:
        return compare.lt(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __le__(self, other: Any) -> Tensor:
        return compare.le(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __gt__(self, other: Any) -> Tensor:
        return compare.gt(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __ge__(self, other: Any) -> Tensor:
        return compare.ge(self, other) if isinstance(other, OPERANDS) else NotImplemented
    __hash__ = object.__hash__
    def __and__(self, other: Any) -> Tensor:
        return compare.bitwise_and(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __or__(self, other: Any) -> Tensor:
        return compare.bitwise_or(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __xor__(self, other: Any) -> Tensor:
        return compare.bitwise_xor(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __rand__(self, other: Any) -> Tensor:
        return compare.bitwise_and(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __ror__(self, other: Any) -> Tensor:
        return compare.bitwise_or(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __rxor__(self, other: Any) -> Tensor:
        return compare.bitwise_xor(self, other) if isinstance(other, OPERANDS) else NotImplemented
    def __invert__(self) -> Tensor: return compare.invert(self)
    def eq(self, other: Any) -> Tensor: return compare.eq(self, other)
    def ne(self, other: Any) -> Tensor: return compare.ne(self, other)
    def lt(self, other: Any) -> Tensor: return compare.lt(self, other)
    def le(self, other: Any) -> Tensor: return compare.le(self, other)
    def gt(self, other: Any) -> Tensor: return compare.gt(self, other)
    def ge(self, other: Any) -> Tensor: return compare.ge(self, other)
    def logical_and(self, other: Any) -> Tensor: return compare.logical_and(self, other)
    def logical_or(self, other: Any) -> Tensor: return compare.logical_or(self, other)
    def logical_xor(self, other: Any) -> Tensor: return compare.logical_xor(self, other)
    def bitwise_and(self, other: Any) -> Tensor: return compare.bitwise_and(self, other)
    def bitwise_or(self, other: Any) -> Tensor: return compare.bitwise_or(self, other)
    def bitwise_xor(self, other: Any) -> Tensor: return compare.bitwise_xor(self, other)
    def logical_not(self) -> Tensor: return compare.logical_not(self)
    def bitwise_not(self) -> Tensor: return compare.bitwise_not(self)
    def isnan(self) -> Tensor: return compare.isnan(self)
    def isinf(self) -> Tensor: return compare.isinf(self)
    def isfinite(self) -> Tensor: return compare.isfinite(self)
    def greater(self, other: Any) -> Tensor: return compare.gt(self, other)
    def greater_equal(self, other: Any) -> Tensor: return compare.ge(self, other)
    def less(self, other: Any) -> Tensor: return compare.lt(self, other)
    def less_equal(self, other: Any) -> Tensor: return compare.le(self, other)
    def not_equal(self, other: Any) -> Tensor: return compare.ne(self, other)
    def bitwise_left_shift(self, other: Any) -> Tensor:
        return compare.bitwise_left_shift(self, other)
    def bitwise_right_shift(self, other: Any) -> Tensor:
        return compare.bitwise_right_shift(self, other)
    def isreal(self) -> Tensor: return compare.isreal(self)
    def isposinf(self) -> Tensor: return compare.isposinf(self)
    def isneginf(self) -> Tensor: return compare.isneginf(self)
    def signbit(self) -> Tensor: return compare.signbit(self)
    def is_nonzero(self) -> _bool: return compare.is_nonzero(self)
    def __lshift__(self, other: Any) -> Tensor:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return compare.bitwise_left_shift(self, other)
    def __rshift__(self, other: Any) -> Tensor:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return compare.bitwise_right_shift(self, other)
    def equal(self, other: Tensor) -> _bool: return compare.equal(self, other)
    def isclose(self, other: Tensor, rtol: _float = 1e-5, atol: _float = 1e-8,
                equal_nan: _bool = False) -> Tensor:
        return compare.isclose(self, other, rtol, atol, equal_nan)
    def allclose(self, other: Tensor, rtol: _float = 1e-5, atol: _float = 1e-8,
                 equal_nan: _bool = False) -> _bool:
        return compare.allclose(self, other, rtol, atol, equal_nan)

    # -- reductions ----------------------------------------------------------------------------

    def sum(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        return reduce.sum(self, dim, keepdim, dtype=dtype)
    def mean(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        return reduce.mean(self, dim, keepdim, dtype=dtype)
    def prod(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        return reduce.prod(self, dim, keepdim, dtype=dtype)
    def var(self, dim: Any = None, unbiased: Any = None, keepdim: _bool = False, *,
            correction: _float | None = None) -> Tensor:
        return statistics.var(self, dim, unbiased, keepdim, correction=correction)
    def std(self, dim: Any = None, unbiased: Any = None, keepdim: _bool = False, *,
            correction: _float | None = None) -> Tensor:
        return statistics.std(self, dim, unbiased, keepdim, correction=correction)
    def cumsum(self, dim: _int, *, dtype: Any = None) -> Tensor:
        return reduce.cumsum(self, dim, dtype=dtype)
    def max(self, dim: Any = None, keepdim: _bool = False, *, other: Any = None) -> Any:
        return extremes.max(self, dim, keepdim, other=other)
    def min(self, dim: Any = None, keepdim: _bool = False, *, other: Any = None) -> Any:
        return extremes.min(self, dim, keepdim, other=other)
    def amax(self, dim: Any = (), keepdim: _bool = False) -> Tensor:
        return extremes.amax(self, dim, keepdim)
    def amin(self, dim: Any = (), keepdim: _bool = False) -> Tensor:
        return extremes.amin(self, dim, keepdim)
    def argmax(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        return extremes.argmax(self, dim, keepdim)
    def argmin(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        return extremes.argmin(self, dim, keepdim)
    def any(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        return reduce.any(self, dim, keepdim)
    def all(self, dim: Any = None, keepdim: _bool = False) -> Tensor:
        return reduce.all(self, dim, keepdim)
    def logsumexp(self, dim: Any, keepdim: _bool = False) -> Tensor:
        return statistics.logsumexp(self, dim, keepdim)

    def norm(
        self, p: Any = "fro", dim: Any = None, keepdim: _bool = False, dtype: Any = None
    ) -> Tensor: return statistics.norm(self, p, dim, keepdim, dtype=dtype)
    def sort(self, dim: _int = -1, descending: _bool = False, *, stable: Any = None) -> Any:
        return sorting.sort(self, dim, descending, stable=stable)
    def argsort(self, dim: _int = -1, descending: _bool = False, stable: _bool = False) -> Tensor:
        return sorting.argsort(self, dim, descending, stable)
    def topk(self, k: _int, dim: _int = -1, largest: _bool = True, sorted: _bool = True) -> Any:
        return sorting.topk(self, k, dim, largest, sorted)
    def cumprod(self, dim: _int, *, dtype: Any = None) -> Tensor:
        return cumulative.cumprod(self, dim, dtype=dtype)
    def cummax(self, dim: _int) -> Any: return cumulative.cummax(self, dim)
    def cummin(self, dim: _int) -> Any: return cumulative.cummin(self, dim)
    def logcumsumexp(self, dim: _int) -> Tensor: return cumulative.logcumsumexp(self, dim)
    def diff(self, n: _int = 1, dim: _int = -1, prepend: Any = None, append: Any = None) -> Tensor:
        return cumulative.diff(self, n, dim, prepend, append)
    def median(self, dim: Any = None, keepdim: _bool = False) -> Any:
        return selection.median(self, dim, keepdim)
    def nanmedian(self, dim: Any = None, keepdim: _bool = False) -> Any:
        return selection.nanmedian(self, dim, keepdim)
    def kthvalue(self, k: _int, dim: _int = -1, keepdim: _bool = False) -> Any:
        return selection.kthvalue(self, k, dim, keepdim)
    def mode(self, dim: _int = -1, keepdim: _bool = False) -> Any:
        return selection.mode(self, dim, keepdim)
    def quantile(self, q: Any, dim: Any = None, keepdim: _bool = False, *,
                 interpolation: str = "linear") -> Tensor:
        return selection.quantile(self, q, dim, keepdim, interpolation=interpolation)
    def unique(self, sorted: _bool = True, return_inverse: _bool = False,
               return_counts: _bool = False, dim: Any = None) -> Any:
        return distinct.unique(self, sorted, return_inverse, return_counts, dim)
    def unique_consecutive(self, return_inverse: _bool = False, return_counts: _bool = False,
                           dim: Any = None) -> Any:
        return distinct.unique_consecutive(self, return_inverse, return_counts, dim)
    def count_nonzero(self, dim: Any = None) -> Tensor: return distinct.count_nonzero(self, dim)
    def bincount(self, weights: Any = None, minlength: _int = 0) -> Tensor:
        return distinct.bincount(self, weights, minlength)
    def histc(self, bins: _int = 100, min: Any = 0, max: Any = 0) -> Tensor:
        return distinct.histc(self, bins, min, max)
    def nansum(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        return statistics.nansum(self, dim, keepdim, dtype=dtype)
    def nanmean(self, dim: Any = None, keepdim: _bool = False, *, dtype: Any = None) -> Tensor:
        return statistics.nanmean(self, dim, keepdim, dtype=dtype)
    def renorm(self, p: _float, dim: _int, maxnorm: _float) -> Tensor:
        return linalg.renorm(self, p, dim, maxnorm)
    def dist(self, other: Tensor, p: _float = 2) -> Tensor: return statistics.dist(self, other, p)
    def aminmax(self, *, dim: Any = None, keepdim: _bool = False) -> Any:
        return extremes.aminmax(self, dim=dim, keepdim=keepdim)
    def msort(self) -> Tensor: return sorting.msort(self)
    def multinomial(self, num_samples: _int, replacement: _bool = False, *,
                    generator: Any = None) -> Tensor:
        return random.multinomial(self, num_samples, replacement, generator=generator)
    def bernoulli(self, p: Any = None, *, generator: Any = None) -> Tensor:
        return random.bernoulli(self, p, generator=generator)

    # -- products ------------------------------------------------------------------------------

    def matmul(self, other: Tensor) -> Tensor: return products.matmul(self, other)
    def mm(self, other: Tensor) -> Tensor: return products.mm(self, other)
    def bmm(self, other: Tensor) -> Tensor: return products.bmm(self, other)
    def mv(self, other: Tensor) -> Tensor: return products.mv(self, other)
    def dot(self, other: Tensor) -> Tensor: return products.dot(self, other)
    def outer(self, other: Tensor) -> Tensor: return products.outer(self, other)
    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return products.addmm(self, mat1, mat2, beta=beta, alpha=alpha)
    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1,
                alpha: _float = 1) -> Tensor:
        return more_products.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)
    def addmv(self, mat: Tensor, vec: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return more_products.addmv(self, mat, vec, beta=beta, alpha=alpha)
    def addr(self, vec1: Tensor, vec2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return more_products.addr(self, vec1, vec2, beta=beta, alpha=alpha)
    def addbmm(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1,
               alpha: _float = 1) -> Tensor:
        return more_products.addbmm(self, batch1, batch2, beta=beta, alpha=alpha)
    def inner(self, other: Tensor) -> Tensor: return more_products.inner(self, other)
    def vdot(self, other: Tensor) -> Tensor: return more_products.vdot(self, other)
    def kron(self, other: Tensor) -> Tensor: return more_products.kron(self, other)
    def ger(self, vec2: Tensor) -> Tensor: return products.outer(self, vec2)
    def cross(self, other: Tensor, dim: Any = None) -> Tensor:
        return more_products.cross(self, other, dim)
    def matrix_power(self, n: _int) -> Tensor: return more_products.matrix_power(self, n)

    # -- shape ---------------------------------------------------------------------------------

    def view(self, *shape: Any, **named: Any) -> Tensor:
        return shape_ops.view(self, listed("view", "size", shape, named))
    def reshape(self, *shape: Any, **named: Any) -> Tensor:
        return shape_ops.reshape(self, listed("reshape", "shape", shape, named))
    def permute(self, *dims: Any, **named: Any) -> Tensor:
        return shape_ops.permute(self, listed("permute", "dims", dims, named))
    def flatten(self, start_dim: _int = 0, end_dim: _int = -1) -> Tensor:
        return shape_ops.flatten(self, start_dim, end_dim)
    def unflatten(self, dim: _int, sizes: Any) -> Tensor:
        return shape_ops.unflatten(self, dim, sizes)
    def view_as(self, other: Tensor) -> Tensor: return shape_ops.view(self, other.shape)
    def reshape_as(self, other: Tensor) -> Tensor: return shape_ops.reshape(self, other.shape)
    def transpose(self, dim0: _int, dim1: _int) -> Tensor:
        return shape_ops.transpose(self, dim0, dim1)
    def swapaxes(self, axis0: _int, axis1: _int) -> Tensor:
        return shape_ops.transpose(self, axis0, axis1)
    def movedim(self, source: Any, destination: Any) -> Tensor:
        return shape_ops.movedim(self, source, destination)
    def t(self) -> Tensor: return shape_ops.t(self)
    def squeeze(self, dim: Any = None) -> Tensor: return shape_ops.squeeze(self, dim)
    def unsqueeze(self, dim: _int) -> Tensor: return shape_ops.unsqueeze(self, dim)
    def expand(self, *sizes: Any, **named: Any) -> Tensor:
        return shape_ops.expand(self, listed("expand", "size", sizes, named))
    def expand_as(self, other: Tensor) -> Tensor: return shape_ops.expand(self, other.shape)
    def broadcast_to(self, *size: Any, **named: Any) -> Tensor:
        return shape_ops.expand(self, listed("broadcast_to", "size", size, named))
    def contiguous(self) -> Tensor: return shape_ops.contiguous(self)
    def detach(self) -> Tensor: return shape_ops.detach(self)
    def repeat(self, *repeats: Any, **named: Any) -> Tensor:
        return join.repeat(self, listed("repeat", "repeats", repeats, named))
    def tile(self, *dims: Any, **named: Any) -> Tensor:
        return join.tile(self, listed("tile", "dims", dims, named))
    def flip(self, *dims: Any, **named: Any) -> Tensor:
        return join.flip(self, listed("flip", "dims", dims, named))
    def roll(self, shifts: Any, dims: Any = None) -> Tensor: return join.roll(self, shifts, dims)
    def split(self, split_size: Any, dim: _int = 0) -> tuple[Tensor, ...]:
        return join.split(self, split_size, dim)
    def chunk(self, chunks: _int, dim: _int = 0) -> tuple[Tensor, ...]:
        return join.chunk(self, chunks, dim)
    def unbind(self, dim: _int = 0) -> tuple[Tensor, ...]: return join.unbind(self, dim)
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        return shape_ops.movedim(self, source, destination)
    def swapdims(self, dim0: _int, dim1: _int) -> Tensor:
        return shape_ops.transpose(self, dim0, dim1)
    def ravel(self) -> Tensor: return shape_ops.reshape(self, (-1,))
    def adjoint(self) -> Tensor: return shape_ops.matrix_transpose(self)
    def sum_to_size(self, *size: Any) -> Tensor:
        return reduce.sum_to(self, as_sizes("sum_to_size", size))
    def tril(self, diagonal: _int = 0) -> Tensor: return diagonals.tril(self, diagonal)
    def triu(self, diagonal: _int = 0) -> Tensor: return diagonals.triu(self, diagonal)
    def diagonal(self, offset: _int = 0, dim1: _int = 0, dim2: _int = 1) -> Tensor:
        return diagonals.diagonal(self, offset, dim1, dim2)
    def diag_embed(self, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor:
        return diagonals.diag_embed(self, offset, dim1, dim2)
    def diag(self, diagonal: _int = 0) -> Tensor: return diagonals.diag(self, diagonal)
    def diagflat(self, offset: _int = 0) -> Tensor: return diagonals.diagflat(self, offset)
    def trace(self) -> Tensor: return diagonals.trace(self)
    def repeat_interleave(self, repeats: Any = None, dim: Any = None, *,
                          output_size: Any = None) -> Tensor:
        return arranging.repeat_interleave(self, repeats, dim, output_size=output_size)
    def fliplr(self) -> Tensor: return arranging.fliplr(self)
    def flipud(self) -> Tensor: return arranging.flipud(self)
    def rot90(self, k: _int = 1, dims: Any = (0, 1)) -> Tensor:
        return arranging.rot90(self, k, dims)
    def tensor_split(self, indices_or_sections: Any, dim: _int = 0) -> tuple[Tensor, ...]:
        return arranging.tensor_split(self, indices_or_sections, dim)
    def split_with_sizes(self, split_sizes: Any, dim: _int = 0) -> tuple[Tensor, ...]:
        return join.split(self, list(split_sizes), dim)
    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        return arranging.hsplit(self, indices_or_sections)
    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        return arranging.vsplit(self, indices_or_sections)
    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        return arranging.dsplit(self, indices_or_sections)
    def as_strided(self, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
        return strided.as_strided(self, size, stride, storage_offset)
    def unfold(self, dimension: _int, size: _int, step: _int) -> Tensor:
        return strided.unfold(self, dimension, size, step)

    @property
    def H(self) -> Tensor:
        """A matrix transposed, as a view."""
        return shape_ops.adjoint_of_matrix(self)

    @property
    def mH(self) -> Tensor:
        """The last two dims exchanged, as a view."""
        return shape_ops.matrix_transpose(self)


    @property
    def T(self) -> Tensor:
        """All dims reversed, as a view."""
        return shape_ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dims exchanged, as a view."""
        return shape_ops.matrix_transpose(self)

    # -- indexing ------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor: return indexing.getitem(self, key)
    def __setitem__(self, key: Any, value: Any) -> None: return inplace.setitem(self, key, value)
    def select(self, dim: _int, index: _int) -> Tensor: return indexing.select(self, dim, index)
    def narrow(self, dim: _int, start: _int, length: _int) -> Tensor:
        return indexing.narrow(self, dim, start, length)
    def index_select(self, dim: _int, index: Tensor) -> Tensor:
        return indexing.index_select(self, dim, index)
    def gather(self, dim: _int, index: Tensor) -> Tensor: return gather.gather(self, dim, index)
    def scatter_add(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        return gather.scatter_add(self, dim, index, src)
    def take_along_dim(self, indices: Tensor, dim: _int | None = None) -> Tensor:
        return gather.take_along_dim(self, indices, dim)
    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        return choose.masked_fill(self, mask, value)
    def masked_select(self, mask: Tensor) -> Tensor: return gather.masked_select(self, mask)
    def nonzero(self, *, as_tuple: _bool = False) -> Any:
        return indexing.nonzero(self, as_tuple=as_tuple)
    def scatter(self, dim: _int, index: Tensor, src: Any = None, **named: Any) -> Tensor:
        return scatter.scatter(self, dim, index, src, **named)
    def scatter_reduce(self, dim: _int, index: Tensor, src: Tensor, reduce: str, *,
                       include_self: _bool = True) -> Tensor:
        return scatter.scatter_reduce(self, dim, index, src, reduce, include_self=include_self)
    def index_add(self, dim: _int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
        return slices.index_add(self, dim, index, source, alpha=alpha)
    def index_copy(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        return slices.index_copy(self, dim, index, source)
    def index_fill(self, dim: _int, index: Tensor, value: Any) -> Tensor:
        return slices.index_fill(self, dim, index, value)
    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        return slices.masked_scatter(self, mask, source)
    def index_put(self, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
        return put_ops.index_put(self, indices, values, accumulate)
    def take(self, index: Tensor) -> Tensor: return put_ops.take(self, index)
    def put(self, index: Tensor, source: Tensor, accumulate: _bool = False) -> Tensor:
        return put_ops.put(self, index, source, accumulate)
    def argwhere(self) -> Tensor: return put_ops.argwhere(self)
    def select_scatter(self, src: Tensor, dim: _int, index: _int) -> Tensor:
        return put_ops.select_scatter(self, src, dim, index)
    def slice_scatter(self, src: Tensor, dim: _int = 0, start: Any = None, end: Any = None,
                      step: _int = 1) -> Tensor:
        return put_ops.slice_scatter(self, src, dim, start, end, step)
    def diagonal_scatter(self, src: Tensor, offset: _int = 0, dim1: _int = 0,
                         dim2: _int = 1) -> Tensor:
        return put_ops.diagonal_scatter(self, src, offset, dim1, dim2)

    # -- in place ------------------------------------------------------------------------------

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return inplace.assign("add_", self, lambda x: elementwise.add(x, other, alpha=alpha))
    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return inplace.assign("sub_", self, lambda x: elementwise.sub(x, other, alpha=alpha))
    def mul_(self, other: Any) -> Tensor:
        return inplace.assign("mul_", self, lambda x: elementwise.mul(x, other))
    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        return inplace.assign(
            "div_", self, lambda x: elementwise.div(x, other, rounding_mode=rounding_mode)
        )
    def pow_(self, exponent: Any) -> Tensor:
        return inplace.assign("pow_", self, lambda x: elementwise.pow(x, exponent))
    def floor_divide_(self, other: Any) -> Tensor:
        return inplace.assign("floor_divide_", self, lambda x: elementwise.floor_divide(x, other))
    def bitwise_and_(self, other: Any) -> Tensor:
        return inplace.assign("bitwise_and_", self, lambda x: compare.bitwise_and(x, other))
    def bitwise_or_(self, other: Any) -> Tensor:
        return inplace.assign("bitwise_or_", self, lambda x: compare.bitwise_or(x, other))
    def bitwise_xor_(self, other: Any) -> Tensor:
        return inplace.assign("bitwise_xor_", self, lambda x: compare.bitwise_xor(x, other))
    def remainder_(self, other: Any) -> Tensor:
        return inplace.assign("remainder_", self, lambda x: elementwise.remainder(x, other))
    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        return inplace.assign("clamp_", self, lambda x: choose.clamp(x, min, max))
    def lerp_(self, end: Tensor, weight: Any) -> Tensor:
        return inplace.assign("lerp_", self, lambda x: elementwise.lerp(x, end, weight))
    def abs_(self) -> Tensor: return inplace.assign("abs_", self, unary.abs)
    def neg_(self) -> Tensor: return inplace.assign("neg_", self, unary.neg)
    def sqrt_(self) -> Tensor: return inplace.assign("sqrt_", self, unary.sqrt)
    def rsqrt_(self) -> Tensor: return inplace.assign("rsqrt_", self, unary.rsqrt)
    def reciprocal_(self) -> Tensor: return inplace.assign("reciprocal_", self, unary.reciprocal)
    def sign_(self) -> Tensor: return inplace.assign("sign_", self, unary.sign)
    def square_(self) -> Tensor: return inplace.assign("square_", self, elementwise.square)
    def trunc_(self) -> Tensor: return inplace.assign("trunc_", self, unary.trunc)
    def exp_(self) -> Tensor: return inplace.assign("exp_", self, unary.exp)
    def log_(self) -> Tensor: return inplace.assign("log_", self, unary.log)
    def floor_(self) -> Tensor: return inplace.assign("floor_", self, unary.floor)
    def ceil_(self) -> Tensor: return inplace.assign("ceil_", self, unary.ceil)
    def round_(self, *, decimals: Any = None) -> Tensor:
        return inplace.assign("round_", self, lambda x: unary.round(x, decimals=decimals))
    def relu_(self) -> Tensor: return inplace.assign("relu_", self, activation.relu)
    def sigmoid_(self) -> Tensor: return inplace.assign("sigmoid_", self, activation.sigmoid)
    def tanh_(self) -> Tensor: return inplace.assign("tanh_", self, activation.tanh)
    def __iadd__(self, other: Any) -> Tensor: return self.add_(other)
    def __isub__(self, other: Any) -> Tensor: return self.sub_(other)
    def __imul__(self, other: Any) -> Tensor: return self.mul_(other)
    def __itruediv__(self, other: Any) -> Tensor: return self.div_(other)
    def __ipow__(self, other: Any) -> Tensor: return self.pow_(other)
    def __ifloordiv__(self, other: Any) -> Tensor: return self.floor_divide_(other)
    def __iand__(self, other: Any) -> Tensor: return self.bitwise_and_(other)
    def __ior__(self, other: Any) -> Tensor: return self.bitwise_or_(other)
    def __ixor__(self, other: Any) -> Tensor: return self.bitwise_xor_(other)
    def __imod__(self, other: Any) -> Tensor: return self.remainder_(other)
    def __ilshift__(self, other: Any) -> Tensor: return self.bitwise_left_shift_(other)
    def __irshift__(self, other: Any) -> Tensor: return self.bitwise_right_shift_(other)
    def copy_(self, src: Tensor, non_blocking: _bool = False) -> Tensor:
        return inplace.copy_(self, src, non_blocking)
    def fill_(self, value: Any) -> Tensor: return inplace.fill_(self, value)
    def zero_(self) -> Tensor: return inplace.assign("zero_", self, unary.zero)
    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        return inplace.masked_fill_(self, mask, value)
    def expm1_(self) -> Tensor: return inplace.assign("expm1_", self, unary.expm1)
    def log1p_(self) -> Tensor: return inplace.assign("log1p_", self, unary.log1p)
    def log2_(self) -> Tensor: return inplace.assign("log2_", self, unary.log2)
    def log10_(self) -> Tensor: return inplace.assign("log10_", self, unary.log10)
    def sin_(self) -> Tensor: return inplace.assign("sin_", self, unary.sin)
    def cos_(self) -> Tensor: return inplace.assign("cos_", self, unary.cos)
    def absolute_(self) -> Tensor: return inplace.assign("absolute_", self, unary.abs)
    def negative_(self) -> Tensor: return inplace.assign("negative_", self, unary.neg)
    def erf_(self) -> Tensor: return inplace.assign("erf_", self, activation.erf)
    def fix_(self) -> Tensor: return inplace.assign("fix_", self, unary.trunc)
    def sgn_(self) -> Tensor: return inplace.assign("sgn_", self, unary.sgn)
    def tan_(self) -> Tensor: return inplace.assign("tan_", self, smooth.tan)
    def asin_(self) -> Tensor: return inplace.assign("asin_", self, smooth.asin)
    def acos_(self) -> Tensor: return inplace.assign("acos_", self, smooth.acos)
    def atan_(self) -> Tensor: return inplace.assign("atan_", self, smooth.atan)
    def sinh_(self) -> Tensor: return inplace.assign("sinh_", self, smooth.sinh)
    def cosh_(self) -> Tensor: return inplace.assign("cosh_", self, smooth.cosh)
    def asinh_(self) -> Tensor: return inplace.assign("asinh_", self, smooth.asinh)
    def acosh_(self) -> Tensor: return inplace.assign("acosh_", self, smooth.acosh)
    def atanh_(self) -> Tensor: return inplace.assign("atanh_", self, smooth.atanh)
    def exp2_(self) -> Tensor: return inplace.assign("exp2_", self, smooth.exp2)
    def erfc_(self) -> Tensor: return inplace.assign("erfc_", self, smooth.erfc)
    def erfinv_(self) -> Tensor: return inplace.assign("erfinv_", self, smooth.erfinv)
    def sinc_(self) -> Tensor: return inplace.assign("sinc_", self, smooth.sinc)
    def deg2rad_(self) -> Tensor: return inplace.assign("deg2rad_", self, smooth.deg2rad)
    def rad2deg_(self) -> Tensor: return inplace.assign("rad2deg_", self, smooth.rad2deg)
    def frac_(self) -> Tensor: return inplace.assign("frac_", self, smooth.frac)
    def arcsin_(self) -> Tensor: return inplace.assign("arcsin_", self, smooth.asin)
    def arccos_(self) -> Tensor: return inplace.assign("arccos_", self, smooth.acos)
    def arctan_(self) -> Tensor: return inplace.assign("arctan_", self, smooth.atan)
    def arcsinh_(self) -> Tensor: return inplace.assign("arcsinh_", self, smooth.asinh)
    def arccosh_(self) -> Tensor: return inplace.assign("arccosh_", self, smooth.acosh)
    def arctanh_(self) -> Tensor: return inplace.assign("arctanh_", self, smooth.atanh)
    def logit_(self, eps: Any = None) -> Tensor:
        return inplace.assign("logit_", self, lambda x: smooth.logit(x, eps))
    def nan_to_num_(self, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
        return inplace.assign(
            "nan_to_num_", self, lambda x: smooth.nan_to_num(x, nan, posinf, neginf)
        )
    def atan2_(self, other: Any) -> Tensor:
        return inplace.assign("atan2_", self, lambda x: pairs.atan2(x, other))
    def arctan2_(self, other: Any) -> Tensor:
        return inplace.assign("arctan2_", self, lambda x: pairs.atan2(x, other))
    def hypot_(self, other: Any) -> Tensor:
        return inplace.assign("hypot_", self, lambda x: pairs.hypot(x, other))
    def xlogy_(self, other: Any) -> Tensor:
        return inplace.assign("xlogy_", self, lambda x: pairs.xlogy(x, other))
    def fmod_(self, other: Any) -> Tensor:
        return inplace.assign("fmod_", self, lambda x: pairs.fmod(x, other))
    def copysign_(self, other: Any) -> Tensor:
        return inplace.assign("copysign_", self, lambda x: pairs.copysign(x, other))
    def multiply_(self, other: Any) -> Tensor:
        return inplace.assign("multiply_", self, lambda x: elementwise.mul(x, other))
    def true_divide_(self, other: Any) -> Tensor:
        return inplace.assign("true_divide_", self, lambda x: elementwise.div(x, other))
    def eq_(self, other: Any) -> Tensor:
        return inplace.assign("eq_", self, lambda x: compare.eq(x, other))
    def ne_(self, other: Any) -> Tensor:
        return inplace.assign("ne_", self, lambda x: compare.ne(x, other))
    def lt_(self, other: Any) -> Tensor:
        return inplace.assign("lt_", self, lambda x: compare.lt(x, other))
    def le_(self, other: Any) -> Tensor:
        return inplace.assign("le_", self, lambda x: compare.le(x, other))
    def gt_(self, other: Any) -> Tensor:
        return inplace.assign("gt_", self, lambda x: compare.gt(x, other))
    def ge_(self, other: Any) -> Tensor:
        return inplace.assign("ge_", self, lambda x: compare.ge(x, other))
    def greater_(self, other: Any) -> Tensor:
        return inplace.assign("greater_", self, lambda x: compare.gt(x, other))
    def greater_equal_(self, other: Any) -> Tensor:
        return inplace.assign("greater_equal_", self, lambda x: compare.ge(x, other))
    def less_(self, other: Any) -> Tensor:
        return inplace.assign("less_", self, lambda x: compare.lt(x, other))
    def less_equal_(self, other: Any) -> Tensor:
        return inplace.assign("less_equal_", self, lambda x: compare.le(x, other))
    def not_equal_(self, other: Any) -> Tensor:
        return inplace.assign("not_equal_", self, lambda x: compare.ne(x, other))
    def logical_and_(self, other: Any) -> Tensor:
        return inplace.assign("logical_and_", self, lambda x: compare.logical_and(x, other))
    def logical_or_(self, other: Any) -> Tensor:
        return inplace.assign("logical_or_", self, lambda x: compare.logical_or(x, other))
    def logical_xor_(self, other: Any) -> Tensor:
        return inplace.assign("logical_xor_", self, lambda x: compare.logical_xor(x, other))
    def bitwise_left_shift_(self, other: Any) -> Tensor:
        return inplace.assign(
            "bitwise_left_shift_", self, lambda x: compare.bitwise_left_shift(x, other)
        )
    def bitwise_right_shift_(self, other: Any) -> Tensor:
        return inplace.assign(
            "bitwise_right_shift_", self, lambda x: compare.bitwise_right_shift(x, other)
        )
    def ldexp_(self, other: Any) -> Tensor:
        return inplace.assign("ldexp_", self, lambda x: pairs.ldexp(x, other))
    def heaviside_(self, values: Tensor) -> Tensor:
        return inplace.assign("heaviside_", self, lambda x: pairs.heaviside(x, values))
    def float_power_(self, exponent: Any) -> Tensor:
        return inplace.assign("float_power_", self, lambda x: pairs.float_power_(x, exponent))
    def logical_not_(self) -> Tensor:
        return inplace.assign("logical_not_", self, compare.logical_not)
    def bitwise_not_(self) -> Tensor:
        return inplace.assign("bitwise_not_", self, compare.bitwise_not)
    def clip_(self, min: Any = None, max: Any = None) -> Tensor:
        return inplace.assign("clip_", self, lambda x: choose.clamp(x, min, max))
    def clamp_min_(self, min: Any) -> Tensor:
        return inplace.assign("clamp_min_", self, lambda x: choose.clamp_min(x, min))
    def clamp_max_(self, max: Any) -> Tensor:
        return inplace.assign("clamp_max_", self, lambda x: choose.clamp_max(x, max))
    def subtract_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        return self.sub_(other, alpha=alpha)
    def divide_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        return self.div_(other, rounding_mode=rounding_mode)
    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        return inplace.assign(
            "addcmul_", self, lambda x: pairs.addcmul(x, tensor1, tensor2, value=value)
        )
    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
        return inplace.assign(
            "addcdiv_", self, lambda x: pairs.addcdiv(x, tensor1, tensor2, value=value)
        )
    def renorm_(self, p: _float, dim: _int, maxnorm: _float) -> Tensor:
        return inplace.assign("renorm_", self, lambda x: linalg.renorm(x, p, dim, maxnorm))
    def cumsum_(self, dim: _int, *, dtype: Any = None) -> Tensor:
        return inplace.assign("cumsum_", self, lambda x: reduce.cumsum(x, dim, dtype=dtype))
    def cumprod_(self, dim: _int, *, dtype: Any = None) -> Tensor:
        return inplace.assign("cumprod_", self, lambda x: cumulative.cumprod(x, dim, dtype=dtype))
    def addmm_(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return inplace.assign(
            "addmm_", self, lambda x: products.addmm(x, mat1, mat2, beta=beta, alpha=alpha)
        )
    def baddbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1,
                 alpha: _float = 1) -> Tensor:
        function = more_products.baddbmm
        return inplace.assign(
            "baddbmm_", self, lambda x: function(x, batch1, batch2, beta=beta, alpha=alpha)
        )
    def addmv_(self, mat: Tensor, vec: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return inplace.assign(
            "addmv_", self, lambda x: more_products.addmv(x, mat, vec, beta=beta, alpha=alpha)
        )
    def addr_(self, vec1: Tensor, vec2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        return inplace.assign(
            "addr_", self, lambda x: more_products.addr(x, vec1, vec2, beta=beta, alpha=alpha)
        )
    def addbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1,
                alpha: _float = 1) -> Tensor:
        function = more_products.addbmm
        return inplace.assign(
            "addbmm_", self, lambda x: function(x, batch1, batch2, beta=beta, alpha=alpha)
        )
    def tril_(self, diagonal: _int = 0) -> Tensor:
        return inplace.assign("tril_", self, lambda x: diagonals.tril(x, diagonal))
    def triu_(self, diagonal: _int = 0) -> Tensor:
        return inplace.assign("triu_", self, lambda x: diagonals.triu(x, diagonal))
    def scatter_(self, dim: _int, index: Tensor, src: Any = None, **named: Any) -> Tensor:
        return inplace.assign(
            "scatter_", self, lambda x: scatter.scatter(x, dim, index, src, **named)
        )
    def scatter_add_(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        return inplace.assign(
            "scatter_add_", self, lambda x: gather.scatter_add(x, dim, index, src)
        )
    def scatter_reduce_(self, dim: _int, index: Tensor, src: Tensor, reduce: str,
                        **named: Any) -> Tensor:
        function = scatter.scatter_reduce
        return inplace.assign(
            "scatter_reduce_", self, lambda x: function(x, dim, index, src, reduce, **named)
        )
    def index_add_(self, dim: _int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
        return inplace.assign(
            "index_add_", self, lambda x: slices.index_add(x, dim, index, source, alpha=alpha)
        )
    def index_copy_(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        return inplace.assign(
            "index_copy_", self, lambda x: slices.index_copy(x, dim, index, source)
        )
    def index_fill_(self, dim: _int, index: Tensor, value: Any) -> Tensor:
        return inplace.assign(
            "index_fill_", self, lambda x: slices.index_fill(x, dim, index, value)
        )
    def index_put_(self, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
        return inplace.assign(
            "index_put_", self, lambda x: put_ops.index_put(x, indices, values, accumulate)
        )
    def put_(self, index: Tensor, source: Tensor, accumulate: _bool = False) -> Tensor:
        return inplace.assign("put_", self, lambda x: put_ops.put(x, index, source, accumulate))
    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        return inplace.assign(
            "masked_scatter_", self, lambda x: slices.masked_scatter(x, mask, source)
        )
    def fill_diagonal_(self, fill_value: Any, wrap: _bool = False) -> Tensor:
        return put_ops.fill_diagonal_(self, fill_value, wrap)
    def normal_(self, mean: _float = 0, std: _float = 1, *, generator: Any = None) -> Tensor:
        return random.normal_(self, mean, std, generator)
    def uniform_(self, low: _float = 0, to: _float = 1, *, generator: Any = None) -> Tensor:
        return random.uniform_(self, low, to, generator)
    def bernoulli_(self, p: Any = 0.5, *, generator: Any = None) -> Tensor:
        return random.bernoulli_(self, p, generator)
    def random_(self, low: Any = None, to: Any = None, *, generator: Any = None) -> Tensor:
        return random.random_(self, low, to, generator)
    def exponential_(self, lambd: _float = 1, *, generator: Any = None) -> Tensor:
        return random.exponential_(self, lambd, generator)
    def geometric_(self, p: _float, *, generator: Any = None) -> Tensor:
        return random.geometric_(self, p, generator)
    def log_normal_(self, mean: _float = 1, std: _float = 2, *, generator: Any = None) -> Tensor:
        return random.log_normal_(self, mean, std, generator)
    def cauchy_(self, median: _float = 0, sigma: _float = 1, *, generator: Any = None) -> Tensor:
        return random.cauchy_(self, median, sigma, generator)


    if not TYPE_CHECKING:  # type checkers know the attributes there are

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property failed: let its own error be seen
                return object.__getattribute__(self, name)
            raise absent("'Tensor' object", name, Tensor)


def _is_size(value: Any) -> bool:
    return isinstance(value, Size) or (
        isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    )
