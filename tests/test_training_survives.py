"""Training where something goes wrong: full disks, folders that may not be written, signals."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from test_cli import ROOT, TRAIN, lucidlite, same_arrays, start
from training_cases import TINY_MODEL, outcome, trainer, write_folder

from lucidlite import files
from lucidlite.training import DamagedCheckpoint, NotSaved, Stopped, StoppedAtOnce, run_folder
from lucidlite.training.run_folder import held, newest_checkpoint, numbered

pty = pytest.importorskip("pty", reason="what these tests do to a process is POSIX's")
resource = pytest.importorskip("resource")

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def expected():
    run = trainer()
    run.fit()
    return outcome(run)


def temporaries(folder):
    return [path.name for path in folder.rglob("*.tmp")]


class Disk:
    """The system's fsync, which fails as on a full disk while ``full`` says so."""

    def __init__(self, monkeypatch):
        self.full = False
        self.calls = 0
        real = os.fsync

        def fsync(descriptor):
            self.calls += 1
            if self.full:
                raise FULL
            real(descriptor)

        monkeypatch.setattr(files.os, "fsync", fsync)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """The system's folder for temporary files."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


# -- the trainer: disks ---------------------------------------------------------------------------


def test_training_goes_on_where_a_checkpoint_cannot_be_written(tmp_path, disk, expected):
    run = trainer(tmp_path, save_every=0.0)
    seen = []

    def watch(*_):
        seen.append(1)
        disk.full = 3 <= len(seen) < 9  # over the end of the first epoch

    run.optimizer.register_step_post_hook(watch)
    with pytest.warns(RuntimeWarning) as warned:
        run.fit()
    assert sum("steps.csv can't be written" in str(each.message) for each in warned) == 1
    texts = [str(each.message) for each in warned if "checkpoint" in str(each.message)]
    assert len(texts) == 7  # steps 3 to 8, and the end of the first epoch
    assert texts[0] == (
        f"could not save {tmp_path / 'checkpoint-00000003.npz'}: No space left on device; "
        "checkpoint-00000002.npz is whole and stays; training goes on and tries again at the next "
        "checkpoint"
    )
    assert outcome(run) == expected
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 4
    assert not temporaries(tmp_path)


def test_the_last_state_goes_elsewhere_where_it_must(tmp_path, monkeypatch, elsewhere, expected):
    folder = tmp_path / "run"
    run = trainer(folder)
    real = files.os.replace

    def replace(source, target):
        if Path(target).parent == folder and len(run.history) == 3:
            raise FULL
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(NotSaved) as caught:
        run.fit()
    monkeypatch.undo()
    problem = caught.value
    assert problem.rescued.parent.parent == elsewhere
    assert problem.errno == errno.ENOSPC
    assert f"it is in {problem.rescued} instead" in str(problem)
    assert f"fit(resume={str(problem.rescued)!r}) goes on from there" in str(problem)
    assert run.path.name == "checkpoint-00000012.npz"
    assert not temporaries(folder)
    assert outcome(run) == expected  # nothing is wrong with the run in memory
    again = trainer(folder, seed=9)
    again.fit(resume=problem.rescued)
    assert outcome(again) == expected
    assert again.path.name == "checkpoint-00000018.npz"  # and now it is where it belongs
    assert len((folder / "metrics.csv").read_text().splitlines()) == 4


def test_no_room_anywhere(tmp_path, disk, elsewhere, expected):
    folder = tmp_path / "run"
    run = trainer(folder)
    run.model.register_forward_hook(
        lambda *_: setattr(disk, "full", len(run.history) == 2 and not run.model.training)
    )
    with (
        pytest.warns(RuntimeWarning, match=r"steps\.csv can't be written"),
        pytest.raises(NotSaved, match="No space left on device; checkpoint-00000012") as caught,
    ):
        run.fit()
    assert caught.value.rescued is None
    assert list(elsewhere.iterdir()) == []
    disk.full = False
    again = trainer(folder, seed=9)
    again.fit(resume=True)
    assert outcome(again) == expected


@pytest.mark.usefixtures("elsewhere")
def test_a_stop_that_cannot_be_saved(tmp_path, disk, expected):
    run = trainer(tmp_path / "run")

    def stop(*_):
        if run._recording.steps == 7:
            disk.full = True
            signal.raise_signal(signal.SIGTERM)

    run.optimizer.register_step_post_hook(stop)
    with (
        pytest.warns(RuntimeWarning, match=r"steps\.csv can't be written"),
        pytest.raises(NotSaved, match=r"checkpoint-00000008\.npz: No space left on device"),
    ):
        run.fit()
    disk.full = False
    again = trainer(tmp_path / "run", seed=9)
    again.fit(resume=True)
    assert outcome(again) == expected


@pytest.mark.parametrize("name", ["best.npz", "metrics.csv"])
def test_results_that_cannot_be_written(tmp_path, monkeypatch, expected, name):
    """The checkpoint is there, and whatever was missing is written when there is room."""
    real = files.os.replace
    full = True

    def replace(source, target):
        if full and Path(target).name == name:
            raise FULL
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    run = trainer(tmp_path)
    with (
        pytest.warns(RuntimeWarning, match=f"could not save .*{name}: No space left") as warned,
        pytest.raises(NotSaved, match=f"could not save .*{name}"),
    ):
        run.fit()
    assert len(warned) == 2
    full = False
    again = trainer(tmp_path, seed=4)
    again.fit(resume=True)
    assert outcome(again) == expected
    assert (tmp_path / name).exists()
    assert not temporaries(tmp_path)


def test_a_full_disk_is_found_before_training(tmp_path, disk):
    disk.full = True
    run = trainer(tmp_path)
    run.optimizer.register_step_pre_hook(lambda *_: pytest.fail("training has begun"))
    with pytest.raises(OSError, match="No space left on device"):
        run.fit()
    assert numbered(tmp_path) == []
    disk.full = False
    trainer(tmp_path).fit()
    disk.full = True
    with pytest.raises(OSError, match=r"could not save .*best\.npz: No space left on device"):
        trainer(tmp_path).fit(resume=True)


def test_a_disk_with_little_room_is_told_of_before_training(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    run = trainer(tmp_path)
    run.optimizer.register_step_pre_hook(lambda *_: signal.raise_signal(signal.SIGINT))
    text = r"room for 0\.02 MB, and a checkpoint may take 0\.\d"
    with pytest.warns(RuntimeWarning, match=text), pytest.raises(Stopped):
        run.fit()


def test_a_folder_that_cannot_be_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match=r"the folder of the run cannot be made, .*file"):
            trainer(folder).fit()
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path, monkeypatch):
    def refuse(path, _):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("lucidlite.training.run_folder.open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"nothing can be written .*: Permission denied"):
        trainer(tmp_path).fit()
    assert list(tmp_path.iterdir()) == []


# -- the trainer: which run -----------------------------------------------------------------------


def test_a_run_is_not_begun_over_another(tmp_path, expected):
    run = trainer(tmp_path)
    run.fit()
    with pytest.raises(ValueError, match=r"holds a run already: fit\(resume=True\) goes on"):
        trainer(tmp_path).fit()
    assert outcome(trainer_that_went_on(tmp_path, "auto")) == expected


@pytest.mark.parametrize("resume", [False, "auto"])
def test_the_best_weights_are_not_begun_over(tmp_path, resume):
    """Who has removed the checkpoints of a run that is done has kept best.npz."""
    trainer(tmp_path).fit()
    for path in numbered(tmp_path):
        path.unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"has the best\.npz of a run whose checkpoints are gone"):
        trainer(tmp_path, seed=6).fit(resume)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def trainer_that_went_on(folder, resume):
    run = trainer(folder, seed=8)
    run.fit(resume)
    return run


def test_auto_begins_or_goes_on(tmp_path, expected):
    run = trainer(tmp_path)
    run.optimizer.register_step_post_hook(
        lambda *_: run._recording.steps == 8 and signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(Stopped):
        run.fit(resume="auto")
    assert outcome(trainer_that_went_on(tmp_path, "auto")) == expected


def test_going_back_and_on(tmp_path, expected):
    """From an older checkpoint: best.npz and metrics.csv go back with it."""
    run = trainer(tmp_path, keep=None)
    run.fit()
    best = (tmp_path / "best.npz").read_bytes()
    again = trainer(tmp_path, seed=2, keep=None)
    again.optimizer.register_step_post_hook(lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Stopped):
        again.fit(resume=tmp_path / "checkpoint-00000006.npz")
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2
    assert again.path.name == "checkpoint-00000007.npz"
    assert len(list(tmp_path.glob("*.aside"))) == 2
    assert outcome(trainer_that_went_on(tmp_path, True)) == expected
    assert (tmp_path / "best.npz").read_bytes() == best


def test_two_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    with held(tmp_path), pytest.raises(RuntimeError, match="another process is training in"):
        trainer(tmp_path).fit()
    trainer(tmp_path).fit()


def test_generators_that_are_not_ours(tmp_path):
    from training_cases import DrawnElsewhere

    whole = trainer(tmp_path / "whole", data=DrawnElsewhere)
    whole.fit()
    run = trainer(tmp_path / "run", data=DrawnElsewhere)
    stops = []

    def stop(model, *_):  # within the second evaluation
        stops.append(1)
        if not model.training and len(stops) == 17:
            signal.raise_signal(signal.SIGINT)

    run.model.register_forward_hook(stop)
    with pytest.raises(Stopped, match="in epoch 2 after batch 6 of 6"):
        run.fit()
    again = trainer(tmp_path / "run", seed=99, data=DrawnElsewhere)
    again.fit(resume=True)
    assert outcome(again) == outcome(whole)


def test_a_shuffled_test_set_with_its_own_generator(tmp_path):
    whole = trainer(tmp_path / "whole", shuffled_test=True)
    whole.fit()
    run = trainer(tmp_path / "run", shuffled_test=True)
    stops = []

    def stop(model, *_):
        stops.append(1)
        if not model.training and len(stops) == 17:
            signal.raise_signal(signal.SIGINT)

    run.model.register_forward_hook(stop)
    with pytest.raises(Stopped):
        run.fit()
    again = trainer(tmp_path / "run", seed=99, shuffled_test=True)
    again.test_loader.generator.manual_seed(77)
    again.fit(resume=True)
    assert outcome(again) == outcome(whole)


# -- the trainer: signals -------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 7, 12])
def test_a_signal_during_a_save(tmp_path, monkeypatch, expected, step):
    """The save is finished, and the run stops."""
    run = trainer(tmp_path, save_every=0.0)
    real = os.fsync

    def fsync(descriptor):
        real(descriptor)
        if run._recording.steps == step and not stopped:
            stopped.append(1)
            signal.raise_signal(signal.SIGINT)

    stopped = []
    monkeypatch.setattr(files.os, "fsync", fsync)
    if step == 0:  # before signals are caught: a plain interrupt, while nothing is there to lose
        with pytest.raises(KeyboardInterrupt):
            run.fit()
    else:
        with pytest.raises(Stopped):
            run.fit()
    monkeypatch.undo()
    assert not temporaries(tmp_path)
    fresh = not numbered(tmp_path)
    again = trainer(tmp_path, seed=5 if fresh else 6)
    again.fit(resume="auto")
    assert outcome(again) == expected


def test_a_second_signal_during_a_save(tmp_path, monkeypatch, expected):
    """It ends there: the save is given up, and the checkpoint before is what there is."""
    run = trainer(tmp_path, save_every=0.0)
    real = os.fsync

    def fsync(descriptor):
        if run._recording.steps == 9:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(StoppedAtOnce) as caught:
        run.fit()
    monkeypatch.undo()
    assert caught.value.signal == signal.SIGTERM
    assert run.path.name == "checkpoint-00000008.npz"
    assert not temporaries(tmp_path)
    again = trainer(tmp_path, seed=6)
    again.fit(resume=True)
    assert outcome(again) == expected


# -- the command line -----------------------------------------------------------------------------

WAITING = """
        while self.training and not pathlib.Path("go").exists():
            pathlib.Path("started").touch()
            time.sleep(0.01)
        return self.head"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, a model, one of the same arithmetic that waits, and a finished run."""
    root = tmp_path_factory.mktemp("survives")
    write_folder(root / "images")
    (root / "tiny.py").write_text(TINY_MODEL)
    waiting = TINY_MODEL.replace("\n        return self.head", WAITING)
    (root / "slow.py").write_text(f"import pathlib\nimport time\n{waiting}")
    done = lucidlite(root, *TRAIN, "--out", "done", "--no-plots")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return root


SLOW = [word.replace("tiny.py", "slow.py") for word in (*TRAIN, "--no-plots")]


@pytest.fixture
def waiting(place):
    """Start a run that waits in its first batch; it is let go by the file ``go``."""

    def begin(name, **options):
        for flag in ("go", "started"):
            (place / flag).unlink(missing_ok=True)
        process = (options.pop("by", start))(place, *SLOW, "--out", name, **options)
        while not (place / "started").exists():
            assert process.poll() is None
            time.sleep(0.02)
        return process

    return begin


def goes_on_as(place, name):
    resumed = lucidlite(place, "train", "--resume", name, "--no-plots", "--device", "cpu")
    assert resumed.returncode == 0, resumed.stderr
    same_arrays(*(newest_checkpoint(place / each) for each in ("done", name)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_it_at_once(place, waiting, number):
    name = f"twice-{int(number)}"
    process = waiting(name)
    process.send_signal(number)
    while b"Stopping after this batch" not in os.read(process.stderr.fileno(), 1 << 16):
        pass
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Stopped at once, without saving" in err
    assert f"{Path(name, 'checkpoint-00000000.npz')} is whole; go on from there with" in err
    assert f"  lucidlite train --resume {name}\n" in err
    assert "Traceback" not in err
    assert not temporaries(place / name)
    (place / "go").touch()
    goes_on_as(place, name)


def test_killed(place, waiting):
    process = waiting("killed")
    process.kill()
    process.communicate()
    (place / "go").touch()
    goes_on_as(place, "killed")


def test_the_terminal_goes(place, waiting):
    """Somebody closes the window, or the connection drops: saved, and exit code 129."""
    master, slave = pty.openpty()

    def on_a_terminal(folder, *words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        return subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *words], cwd=folder, env=environment,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip

    process = waiting("gone", by=on_a_terminal)
    os.close(slave)
    os.close(master)
    (place / "go").touch()
    assert process.wait(timeout=60) == 129
    assert newest_checkpoint(place / "gone").name != "checkpoint-00000000.npz"
    assert not temporaries(place / "gone")
    goes_on_as(place, "gone")


TAKE_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from lucidlite.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_log_on_a_full_disk(place):
    """Nothing that is printed can be written, from the start: the run is done all the same."""
    with open("/dev/full", "w") as log:
        process = subprocess.run(
            [sys.executable, "-m", "lucidlite", *TRAIN, "--no-plots", "--out", "unread"], cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
        )  # fmt: skip
    assert process.returncode == 0
    same_arrays(*(newest_checkpoint(place / each) for each in ("done", "unread")))


def test_nobody_reads_along(place):
    """As under ``| head -1``: a run is for its files."""
    process = start(place, *TRAIN, "--no-plots", "--out", "piped")
    assert "parameters" in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    same_arrays(*(newest_checkpoint(place / each) for each in ("done", "piped")))


def one_line(process, *texts):
    """The command has failed with exit code 2 and one line that says these."""
    assert process.returncode == 2, process.stderr
    lines = process.stderr.strip().splitlines()
    assert lines[-1].startswith("lucidlite train: error: ")
    assert "Traceback" not in process.stderr
    for text in texts:
        assert text in lines[-1]
    return lines


def test_a_damaged_checkpoint(place):
    shutil.copytree(place / "done", place / "damaged folder")
    newest = newest_checkpoint(place / "damaged folder")
    os.truncate(newest, newest.stat().st_size // 2)
    previous = numbered(place / "damaged folder")[-2].relative_to(place)
    process = lucidlite(place, "train", "--resume", "damaged folder", "--no-plots")
    command = f"lucidlite train --resume '{previous}'"
    lines = one_line(process, newest.name, "truncated or damaged", f"{command} goes on from there")
    assert len(lines) == 1
    process = lucidlite(place, "train", "--resume", str(previous), "--no-plots", "--device", "cpu")
    assert process.returncode == 0, process.stderr
    assert f"going on from {previous.name} in damaged folder" in process.stdout
    same_arrays(*(newest_checkpoint(place / each) for each in ("done", "damaged folder")))


def test_a_folder_that_cannot_be_made(place):
    one_line(
        lucidlite(place, *TRAIN, "--out", "tiny.py"),
        "the folder of the run cannot be made, tiny.py: File exists",
    )
    if sys.platform == "linux":  # nobody makes folders there, the superuser neither
        one_line(
            lucidlite(place, *TRAIN, "--out", "/sys/lucidlite"),
            "the folder of the run cannot be made, /sys/lucidlite: ",
        )


# A user without rights may not read where Python is installed: first everything gets imported.
GIVE_UP_RIGHTS = """
import contextlib, io, os, sys, tempfile
from lucidlite.cli import main
if os.geteuid() == 0:
    words = sys.argv[1].split(";")
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as out:
        assert main([*words, "--epochs", "1", "--limit", "6", "--out", out]) == 0
    os.setuid(65534)
sys.exit(main(sys.argv[2:]))
"""


def test_no_permission(place):
    """As a user who may read everything and write nothing; the superuser has to become one."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(place / "images", folder / "images")
        shutil.copy(place / "tiny.py", folder)
        assert lucidlite(folder, *TRAIN, "--no-plots", "--out", "done").returncode == 0
        run = folder / "done"
        for path in (folder, run):
            path.chmod(0o555)
        before = {path.name: path.read_bytes() for path in run.iterdir()}

        def without_rights(*words):
            return subprocess.run(
                [sys.executable, "-c", GIVE_UP_RIGHTS, ";".join([*TRAIN, "--no-plots"]), *words],
                cwd=folder, text=True, capture_output=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

        process = without_rights("train", "--resume", "done", "--no-plots", "--device", "cpu")
        one_line(process, "nothing can be written in the folder of the run, done: Permission")
        process = without_rights(*TRAIN, "--no-plots")
        one_line(process, "the folder of the run cannot be made, runs/images-tiny: Permission")
        assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    finally:
        for path in (folder, folder / "done"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_files_that_may_not_grow(place):
    """A limit of the system on the size of files stands for a quota."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (26_000, 26_000))

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-m", "lucidlite", *TRAIN, "--no-plots", "--out", "quota"], cwd=place,
        env=environment, preexec_fn=limited, text=True, capture_output=True,
    )  # fmt: skip
    lines = one_line(process, "could not save quota/checkpoint-00000024.npz: File too large")
    assert lines[0].startswith("lucidlite train: warning: could not save quota/checkpoint-0000000")
    assert process.stdout.count("train loss") == 3  # and it was trained to the end
    assert [path.name for path in numbered(place / "quota")] == ["checkpoint-00000000.npz"]
    assert not temporaries(place / "quota")
    goes_on_as(place, "quota")


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, as the superuser"
)
def test_a_disk_that_is_full(place):
    small = place / "small"
    small.mkdir()

    def mount(*words):
        return subprocess.run(["mount", *words, str(small)], capture_output=True).returncode == 0

    if not mount("-t", "tmpfs", "-o", "size=40k", "tmpfs"):
        pytest.skip("may not mount a small disk")
    try:
        process = lucidlite(place, *TRAIN, "--no-plots", "--out", "small/run")
        one_line(process, "checkpoint-00000024.npz: No space left on device", "it is in ")
        words = process.stderr.partition("instead, ")[2].partition(" goes on from there")[0].split()
        assert words[:3] == ["lucidlite", "train", "--resume"]
        assert words[4:] == ["--out", "small/run"]
        rescued = Path(words[3])
        assert newest_checkpoint(small / "run").name == "checkpoint-00000000.npz"
        assert not temporaries(small)
        # Still full: what was there is not touched.
        before = newest_checkpoint(small / "run").read_bytes()
        one_line(lucidlite(place, *words[1:], "--no-plots"), "No space left on device")
        assert newest_checkpoint(small / "run").read_bytes() == before
        assert mount("-o", "remount,size=10m")
        process = lucidlite(place, *words[1:], "--no-plots", "--device", "cpu")
        assert process.returncode == 0, process.stderr
        same_arrays(*(newest_checkpoint(place / each) for each in ("done", "small/run")))
        shutil.rmtree(rescued.parent)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_damage_is_an_error_of_its_own():
    assert issubclass(DamagedCheckpoint, RuntimeError)
    assert issubclass(NotSaved, OSError)
    assert issubclass(StoppedAtOnce, KeyboardInterrupt)
