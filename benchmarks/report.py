"""The README's table and the picture of the ratios, from what the benchmarks wrote.

    python benchmarks/report.py [FOLDER]   print the table, draw FOLDER/ratios.png
    python benchmarks/report.py --write    put both where the README shows them
    python benchmarks/report.py --check    fail unless the README says what the results say

A ratio is PyTorch's time (or memory) over lucidlite's, by medians: above 1, lucidlite is ahead.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from records import CHANNELS_LAST, EAGER, HERE, OURS, RESULTS, read, time_text

README = HERE.parent / "README.md"
BEGIN, END = "<!-- speed: benchmarks/report.py writes from here -->", "<!-- to here -->"
NOTHING = "The CPU kernels are being tuned, so there are no figures here yet."
PICTURE = "ratios.png"
COLOURS = {EAGER: "#1f6feb", CHANNELS_LAST: "#e08a1e"}


class Row(NamedTuple):
    """A line of the table: times (or memory) by contender as text, and ratios by contender."""

    title: str
    times: dict[str, str]
    ratios: dict[str, float]


def timed_rows(found: dict[str, Any], benchmark: str, title: str) -> Iterator[Row]:
    for result in found.get(benchmark, {}).get("results", []):
        contenders = result["contenders"]
        yield Row(
            title.format(**result),
            {name: time_text(row["median_ms"]) for name, row in contenders.items()},
            {name: row["ratio"] for name, row in contenders.items() if name != OURS},
        )


def small_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Geometric means over the operations, for each way of running them."""
    results = found.get("small_ops", {}).get("results", [])
    for mode in dict.fromkeys(result["mode"] for result in results):
        rows = [result["contenders"] for result in results if result["mode"] == mode]
        times = {
            name: time_text(statistics.geometric_mean(row[name]["median_ms"] for row in rows))
            for name in (OURS, EAGER)
        }
        ratio = round(statistics.geometric_mean(row[EAGER]["ratio"] for row in rows), 3)
        yield Row(f"one operation on a tiny tensor, {mode}", times, {EAGER: ratio})


def import_rows(found: dict[str, Any]) -> Iterator[Row]:
    for result in found.get("import_time", {}).get("results", []):
        rows = result["contenders"]
        times = {OURS: time_text(rows[OURS]["median_ms"])}
        times[EAGER] = time_text(rows["torch"]["median_ms"])
        yield Row("a fresh process that imports it", times, {EAGER: rows["torch"]["ratio"]})


def accuracy_rows(found: dict[str, Any]) -> Iterator[Row]:
    for result in found.get("time_to_accuracy", {}).get("results", []):
        times, ratios = {}, {}
        for name, row in result["contenders"].items():
            seconds = row["seconds_to_goal"]
            times[name] = "not reached" if seconds is None else f"{seconds:.1f} s"
            if "ratio" in row:
                ratios[name] = row["ratio"]
        yield Row("{model} to {goal:.0%} on MNIST, batch {batch}".format(**result), times, ratios)


def memory_rows(found: dict[str, Any]) -> Iterator[Row]:
    for result in found.get("memory", {}).get("results", []):
        rows = result["contenders"]
        yield Row(
            "memory of a training step, {model}, batch {batch}".format(**result),
            {name: f"{row['peak_mib']:.0f} MiB" for name, row in rows.items()},
            {name: row["ratio"] for name, row in rows.items() if name != OURS},
        )


def table_rows(found: dict[str, Any]) -> list[Row]:
    """Every line of the table, in its order."""
    return [
        *timed_rows(found, "train_step", "training step, {model}, batch {batch}"),
        *timed_rows(found, "inference", "inference, {model}, batch {batch}"),
        *accuracy_rows(found),
        *small_rows(found),
        *import_rows(found),
        *memory_rows(found),
    ]


def machine_line(found: dict[str, Any]) -> str:
    """When and on what the results were taken. SystemExit if not all on one machine."""
    dates = sorted({each["date"] for each in found.values()})
    machines = [each["machine"] for each in found.values()]
    for key in ("processor", "cores"):
        if len({str(machine[key]) for machine in machines}) > 1:
            raise SystemExit(f"the results are of different machines: {key} differs")
    first = machines[0]
    versions = {name: v for machine in machines for name, v in machine["versions"].items()}
    threads = {name: n for machine in machines for name, n in machine["threads"].items()}
    names = {"python": "Python", "numpy": "NumPy", "torch": "PyTorch"}
    libraries = ", ".join(f"{names[n]} {versions[n]}" for n in names if n in versions)
    when = f"on {dates[0]}" if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"
    counts = " and ".join(
        f"{n} thread{'s' * (n > 1)} in {'PyTorch' if name == 'torch' else name}"
        for name, n in threads.items()
    )
    return (
        f"Measured {when} on {first['cores']} cores of an {first['processor']} ({counts}) with"
        f" {libraries}."
    )


def listed(ratios: dict[str, float]) -> str:
    """'0.70, channels_last 0.49': the ratios below 1."""
    return ", ".join(
        f"{ratio:.2f}" if name == EAGER else f"{name.removeprefix('torch ')} {ratio:.2f}"
        for name, ratio in ratios.items()
        if ratio < 1
    )


def slower(found: dict[str, Any], rows: list[Row]) -> Iterator[str]:
    """What lucidlite loses, said plainly."""
    lost = [f"- {row.title}: {listed(row.ratios)}" for row in rows if listed(row.ratios)]
    if lost:
        yield "\n".join(["Where PyTorch is ahead (ratios below 1):", "", *lost])
    elif rows:
        yield "PyTorch is ahead in none of these rows."
    layers = found.get("layers", {}).get("results", [])
    losing = []
    for result in layers:
        ratios = {name: row["ratio"] for name, row in result["contenders"].items() if name != OURS}
        if listed(ratios):
            losing.append(f"{result['name']} ({listed(ratios)})")
    if layers:
        ending = f": {'; '.join(losing)}." if losing else "."
        yield (
            f"Of {len(layers)} layers and optimizers timed alone, forward and backward, PyTorch is"
            f" faster in {len(losing)}{ending}"
        )


def disturbed(found: dict[str, Any]) -> Iterator[str]:
    """How many figures rest on rounds that other processes disturbed."""
    used = [
        result["rounds"]["used"]
        for each in found.values()
        for result in each["results"]
        if "rounds" in result
    ]
    if count := used.count("all"):
        yield (
            f"In {count} of {len(used)} measurements other programs kept the machine busy and"
            " disturbed rounds count too; that tends to hurt PyTorch's threads more."
        )


def peers_line(found: dict[str, Any]) -> Iterator[str]:
    for result in found.get("peers", {}).get("results", []):
        others = [
            f"{name} {row['ratio']:.2f}"
            for name, row in result["contenders"].items()
            if name not in (OURS, *COLOURS)
        ]
        if others:
            yield (
                "Other frameworks' time over lucidlite's, training step of"
                f" {result['model']}, batch {result['batch']}: {', '.join(others)}."
            )


def text(found: dict[str, Any], picture: bool = True) -> str:
    """What stands in the README between the markers."""
    if not found:
        return NOTHING
    rows = table_rows(found)
    lines = [
        f"{machine_line(found)} Times are medians of rounds in which the contenders take turns,"
        " memory is the peak above what the libraries and the model hold. A ratio is PyTorch's over"
        " lucidlite's: above 1, lucidlite is faster or smaller.",
        "",
        "| | lucidlite | PyTorch | PyTorch channels_last | ratio | ratio to channels_last |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.title, *(row.times.get(name, "") for name in (OURS, EAGER, CHANNELS_LAST))]
        for name in (EAGER, CHANNELS_LAST):
            cells.append(f"{row.ratios[name]:.2f}" if name in row.ratios else "")
        lines.append(f"| {' | '.join(cells)} |")
    for line in (*slower(found, rows), *peers_line(found), *disturbed(found)):
        lines += ["", line]
    if picture:
        path = RESULTS.relative_to(HERE.parent) / PICTURE
        lines += ["", f"![PyTorch's time over lucidlite's]({path.as_posix()})"]
    return "\n".join(lines)


def in_readme() -> str:
    """What the README says now."""
    _, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    inside, marker, _ = rest.partition(END)
    if not marker:
        raise SystemExit(f"the README has no {BEGIN} ... {END}")
    return inside.strip()


def write_readme(inside: str) -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{inside}\n{END}{after}", encoding="utf-8")


def draw(found: dict[str, Any], path: Path) -> None:
    """The ratios as bars on a logarithmic scale. ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    rows = [row for row in table_rows(found) if row.ratios][::-1]
    figure = Figure(figsize=(9, 1.6 + 0.42 * len(rows)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="white")
    ratios = [ratio for row in rows for ratio in row.ratios.values()]
    low, high = min([0.8, *ratios]) / 1.4, max([1.25, *ratios]) * 1.4
    for which, (name, colour) in enumerate(COLOURS.items()):
        at = [i for i, row in enumerate(rows) if name in row.ratios]
        values = [rows[i].ratios[name] for i in at]
        places = [i + (0.19 - 0.38 * which) * (len(rows[i].ratios) > 1) for i in at]
        widths = [value - 1 for value in values]  # bars begin at 1
        label = f"{name.replace('torch', 'PyTorch')} / lucidlite"
        axes.barh(places, widths, 0.36, left=1, color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            right = value >= 1
            axes.annotate(
                f"{value:.2f}", (value, place), xytext=(3 if right else -3, 0),
                textcoords="offset points", va="center", ha="left" if right else "right",
                fontsize=8, color="black",
            )  # fmt: skip
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= t <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=9)
    axes.set_xlabel("PyTorch / lucidlite, in time or memory (right of 1: lucidlite is ahead)")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=len(COLOURS), fontsize=9, frameon=False)
    figure.savefig(path, dpi=140)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=Path, nargs="?", default=RESULTS, help="(benchmarks/results)")
    add("--write", action="store_true", help="bring the README and its picture up to date")
    add("--check", action="store_true", help="fail unless the README says what the results say")
    args = parser.parse_args(argv)
    found = read(args.folder)
    inside = text(found)
    if args.check:
        if in_readme() != inside:
            raise SystemExit("the README's speed section is not what the results say: use --write")
        return
    print(text(found, picture=False))
    if args.write:
        write_readme(inside)
    if table_rows(found):
        path = (RESULTS if args.write else args.folder) / PICTURE
        try:
            draw(found, path)
        except ImportError as problem:
            if args.write:
                raise
            print(f"no picture: {problem}")
        else:
            print(f"\npicture: {path}")


if __name__ == "__main__":
    main()
