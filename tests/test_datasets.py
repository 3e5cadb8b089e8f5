"""MNIST, Fashion-MNIST and the sample in the package, and whole batches of them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from dataset_files import digits, idx_bytes, write_digits

import lucidlite
from lucidlite.datasets import mnist
from lucidlite.datasets.idx import read_idx
from lucidlite.utils.data import DataLoader, Dataset, default_collate

transforms = lucidlite.datasets.transforms
OFFICIAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
needs_official = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="the official MNIST files are not beside the repository"
)


# ---- IDX


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_reads_every_type(tmp_path, dtype, packed):
    array = (np.arange(24).reshape(2, 3, 4) - 7).astype(dtype)
    content = idx_bytes(array)
    path = tmp_path / "file"  # the name says nothing: compression is told by content
    path.write_bytes(gzip.compress(content) if packed else content)
    got = read_idx(path)
    assert got.dtype == array.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, array)
    got[0] = 0  # writable


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (GOOD[:3], "no IDX file"),
        (b"\1" + GOOD[1:], "no IDX file"),
        (GOOD[:2] + b"\x0a" + GOOD[3:], "no IDX file"),
        (GOOD[:3] + b"\0" + GOOD[4:], "no IDX file"),
        (GOOD[:9], "within its header"),
        (GOOD[:-1], "truncated.*takes 6 bytes, got 5"),
        (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "truncated"),
        (GOOD + b"\0", "too long"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_refuses_what_is_damaged(tmp_path, content, message, packed):
    path = tmp_path / "damaged-file"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(RuntimeError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [5, 15, -9, -4, -1])
def test_idx_refuses_a_truncated_gzip_file(tmp_path, cut):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(idx_bytes(digits(3)[0]))[:cut])
    with pytest.raises(RuntimeError, match=r"cut\.gz is a damaged gzip file"):
        read_idx(path)


def test_idx_refuses_a_gzip_file_with_a_wrong_checksum(tmp_path):
    content = bytearray(gzip.compress(GOOD))
    content[-6] ^= 1
    path = tmp_path / "bits.gz"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match="damaged gzip"):
        read_idx(path)


# ---- MNIST


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["MNIST/raw", "."])
def test_mnist_reads_both_layouts(tmp_path, packed, place):
    pixels, labels = write_digits(tmp_path / place, packed=packed)
    data = lucidlite.datasets.MNIST(tmp_path)
    assert isinstance(data, Dataset)
    assert len(data) == 5
    assert data.data.dtype == lucidlite.uint8
    assert data.targets.dtype == lucidlite.int64
    np.testing.assert_array_equal(data.data.numpy(), pixels)
    np.testing.assert_array_equal(data.targets.numpy(), labels)
    image, target = data[-1]
    assert type(image) is np.ndarray
    assert image.dtype == np.uint8
    assert type(target) is int
    assert target == labels[-1]
    np.testing.assert_array_equal(image, pixels[-1])
    image[...] = 0  # a transform that writes does not reach the data
    np.testing.assert_array_equal(data[-1][0], pixels[-1])
    with pytest.raises(IndexError):
        data[5]


def test_mnist_train_and_test_are_different_files(tmp_path):
    write_digits(tmp_path, "train", 4)
    pixels, _ = write_digits(tmp_path, "t10k", 3, seed=1)
    test = lucidlite.datasets.MNIST(str(tmp_path), train=False)
    np.testing.assert_array_equal(test.data.numpy(), pixels)
    assert len(lucidlite.datasets.MNIST(str(tmp_path), train=True)) == 4


def test_mnist_transforms_and_repr(tmp_path):
    pixels, labels = write_digits(tmp_path)
    data = lucidlite.datasets.MNIST(
        str(tmp_path), transform=lambda image: image.mean(), target_transform=lambda t: -t
    )
    assert data[1] == (pixels[1].mean(), -int(labels[1]))
    data.transform = transforms.Compose([transforms.ToTensor()])
    data.target_transform = None
    assert repr(data) == (
        f"Dataset MNIST\n    Number of datapoints: 5\n    Root location: {tmp_path}\n"
        "    Split: Train\n    StandardTransform\n"
        "Transform: Compose(\n               ToTensor()\n           )"
    )


def test_mnist_names_and_subsets_by_assignment(tmp_path):
    pixels, _ = write_digits(tmp_path)
    data = lucidlite.datasets.MNIST(tmp_path)
    assert data.classes[3] == "3 - three"
    assert data.class_to_idx["9 - nine"] == 9
    data.data, data.targets = data.data[2:4], data.targets[2:4]
    assert len(data) == 2
    np.testing.assert_array_equal(data[0][0], pixels[2])
    assert [target for _, target in data] == data.targets.tolist()


def test_mnist_missing_says_which_file_goes_where(tmp_path):
    with pytest.raises(RuntimeError, match=r"Dataset not found\. You can use download") as caught:
        lucidlite.datasets.MNIST(tmp_path, train=False)
    assert "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte" in str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    write_digits(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(RuntimeError, match="or put train-labels-idx1-ubyte "):
        lucidlite.datasets.MNIST(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(4, np.uint8), "5 images and 4 labels"),
        ("train-labels-idx1-ubyte", np.full(5, 10, np.uint8), "labels must be below 10, got 10"),
        ("train-labels-idx1-ubyte", np.zeros((5, 1), np.uint8), "1-dimensional uint8"),
        ("train-images-idx3-ubyte", np.zeros((5, 2, 2), np.int32), "3-dimensional uint8"),
    ],
)
def test_mnist_refuses_files_that_do_not_fit(tmp_path, name, content, message):
    write_digits(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(content))
    with pytest.raises(RuntimeError, match=message) as caught:
        lucidlite.datasets.MNIST(tmp_path)
    assert name in str(caught.value)


def test_fashion_mnist_has_its_own_folder(tmp_path):
    write_digits(tmp_path / "MNIST" / "raw", n=3)
    pixels, _ = write_digits(tmp_path / "FashionMNIST" / "raw", n=4, seed=9)
    data = lucidlite.datasets.FashionMNIST(tmp_path)
    np.testing.assert_array_equal(data.data.numpy(), pixels)
    assert data.classes[9] == "Ankle boot"
    assert repr(data).startswith("Dataset FashionMNIST\n")


@needs_official
def test_official_mnist():
    data = lucidlite.datasets.MNIST(OFFICIAL, train=False)
    assert tuple(data.data.shape) == (10000, 28, 28)
    assert data.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.targets.numpy()).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    # The published mean and standard deviation are those of the training set.
    train = lucidlite.datasets.MNIST(OFFICIAL)
    pixels = train.data.numpy() / 255
    assert round(float(pixels.mean()), 4) == 0.1307
    assert round(float(pixels.std()), 4) == 0.3081


@needs_official
def test_mnist_files_are_not_taken_for_fashion():
    with pytest.raises(RuntimeError, match="belongs to MNIST, whose files have the same names"):
        lucidlite.datasets.FashionMNIST(OFFICIAL, train=False)


# ---- the sample


def test_sample_is_balanced_and_complete():
    for train, n in ((True, 6000), (False, 1000)):
        data = lucidlite.datasets.MNISTSample(train=train)
        assert len(data) == n
        assert tuple(data.data.shape) == (n, 28, 28)
        assert data.data.dtype == lucidlite.uint8
        assert data.targets.dtype == lucidlite.int64
        np.testing.assert_array_equal(data.targets.numpy(), np.arange(n) % 10)
        assert len(np.unique(data.data.numpy().reshape(n, -1), axis=0)) == n
        assert data[0][0].shape == (28, 28)
    assert repr(data) == "Dataset MNISTSample\n    Number of datapoints: 1000\n    Split: Test"
    here = Path(mnist.__file__).parent
    assert (here / "mnist_sample.npz").stat().st_size < 1_250_000
    assert "CC BY-SA 3.0" in (here / "MNIST_SAMPLE.md").read_text(encoding="utf-8")


@needs_official
@pytest.mark.parametrize(("train", "key"), [(True, 28), (False, 29)])
def test_sample_can_be_drawn_again(train, key):
    data = lucidlite.datasets.MNIST(OFFICIAL, train=train)
    labels = data.targets.numpy()
    order = np.argsort(np.random.Philox(key=key, counter=0).random_raw(len(labels)), kind="stable")
    per_class = 600 if train else 100
    rows = np.stack([order[labels[order] == d][:per_class] for d in range(10)], axis=1).ravel()
    sample = lucidlite.datasets.MNISTSample(train=train)
    np.testing.assert_array_equal(sample.data.numpy(), data.data.numpy()[rows])
    np.testing.assert_array_equal(sample.targets.numpy(), labels[rows])


def test_sample_can_be_learned():
    """Nearest class mean: far above chance only if pixels and labels belong together."""
    train, test = (lucidlite.datasets.MNISTSample(train=flag) for flag in (True, False))
    pixels = train.data.numpy().reshape(600, 10, -1).mean(0)
    distance = ((test.data.numpy().reshape(-1, 1, 784) - pixels) ** 2).sum(2)
    assert (distance.argmin(1) == test.targets.numpy()).mean() > 0.75


# ---- whole batches


PIPELINES = [
    None,
    transforms.ToTensor(),
    transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.13,), (0.31,))]),
    transforms.Compose([transforms.CenterCrop(20), transforms.Pad(2), transforms.ToTensor()]),
    transforms.Compose([transforms.Resize(14), transforms.Grayscale(3), transforms.ToTensor()]),
    transforms.Compose([transforms.Lambda(lambda x: x[:9]), transforms.ToTensor()]),
    transforms.CenterCrop(5),
    lambda image: float(image.mean()),
]
FIRST_UNKNOWN = 5  # from here on, transforms that take one image at a time


@pytest.mark.parametrize("number", range(len(PIPELINES)))
def test_a_batch_is_its_samples_collated(number):
    data = lucidlite.datasets.MNISTSample(train=False, transform=PIPELINES[number])
    rows = [3, 0, 999, 3]
    got = data.__getbatch__(rows)
    assert (got is NotImplemented) == (number >= FIRST_UNKNOWN)
    if got is not NotImplemented:
        expected = default_collate([data[row] for row in rows])
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    data.target_transform = lambda t: t / 2
    assert data.__getbatch__(rows) is NotImplemented
    (batch,) = DataLoader(data, 4, sampler=rows)
    expected = default_collate([data[row] for row in rows])
    assert batch[1].dtype == expected[1].dtype
    assert batch[1].tolist() == expected[1].tolist()


def test_takes_batches_knows_only_what_is_defined_there():
    class Mine(transforms.ToTensor):
        pass

    takes = transforms.takes_batches
    nested = transforms.Compose([transforms.Compose([transforms.ToTensor()]), transforms.Pad(1)])
    assert takes(nested)
    assert not takes(Mine())
    assert not takes(transforms.Compose([transforms.ToTensor(), Mine()]))
    assert not takes(transforms.Pad(1))
    assert not takes(transforms.Compose([transforms.ToTensor(), transforms.Lambda(abs)]))
