"""Weights as .safetensors: what is written, what is read, and what neither takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from saving import same

import lucidlite
from lucidlite import files, nn

DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]


@pytest.fixture
def theirs():
    """The package's own functions for NumPy."""
    return pytest.importorskip("safetensors.numpy", reason="needs lucidlite[safetensors]")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def header_of(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def raw(header, data=b""):
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_dtypes_and_shapes_both_ways(theirs, path, dtype, shape):
    values = np.asarray(np.random.default_rng(0).standard_normal(shape) * 3).astype(dtype)
    lucidlite.save({"a.b": lucidlite.from_numpy(values)}, path)
    assert same(theirs.load_file(path), {"a.b": values})
    theirs.save_file({"a.b": values}, path)
    back = lucidlite.load(path)
    assert list(back) == ["a.b"]
    assert same(back["a.b"].numpy(), values)
    assert back["a.b"].numpy().flags.writeable
    assert not back["a.b"].requires_grad


def test_any_memory_order_is_written_row_by_row(theirs, path):
    base = lucidlite.arange(120.0).reshape(2, 3, 4, 5)
    convolved = nn.Conv2d(3, 4, 3, padding=1)(base.transpose(1, 1)).detach()
    assert not convolved.is_contiguous()
    tensors = {
        "conv": convolved, "t": base.transpose(0, 3), "part": base[1, :, ::2], "one": base[0, 0, 0],
        "expanded": lucidlite.ones(2, 1).expand(2, 3),
    }  # fmt: skip
    lucidlite.save(tensors, path)
    back = theirs.load_file(path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor.numpy())


def test_a_state_dict_goes_round(theirs, path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    model(lucidlite.randn(2, 1, 4, 4))
    lucidlite.save(model.state_dict(), path)
    again = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    again.load_state_dict(lucidlite.load(path))
    assert same(dict(again.state_dict()), dict(model.state_dict()))
    assert {*theirs.load_file(path)} == {*model.state_dict()}
    assert again[1].num_batches_tracked.item() == 1


def test_aliases_are_written_whole(theirs, path):
    tied = lucidlite.arange(4.0)
    parameter = nn.Parameter(tied)
    lucidlite.save({"a": tied, "b": tied, "c": tied[1:3], "d": parameter}, path)
    found = {name: array.tolist() for name, array in theirs.load_file(path).items()}
    assert found == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3], "c": [1, 2], "d": [0, 1, 2, 3]}
    back = lucidlite.load(path)
    back["a"].zero_()
    assert back["b"].tolist() == [0, 1, 2, 3]
    assert not back["d"].requires_grad


@pytest.mark.usefixtures("theirs")
def test_equal_contents_give_equal_bytes(path):
    """In any order of the names, and in any process: the package's own order is random."""
    names = ["b", "a", 'é\n"', "", "a" * 300]
    tensors = {name: lucidlite.full((2,), i) for i, name in enumerate(names)}
    lucidlite.save(tensors, path)
    data = path.read_bytes()
    for _ in range(8):
        lucidlite.save(dict(reversed(tensors.items())), path)
        assert path.read_bytes() == data
    assert list(header_of(path)["__metadata__"]) == ["format", "lucidlite.crc32"]
    assert header_of(path)["__metadata__"]["format"] == "pt"
    assert same({**lucidlite.load(path)}, {n: tensors[n] for n in lucidlite.load(path)})
    assert {*lucidlite.load(path)} == {*names}
    lucidlite.save({}, path)
    assert lucidlite.load(path) == {}


@pytest.mark.usefixtures("theirs")
def test_bfloat16_becomes_float32(path):
    bits = np.array([0x3F80, 0xC020, 0x7F80, 0x0001, 0x8000], "<u2")
    entry = {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}
    path.write_bytes(raw({"w": entry}, bits.tobytes()))
    back = lucidlite.load(path)["w"]
    assert back.dtype is lucidlite.float32
    assert same(back.numpy(), np.array([1, -2.5, np.inf, 2.0**-133, -0.0], np.float32))


def test_streams_and_other_names(theirs, path):
    tensors = {"a": lucidlite.arange(3)}
    with open(path, "wb") as file:
        lucidlite.save(tensors, file)
    assert same(theirs.load_file(path), {"a": np.arange(3)})
    with open(path, "rb") as file:
        assert same(lucidlite.load(file), tensors)
    # What is in a file decides, whatever its name.
    other = path.with_suffix(".bin")
    os.replace(path, other)
    assert same(lucidlite.load(other), tensors)
    lucidlite.save([1], other)
    os.replace(other, path)
    assert lucidlite.load(path) == [1]
    lucidlite.save(tensors, path.with_name("LOUD.SAFETENSORS"))
    assert same(theirs.load_file(path.with_name("LOUD.SAFETENSORS")), {"a": np.arange(3)})


@pytest.mark.usefixtures("theirs")
def test_on_a_device(path, cuda):
    lucidlite.save({"a": lucidlite.arange(3, device=cuda)}, path)
    assert lucidlite.load(path)["a"].device.type == "cpu"
    back = lucidlite.load(path, map_location=cuda)["a"]
    assert back.device.type == "cuda"
    assert back.tolist() == [0, 1, 2]


# -- what is refused -----------------------------------------------------------------------------

ONE = lucidlite.ones(1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": {"w": ONE}}, r"one dict of tensors by name .*type dict at obj\['model'\]"),
        ({"w": ONE, "epoch": 3}, r"\.npz files hold other things, too.*type int at obj\['epoch'\]"),
        ({"w": np.ones(1)}, r"type numpy\.ndarray .*at obj\['w'\]"),
        ({"w": None}, r"type NoneType at obj\['w'\]"),
        ({0: ONE}, r"the key 0 in obj"),
        ({"__metadata__": ONE}, r"the key '__metadata__' in obj"),
        ({"\ud800": ONE}, r"the key '\\ud800' in obj"),
        ([ONE], r"type list at obj"),
        (ONE, r"Tensor .*at obj"),
        (nn.Linear(1, 1), r"Linear at obj"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("theirs")
def test_other_values_are_refused_by_place(path, value, message):
    path.write_bytes(b"the old file")
    with pytest.raises(TypeError, match=message):
        lucidlite.save(value, path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == b"the old file"


@pytest.mark.usefixtures("theirs")
def test_the_old_file_survives_a_failed_save(path, monkeypatch):
    lucidlite.save({"a": ONE}, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    for where in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(files.os, where, fail)
            with pytest.raises(OSError, match="No space left"):
                lucidlite.save({"a": ONE, "b": ONE}, path)
        assert os.listdir(path.parent) == [path.name]
        assert path.read_bytes() == before


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"hello", "damaged"),
        (b"hello, world, this is no such file", "damaged"),
        (raw({"w": ENTRY}), "damaged"),
        (raw({"w": ENTRY}, bytes(7)), "damaged"),
        (raw({"w": ENTRY}, bytes(9)), "damaged"),
        (raw({"w": {**ENTRY, "shape": [3]}}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "shape": [-2]}}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "data_offsets": [0, 2**63]}}, bytes(8)), "damaged"),
        (raw({"w": ENTRY, "v": ENTRY}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "dtype": "F33"}}, bytes(8)), "damaged"),
        (raw({"w": {**ENTRY, "dtype": "U32"}}, bytes(8)), r"tensor 'w' is of dtype U32.*convert"),
        (raw({"w": ENTRY, "__metadata__": {"a": 1}}, bytes(8)), "damaged"),
        (raw({"w": ENTRY, "__metadata__": {"lucidlite.crc32": "0"}}, bytes(8)), "the checksum"),
        (raw(b"[" * 100_000), "damaged"),
        (raw(b"{" * 100_000), "damaged"),
        (raw(b"{}" + b"\xff" * 50), "damaged"),
        ((2**63).to_bytes(8, "little") + b"{}", "damaged"),
        ((2**31).to_bytes(8, "little") + b"{}", "damaged"),
        (raw(b"null"), "damaged"),
    ],
)
@pytest.mark.usefixtures("theirs")
def test_damaged_files_are_named(path, data, message):
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=rf"(?s){message}.*weights\.safetensors"):
        lucidlite.load(path)


@pytest.mark.usefixtures("theirs")
def test_metadata_of_others_is_no_harm(path):
    for metadata in ({}, {"format": "pt"}, {"lucidlite": "1"}, None):
        path.write_bytes(raw({"w": ENTRY, "__metadata__": metadata}, bytes(8)))
        assert lucidlite.load(path)["w"].tolist() == [0, 0]


@pytest.mark.usefixtures("theirs")
def test_every_changed_byte_is_noticed(path):
    """The format has no checksum; what is written here has one in its metadata."""
    tensors = {"a": lucidlite.arange(6.0), "mask": lucidlite.tensor([True, False])}
    lucidlite.save(tensors, path)
    data = path.read_bytes()
    noticed = 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        try:
            assert same(lucidlite.load(path), tensors), position
        except RuntimeError as problem:
            assert "weights.safetensors" in str(problem)  # noqa: PT017
            noticed += 1
    assert noticed > len(data) // 2


WITHOUT = """
import sys
sys.modules["safetensors"] = None
import lucidlite
try:
    {call}
except ImportError as problem:
    print(str(problem).splitlines()[0])
"""


@pytest.mark.parametrize("op", ["save", "load"])
def test_without_the_package_the_error_names_the_extra(path, op):
    path.write_bytes(raw({}))
    given = f"{{}}, {str(path)!r}" if op == "save" else repr(str(path))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(call=f"lucidlite.{op}({given})")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        f"{op}: files that end in .safetensors need the safetensors package: "
        "pip install 'lucidlite[safetensors]'"
    )
    assert path.read_bytes() == raw({})
