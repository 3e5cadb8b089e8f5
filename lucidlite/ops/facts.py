"""What a tensor and its dtype are."""

from __future__ import annotations

from typing import Any

from lucidlite.callsite import error
from lucidlite.dtypes import as_dtype
from lucidlite.ops.common import as_ints, broadcast_shape, check_tensor
from lucidlite.size import Size
from lucidlite.tensor_base import TensorBase


def is_inference(input: TensorBase) -> bool:
    """Whether the tensor was made in inference mode. Semantics: torch.is_inference."""
    check_tensor("is_inference", "input", input)
    return input._inference


def is_signed(input: TensorBase) -> bool:
    """Whether the dtype has negative numbers. Semantics: torch.is_signed."""
    check_tensor("is_signed", "input", input)
    return input.array.dtype.kind in "fi"


def is_same_size(input: TensorBase, other: TensorBase) -> bool:
    """Whether two tensors have one shape. Semantics: torch.is_same_size."""
    check_tensor("is_same_size", "input", input)
    check_tensor("is_same_size", "other", other)
    return bool(input.array.shape == other.array.shape)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether promotion lets values of one dtype be written to another: no kind is lost.

    Semantics: torch.can_cast.
    """
    kinds = [as_dtype(kind, "can_cast").numpy.kind for kind in (from_, to)]
    order = ["b", "iu", "f"]
    low, high = (next(i for i, letters in enumerate(order) if k in letters) for k in kinds)
    return low <= high


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which these broadcast, ints for one dim. Semantics: torch.broadcast_shapes."""
    rows = [(shape,) if isinstance(shape, int) else shape for shape in shapes]
    given = [as_ints("broadcast_shapes", "shape", row) for row in rows]
    for shape in given:
        if min(shape, default=0) < 0:
            raise error(ValueError, f"broadcast_shapes: negative dimension, got shape={shape}")
    return Size(broadcast_shape("broadcast_shapes", *given))
