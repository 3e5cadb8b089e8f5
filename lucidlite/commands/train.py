"""``lucidlite train``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path

from lucidlite.callsite import error
from lucidlite.commands.common import (
    DEFAULTS,
    RUNS,
    add_data_options,
    add_device_option,
    build,
    device_of,
    full_data,
    full_model,
    new_settings,
    newest_run,
    positive,
    shape,
)
from lucidlite.optim.lr_scheduler import OneCycleLR
from lucidlite.sampling import manual_seed
from lucidlite.training.build import PEAKS, make_loader, make_optimizer
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.metrics import EpochRow
from lucidlite.training.predictions import denormalized, predict_all
from lucidlite.training.progress import Progress
from lucidlite.training.report import can_draw, draw_curves, draw_predictions
from lucidlite.training.settings import RUN, Settings
from lucidlite.training.signals import Stopped
from lucidlite.training.sources import Source, find_source
from lucidlite.training.trainer import BEST, LAST, Trainer
from lucidlite.watching import watch

CURVES, PREDICTIONS = "curves.png", "predictions.png"
# Settings that a run keeps when it goes on.
_KEPT = ("data", "model", "input", "epochs", "batch_size", "lr", "optimizer", "seed", "limit")

EXAMPLES = """examples:
  lucidlite train                                   5 epochs on the digits in the package
  lucidlite train --data cifar10 --download --model resnet8
  lucidlite train --data photos/ --model net.py:Net --epochs 20 --lr 1e-3
  lucidlite train --resume runs/sample-cnn-with-gap  go on where Ctrl-C or a crash ended it

The folder of a run gets last.npz (the checkpoint), best.npz (the weights with the best test
accuracy: model.load_state_dict(lucidlite.load(...)) takes them), metrics.csv, run.json, and with
matplotlib curves.png and predictions.png. A run that goes on ends with the same bits as one that
was never interrupted, on the same machine with the same number of threads.
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
        help="go on with the run in FOLDER, by default the newest in runs/; its own settings count",
    )  # fmt: skip
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures at the end")
    parser.add_argument(
        "--no-watch", action="store_true", help="don't look for mistakes that raise no error"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress within epochs")


def run(args: argparse.Namespace) -> int:
    device = device_of(args)
    if args.resume is None:
        settings, source = new_settings(args)
        folder = _new_folder(args, settings)
    else:
        folder = _found(args)
        settings = _resumed(folder, args)
        source = find_source(settings.data, settings.data_root, args.download)
    manual_seed(settings.seed)
    model = build(settings, device)
    train_loader = make_loader(source, settings, True, args.workers, device)
    test_loader = make_loader(source, settings, False, args.workers, device)
    optimizer = make_optimizer(settings.optimizer, model, settings.lr)
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
        report=lambda row: print(_line(row, settings.epochs), flush=True),
    )
    if args.resume is None:
        settings.save(folder)
    parameters = sum(p.numel() for p in model.parameters())
    doing = "writing to" if args.resume is None else "going on in"
    print(
        f"{type(model).__name__} ({parameters:,} parameters) on {device}; "
        f"{len(train_loader.dataset):,} training and {len(test_loader.dataset):,} test images of "
        f"{settings.data} as {'x'.join(map(str, settings.input))}\n"
        f"{settings.optimizer}, one cycle to {settings.lr:g}, batch {settings.batch_size}, "
        f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}; {doing} {folder}",
        flush=True,
    )
    watched = nullcontext() if args.no_watch else watch(model, optimizer, log=_warn)
    try:
        with watched:
            trainer.fit(resume=args.resume is not None)
    except Stopped as stop:
        print(_farewell(stop, settings, folder), file=sys.stderr)
        return 128 + stop.signal
    _finish(trainer, source, settings, folder, args)
    return 0


def _warn(warning: Warning) -> None:
    """Say it below the progress, without the line of the script that started us."""
    lines = [line for line in str(warning).splitlines() if f"at {sys.argv[0]}:" not in line]
    print("\n" + "\n".join(lines), file=sys.stderr, flush=True)


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
        if (folder / LAST).exists():
            raise error(
                ValueError,
                f"{folder} holds a run already: --resume {folder} goes on with it, another --out "
                "leaves it alone",
            )
        return folder
    name = _family(settings.data, settings.model)
    for number in count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        if not (folder / LAST).exists():
            break
    return folder


def _family(data: str, model: str) -> str:
    """'sample-cnn-with-gap': the name of runs of this model on these data."""
    return f"{Path(data).name}-{model.rpartition(':')[2].lower()}"


def _found(args: argparse.Namespace) -> Path:
    """The folder to go on with: the one named, or the newest of those the options describe."""
    if args.resume:
        folder = Path(args.resume)
    elif args.out is not None:
        folder = args.out
    elif args.data is None and args.model is None:
        folder = newest_run()
    else:
        name = _family(args.data or DEFAULTS["data"], args.model or DEFAULTS["model"])
        folder = newest_run(pattern=f"{name}*")
    if not (folder / RUN).is_file() or not (folder / LAST).is_file():
        raise error(FileNotFoundError, f"there is nothing to resume in {folder}: no {LAST} in it")
    return folder


def _resumed(folder: Path, args: argparse.Namespace) -> Settings:
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


def _line(row: EpochRow, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}  "
        f"train loss {row.train_loss:.4f} acc {row.train_accuracy:.2%}  "
        f"test loss {row.test_loss:.4f} acc {row.test_accuracy:.2%}  "
        f"{row.images_per_second:.0f} images/s  {row.seconds:.1f} s"
    )


def _farewell(stop: Stopped, settings: Settings, folder: Path) -> str:
    return (
        f"Stopped in epoch {stop.epoch} of {settings.epochs} after batch {stop.batch} of "
        f"{stop.batches}. Everything is saved in {stop.path}; go on with\n"
        f"  lucidlite train --resume {folder}"
    )


def _finish(
    trainer: Trainer, source: Source, settings: Settings, folder: Path, args: argparse.Namespace
) -> None:
    """Draw the pictures and say what there is and what to do with it."""
    best = trainer.best
    if best is None:  # fit() ends with at least one epoch
        return
    if not args.no_plots:
        if can_draw():
            title = f"{type(trainer.model).__name__} on {Path(settings.data).name}"
            draw_curves(trainer.history, folder / CURVES, title)
            trainer.model.load_state_dict(load_weights(folder / BEST))
            loader = make_loader(source, settings, False, args.workers, trainer.device)
            seen = predict_all(trainer.model, loader, trainer.device)
            images = denormalized(seen.images, settings.mean, settings.std)
            draw_predictions(
                images, seen.probabilities, seen.targets, settings.classes, folder / PREDICTIONS
            )
        else:
            print(f"No {CURVES} and {PREDICTIONS}: they take matplotlib, "
                  "pip install 'lucidlite[plot]' gets it.")  # fmt: skip
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
    print(
        f"Best test accuracy {best.test_accuracy:.2%} (epoch {best.epoch}). {folder} has {files}.\n"
        f"Try: lucidlite eval {folder}, lucidlite predict IMAGE --run {folder}"
    )
