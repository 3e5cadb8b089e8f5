"""Random programs of views, writes and arithmetic: values and gradients as in PyTorch."""

from __future__ import annotations

import os

import cuda_suite
import numpy as np
import pytest
from agreement import outcome
from case_kinds import same

import lucidlite

torch = pytest.importorskip("torch", reason="compares with PyTorch")

SEEDS = range(5000 if os.environ.get("LUCIDLITE_TEST_ALL") == "1" else 250)


def view_of(rng, t):
    """A random view: (what it is, the view)."""
    kind = rng.integers(8)
    dim = int(rng.integers(max(t.dim(), 1)))
    if t.dim() == 0 or kind == 0:
        return "unsqueeze(0)", t.unsqueeze(0)
    if kind == 1:
        other = int(rng.integers(t.dim()))
        return f"transpose({dim}, {other})", t.transpose(dim, other)
    if kind == 2 and t.shape[dim]:
        index = int(rng.integers(t.shape[dim]))
        return f"select({dim}, {index})", t.select(dim, index)
    if kind == 3 and t.shape[dim] > 1:
        start = int(rng.integers(t.shape[dim] - 1))
        length = int(rng.integers(1, t.shape[dim] - start + 1))
        return f"narrow({dim}, {start}, {length})", t.narrow(dim, start, length)
    if kind == 4:
        return "[::2]", t[::2]
    if kind == 5 and t.is_contiguous():
        return "view(-1)", t.view(-1)
    if kind == 6:
        return "detach()", t.detach()
    return "[...]", t[...]


WRITES = ["add_", "mul_", "relu_", "clamp_", "zero_", "copy_", "setitem", "exp_", "sub_", "pow_"]


def write(rng, T, t, others):
    """Write to ``t`` in a random way, with an operand from ``others``; returns what it did."""
    name = WRITES[rng.integers(len(WRITES))]
    fitting = [i for i, o in others.items() if o.shape == t.shape or o.dim() == 0]
    operand, what = 0.5, "0.5"
    if fitting and rng.random() < 0.5:
        i = fitting[rng.integers(len(fitting))]
        operand, what = others[i], f"t{i}"
    if name in ("relu_", "zero_"):
        getattr(t, name)()
    elif name == "exp_":
        t.clamp_(-2, 2).exp_()
    elif name == "clamp_":
        t.clamp_(-1.5, 1.5)
    elif name == "pow_":
        t.clamp_(-2, 2).pow_(2)
    elif name == "setitem":
        if t.dim():
            t[0] = operand if isinstance(operand, float) or operand.dim() == 0 else 0.25
        else:
            t[...] = 0.25
    elif name == "copy_":
        t.copy_(operand if not isinstance(operand, float) else T.tensor(0.5))
    else:
        getattr(t, name)(operand)
    return f"{name}({what})"


def program(T, seed, log):
    """Run the random program of ``seed``; what each step did goes to ``log``."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, 12).astype(np.float32) / 2
    x = T.tensor(values).reshape(3, 4).clone().requires_grad_()
    kept = [x * 1]
    if rng.random() < 0.3:  # one is outside the graph
        kept.append(T.tensor(values[::-1].copy()).reshape(3, 4))
    roots = list(range(len(kept)))  # whose memory each sees
    for _ in range(rng.integers(2, 10)):
        i = int(rng.integers(len(kept)))
        t, step = kept[i], rng.random()
        if step < 0.4:
            name, made = view_of(rng, t)
            kept.append(made)
            roots.append(roots[i])
            log.append(f"t{len(kept) - 1} = t{i}.{name}")
        elif step < 0.8:
            quiet = rng.random() < 0.1
            # PyTorch refuses operands that overlap with what is written to.
            apart = {j: o for j, o in enumerate(kept) if roots[j] != roots[i] or j == i}
            with T.set_grad_enabled(not quiet):
                log.append(f"t{i}.{write(rng, T, t, apart)}" + " under no_grad" * quiet)
        elif step < 0.95:
            kept.append(t * 2 + 1)
            roots.append(len(roots))
            log.append(f"t{len(kept) - 1} = t{i} * 2 + 1")
        else:
            kept.append(t.sum())
            roots.append(len(roots))
            log.append(f"t{len(kept) - 1} = t{i}.sum()")
    total = sum(((i + 1) * t.sum() for i, t in enumerate(kept)), x.sum() * 0)
    total.backward()
    return [x.grad, *(t.detach() for t in kept), *(t.requires_grad for t in kept),
            *(t._version for t in kept)]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program(seed):
    theirs: list[str] = []
    mine: list[str] = []
    expected = outcome(torch, lambda T: program(T, seed, theirs))
    got = outcome(lucidlite, lambda T: program(T, seed, mine))
    text = "\n".join(max(theirs, mine, key=len))
    if str(expected).startswith("a leaf Variable"):
        # No leaf is written to: PyTorch takes a view for one if its base joined the graph later.
        return
    if isinstance(expected, Exception):
        assert type(got) is type(expected), f"{text}\nhere {got!r}\nin PyTorch {expected!r}"
        assert mine == theirs
        return
    if isinstance(got, Exception):
        raise AssertionError(f"{text}\nhere {got!r}") from got
    if cuda_suite.ACTIVE and mine != theirs:
        return  # CuPy's results are in C order, whatever the operands': more of them can be viewed
    same(got, expected, "float32", 2, text)
