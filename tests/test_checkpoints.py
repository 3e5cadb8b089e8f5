"""Numbered checkpoints: which stay, and what is said of those that cannot be read or written.

LUCIDLITE_TEST_ALL=1 damages every byte of one, otherwise some.
"""

from __future__ import annotations

import errno
import os
import random

import numpy as np
import pytest
from killed_runs import flat
from parity import TEST_ALL
from training_cases import outcome, trainer

import lucidlite as torch
from lucidlite import files, nn
from lucidlite.training import Checkpoint, Checkpoints, DamagedCheckpoint, NotSaved, run_folder
from lucidlite.training.checkpoint import read_checkpoint
from lucidlite.training.run_folder import newest_checkpoint, numbered
from lucidlite.utils.data import DataLoader, Dataset


def parts(seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    return Checkpoint(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def saved(folder, steps=(1, 2, 3, 4), keep=3):
    found = Checkpoints(folder, parts(), keep)
    for step in steps:
        with torch.no_grad():
            found.checkpoint.parts["model"].weight.fill_(step)
        found.save(step, epoch=step // 2)
    return found


def weight(checkpoints):
    return checkpoints.checkpoint.parts["model"].weight[0, 0].item()


# -- which there are ------------------------------------------------------------------------------


def test_the_newest_stay(tmp_path):
    found = saved(tmp_path)
    assert names(tmp_path) == [f"checkpoint-0000000{step}.npz" for step in (2, 3, 4)]
    assert found.paths() == numbered(tmp_path)
    assert newest_checkpoint(tmp_path) == found.path_of(4)
    again = Checkpoints(tmp_path, parts(seed=1))
    assert again.resume() == {"step": 4, "epoch": 2}
    assert weight(again) == 4


def test_all_stay_or_one(tmp_path):
    assert len(saved(tmp_path / "all", keep=None).paths()) == 4
    assert len(saved(tmp_path / "one", keep=1).paths()) == 1
    with pytest.raises(ValueError, match="at least 1 or None, got keep=0"):
        Checkpoints(tmp_path, parts(), 0)


def test_numbers_are_numbers(tmp_path):
    """More than eight digits, files of other names, and a folder that isn't there."""
    found = Checkpoints(tmp_path / "run", parts(), keep=2)
    assert found.paths() == []
    assert found.resume() is None
    for step in (99_999_998, 99_999_999, 100_000_000):
        found.save(step)
    for name in ("checkpoint-12.npz", "checkpoint-00000009.npz.aside", "checkpoint-x.npz"):
        (tmp_path / "run" / name).write_bytes(b"mine")
    assert [path.stem for path in found.paths()] == [
        "checkpoint-99999999", "checkpoint-100000000",
    ]  # fmt: skip
    assert found.resume() == {"step": 100_000_000}


def test_a_step_again_replaces_its_file(tmp_path):
    found = saved(tmp_path)
    found.save(4, epoch=7)
    assert found.resume() == {"step": 4, "epoch": 7}
    assert len(found.paths()) == 3


def test_a_run_that_is_further_is_not_overwritten(tmp_path):
    saved(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fresh = Checkpoints(tmp_path, parts())
    with pytest.raises(ValueError, match=r"further: save after step=1 beside checkpoint-00000004"):
        fresh.save(1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("step", [4, 5, 100])
def test_another_run_is_neither_replaced_nor_removed(tmp_path, step):
    """A loop that forgot to resume, and whose first save is at the step of the old run's last, or
    behind it: that would replace, or with keep=1 remove, what was never read."""
    saved(tmp_path, keep=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fresh = Checkpoints(tmp_path, parts(), keep=1)
    with pytest.raises(ValueError, match=rf"holds a run already: save after step={step} beside"):
        fresh.save(step)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert fresh.resume() == {"step": 4, "epoch": 2}
    fresh.save(step)
    assert names(tmp_path) == [f"checkpoint-{step:08d}.npz"]


def test_there_are_no_steps_below_none(tmp_path):
    """Such a file would have a name that nothing finds again."""
    with pytest.raises(ValueError, match="save after step=0 or later, got step=-1"):
        Checkpoints(tmp_path, parts()).save(-1)
    assert names(tmp_path) == []


def test_what_was_set_aside_stays(tmp_path):
    """Going back twice: what the first time left is not replaced by what the second leaves."""
    found = saved(tmp_path)
    courses = []
    for course in range(3):
        found.resume(found.path_of(2))
        found.save(3, course=course)
        courses.append(found.path_of(3).read_bytes())
    found.resume(found.path_of(2))
    for number, content in enumerate(courses, 2):
        aside = tmp_path / f"checkpoint-00000003.npz.{number}.aside"
        assert aside.read_bytes() == content
    assert read_checkpoint(tmp_path / "checkpoint-00000003.npz.aside")["more"]["epoch"] == 1
    assert [path.name for path in found.paths()] == ["checkpoint-00000002.npz"]


def test_a_file_without_a_step_changes_nothing(tmp_path):
    other = parts()
    other.save(tmp_path / "mine.npz", epoch=3)
    found = saved(tmp_path / "run")
    with pytest.raises(RuntimeError, match=r"mine\.npz must say after which step it was saved"):
        found.resume(tmp_path / "mine.npz")
    assert weight(found) == 4
    assert len(found.paths()) == 3


def test_an_older_one_sets_the_newer_aside(tmp_path):
    found = saved(tmp_path)
    assert found.resume(found.path_of(2)) == {"step": 2, "epoch": 1}
    assert weight(found) == 2
    assert names(tmp_path) == [
        "checkpoint-00000002.npz", "checkpoint-00000003.npz.aside", "checkpoint-00000004.npz.aside",
    ]  # fmt: skip
    found.save(3)
    assert [path.name for path in found.paths()] == [
        "checkpoint-00000002.npz", "checkpoint-00000003.npz",
    ]  # fmt: skip


def test_other_parts_and_generators(tmp_path):
    checkpoint = parts()
    own = torch.Generator().manual_seed(3)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    wide = Checkpoint(
        checkpoint.parts["model"], checkpoint.parts["optimizer"], scaler=scaler, own=own
    )
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    own.raw(5)
    wide.save(tmp_path / "a.npz")

    def draws():
        elsewhere = np.random.rand(3).tolist(), random.random()
        return elsewhere, torch.rand(3).tolist(), own.raw(1).item()

    expected = draws()
    np.random.standard_normal()  # leaves half of a pair behind
    random.gauss(0, 1)
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0})
    wide.load(tmp_path / "a.npz")
    assert draws() == expected
    assert scaler.get_scale() == 8.0
    with pytest.raises(TypeError, match="has state_dict and load_state_dict, got ema=float"):
        Checkpoint(checkpoint.parts["model"], checkpoint.parts["optimizer"], ema=0.9)

    class OneWay:
        def load_state_dict(self, state):
            raise AssertionError(state)

    with pytest.raises(TypeError, match="has state_dict and load_state_dict, got ema=OneWay"):
        Checkpoint(checkpoint.parts["model"], checkpoint.parts["optimizer"], ema=OneWay())


class _Killed(Exception):
    pass


def gathered(folder, seed=0, fails_at=None):
    """A loop that makes one step of three batches, as docs/train-overnight.md says: it saves after
    the step. Returns the bits it ends with."""

    class Noisy(Dataset):
        def __len__(self):
            return 44

        def __getitem__(self, index):
            image = torch.full((2, 9, 7), index / 44) + 0.1 * torch.randn(2, 9, 7)
            return (image if torch.rand(1).item() < 0.5 else image.flip(2)), index % 3

    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(),
        nn.Linear(16, 3), nn.Dropout(0.3),
    )  # fmt: skip
    device = model[0].weight.device
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(Noisy(), batch_size=5, shuffle=True, num_workers=2)
    found = Checkpoints(folder, Checkpoint(model, optimizer, loader=loader), keep=1)
    state = found.resume() or {"step": 0, "epoch": 0}
    step = state["step"]
    for epoch in range(state["epoch"], 3):
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            loss = nn.functional.cross_entropy(model(images), labels) / 3
            loss.backward()
            step += 1
            if step == fails_at:
                raise _Killed
            if step % 3 == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                found.save(step, epoch=epoch)
    return flat(model.state_dict()), step


def test_gradients_of_several_batches(tmp_path):
    """A convolutional network with all that it draws from, ended within epochs and steps."""
    expected = gathered(tmp_path / "whole")
    for seed, batch in enumerate((4, 8, 17, 19, 25)):  # the seed counts where it begins
        with pytest.raises(_Killed):
            gathered(tmp_path / "ended", seed, fails_at=batch)
    assert gathered(tmp_path / "ended", seed=9) == expected
    assert expected[1] == 27
    assert gathered(tmp_path / "other", seed=9) != expected


# -- what a killed save leaves --------------------------------------------------------------------


def test_leftovers_go_and_others_stay(tmp_path):
    saved(tmp_path)
    ours = tmp_path / ".checkpoint-00000005.npz.0123456789abcdef.tmp"
    others = [".0123456789abcdef.tmp", ".mine.npz.0123456789abcdef.tmp", ".checkpoint-00000005.tmp"]
    for name in (ours.name, *others):
        (tmp_path / name).write_bytes(b"half")
    Checkpoints(tmp_path, parts()).resume()
    assert not ours.exists()
    assert set(others) < set(names(tmp_path))
    ours.write_bytes(b"half")
    again = Checkpoints(tmp_path, parts())
    again.resume()
    again.save(9)
    assert not ours.exists()
    first = tmp_path / "new" / ours.name
    first.parent.mkdir()
    first.write_bytes(b"half")
    Checkpoints(first.parent, parts()).save(9)
    assert names(first.parent) == ["checkpoint-00000009.npz"]


def test_a_leftover_that_will_not_go_is_no_reason_to_stop(tmp_path):
    folder = tmp_path / ".checkpoint-00000005.npz.0123456789abcdef.tmp"
    (folder / "mine").mkdir(parents=True)
    assert saved(tmp_path).path_of(4).exists()
    assert (folder / "mine").exists()


def test_nothing_goes_before_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    """The order in which a power cut must find things: data, name, and then the removal."""
    found = saved(tmp_path)
    order = []

    def spy(module, name, title):
        real = getattr(module, name)

        def call(target, *more):
            order.append(title(target))
            return real(target, *more)

        monkeypatch.setattr(module, name, call)

    def what(descriptor):
        return "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"

    spy(files.os, "fsync", lambda fd: f"sync {what(fd)}")
    spy(files.os, "replace", lambda _: "rename")
    spy(files.os, "unlink", lambda path: f"remove {os.path.basename(path)}")
    found.save(5)
    if os.path.isdir("/proc/self/fd"):
        assert order == ["sync file", "rename", "sync folder", "remove checkpoint-00000002.npz"]
    else:
        assert order[-1] == "remove checkpoint-00000002.npz"


# -- damage ---------------------------------------------------------------------------------------


def refused(folder, damage):
    """Damage the newest; what is said of it must name it and the one before."""
    found = saved(folder)
    newest = found.path_of(4)
    damage(newest)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    again = Checkpoints(folder, parts(seed=1))
    own = weight(again)
    with pytest.raises(DamagedCheckpoint) as caught:
        again.resume()
    assert weight(again) == own  # nothing was changed
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    problem = caught.value
    assert (problem.path, problem.previous, problem.steps_back) == (newest, found.path_of(3), 1)
    assert "checkpoint-00000004.npz" in str(problem)
    offer = f"checkpoint-00000003.npz is whole: resume({str(found.path_of(3))!r}) goes on from"
    assert offer in str(problem)
    assert again.resume(problem.previous) == {"step": 3, "epoch": 1}
    assert weight(again) == 3
    return problem.why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"not ours at all", "it was not written by lucidlite"),
        (b"PK\x03\x04 a zip, it seems", "truncated or damaged"),
    ],
)
def test_foreign_bytes(tmp_path, content, why):
    assert why in refused(tmp_path, lambda path: path.write_bytes(content))


def test_foreign_files(tmp_path):
    def weights(path):
        torch.save({"weight": torch.ones(2)}, path)

    def later(path):
        content = torch.load(path)
        torch.save({**content, "version": 99}, path)

    def folder(path):
        path.unlink()
        path.mkdir()

    assert "is no training checkpoint" in refused(tmp_path / "weights", weights)
    assert "its version is 99, not 1" in refused(tmp_path / "later", later)
    assert "a file name is needed" in refused(tmp_path / "folder", folder)


def test_cut_short(tmp_path):
    size = saved(tmp_path / "whole").path_of(4).stat().st_size
    rng = random.Random(0)
    for number in range(400 if TEST_ALL else 12):
        length = rng.randrange(1, size)
        why = refused(tmp_path / str(number), lambda path, n=length: os.truncate(path, n))
        assert "truncated or damaged" in why or "was not written" in why, length


def test_bytes_that_changed(tmp_path):
    """A flipped bit is noticed, or says nothing: what is read is what was written."""
    path = saved(tmp_path).path_of(4)
    whole = path.read_bytes()
    expected = flat(read_checkpoint(path))
    rng = random.Random(1)
    places = range(len(whole)) if TEST_ALL else rng.sample(range(len(whole)), 300)
    noticed = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except RuntimeError as problem:
            noticed += path.name in str(problem)
        else:
            assert flat(found) == expected, place
    assert noticed > 0.8 * len(places)


def test_whole_blocks_that_changed(tmp_path):
    """What a failing disk does: a block of zeros, or of another file."""
    path = saved(tmp_path).path_of(4)
    whole = path.read_bytes()
    expected = flat(read_checkpoint(path))
    rng = random.Random(2)
    for _ in range(300 if TEST_ALL else 30):
        start, length = rng.randrange(len(whole)), rng.choice((16, 512, 4096))
        block = bytes(length) if rng.random() < 0.5 else rng.randbytes(length)
        damaged = whole[:start] + block + whole[start + length :]
        path.write_bytes(damaged[: len(whole)])
        try:
            found = read_checkpoint(path)
        except RuntimeError:
            continue
        assert flat(found) == expected, (start, length)


def test_the_newest_that_is_whole_is_offered(tmp_path):
    found = saved(tmp_path)
    for step in (3, 4):
        os.truncate(found.path_of(step), 100)
    with pytest.raises(DamagedCheckpoint) as caught:
        found.resume()
    assert (caught.value.previous, caught.value.steps_back) == (found.path_of(2), 2)
    os.truncate(found.path_of(2), 100)
    with pytest.raises(DamagedCheckpoint, match="no checkpoint before it in") as caught:
        found.resume()
    assert caught.value.previous is None


def test_damage_of_a_file_of_another_name(tmp_path):
    found = saved(tmp_path / "run")
    copy = tmp_path / "copy.npz"
    copy.write_bytes(found.path_of(4).read_bytes()[:100])
    with pytest.raises(DamagedCheckpoint) as caught:
        found.resume(copy)
    assert (caught.value.previous, caught.value.steps_back) == (found.path_of(4), 0)


def test_another_model_is_no_damage(tmp_path):
    saved(tmp_path)
    model = nn.Linear(5, 2)
    other = Checkpoint(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        Checkpoints(tmp_path, other).resume()
    assert not isinstance(caught.value, DamagedCheckpoint)


def test_the_trainer_offers_its_argument(tmp_path):
    whole = trainer(tmp_path)
    whole.fit()
    expected = outcome(whole)
    os.truncate(whole.path, 1000)
    again = trainer(tmp_path, seed=6)
    with pytest.raises(DamagedCheckpoint) as caught:
        again.fit(resume=True)
    previous = caught.value.previous
    assert previous.name == "checkpoint-00000012.npz"
    assert f"fit(resume={str(previous)!r}) goes on from there" in str(caught.value)
    again.fit(resume=str(previous))
    assert outcome(again) == expected
    assert names(tmp_path) == [
        "best.npz", "checkpoint-00000006.npz", "checkpoint-00000012.npz", "checkpoint-00000018.npz",
        "checkpoint-00000018.npz.aside", "metrics.csv", "steps.csv",
    ]  # fmt: skip


# -- files that cannot be written -----------------------------------------------------------------


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_save_that_fails_leaves_what_was(tmp_path, monkeypatch):
    found = saved(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(NotSaved) as caught:
        found.save(5)
    problem = caught.value
    assert problem.errno == errno.ENOSPC
    assert (problem.path, problem.newest) == (found.path_of(5), found.path_of(4))
    text = f"could not save {found.path_of(5)}: No space left on device"
    assert str(problem).startswith(f"{text}; checkpoint-00000004.npz is whole and stays")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    found.save(5)
    assert found.resume() == {"step": 5}


def test_a_folder_that_has_gone_is_a_save_that_failed(tmp_path, monkeypatch):
    """A drive that was unplugged: the trainer catches NotSaved, and saves elsewhere."""
    found = saved(tmp_path / "run")

    def gone(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(run_folder.os, "listdir", gone)
    with pytest.raises(NotSaved, match=r"could not save .*-00000005\.npz: Input/output") as caught:
        found.save(5)
    assert (caught.value.path, caught.value.newest) == (found.path_of(5), None)
    monkeypatch.undo()
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    (tmp_path / "run").write_bytes(b"no folder")
    with pytest.raises(NotSaved, match="the folder of the run cannot be made"):
        found.save(5)


def test_the_oldest_that_cannot_go_is_tried_again(tmp_path, monkeypatch):
    found = saved(tmp_path)
    monkeypatch.setattr(files.os, "unlink", full)
    found.save(5)
    assert len(found.paths()) == 4
    monkeypatch.undo()
    found.save(6)
    assert len(found.paths()) == 3
