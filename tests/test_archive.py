"""What a damaged, foreign or hostile file can do to load: be refused, with its name."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from saving import checkpoint, dumps, loads

from lucidlite.serialization import load

# -- damaged, foreign and hostile files ----------------------------------------------------------


def test_damage_is_an_error_or_harmless(tmp_path):
    data = dumps(checkpoint())
    path = tmp_path / "damaged.ll"
    errors, right = [], 0
    for position in range(0, len(data), 50):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= change
            path.write_bytes(damaged)
            try:
                back = load(path)
            except RuntimeError as problem:
                errors.append(str(problem))
            else:
                assert dumps(back) == data
                right += 1
    assert all("damaged.ll" in message for message in errors)
    assert len(errors) > right


def test_truncation_is_an_error(tmp_path):
    data = dumps(checkpoint())
    path = tmp_path / "half.ll"
    for length in range(2, len(data), 50):
        path.write_bytes(data[:length])
        with pytest.raises(RuntimeError, match=r"truncated or damaged.*half\.ll"):
            load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"hello, world", "not written by lucidlite.save"),
        (pickle.dumps([1]), "bare pickle"),
    ],
)
def test_foreign_bytes(tmp_path, data, message):
    path = tmp_path / "foreign.bin"
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=rf"{message}[\s\S]*foreign\.bin"):
        load(path)


def test_a_single_npy_file(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(2))
    with pytest.raises(RuntimeError, match=r"single \.npy array"):
        load(tmp_path / "a.npy")


def rebuild(change, entries=()):
    """A file whose manifest `change` has edited, with further (name, bytes) entries."""
    source = zipfile.ZipFile(io.BytesIO(dumps(checkpoint())))
    manifest = json.loads(source.read("manifest.json"))
    changed = change(manifest)
    manifest = changed if isinstance(changed, (list, dict)) else manifest
    replaced = dict(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("manifest.json", json.dumps(manifest))
        for name in source.namelist():
            if name != "manifest.json" and name not in replaced:
                target.writestr(name, source.read(name))
        for name, data in replaced.items():
            if data is not None:
                target.writestr(name, data)
    return out.getvalue()


def test_a_newer_version_says_upgrade():
    data = rebuild(lambda manifest: manifest.update(version=3, content=["anything"]))
    with pytest.raises(RuntimeError, match=r"version 3 is newer.*upgrade"):
        loads(data)


def test_a_missing_array_is_named():
    data = rebuild(lambda _: None, [("model/mask.npy", None)])
    with pytest.raises(RuntimeError, match=r"model/mask\.npy is missing"):
        loads(data)


def test_a_device_that_is_not_there_names_map_location():
    def to_cuda(manifest):
        manifest["content"]["tensors"][0]["device"] = "cuda:97"

    data = rebuild(to_cuda)
    with pytest.raises(RuntimeError, match="map_location='cpu'"):
        loads(data)
    assert loads(data, map_location="cpu")["model"]["weight"].shape == (2, 3, 4)


ROOTS = [
    {"tensor": 99},
    {"tensor": "0"},
    {"tensor": None},
    {"tensor": [0]},
    {"ndarray": {}},
    {"ndarray": "../../etc/passwd"},
    {"int": "zz"},
    {"int": 5},
    {"float": []},
    {"float": "x"},
    {"dict": 3},
    {"dict": [[1]]},
    {"dict": [[[], 1]]},
    {"dict": [[{"tuple": [1]}, 1]]},
    {"dict": [[{"tensor": 0}, 1]]},
    {"dict": [[{"int": hex(k * (2**61 - 1))}, 1] for k in range(1, 3000)]},
    {"tuple": 1},
    {"class": "os.system"},
    {},
    {"int": "0x1", "float": "1"},
]


@pytest.mark.parametrize("root", ROOTS)
def test_hostile_manifests(root):
    data = rebuild(lambda manifest: manifest["content"].update(root=root))
    with pytest.raises(RuntimeError, match="cannot read the file"):
        loads(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda _: {"format": "other"},
        lambda manifest: manifest.update(version="1"),
        lambda manifest: manifest.update(content=7),
        lambda manifest: manifest["content"].pop("tensors"),
        lambda manifest: manifest["content"].update(tensors=[{}]),
        lambda manifest: manifest["content"].update(tensors=5),
        lambda manifest: manifest["content"].pop("arrays"),
        lambda manifest: manifest["content"].update(arrays=5),
        lambda manifest: manifest["content"].update(arrays=[5, None, {}, []]),
        lambda manifest: manifest["content"].update(arrays=["../../etc/passwd"] * 4),
        lambda manifest: manifest["content"].update(arrays=["model/weight"] * 4),
    ],
)
def test_hostile_documents(change):
    data = rebuild(lambda manifest: change(manifest))
    with pytest.raises(RuntimeError, match="cannot read the file"):
        loads(data)


@pytest.mark.parametrize("depth", [300, 400, 500, 700, 990, 100_000])
def test_deeply_nested_documents(depth):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        content = f'{{"root": {"[" * depth}{"]" * depth}, "tensors": []}}'
        target.writestr(
            "manifest.json", f'{{"format": "lucidlite", "version": 1, "content": {content}}}'
        )
    # How deep Python gets differs by version; a bare RecursionError is never right.
    message = "cannot read the file"
    try:
        loads(out.getvalue())
    except RuntimeError as problem:
        message = str(problem)
    assert "cannot read the file" in message


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_inside_are_never_run(tmp_path):
    sprung = tmp_path / "sprung"
    trap = Trap(str(sprung))
    objects = io.BytesIO()
    np.save(objects, np.array([trap, None], dtype=object), allow_pickle=True)
    npy = objects.getvalue()
    hidden = npy.replace(b"'|O'", b"'<f8'")
    as_scalar = {"numpy_scalar": 0}
    for data in (
        rebuild(lambda _: None, [("model/weight.npy", npy)]),
        rebuild(lambda _: None, [("model/weight.npy", hidden)]),
        rebuild(lambda m: m["content"].update(root=as_scalar), [("model/weight.npy", npy)]),
        pickle.dumps(trap),
        npy,
    ):
        with pytest.raises(RuntimeError, match="cannot read the file"):
            loads(data)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(trap)).close()
    assert sprung.exists()  # the trap works


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -24), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 4), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3, 4), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 5), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000000,), }",
        "{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (), }",
        "[",
    ],
)
def test_hostile_array_headers(header):
    text = header.encode().ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(96)
    data = rebuild(lambda _: None, [("model/weight.npy", npy)])
    with pytest.raises(RuntimeError, match="cannot read the file"):
        loads(data)


def test_text_of_no_characters_takes_no_memory():
    """NumPy's empty() makes a byte or four of each: terabytes from a file of some bytes."""
    text = b"{'descr': '|S0', 'fortran_order': False, 'shape': (10000000000000,), }".ljust(117)
    npy = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text + b"\n"
    data = rebuild(lambda _: None, [("model/weight.npy", npy)])
    with pytest.raises(RuntimeError, match=r"truncated or damaged .*\|S0 in an entry of 128 bytes"):
        loads(data)


def test_object_headers_are_refused_before_the_data():
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (12,), }".ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(96)
    data = rebuild(lambda _: None, [("model/weight.npy", npy)])
    with pytest.raises(RuntimeError, match="array of Python objects"):
        loads(data)


@pytest.mark.parametrize("entry", [{"device": "tpu"}, {"device": 3.5}, {"requires_grad": True}])
def test_hostile_tensors(entry):
    data = rebuild(lambda manifest: manifest["content"]["tensors"][1].update(entry))
    with pytest.raises(RuntimeError, match="cannot read the file"):
        loads(data)


def test_compressed_entries_are_refused():
    """They could unfold to far more than the file holds."""
    document = json.dumps({"format": "lucidlite", "version": 1, "content": {"root": 1}})
    for padding, extra in ((10_000_000, b""), (0, os.urandom(1000))):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("manifest.json", document + " " * padding)
            target.writestr("noise", extra)
        assert len(out.getvalue()) < 20_000
        with pytest.raises(RuntimeError, match="compression that is never written"):
            loads(out.getvalue())


def test_sizes_beyond_the_file_are_refused():
    data = bytearray(dumps([1]))
    directory = data.index(b"PK\x01\x02")
    for field in (20, 24):  # compressed and plain size in the central directory
        data[directory + field : directory + field + 4] = (2**31).to_bytes(4, "little")
    with pytest.raises(RuntimeError, match="size or compression that is never written"):
        loads(bytes(data))
