"""Files as torch.save writes them, made by hand: of honest pickles and of hostile ones."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np


def pt(program, storages=(), folder="weights", byteorder=b"little", compression=0, entries=()):
    """A zip of the bytes of a pickle and of storages by name (bytes, or arrays)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr(zipfile.ZipInfo(f"{folder}/data.pkl"), program, compression)
        if byteorder is not None:
            archive.writestr(zipfile.ZipInfo(f"{folder}/byteorder"), byteorder)
        for name, data in dict(storages).items():
            data = data if isinstance(data, bytes) else np.asarray(data).tobytes()
            archive.writestr(zipfile.ZipInfo(f"{folder}/data/{name}"), data, compression)
        archive.writestr(zipfile.ZipInfo(f"{folder}/version"), b"3\n")
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


# -- pickles, an instruction at a time ------------------------------------------------------------

PROTO, STOP = b"\x80\x02", b"."


def name(module, qualname):
    return f"c{module}\n{qualname}\n".encode()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return pickle.dumps(value, 2)[2:-1]


def items(*parts):
    """A tuple of what the parts push."""
    return b"(" + b"".join(parts) + b"t"


def numbers(*values):
    return items(*map(number, values))


def storage(key="0", kind="FloatStorage", count=6, where="cpu"):
    parts = text("storage"), name("torch", kind), text(key), text(where), number(count)
    return items(*parts) + b"Q"


def tensor(stored=None, offset=0, size=(2, 3), stride=(3, 1), grad=b"\x89", hooks=None, more=b""):
    """The instructions of one tensor."""
    hooks = name("collections", "OrderedDict") + b")R" if hooks is None else hooks
    parts = storage() if stored is None else stored, number(offset), numbers(*size)
    arguments = items(*parts, numbers(*stride), grad, hooks, more)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def program(*parts):
    return PROTO + b"".join(parts) + STOP


def state(values):
    """The file of an OrderedDict of float32 arrays, with the attribute that PyTorch's have."""
    parts, storages = [name("collections", "OrderedDict"), b")R("], {}
    for i, (key, array) in enumerate(values.items()):
        array = np.asarray(array, np.float32)
        steps = [s // 4 for s in np.zeros(array.shape, np.float32).strides]
        stored = storage(str(i), "FloatStorage", array.size)
        parts += [text(key), tensor(stored, 0, array.shape, steps)]
        storages[str(i)] = array
    metadata = name("collections", "OrderedDict") + b")R(" + text("")
    metadata += b"}" + text("version") + number(1) + b"su"
    parts += [b"u", b"}", text("_metadata"), metadata, b"s", b"b"]
    return pt(program(*parts), storages)
