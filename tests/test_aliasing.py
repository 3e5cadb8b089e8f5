"""What is a view and what isn't: a write to one tensor is seen in another where PyTorch's is.

Each row makes tensors from ``x``, (2, 3, 4) or as said. In both libraries ``x`` is then written to
and the results are compared; then each result that may be written to is, and ``x`` is compared.
"""

from __future__ import annotations

import copy
import operator

import numpy as np
import pytest

import lucidlite

SHAPE = (2, 3, 4)

# What is made of x, and x's shape where it isn't SHAPE.
TABLE = [
    # views
    ("x[0]",), ("x[1:]",), ("x[:, ::2]",), ("x[..., 1]",), ("x[None]",), ("x[:, None]",),
    ("x[...]",), ("x[()]",), ("x[0, 1, 2]",), ("x[-1:, :, 1:3]",), ("x[:0]",), ("x[True]",),
    ("x[0:2]",), ("x.view(6, 4)",), ("x.view(-1)",), ("x.view_as(T.zeros(4, 6))",),
    ("x.reshape(6, 4)",), ("x.reshape(2, 3, 4)",), ("x.transpose(0, 1).reshape(24)",),
    ("x.mT.reshape(2, 12)",), ("x.reshape_as(T.zeros(24))",), ("x.flatten()",), ("x.flatten(1)",),
    ("x.ravel()",), ("x.mT.ravel()",), ("x.flatten(0, 0)",), ("x.transpose(0, 2).flatten()",),
    ("x.unflatten(2, (2, 2))",), ("x.squeeze()",), ("x.squeeze()", (2, 1, 4)), ("x.squeeze(0)",),
    ("x.squeeze(1)", (2, 1, 4)), ("x.unsqueeze(1)",), ("x.transpose(0, 1)",),
    ("x.swapaxes(0, 2)",), ("x.permute(2, 0, 1)",), ("x.movedim(0, 2)",), ("x.t()", (3, 4)),
    ("x.T", (3, 4)), ("x.mT",), ("x.expand(5, 2, 3, 4)",), ("x.expand(2, 3, 4)",),
    ("x.expand_as(T.zeros(2, 2, 3, 4))",), ("x.broadcast_to((3, 2, 3, 4))",),
    ("T.broadcast_to(x, (2, 3, 4))",), ("x.narrow(1, 1, 2)",), ("x.select(0, 1)",),
    ("x.unbind(1)",), ("x.split(2, 1)",), ("x.split([1, 2], 1)",), ("x.chunk(2, 2)",),
    ("T.tensor_split(x, 2, 1)",), ("x.diagonal()",), ("T.diagonal(x, 1, 1, 2)",),
    ("T.diag(x)", (3, 3)), ("T.diag(x)", (3,)), ("T.hsplit(x, 3)",), ("T.vsplit(x, 2)",),
    ("x.detach()",), ("x.data",), ("T.atleast_3d(x)",), ("T.atleast_1d(x)",),
    ("T.atleast_2d(x)", (3,)), ("x.unfold(2, 2, 2)",), ("T.broadcast_tensors(x, T.zeros(1))",),
    ("T.meshgrid(x, x, indexing='ij')", (3,)), ("T.adjoint(x)",), ("T.moveaxis(x, 0, 1)",),
    ("T.swapdims(x, 0, 1)",), ("list(x)",), ("x.view(3, 4)[1].view(2, 2)", (3, 4)),
    ("x[1].mT[2]",), ("x[0][1:].squeeze(0)",), ("T.nn.Flatten()(x)",),
    ("T.nn.Unflatten(2, (2, 2))(x)",), ("T.nn.Identity()(x)",),
    # the tensor itself, or a copy
    ("x.contiguous()",), ("x.mT.contiguous()",), ("x.contiguous() is x",),
    ("x.expand(2, 3, 4) is x",), ("x.to(T.float32)",), ("x.to(T.float32) is x",),
    ("x.to('cpu') is x",), ("x.to(T.float64)",), ("x.float()",), ("x.float() is x",),
    ("x.double()",), ("x.cpu()",), ("x.cpu() is x",), ("x.to(T.float32, copy=True)",),
    ("x.type_as(x)",), ("x.type_as(x) is x",), ("T.as_tensor(x)",), ("T.as_tensor(x) is x",),
    ("T.as_tensor(x, dtype=T.float64)",), ("T.asarray(x)",), ("T.asarray(x, copy=True)",),
    ("x.requires_grad_(False) is x",), ("x.reshape(2, 3, 4) is x",), ("x.view(2, 3, 4) is x",),
    ("x.detach() is x",), ("x[...] is x",), ("x.squeeze() is x",), ("+x",), ("+x is x",),
    ("x.data is x",), ("T.positive(x) is x",), ("T.nn.Identity()(x) is x",),
    # copies
    ("x.clone()",), ("T.clone(x)",), ("x[[0, 1]]",), ("x[T.tensor([0, 1])]",), ("x[x > 3]",),
    ("x[:, [2, 0]]",), ("x[[0], 1:]",), ("x[T.tensor(1)]",), ("x[[True, False]]",),
    ("T.tensor(x.tolist())",), ("x.new_tensor(x.tolist())",), ("T.cat([x])",), ("T.cat([x, x])",),
    ("T.stack([x])",), ("T.hstack([x])",), ("x.repeat(1, 1, 1)",), ("x.tile(1)",), ("x.flip(0)",),
    ("x.roll(1)",), ("x.roll(0)",), ("T.rot90(x)",), ("T.rot90(x, 0)",), ("T.fliplr(x)",),
    ("x.index_select(0, T.tensor([0, 1]))",),
    ("T.gather(x, 0, T.zeros(1, 3, 4, dtype=T.int64))",),
    ("T.take_along_dim(x, T.zeros(1, 3, 4, dtype=T.int64), 0)",), ("T.masked_select(x, x > 2)",),
    ("x.masked_fill(x > 2, 0)",), ("T.where(x > 2, x, x)",), ("x + 0",), ("x * 1",), ("-x",),
    ("x.abs()",), ("x.clamp(min=-100)",), ("x.sum(0)",), ("x.sum(())", (2, 3)), ("x.max(0)",),
    ("x.amax(())", (2,)), ("x.sort(0)",), ("x.topk(2)",), ("x.cumsum(0)",), ("x.tril()", (3, 3)),
    ("x.triu()", (3, 3)), ("T.diag_embed(x)",), ("x.round()",), ("x.pow(1)",),
    ("T.nn.functional.relu(x)",), ("T.nn.functional.pad(x, (0, 0))",),
    ("T.nn.functional.dropout(x, 0.0)",), ("T.nn.functional.dropout(x, 0.5, False)",),
    ("T.nn.Dropout(0.5).eval()(x)",), ("T.repeat_interleave(x, 1)",),
    ("T.einsum('abc->abc', x)",), ("T.einsum('abc->cab', x)",), ("x @ T.eye(4)",),
    ("T.lerp(x, x, 0.0)",), ("copy.copy(x)",), ("copy.deepcopy(x)",), ("T.zeros_like(x)",),
    ("T.nn.functional.normalize(x)",), ("T.squeeze(x * 1)",),
    # in place: what comes back is what went in
    ("x.add_(1) is x",), ("x.mul_(2) is x",), ("x.zero_() is x",), ("x.fill_(1) is x",),
    ("x.clamp_(0, 1) is x",), ("x.copy_(x + 1) is x",), ("x.masked_fill_(x > 1, 0) is x",),
    ("x.relu_() is x",), ("T.nn.functional.relu(x, inplace=True) is x",),
    ("x.requires_grad_() is x",), ("x[0].add_(1)",), ("x.mT.mul_(2)",), ("x[0].zero_()",),
    ("x.view(-1)[:3].fill_(7)",), ("x.detach().add_(1)",), ("x.diagonal().fill_(5)", (3, 3)),
    ("operator.iadd(x, 1) is x",),
    # parameters and their values
    ("T.nn.Parameter(x).data",), ("T.nn.Parameter(x).detach()",),
    ("T.nn.utils.parameters_to_vector([x])",),
    # numpy
    ("T.from_numpy(x.numpy())",), ("T.as_tensor(x.numpy())",), ("T.tensor(x.numpy())",),
    ("T.as_tensor(x.numpy(), dtype=T.float64)",), ("T.from_numpy(x.mT.numpy())",),
    ("T.from_numpy(np.asarray(x))",), ("T.from_numpy(x.detach().numpy()[0])",),
    ("T.from_numpy(np.array(x))",), ("T.from_dlpack(x)",), ("T.from_dlpack(x.numpy())",),
    ("T.asarray(x.numpy())",), ("T.asarray(x.numpy(), copy=True)",),
    ("T.from_dlpack(x, copy=True)",),
]  # fmt: skip


def tensors(T, value):
    """The tensors of what a row made."""
    if isinstance(value, T.Tensor):
        return [value]
    parts = value if hasattr(value, "__iter__") else []
    return [each for part in parts for each in tensors(T, part)]


def story(T, row, shape):
    """What is seen in x and in the results after writes to either."""
    x = T.arange(1.0, 1 + int(np.prod(shape))).reshape(shape).clone()
    names = {"T": T, "x": x, "np": np, "copy": copy, "operator": operator}
    made = eval(row, names)
    if isinstance(made, bool):
        return [made, x.tolist()]
    results = tensors(T, made)
    with T.no_grad():
        seen = [[r.tolist() for r in results]]
        x.mul_(10)
        seen.append([r.tolist() for r in results])
        for i, result in enumerate(results):
            if result.is_floating_point() and result.numel():
                try:
                    result.add_(1000 * (i + 1))
                except RuntimeError:  # an expanded tensor: several elements are one
                    seen.append("refused")
                seen.append(x.tolist())
    return seen


@pytest.mark.parametrize(("row", "shape"), [(*each, SHAPE)[:2] for each in TABLE], ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_same_memory_as_in_pytorch(row, shape):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert story(lucidlite, row, shape) == story(torch, row, shape)


VIEWS = """x[0] x[1:] x[:,::2] x[...,1] x[None] x.view(-1) x.flatten(1) x.squeeze(0) x.unsqueeze(1)
    x.transpose(0,1) x.permute(2,0,1) x.mT x.expand(5,2,3,4) x.narrow(1,1,2) x.select(0,1)
    x.diagonal() x.detach() x.reshape(6,4) x.movedim(0,2) x.unflatten(2,(2,2))"""


@pytest.mark.parametrize("row", VIEWS.split())
def test_views_share_memory(row):
    """Without asking PyTorch: a write is seen, and there is one version."""
    x = lucidlite.arange(24.0).reshape(2, 3, 4).clone()
    view = eval(row, {"x": x})
    before, version = view.tolist(), view._version
    x.add_(1)
    assert view.tolist() != before
    assert view._version == version + 1
