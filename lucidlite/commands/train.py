"""``lucidlite train``."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path

from lucidlite.callsite import error
from lucidlite.commands.common import (
    RUNS,
    add_data_options,
    add_device_option,
    build,
    device_of,
    new_settings,
    positive,
    shape,
)
from lucidlite.commands.going_on import (
    drop_what_cannot_be_said,
    exit_code,
    family,
    farewell,
    found,
    left,
    offer,
    resumed,
    say,
    warnings_in_a_line,
)
from lucidlite.commands.results import REPORT, Warned, write_results
from lucidlite.optim.lr_scheduler import OneCycleLR
from lucidlite.sampling import manual_seed
from lucidlite.tables import share
from lucidlite.training.build import PEAKS, make_loader, make_optimizer
from lucidlite.training.keeping import BEST, holds_results
from lucidlite.training.metrics import EpochRow
from lucidlite.training.progress import Progress
from lucidlite.training.run_folder import held, newest_checkpoint, writable_folder
from lucidlite.training.settings import Settings
from lucidlite.training.signals import Stopped
from lucidlite.training.sources import Source, find_source
from lucidlite.training.tensorboard import EventFile, can_record, settings_shown
from lucidlite.training.trainer import Trainer
from lucidlite.watching import watch

EXAMPLES = """examples:
  lucidlite train                                   5 epochs on the digits in the package
  lucidlite train --data cifar10 --download --model resnet8
  lucidlite train --data photos/ --model net.py:Net --epochs 20 --lr 1e-3
  lucidlite train --resume runs/sample-cnn-with-gap  go on where Ctrl-C or a crash ended it

The folder of a run gets checkpoint-STEPS.npz (the newest few), best.npz (the weights with the best
test accuracy: model.load_state_dict(lucidlite.load(...)) takes them), metrics.csv and steps.csv,
run.json, report.html, with matplotlib curves.png and predictions.png, and with tensorboard its
events: tensorboard --logdir runs. A run that goes on, after Ctrl-C or kill -9, ends
with the same bits as one that was never interrupted, on the same machine with the same number of
threads.

exit code: 0 done; 2 an error, said in one line; 130, 143 or 129 stopped by Ctrl-C, SIGTERM or the
end of the terminal.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument(
        "--input", metavar="C,H,W", type=shape,
        help="show images to the model in this shape (default: what suits model and data)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", metavar="N", type=positive,
        help="passes over the data (default: 5; cifar10: 10)",
    )  # fmt: skip
    parser.add_argument("--batch-size", metavar="N", type=positive, help="default: 64")
    parser.add_argument(
        "--lr", metavar="RATE", type=_rate,
        help="peak of the one-cycle schedule (default: 5e-3; sgd: 0.1)",
    )  # fmt: skip
    parser.add_argument("--optimizer", choices=list(PEAKS), help="default: adam")
    add_device_option(parser)
    parser.add_argument("--seed", metavar="N", type=int, help="default: 0")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path,
        help="where the run is written (default: runs/DATA-MODEL, numbered if that is taken)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", metavar="N", type=int, default=0, help="threads that load images (default: 0)"
    )
    parser.add_argument(
        "--resume", metavar="FOLDER", nargs="?", const="",
        help="go on with the run in FOLDER, by default the newest in runs/, or from a checkpoint "
        "in it; the run's own settings count",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="N", type=positive, default=3,
        help="how many of the newest checkpoints stay (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--save-every", metavar="SECONDS", type=_seconds, default=300.0,
        help="a checkpoint as often as this, and after every epoch (default: 300)",
    )  # fmt: skip
    parser.add_argument(
        "--no-plots", action="store_true", help="write no report.html and no pictures at the end"
    )
    parser.add_argument(
        "--tensorboard", action=argparse.BooleanOptionalAction,
        help="write events for TensorBoard, or don't (default: if its package is installed)",
    )  # fmt: skip
    parser.add_argument(
        "--no-watch", action="store_true", help="don't look for mistakes that raise no error"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress within epochs")


def run(args: argparse.Namespace) -> int:
    try:
        return _run(args)
    finally:
        drop_what_cannot_be_said()


def _run(args: argparse.Namespace) -> int:
    device = device_of(args)
    start: Path | None = None
    if args.resume is None:
        settings, source = new_settings(args)
        folder = _new_folder(args, settings)
    else:
        folder, start = found(args)
        settings = resumed(folder, args)
        source = find_source(settings.data, settings.data_root, args.download)
    manual_seed(settings.seed)
    model = build(settings, device)
    train_loader = make_loader(source, settings, True, args.workers, device)
    test_loader = make_loader(source, settings, False, args.workers, device)
    optimizer = make_optimizer(settings.optimizer, model, settings.lr)
    events = _events(args, settings, folder)
    trainer = Trainer(
        model,
        train_loader,
        test_loader,
        optimizer,
        scheduler=OneCycleLR(
            optimizer, max_lr=settings.lr, total_steps=settings.epochs * len(train_loader)
        ),
        epochs=settings.epochs,
        device=device,
        folder=folder,
        progress=Progress(quiet=args.quiet),
        report=lambda row: say(_line(row, settings.epochs)),
        save_every=args.save_every,
        keep=args.keep,
        recorders=[] if events is None else [events],
    )
    trainer.offer = offer(folder)
    if args.resume is None:
        writable_folder(folder)
        with held(folder):  # by now another process may have begun there
            settings.save(folder)
    parameters = sum(p.numel() for p in model.parameters())
    doing = "writing to" if start is None else f"going on from {start.name} in"
    say(
        f"{type(model).__name__} ({parameters:,} parameters) on {device}\n"
        f"{len(train_loader.dataset):,} training and {len(test_loader.dataset):,} test images of "
        f"{settings.data} as {'x'.join(map(str, settings.input))}\n"
        f"{settings.optimizer}, one cycle to {settings.lr:g}, batch {settings.batch_size}, "
        f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}\n{doing} {folder}"
    )
    warned = Warned(folder)
    watched = nullcontext() if args.no_watch else watch(model, optimizer, log=warned)
    with nullcontext() if events is None else events:
        try:
            with watched, warnings_in_a_line():
                trainer.fit(resume=start or False)
        except Stopped as stop:
            say(farewell(stop, settings, folder), sys.stderr)
            if not args.no_plots and stop.signal in (signal.SIGINT, signal.SIGTERM):
                _report_of_a_part(trainer, source, settings, folder, warned, stop)
            return exit_code(stop.signal)
        except KeyboardInterrupt as stop:
            say(left(trainer, folder), sys.stderr)
            return exit_code(getattr(stop, "signal", signal.SIGINT))
        if not args.no_plots:
            write_results(
                trainer, source, settings, folder,
                warned=warned, workers=args.workers, events=events,
            )  # fmt: skip
    _tell(trainer, folder)
    return 0


def _events(args: argparse.Namespace, settings: Settings, folder: Path) -> EventFile | None:
    """The file of events for TensorBoard: wherever its package is, unless it isn't wanted."""
    if args.tensorboard is False:
        return None
    if not can_record():
        if args.tensorboard:
            say(
                "No events for TensorBoard: they take its package, "
                "pip install 'lucidlite[tensorboard]' gets it.",
                sys.stderr,
            )
        return None
    return EventFile(folder, settings_shown(dataclasses.asdict(settings)))


def _report_of_a_part(
    trainer: Trainer, source: Source, settings: Settings, folder: Path, warned: Warned,
    stop: Stopped,
) -> None:  # fmt: skip
    """The report of what there is. Who asked by SIGTERM waits for no look at the test images."""
    where = f"It was stopped in epoch {stop.epoch} of {settings.epochs} and can go on."
    by_hand = stop.signal == signal.SIGINT
    with suppress(KeyboardInterrupt):  # Ctrl-C again: it isn't wanted
        write_results(trainer, source, settings, folder, warned=warned, stopped=where, look=by_hand)
        say(f"{folder / REPORT} shows the run so far.", sys.stderr)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 <= value < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"must be a number of seconds, got {text}")


def _rate(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 < value < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")


def _new_folder(args: argparse.Namespace, settings: Settings) -> Path:
    """Where a new run goes: never where one is already."""
    if args.out is not None:
        folder: Path = args.out
        if newest_checkpoint(folder) is not None:
            raise error(
                ValueError,
                f"{folder} holds a run already: --resume {folder} goes on with it, another --out "
                "leaves it alone",
            )
        if holds_results(folder):
            raise error(
                ValueError,
                f"{folder} has the {BEST} of a run whose checkpoints are gone: another --out "
                "leaves it alone",
            )
        return folder
    name = family(settings.data, settings.model)
    for number in count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        if newest_checkpoint(folder) is None and not holds_results(folder):
            break
    return folder


def _line(row: EpochRow, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}  "
        f"train loss {row.train_loss:.4f} acc {share(row.train_accuracy, 2)}  "
        f"test loss {row.test_loss:.4f} acc {share(row.test_accuracy, 2)}  "
        f"{row.seconds:.1f} s"
    )


def _tell(trainer: Trainer, folder: Path) -> None:
    """Say what there is and what to do with it."""
    best = trainer.best
    if best is None:  # fit() ends with at least one epoch
        return
    lines = [f"Best test accuracy {share(best.test_accuracy, 2)} (epoch {best.epoch})."]
    if (folder / REPORT).is_file():
        lines.append(f"The run on a page, for a browser: {folder / REPORT}")
    words = shlex.quote(str(folder))
    lines += [f"Try: lucidlite eval {words}", f"     lucidlite predict IMAGE --run {words}"]
    say("\n".join(lines))
