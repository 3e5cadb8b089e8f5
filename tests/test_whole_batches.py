"""A batch loaded whole is, number for number, what its samples give one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from loader_cases import WORKERS
from loader_cases import no_thread_is_left as no_thread_is_left  # a fixture

import lucidlite as ll
from lucidlite.datasets import VisionDataset, transforms
from lucidlite.generator import Generator, current_generator
from lucidlite.utils.data import DataLoader, Dataset, Subset, default_collate

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


class Photos(VisionDataset):
    """Images in memory, read both ways; ``ways`` counts how."""

    def __init__(self, shape: tuple[int, ...] = (70, 9, 8, 3), **options: Any) -> None:
        super().__init__(None, **options)
        rng = np.random.default_rng(0)
        self.data = rng.integers(0, 256, shape, dtype=np.uint8)
        self.targets = rng.integers(0, 10, shape[0])
        self.ways = {"whole": 0, "single": 0}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        self.ways["single"] += 1
        return self.transformed(self.data[index].copy(), int(self.targets[index]))

    def __getbatch__(self, indices: Any) -> Any:
        return self.batch(self.take, indices)

    def take(self, rows: list[int]) -> Any:
        self.ways["whole"] += 1
        return self.data[rows], self.targets[rows]


class Mine:
    """A user's random transform."""

    def __call__(self, image: Any) -> Any:
        return image + float(current_generator().normal((1,))[0])


T = transforms
NORMAL = T.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
KNOWN = {
    "nothing": None,
    "cifar": T.Compose([T.RandomCrop((9, 8), 2), T.RandomHorizontalFlip(), T.ToTensor(), NORMAL]),
    "tensors": T.Compose(
        [
            T.ToTensor(),
            T.RandomHorizontalFlip(0.3),
            T.RandomVerticalFlip(),
            T.RandomCrop(6, 1, fill=1),
        ]
    ),
    "many": T.Compose(
        [
            T.Compose([T.RandomCrop(7, padding=(1, 2), padding_mode="reflect"), T.Resize((8, 5))]),
            T.RandomVerticalFlip(0.7),
            T.Grayscale(3),
            T.ToTensor(),
            T.RandomCrop((9, 9), pad_if_needed=True, padding_mode="edge"),
            T.RandomCrop(6),
            T.RandomHorizontalFlip(),
            NORMAL,
        ]
    ),
    "whole image": T.Compose([T.RandomCrop((9, 8)), T.RandomHorizontalFlip(), T.ToTensor()]),
}
UNKNOWN = {
    "a user's": T.Compose([T.RandomCrop(6), T.ToTensor(), Mine(), T.RandomHorizontalFlip()]),
    "lambda": T.Compose([T.ToTensor(), T.Lambda(lambda image: image + ll.rand(1, device="cpu"))]),
    "function": lambda image: float(image.mean()) + float(ll.randn(())),
    "no tensor": T.RandomCrop(5),
}


def one_by_one(batch: list[Any]) -> Any:
    """A collate function that DataLoader knows nothing of: whole batches are not for it."""
    return default_collate(batch)


def epochs(dataset: Any, size: int = 7, workers: int = 0, count: int = 2, **options: Any) -> Any:
    g = Generator().manual_seed(3)
    loader = DataLoader(dataset, size, True, num_workers=workers, generator=g, **options)
    return [[[part.numpy() for part in batch] for batch in loader] for _ in range(count)]


def same(got: Any, expected: Any) -> None:
    """Equal bit for bit, and of one dtype."""
    assert len(got) == len(expected)
    for one, two in zip(got, expected, strict=True):
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)
        else:
            same(one, two)


def joined(epoch: Any) -> list[np.ndarray]:
    return [np.concatenate(parts) for parts in zip(*epoch, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("name", KNOWN)
def test_whole_batches_are_their_samples(name: str, size: int) -> None:
    data = Photos(transform=KNOWN[name])
    expected = epochs(data, size, collate_fn=one_by_one)
    assert data.ways == {"whole": 0, "single": 140}
    data.ways["single"] = 0
    for workers in WORKERS:
        same(epochs(data, size, workers), expected)
    assert data.ways["single"] == 0
    if name not in ("nothing", "whole image"):
        first, second = (np.sort(joined(epoch)[0].ravel()) for epoch in expected)
        assert not np.array_equal(first, second)


@pytest.mark.parametrize("workers", WORKERS)
def test_subsets_grey_images_and_samplers(workers: int) -> None:
    data = Photos((70, 9, 8), transform=T.Compose([*KNOWN["cifar"].transforms[:3]]))
    part = Subset(Subset(data, range(69, 9, -1)), range(0, 60, 2))
    same(epochs(part, 7, workers), epochs(part, 7, collate_fn=one_by_one))

    def run(**options: Any) -> Any:
        ll.manual_seed(1)
        loader = DataLoader(data, num_workers=workers, **options)
        return [[part.numpy() for part in batch] for batch in loader]

    for options in (
        {"sampler": [3, 3, -1, 69, np.int64(5), 3]},
        {"batch_sampler": [[1, 1], [5, 4, 3]]},
    ):
        same(run(**options), run(**options, collate_fn=one_by_one))


def test_the_shipped_digits() -> None:
    steps = [T.RandomCrop(28, 3), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(0.13, 0.31)]
    data = ll.datasets.MNISTSample(train=False, transform=T.Compose(steps))
    part = Subset(data, range(200))
    expected = epochs(part, 64, collate_fn=one_by_one)
    same(epochs(part, 64), expected)
    assert len(np.unique(expected[0][0][0].reshape(64, -1), axis=0)) == 64


@pytest.mark.parametrize("name", [*KNOWN, *UNKNOWN])
def test_the_batch_size_changes_no_sample(name: str) -> None:
    data = Photos((40, 9, 8, 3), transform={**KNOWN, **UNKNOWN}[name])
    expected = [joined(epoch) for epoch in epochs(data, 1)]
    for size in (7, 64):
        same([joined(epoch) for epoch in epochs(data, size)], expected)
    g = Generator().manual_seed(3)
    loader = DataLoader(data, None, True, generator=g)
    if name != "nothing":
        alone = default_collate(list(loader))
        np.testing.assert_array_equal(np.asarray(alone[0]), expected[0][0])


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_goes_sample_by_sample(name: str) -> None:
    data = Photos(transform=UNKNOWN[name])
    assert data.__getbatch__([0, 1]) is NotImplemented
    expected = epochs(data, 7, collate_fn=one_by_one)
    for workers in WORKERS:
        same(epochs(data, 7, workers), expected)
    assert data.ways["whole"] == 0


def test_targets_and_a_subclass_go_sample_by_sample_too() -> None:
    def jittered(target: int) -> float:
        return target + float(current_generator().uniform((1,))[0])

    data = Photos(transform=KNOWN["cifar"], target_transform=jittered)
    expected = epochs(data, 7, collate_fn=one_by_one)
    same(epochs(data, 7), expected)
    assert data.ways["whole"] == 0
    # What is drawn for the target comes after the image's draws: the images stay.
    plain = epochs(Photos(transform=KNOWN["cifar"]), 7)
    same(
        [[batch[:1] for batch in epoch] for epoch in expected],
        [[batch[:1] for batch in epoch] for epoch in plain],
    )

    class Turned(Photos):
        def transformed(self, image: Any, target: Any) -> Any:
            image, target = super().transformed(image, target)
            return -image, target

    same(epochs(Turned(transform=KNOWN["cifar"])), [[[-x, y] for x, y in e] for e in plain])


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_an_unknown_transform_names_its_sample(workers: int) -> None:
    data = Photos()

    def picky(image: Any) -> Any:
        if np.array_equal(image, data.data[12]):
            raise ValueError("no face in it")
        return image

    data.transform = T.Compose([T.Lambda(picky), T.ToTensor()])
    with pytest.raises(ValueError, match=r"no face in it\n  loading sample 12 \(batch 1"):
        list(DataLoader(data, 8, num_workers=workers))
    with pytest.raises(ValueError, match=r"loading sample 2 \(batch 0"):
        list(DataLoader(Subset(data, [10, 11, 12]), 8, num_workers=workers))
    data.transform = T.Compose([T.RandomCrop(99), T.ToTensor()])
    with pytest.raises(ValueError, match=r"(?s)crop size.*loading samples \[0, 1\] \(batch 0"):
        list(DataLoader(data, 2, num_workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("name", ["cifar", "a user's"])
def test_resuming_gives_the_batches_that_were_left(name: str, stop: int, workers: int) -> None:
    def make(seed: int) -> DataLoader:
        data = Photos(transform={**KNOWN, **UNKNOWN}[name])
        g = Generator().manual_seed(seed)
        return DataLoader(data, 8, True, num_workers=workers, generator=g)

    loader = make(5)
    list(loader)
    whole = []
    for number, batch in enumerate(loader):
        whole.append([part.numpy() for part in batch])
        if number == stop:
            state = json.loads(json.dumps(loader.state_dict()))
    again = make(99)
    again.load_state_dict(state)
    same([[part.numpy() for part in batch] for batch in again], whole[stop + 1 :])
    following = [[[part.numpy() for part in batch] for batch in each] for each in (again, loader)]
    same(*following)


# -- what the draws look like ---------------------------------------------------------------------


def test_crops_and_flips_are_even_and_independent() -> None:
    # Every pixel says where it is, so that the crop's place and the flip can be read off.
    data = Photos(
        (600, 6, 6, 1),
        transform=T.Compose([T.RandomCrop((4, 4)), T.RandomHorizontalFlip(), T.ToTensor()]),
    )
    data.data[...] = np.arange(36, dtype=np.uint8).reshape(6, 6, 1)
    images = np.concatenate([joined(epoch)[0] for epoch in epochs(data, 64, count=5)])
    corners = np.rint(images[:, 0, 0, ::3] * 255).astype(int)
    flipped = corners[:, 0] > corners[:, 1]
    tops, lefts = np.divmod(corners.min(1), 6)
    counts = np.zeros((3, 3, 2))
    np.add.at(counts, (tops, lefts, flipped.astype(int)), 1)
    expected = 3000 / 18
    assert ((counts - expected) ** 2 / expected).sum() < 46  # chi-square, 17 degrees: p < 0.0002
    # From one epoch to the next, and from one sample to the next, they go their own ways.
    for values in (tops, lefts, flipped):
        by_epoch = values.reshape(5, 600).astype(float)
        assert np.abs(np.corrcoef(by_epoch) - np.eye(5)).max() < 0.2
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.1


def test_repeats_of_a_sample_and_loaders_that_share_a_seed_draw_apart() -> None:
    data = Photos((64, 9, 9, 1), transform=T.Compose([T.RandomCrop(5), T.ToTensor()]))
    data.data[...] = np.arange(81, dtype=np.uint8).reshape(9, 9, 1)

    def run(order: list[int]) -> list[float]:
        g = Generator().manual_seed(0)
        (batch,) = DataLoader(data, 64, sampler=order, generator=g)
        return batch[0].numpy()[:, 0, 0, 0].tolist()

    repeated = run([3] * 64)
    assert len(set(repeated)) > 15
    assert run([3] * 64) == repeated
    assert sum(a == b for a, b in zip(run([4] * 64), repeated, strict=True)) < 12


# -- __getbatch__ of a user ------------------------------------------------------------------------


class Own(Dataset):
    """Draws for the batch, for each of its samples, and for a number of its own."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        g = current_generator()
        return index, (g.each(1, 2)[0] >> np.uint64(1)).astype(np.int64)

    def __getbatch__(self, indices: Any) -> Any:
        g = current_generator()
        mine = (g.each(len(indices), 2) >> np.uint64(1)).astype(np.int64)
        return [
            ll.tensor(list(indices)),
            ll.from_numpy(mine),
            ll.rand(3),
            g.uniform((2,)),
            g.each(len(indices) + 1, 1),
        ]


def test_a_users_own_whole_batches() -> None:
    def run(workers: int, **options: Any) -> Any:
        g = Generator().manual_seed(3)
        loader = DataLoader(Own(), 6, True, num_workers=workers, generator=g, **options)
        return [[np.asarray(part) for part in batch] for batch in loader]

    expected = run(0)
    same(run(3), expected)
    for batch, samples in zip(expected, run(0, collate_fn=one_by_one), strict=True):
        for part, other in zip(batch[:2], samples, strict=True):
            np.testing.assert_array_equal(part, other)
    assert not np.array_equal(expected[0][2], expected[1][2])


def test_keys_that_are_no_numbers() -> None:
    class Words(Dataset):
        def __getitem__(self, word: str) -> Any:
            return word, current_generator().uniform((1,))

    def run(size: int) -> Any:
        ll.manual_seed(2)
        loader = DataLoader(Words(), size, sampler=list("abab"))
        return [value for _, values in loader for value in values.reshape(-1).tolist()]

    assert run(1) == run(3)
    assert len(set(run(2))) == 4
