"""Batches for a model whose data isn't at hand: noise of the shape that its first layer takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lucidlite.callsite import error
from lucidlite.models import LeNet
from lucidlite.nn.attention import MultiheadAttention
from lucidlite.nn.conv import Conv1d, Conv2d
from lucidlite.nn.embedding import Embedding
from lucidlite.nn.linear import Linear
from lucidlite.nn.module import Module
from lucidlite.nn.recurrent import RNNBase
from lucidlite.parity.sides import LOSSES
from lucidlite.training.build import input_for

Sizes = tuple[int, ...]
IMAGE, DIGIT = (3, 32, 32), (1, 28, 28)
_STEPS = 10  # of a sequence


class Inputs(NamedTuple):
    """One sample of each input of a model: its sizes, and below what number whole numbers stay.

    ``tokens`` is None where inputs are real numbers.
    """

    sizes: tuple[Sizes, ...]
    tokens: int | None

    def draw(self, rng: np.random.Generator, batch: int, dtype: str) -> tuple[Any, ...]:
        """A batch for each input."""
        shapes = [(batch, *sizes) for sizes in self.sizes]
        if self.tokens is not None:
            return tuple(rng.integers(0, self.tokens, shape) for shape in shapes)
        return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def image_for(kind: Callable[..., Module], classes: int) -> Sizes:
    """The images to build a model of this class for."""
    return DIGIT if kind is LeNet else input_for(kind, classes, IMAGE)


def inputs_for(model: Module, given: Sequence[Sizes] = (), image: Sizes | None = None) -> Inputs:
    """What ``model`` takes: sizes as given, else by the first of its layers that shows them.

    image: what the model was made for, if that is known.
    """
    known = (Conv2d, Conv1d, Linear, Embedding, RNNBase, MultiheadAttention)
    first: Any = next((m for m in model.modules() if isinstance(m, known)), None)
    tokens = first.num_embeddings if isinstance(first, Embedding) else None
    if given:
        return Inputs(tuple(given), tokens)
    if isinstance(first, Conv1d):
        return Inputs(((first.in_channels, IMAGE[-1]),), None)
    if isinstance(first, Linear) and not _takes_images(model):
        return Inputs(((first.in_features,),), None)
    if isinstance(first, Embedding):
        return Inputs(((_STEPS,),), tokens)
    if isinstance(first, RNNBase):
        return Inputs(((_STEPS, first.input_size),), None)
    if isinstance(first, MultiheadAttention):
        return Inputs(((_STEPS, first.embed_dim),), None)
    if image is None:
        channels = first.in_channels if isinstance(first, Conv2d) else IMAGE[0]
        image = DIGIT if isinstance(model, LeNet) else (channels, *IMAGE[1:])
    return Inputs((image,), None)


def _takes_images(model: Module) -> bool:
    return bool({"in_channels", "image_size"} & {*inspect.signature(type(model)).parameters})


def loss_for(output: Any) -> str:
    """Cross entropy of outputs (N, classes, ...), the squared error of others."""
    return "cross-entropy" if len(output.shape) > 1 and output.shape[1] > 1 else "mse"


def draw_target(rng: np.random.Generator, loss: Any, output: Any) -> Any:
    """What a loss compares ``output`` (an array) with: classes, values or chances of its shape."""
    kind = "values" if callable(loss) else LOSSES[loss][1]
    if kind == "values":
        return rng.standard_normal(output.shape).astype(output.dtype)
    if kind == "chances":
        return rng.random(output.shape).astype(output.dtype)
    if output.ndim == 0 or not output.size:
        raise error(
            ValueError, f"parity: {loss} needs an output (N, classes, ...), got {output.shape}"
        )
    axis = 1 if output.ndim > 1 else 0
    shape = output.shape[:axis] + output.shape[axis + 1 :]
    return np.asarray(rng.integers(0, output.shape[axis], shape))
