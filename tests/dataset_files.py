"""Tiny files in the formats of MNIST and CIFAR-10, for the tests of their readers."""

import gzip
import io
import struct
import tarfile

import numpy as np

import lucidlite


def idx_bytes(array):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    big = array.astype(array.dtype.newbyteorder(">"))
    return (
        bytes([0, 0, code, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (big.tobytes())
    )


def digits(n, seed=0, size=28):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, size, size), dtype=np.uint8)
    return pixels, rng.integers(0, 10, n).astype(np.uint8)


def write_digits(where, split="train", n=5, seed=0, packed=False):
    where.mkdir(parents=True, exist_ok=True)
    pixels, labels = digits(n, seed)
    for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        name, content = f"{split}-{kind}-ubyte", idx_bytes(array)
        if packed:
            (where / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (where / name).write_bytes(content)
    return pixels, labels


TRAIN = [f"data_batch_{n}" for n in range(1, 6)]
LABELS = [int(n) for n in np.random.default_rng(1).integers(0, 10, 18)]
PIXELS = np.random.default_rng(2).integers(0, 256, (18, 3072), dtype=np.uint8)
HWC = PIXELS.reshape(18, 3, 32, 32).transpose(0, 2, 3, 1)
PARTS = {name: slice(3 * n, 3 * n + 3) for n, name in enumerate([*TRAIN, "test_batch"])}


def python2_pickle(pixels, labels):
    """The bytes that cPickle of Python 2 wrote (protocol 2), as in the published archive."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    def word(number):
        return b"J" + struct.pack("<i", number)

    def glob(module, name):
        return b"c" + module + b"\n" + name + b"\n"

    raw = pixels.tobytes()
    array = (
        glob(b"numpy.core.multiarray", b"_reconstruct")
        + glob(b"numpy", b"ndarray")
        + word(0)
        + b"\x85"
        + short(b"b")
        + b"\x87R"
        + b"("
        + word(1)
        + word(len(pixels))
        + word(3072)
        + b"\x86"
        + glob(b"numpy", b"dtype")
        + short(b"u1")
        + word(0)
        + word(1)
        + b"\x87R"
        + b"("
        + word(3)
        + short(b"|")
        + b"NNN"
        + word(-1)
        + word(-1)
        + word(0)
        + b"tb"
        + b"\x89"
        + b"T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tb"
    )
    numbers = b"](" + b"".join(word(n) for n in labels) + b"e"
    names = b"](" + b"".join(short(b"caf\xe9_%d.png" % n) for n in range(len(labels))) + b"e"
    return (
        b"\x80\x02}("
        + short(b"batch_label")
        + short(b"training batch")
        + short(b"labels")
        + numbers
        + short(b"data")
        + array
        + short(b"filenames")
        + names
        + b"u."
    )


def binary_batch(pixels, labels):
    return b"".join(bytes([n]) + row.tobytes() for n, row in zip(labels, pixels, strict=True))


def cifar_files(kind):
    make, ending = (python2_pickle, "") if kind == "python" else (binary_batch, ".bin")
    return {name + ending: make(PIXELS[part], LABELS[part]) for name, part in PARTS.items()}


def pack(files, prefix):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def place_cifar(root, kind, form):
    files = cifar_files(kind)
    inner = "cifar-10-batches-py" if kind == "python" else "cifar-10-batches-bin"
    if form == "archive":
        (root / f"cifar-10-{kind}.tar.gz").write_bytes(pack(files, inner + "/"))
        return
    where = root / inner if form == "folder" else root
    where.mkdir(exist_ok=True)
    for name, content in files.items():
        (where / name).write_bytes(content)


def check_cifar(root):
    train, test = (lucidlite.datasets.CIFAR10(root, train=flag) for flag in (True, False))
    assert type(train.data) is np.ndarray
    assert train.data.dtype == np.uint8
    np.testing.assert_array_equal(train.data, HWC[:15])
    np.testing.assert_array_equal(test.data, HWC[15:])
    assert type(train.targets) is list
    assert train.targets == LABELS[:15]
    assert test.targets == LABELS[15:]
    return train


FIRED = []


def fire(*_arguments):
    FIRED.append(1)


class Hostile:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced
