"""Philox, and forks of a generator: keyed, independent, drawn one by one or all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lucidlite.generator import Forks, Generator
from lucidlite.philox import philox, philox_of_each

MAX = 2**64 - 1


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# -- Philox -------------------------------------------------------------------------------------


def test_the_published_test_vector() -> None:
    """kat_vectors of Random123 (Salmon et al.): philox4x64 10 for a counter and key of zeros."""
    # NumPy counts up before it draws: block -1 of an all-zero counter.
    words = np.random.Philox(counter=2**256 - 1, key=0).random_raw(4)
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert words.tolist() == expected
    got = philox_of_each(0, MAX, 1, (), 1)
    assert got.tolist() == [expected]


@pytest.mark.parametrize("trial", range(40))
def test_philox_of_each_is_numpys_philox(trial: int) -> None:
    rng = np.random.default_rng(trial)

    def word() -> int:
        edges = [0, 1, 2**32 - 1, 2**32, 2**63, MAX]
        if rng.random() < 0.3:
            return edges[rng.integers(6)]
        return int(rng.integers(0, MAX, dtype=np.uint64))

    count, blocks, used = (int(rng.integers(low, 6)) for low in (1, 1, 0))
    seed, block = word(), min(word(), MAX - 8)
    columns = [[word() for _ in range(count)] for _ in range(min(used, 3))]
    got = philox_of_each(seed, block, blocks, columns, count)
    for row, drawn in enumerate(got):
        keys = [column[row] for column in columns]
        np.testing.assert_array_equal(drawn, philox(seed, block, 4 * blocks, keys))
        counter = sum(key << 64 * place for place, key in enumerate([block, *keys]))
        numpys = np.random.Philox(counter=counter, key=seed + (len(keys) << 64))
        np.testing.assert_array_equal(drawn, numpys.random_raw(4 * blocks))


def test_philox_of_none() -> None:
    assert philox_of_each(3, 0, 2, (1, [], []), 0).shape == (0, 8)
    assert philox(3, 0, 0).shape == (0,)


# -- forks --------------------------------------------------------------------------------------

# Augmentations of published runs hang on these: they may not change.
FORKED = [
    [0x818028C2E37E1A95, 0xED5A5710D54CF507],
    [0x52C5A38C38655D30, 0x4DC0B2B721CCBF83],
    [0x49FF30DD9A684E29, 0x7267643961EBBBF2],
]


def test_golden_forks() -> None:
    g = seeded(7)
    assert g.fork(1).raw(2).tolist() == FORKED[0]
    assert g.fork(1, 640, 31).raw(2).tolist() == FORKED[1]
    assert g.fork(1).fork(2).raw(2).tolist() == FORKED[2]


def test_a_fork_depends_on_seed_and_keys_alone() -> None:
    g = seeded(1)
    expected = g.fork(3, 4).raw(8)
    g.raw(100)
    np.testing.assert_array_equal(g.fork(3, 4).raw(8), expected)
    assert g.get_state()["offset"] == 25
    np.testing.assert_array_equal(g.fork(3, 4 - 2**64).raw(8), expected)
    np.testing.assert_array_equal(g.fork(3, np.int64(4)).raw(8), expected)
    assert g.fork(3, 4).device == g.device
    for keys in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError, match=r"^fork: takes one to three keys, got keys="):
            g.fork(*keys)
    with pytest.raises(TypeError):
        g.fork(1.5)  # type: ignore[arg-type]


def test_forks_are_independent() -> None:
    roots = [seeded(0), seeded(1)]
    families = [g for r in roots for g in (r, r.fork(0), r.fork(5), r.fork(0, 0), r.fork(0, 0, 0))]
    families += [r.fork(a, b) for r in roots for a in (1, 5) for b in (0, 1, 2**40, MAX)]
    families += [r.fork(1, 2, c) for r in roots for c in range(20)]
    families += [r.fork(1).fork(a) for r in roots for a in (1, 2)]
    families += [r.fork(1, 2).fork(1) for r in roots]
    words = np.concatenate([g.clone_state().raw(400) for g in families])
    assert len(set(words.tolist())) == words.size
    values = np.stack([g.uniform((400,), np.float64) for g in families])
    correlation = np.corrcoef(values) - np.eye(len(families))
    assert np.abs(correlation).max() < 0.25  # 5 standard deviations
    assert abs(values[:, 0].mean() - 0.5) < 0.12


def test_each_of_many_forks_draws_as_if_alone() -> None:
    root = seeded(11)
    indices = [5, -1, 2**63, 7, MAX]
    together = Forks(root, (9, 2), 5, lambda: (1, range(40, 45), indices))
    alone = [root.fork(1, 40 + k, index) for k, index in enumerate(indices)]
    for n in (2, 1, 4, 5, 13, 1, 8, 0, 3):
        got = together.each(5, n)
        assert got.shape == (5, n)
        np.testing.assert_array_equal(got, np.stack([g.each(1, n)[0] for g in alone]))
    own = root.fork(9, 2)
    np.testing.assert_array_equal(together.raw(5), own.raw(5))
    np.testing.assert_array_equal(together.each(3, 2), own.each(3, 2))
    np.testing.assert_array_equal(together.uniform((5,)), own.uniform((5,)))


def test_forks_of_a_fork_and_nothing_worked_out_unasked() -> None:
    root = seeded(11).fork(3)
    together = Forks(root, (0, 0), 2, lambda: (1, [6, 7]))
    alone = np.stack([root.fork(1, key).raw(2) for key in (6, 7)])
    np.testing.assert_array_equal(together.each(2, 2), alone)

    def never() -> Any:
        raise AssertionError

    Forks(root, (0, 0), 2, never).normal((4,))
