"""save and load by path and by stream, and saves that are stopped in the middle."""

from __future__ import annotations

import errno
import io
import os
import stat

import numpy as np
import pytest

from lucidlite import files
from lucidlite.files import atomic_write
from lucidlite.formats import arrays
from lucidlite.serialization import load, save

# -- paths ---------------------------------------------------------------------------------------


def test_the_path_is_used_as_given(tmp_path):
    for name in ("a", "b.pt", "c.npz"):
        save([1], tmp_path / name)
        assert load(str(tmp_path / name)) == [1]
    assert sorted(os.listdir(tmp_path)) == ["a", "b.pt", "c.npz"]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ll"):
        load(tmp_path / "nowhere.ll")
    with pytest.raises(FileNotFoundError, match="folder of the file must exist"):
        save(1, tmp_path / "no" / "x.ll")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        load(tmp_path)
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        save(1, tmp_path)


def test_files_must_be_binary(tmp_path):
    path = tmp_path / "x.ll"
    path.write_text("hello")
    with open(path) as file, pytest.raises(TypeError, match="binary mode"):
        load(file)


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes and links")
def test_mode_and_link_survive(tmp_path):
    real, link = tmp_path / "real.ll", tmp_path / "best.ll"
    save(1, real)
    assert stat.S_IMODE(real.stat().st_mode) & 0o600 == 0o600
    real.chmod(0o640)
    link.symlink_to(real)
    save(2, link)
    assert link.is_symlink()
    assert load(real) == 2
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_device_is_written_not_replaced():
    with pytest.raises(OSError, match="No space left"):
        save(np.zeros(100000), "/dev/full")
    assert not os.path.isfile("/dev/full")


class Pipe(io.RawIOBase):
    """A stream that cannot seek, as a socket."""

    def __init__(self, data=b""):
        self.data = bytearray(data)

    def readable(self):
        return True

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)

    def read(self, size=-1):
        size = len(self.data) if size is None or size < 0 else size
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken


def test_streams_that_cannot_seek():
    pipe = Pipe()
    save({"a": np.arange(5)}, pipe)
    np.testing.assert_array_equal(load(pipe)["a"], np.arange(5))


# -- stopped in the middle -----------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_the_old_file_survives_a_failed_save(tmp_path, monkeypatch, where, failure):
    path = tmp_path / "best.ll"
    save({"epoch": 1}, path)

    def fail(*args, **_):
        if where == "write":
            args[0].write(b"half of ")
        raise failure

    if where == "write":
        monkeypatch.setattr(arrays.npy, "write_array", fail)
    else:
        monkeypatch.setattr(files.os, where, fail)
    with pytest.raises(type(failure)):
        save({"epoch": 2, "data": np.zeros(1000)}, path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["best.ll"]
    assert load(path) == {"epoch": 1}


@pytest.mark.parametrize(
    "problem",
    [OSError(errno.ENOSPC, "No space"), PermissionError(errno.EACCES, "Denied", "itself")],
)
def test_what_cannot_be_written_is_named(tmp_path, monkeypatch, problem):
    def fail(temporary, _):
        if problem.filename == "itself":
            problem.filename = temporary
        raise problem

    monkeypatch.setattr(files.os, "replace", fail)
    path = os.path.realpath(tmp_path / "best.ll")
    with pytest.raises(type(problem)) as caught:
        save(1, path)
    rule = f"save: the file must be writable ({problem.strerror}), got {path!r}"
    assert str(caught.value).splitlines()[0] == rule
    assert __file__ in str(caught.value)
    assert caught.value.errno == problem.errno
    assert os.listdir(tmp_path) == []


def test_another_error_in_the_block_stays_what_it_is(tmp_path):
    with pytest.raises(ConnectionError, match=r"^gone$"), atomic_write(tmp_path / "x"):
        raise ConnectionError("gone")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    real_open = os.open

    def refuse_folders(path, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "cannot open a folder")
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(files.os, "open", refuse_folders)
    save([1], tmp_path / "x.ll")
    assert load(tmp_path / "x.ll") == [1]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_syncing_is_no_error(tmp_path, monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", refuse)
    save([1], tmp_path / "x.ll")
    assert load(tmp_path / "x.ll") == [1]
    assert os.listdir(tmp_path) == ["x.ll"]


def test_the_data_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (order.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(
        files.os, "replace", lambda a, b: (order.append("replace"), real_replace(a, b))
    )
    save([1], tmp_path / "x.ll")
    assert order[:2] == ["fsync", "replace"]


@pytest.mark.parametrize("path", [3, None, ["x.ll"]])
def test_other_paths_are_refused(path):
    with pytest.raises(TypeError, match="save: path should be"):
        save(1, path)
    with pytest.raises(TypeError, match="load: path should be"):
        load(path)
