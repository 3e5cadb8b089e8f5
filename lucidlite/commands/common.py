"""What several commands share: options, settings from them, and runs on disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from lucidlite.backends import get_backend
from lucidlite.callsite import error
from lucidlite.cuda import is_available
from lucidlite.nn.module import Module
from lucidlite.training.build import (
    MODELS,
    PEAKS,
    check_model,
    find_model,
    input_for,
    make_model,
)
from lucidlite.training.checkpoint import load_weights
from lucidlite.training.keeping import BEST
from lucidlite.training.run_folder import newest_checkpoint
from lucidlite.training.settings import RUN, Settings
from lucidlite.training.sources import NAMES, Shape, Source, find_source, statistics

RUNS = Path("runs")
DEFAULTS: dict[str, Any] = {
    "data": "sample", "model": "cnn-with-gap", "input": None, "epochs": None, "batch_size": 64,
    "lr": None, "optimizer": "adam", "seed": 0, "limit": None, "data_root": "data",
}  # fmt: skip
_EPOCHS = {"cifar10": 10}  # 5 for the others


class Run(NamedTuple):
    """A run on disk: its settings, its data and its model with the weights in ``weights``."""

    settings: Settings
    source: Source
    model: Module
    weights: Path


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def shape(text: str) -> Shape:
    """An argparse type: 3,32,32."""
    try:
        channels, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be CHANNELS,HEIGHT,WIDTH, got {text!r}") from None
    if min(channels, height, width) < 1:
        raise argparse.ArgumentTypeError(f"must be positive, got {text!r}")
    return channels, height, width


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which images and which model."""
    parser.add_argument(
        "--data", metavar="NAME",
        help=f"{', '.join(NAMES)}, or a folder with train/CLASS/ and test/CLASS/ of images "
        "(default: sample, the MNIST digits in the package)",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="NAME",
        help=f"{', '.join(MODELS)}, or path.py:Class of an nn.Module (default: cnn-with-gap)",
    )  # fmt: skip
    parser.add_argument(
        "--data-root", metavar="DIR", help="where MNIST and CIFAR files are (default: data)"
    )
    parser.add_argument("--download", action="store_true", help="fetch data files that are missing")
    parser.add_argument(
        "--limit", metavar="N", type=positive, help="use at most N training and N test images"
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: a GPU if one answers)"
    )


def device_of(args: argparse.Namespace) -> str:
    """The device asked for, checked; a GPU by default where one answers."""
    name: str = args.device or ("cuda" if is_available() else "cpu")
    get_backend(name)
    return name


def new_settings(args: argparse.Namespace) -> tuple[Settings, Source]:
    """Settings from the options, with the defaults for those that weren't given."""
    value: dict[str, Any] = {key: getattr(args, key, None) for key in DEFAULTS}
    value.update({key: each for key, each in DEFAULTS.items() if value[key] is None})
    source = find_source(value["data"], value["data_root"], args.download)
    classes = list(source.open(False, None).classes)
    kind = find_model(value["model"])
    wanted: Shape = value["input"] or input_for(kind, len(classes), source.shape)
    if wanted[0] not in (1, 3):
        raise error(
            ValueError, f"input: images have 1 or 3 channels, got {wanted[0]} for {value['model']}"
        )
    mean, std = statistics(source, wanted)
    if value["epochs"] is None:
        value["epochs"] = _EPOCHS.get(value["data"], 5)
    if value["lr"] is None:
        value["lr"] = PEAKS[value["optimizer"]]
    value["model"], value["data"] = full_model(value["model"]), full_data(value["data"])
    settings = Settings(**{**value, "input": wanted, "classes": classes, "mean": mean, "std": std})
    return settings, source


def full_model(name: str) -> str:
    """A model's name as run.json has it, which is understood from other folders too."""
    path, colon, kind = name.rpartition(":")
    return f"{Path(path).resolve()}:{kind}" if colon and name not in MODELS else name


def full_data(name: str) -> str:
    """The name of data as run.json has it."""
    return name if name in NAMES else str(Path(name).expanduser().resolve())


def build(settings: Settings, device: str) -> Module:
    """The model of a run, with fresh weights, checked against its images."""
    model = make_model(find_model(settings.model), len(settings.classes), settings.input)
    model.to(device)
    check_model(model, len(settings.classes), settings.input, device)
    return model


def open_run(place: str | Path, args: argparse.Namespace, device: str) -> Run:
    """The run in a folder (its best weights), or the weights in a file.

    The settings are in run.json beside the weights; without one they come from the options.
    ``--data``, ``--data-root`` and ``--limit`` replace what the run has.
    """
    place = Path(place)
    if place.is_dir():
        best = place / BEST
        weights = best if best.is_file() else newest_checkpoint(place) or best
        if not weights.is_file():
            raise error(FileNotFoundError, f"{place} holds no run: there is no {BEST} in it")
    elif place.is_file():
        weights = place
    else:
        raise error(FileNotFoundError, f"there is no folder and no file {place}")
    given = {key: getattr(args, key, None) for key in ("data", "data_root", "limit")}
    if (weights.parent / RUN).is_file() or place.is_dir():
        settings = Settings.load(weights.parent)
        for key, value in given.items():
            if value is not None:
                setattr(settings, key, full_data(value) if key == "data" else value)
        source = find_source(settings.data, settings.data_root, getattr(args, "download", False))
    elif getattr(args, "model", None) is None:
        raise error(
            ValueError,
            f"there is no {RUN} beside {weights}: say what it is with --model and --data",
        )
    else:
        settings, source = new_settings(args)
    model = build(settings, device)
    model.load_state_dict(load_weights(weights))
    return Run(settings, source, model, weights)


def newest_run(folder: Path = RUNS, pattern: str = "*") -> Path:
    """The folder of the run that wrote its checkpoint last; FileNotFoundError without any."""
    found = [path for path in map(newest_checkpoint, folder.glob(pattern)) if path is not None]
    if not found:
        raise error(FileNotFoundError, f"there is no run in {folder}/: `lucidlite train` makes one")
    return max(found, key=lambda path: path.stat().st_mtime).parent
