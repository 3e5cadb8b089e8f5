"""The container as NumPy sees it, its first version, and .npz files that NumPy wrote."""

from __future__ import annotations

import base64
import io
import math
import os
import zipfile
import zlib

import numpy as np
import pytest
from saving import dumps, loads, same

import lucidlite
from lucidlite import nn
from lucidlite.formats import zips

# -- names ---------------------------------------------------------------------------------------


def opened(data):
    """What numpy.load finds, without our table of contents."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return {name: found[name] for name in found.files if name != "manifest.json"}


def test_numpy_finds_a_state_dict_by_its_keys(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    path = tmp_path / "weights.npz"
    lucidlite.save(model.state_dict(), path)
    with np.load(path, allow_pickle=False) as found:
        for name, tensor in model.state_dict().items():
            assert same(found[name], tensor.numpy())
        assert {*found.files} == {*model.state_dict(), "manifest.json"}


def test_places_become_names():
    one = lucidlite.ones(1)
    content = {"model": {"conv.weight": one * 1}, "state": {0: {"avg": one * 2}, None: one * 3},
               "list": [one * 4, (np.ones(1) * 5, np.float32(6))], 2.5: one * 7}  # fmt: skip
    names = ["model/conv.weight", "state/0/avg", "state/None", "list/0", "list/1/0", "list/1/1",
             "2.5"]  # fmt: skip
    assert {name: int(a.sum()) for name, a in opened(dumps(content)).items()} == dict(
        zip(names, range(1, 8), strict=True)
    )
    assert list(opened(dumps(one))) == ["value"]


def test_a_shared_array_has_the_name_of_its_first_place():
    one = lucidlite.ones(1)
    assert list(opened(dumps({"a": one, "b": one, "c": one.detach(), "d": one * 1}))) == ["a", "d"]


HOSTILE = [
    "", "/", "//", ".", "..", "../x", "a/../../x", "/etc/passwd", "C:\\x", "C:x", "..\\x", "a\\b",
    "\\\\host\\x", "x\0y", "a\nb", "\ud800", "é", "e\u0301", "É", "日本", "\u202egnp", "a" * 5000,
    "ü" * 5000, "a" * 5000 + "b", "CASE", "case", "Case", "straße", "STRASSE", "a/b", "a//b", "a.",
    "a..", "a ", " a", "x.npy", "x", "manifest.json", "MANIFEST.JSON", "arrays/0", "~", "case~2",
    "<>|?*", '"', "{}", "%00", "value", "-rf", "\u2028",
]  # fmt: skip


def hostile():
    """A tensor under each name, flat and nested, all different."""
    flat = {key: lucidlite.tensor([float(i)]) for i, key in enumerate(HOSTILE)}
    deep = {key: {key: lucidlite.tensor([100.0 + i])} for i, key in enumerate(HOSTILE)}
    return {"flat": flat, "deep": deep, **{f"{k}!": t * 1 for k, t in flat.items()}}


def test_hostile_keys_survive():
    data = dumps(hostile())
    back = loads(data)
    assert same(back, hostile())
    assert dumps(back) == data


def test_entries_stay_in_their_folder_on_any_system(tmp_path):
    data = dumps(hostile())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        folder = tmp_path / "inside"
        archive.extractall(folder)
    assert sorted(os.listdir(tmp_path)) == ["inside"]
    assert len(names) == 3 * len(HOSTILE) + 1
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name.isprintable()
        assert not set('\\:*?"<>|') & set(name)
        assert 0 < len(name.encode()) < 255
        assert not {"", ".", ".."} & set(name.split("/"))
        assert not any(part.endswith((".", " ")) for part in name.split("/"))
        assert (folder / name).is_file()


# -- the first version ---------------------------------------------------------------------------

# Written by the code of version 1: arrays are numbered in it.
FIRST = (
    "c-p;Hzi-n(6uvZVkx-Esy0DpJ2p~7LlMYRV)J!Z95C#T_qUsu7nk$ZN?#`iUuoPv8I>XYDzXDa_k6>eFWvMC#R(N"
    "MSZO<}QArj}D<9qLY&)@g%hntP!;wnnoUG(+r<mdVVLaN^aOP_eGONA`&3*Q^zuFv~K;w=NaVTU;`lN6f<9#Afr?"
    "}6QhQOEZr^;FadbKg%M9M(|}trqV44s`)_*#?k7`7LF8JsEodFMJL@D{7lY3rj|wT!*04(;ar==o9f;cT}QwJMsB"
    "}WPNr>d4`3MB-V4uW@RI2pl7YdS<}S3R1%T+!@#8qW0h;B0k>N1BCN-R^!X41Teb@Bx_(kr=5=vo8eZtSP)A7*l4"
    "`KHnAke7Exln#sS*;-$uJJ}oa8wsmQWH&5-;or!yVBfE>XNU6r1=ZN{CQYM|g$>)tJ*aA>&l+>~Z3NP4bXND$#k6"
    "HnO!5)H;fqu(H<9SJt!d=;5!lt)NvDhl+Kp>;=ODx{Z$0$l3pgr!Sr~Ulz~+jY<v`9bVcpN{_l5CDSOuGL)QnJ3e"
    "=)vOgxSpkNn05>Oc5ub4*lfoVj>Kew9+i}5zx>hOa;hW@dxt2({&xt*iRo~fFok&~-bz1y{~scJq=psIj${`XGK+"
    "#LRu8ULd+^61K0VVl?DKQDXWe<S6gtJweY<9UvX>P*EnjhtSsqH--2)%j-up#oaSXb4W<vm6Z@e>W4||27i|i*MV"
    "_Mqy#K_~$Rktc?pO`#n+6wW5AR9H&RXiUxfJ$u1ulS)|&AlXRQuNUMmnO_@ci4RDl}RY#s(AS-!DwdkhlqSBF{7L"
    "m3Dvq&}7`R_bjLfXVP8%xW|vkX@o3RsUvzX1vI)oc"
)


def test_the_first_version_is_read():
    data = zlib.decompress(base64.b85decode(FIRST))
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        assert "arrays/0" in found.files
    back = loads(data)
    weight = lucidlite.arange(6.0).reshape(2, 3).requires_grad_()
    expected = {
        "model": {
            "conv.weight": weight, "tied": weight, "seen": weight.detach(),
            "mask": lucidlite.tensor([True, False]),
        },
        "optimizer": {"state": {0: {"step": lucidlite.tensor(7)}}, "betas": (0.9, 0.999)},
        "history": [1, math.inf, None, "text", 2**60],
        "array": np.arange(3, dtype=np.int16),
        "best": np.float64(0.5),
    }  # fmt: skip
    assert same(back, expected)
    model = back["model"]
    assert model["conv.weight"] is model["tied"]
    model["seen"].zero_()
    assert not model["tied"].any()
    assert dumps(loads(data)) == dumps(loads(dumps(loads(data))))
    assert same(loads(dumps(loads(data))), expected)


# -- NumPy's own ---------------------------------------------------------------------------------


def written(compressed=False, **arrays):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_become_tensors(compressed):
    random = np.random.default_rng(0)
    arrays = {name: (random.standard_normal((3, 4)) * 9).astype(name) for name in DTYPES}
    arrays |= {
        "fortran": np.asfortranarray(arrays["float32"]), "big": arrays["float64"].astype(">f8"),
        "scalar": np.float32(2), "empty": np.zeros((0, 3)), "layer/w": arrays["int8"],
        "fortran_one": np.asfortranarray(np.arange(3.0)), "é": np.arange(2),
    }  # fmt: skip
    back = loads(written(compressed, **arrays))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert isinstance(back[name], lucidlite.Tensor)
        assert same(back[name].numpy(), np.asarray(array).astype(array.dtype.newbyteorder("=")))
        assert back[name].numpy().flags.writeable
    assert lucidlite.load(io.BytesIO(written(a=np.ones(1))), map_location="cpu")["a"].item() == 1


def test_arrays_go_to_a_device(cuda):
    back = loads(written(a=np.arange(3.0)), map_location=cuda)["a"]
    assert back.device.type == "cuda"
    assert back.tolist() == [0, 1, 2]


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("compressed", [False, True])
def test_objects_are_refused(compressed, tmp_path):
    sprung = tmp_path / "sprung"
    data = written(compressed, a=np.ones(2), b=np.array([Trap(str(sprung)), None], dtype=object))
    path = tmp_path / "objects.npz"
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=r"array of Python objects.*objects\.npz"):
        lucidlite.load(path)
    assert not sprung.exists()
    np.load(path, allow_pickle=True)["b"][0].close()
    assert sprung.exists()  # the trap works


@pytest.mark.parametrize("dtype", ["uint16", "uint64", "complex64", "<U3", "S2", "M8[s]"])
def test_dtypes_that_tensors_lack_are_named(dtype):
    with pytest.raises(RuntimeError, match=r"its array 'odd' is of dtype .*convert it"):
        loads(written(a=np.ones(1), odd=np.zeros(2, dtype)))


def test_structured_arrays_are_refused():
    with pytest.raises(RuntimeError, match="unexpected array"):
        loads(written(a=np.zeros(2, "i4,f4")))


def test_what_unfolds_too_far_is_refused(monkeypatch):
    """A little may unfold to anything, more to a multiple of the file's length."""
    data = written(True, a=np.zeros(1 << 23, np.uint8))
    assert len(data) < 10_000
    assert loads(data)["a"].shape == (1 << 23,)
    monkeypatch.setattr(zips, "_SOME", 1 << 20)
    with pytest.raises(RuntimeError, match=r"a\.npy unfolds to more memory"):
        loads(data)


def test_other_zips_are_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(RuntimeError, match=r"zip file without manifest\.json"):
        loads(out.getvalue())
