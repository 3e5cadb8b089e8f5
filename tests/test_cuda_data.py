"""Batches for a GPU: pinned, copied one ahead, or made there from a data set that lies there."""

from __future__ import annotations

import gc
from typing import NamedTuple

import numpy as np
import pytest

import lucidlite
from lucidlite.backends import cpu, get_backend
from lucidlite.datasets import CIFAR10, MNISTSample, OnDevice, transforms
from lucidlite.datasets.on_device import why_not
from lucidlite.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

T = transforms


def arrays_of(batches):
    return [[t.cpu().numpy() for t in batch] for batch in batches]


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        for p, q in zip(x, y, strict=True):
            assert p.dtype == q.dtype
            np.testing.assert_array_equal(p, q)


# -- pinned memory ---------------------------------------------------------------------------------


def test_pin_memory(cuda):
    x = lucidlite.arange(6.0).reshape(2, 3)
    pinned = x.t().pin_memory()
    assert pinned.is_pinned()
    assert pinned[1:].is_pinned()
    assert not x.is_pinned()
    assert pinned.pin_memory() is pinned
    assert pinned.tolist() == x.t().tolist()
    there = pinned.to(cuda, non_blocking=True)
    assert there.is_cuda
    assert there.tolist() == x.t().tolist()
    assert not there.is_pinned()
    with pytest.raises(RuntimeError, match="only tensors on the CPU can be pinned, got cuda:0"):
        there.pin_memory()
    assert lucidlite.tensor([1.0, 2.0], pin_memory=True).is_pinned()
    assert lucidlite.zeros(0).pin_memory().to(cuda, non_blocking=True).shape == (0,)


def test_gradients_pass_pinned_memory(cuda):
    x = lucidlite.ones(3, requires_grad=True)
    (x.pin_memory().to(cuda, non_blocking=True) * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_pinned_memory_outlives_its_tensor(cuda):
    """The device may read it after the last reference has gone."""
    backend = get_backend(cuda)
    moved = [
        lucidlite.full((1000,), float(i)).pin_memory().to(cuda, non_blocking=True) for i in range(5)
    ]
    backend.synchronize()
    assert [t[-1].item() for t in moved] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_copies_that_do_not_block(fake_cupy):
    x = lucidlite.arange(8.0)
    pinned, there = x.pin_memory(), lucidlite.zeros(8, device="cuda")
    with fake_cupy.no_sync():
        copy = pinned.cuda(non_blocking=True)
        there.copy_(pinned, non_blocking=True)
        x.to("cuda", non_blocking=True)  # from ordinary memory CuPy stages a copy
    assert copy.tolist() == there.tolist() == x.tolist()


def test_without_a_gpu_nothing_is_pinned(monkeypatch):
    monkeypatch.setattr("lucidlite.ops.transfer.find_cupy", lambda: (None, "none"))
    x = lucidlite.ones(2)
    assert x.pin_memory() is x
    assert not x.is_pinned()


def test_no_more_pinned_memory(fake_cupy, monkeypatch):
    def allocate(size):  # noqa: ARG001
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")

    get_backend("cuda")
    monkeypatch.setattr(fake_cupy.cuda, "alloc_pinned_memory", allocate)
    with pytest.raises(RuntimeError, match=r"the system gives no 8 bytes of it \(cudaE"):
        lucidlite.ones(2).pin_memory()


# -- the loader ------------------------------------------------------------------------------------


class Pair(NamedTuple):
    x: object
    y: object


class Own:
    """A batch of a class of its own, as PyTorch lets one be."""

    def __init__(self, samples):
        self.x, self.pins = lucidlite.stack(samples), 0

    def pin_memory(self):
        self.pins += 1
        return self


def pairs(n=11):
    x = lucidlite.arange(n * 6.0).reshape(n, 2, 3)
    return TensorDataset(x, lucidlite.arange(n))


LOADERS = {
    "plain": {},
    "pinned": {"pin_memory": True},
    "workers": {"num_workers": 2},
    "pinned by workers": {"pin_memory": True, "num_workers": 2},
    "persistent": {"num_workers": 1, "persistent_workers": True, "prefetch_factor": 1},
}


@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS.keys())
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_arrive_on_the_device(options, shuffle, cuda):
    results = []
    for device in (None, cuda, "cpu"):
        lucidlite.manual_seed(4)
        loader = DataLoader(pairs(), 3, shuffle, device=device, **options)
        epochs = [list(loader), list(loader)]
        for batch in (*epochs[0], *epochs[1]):
            assert all(t.is_cuda == (device == cuda) for t in batch)
            if options.get("pin_memory") and device != cuda:
                assert all(t.is_pinned() for t in batch)
        results.append(arrays_of([*epochs[0], *epochs[1]]))
    same(results[0], results[1])
    same(results[0], results[2])


def test_structures_arrive(cuda):
    class Samples(Dataset):
        def __getitem__(self, i):
            x = lucidlite.full((2,), float(i))
            return {"x": x, "name": f"s{i}", "pair": Pair(x * 2, i)}

        def __len__(self):
            return 3

    for pin in (False, True):
        (batch,) = DataLoader(Samples(), 3, pin_memory=pin, device=cuda)
        assert batch["x"].is_cuda
        assert batch["x"].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
        assert batch["name"] == ["s0", "s1", "s2"]
        assert isinstance(batch["pair"], Pair)
        assert batch["pair"].y.is_cuda
        assert batch["pair"].x[2].tolist() == [4.0, 4.0]


def test_odd_batches_arrive(cuda):
    """Nothing to copy, tensors that are there already, empty ones, those that need a gradient."""
    there = lucidlite.ones(2, device=cuda)
    grad = lucidlite.ones(2, requires_grad=True)
    for value, check in (
        ("text", lambda b: b == ["text"]),
        (there, lambda b: b[0] is there),
        (grad, lambda b: b[0].is_cuda and b[0].grad_fn is not None),
        (lucidlite.zeros(0, 3), lambda b: b[0].is_cuda and b[0].shape == (0, 3)),
    ):
        (batch,) = DataLoader([value], collate_fn=list, device=cuda)
        assert check(batch)


@pytest.mark.usefixtures("cuda")
def test_batches_of_a_class_of_their_own():
    samples = list(lucidlite.eye(4))
    first, _ = DataLoader(samples, 2, collate_fn=Own, pin_memory=True)
    assert first.pins == 1


def test_streams_arrive(cuda):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(lucidlite.arange(5.0))

    for workers in (0, 1):
        loader = DataLoader(Stream(), 2, num_workers=workers, device=cuda)
        batches = list(loader)
        assert [b.tolist() for b in batches] == [[0.0, 1.0], [2.0, 3.0], [4.0]]
        assert all(b.is_cuda for b in batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_at_their_turn(workers, cuda):
    class Broken(Dataset):
        def __getitem__(self, i):
            if i == 2:
                raise KeyError("no such sample")
            return lucidlite.full((1,), float(i))

        def __len__(self):
            return 4

    batches = iter(DataLoader(Broken(), num_workers=workers, device=cuda))
    assert next(batches).tolist() == [[0.0]]
    assert next(batches).tolist() == [[1.0]]
    with pytest.raises(KeyError, match="loading sample 2"):
        next(batches)
    assert next(batches).tolist() == [[3.0]]
    with pytest.raises(StopIteration):
        next(batches)


def test_position_counts_what_was_handed_out(cuda):
    """A batch that is on its way already is not had yet: resuming begins with it."""
    lucidlite.manual_seed(1)
    loader = DataLoader(pairs(), 2, shuffle=True, device=cuda)
    batches = iter(loader)
    had = [next(batches), next(batches)]
    state = loader.state_dict()
    assert state["position"] == 2
    rest = arrays_of(batches)
    again = DataLoader(pairs(), 2, shuffle=True, device=cuda)
    again.load_state_dict(state)
    same(arrays_of(again), rest)
    assert len(had) + len(rest) == len(loader)


def test_copies_run_beside_the_computation(fake_cupy):
    """No wait on the host, and one copy for each tensor of a batch."""
    loader = DataLoader(pairs(12), 2, device="cuda")
    weight = lucidlite.ones(2, 3, device="cuda")
    total = lucidlite.zeros((), device="cuda")
    before = dict(fake_cupy.counts)
    with fake_cupy.no_sync():
        for x, _ in loader:
            total += (x * weight).sum()
    assert fake_cupy.counts["h2d"] - before["h2d"] == 2 * len(loader)
    assert total.item() == sum(range(72))


def test_kept_batches_stay_what_they_were(cuda):
    """Buffers are used in turn; what was handed out is nobody's buffer."""
    loader = DataLoader(pairs(20), 2, device=cuda)
    kept = []
    for x, y in loader:
        kept.append((x, y, (x + 1)))
    for i, (x, y, more) in enumerate(kept):
        assert y.tolist() == [2 * i, 2 * i + 1]
        assert x.flatten().tolist() == list(range(12 * i, 12 * i + 12))
        assert more.flatten().tolist() == list(range(12 * i + 1, 12 * i + 13))


def test_a_loop_left_early(cuda):
    """Copies under way are waited for before their memory goes to somebody else."""
    for _ in range(3):
        for x, _y in DataLoader(pairs(20), 2, device=cuda):
            first = x
            break
        other = lucidlite.full((2, 2, 3), 7.0, device=cuda)
        assert first.flatten().tolist() == list(range(12))
        assert other.sum().item() == 84


def test_a_dropped_iterator_leaves_nothing(cuda):
    gc.collect()
    gc.disable()
    try:
        before = lucidlite.cuda.memory_allocated()
        batches = iter(DataLoader(pairs(20), 2, device=cuda))
        next(batches)
        del batches
        assert lucidlite.cuda.memory_allocated() == before
    finally:
        gc.enable()


def test_loader_refusals():
    with pytest.raises(RuntimeError, match="device"):
        DataLoader([1], device="gpu")


# -- gathering on the device -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("channels", "planes"), [(1, 1), (1, 3), (3, 3)])
def test_kernel_is_the_base_kernel(channels, planes, dtype, cuda):
    rng = np.random.default_rng(channels + planes)
    images = rng.integers(0, 256, (7, 6, 5, channels), dtype=np.uint8)
    labels = rng.integers(0, 9, 7)
    corners = [rng.integers(-7, 8, 40), rng.integers(-7, 8, 40)]
    table = np.stack([rng.integers(0, 7, 40), *corners, rng.integers(0, 4, 40)], 1)
    table = table.astype(np.int32)
    scale = rng.random(planes).astype(dtype), (rng.random(planes) + 0.5).astype(dtype)
    backend = get_backend(cuda)
    on = backend.asarray
    for size in ((5, 7), (1, 1), (9, 2)):
        expected = cpu.gather_images(images, labels, table, size, planes, 11, scale)
        result = backend.gather_images(
            on(images), on(labels), table, size, planes, 11, (on(scale[0]), on(scale[1]))
        )
        assert backend.in_conv_layout(result[0])
        for ours, base in zip(result, expected, strict=True):
            found = backend.to_numpy(ours)
            assert found.dtype == base.dtype
            np.testing.assert_array_equal(found, base)


def test_base_kernel_by_hand():
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
    table = np.array([[1, 0, 0, 0], [0, -1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 2]], np.int32)
    one = np.ones(1, np.float32)
    out, labels = cpu.gather_images(
        images, np.array([5, 6]), table, (2, 3), 1, 100, (0 * one, one / 255)
    )
    assert labels.tolist() == [6, 5, 5, 6]
    assert np.rint(out[:, 0]).astype(int).tolist() == [
        [[6, 7, 8], [9, 10, 11]],
        [[100, 100, 100], [1, 2, 100]],
        [[2, 1, 0], [5, 4, 3]],
        [[9, 10, 11], [6, 7, 8]],
    ]


def digits(transform, n=30):
    return Subset(MNISTSample(train=False, transform=transform), range(n))


def photographs(transform):
    """CIFAR10 without its files."""
    data = CIFAR10.__new__(CIFAR10)
    rng = np.random.default_rng(1)
    data.data = rng.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8).transpose(0, 2, 3, 1)
    data.targets = [int(k) for k in rng.integers(0, 10, 20)]
    data.root, data.transform, data.target_transform = None, transform, None
    return data


SETS = {
    "digits": lambda: digits(T.ToTensor()),
    "every third": lambda: Subset(digits(T.ToTensor()), range(0, 30, 3)),
    "normalized": lambda: digits(T.Compose([T.ToTensor(), T.Normalize(0.13, 0.3)])),
    "as train": lambda: digits(T.Compose([
        T.Pad(2), T.Grayscale(3), T.ToTensor(), T.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])])),
    "augmented": lambda: photographs(T.Compose([
        T.Compose([T.Pad((1, 2, 3, 0)), T.RandomCrop(8, padding=2)]), T.RandomHorizontalFlip(),
        T.ToTensor(), T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])])),
    "filled": lambda: photographs(T.Compose([
        T.Pad(2, fill=9), T.RandomCrop((5, 11)), T.RandomVerticalFlip(0.3), T.ToTensor(),
        T.RandomHorizontalFlip(0.7)])),
    "whole window": lambda: photographs(T.Compose([T.RandomCrop(8), T.ToTensor()])),
    "tensors": pairs,
    "some tensors": lambda: Subset(pairs(), [3, 1, 1, 8]),
}  # fmt: skip


@pytest.mark.parametrize("make", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_resident_batches_are_the_same(make, where, cuda):
    device = cuda if where == "cuda" else "cpu"
    results = []
    for resident in (False, True):
        lucidlite.manual_seed(3)
        data = OnDevice(make(), device) if resident else make()
        loader = DataLoader(data, 4, shuffle=True)
        batches = [*loader, *loader]
        if resident:
            assert all(t.device.type == where for batch in batches for t in batch)
        results.append(arrays_of(batches))
    same(*results)


def test_resident_samples(cuda):
    plain = digits(T.Compose([T.RandomCrop(28, padding=3), T.ToTensor()]))
    resident = OnDevice(plain, cuda)
    assert len(resident) == 30
    assert resident.classes == plain.dataset.classes
    assert str(resident.device) == "cuda:0"
    for index in (0, 7, -1):
        with lucidlite.datasets.transforms.use_generator(lucidlite.Generator().manual_seed(1)):
            x, y = plain[index]
        with lucidlite.datasets.transforms.use_generator(lucidlite.Generator().manual_seed(1)):
            a, b = resident[index]
        assert (a.is_cuda, b) == (True, y)
        np.testing.assert_array_equal(a.cpu().numpy(), x.numpy())
    assert OnDevice(pairs(), cuda)[2][1].item() == 2


def test_resident_batch_is_one_launch(fake_cupy):
    data = OnDevice(digits(T.Compose([T.RandomCrop(28, padding=2), T.ToTensor()])), "cuda")
    loader = DataLoader(data, 8, shuffle=True)
    with fake_cupy.no_sync():
        before = dict(fake_cupy.counts)
        batches = list(loader)
        after = dict(fake_cupy.counts)
    assert after["launch"] - before["launch"] == len(batches)
    assert after["h2d"] - before["h2d"] == len(batches)
    assert after["d2h"] == before["d2h"]


def test_resident_indices_are_checked(cuda):
    data = OnDevice(digits(T.ToTensor()), cuda)
    for bad in (30, -31):
        with pytest.raises(IndexError, match="must be within 30 samples"):
            data[bad]


class MyDigits(MNISTSample):
    pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: [1, 2], "it holds MNIST.*got list"),
        (lambda: MyDigits(train=False, transform=T.ToTensor()), "got MyDigits"),
        (lambda: Subset([1, 2], [0]), "got list"),
        (lambda: digits(None), "must lead through ToTensor, got None"),
        (lambda: digits(T.Compose([T.Resize(8), T.ToTensor()])), r"got Resize\(size=8"),
        (lambda: digits(T.Compose([T.ToTensor(), T.Pad(2)])), r"got Pad\(padding=2"),
        (lambda: digits(T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(9), T.ToTensor()])),
         "padding and cropping first, got RandomCrop"),
        (lambda: digits(T.Compose([T.Pad(1, padding_mode="edge"), T.ToTensor()])), "one number"),
        (lambda: digits(T.Compose([T.Pad(1), T.Pad(1, fill=3), T.ToTensor()])), "one number"),
        (lambda: digits(T.Compose([T.RandomCrop(40), T.ToTensor()])), "must fit into images of"),
        (lambda: digits(T.Compose([T.ToTensor(), T.Normalize([1, 2], [1, 2])])), "per channel"),
        (lambda: digits(T.Compose([T.ToTensor(), T.Normalize(0, 0)])), "std must not be 0"),
        (lambda: photographs(T.Compose([T.Grayscale(), T.ToTensor()])), "of grey images"),
        (lambda: MNISTSample(False, T.ToTensor(), target_transform=int), "target_transform="),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_resident(data, reason):
    found = data()
    assert why_not(found)
    with pytest.raises(ValueError, match=f"OnDevice: .*{reason}"):
        OnDevice(found, "cpu")
