"""Pickles that would run code, take all memory or never end: each is refused and does nothing."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from parity import TEST_ALL
from saving import loads
from torch_files import PROTO, items, name, number, numbers, program, pt, storage, tensor, text

from lucidlite.formats import pickles, torch_zip

SIX = np.arange(6, dtype=np.float32)
ORDERED = name("collections", "OrderedDict")


class Trap:
    """Unpickling it runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class ByState:
    """Unpickling it calls a method of its."""

    def __setstate__(self, state):
        os.system(state["command"])


class Made:
    """Making one runs a command."""

    def __new__(cls, command):
        os.system(command)
        return super().__new__(cls)


def short(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def programs(command):
    """Pickles that run a command when Python unpickles them, by instruction."""
    said, line = text(command), f"S'{command}'\n".encode()
    system = name(os.system.__module__, "system")
    shell = items(items(text("/bin/sh"), text("-c"), said))
    state = ByState()
    state.command = command
    eval_ = text(f"__import__('os').system({command!r})")
    return {
        **{f"protocol {p}": pickle.dumps([{"a": Trap(command)}], p) for p in range(6)},
        "REDUCE": program(system, items(said), b"R"),
        "REDUCE, protocol 0": b"cos\nsystem\n(" + line + b"tR.",
        "INST": b"(" + line + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + line + b"o.",
        "NEWOBJ": program(name(__name__, "Made"), items(said), b"\x81"),
        "NEWOBJ_EX": b"\x80\x04" + name(__name__, "Made") + items(said) + b"}\x92.",
        "a process": program(name("subprocess", "Popen"), shell, b"R"),
        "STACK_GLOBAL": b"\x80\x04" + short(os.system.__module__) + short("system") + b"\x93"
        + items(said) + b"R.",
        "a dotted name": b"\x80\x04" + short("os") + short("path.os.system") + b"\x93"
        + items(said) + b"R.",
        "BUILD": pickle.dumps(state, 2),
        "BUILD, protocol 4": pickle.dumps(state, 4),
        "EXT1": program(b"\x82\x07", items(said), b"R"),
        "EXT2": program(b"\x83\x07\x00", items(said), b"R"),
        "EXT4": program(b"\x84\x07\x00\x00\x00", items(said), b"R"),
        "eval": program(name("builtins", "eval"), items(eval_), b"R"),
        "eval of Python 2": program(name("__builtin__", "eval"), items(eval_), b"R"),
        "in a list in a dict": program(b"}", text("a"), b"]", system, items(said), b"Ras"),
        "taken off the stack again": program(system, items(said), b"R0", number(1)),
        "through the memo": program(system, b"q\x010h\x01", items(said), b"R"),
        "as a key": program(b"}", system, items(said), b"R", number(1), b"s"),
    }  # fmt: skip


def builtin_programs(command):
    """What only means something in a file of PyTorch's: names that it has, used to run things."""
    said = text(command)
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    system = name(os.system.__module__, "system")
    return {
        "a storage's type": program(items(text("storage"), system, text("0"), text("cpu"),
                                          number(6)), b"Q"),
        "a storage's name": program(items(text("storage"), name("torch", "FloatStorage"),
                                          system + items(said) + b"R", text("cpu"), number(6)),
                                    b"Q"),
        "hooks": program(tensor(hooks=ORDERED + b")R" + items(text("a"), system)[1:-1] + b"s")),
        "metadata": program(tensor(more=system + items(said) + b"R")),
        "the state of a dict": program(ORDERED, b")R}", text("__class__"), system, b"sb"),
        "the state of a name": program(rebuild, b"}", text("make"), system, b"sb"),
        "the state of a tensor": program(tensor(), b"}", text("data"), system, b"sb"),
        "two states": program(ORDERED, b")R", items(b"N", b"}" + text("x") + b"Ns"), b"b"),
        "a name's attribute": program(b"\x8c\x0ctorch._utils\x8c\x26_rebuild_tensor_v2.__globals__"
                                      b".__getitem\x93"),
        "a call of a type": program(name("torch", "FloatStorage"), b")R"),
        "a call of a dtype": program(name("torch", "float32"), b")R"),
        "a call of a dict": program(b"})R"),
        "a dict from items": program(ORDERED, items(b"]"), b"R"),
        "other names": program(name("torch", "load"), items(text("/etc/passwd")), b"R"),
        "a nested pickle": program(name("pickle", "loads"), items(text("x")), b"R"),
        "PyTorch's own": program(name("torch._utils", "_rebuild_wrapper_subclass"), b")R"),
        "a text id": b"Pstorage\n.",
    }  # fmt: skip


@pytest.fixture
def extension():
    copyreg.add_extension(os.system.__module__, "system", 7)
    yield
    copyreg.remove_extension(os.system.__module__, "system", 7)


KINDS = [*programs(""), *builtin_programs("")]


@pytest.mark.skipif(os.name != "posix", reason="the trap is a command of a POSIX shell")
@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs(tmp_path, kind):
    sprung = tmp_path / "sprung"
    command = f"touch {sprung}"
    hostile = {**programs(command), **builtin_programs(command)}[kind]
    for compression in (0, 8):
        with pytest.raises(RuntimeError, match="cannot read the file"):
            loads(pt(hostile, {"0": SIX}, compression=compression))
    with pytest.raises(RuntimeError, match="cannot read the file"):
        loads(hostile)
    assert not sprung.exists()


@pytest.mark.skipif(os.name != "posix", reason="the trap is a command of a POSIX shell")
@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("kind", programs(""))
def test_python_falls_for_them(tmp_path, kind):
    """What shows that the traps are traps."""
    sprung = tmp_path / "sprung"
    value = pickle.loads(programs(f"touch {sprung}")[kind])
    if hasattr(value, "wait"):
        value.wait()
    assert sprung.exists()


def test_the_name_is_in_the_error():
    with pytest.raises(RuntimeError, match=r"needs subprocess\.Popen,"):
        loads(pt(program(name("subprocess", "Popen"), b")R")))
    with pytest.raises(RuntimeError, match="the instruction INST,"):
        loads(pt(b"(ios\nsystem\n."))


# -- files that lie about sizes -------------------------------------------------------------------

LIES = {
    "a storage longer than its entry": program(tensor(storage(count=2**40), 0, (2**40,), (1,))),
    "a storage shorter than its entry": program(tensor(storage(count=5), 0, (5,), (1,))),
    "a negative count": program(tensor(storage(count=-6))),
    "a count that is no number": program(
        tensor(storage().replace(number(6) + b"t", b"G" + bytes(8) + b"t"))
    ),
    "a storage that isn't there": program(tensor(storage("7"))),
    "a way out of the folder": program(tensor(storage("../data/0"))),
    "a path": program(tensor(storage("/etc/passwd"))),
    "two types of one storage": program(items(tensor(), tensor(storage(kind="IntStorage")))),
    "an element after the end": program(tensor(None, 1)),
    "strides past the end": program(tensor(None, 0, (2, 3), (4, 1))),
    "an offset past the end": program(tensor(None, 7, (0,), (1,))),
    "a huge offset": program(tensor(None, 2**70, (1,), (1,))),
    "a negative offset": program(tensor(None, -1)),
    "a negative stride": program(tensor(None, 5, (2,), (-1,))),
    "a huge stride": program(tensor(None, 0, (2,), (2**62,))),
    "a negative size": program(tensor(None, 0, (-2, -3))),
    "a huge view of little": program(tensor(None, 0, (2**30, 2**30), (0, 0))),
    "a size of many digits": program(tensor(None, 0, (0, 2**3_000_000), (1, 2**3_000_000))),
    "a size beyond all numbers": program(tensor(None, 0, (2**62, 2**62, 4), (0, 0, 0))),
    "too few strides": program(tensor(None, 0, (2, 3), (1,))),
    "too many dims": program(tensor(None, 0, (1,) * 70, (1,) * 70)),
    "a size that is a list": program(tensor().replace(numbers(2, 3), b"]")),
    "a float as a size": program(tensor().replace(number(3), b"G" + struct.pack(">d", 3), 1)),
    "a gradient for no numbers": program(tensor(storage(kind="IntStorage"), grad=b"\x88")),
    "no bool for a gradient": program(tensor(grad=number(1))),
    "text of no length": program(b"X\xff\xff\xff\x7fabc"),
    "text of a huge length": program(b"\x8d" + struct.pack("<Q", 2**62) + b"abc"),
    "a number of a huge length": program(b"\x8b\xff\xff\xff\x7f1"),
    "a number of a negative length": program(b"\x8b\xff\xff\xff\xff1"),
    "a frame of a huge length": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"(tR.",
    "an empty stack": program(b"R"),
    "a tuple of nothing": program(b"\x87"),
    "no mark": program(b"t"),
    "an open mark": program(b"(", number(1)),
    "two values": program(number(1), number(2)),
    "no value": program(),
    "no end": PROTO + number(1),
    "an unknown place in the memo": program(b"h\x05"),
    "items for a number": program(number(1), b"(", number(1), b"e"),
    "half an item": program(b"}(", number(1), b"u"),
    "a name alone": program(ORDERED),
    "a storage's type alone": program(items(name("torch", "FloatStorage"))),
    "a storage alone": program(b"]", storage(), b"a"),
    "nothing": b"",
    "text": b"hello, world",
    "a key that is a list": program(b"}]", number(1), b"s"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused(lie):
    tracemalloc.start()
    try:
        with pytest.raises(RuntimeError, match="cannot read the file"):
            loads(pt(LIES[lie], {"0": SIX}))
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


MANY = 5_000_000 if TEST_ALL else 60_000
BOMBS = {
    "doubled tuples": (program(b")", b"q\x00h\x00\x86" * 60), "unfolds to more than"),
    "doubled lists": (program(b"(]", b"q\x00](h\x00h\x00e" * 60, b"t"), "unfolds to more than"),
    "doubled dicts": (
        program(b"(}", (b"q\x00}(" + number(1) + b"h\x00" + number(2) + b"h\x00u") * 60, b"t"),
        "unfolds to more than",
    ),
    "deep lists": (program(b"]" * 20_000 + b"a" * 19_999), "nest more than 100 deep"),
    "deep tuples": (program(b")", b"\x85" * 40_000), "nest more than 100 deep"),
    "deep marks": (program(b"(" * 20_000 + b"t" * 20_000), "nest more than 100 deep"),
    "a list in itself": (program(b"]q\x00h\x00a"), "holds itself"),
    "a dict in itself": (program(b"}q\x00", text("me"), b"h\x00s"), "holds itself"),
    "a tuple in itself": (program(b"]q\x00h\x00\x85a"), "holds itself"),
    "a circle of versions": (
        program(ORDERED, b")Rq\x00}", text("_metadata"), b"h\x00sb"), "table of versions|itself"
    ),
    "numbers with one hash": (
        program(b"}(", *(number(k * (2**61 - 1)) + b"N" for k in range(1, 5000)), b"u"), "the key"
    ),
    "many tensors": (
        program(
            b"(", name("torch._utils", "_rebuild_tensor_v2"), b"q\x00",
            items(storage(), number(0), numbers(1), numbers(1), b"\x89", b"N"), b"q\x01R",
            b"h\x00h\x01R" * (40_000 if TEST_ALL else 600), b"t",
        ),
        "more than .* tensors",
    ),
    "many instructions": (program(b"(", b"N" * MANY, b"t"), "more than .* instructions"),
    "much text": (b"\x80\x02(" + text("x" * (1 << 17)) * 1100 + b"t.", "longer than"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused(bomb, monkeypatch):
    if not TEST_ALL:  # the true limits take seconds to reach
        monkeypatch.setattr(pickles, "_MOST", 50_000)
        monkeypatch.setattr(torch_zip, "_MOST_TENSORS", 500)
    tracemalloc.start()
    try:
        with pytest.raises(RuntimeError, match=rf"cannot read the file, .*{BOMBS[bomb][1]}"):
            loads(pt(BOMBS[bomb][0], {"0": SIX}))
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()


def test_parameters_count_as_tensors(monkeypatch):
    monkeypatch.setattr(torch_zip, "_MOST_TENSORS", 20)
    made = name("torch._utils", "_rebuild_parameter") + b"q\x01" + items(tensor(), b"\x88", b"N")
    with pytest.raises(RuntimeError, match="more than 20 tensors"):
        loads(pt(program(b"(", made, b"q\x02R", b"h\x01h\x02R" * 30, b"t"), {"0": SIX}))


def test_errors_quote_files_with_care():
    hostile = program(name("evil\x1b[2J" + "x" * 5000, "f"), b")R")
    with pytest.raises(RuntimeError, match=r"needs evil\?\[2Jx") as caught:
        loads(pt(hostile))
    assert len(str(caught.value)) < 1500


# -- zips that lie --------------------------------------------------------------------------------


def test_compressed_entries_are_refused():
    """They could unfold to far more than the file holds."""
    zeros = np.zeros(1 << 22, np.float32)
    stored = storage(count=zeros.size)
    data = pt(program(tensor(stored, 0, (zeros.size,), (1,))), {"0": zeros}, compression=8)
    assert len(data) < 100_000
    with pytest.raises(RuntimeError, match="compression that is never written"):
        loads(data)


def test_two_pickles_and_two_names_are_refused():
    with pytest.raises(RuntimeError, match=r"2 entries are called data\.pkl"):
        loads(pt(program(b"N"), entries=[("other/data.pkl", program(b"N"))]))
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = pt(program(b"N"), entries=[("weights/version", b"4")])
    with pytest.raises(RuntimeError, match="two entries have one name"):
        loads(data)


def test_entries_over_one_another_count_together():
    """Each storage is the next one's header and content: together they are longer than the file."""
    entries, inner = [], bytes(10_000)
    for i in range(60, 0, -1):
        entry = f"weights/data/{i:05}".encode()
        header = struct.pack(
            "<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(inner), len(inner), len(inner),
            len(entry), 0,
        )  # fmt: skip
        assert len(inner) % 4 == len(header + entry) % 4 == 0
        entries.append((entry, header, inner))
        inner = header + entry + inner
    parts = [
        tensor(storage(entry[-5:].decode(), count=len(held) // 4), 0, (1,), (1,))
        for entry, _, held in entries
    ]
    whole = pt(program(items(*parts)))
    end = whole.index(b"PK\1\2")
    front, directory, last = whole[:end], whole[end:-22], whole[-22:]
    for entry, header, held in entries:
        place = end + len(inner) - len(held) - len(header + entry)
        directory += b"PK\1\2" + struct.pack("<H", 20) + header[4:] + bytes(10)
        directory += struct.pack("<I", place) + entry
    count = struct.pack("<H", int.from_bytes(last[8:10], "little") + len(entries)) * 2
    last = last[:8] + count + struct.pack("<II", len(directory), end + len(inner)) + last[20:]
    data = front + inner + directory + last
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.getinfo("weights/data/00001").file_size > len(inner) - 100
    with pytest.raises(RuntimeError, match=r"a size or compression that is never|Overlapped"):
        loads(data)


@pytest.mark.parametrize("order", [b"middle", b"", b"little\n"])
def test_an_unknown_byte_order_is_refused(order):
    with pytest.raises(RuntimeError, match="byte order"):
        loads(pt(program(b"N"), byteorder=order))
