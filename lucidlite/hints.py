"""Likely causes: what people most often meant by a call that is refused, '' where nothing fits.

Pure functions of shapes, dtypes and names. They are called where an error is raised, never before,
and their text becomes the error's last line; ``x`` in it stands for the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

Shape = Sequence[int]

# -- layers ----------------------------------------------------------------------------------------


def for_linear(x: Shape, in_features: int) -> str:
    """An input whose last dim isn't ``in_features``."""
    if len(x) < 2:
        if in_features == 1 and len(x) == 1:
            return f"one feature a sample? x.unsqueeze(1) makes it {(x[0], 1)}"
        return f"in_features would have to be {x[0]}" if x else ""
    flat = prod(x[1:])
    if len(x) > 2 and flat == in_features:
        return f"flatten first? x.flatten(1) makes it {(x[0], flat)}"
    if len(x) < 4 and prod(x) == in_features:
        return f"one sample without a batch axis? x.reshape(1, {in_features})"
    if len(x) == 2:
        turned = f", or turned around? x.t() makes it {(x[1], x[0])}"  # or a batch of so many
        changed = ": did the image size or an earlier layer change?"
        why = turned if x[0] == in_features else changed
        return f"in_features would have to be {x[1]}{why}"
    if x[1] == in_features:
        if len(x) == 3:
            return f"the features are in dim 1: x.transpose(1, 2) makes it {(x[0], x[2], x[1])}"
        return f"average each channel first? x.mean((2, 3)) makes it {(x[0], x[1])}"
    if len(x) == 3:
        return f"in_features would have to be {x[2]}, the size of the last dim"
    return f"flatten first? x.flatten(1) makes it {(x[0], flat)}, then in_features={flat}"


def as_given(op: str, shape: Shape) -> list[int]:
    """A shape as the user knows it: sequences are handled as images of one row."""
    return [*shape[:-2], shape[-1]] if "1d" in op else list(shape)


def _channels_last(x: Shape, channels: int) -> bool:
    """Whether the last dim is the channels; not in a square image as wide as they are many."""
    return x[-1] == channels and not x[-1] == x[-2] != x[-3]


def for_channels(op: str, x: Shape, channels: int) -> str:
    """Images, or one, whose channels aren't what the filters take."""
    if "2d" not in op:
        if len(x) == 4 and x[3] == channels:  # sequences, as images of one row
            return "channels last? x.transpose(1, 2)"
        return f"in_channels would have to be {x[-3]}"
    if len(x) == 4 and _channels_last(x, channels):
        return f"channels last? x.permute(0, 3, 1, 2) makes it {(x[0], x[3], x[1], x[2])}"
    if len(x) == 3 and _channels_last(x, channels):
        return f"channels last? x.permute(2, 0, 1) makes it {(x[2], x[0], x[1])}"
    if len(x) == 3 and channels == 1:
        return f"no channel axis? x.unsqueeze(1) makes it {(x[0], 1, x[1], x[2])}"
    if len(x) == 3 and x[1] == channels != x[2]:
        return "sequences (N, C, L)? those are for Conv1d"
    if channels == 1 and x[-3] == 3:
        return "colour images into a layer for grey ones? in_channels=3, or x.mean(1, keepdim=True)"
    if channels == 3 and x[-3] == 1:
        return "grey images into a layer for colour? in_channels=1, or x.expand(-1, 3, -1, -1)"
    if channels == 3 and x[-3] == 4:
        return "a fourth channel of transparency (RGBA)? x[:, :3], or image.convert('RGB') before"
    return f"in_channels would have to be {x[-3]}, what the layer before gives"


def for_images(x: Shape, channels: int = 1) -> str:
    """An input that is no image and no batch of them."""
    if len(x) == 2:
        side = isqrt(x[1] // channels) if channels else 0
        if side > 1 and side * side * channels == x[1]:
            return f"flattened images? x.reshape(-1, {channels}, {side}, {side})"
        return "one image without a channel axis? x.unsqueeze(0)" if channels == 1 else ""
    if len(x) == 5:
        return f"two batch axes? x.flatten(0, 1) makes it {(x[0] * x[1], *x[2:])}"
    return ""


def for_pool(x: Shape) -> str:
    """An input of a pool that has no image in it."""
    return "flattened before the pool? flatten(1) comes after the pools" if len(x) == 2 else ""


def for_small_image(height: int, width: int) -> str:
    """A window that is larger than the image."""
    return (
        f"only {height} x {width} is left of the image: fewer pools or strides before this layer, "
        "padding, or larger images"
    )


def for_layer_dtype(x: Any, weight: Any) -> str:
    """An input in another dtype than a layer's weight."""
    if x.name == "uint8":
        return "pixels of 0 to 255? x.float() / 255"
    if not x.is_floating_point:
        return "whole numbers? x.float(), and / 255 for pixels"
    if (x.name, weight.name) == ("float64", "float32"):
        return "float64 as NumPy makes it? x.float(), or model.double() to compute in float64"
    if (x.name, weight.name) == ("float32", "float64"):
        return "the model is in float64: model.float(), or x.double()"
    if "float16" in (x.name, weight.name):
        return "half and full precision: amp.autocast() mixes them, or x.float() and model.float()"
    return ""


def for_one_value(x: Shape) -> str:
    """Batch norm in training with one value a channel."""
    if x[0] == 1:
        return "a batch of one sample: DataLoader(drop_last=True) in training, model.eval() outside"
    return ""


def for_batch_norm(x: Shape, features: int) -> str:
    """Batch norm made for another number of channels."""
    if len(x) == 4 and _channels_last(x, features):
        return f"channels last? x.permute(0, 3, 1, 2) makes it {(x[0], x[3], x[1], x[2])}"
    return f"num_features would have to be {x[1]}" if len(x) > 1 else ""


def for_layer_norm(x: Shape, normalized: Shape) -> str:
    """Layer norm made for other last dims."""
    if len(x) == 3 and tuple(normalized) == (x[1],):
        return f"the features are in dim 1? x.transpose(1, 2) makes it {(x[0], x[2], x[1])}"
    if len(x) == 4 and tuple(normalized) == (x[1],):
        return f"images with channels in dim 1? GroupNorm(1, {x[1]}) normalizes those"
    return f"normalized_shape would have to be {x[-1]}" if len(normalized) == 1 and x else ""


# -- operands --------------------------------------------------------------------------------------


def for_dtypes(a: Any, b: Any) -> str:
    """Operands of different dtypes where nothing is promoted."""
    names = {a.name, b.name}
    if names == {"float32", "float64"}:
        return "float64 as NumPy makes it? .float() on that one"
    if not (a.is_floating_point and b.is_floating_point):
        return ".float() on the one of whole numbers"
    return ""


def for_devices(a: Any, b: Any) -> str:
    """Operands on different devices."""
    gpu = a if b.type == "cpu" else b
    move = f"x.to({str(gpu)!r})"
    return f"{move} for what is on the cpu: the model once, inputs and targets of every batch"


def for_broadcast(a: Shape, b: Shape) -> str:
    """Shapes that don't broadcast."""
    short, long, names = (b, a, "ba") if len(a) > len(b) else (a, b, "ab")
    mine = names[0]
    if len(short) < len(long):
        if tuple(long[: len(short)]) == tuple(short):
            ones = (1,) * (len(long) - len(short))
            key = ", ".join([":"] * len(short) + ["None"] * len(ones))
            how = f"{mine}.unsqueeze({len(short)})" if len(ones) == 1 else f"{mine}[{key}]"
            return f"{how} makes {mine} {(*short, *ones)}; keepdim=True where it was reduced"
        if len(short) == 1 and len(long) > 2 and long[-3 if len(long) == 4 else 1] == short[0]:
            ones = (1,) * (2 if len(long) == 4 else len(long) - 2)
            view = ", ".join(map(str, (-1, *ones)))
            return f"one value a channel? {mine}.view({view}) makes {mine} {(*short, *ones)}"
        return ""
    differ = [d for d in range(len(a)) if a[d] != b[d] and 1 not in (a[d], b[d])]
    if len(a) == 2 and tuple(a) == tuple(b[::-1]):
        return f"turned around? b.t() makes b {tuple(a)}"
    if len(a) == 4 and differ == [1]:
        return f"other channels on this way: a 1 x 1 convolution {b[1]} -> {a[1]} makes them equal"
    if len(a) == 4 and differ and differ[0] > 1:
        return "images of other sizes: the same stride and padding='same' on both ways keep them"
    if differ == [0] and len(a) > 1:
        return "batches of other sizes: is the last one of an epoch smaller (drop_last=True)?"
    return ""


def for_cat(a: Shape, b: Shape, dim: int) -> str:
    """Tensors that differ in more than the dim they are joined along."""
    if len(a) != len(b):
        return "all need one number of dims: unsqueeze() adds one"
    differ = [d for d in range(len(a)) if a[d] != b[d] and d != dim]
    if len(differ) == 1 and a[dim] == b[dim]:
        return f"along dim {differ[0]} instead?"
    if len(a) == 4 and differ and differ[0] > 1:
        return "images of other sizes: an odd size loses a row in a pool; interpolate() or padding"
    return ""


def for_matmul(a: Shape, b: Shape) -> str:
    """Matrices whose inner sizes differ."""
    if len(a) < 2 or len(b) < 2:
        return ""
    if a[-1] == b[-1]:
        return f"turned around? the second as b.mT is {(*b[:-2], b[-1], b[-2])}"
    if a[-2] == b[-2]:
        return f"turned around? the first as a.mT is {(*a[:-2], a[-1], a[-2])}"
    return ""


def for_view(shape: Shape, numel: int) -> str:
    """A shape for another number of elements."""
    known = [n for n in shape if n != -1]
    whole = len(shape) > 1 and len(known) == len(shape)
    rest = prod(shape[1:])
    if whole and rest > 1 and numel and not numel % rest:
        sizes = ", ".join(map(str, (-1, *shape[1:])))
        return f"enough for {numel // rest} of {rest}: view({sizes}) takes a batch of any size"
    if whole and shape[0] and not numel % shape[0]:
        return f"{numel // shape[0]} elements for each of {shape[0]}: flatten(1) counts by itself"
    if len(shape) == 2 and shape[0] == -1:
        return "flatten(1) keeps the batch and counts the rest by itself"
    return ""


def for_non_tensor(value: Any) -> str:
    """What was given where a tensor is due."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    if value is None:
        return "does the forward() before it end in `return`?"
    if root == "numpy":
        if not getattr(value, "ndim", 0):  # one of NumPy's numbers
            return "lucidlite.tensor(x)"
        double = ", then .float() unless the model is in float64"
        return "lucidlite.from_numpy(x)" + (double if str(value.dtype) == "float64" else "")
    if root == "torch":
        return "a tensor of PyTorch's: lucidlite.from_dlpack(x)"
    if root == "PIL":
        return "datasets.transforms.ToTensor() makes a tensor of an image"
    if isinstance(value, (tuple, list)):
        if any(hasattr(item, "grad_fn") for item in value):
            return f"a {kind.__name__} of tensors: unpack it, as in `x, y = batch`"
        return "lucidlite.tensor(x)"
    if hasattr(value, "_modules"):
        ours = root == __name__.partition(".")[0]  # users' own may well hold tensors
        if ours and any(hasattr(held, "grad_fn") for held in vars(value).values()):
            return f"the tensor is the layer's setting: {kind.__name__}()(x) calls the layer"
        return "the module itself: call it, as in model(x)"
    if isinstance(value, (bool, int, float)):
        return "lucidlite.tensor(x); did .item() make a number of it?"
    return ""


# -- losses ----------------------------------------------------------------------------------------

CLASSES = (
    "classes count from 0: labels 1 to C need target - 1, one to leave out (-1, 255) ignore_index"
)
ONE_SCORE = (
    "one score a sample? two classes need two scores, and binary_cross_entropy_with_logits(x, "
    "target.float()) one"
)
SCORES = "scores before a sigmoid? binary_cross_entropy_with_logits takes those"
ROWS = "num_embeddings is one more than the largest index, and none is negative"


def for_class_shape(x: Shape, target: Shape) -> str:
    """Targets whose shape doesn't go with the scores'."""
    if len(target) == 2 and target[1] == 1 and target[0] == x[0]:
        return f"one column? target.squeeze(1) makes it {(target[0],)}"
    if len(x) == 1 and len(target) > 1:
        return "arguments swapped? cross_entropy(scores, classes)"
    if len(x) > 2 and tuple(target) == (x[0],) and prod(x[2:]) == 1:
        return f"flatten the scores first? x.flatten(1) makes them {(x[0], x[1])}"
    if len(x) == len(target) > 1 and (x[0], *x[2:]) == (target[0], *target[2:]):
        if target[1] == 1:
            return f"a channel axis? target.squeeze(1) makes it {(target[0], *target[2:])}"
        return f"probabilities or one-hot? of {target[1]} classes, and scores of {x[1]}"
    if len(x) > 2 and tuple(target) == tuple(x[:-1]):
        order = (0, len(x) - 1, *range(1, len(x) - 1))
        return f"the classes belong in dim 1: x.permute{order}"
    if len(x) == 2 and target:
        if x[0] > target[0] and not x[0] % max(target[0], 1):
            return "did view(-1, n) change the batch? flatten(1) keeps it"
        if len(target) == 1 and x[1] == target[0]:
            return f"turned around? x.t() makes it {(x[1], x[0])}"
    return ""


def for_class_dtype(target: Any) -> str:
    """Classes in a dtype that isn't int64."""
    return "" if target.name == "int64" else "classes are whole numbers: target.long()"


def for_one_hot(x: Shape) -> str:
    """Whole numbers in the shape of the scores."""
    if len(x) < 2 or x[1] == 1:
        return ONE_SCORE
    return "one-hot? target.argmax(1) gives the classes, target.float() probabilities"


def for_binary_dtype(target: Any) -> str:
    """Targets of a binary loss, which are probabilities."""
    return "" if target.is_floating_point else "0 and 1 as floats: target.float()"


def for_same_shape(x: Shape, target: Shape) -> str:
    """A target that must have the input's shape."""
    if tuple(x) == (*target, 1):
        return f"x.squeeze({len(target)}) makes it {tuple(target)}"
    if tuple(target) == (*x, 1):
        return f"target.squeeze({len(x)}) makes it {tuple(x)}"
    if len(x) == 2 and len(target) == 1 and x[0] == target[0]:
        return "class numbers? cross_entropy takes those, or functional.one_hot(target).float()"
    return ""
