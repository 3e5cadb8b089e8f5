"""Seeded damage to files of every format: an error that names the file, or equal data.

The gate takes a slice; LUCIDLITE_TEST_ALL=1 runs thousands for each format.
"""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from parity import TEST_ALL
from saving import checkpoint, dumps, same
from torch_files import items, number, program, pt, state, storage, tensor, text

import lucidlite

COUNT = 5000 if TEST_ALL else 250
WEIGHTS = {
    "conv.weight": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "conv.bias": np.float32([1, 2]), "mask": np.array([True, False]), "steps": np.int64(7),
}  # fmt: skip


def container():
    return dumps(checkpoint())


def first_version():
    source = zipfile.ZipFile(io.BytesIO(dumps(checkpoint())))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        manifest = source.read("manifest.json").replace(b'"version": 2', b'"version": 1')
        target.writestr(zipfile.ZipInfo("manifest.json"), manifest)
        for i, name in enumerate(source.namelist()[1:]):
            target.writestr(zipfile.ZipInfo(f"arrays/{i}.npy"), source.read(name))
    return out.getvalue()


def plain_npz(compressed=False):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **WEIGHTS)
    return out.getvalue()


def safetensors():
    pytest.importorskip("safetensors", reason="needs lucidlite[safetensors]")
    out = io.BytesIO()
    out.name = "weights.safetensors"
    lucidlite.save({name: lucidlite.tensor(array) for name, array in WEIGHTS.items()}, out)
    return out.getvalue()


def torch_file():
    """Without PyTorch: dicts in lists, views of one storage, numbers and text."""
    whole, part = tensor() + b"q\x01", tensor(None, 1, (2, 2), (3, 1))
    more = tensor(storage("1", "LongStorage", 1), 0, (), (), b"\x89")
    content = [b"}(", text("w"), whole, text("part"), part, text("again"), b"h\x01", b"u", b"]"]
    content += [number(2**70), b"a", items(text("é"), b"N\x88", number(-5), more)]
    return pt(program(items(*content)), {"0": np.arange(6, dtype=np.float32), "1": np.int64([7])})


def torch_state():
    return state({"a.weight": WEIGHTS["conv.weight"], "a.bias": WEIGHTS["conv.bias"]})


def torch_own():
    """A checkpoint by PyTorch itself."""
    torch = pytest.importorskip("torch", reason="writes a file with PyTorch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    out = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}, out)
    return out.getvalue()


FORMATS = [
    container, first_version, plain_npz, lambda: plain_npz(True), safetensors, torch_file,
    torch_state, torch_own,
]  # fmt: skip
NAMES = ["container", "version 1", "npz", "compressed npz", "safetensors", "pt", "pt state",
         "pt by PyTorch"]  # fmt: skip


def damaged(random, data, kinds=range(8)):
    """The data with some bits turned, or bytes changed, cut out, doubled, moved, or cut off."""
    out = bytearray(data)
    a, b = sorted(int(n) for n in random.integers(0, len(data) + 1, 2))
    kind = int(random.choice(kinds))
    if kind < 4:
        for position in random.integers(0, len(data), 1 + kind):
            out[position] ^= 1 << int(random.integers(8)) if kind < 3 else int(random.integers(256))
    elif kind == 4:
        del out[a:]
    elif kind == 5:
        del out[a : min(b, a + 40)]
    elif kind == 6:
        out[a:a] = out[b : b + 40] if random.integers(2) else random.bytes(int(random.integers(40)))
    else:
        # Where sizes and offsets are: the directory and the end of a zip, the start of the others.
        place = int(random.integers(64))
        place = place if random.integers(2) else len(data) - 1 - place
        out[place : place + 4] = random.bytes(4) if random.integers(2) else b"\xff\xff\xff\x7f"
    return bytes(out)


@pytest.mark.parametrize("number_", range(len(FORMATS)), ids=NAMES)
def test_damage(number_, tmp_path):
    make = FORMATS[number_]
    # The checksum in a .safetensors file finds damage in one place: that in two may hide it.
    places = (0, 4, 5, 6) if make is safetensors else range(8)
    data = make()
    path = tmp_path / "damaged.bin"
    path.write_bytes(data)
    whole = lucidlite.load(path)
    random = np.random.default_rng(number_)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(COUNT):
            broken = damaged(random, data, places)
            path.write_bytes(broken)
            try:
                back = lucidlite.load(path)
            except RuntimeError as problem:
                assert "damaged.bin" in str(problem)  # noqa: PT017
                refused += 1
            else:
                assert same(back, whole), broken
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert refused > COUNT // 2


@pytest.mark.parametrize("number_", range(len(FORMATS)), ids=NAMES)
def test_every_truncation(number_, tmp_path):
    data = FORMATS[number_]()
    path = tmp_path / "cut.bin"
    for length in range(0, len(data), 1 if TEST_ALL else 37):
        path.write_bytes(data[:length])
        with pytest.raises(RuntimeError, match=r"cannot read the file[\s\S]*cut\.bin"):
            lucidlite.load(path)


def test_damage_inside_a_pickle(tmp_path):
    """Bytes of the pickle itself, in a zip whose checksums fit: only the machine stands there."""
    path = tmp_path / "damaged.pt"
    for make in (torch_file, torch_state):
        with zipfile.ZipFile(io.BytesIO(make())) as archive:
            pickled = archive.read("weights/data.pkl")
            storages = {
                name.rpartition("/")[2]: archive.read(name)
                for name in archive.namelist()
                if "/data/" in name
            }
        random = np.random.default_rng(0)
        refused = 0
        for _ in range(2 * COUNT):
            path.write_bytes(pt(damaged(random, pickled), storages))
            try:
                found = lucidlite.load(path)
            except RuntimeError as problem:
                assert "damaged.pt" in str(problem)  # noqa: PT017
                refused += 1
            else:
                assert repr(found)  # whatever it is now, it is plain data
        assert refused > COUNT // 2
