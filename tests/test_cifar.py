"""CIFAR-10 in all its forms, and pickles that would run something."""

import os
import pickle
import tarfile

import numpy as np
import pytest
from dataset_files import (
    FIRED,
    HWC,
    LABELS,
    PIXELS,
    Hostile,
    check_cifar,
    cifar_files,
    fire,
    place_cifar,
)

import lucidlite
from lucidlite.datasets import cifar
from lucidlite.datasets.unpickle import load_dict
from lucidlite.utils.data import default_collate

transforms = lucidlite.datasets.transforms


@pytest.mark.parametrize("form", ["folder", "archive", "flat"])
@pytest.mark.parametrize("kind", ["python", "binary"])
def test_cifar_reads_every_form(tmp_path, kind, form):
    place_cifar(tmp_path, kind, form)
    data = check_cifar(tmp_path)
    image, target = data[2]
    assert image.shape == (32, 32, 3)
    np.testing.assert_array_equal(image, HWC[2])
    assert target == LABELS[2]
    image[...] = 0
    np.testing.assert_array_equal(data[2][0], HWC[2])
    assert data.classes[0] == "airplane"
    assert data.class_to_idx["truck"] == 9
    assert repr(data) == (
        f"Dataset CIFAR10\n    Number of datapoints: 15\n    Root location: {tmp_path}\n"
        "    Split: Train"
    )


@pytest.mark.parametrize("number", range(2))
def test_cifar_batches(tmp_path, number):
    place_cifar(tmp_path, "binary", "folder")
    steps = [transforms.ToTensor(), transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))]
    data = lucidlite.datasets.CIFAR10(tmp_path, transform=[None, transforms.Compose(steps)][number])
    got, expected = data.__getbatch__([4, 1]), default_collate([data[4], data[1]])
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_cifar_missing_says_what_goes_where(tmp_path):
    with pytest.raises(RuntimeError, match=r"Dataset not found\. You can use download") as caught:
        lucidlite.datasets.CIFAR10(tmp_path)
    for part in ("cifar-10-python.tar.gz", "cifar-10-batches-bin", str(tmp_path)):
        assert part in str(caught.value)
    place_cifar(tmp_path, "python", "folder")
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(RuntimeError, match="cifar-10-batches-py lacks data_batch_4"):
        lucidlite.datasets.CIFAR10(tmp_path)
    assert len(lucidlite.datasets.CIFAR10(tmp_path, train=False)) == 3


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("binary", lambda c: c[:-1], "records of 3073 bytes"),
        ("binary", lambda _c: b"", "records of 3073 bytes"),
        ("binary", lambda c: b"\x0a" + c[1:], "label from 0 to 9"),
        ("python", lambda c: c[:-1], "damaged"),
        ("python", lambda c: c[:100], "damaged"),
        ("python", lambda _c: pickle.dumps([1, 2]), "must hold a dict, got a list"),
        ("python", lambda _c: pickle.dumps({"data": 1, "labels": []}), r"uint8 \(N, 3072\)"),
        (
            "python",
            lambda _c: pickle.dumps({"data": PIXELS[:2], "labels": [1]}),
            "label from 0 to 9 for each of its 2 images",
        ),
    ],
)
def test_cifar_refuses_damaged_files(tmp_path, kind, change, message):
    place_cifar(tmp_path, kind, "flat")
    path = tmp_path / ("test_batch" if kind == "python" else "test_batch.bin")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RuntimeError, match=message) as caught:
        lucidlite.datasets.CIFAR10(tmp_path, train=False)
    assert str(path) in str(caught.value)


def test_cifar_refuses_a_truncated_archive(tmp_path):
    place_cifar(tmp_path, "binary", "archive")
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:30000])
    with pytest.raises(RuntimeError, match=r"cifar-10-binary\.tar\.gz is damaged"):
        lucidlite.datasets.CIFAR10(tmp_path)


def test_cifar_takes_no_links_and_no_other_paths_from_an_archive(tmp_path):
    """A hostile archive: the wanted names lead outside, as links, or come from elsewhere."""
    outside = tmp_path / "secret"
    outside.write_bytes(cifar_files("binary")["test_batch.bin"])
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(root / "cifar-10-binary.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        tar.add(outside, "../cifar-10-batches-bin/test_batch.bin")
        tar.add(outside, "elsewhere/cifar-10-batches-bin/test_batch.bin")
    with pytest.raises(RuntimeError, match=r"lacks cifar-10-batches-bin/test_batch\.bin"):
        lucidlite.datasets.CIFAR10(root, train=False)
    assert sorted(p.name for p in root.iterdir()) == ["cifar-10-binary.tar.gz"]


def test_cifar_unpacks_no_bomb(tmp_path, monkeypatch):
    place_cifar(tmp_path, "binary", "archive")
    monkeypatch.setattr(cifar, "_LIMIT", 9000)
    with pytest.raises(RuntimeError, match="must stay below 9000 bytes"):
        lucidlite.datasets.CIFAR10(tmp_path)


# ---- pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">i8", "?"])
def test_pickles_of_every_protocol(protocol, order, dtype):
    array = np.asarray(np.arange(12).reshape(3, 4) % 5, dtype=dtype, order=order)
    value = {"data": array, b"labels": [1, 2], "name": "x", "bytes": b"\xff", "none": None}
    got = load_dict(pickle.dumps(value, protocol))
    assert got["data"].dtype == array.dtype
    np.testing.assert_array_equal(got["data"], array)
    assert {k: v for k, v in got.items() if k != "data"} == {
        "labels": [1, 2],
        "name": "x",
        "bytes": b"\xff",
        "none": None,
    }


HOSTILE = {
    "own function": Hostile(fire, (1,)),
    "os.system": Hostile(os.system, ("touch fired",)),
    "eval": Hostile(eval, ("fire()",)),
    "numpy.load": Hostile(np.load, ("fired.npy",)),
    "ndarray": Hostile(np.ndarray, ((2,), "u1")),
    "object array": np.array([Hostile(fire, ())], dtype=object),
    "structured array": np.zeros(2, dtype=[("a", "u1")]),
    "masked array": np.ma.array([1, 2]),
    "scalar": np.float32(1),
    "set": {1, 2},  # harmless, but in old protocols it is a call of builtins.set
}


@pytest.mark.parametrize(
    ("name", "protocol"),
    # From protocol 4 on a set has an opcode and calls nothing.
    [(name, n) for name in HOSTILE for n in (0, 2, 3, 5) if name != "set" or n < 4],
)
def test_hostile_pickles_run_nothing(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    FIRED.clear()
    with pytest.raises(ValueError, match="the pickle holds what is not read here"):
        load_dict(pickle.dumps({"data": HOSTILE[name], "labels": []}, protocol))
    assert not FIRED
    assert not list(tmp_path.iterdir())


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
DTYPE = b"cnumpy\ndtype\n"


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch fired'\ntR.",
        b"(S'touch fired'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch fired'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch fired\x85R.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy\ndtype.__class__\n(S'u1'\ntR.",  # an attribute of a permitted name
        b"clucidlite.datasets.unpickle\nos\n.",
        ARRAY + b"}S'array'\nI1\nsb.",  # change what a permitted name stands for
        ARRAY + b"N}S'_make'\nI1\ns\x86b.",
        DTYPE + b"(S'O'\ntR.",  # objects: memory addresses in an array
        DTYPE + b"(S'u1,O'\ntR.",
        ARRAY + b"(tR(I1\n(I5\nt" + DTYPE + b"(S'u1'\ntRI00\nS'ab'\ntb.",  # 5 bytes from 2
        ARRAY + b"(tR(I1\n(I-2\nt" + DTYPE + b"(S'u1'\ntRI00\nS'ab'\ntb.",
        ARRAY + b"(tR(I1\n(I2\ntS'u1'\nI00\nS'ab'\ntb.",
        b"c_codecs\nencode\n(Va\nS'zlib'\ntR.",
        b"P1\n.",  # persistent id
        b"\x82\x01.",  # extension registry
        b".",
        b"",
        b"garbage",
        b"\x80\x09.",
        b"]" * 50,
        b"(" * 50 + b".",
    ],
)
def test_hand_written_pickles_run_nothing(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the pickle"):
        load_dict(program)
    assert not list(tmp_path.iterdir())


def test_hostile_cifar_batch_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    place_cifar(root, "python", "folder")
    path = root / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(HOSTILE["os.system"], 2))
    with pytest.raises(RuntimeError, match=r"test_batch: the pickle holds .* (posix|nt)\.system"):
        lucidlite.datasets.CIFAR10(root, train=False)
    assert [p.name for p in tmp_path.iterdir()] == ["root"]
