"""Index keys of every kind, read and written, as NumPy reads them or as PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import agree

import lucidlite

BASIC = """
0 | -1 | 5 | : | 1: | ::2 | 5: | -2: | 3:1 | ::-1 | None | ... | (0, 1) | (..., 0) | (0, ...)
(None, 0) | (0, None, 1) | (slice(None), None, 0) | (0, 0, 0, 0) | 1.5 | np.int64(1)
np.array(1) | (0, slice(1, None, 2)) | slice(0.5, None) | T.tensor(-1) | T.tensor(7)
(T.tensor(0), 1) | T.tensor(1.0) | (slice(0, 1), T.tensor(1)) | (..., slice(0, 2), 0)
"""
TENSORS = """
True | False | (True, 0) | (0, True) | T.tensor(True) | [0] | [1, -1] | [[0, 1]] | [[0], [1]]
[0, 9] | [] | [True, False] | [True, False, True] | ([0, 1], [1, 0]) | (slice(None), [0, 2, 1])
([[0], [1]], [0, 1]) | (0, [0, 1]) | ([0, 1], 0) | ([0, 1], slice(None), [0, 0])
([0, 1], slice(None), 0) | (0, slice(None), [0, 1]) | ([0, 1], None, [0, 1]) | (None, [0, 1])
(..., [0, 1]) | ([0, 1], ..., [0, 0]) | (slice(None), [True, False, True])
T.tensor([[0, 1], [1, 0]]) | T.tensor([5]) | T.tensor([0, 1], dtype=T.int32)
T.tensor([0, 1], dtype=T.int16) | T.tensor([1, 0], dtype=T.uint8) | T.tensor([0.0])
T.tensor([], dtype=T.int64) | np.array([0, 1]) | np.array([True, False])
(T.tensor([0, 1]), T.tensor([0, 1, 2])) | (True, [0, 1]) | [T.tensor(0), 1] | [None]
(slice(1, None), [0, 1], None) | T.zeros(2, dtype=T.bool) | [slice(None), 0] | range(2)
"""
# PyTorch warns of masks of uint8, both warn of a list of lists.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*indexing with dtype torch.uint8"),
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence"),
    pytest.mark.filterwarnings("ignore:getitem. a list of sequences"),
]
KEYS = [key.strip() for key in f"{BASIC}|{TENSORS}".replace("\n", "|").split("|") if key.strip()]
SHAPES = [(2, 3), (2, 3, 2), (3,), ()]


def value(T, shape, requires_grad=False):
    count = int(np.prod(shape))
    return T.arange(count, dtype=T.float32).reshape(shape).requires_grad_(requires_grad)


def at(T, x, key):
    return eval(f"x[{key}]", {"x": x, "T": T, "np": np})


@pytest.mark.parametrize("key", KEYS)
def test_read_as_in_pytorch(key):
    for shape in SHAPES:

        def script(T, shape=shape):
            x = value(T, shape, requires_grad=True)
            out = at(T, x, key)
            (grad,) = T.autograd.grad((out * out).sum(), x)
            return out, grad, type(out.grad_fn).__name__

        agree(script)


# PyTorch doesn't write through a uint8 mask, and leaves no node where False says to write nothing.
@pytest.mark.parametrize("key", [k for k in KEYS if "uint8" not in k and k != "False"])
def test_written_as_in_pytorch(key):
    for shape in SHAPES:

        def script(T, shape=shape):
            x, new = value(T, shape) * 1, T.full((1,), 7.0, requires_grad=True)
            exec(f"x[{key}] = new * 2", {"x": x, "T": T, "np": np, "new": new})
            (grad,) = T.autograd.grad(x.sum(), new)
            return x, grad

        agree(script)


def test_ints_are_taken_before_tensors():
    x = value(lucidlite, (2, 3, 2))
    out = x[0, :, [0, 1]]
    assert out.shape == (3, 2)
    assert out.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    x[0, :, [1, 0]] = lucidlite.tensor([[9.0, 8.0]])
    assert x[0].tolist() == [[8.0, 9.0]] * 3


def test_places_named_twice_add_up_backwards():
    x = value(lucidlite, (3,), requires_grad=True)
    x[[0, 0, 2]].sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 1.0]


def test_refusals_name_what_they_got():
    x = value(lucidlite, (2, 3))
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 2"):
        x[5]
    with pytest.raises(ValueError, match="step must be greater than zero, got step=-1"):
        x[::-1]
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 2, got 3"):
        x[0, 0, 0]
    with pytest.raises(IndexError, match=r"shape of the mask \[3\] at index 0 does not match"):
        x[[True, False, True]]


ALONG = {
    "gather": lambda T, x, i: T.gather(x, 1, i),
    "gather of the first dim": lambda _, x, i: x.gather(0, i),
    "take_along_dim": lambda T, x, i: T.take_along_dim(x, i, 1),
    "take_along_dim, flat": lambda T, x, i: T.take_along_dim(x, i),
    "scatter_add": lambda T, x, i: x.scatter_add(1, i, T.ones(2, 3)),
    "index_select": lambda _, x, i: x.index_select(1, i),
    "masked_select": lambda T, x, i: T.masked_select(x, i > 0),
    "masked_fill": lambda _, x, i: x.masked_fill(i > 0, 9),
}
INDICES = {
    "full": [[0, 1, 0], [1, 1, 0]],
    "row": [[0, 1, 0]],
    "column": [[0], [1]],
    "vector": [0, 1, 1],
    "number": 1,
    "too big": [[5, 0, 0]],
    "negative": [[-1, 0, 0]],
    "empty": [],
    "deep": [[[0]]],
}


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("name", ALONG)
def test_along_a_dim_as_in_pytorch(name, index):
    def script(T):
        x = value(T, (2, 3), requires_grad=True)
        out = ALONG[name](T, x, T.tensor(INDICES[index], dtype=T.int64))
        (grad,) = T.autograd.grad((out * out).sum(), x)
        return out, grad

    agree(script)
