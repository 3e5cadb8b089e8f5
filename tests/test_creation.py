"""Making tensors from numbers and at random: shapes, dtypes and values, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import Scripts, agree

import lucidlite

works, refused = Scripts(), Scripts()


@works
def filled(T):
    return [
        T.zeros(2, 3),
        T.zeros((2, 3)),
        T.zeros([2, 3]),
        T.zeros(T.zeros(2, 3).shape),
        T.zeros(0),
        T.zeros(()),
        T.ones(2, dtype=T.int64),
        T.ones(2, 2, dtype=T.bool),
        T.empty(2, 0).shape[1],
        T.full((2, 2), 7),
        T.full((2,), 1.5),
        T.full((2,), True),
        T.full((), 3, dtype=T.float64),
        T.full((2,), 2, dtype=T.float16),
    ]


@works
def ranges(T):
    return [
        T.arange(5),
        T.arange(2, 5),
        T.arange(5, 1, -2),
        T.arange(1.0),
        T.arange(0, 1, 0.25),
        T.arange(3, dtype=T.float32),
        T.arange(2.5, 5),
        T.arange(0),
        T.arange(3, 3),
        T.arange(T.tensor(4)),
        T.arange(0, 10, 3, dtype=T.int32),
    ]


@works
def spaced(T):
    return [
        T.linspace(0, 1, 5),
        T.linspace(3, -3, 4),
        T.linspace(2, 2, 3),
        T.linspace(0, 1, 1),
        T.linspace(0, 1, 0),
        T.linspace(0, 10, 11, dtype=T.float64),
    ]


@works
def spaced_whole_numbers(T):
    """The ends are made whole before anything between them is."""
    return [
        T.linspace(4.3, 0, 50, dtype=T.int64),
        T.linspace(1.7, 3.9, 4, dtype=T.int32),
        T.linspace(-2.7, 2.5, 4, dtype=T.int64),
        T.linspace(4.3, 50, 50, dtype=T.uint8),
        T.logspace(0, 1.2, 2, dtype=T.int64),
        T.logspace(1.7, 3.9, 4, dtype=T.int32),
    ]


@works
def identities(T):
    return [T.eye(3), T.eye(2, 3), T.eye(3, 2, dtype=T.int64), T.eye(0), T.eye(2, dtype=T.bool)]


@works
def from_data(T):
    return [
        T.tensor(3),
        T.tensor(3.0),
        T.tensor(True),
        T.tensor([]),
        T.tensor([1, 2]),
        T.tensor([1, 2.0]),
        T.tensor([[1], [2]]),
        T.tensor((1, 2)),
        T.tensor([True, False]),
        T.tensor(np.float32(2)),
        T.tensor(np.arange(3)),
        T.tensor(np.ones(2)),
        T.tensor(range(3)),
        T.tensor([1.7, -1.7], dtype=T.int64),
        T.tensor([0, 2], dtype=T.bool),
        T.tensor([T.tensor(1), T.tensor(2)]),
        T.tensor([np.float64(1.5)]),
    ]


@works
def of_numpy(T):
    found = []
    for name in (
        "float16",
        "float32",
        "float64",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "bool",
    ):
        found += [T.from_numpy(np.ones(2, name)), T.as_tensor(np.ones((2, 1), name))]
    return found


@works
def requiring_gradients(T):
    made = [
        T.zeros(2, requires_grad=True),
        T.ones(2, requires_grad=True),
        T.eye(2, requires_grad=True),
        T.full((2,), 1.0, requires_grad=True),
        T.arange(2.0, requires_grad=True),
        T.tensor([1.0], requires_grad=True),
        T.rand(2, requires_grad=True),
        T.randn(2, requires_grad=True),
        T.linspace(0, 1, 2, requires_grad=True),
        T.zeros_like(T.ones(2), requires_grad=True),
    ]
    return [(t.requires_grad, t.is_leaf, tuple(t.shape)) for t in made]


@works
def shapes_of_draws(T):
    made = [
        T.rand(2, 3),
        T.rand((2,)),
        T.rand(()),
        T.randn(2, dtype=T.float64),
        T.rand(0),
        T.randint(5, (2, 3)),
        T.randint(-3, 5, (4,)),
        T.randint(2, (3,), dtype=T.int32),
        T.randperm(5),
        T.randperm(0),
        T.normal(0.0, 1.0, (2, 2)),
        T.rand_like(T.ones(2, 2)),
        T.bernoulli(T.ones(3) * 0.5),
    ]
    return [(tuple(t.shape), repr(t.dtype)) for t in made]


@works
def certain_draws(T):
    return [
        T.bernoulli(T.zeros(9)),
        T.bernoulli(T.ones(9)),
        T.randint(4, 5, (6,)),
        T.randperm(6).sort().values,
        T.normal(2.5, 0.0, (3,)),
    ]


@works
def under_another_default(T):
    T.set_default_dtype(T.float64)
    try:
        made = [
            T.zeros(1),
            T.tensor([1.0]),
            T.tensor([1]),
            T.arange(2.0),
            T.linspace(0, 1, 2),
            T.eye(1),
            T.full((1,), 1.0),
            T.tensor([1]) / 2,
            T.ones(1, dtype=T.float32) * 1.5,
            T.tensor([1, 2]).float(),
        ]
        return [*made, repr(T.get_default_dtype()), repr(T.rand(1).dtype)]
    finally:
        T.set_default_dtype(T.float32)


@refused
def a_negative_size(T):
    T.zeros(-1)


@refused
def a_size_that_is_no_integer(T):
    T.zeros(2.0)


@refused
def ragged_data(T):
    T.tensor([[1, 2], [3]])


@refused
def words(T):
    T.tensor(["a", "b"])


@refused
def a_dtype_that_is_none_of_ours(T):
    T.zeros(2, dtype="float32")


@refused
def a_range_that_leads_nowhere(T):
    T.arange(5, 1)


@refused
def a_range_without_steps(T):
    T.arange(0, 5, 0)


@refused
def a_negative_number_of_steps(T):
    T.linspace(0, 1, -1)


@refused
def an_end_that_the_dtype_cannot_hold(T):
    T.linspace(0, 300, 4, dtype=T.uint8)


@refused
def a_whole_number_of_nothing(T):
    T.logspace(0, float("nan"), 4, dtype=T.int64)


@refused
def an_empty_range_of_draws(T):
    T.randint(3, 3, (2,))


@refused
def integers_at_random_between_0_and_1(T):
    T.rand(2, dtype=T.int64)


@refused
def a_negative_permutation(T):
    T.randperm(-1)


@refused
def a_list_for_an_array(T):
    T.from_numpy([1, 2])


@refused
def an_array_of_a_dtype_without_tensor(T):
    T.from_numpy(np.array(["a"]))


@refused
def an_array_read_backwards(T):
    T.from_numpy(np.arange(3)[::-1])


@refused
def an_integer_default(T):
    T.set_default_dtype(T.int64)


@works.each
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_as_in_pytorch(script):
    agree(script)


@refused.each
def test_refused_as_in_pytorch(script):
    agree(script)


@works.each
def test_runs_without_pytorch(script):
    script(lucidlite)


@refused.each
def test_refused_without_pytorch(script):
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        script(lucidlite)


# -- draws -----------------------------------------------------------------------------------------

DRAWS = {
    "rand": lambda g: lucidlite.rand(4000, generator=g),
    "randn": lambda g: lucidlite.randn(4000, generator=g),
    "randint": lambda g: lucidlite.randint(0, 10, (4000,), generator=g),
    "randperm": lambda g: lucidlite.randperm(50, generator=g),
    "normal": lambda g: lucidlite.normal(1.0, 2.0, (4000,), generator=g),
    "bernoulli": lambda g: lucidlite.bernoulli(lucidlite.full((4000,), 0.3), generator=g),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_draws_follow_the_seed(draw):
    g = lucidlite.Generator().manual_seed(3)
    first, second = draw(g), draw(g)
    assert first.tolist() != second.tolist()
    assert draw(lucidlite.Generator().manual_seed(3)).tolist() == first.tolist()
    lucidlite.manual_seed(3)
    assert draw(None).tolist() == first.tolist()
    state = lucidlite.get_rng_state()
    again = draw(None).tolist()
    lucidlite.set_rng_state(state)
    assert draw(None).tolist() == again == second.tolist()


def test_draws_have_their_distribution():
    lucidlite.manual_seed(0)
    uniform, normal = lucidlite.rand(20000), lucidlite.randn(20000)
    assert 0.0 <= uniform.min().item() < 0.01
    assert 0.99 < uniform.max().item() < 1.0
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert normal.mean().item() == pytest.approx(0.0, abs=0.03)
    assert normal.std().item() == pytest.approx(1.0, abs=0.03)
    counts = np.bincount(lucidlite.randint(-2, 3, (20000,)).numpy() + 2)
    assert len(counts) == 5
    assert counts.min() > 3700
    assert lucidlite.bernoulli(lucidlite.full((20000,), 0.3)).mean().item() == pytest.approx(
        0.3, abs=0.02
    )
    assert sorted(lucidlite.randperm(100).tolist()) == list(range(100))


def test_memory_is_shared_or_not():
    host = np.zeros(3)
    lucidlite.from_numpy(host)[0] = 1
    lucidlite.as_tensor(host)[1] = 2
    lucidlite.tensor(host)[2] = 3
    assert host.tolist() == [1, 2, 0]
    x = lucidlite.ones(2)
    assert lucidlite.as_tensor(x) is x
