"""Trainings that are killed (SIGKILL) and go on, over and over, held against one that wasn't.

    python tests/killed_runs.py --kills 200        at random moments
    python tests/killed_runs.py --each             at every step of every file that is written

A run's lives are forks of this process, so that an import is paid once. What a life does it says
through a pipe before and after it does it: after its end we know what it was doing, and which
checkpoints it had finished.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import io
import json
import os
import pickle
import random
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from training_cases import DrawnElsewhere, outcome, trainer

import lucidlite as torch
from lucidlite import files
from lucidlite.training import keeping, run_folder, steps
from lucidlite.training.checkpoint import read_checkpoint

KEEP = 2
# What may differ between runs: the order of loading, where the random numbers come from.
KINDS = (
    {},
    {"workers": 2},
    {"loader_generator": True, "shuffled_test": True},
    {"data": DrawnElsewhere},
)
SETTINGS = {"keep": KEEP}
_EVENT = struct.Struct("<ci")
NAMES = {
    b"o": "opening", b"w": "writing", b"h": "half written", b"W": "written", b"f": "syncing",
    b"F": "synced", b"r": "renaming", b"R": "renamed", b"u": "removing", b"U": "removed",
}  # fmt: skip


# -- a life ---------------------------------------------------------------------------------------


class Life:
    """In a child: tells the parent what happens, and dies at the event of a given number."""

    def __init__(self, pipe, die_at=None, pause=0.0):
        self.pipe, self.die_at, self.pause = pipe, die_at, pause
        self.count = 0
        self.watching = die_at is None  # whether events count yet

    def tell(self, kind, number=0):
        os.write(self.pipe, _EVENT.pack(kind, number))

    def at(self, kind):
        """A system call is about to be made, or has been."""
        self.tell(kind)
        if self.pause and kind not in b"whW":
            time.sleep(self.pause)
        if self.watching:
            self.count += 1
            if self.count == self.die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_files(self):
        """Put ourselves between the product and the system wherever a run writes."""
        life = self

        class Raw(io.FileIO):
            def write(self, data):
                data = memoryview(data).cast("B")
                half = len(data) // 2
                life.at(b"w")
                done = super().write(data[:half])
                life.at(b"h")
                done += super().write(data[half:])
                life.at(b"W")
                return done

        def opened(path, mode="r", *args, **options):
            if mode not in ("xb", "r+b"):
                return builtins.open(path, mode, *args, **options)
            life.at(b"o")
            raw = Raw(path, mode.replace("b", ""))
            return io.BufferedWriter(raw) if mode == "xb" else io.BufferedRandom(raw)

        def between(function, before, after):
            def call(*args, **options):
                life.at(before)
                result = function(*args, **options)
                life.at(after)
                return result

            return call

        for module in (files, run_folder, steps):
            module.open = opened
        os.fsync = between(os.fsync, b"f", b"F")
        os.replace = between(os.replace, b"r", b"R")
        os.unlink = between(os.unlink, b"u", b"U")

    def watch_run(self):
        """Tell when a checkpoint is begun and done, and where a run goes on."""
        life = self
        save, restore = run_folder.Checkpoints.save, keeping.Keeper.restore

        def saved(checkpoints, step, **more):
            life.tell(b"s", step)
            path = save(checkpoints, step, **more)
            life.tell(b"d", step)
            return path

        def restored(keeper, *args):
            state = restore(keeper, *args)
            life.tell(b"g", -1 if state is None else state["step"])
            return state

        run_folder.Checkpoints.save = saved
        keeping.Keeper.restore = restored

    def live(self, folder, seed, save_every, die_after, **kind):
        self.watch_files()
        self.watch_run()
        run = trainer(folder, seed=seed, save_every=save_every, **SETTINGS, **kind)
        torch.rand(seed % 7)  # elsewhere in the stream than the life before

        def stepped(*_):
            self.tell(b"t")
            if die_after is not None and run._recording.steps + 1 >= die_after:
                self.watching = True

        run.optimizer.register_step_post_hook(stepped)
        run.fit(resume="auto")
        self.tell(b"e", self.count)
        with open(folder.with_suffix(".outcome"), "wb") as file:
            pickle.dump(outcome(run), file)


class Story:
    """What a life told: the last of its events before the end, and its checkpoints."""

    def __init__(self, events, code):
        self.code = code
        self.began_at = next((n for kind, n in events if kind == b"g"), None)
        self.done = [n for kind, n in events if kind == b"d"]
        self.begun = [n for kind, n in events if kind == b"s"]
        self.count = next((n for kind, n in events if kind == b"e"), 0)
        self.last = events[-1][0] if events else b""
        self.events = events

    @property
    def saving(self):
        return len(self.begun) > len(self.done)

    @property
    def moment(self):
        """What the process was about when it ended."""
        if not self.saving:
            return "training" if self.began_at is not None else "starting"
        return "checkpoint: " + NAMES.get(self.last, "beginning")


def fork(folder, *, seed=5, kill_after=None, die_at=None, pause=0.0, save_every=0.0,
         die_after=None, after_events=0, **kind):  # fmt: skip
    """Let a run live in a child; returns its Story.

    It is killed some seconds after it has told so many events, from where its own number
    ``die_at`` kills it, or not at all.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            life = Life(writer, die_at, pause)
            life.watching = die_at is not None and die_after is None
            if die_at is None and die_after is None:
                life.watching = True  # only counted
            life.live(folder, seed, save_every, die_after, **kind)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    data, deadline = b"", None
    while True:
        if kill_after is not None and len(data) >= after_events * _EVENT.size:
            deadline, kill_after = time.monotonic() + kill_after, None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            deadline = None
            continue
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        data += chunk
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Story(list(_EVENT.iter_unpack(data[: len(data) // _EVENT.size * _EVENT.size])), code)


# -- what must hold -------------------------------------------------------------------------------


def finished(folder):
    """Everything a finished run leaves that must not depend on its lives."""
    with open(folder.with_suffix(".outcome"), "rb") as file:
        found = {"outcome": pickle.load(file)}
    last = read_checkpoint(run_folder.newest_checkpoint(folder))
    last["more"]["history"] = [row[:6] for row in last["more"]["history"]]
    found["checkpoint"] = flat({name: last[name] for name in ("parts", "more")} | {
        "generators": last["generators"]
    })  # fmt: skip
    found["best"] = (folder / "best.npz").read_bytes()
    for name, last_columns in (("metrics.csv", 2), ("steps.csv", 1)):
        lines = (folder / name).read_text().splitlines()
        found[name] = [line.split(",")[:-last_columns] for line in lines]
    # Which checkpoints there are besides the last one depends on how often they were written.
    names = os.listdir(folder)
    numbered = [name for name in names if name.startswith("checkpoint-")]
    check(len(numbered) == KEEP, "kept", sorted(numbered))
    found["files"] = [*sorted(set(names) - set(numbered)), max(numbered)]
    return found


def flat(value):
    """Data without what depends on the clock, arrays as bytes."""
    if isinstance(value, dict):
        return {key: flat(each) for key, each in value.items() if key != "seconds"}
    if isinstance(value, list | tuple):
        return [flat(each) for each in value]
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    return (str(value.dtype), value.shape, value.tobytes()) if hasattr(value, "dtype") else value


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(map(str, what)))


class Witness:
    """Looks at a run's folder after each of its lives."""

    def __init__(self, folder):
        self.folder = folder
        self.durable = set()  # steps of the checkpoints that a life has finished
        self.newest = None

    def look(self, story):
        check(story.code in (0, -signal.SIGKILL), "a life ended with", story.code)
        if story.began_at is not None:
            # Nothing is lost but what came after the newest checkpoint.
            expected = -1 if self.newest is None else self.newest
            check(story.began_at == expected, "went on from", story.began_at, "not", expected)
        self.durable.update(story.done)
        found = [int(path.stem[11:]) for path in run_folder.numbered(self.folder)]
        for path in run_folder.numbered(self.folder):
            read_checkpoint(path)  # whole, whatever its writer was about
        self.newest = found[-1] if found else None
        if self.durable:
            check(self.newest is not None, "no checkpoint")
            check(self.newest >= max(self.durable), "lost", max(self.durable), "has", found)
            kept = sorted(self.durable)[-KEEP:]
            # With one more that was on the disk when its writer was killed, the oldest may go.
            missing = set(kept) - set(found)
            more = set(found) - self.durable
            check(len(missing) <= len(more), "removed too early: had", kept, "has", found)
        check(len(found) <= KEEP + 1, "too many stay:", found)
        return [name for name in self.folder_files() if name.endswith(".tmp")]

    def folder_files(self):
        return sorted(os.listdir(self.folder)) if self.folder.is_dir() else []


def same(found, expected, what):
    for name, value in expected.items():
        check(found[name] == value, what, "differs in", name)


# -- the measures ---------------------------------------------------------------------------------


def random_kills(root, kills, seed):
    """Kill at random moments until there were ``kills``; returns what was seen."""
    rng = random.Random(seed)
    whole, seconds, events = {}, {}, {}
    moments, runs, left, lives = Counter(), 0, 0, []
    while sum(moments.values()) < kills:
        number, folder = runs % len(KINDS), root / f"run-{runs}"
        if number not in whole:
            began = time.monotonic()
            story = fork(root / f"whole-{number}", **KINDS[number])
            check(story.code == 0, "the whole run failed")
            seconds[number] = time.monotonic() - began
            events[number] = len(story.events)
            whole[number] = finished(root / f"whole-{number}")
        witness, lived = Witness(folder), 0
        while True:
            pause = rng.choice((0.0, 0.002))  # a slow disk
            # By the clock alone, which is the same for a run that others slow down; or after a
            # part of the way and a moment.
            after = 0 if rng.random() < 0.3 else rng.randrange(events[number] // 2)
            delay = rng.uniform(0.0, 0.002 if after else 0.4 * seconds[number])
            every = rng.choice((0.0, 0.0, 0.01))
            enough = sum(moments.values()) >= kills
            # Without a checkpoint it begins anew; else its own seed must not matter.
            fresh = witness.newest is None
            story = fork(
                folder, seed=5 if fresh else rng.randrange(10**6),
                kill_after=None if enough else delay, after_events=after,
                pause=0.0 if enough else pause, save_every=every, **KINDS[number],
            )  # fmt: skip
            left += bool(witness.look(story))
            lived += 1
            if story.code == 0:
                break
            moments[story.moment] += 1
        same(finished(folder), whole[number], f"run {runs} of {lived} lives")
        lives.append(lived)
        runs += 1
        shutil.rmtree(folder)
    saving = sum(n for moment, n in moments.items() if moment.startswith("checkpoint"))
    return {
        "kills": sum(moments.values()), "runs": runs, "most_lives": max(lives),
        "while_saving": saving, "left_a_temporary": left, "moments": dict(moments.most_common()),
    }  # fmt: skip


def each_step(root, writes, others):
    """Kill at the steps of every file from the middle of a run to its end.

    Steps are halves of writes, of which every so many is taken, and all else: opening, syncing,
    renaming and removing, of which every so many ``others`` are.
    """
    begin = root / "begin"
    whole = root / "whole"
    check(fork(whole).code == 0, "the whole run failed")
    expected = finished(whole)
    # A run that has what it keeps, and is near the end of an epoch: from there all kinds of
    # files are written. It is killed once and copied for each step.
    story = fork(begin, die_at=1, die_after=10)
    check(story.code == -signal.SIGKILL, "did not stop in the middle")
    shutil.copytree(begin, root / "count")
    kinds = [kind for kind, _ in fork(root / "count", save_every=1000.0).events if kind in NAMES]
    moments = Counter()
    of_writes = [number for number, kind in enumerate(kinds, 1) if kind in b"whW"]
    of_others = [number for number, kind in enumerate(kinds, 1) if kind not in b"whW"]
    numbers = sorted(of_writes[writes // 2 :: writes] + of_others[others // 2 :: others])
    for number in numbers:
        folder = root / f"at-{number}"
        shutil.copytree(begin, folder)
        witness = Witness(folder)
        witness.newest = int(run_folder.newest_checkpoint(folder).stem[11:])
        story = fork(folder, die_at=number, save_every=1000.0)
        check(story.code == -signal.SIGKILL, "was not killed at step", number)
        witness.look(story)
        moments[NAMES[story.last]] += 1
        story = fork(folder, seed=number, save_every=1000.0)
        check(not witness.look(story), "temporaries stay after step", number)
        same(finished(folder), expected, f"the run killed at step {number}")
        shutil.rmtree(folder)
    return {"steps": len(kinds), "killed_at": len(numbers), "moments": dict(moments)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--each", type=int, nargs="*", metavar="N",
        help="of the steps that are writes every Nth, of the others every Mth (default: 1 1)",
    )  # fmt: skip
    args = parser.parse_args()
    torch.set_num_threads(1)  # no threads where we fork
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        began = time.monotonic()
        found = {}
        if args.kills:
            found = random_kills(root, args.kills, args.seed)
        if args.each is not None:
            found |= each_step(root, *(args.each or (1, 1)))
        found["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
