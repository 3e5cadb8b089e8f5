"""Beside the table of cases: views and writes through them, refusals, random numbers' shapes."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import Scripts, agree, leaf

import lucidlite

works, refused = Scripts(), {}


def shares(a, b):
    """Whether writing to one shows in the other."""
    before = b.detach().clone()
    a.detach().fill_(77.0)
    return not bool((b.detach() == before).all())


@works
def views_and_copies(T):
    found = []
    for look in (
        lambda x: x.diagonal(),
        lambda x: x.diagonal(1),
        lambda x: T.diag(x),
        lambda x: x.unfold(0, 2, 1),
        lambda x: T.as_strided(x, (2, 2), (1, 2)),
        lambda x: x.tril(),
        lambda x: x.repeat_interleave(1),
        lambda x: x.ravel(),
        lambda x: T.atleast_3d(x),
        lambda x: T.broadcast_tensors(x, x)[0],
        lambda x: T.tensor_split(x, 2)[0],
        lambda x: T.hsplit(x, 2)[1],
        lambda x: T.fliplr(x),
        lambda x: T.rot90(x),
        lambda x: T.rot90(x, 4),
        lambda x: x.moveaxis(0, 1),
        lambda x: x.H,
        lambda x: T.meshgrid(x[0], x[1], indexing="ij")[0],
        lambda x: T.nan_to_num(x),
        lambda x: T.linalg.diagonal(x),
        lambda x: T.einsum("ij->ji", x),
        lambda x: T.einsum("ii->i", x),
        lambda x: x.diag_embed(),
        lambda x: T.select_scatter(x, x[0], 0, 1),
        lambda x: T.positive(x),
    ):
        x = T.arange(16.0).reshape(4, 4) + 1
        found.append(shares(x, look(x)))
    return found


@works
def writing_through_a_diagonal(T):
    x = T.arange(12.0).reshape(3, 4).requires_grad_()
    y = x * 2
    y.diagonal(1).mul_(5.0)
    y.unfold(1, 2, 2)[0].fill_(1.0)
    (y * y).sum().backward()
    return y, x.grad, y.diagonal(), y._version


@works
def a_view_of_a_view(T):
    x = leaf(T, *range(1, 13))
    y = x.exp().log().reshape(3, 4)
    row = y.t().diagonal(-1)[1:]
    row += 3.0
    (row * y.sum()).sum().backward()
    return x.grad, row, y


@works
def triangles_by_index(T):
    return [
        T.tril_indices(3, 4),
        T.tril_indices(3, 4, 1),
        T.triu_indices(4, 3, offset=-1),
        T.triu_indices(2, 2, 5),
        T.tril_indices(0, 3, dtype=T.int32),
        T.logspace(0, 2, 3),
        T.logspace(-1, 1, 4, base=2.0, dtype=T.float64),
        T.scalar_tensor(3),
        T.scalar_tensor(True, dtype=T.int64),
    ]


@works
def named_pairs(T):
    x = T.tensor([[3.0, 1.0, 2.0], [1.0, 4.0, 5.0]])
    median, mode, kth = x.median(1), x.mode(1), x.kthvalue(2)
    most, limits = x.cummax(0), T.aminmax(x)
    return [median.values, median.indices, mode.values, kth.indices, most.values, limits.min,
            limits.max, type(median).__name__, type(most).__name__]  # fmt: skip


@works
def printed_pairs(T):
    x = T.tensor([3.0, 1.0, 2.0])
    return [repr(x.median(0)), repr(T.aminmax(x)), repr(x.cummin(0)), repr(x.mode())]


@works
def integers_and_bools(T):
    i, b = T.tensor([3, 1, 2], dtype=T.int32), T.tensor([True, False, True])
    return [
        T.cumprod(i, 0), T.cumprod(b, 0), T.diff(b), T.trace(i.expand(3, 3)), T.kron(i, b),
        T.einsum("i,i->i", i, i), T.tensordot(i, i, 1), T.count_nonzero(b), T.median(i),
        T.scatter(i, 0, T.tensor([0]), 7), T.index_add(i, 0, T.tensor([1]), i[:1], alpha=2),
        T.atan2(i, i), T.fmax(i, i + 1), T.nansum(i), T.block_diag(i, b), T.hstack([i, b]),
        T.addcmul(i, i, i, value=2), T.isin(i, 2), T.tan(b),
    ]  # fmt: skip


@works
def products_of_whole_numbers(T):
    """What isn't whole of beta and alpha is cut off; a longer dim is summed in its own dtype."""
    i = T.arange(6, dtype=T.int32).reshape(2, 3)
    one = T.ones(1, 1, 1, dtype=T.int32)
    return [
        T.addmv(i[:, 0], i, i[0], beta=0.6, alpha=2.5),
        T.addbmm(i, i[None, :, :2], i[None, :2], beta=2.5, alpha=0.2),
        T.addr(i, i[:, 0], i[0], beta=2, alpha=3),
        T.tensordot(one, one.expand(2, 1, 2) + 1, dims=([0, 1], [2, 0])),
        T.tensordot(one.expand(2, 1, 2) + 1, one, dims=([0, 2], [1, 0])),
    ]


@works
def memory_of_a_view(T):
    x = leaf(T, *range(1, 9))
    y = x * 2
    seen = y[3:].as_strided((2, 2), (2, 1))
    z = y[3:].reshape(5).as_strided((2,), (1,)) * 3
    y[3:].as_strided((2,), (2,)).mul_(5)
    (seen * seen).sum().backward()
    return [seen, z, y, x.grad]


@works
def quantiles_between_two_values_and_on_one(T):
    found = []
    for dtype in (T.float32, T.float64):
        for n in (11, 101):
            x = T.arange(n, dtype=dtype)
            for how in ("lower", "higher", "nearest", "midpoint", "linear"):
                q = [k / 100 for k in range(101)]
                found.append(T.quantile(x, T.tensor(q, dtype=dtype), interpolation=how))
                found += [T.quantile(x, each, interpolation=how) for each in q[::7]]
    return found


@works
def random_numbers_in_place(T):
    T.manual_seed(0)
    x = T.empty(4000)
    found = []
    for fill in (
        lambda: x.normal_(2, 0.5).mean() - 2,
        lambda: x.uniform_(-1, to=3).mean() - 1,
        lambda: x.exponential_(4).mean() - 0.25,
        lambda: x.geometric_(0.5).mean() - 2,
        lambda: x.bernoulli_(0.25).mean() - 0.25,
        lambda: x.log_normal_(0, 0.1).log().mean(),
        lambda: x.cauchy_(3).median() - 3,
        lambda: x.random_(7).mean() - 3,
        lambda: x.random_(2, 5).mean() - 3,
        lambda: T.randint_like(x, 7).mean() - 3,
        lambda: x.bernoulli(0.75).mean() - 0.75,
    ):
        found.append(bool(fill().abs() < 0.12))
    whole = T.zeros(3, dtype=T.int64).random_(5)
    return [*found, bool((whole >= 0).all()), whole.dtype is T.int64]


@works
def multinomial_draws(T):
    T.manual_seed(0)
    weights = T.tensor([[0.0, 3.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    drawn = T.multinomial(weights, 4000, replacement=True)
    share = (drawn[0] == 1).float().mean()
    apart = T.multinomial(weights[1], 4)
    zeros_last = T.multinomial(weights[0], 4)
    return [
        tuple(drawn.shape), drawn.dtype is T.int64, bool((share - 0.75).abs() < 0.05),
        apart.sort().values, bool((zeros_last[:2] > 0).all()), bool((drawn[0] % 3 > 0).all()),
    ]  # fmt: skip


@works.each
def test_agree(script):
    agree(script)


def wrong(**scripts):
    refused.update(scripts)


X, I2 = (3, 4), [[0, 1], [2, 0]]
wrong(
    einsum_size=lambda T: T.einsum("ij,jk->ik", T.ones(2, 3), T.ones(4, 4)),
    einsum_letters=lambda T: T.einsum("i1->i", T.ones(2, 3)),
    einsum_rank=lambda T: T.einsum("ijk", T.ones(2, 3)),
    einsum_output=lambda T: T.einsum("ij->ii", T.ones(2, 2)),
    einsum_unknown=lambda T: T.einsum("ij->k", T.ones(2, 2)),
    einsum_operands=lambda T: T.einsum("ij,jk->ik", T.ones(2, 2)),
    einsum_nothing=lambda T: T.einsum("ij"),
    einsum_dots=lambda T: T.einsum("...i...", T.ones(2, 2)),
    einsum_labels=lambda T: T.einsum(T.ones(2, 2), [0, 52]),
    tensordot_size=lambda T: T.tensordot(T.ones(2, 3), T.ones(4, 5), 1),
    tensordot_lists=lambda T: T.tensordot(T.ones(2, 3), T.ones(3, 5), ([0, 1], [0])),
    baddbmm_inner=lambda T: T.baddbmm(T.ones(1), T.ones(2, 3, 4), T.ones(2, 3, 4)),
    baddbmm_input=lambda T: T.baddbmm(T.ones(3), T.ones(2, 3, 4), T.ones(2, 4, 4)),
    tril_vector=lambda T: T.tril(T.ones(3)),
    diagonal_twice=lambda T: T.diagonal(T.ones(3, 3), 0, 1, 1),
    diag_cube=lambda T: T.diag(T.ones(2, 2, 2)),
    cumprod_dim=lambda T: T.cumprod(T.ones(3), 1),
    kthvalue_range=lambda T: T.kthvalue(T.ones(3), 4),
    median_empty=lambda T: T.median(T.ones(0, 3), 0),
    median_bool=lambda T: T.median(T.tensor([True])),
    quantile_range=lambda T: T.quantile(T.ones(3), 1.5),
    bincount_negative=lambda T: T.bincount(T.tensor([-1])),
    bincount_float=lambda T: T.bincount(T.ones(2)),
    histc_bins=lambda T: T.histc(T.ones(3), 0),
    searchsorted_rows=lambda T: T.searchsorted(T.ones(2, 3), T.ones(3, 3)),
    searchsorted_side=lambda T: T.searchsorted(T.ones(3), T.ones(3), side="middle"),
    repeat_negative=lambda T: T.repeat_interleave(T.ones(3), -1),
    repeat_size=lambda T: T.repeat_interleave(T.ones(3), T.tensor([1, 2])),
    hstack_nothing=lambda T: T.hstack([]),
    vstack_sizes=lambda T: T.vstack([T.ones(3), T.ones(2)]),
    meshgrid_matrix=lambda T: T.meshgrid(T.ones(3, 2), indexing="ij"),
    meshgrid_how=lambda T: T.meshgrid(T.ones(3), indexing="yx"),
    rot90_dims=lambda T: T.rot90(T.ones(3, 3), 1, (0,)),
    hsplit_uneven=lambda T: T.hsplit(T.ones(3, 3), 2),
    scatter_bounds=lambda T: T.ones(X).scatter(0, T.tensor([[3]]), 1.0),
    scatter_dtype=lambda T: T.ones(X).scatter(0, T.tensor(I2), T.ones(2, 2).double()),
    scatter_rank=lambda T: T.ones(X).scatter(0, T.tensor([0]), 1.0),
    scatter_how=lambda T: T.ones(X).scatter(0, T.tensor(I2), T.ones(2, 2), reduce="mean"),
    scatter_reduce_how=lambda T: T.ones(X).scatter_reduce(0, T.tensor(I2), T.ones(2, 2), "most"),
    index_add_bounds=lambda T: T.ones(X).index_add(0, T.tensor([3]), T.ones(1, 4)),
    index_add_size=lambda T: T.ones(X).index_add(0, T.tensor([1]), T.ones(1, 3)),
    index_copy_bounds=lambda T: T.ones(X).index_copy(0, T.tensor([3]), T.ones(1, 4)),
    index_copy_count=lambda T: T.ones(X).index_copy(0, T.tensor([1, 2]), T.ones(1, 4)),
    index_fill_value=lambda T: T.ones(X).index_fill(0, T.tensor([1]), T.ones(2)),
    take_bounds=lambda T: T.take(T.ones(X), T.tensor([12])),
    put_count=lambda T: T.ones(X).put(T.tensor([1]), T.ones(2)),
    masked_scatter_few=lambda T: T.ones(3).masked_scatter(T.ones(3) > 0, T.ones(2)),
    select_scatter_size=lambda T: T.select_scatter(T.ones(X), T.ones(3), 0, 0),
    as_strided_bounds=lambda T: T.as_strided(T.ones(4), (2, 2), (2, 2)),
    unfold_size=lambda T: T.ones(3).unfold(0, 4, 1),
    norm_order=lambda T: T.linalg.norm(T.ones(3, 3), "other"),
    norm_rank=lambda T: T.linalg.norm(T.ones(2, 2, 2), 1),
    matrix_norm_vector=lambda T: T.linalg.matrix_norm(T.ones(3)),
    vector_norm_integers=lambda T: T.linalg.vector_norm(T.ones(3).long()),
    cross_size=lambda T: T.cross(T.ones(2, 2), T.ones(2, 2), dim=1),
    multinomial_none=lambda T: T.multinomial(T.zeros(3), 1),
    multinomial_negative=lambda T: T.multinomial(T.tensor([-1.0, 2.0]), 1),
    multinomial_many=lambda T: T.multinomial(T.ones(3), 4),
    multinomial_integers=lambda T: T.multinomial(T.ones(3).long(), 1),
    normal_std=lambda T: T.ones(3).normal_(0, -1),
    uniform_range=lambda T: T.ones(3).uniform_(2, 1),
    bernoulli_chance=lambda T: T.ones(3).bernoulli_(1.5),
    random_range=lambda T: T.ones(3).random_(5, 2),
    random_on_a_leaf=lambda T: T.ones(3, requires_grad=True).normal_(),
    logit_of_integers_in_place=lambda T: T.ones(3).long().sin_(),
    fmod_zero=lambda T: T.fmod(T.tensor([1]), T.tensor([0])),
    hypot_integers=lambda T: T.hypot(T.tensor([1]), T.tensor([1])),
    frac_integers=lambda T: T.frac(T.tensor([1])),
    addcdiv_integers=lambda T: T.addcdiv(T.tensor([1]), T.tensor([1]), T.tensor([1])),
    shift_floats=lambda T: T.ones(2) << 1,
    complex_sizes=lambda T: T.tril_indices(-1, 2),
)  # fmt: skip


@pytest.mark.parametrize("script", refused.values(), ids=refused.keys())
def test_refused_as_in_pytorch(script):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        script(torch)
    with pytest.raises(theirs.type, match=r"[a-z_0-9.]+: .+"):
        script(lucidlite)


def test_an_offset_into_the_memory_of_a_view_is_refused():
    x = lucidlite.arange(6.0)
    assert x.as_strided((2,), (1,), 3).tolist() == [3.0, 4.0]
    assert x[2:].clone().as_strided((2,), (1,), 0).tolist() == [2.0, 3.0]
    with pytest.raises(RuntimeError, match=r"as_strided: .*got storage_offset=0"):
        x[2:].as_strided((2,), (1,), 0)  # in PyTorch the base's [0, 1]


def test_singular_values_name_the_alternative():
    with pytest.raises(NotImplementedError, match=r"linalg.matrix_norm: .*numpy.linalg.norm"):
        lucidlite.linalg.matrix_norm(lucidlite.ones(2, 2), "nuc")
    with pytest.raises(AttributeError, match=r"linalg.* has no attribute 'svd'.*numpy.linalg"):
        lucidlite.linalg.svd  # noqa: B018


def test_chains_take_the_cheapest_order():
    shapes = [(10, 100), (100, 5), (5, 50)]
    rng = np.random.default_rng(0)
    parts = [lucidlite.tensor(rng.standard_normal(shape)) for shape in shapes]
    expected = np.linalg.multi_dot([part.numpy() for part in parts])
    np.testing.assert_allclose(lucidlite.chain_matmul(*parts).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erfinv_and_erf_lead_back(dtype):
    x = np.concatenate([np.linspace(-0.999, 0.999, 501), [1e-9, 1 - 1e-6, -1.0, 1.0, 0.0, 1.5]])
    x = x.astype(dtype)
    y = lucidlite.erfinv(lucidlite.from_numpy(x))
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(lucidlite.erf(y).numpy()[:-1], x[:-1], rtol=tolerance)
    assert y.numpy()[-4] == -np.inf
    assert np.isnan(y.numpy()[-1])


def test_the_tail_of_erfc_keeps_its_digits():
    x = lucidlite.tensor([5.0, 10.0, 20.0], dtype=lucidlite.float64)
    expected = [1.5374597944280349e-12, 2.088487583762545e-45, 5.395865611607901e-176]
    np.testing.assert_allclose(lucidlite.erfc(x).numpy(), expected, rtol=1e-13)
