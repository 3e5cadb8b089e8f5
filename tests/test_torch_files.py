"""Reading what torch.save wrote: values, views, memory that is shared, and what is not read."""

from __future__ import annotations

import io
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from saving import loads, same
from torch_files import items, name, number, numbers, program, pt, state, storage, tensor, text

import lucidlite
from lucidlite import nn

SIX = np.arange(6, dtype=np.float32)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="writes files with PyTorch")


def saved(torch, value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def read(torch, value, **options):
    return loads(saved(torch, value, **options))


# -- without PyTorch ------------------------------------------------------------------------------


def test_a_state_dict():
    values = {"conv.weight": SIX.reshape(2, 3), "scale": np.float32(2.5), "none": np.zeros((0, 4))}
    back = loads(state(values))
    assert type(back) is OrderedDict
    assert list(back) == list(values)
    assert back._metadata == {"": {"version": 1}}
    for key, value in values.items():
        assert back[key].dtype is lucidlite.float32
        assert back[key].shape == np.shape(value)
        np.testing.assert_array_equal(back[key].numpy(), value)
        assert not back[key].requires_grad
        assert back[key].is_leaf
    model = nn.Linear(3, 2, bias=False)
    model.load_state_dict({"weight": back["conv.weight"]})
    assert model.weight.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (2, 3), (3, 1)), (0, (3, 2), (1, 3)), (1, (2, 2), (3, 1)), (5, (), ()),
        (0, (4,), (0,)), (0, (2, 0), (9, 9)), (6, (0,), (1,)), (0, (2, 2, 3), (0, 3, 1)),
        (0, (1, 6), (999, 1)), (0, (4, 3), (1, 1)),
    ],
)  # fmt: skip
def test_views_have_their_strides(offset, size, stride):
    back = loads(pt(program(tensor(None, offset, size, stride)), {"0": SIX}))
    steps = [4 * s for s in stride]
    expected = np.lib.stride_tricks.as_strided(SIX[offset:], size, steps)
    assert back.shape == size
    np.testing.assert_array_equal(back.numpy(), expected)


def test_tensors_of_one_storage_share_memory():
    first = tensor(None, 0, (6,), (1,)) + b"q\x01"
    pair = pt(program(items(first, tensor(None, 2, (2,), (1,)), b"h\x01")), {"0": SIX})
    whole, part, again = loads(pair)
    assert whole is again
    part.fill_(9)
    assert whole.tolist() == [0, 1, 9, 9, 4, 5]
    assert whole._version == part._version == 1


@pytest.mark.parametrize(("order", "code"), [(b"little", "<f4"), (b"big", ">f4"), (None, "<f4")])
def test_byte_order(order, code):
    back = loads(pt(program(tensor()), {"0": SIX.astype(code)}, byteorder=order))
    np.testing.assert_array_equal(back.numpy(), SIX.reshape(2, 3))


def test_bfloat16_becomes_float32():
    bits = np.array([0x3F80, 0xC020, 0x7F80, 0x0001, 0x8000], "<u2")
    stored = storage(kind="BFloat16Storage", count=5)
    back = loads(pt(program(tensor(stored, 0, (5,), (1,))), {"0": bits}))
    assert back.dtype is lucidlite.float32
    np.testing.assert_array_equal(back.numpy(), [1, -2.5, np.inf, 2.0**-133, -0.0])


def test_other_bytes_of_a_bool_are_true():
    stored = storage(kind="BoolStorage", count=4)
    back = loads(pt(program(tensor(stored, 0, (4,), (1,))), {"0": b"\x00\x01\x02\xff"}))
    assert back.numpy().view(np.uint8).tolist() == [0, 1, 1, 1]


def test_map_location():
    data = pt(program(tensor(storage(where="cuda:97"))), {"0": SIX})
    rule = r"cuda:97, which is not available.*map_location='cpu'"
    with pytest.raises(RuntimeError, match=rule) as caught:
        loads(data)
    assert str(caught.value).count("\n  at ") == 1
    assert loads(data, map_location="cpu").device.type == "cpu"
    with pytest.raises(RuntimeError, match="belong on mps"):
        loads(pt(program(tensor(storage(where="mps"))), {"0": SIX}))


def test_tensors_go_to_their_device(cuda):
    for where, location in (("cuda:0", None), ("cpu", cuda)):
        stored = storage(where=where)
        both = items(tensor(stored), tensor(stored, 3, (3,), (1,)))
        whole, part = loads(pt(program(both), {"0": SIX}), map_location=location)
        assert whole.device.type == part.device.type == "cuda"
        part.zero_()
        assert whole.tolist() == [[0, 1, 2], [0, 0, 0]]


# -- written by PyTorch ---------------------------------------------------------------------------

DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4)])
def test_dtypes_and_shapes(torch, dtype, shape):
    values = (torch.randn(shape) * 3).to(getattr(torch, dtype))
    back = read(torch, values)
    expected = values.float() if dtype == "bfloat16" else values
    assert back.dtype is getattr(lucidlite, "float32" if dtype == "bfloat16" else dtype)
    assert back.numpy().tobytes() == expected.numpy().tobytes()
    assert back.shape == shape


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values(torch, protocol):
    value = {
        "epoch": 3, 5: [1, 2.5, -(2**70), None], "both": (True, False, "é\n", ()),
        None: {1.5: "x" * 300}, "big": list(range(3000)), True: 1,
        "order": OrderedDict(b=1, a=OrderedDict()), "names": {str(i): i for i in range(2000)},
    }  # fmt: skip
    back = read(torch, value, pickle_protocol=protocol)
    assert back == value
    assert repr(back) == repr(value)
    assert [type(v) for v in back.values()] == [type(v) for v in value.values()]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_training_checkpoint(torch, protocol):
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 4))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        optimizer.zero_grad()
        theirs(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        schedule.step()
    parts = {"model": theirs, "optimizer": optimizer, "schedule": schedule}
    content = {key: part.state_dict() for key, part in parts.items()} | {"epoch": 3, "best": 0.5}
    back = read(torch, content, pickle_protocol=protocol)
    assert (back["epoch"], back["best"]) == (3, 0.5)
    ours = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4))
    ours.load_state_dict(back["model"])
    adam = lucidlite.optim.Adam(ours.parameters(), lr=0.01)
    adam.load_state_dict(back["optimizer"])
    # One more step of both is the same.
    x = torch.randn(5, 3)
    optimizer.zero_grad()
    theirs(x).square().sum().backward()
    optimizer.step()
    adam.zero_grad()
    ours(lucidlite.from_numpy(x.numpy())).square().sum().backward()
    adam.step()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), 1e-5, 1e-6)


def test_parameters_and_views(torch):
    base = torch.arange(24.0).reshape(2, 3, 4)
    value = {
        "parameter": torch.nn.Parameter(base.clone()),
        "frozen": torch.nn.Parameter(base.clone(), requires_grad=False),
        "leaf": base.clone().requires_grad_(),
        "base": base, "transposed": base.transpose(0, 2), "part": base[:, 1, ::2],
        "expanded": torch.ones(3, 1).expand(3, 5), "last": base[1, 2, 3],
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }  # fmt: skip
    back = read(torch, value)
    for key, expected in value.items():
        np.testing.assert_array_equal(back[key].detach().numpy(), expected.detach().numpy())
        assert back[key].requires_grad == expected.requires_grad
        assert back[key].is_leaf
    back["base"].zero_()
    assert not back["transposed"].any()
    assert not back["part"].any()
    assert not back["last"].any()
    assert back["parameter"].any()


def test_tied_weights_stay_tied(torch):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    theirs[1].weight = theirs[0].weight
    back = read(torch, theirs.state_dict())
    back["0.weight"].zero_()
    assert not back["1.weight"].any()


def test_what_is_read_is_saved_here(torch, tmp_path):
    value = {"model": torch.nn.Linear(2, 3).state_dict(), "epoch": 1, "betas": (0.9, 0.999)}
    path = tmp_path / "checkpoint.npz"
    lucidlite.save(read(torch, value), path)
    back = lucidlite.load(path)
    assert same(back, {**read(torch, value), "model": dict(read(torch, value)["model"])})


# -- what PyTorch writes and is not read ----------------------------------------------------------


def refused(torch):
    class Net(torch.nn.Module):
        pass

    globals()["Net"] = Net  # where pickle finds it
    Net.__module__, Net.__qualname__ = __name__, "Net"
    return [
        (torch.nn.Linear(2, 2), r"whole model.*torch\.nn\.modules\.linear\.Linear.*state_dict\(\)"),
        (torch.nn.Sequential(), r"whole model.*Sequential.*weights_only=False\)\.state_dict\(\)"),
        (Net(), r"needs test_torch_files\.Net.*state_dict\(\)"),
        (torch.ones(2, dtype=torch.complex64), r"torch\.ComplexFloatStorage.*dtype.*convert"),
        (torch.zeros(2, dtype=torch.uint16), r"tensors of torch\.uint16.*convert"),
        (torch.zeros(2).to(torch.float8_e4m3fn), r"tensors of torch\.float8_e4m3fn.*convert"),
        (torch.ones(2).to_sparse(), r"needs torch\._utils\._rebuild_sparse_tensor"),
        (torch.ones(2).untyped_storage(), "UntypedStorage by itself"),
        ({"where": torch.device("cpu")}, r"needs torch\.device"),
        ({1, 2}, r"needs __builtin__\.set"),
        (b"bytes", r"needs _codecs\.encode"),
        (np.float64(3), r"needs numpy\._?core\.(_)?multiarray\.scalar"),
        (print, r"needs __builtin__\.print"),
        ({(1, 2): 3}, "key of type tuple"),
        ({2**64: 3}, "key 0x1000"),
        (torch.ones(1).expand(1 << 21), r"of 2097152 elements.*view of 1.*contiguous"),
    ]


@pytest.mark.parametrize("case", range(16))
def test_other_objects_are_refused_by_name(torch, case, tmp_path):
    value, message = refused(torch)[case]
    path = tmp_path / "model.pt"
    path.write_bytes(saved(torch, value))
    with pytest.raises(RuntimeError, match=rf"(?s){message}.*model\.pt"):
        lucidlite.load(path)


def test_other_kinds_of_file(torch, tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match=r"before version 1\.6.*torch\.save.*old\.pth"):
        lucidlite.load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is on its way out
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    with pytest.raises(RuntimeError, match=r"TorchScript.*state_dict.*old\.pth"):
        lucidlite.load(path)


@pytest.mark.parametrize(
    "part",
    [
        number(3), numbers(1, 2), text("x"), b"N", b"\x88", b"]", b"}",
        name("torch", "float32"), name("torch", "int64"),
    ],
)  # fmt: skip
def test_any_value_may_be_the_whole(part):
    assert loads(pt(program(part))) in (3, (1, 2), "x", None, True, [], {}, lucidlite.float32,
                                        lucidlite.int64)  # fmt: skip
