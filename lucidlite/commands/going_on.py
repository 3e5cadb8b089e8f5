"""Runs that go on: with which one and from where, and what is said when one is interrupted."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lucidlite.callsite import error
from lucidlite.commands.common import DEFAULTS, full_data, full_model, newest_run
from lucidlite.training.run_folder import newest_checkpoint
from lucidlite.training.settings import RUN, Settings
from lucidlite.training.signals import Stopped
from lucidlite.training.trainer import Trainer

# Settings that a run keeps when it goes on.
_KEPT = ("data", "model", "input", "epochs", "batch_size", "lr", "optimizer", "seed", "limit")


def family(data: str, model: str) -> str:
    """'sample-cnn-with-gap': the name of runs of this model on these data."""
    return f"{Path(data).name}-{model.rpartition(':')[2].lower()}"


def found(args: argparse.Namespace) -> tuple[Path, Path]:
    """The folder and the checkpoint to go on with: those named, or the newest that the options
    describe."""
    start: Path | None = None
    if args.resume and os.path.isfile(args.resume):
        start = Path(args.resume)
        folder = args.out or start.parent
    elif args.resume:
        folder = Path(args.resume)
    elif args.out is not None:
        folder = args.out
    elif args.data is None and args.model is None:
        folder = newest_run()
    else:
        name = family(args.data or DEFAULTS["data"], args.model or DEFAULTS["model"])
        folder = newest_run(pattern=f"{name}*")
    start = start or newest_checkpoint(folder)
    if not (folder / RUN).is_file() or start is None:
        missing = "checkpoint" if start is None else RUN
        raise error(
            FileNotFoundError, f"there is nothing to resume in {folder}: no {missing} in it"
        )
    return folder, start


def resumed(folder: Path, args: argparse.Namespace) -> Settings:
    """The settings of the run; ValueError for an option that contradicts them."""
    settings = Settings.load(folder)
    kept = dataclasses.asdict(settings)
    full = {"data": full_data, "model": full_model}
    for name in _KEPT:
        given = getattr(args, name)
        if given is not None and name in full:
            given = full[name](given)
        if given is not None and given != kept[name]:
            raise error(
                ValueError,
                f"--{name.replace('_', '-')} cannot change when a run goes on: {folder} has "
                f"{kept[name]}, got {given} (a new run takes another --out)",
            )
    if args.data_root is not None:
        settings.data_root = args.data_root
    return settings


def offer(folder: Path) -> Callable[[Path], str]:
    """What to type in order to go on from a checkpoint."""

    def command(path: Path) -> str:
        words = ["lucidlite", "train", "--resume", str(path)]
        return shlex.join(words if path.parent == folder else [*words, "--out", str(folder)])

    return command


def farewell(stop: Stopped, settings: Settings, folder: Path) -> str:
    return (
        f"Stopped in epoch {stop.epoch} of {settings.epochs} after batch {stop.batch} of "
        f"{stop.batches}.\nEverything is saved in {stop.path}; go on with\n"
        f"  lucidlite train --resume {shlex.quote(str(folder))}"
    )


def left(trainer: Trainer, folder: Path) -> str:
    """What to say when a second signal has ended the run."""
    if trainer.path is None:
        return "Stopped at once; there is no checkpoint to go on from."
    return (
        f"Stopped at once, without saving. {trainer.path} is whole; go on from there with\n"
        f"  lucidlite train --resume {shlex.quote(str(folder))}"
    )


def exit_code(number: int) -> int:
    """The exit code of a process that a signal has ended."""
    return 128 + number


def say(text: str, stream: Any = None) -> None:
    """Print. Where that fails training goes on: it is for its files, not for who reads along."""
    with suppress(OSError):
        print(text, file=stream, flush=True)


def drop_what_cannot_be_said() -> None:
    """At the end: a terminal that has gone, or a log on a full disk, is no failure of the run."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the interpreter would try again, and fail
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Say a warning as an error is said, without the line of our source that gave it."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"\nlucidlite train: warning: {str(message).splitlines()[0]}", sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
