"""Seconds until a LeNet knows 99 % of MNIST's test digits: lucidlite beside PyTorch.

    python benchmarks/time_to_accuracy.py --data FOLDER [--seeds 2] [--json]

FOLDER has the four IDX files of MNIST, plain or .gz (`lucidlite.datasets.MNIST` reads them; nothing
is downloaded). Both sides have the same model and first weights, the same normalised images in a
TensorDataset, a DataLoader of their own library with the same settings and, epoch by epoch, the
same order, the same optimizer and the same one-cycle schedule. They train in turns, epoch by epoch,
in one process. Seconds are training and the evaluation after each epoch, up to the epoch that
reaches the goal; loading is told apart, because PyTorch's TensorDataset reads images one by one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import (
    CHANNELS_LAST,
    EAGER,
    ORDERS,
    OURS,
    REST,
    arguments,
    context_of,
    disturbance,
    finish,
    start,
    torch,
)
from twins import PAIRS, load

import lucidlite

BATCH, TEST_BATCH = 128, 1000
LEARNING_RATE, MOMENTUM = 0.05, 0.9
MEAN, STD = 0.1307, 0.3081  # of MNIST's pixels, for every library alike

Arrays = tuple[np.ndarray, np.ndarray]


def read(folder: Path, train: bool, limit: int | None) -> Arrays:
    """Normalised float32 images (N, 1, 28, 28) and int64 labels."""
    digits = lucidlite.datasets.MNIST(folder, train=train)
    images = digits.data.numpy()[:limit, None].astype(np.float32)
    return (images / 255 - MEAN) / STD, digits.targets.numpy()[:limit]


class Order:
    """A sampler that yields the order it was last given."""

    def __init__(self, count: int) -> None:
        self.indices: list[int] = list(range(count))

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class Run:
    """One side of a race: it trains for an epoch when asked, and keeps its times."""

    def __init__(self, library: Any, model: Any, train: Arrays, test: Arrays, epochs: int) -> None:
        self.library, self.model = library, model
        self.order = Order(len(train[0]))
        data = library.utils.data
        self.loader = data.DataLoader(self.dataset(train), batch_size=BATCH, sampler=self.order)
        self.test_loader = data.DataLoader(self.dataset(test), batch_size=TEST_BATCH)
        self.optimizer = library.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
        self.scheduler = library.optim.lr_scheduler.OneCycleLR(
            self.optimizer, LEARNING_RATE, epochs=epochs, steps_per_epoch=len(self.loader)
        )
        self.format: dict[str, Any] = {}
        self.seconds: list[float] = []
        self.loading: list[float] = []
        self.accuracies: list[float] = []

    def dataset(self, arrays: Arrays) -> Any:
        tensors = [self.library.tensor(array) for array in arrays]
        return self.library.utils.data.TensorDataset(*tensors)

    def batches(self, loader: Any) -> Iterator[tuple[Any, Any]]:
        """The loader's batches; the time they take to arrive is counted."""
        begun = time.perf_counter()
        for images, labels in loader:
            if self.format:
                images = images.contiguous(**self.format)
            self.loading[-1] += time.perf_counter() - begun
            yield images, labels
            begun = time.perf_counter()
        self.loading[-1] += time.perf_counter() - begun

    def epoch(self, order: np.ndarray) -> None:
        """Train on every image once, then count the test digits it knows."""
        self.order.indices = order.tolist()
        self.loading.append(0.0)
        begun = time.perf_counter()
        self.model.train()
        for images, labels in self.batches(self.loader):
            self.optimizer.zero_grad()
            loss = self.library.nn.functional.cross_entropy(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
        self.model.eval()
        right = 0
        with self.library.no_grad():
            for images, labels in self.batches(self.test_loader):
                right += (self.model(images).argmax(1) == labels).sum().item()
        self.seconds.append(time.perf_counter() - begun)
        self.accuracies.append(right / len(self.test_loader.dataset))

    def outcome(self, goal: float) -> dict[str, Any]:
        """Epochs and seconds to the goal (None where it wasn't reached), figures of each epoch."""
        reached = next((i + 1 for i, a in enumerate(self.accuracies) if a >= goal), None)
        used = slice(reached)
        return {
            "epochs_to_goal": reached,
            "seconds_to_goal": reached and round(sum(self.seconds[used]), 3),
            "loading_to_goal": reached and round(sum(self.loading[used]), 3),
            "accuracies": [round(a, 4) for a in self.accuracies],
            "epoch_seconds": [round(s, 3) for s in self.seconds],
            "epoch_loading": [round(s, 3) for s in self.loading],
        }


def race(seed: int, names: list[str], train: Arrays, test: Arrays, epochs: int) -> dict[str, Run]:
    """Train every side, taking turns; who begins changes with every epoch."""
    pair = PAIRS["LeNet"]
    lucidlite.manual_seed(seed)
    first = pair.ours()
    runs: dict[str, Run] = {}
    for name in names:
        if name == OURS:
            runs[name] = Run(lucidlite, first, train, test, epochs)
            continue
        model = pair.torchs()
        load(first, model)
        model = model.to(memory_format=ORDERS[name])
        runs[name] = Run(torch, model, train, test, epochs)
        if name == CHANNELS_LAST:
            runs[name].format = {"memory_format": torch.channels_last}
    orders = np.random.default_rng(seed)
    for number in range(epochs):
        order = orders.permutation(len(train[0]))
        shift = (seed + number) % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(REST)
            with context_of(name)():
                runs[name].epoch(order)
            print(
                f"  seed {seed}, epoch {number + 1}: {name:20} {runs[name].accuracies[-1]:.2%}"
                f" in {runs[name].seconds[-1]:.1f} s ({runs[name].loading[-1]:.1f} s loading)",
                flush=True,
            )
    return runs


def middle(values: list[Any]) -> float | None:
    """The median; None if one of the seeds didn't get there."""
    return None if None in values else round(statistics.median(values), 3)


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=0)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), help="MNIST's folder (data)")
    add("--seeds", type=int, default=2, help="races, each from other weights (2)")
    add("--epochs", type=int, default=3, help="epochs of every race (3)")
    add("--goal", type=float, default=0.99, help="test accuracy to reach (0.99)")
    add("--limit", type=int, help="use the first images only, to try the script")
    add(
        "--sides", nargs="+", default=[OURS, EAGER], choices=[OURS, EAGER, CHANNELS_LAST],
        help="who races (lucidlite and torch eager)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    start(args)
    train, test = (read(args.data, split, args.limit) for split in (True, False))
    print(
        f"LeNet on {len(train[0])} images, batch {BATCH}, SGD with momentum {MOMENTUM}, one cycle"
        f" to a rate of {LEARNING_RATE} in {args.epochs} epochs"
    )
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in args.sides}
    others = disturbance()
    for seed in range(args.seeds):
        for name, run in race(seed, args.sides, train, test, args.epochs).items():
            outcomes[name].append(run.outcome(args.goal))
    share = others()
    print(f"other processes had {share:.0%} of a core meanwhile")
    contenders: dict[str, Any] = {}
    for name, found in outcomes.items():
        contenders[name] = {
            "epochs_to_goal": middle([each["epochs_to_goal"] for each in found]),
            "seconds_to_goal": middle([each["seconds_to_goal"] for each in found]),
            "loading_to_goal": middle([each["loading_to_goal"] for each in found]),
            "seeds": found,
        }
    report(contenders, args.goal)
    labels = {"model": "LeNet", "batch": BATCH, "goal": args.goal, "others_share": round(share, 3)}
    finish("time_to_accuracy", args, [{**labels, "contenders": contenders}])


def report(contenders: dict[str, Any], goal: float) -> None:
    """Print medians over the seeds and add the ratios, of all seconds and without loading."""
    base = contenders.get(OURS, {})
    for name, row in contenders.items():
        seconds, loading = row["seconds_to_goal"], row["loading_to_goal"]
        if seconds is None:
            print(f"  {name:20} did not reach {goal:.0%} with every seed")
            continue
        line = f"  {name:20} {goal:.0%} after {row['epochs_to_goal']:g} epochs, {seconds:.1f} s"
        if name != OURS and base.get("seconds_to_goal"):
            rest = base["seconds_to_goal"] - base["loading_to_goal"]
            row["ratio"] = round(seconds / base["seconds_to_goal"], 3)
            row["ratio_without_loading"] = round((seconds - loading) / rest, 3)
            line += f"  / {OURS}'s: {row['ratio']:.2f}"
            line += f" ({row['ratio_without_loading']:.2f} without loading)"
        print(line)


if __name__ == "__main__":
    main()
