"""save and load: what survives, and what is refused."""

from __future__ import annotations

import io
import json
import math
import os
import weakref
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from saving import checkpoint, dumps, loads, round_trip

from lucidlite.creation import from_numpy
from lucidlite.generator import Generator
from lucidlite.serialization import save

DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]

# -- what survives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**53 - 1,
        2**53,
        -(2**64) - 1,
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        math.inf,
        -math.inf,
        "",
        "é\n\0\ud800",
        [],
        (),
        {},
        [1, [2.0, (3, [None])]],
        {"1": "text", 1: "number", None: 0, 2.5: 1, math.inf: 2},
        {"tensor": 0, "dict": [], "format": {"int": "0x1"}},
    ],
)
def test_plain_values_survive_exactly(value):
    back = round_trip(value)
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_huge_ints_survive():
    huge = 7**6000  # more digits than Python turns into text
    assert (round_trip([huge, -huge]) == [huge, -huge]) is True


def test_nan_survives_with_its_sign():
    back = round_trip([math.nan, -math.nan])
    assert all(map(math.isnan, back))
    assert [math.copysign(1, v) for v in back] == [1, -1]


def test_dict_order_and_key_types_survive():
    original = OrderedDict([("b", 1), (3, 2), ("a", 3), ("3", 4), (1, 5)])
    back = round_trip(original)
    assert type(back) is dict
    assert list(back.items()) == list(original.items())
    assert [type(key) for key in back] == [str, int, str, str, int]


def test_subclasses_come_back_as_their_builtin():
    counts = defaultdict(list, loss=[0.5])
    back = round_trip([counts, from_numpy(np.ones((2, 3))).shape])
    assert back == [{"loss": [0.5]}, (2, 3)]
    assert [type(item) for item in back] == [dict, tuple]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_tensors_keep_dtype_shape_and_bits(dtype, shape):
    values = np.asarray(np.random.default_rng(0).standard_normal(shape) * 3).astype(dtype)
    back = round_trip(from_numpy(values))
    assert type(back) is type(from_numpy(values))
    assert back.array.dtype == np.dtype(dtype)
    assert back.array.shape == shape
    assert back.array.tobytes() == values.tobytes()
    assert not back.requires_grad
    assert back.array.flags.writeable


def test_special_floats_keep_their_bits():
    values = np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324])
    values.view(np.uint64)[0] += 12345  # a NaN with a payload
    back = round_trip(from_numpy(values))
    assert back.array.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [*DTYPES, "uint16", "complex64", ">f4", "<U5", "S3", "M8[s]"])
def test_numpy_arrays_survive(dtype):
    values = np.arange(6).astype(dtype).reshape(2, 3)
    back = round_trip({"a": values})["a"]
    assert type(back) is np.ndarray
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


def test_text_of_no_characters_survives():
    values = np.ndarray((3, 2), "U0")
    back = round_trip(values)
    assert (back.dtype, back.shape) == (values.dtype, (3, 2))
    assert back.tolist() == [["", ""]] * 3


def test_numpy_scalars_keep_their_type():
    back = round_trip([np.float32(1.5), np.int64(-3), np.bool_(True), np.float64(2)])
    assert back == [1.5, -3, True, 2]
    assert [type(v) for v in back] == [np.float32, np.int64, np.bool_, np.float64]


def test_requires_grad_is_kept():
    weight = from_numpy(np.ones(3, np.float32))
    weight.requires_grad_()
    back = round_trip({"a": weight, "b": weight.detach()})
    assert back["a"].requires_grad
    assert back["a"].is_leaf
    assert not back["b"].requires_grad


def test_shared_tensors_stay_shared():
    first = from_numpy(np.zeros(1000, np.float32))
    alias = first.detach()
    other = from_numpy(np.zeros(1000, np.float32))
    data = dumps({"a": first, "b": [first, alias], "c": other})
    assert len(data) < 3 * 4000
    back = loads(data)
    assert back["a"] is back["b"][0]
    back["a"].array[0] = 5
    assert back["b"][1].array[0] == 5
    back["a"].bump_version()
    assert back["b"][1]._version == 1
    assert back["c"]._version == 0
    assert back["c"].array[0] == 0


def test_tensors_made_on_the_fly_are_not_mixed_up():
    made = []

    class Lazy(dict):
        def items(self):
            for i in range(20):
                tensor = from_numpy(np.full(3, i))
                made.append(weakref.ref(tensor))
                yield str(i), tensor
            # A freed tensor could lend its id to the next one.
            assert all(reference() is not None for reference in made)

    back = round_trip(Lazy())
    assert [int(back[str(i)].array[0]) for i in range(20)] == list(range(20))


def test_conv_layout_is_written_in_c_order():
    values = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    strided = np.ascontiguousarray(values.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    data = dumps([from_numpy(strided), values.T[::2]])
    assert dumps(from_numpy(strided)) == dumps(from_numpy(values))
    back, sliced = loads(data)
    assert back.array.flags.c_contiguous
    np.testing.assert_array_equal(back.array, values)
    np.testing.assert_array_equal(sliced, values.T[::2])
    fortran = np.asfortranarray(values)
    assert dumps(fortran) == dumps(values)


def test_equal_contents_give_equal_bytes_that_numpy_opens():
    data = dumps(checkpoint())
    assert data == dumps(checkpoint()) == dumps(loads(data))
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        manifest = json.loads(arrays["manifest.json"])
        assert manifest["format"] == "lucidlite"
        assert arrays["model/weight"].shape == (2, 3, 4)


def test_map_location():
    data = dumps(checkpoint())
    for location in (None, "cpu", from_numpy(np.ones(1)).device):
        assert loads(data, map_location=location)["model"]["weight"].device.type == "cpu"
    with pytest.raises(TypeError, match=r"map_location=\{'cuda': 'cpu'\}"):
        loads(data, map_location={"cuda": "cpu"})
    with pytest.raises(RuntimeError, match="tpu"):
        loads(data, map_location="tpu")


def test_generator_state_survives():
    source = Generator().manual_seed(5)
    source.raw(3)
    state = round_trip(source.get_state())
    expected = source.raw(4)
    twin = Generator()
    twin.set_state(state)
    np.testing.assert_array_equal(twin.raw(4), expected)


# -- what is refused -----------------------------------------------------------------------------


class Model:
    def state_dict(self):
        return {}


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"model": {"hook": len}}, r"builtin_function_or_method at obj\['model'\]\['hook'\]"),
        ([1, ({2, 3},)], r"type set at obj\[1\]\[0\]"),
        ({"net": Model()}, r"state_dict\(\) returns, got type .*Model at obj\['net'\]"),
        ([Point(1, 2)], r"_asdict\(\), got type .*Point at obj\[0\]"),
        ({"a": {(1, 2): 3}}, r"got type tuple as a key of obj\['a'\]"),
        ([np.array([None])], r"numpy.ndarray of dtype object at obj\[0\]"),
        ([np.zeros(2, "i4,f4")], r"at obj\[0\]"),
        ([1j], r"type complex at obj\[0\]"),
    ],
)
def test_other_objects_are_refused_by_place(obj, message, tmp_path):
    path = tmp_path / "x.ll"
    with pytest.raises(TypeError, match=message):
        save(obj, path)
    assert os.listdir(tmp_path) == []


def test_endless_structures_are_refused():
    loop = {"a": []}
    loop["a"].append(loop)
    with pytest.raises(ValueError, match=r"hold itself, got one at obj\['a'\]\[0\]"):
        dumps(loop)
    deep = []
    for _ in range(150):
        deep = [deep]
    with pytest.raises(ValueError, match="100 deep"):
        dumps(deep)
    twice = [1]
    assert round_trip([twice, twice]) == [[1], [1]]


def nested(levels):
    value = {"end": 1}
    for _ in range(levels):
        value = {"next": value}
    return value


def test_deep_structures_survive():
    assert round_trip(nested(99)) == nested(99)
