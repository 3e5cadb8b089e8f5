"""The random stream: the numbers themselves, positions and states, distributions."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import threading
import time
from typing import Any

import numpy as np
import pytest

import lucidlite as ll
from lucidlite.generator import Generator, current_generator, use_generator

MAX = 2**64 - 1


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# -- the numbers that every release must give -----------------------------------------------------

# Weights, shuffles and augmentations of published runs hang on these: they may not change.
GOLDEN: dict[int, dict[str, list[Any]]] = {
    0: {
        "raw": [
            0x02F4BA6408E4D89B,
            0x3DD62B0B9CA8C5B2,
            0x1C8667A55D902E79,
            0x907D7A052FD5B4DC,
            0x809BF322883987C3,
        ],
        "float32": [0.2538226842880249, 0.19505053758621216, 0.7117098569869995],
        "float64": [0.5724548284695403, 0.25500130176597713],
        "float16": [0.279296875, 0.169921875, 0.94970703125],
        "normal": [-0.5082626342773438, -0.5384522676467896, -1.2063868045806885],
        "normal64": [0.8608319076873198, 0.6917753790785514],
        "integers": [482, 200, 273, 10],
        "permutation": [6, 3, 7, 0, 1, 2, 4, 5],
    },
    -1: {
        "raw": [
            0x3C2521C58DDE5BFB,
            0xB7A1AD5DAE1306D7,
            0x6942EAE9FD2FEB84,
            0xB7552E878D1C26FE,
            0x59A439C096C17B4E,
        ],
        "float32": [0.0557364821434021, 0.07153397798538208, 0.16785794496536255],
        "float64": [0.10224385374061784, 0.048458155055206564],
        "float16": [0.05810546875, 0.3720703125, 0.09228515625],
        "normal": [-0.5409204363822937, 0.4119126796722412, -1.1245827674865723],
        "normal64": [-0.26830941146909437, -1.2747743796600295],
        "integers": [510, 113, 374, 884],
        "permutation": [1, 7, 2, 6, 4, 5, 3, 0],
    },
}


@pytest.mark.parametrize("seed", GOLDEN)
def test_golden_numbers(seed: int) -> None:
    g, golden = seeded(seed), GOLDEN[seed]
    assert g.raw(5).tolist() == golden["raw"]
    assert g.uniform((3,)).tolist() == golden["float32"]
    assert g.uniform((2,), np.float64).tolist() == golden["float64"]
    assert g.uniform((3,), np.float16).tolist() == golden["float16"]
    # The last bit of a logarithm or cosine is the C library's.
    np.testing.assert_allclose(g.normal((3,)), golden["normal"], rtol=1e-6)
    np.testing.assert_allclose(g.normal((2,), np.float64), golden["normal64"], rtol=1e-13)
    assert g.integers(-5, 1000, (4,)).tolist() == golden["integers"]
    assert g.permutation(8).tolist() == golden["permutation"]
    assert g.get_state() == {"seed": seed & MAX, "offset": 10}


def test_golden_numbers_of_the_package() -> None:
    ll.manual_seed(0)
    assert ll.rand(3).tolist() == [0.011546730995178223, 0.24154919385910034, 0.11142581701278687]
    assert ll.randperm(6).tolist() == [5, 4, 1, 0, 2, 3]
    g = seeded(3)
    batches = ll.utils.data.DataLoader(range(6), 2, shuffle=True, generator=g)
    assert [batch.tolist() for batch in batches] == [[2, 4], [1, 3], [5, 0]]


# -- positions ----------------------------------------------------------------------------------


def test_element_i_takes_draw_i() -> None:
    flat = seeded(5).uniform((24,))
    np.testing.assert_array_equal(seeded(5).uniform((2, 3, 4)), flat.reshape(2, 3, 4))
    np.testing.assert_array_equal(seeded(5).uniform((7,)), flat[:7])
    np.testing.assert_array_equal(seeded(5).normal((3, 2)).ravel(), seeded(5).normal((24,))[:6])
    np.testing.assert_array_equal(
        seeded(5).integers(0, 99, (4, 6)).ravel(), seeded(5).integers(0, 99, (24,))
    )
    np.testing.assert_array_equal(seeded(5).each(4, 6).ravel(), seeded(5).raw(24))
    assert seeded(5).uniform(()).shape == ()


def test_a_request_starts_a_new_block() -> None:
    whole = seeded(5).raw(16)
    g = seeded(5)
    np.testing.assert_array_equal(g.raw(5), whole[:5])
    assert g.get_state()["offset"] == 2
    np.testing.assert_array_equal(g.raw(1), whole[8:9])
    assert g.raw(0).shape == (0,)
    np.testing.assert_array_equal(g.raw(4), whole[12:])


def test_state_round_trip() -> None:
    g = seeded(9)
    g.normal((7,))
    state = json.loads(json.dumps(g.get_state()))
    expected = g.uniform((5,))
    g.permutation(3)
    assert g.set_state(state) is g
    np.testing.assert_array_equal(g.uniform((5,)), expected)
    np.testing.assert_array_equal(Generator().set_state(state).uniform((5,)), expected)
    assert g.initial_seed() == 9
    fork = seeded(9).fork(4, 5)
    fork.raw(3)
    state = json.loads(json.dumps(fork.get_state()))
    np.testing.assert_array_equal(Generator().set_state(state).raw(6), fork.raw(6))


def test_rng_state_of_the_package() -> None:
    ll.manual_seed(21)
    ll.rand(3)
    state = ll.get_rng_state()
    first = ll.randn(4).tolist(), ll.randperm(9).tolist()
    ll.manual_seed(0)
    ll.set_rng_state(state)
    assert (ll.randn(4).tolist(), ll.randperm(9).tolist()) == first
    assert ll.initial_seed() == 21


@pytest.mark.parametrize(
    "state",
    [
        None,
        5,
        "state",
        [],
        {},
        {"seed": 1},
        {"seed": 1, "offset": 0.5},
        {"seed": -1, "offset": 0},
        {"seed": 1, "offset": -1},
        {"seed": 2**64, "offset": 0},
        np.zeros(4, np.uint8),
        {"seed": 1, "offset": 0, "fork": 3},
        {"seed": 1, "offset": 0, "fork": [1, 2, 3, 4]},
    ],
    ids=repr,
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    g = seeded(1)
    with pytest.raises(TypeError, match=r"^set_state: state must come from get_state\(\), got "):
        g.set_state(state)
    assert g.get_state() == {"seed": 1, "offset": 0}


def test_seeds() -> None:
    assert seeded(-1).initial_seed() == MAX
    np.testing.assert_array_equal(seeded(-1).raw(3), seeded(MAX).raw(3))
    np.testing.assert_array_equal(seeded(np.int64(3)).raw(3), seeded(3).raw(3))
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="seed must fit in 64 bits"):
            Generator().manual_seed(seed)
    g = seeded(3)
    chosen = g.seed()
    assert g.get_state() == {"seed": chosen, "offset": 0}
    assert g.seed() != chosen
    assert Generator().initial_seed() != Generator().initial_seed()


def test_devices() -> None:
    assert str(Generator().device) == "cpu"
    assert str(Generator(device="cpu").device) == "cpu"
    assert Generator(ll.device("cpu")).device == ll.device("cpu")
    assert ll.rand(2, generator=seeded(), device=Generator().device).device.type == "cpu"
    with pytest.raises(RuntimeError, match="expected one of cpu, cuda device type, got 'tpu'"):
        Generator("tpu")


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, Generator.clone_state, lambda g: pickle.loads(pickle.dumps(g))],
    ids=["copy", "deepcopy", "clone_state", "pickle"],
)
def test_copies_go_their_own_way(duplicate: Any) -> None:
    for g in (seeded(8), seeded(8).fork(1), Generator(ll.device("cpu")).manual_seed(8)):
        g.raw(3)
        twin = duplicate(g)
        assert twin.get_state() == g.get_state()
        expected = g.raw(9)
        np.testing.assert_array_equal(twin.raw(9), expected)
        twin.raw(1)
        assert twin.get_state() != g.get_state()
        assert twin.device == g.device
    assert copy.deepcopy({"g": [seeded(3)]})["g"][0].get_state() == seeded(3).get_state()


class Yielding(Generator):
    """Lets another thread run whenever the position is read."""

    @property
    def _offset(self) -> int:  # type: ignore[override]
        value = self._position
        time.sleep(0)
        return value

    @_offset.setter
    def _offset(self, value: int) -> None:
        self._position = value


def test_threads_never_share_a_block() -> None:
    g = Yielding().manual_seed(0)
    blocks: list[list[int]] = [[] for _ in range(8)]
    start = threading.Barrier(8, timeout=10)

    def reserve(mine: list[int]) -> None:
        start.wait()
        mine.extend(g.reserve(1 + (n % 3)) for n in range(300))

    threads = [threading.Thread(target=reserve, args=(mine,)) for mine in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(block for mine in blocks for block in mine) == list(range(2400))
    assert g.get_state()["offset"] == 2400


def test_use_generator_is_of_its_thread_and_nests() -> None:
    outer, inner = seeded(1), seeded(2)
    seen = []
    with use_generator(outer) as used:
        assert used is outer is current_generator()
        with contextlib.suppress(KeyError), use_generator(inner):
            assert current_generator() is inner
            raise KeyError
        assert current_generator() is outer
        thread = threading.Thread(target=lambda: seen.append(current_generator()))
        thread.start()
        thread.join()
    assert seen == [ll.default_generator]
    assert current_generator() is ll.default_generator


# -- distributions ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_is_below_one(dtype: Any) -> None:
    values = seeded(2).uniform((100_000,), dtype)
    assert values.dtype == dtype
    assert values.min() >= 0
    assert values.max() < 1
    double = values.astype(np.float64)
    assert abs(double.mean() - 0.5) < 0.005
    assert abs(double.var() - 1 / 12) < 0.002
    counts = np.bincount((double * 20).astype(int), minlength=20)
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi-square, 19 degrees: p < 0.001


def test_the_largest_and_the_smallest_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    g = seeded(0)
    monkeypatch.setattr(g, "raw", lambda n: np.resize(np.array([MAX, 0], np.uint64), n))
    for dtype, bits in ((np.float16, 11), (np.float32, 24), (np.float64, 53)):
        assert g.uniform((2,), dtype).tolist() == [1 - 2**-bits, 0]
    for dtype in (np.float16, np.float32, np.float64):
        assert np.isfinite(g.normal((2,), dtype)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal_moments(dtype: Any) -> None:
    values = seeded(3).normal((200_000,), dtype)
    assert values.dtype == dtype
    double = values.astype(np.float64)
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert abs((double**power).mean() - moment) < 0.05
    assert abs((np.abs(double) < 1).mean() - 0.6827) < 0.005
    assert abs(np.corrcoef(double[1:], double[:-1])[0, 1]) < 0.01


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-3, 4), (0, 256), (-(2**63), 2**63 - 1), (2**62, 2**62 + 5), (-9, -8)],
)
def test_integers_stay_in_bounds(low: int, high: int) -> None:
    values = seeded(4).integers(low, high, (40, 50))
    assert values.dtype == np.int64
    assert values.shape == (40, 50)
    assert low <= int(values.min())
    assert int(values.max()) < high
    if high - low <= 256:
        assert len(np.unique(values)) == high - low


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (0, 2**63), (-(2**63) - 1, 0)])
def test_integers_refuse(low: int, high: int) -> None:
    with pytest.raises(RuntimeError, match=rf"low must be below high.*got low={low}, high={high}"):
        seeded().integers(low, high, (1,))


def test_permutations() -> None:
    for n in (0, 1, 2, 1000):
        order = seeded(5).permutation(n)
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(n))
    g = seeded(6)
    counts = np.zeros((4, 4))
    for _ in range(2400):
        counts[np.arange(4), g.permutation(4)] += 1
    assert np.abs(counts - 600).max() < 100
