"""Where operations are easily wrong: NaN, infinities, ties, empty tensors, dims, rounding, names.

Each line is an expression of ``T`` (the framework), ``F`` (its functional), ``x`` and ``y``; both
frameworks must give the same result, gradients and printed node, or raise the same class.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from agreement import agree

import lucidlite
from lucidlite.ops import linalg

ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 1e30, -20.0, 88.0]
TIES = [[3.0, 1.0, 3.0], [1.0, 1.0, 2.0]]
VALUES = {
    "odd": (ODD, ODD[::-1]),
    "ties": (TIES, TIES[::-1]),
    "plain": ([[0.5, -1.5, 2.0], [0.25, 3.0, -0.75]], [[1.5, 0.5, -2.0], [2.0, -0.25, 1.0]]),
    "empty": ([[], []], [[], []]),
    "number": (0.75, 1.5),
    "zeros": ([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], [[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]),
}

EXPRESSIONS = """
x.sign() | x.abs() | x.relu() | x.round() | x.round(decimals=1) | x.floor() | x.trunc()
T.maximum(x, y) | T.minimum(x, y) | T.where(x > y, x, y) | T.lerp(x, y, 0.25) | T.lerp(x, y, x)
T.clamp(x, -1, 1) | T.clamp(x, 1, -1) | T.clamp(x, max=0.5) | T.clamp(x, y, y + 1)
T.clamp(x, min=y) | T.clamp(x) | T.clamp(x, math.nan, 1) | x / y | 2 / x | 2 - x | x - 2 | x // y
x % y | x % 0.75 | 5 % x | T.div(x, y, rounding_mode='trunc') | T.div(x, y, rounding_mode='floor')
T.div(x, y, rounding_mode='up') | x ** 2 | x ** 3 | x ** 0.5 | x ** -1 | x ** -0.5 | x ** 0
2 ** x | 0 ** x | x ** y | x.sum() | x.sum(0) | x.sum((0, 1)) | x.sum(()) | x.sum((0, 0))
x.sum(5) | x.mean() | x.mean(-1) | x.prod() | x.prod(0) | x.prod(keepdim=True) | x.cumsum(0)
x.cumsum(-1) | x.var() | x.var(0) | x.var(-1, unbiased=False) | x.var(correction=7)
x.std(0, correction=0) | x.std() | x.max() | x.max(0) | x.max(-1, True) | x.min(0).values
x.max(keepdim=True) | x.max(0)[1] | x.amax() | x.amax(0) | x.amin((0, 1), True) | x.argmax()
x.argmin(0) | x.argmax(0, True) | x.norm() | x.norm(1) | x.norm(0) | x.norm(3)
x.norm(math.inf, 0) | x.norm(-math.inf) | x.norm('x') | x.logsumexp(0) | x.logsumexp((0, 1))
x.softmax(0) | x.softmax(-1) | x.log_softmax(0) | x.sort().values | x.sort(0, True) | x.topk(1)
x.topk(9) | x.argsort(stable=True) | x.any() | x.all(0) | x.any(()) | x.isnan() | x == y
x != None | ~x | -x | +x | x & y | x.view(-1) | x.reshape(3, 2) | x.t().reshape(-1)
x.t().view(-1) | x.reshape(7) | x.reshape(-1, 0) | x.flatten() | x.squeeze() | x.squeeze((0, 1))
x.unsqueeze(-1) | x.expand(2, -1, -1) | x.expand(7) | x.permute(dims=(1, 0)) | x.permute(0, 0)
x.transpose(0, 5) | x.t() | x.movedim(0, -1) | x.split(1) | x.split([1, 1]) | x.split(0)
x.chunk(3) | x.unbind(0) | T.cat((x, y)) | T.cat([]) | T.cat((x, T.zeros(0)))
T.stack((x, y), -1) | x.flip(0) | x.flip(dims=(-1,)) | x.roll(1) | x.roll((1, 1), (0, 0))
x.repeat(2, 1) | x.repeat(2) | x.tile(2) | x.narrow(0, 1, 1) | x.select(0, 1) | x @ y.t() | x @ y
x @ y.t()[:, 0] | T.addmm(x, x, y.t()[:, :0]) | F.linear(x, y) | F.linear(x[0], y)
F.mse_loss(x, y) | F.mse_loss(x, y, reduction='none') | F.gelu(x) | F.gelu(x, approximate='tanh')
F.leaky_relu(x) | x.sigmoid() | x.tanh() | x.erf() | x.exp() | x.log1p() | x.rsqrt()
x.reciprocal()
""".replace("\n", "|").split("|")
EXPRESSIONS = [e.strip() for e in EXPRESSIONS if e.strip()]
# Known to differ, and why.
DIFFERENT = {
    ("F.gelu(x)", "odd"): "PyTorch's vectorised gelu(inf) is NaN",
    ("x.movedim(0, -1)", "number"): "a view of nothing moved has a name of its own",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_pytorch(expression, values):
    if (expression, values) in DIFFERENT:
        pytest.skip(DIFFERENT[expression, values])

    def script(T):
        leaves = [T.tensor(v, requires_grad=True) for v in VALUES[values]]
        scope = {"T": T, "F": T.nn.functional, "math": math, "x": leaves[0], "y": leaves[1]}
        out = eval(expression, scope)
        results = list(out) if isinstance(out, tuple) else [out]
        tensors = [t for t in results if isinstance(t, T.Tensor) and t.requires_grad]
        found = [type(t.grad_fn).__name__ for t in tensors]
        if tensors and "NotImplemented" not in found:
            total = sum((t * (i + 1)).sum() for i, t in enumerate(tensors))
            found += T.autograd.grad(total, leaves, allow_unused=True)
        return *results, *found

    agree(script)


def test_float16_rounds_once():
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((8, 40)).astype(np.float16) for _ in range(2))
    F = lucidlite.nn.functional
    for function in (
        lambda a, _: a.softmax(1),
        lambda a, _: a.sum(1),
        lambda a, _: a.mean(),
        lambda a, _: a.var(1),
        lambda a, b: F.linear(a, b),
        lambda a, _: F.gelu(a),
        lambda a, _: a.abs().rsqrt(),
        lambda a, b: lucidlite.lerp(a, b, 0.3),
    ):
        halves = [lucidlite.tensor(v) for v in (x, w)]
        once = function(*[t.float() for t in halves]).half()
        assert lucidlite.equal(function(*halves), once)


def test_sums_of_float16_do_not_stall():
    ones = lucidlite.ones(5000, dtype=lucidlite.float16)
    assert ones.sum().item() == 5000.0
    assert ones.cumsum(0)[-1].item() == 5000.0


def test_erf_and_gelu_to_the_last_digits():
    x = np.concatenate([np.linspace(-6, 6, 1001), [0.0, 1e-9, -30.0]])
    t = lucidlite.tensor(x)
    exact = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(t.erf().numpy(), exact, rtol=2e-15)
    gelu = np.array([0.5 * v * math.erfc(-v / math.sqrt(2.0)) for v in x])
    np.testing.assert_allclose(lucidlite.nn.functional.gelu(t).numpy(), gelu, rtol=2e-13)


def test_selecting_among_many_is_selecting_among_few():
    rng = np.random.default_rng(1)
    mask = rng.random((70, 90)) > 0.5
    for dtype in ("float16", "float32", "float64", "int64", "uint8", "bool"):
        a, b = (rng.integers(0, 2, (70, 90)).astype(dtype) for _ in range(2))
        out = lucidlite.where(*[lucidlite.tensor(v) for v in (mask, a, b)])
        np.testing.assert_array_equal(out.numpy(), np.where(mask, a, b))
    lucid = [lucidlite.tensor(v) for v in (mask[:, :1], a[:1], b)]
    np.testing.assert_array_equal(lucidlite.where(*lucid).numpy(), np.where(mask[:, :1], a[:1], b))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("shapes", [((7, 3), (5, 3)), ((2, 7, 3), (5, 3)), ((4, 3), (2, 1, 5, 3))])
def test_distances_a_few_rows_at_a_time(p, shapes, monkeypatch):
    mode = "donot_use_mm_for_euclid_dist"
    lucidlite.manual_seed(0)
    given = [lucidlite.randn(s, dtype=lucidlite.float64).requires_grad_() for s in shapes]

    def results():
        out = lucidlite.cdist(*given, p, mode)
        if not p:  # a count
            return [out.detach().numpy()]
        weights = lucidlite.arange(out.numel(), dtype=out.dtype).view(out.shape)
        grads = lucidlite.autograd.grad((out * weights).sum(), given, create_graph=True)
        again = lucidlite.autograd.grad(sum((g * g).sum() for g in grads), given)
        return [t.detach().numpy() for t in (out, *grads, *again)]

    whole = results()
    monkeypatch.setattr(linalg, "_BLOCKS", {"cpu": 2 * 2 * 5 * 3})
    for a, b in zip(whole, results(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
