"""The parts of a report about mistakes: who is taken for whom, and the worst of them to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lucidlite.pictures import Picture
from lucidlite.png import encode
from lucidlite.tables import cut, share
from lucidlite.training.confusion import Mistake, pairs, rates, worst_mistakes
from lucidlite.training.markup import element, table, text
from lucidlite.training.predictions import Predictions

_TABLE = 30  # classes of which the counts are written into cells
_PAIRS = 12
_MISTAKES = 24
_NAME = 48  # characters of a class's name
_SIDE = 160  # pixels of a picture at most
_WRONG, _RIGHT = (226, 84, 20), (12, 133, 103)


def confusion_section(
    counts: NDArray[np.int64], classes: Sequence[str]
) -> tuple[str, list[list[int]] | None]:
    """The HTML, and for many classes the cells that a script tells: [truth, said, images]."""
    few = len(classes) <= _TABLE
    names = [cut(name, _NAME) for name in classes]
    shown = _counts(counts, classes) if few else _picture(counts)
    cells = None
    if not few:
        rows, columns = np.nonzero(counts)
        values = counts[rows, columns]
        cells = np.stack([rows, columns, values], 1).tolist()
    common = pairs(counts, _PAIRS)
    totals = counts.sum(1)
    listed = table(
        ("it is", "taken for", "images", "share"),
        [
            [names[p.truth], names[p.said], f"{p.times:,}", share(p.times / totals[p.truth])]
            for p in common
        ],
        "The commonest mistakes, with their share of the class",
        words=2,
    )
    confused = (
        f'<div class="card scroll" tabindex="0" role="region" aria-label="Commonest mistakes" '
        f'id="pairs">{listed}</div>' if common else
        '<div class="card"><p>No image was put into a wrong class.</p></div>'
    )  # fmt: skip
    hint = (
        "Each row is what the images are, each column what the network said: right answers are on "
        "the diagonal, in green."
    )
    html = (
        '<section id="confusion"><h2>What it takes for what</h2>'
        + element("p", hint, "hint")
        + f'<div class="two">{shown}{confused}</div>'
        + _classes(counts, names)
        + "</section>"
    )
    return html, cells


def _counts(counts: NDArray[np.int64], classes: Sequence[str]) -> str:
    names = [short(name) for name in classes]
    turned = max(map(len, names)) > 4
    totals = counts.sum(1)
    head = "".join(
        f'<th scope="col" title="{text(full)}">'
        + (f'<span class="upright">{text(name)}</span>' if turned else text(name))
        + "</th>"
        for name, full in zip(names, classes, strict=True)
    )
    lines = []
    for truth, row in enumerate(counts.tolist()):
        cells = "".join(
            f"<td{_shade(count, int(totals[truth]), truth == said)}>{count or '·'}</td>"
            for said, count in enumerate(row)
        )
        name = f'<th scope="row" title="{text(classes[truth])}">{text(names[truth])}</th>'
        lines.append(f"<tr>{name}{cells}</tr>")
    return (
        '<div class="card scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        '<table class="counts" id="counts"><caption>Images, by truth (rows) and answer (columns)'
        f'</caption><thead><tr><td class="axis-name">is \\ said</td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _shade(count: int, total: int, right: bool) -> str:
    """The class of a cell, by its share of the row."""
    if not count:
        return ' class="none"'
    part = count / total
    if right:
        return f' class="d{max(1, math.ceil(5 * part))}"'
    # A few in a hundred are what one looks for: 1, 3, 10 and 30 percent begin a darker shade.
    return f' class="w{1 + sum(part >= edge for edge in (0.01, 0.03, 0.1, 0.3))}"'


def _picture(counts: NDArray[np.int64]) -> str:
    """A pixel for each pair of classes, as opaque as its share of the row."""
    part = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    pixels = np.zeros((*counts.shape, 4), np.uint8)
    pixels[..., :3] = _WRONG
    diagonal = np.arange(len(counts))
    pixels[diagonal, diagonal, :3] = _RIGHT
    opaque = np.where(counts > 0, 0.15 + 0.85 * np.sqrt(part), 0.0)
    pixels[..., 3] = np.rint(255 * opaque)
    said = (
        f"Confusion matrix of {len(counts)} classes; the tables beside and below have its numbers"
    )
    return (
        '<div class="card"><p class="label">Truth from top to bottom, answer from left to right'
        f'</p><div class="matrix" tabindex="0" role="group" aria-label="Confusion matrix, arrow '
        f'keys read its cells"><img src="{_source(encode(pixels))}" alt="{said}" /></div>'
        '<p class="read" role="status">Point at a cell, or use the arrow keys, to read it.</p>'
        "</div>"
    )


def _classes(counts: NDArray[np.int64], classes: Sequence[str]) -> str:
    recall, precision = rates(counts)
    totals, answers = counts.sum(1), counts.sum(0)
    order: list[int] = list(range(len(classes)))
    what = "Every class"
    if len(classes) > _TABLE:
        order.sort(key=lambda i: (math.isnan(recall[i]), recall[i]))
        what = "Every class, the least often found first"
    lines = "".join(
        f'<tr><th scope="row">{text(classes[i])}</th><td>{totals[i]:,}</td>'
        f'<td class="left">{_bar(recall[i])}</td><td>{answers[i]:,}</td>'
        f'<td class="left">{_bar(precision[i])}</td></tr>'
        for i in order
    )
    return (
        '<details id="classes" open><summary>Each class</summary><div class="card scroll tall" '
        'tabindex="0" role="region" aria-label="Classes"><table>'
        f"<caption>{what}. Recall: of its images, the share found. Precision: of the answers "
        "that name it, the share that is right.</caption><thead><tr>"
        '<th scope="col" class="left">class</th><th scope="col">images</th>'
        '<th scope="col" class="left">recall</th><th scope="col">answers</th>'
        f'<th scope="col" class="left">precision</th></tr></thead><tbody>{lines}</tbody></table>'
        "</div></details>"
    )


def _bar(part: float) -> str:
    if math.isnan(part):
        return '<span class="none">none</span>'
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * part:.1f}" height="8"/></svg>{share(part)}'
    )


# -- pictures ----------------------------------------------------------------------------------


def mistakes_section(seen: Predictions, images: NDArray[Any], classes: Sequence[str]) -> str:
    """The mistakes of which the network was surest, as pictures."""
    worst = worst_mistakes(seen, _MISTAKES)
    if not worst:
        return ""
    total = int((seen.probabilities.argmax(1) != seen.targets).sum())
    what = (
        f"The {len(worst)} of {total:,} of which it was surest, as the network sees them: what "
        "it said and how sure it was, then what is true and how likely it took that to be."
        if total > len(worst) else
        "All of them, the surest first, as the network sees them: what it said and how sure it "
        "was, then what is true and how likely it took that to be."
    )  # fmt: skip
    each = "".join(_mistake(mistake, images[mistake.number], classes) for mistake in worst)
    return (
        '<section id="mistakes"><h2>Its worst mistakes</h2>'
        + element("p", what, "hint")
        + f'<ul class="mistakes">{each}</ul></section>'
    )


def _mistake(mistake: Mistake, image: NDArray[Any], classes: Sequence[str]) -> str:
    said, truth = (cut(classes[each], _NAME) for each in (mistake.said, mistake.truth))
    picture = drawn(image)
    small = ' class="small"' if max(picture.width, picture.height) < 100 else ""
    alt = text(f"Test image {mistake.number}: {truth}, taken for {said}")
    return (
        f'<li data-index="{mistake.number}"><img{small} src="{picture.src}" alt="{alt}" '
        f'width="{picture.width}" height="{picture.height}" />'
        f'<p><span>said</span><b class="wrong">{text(said)}</b></p>'
        f"<p><span>sure</span>{percent(mistake.sure)}</p>"
        f'<p><span>is</span><b class="right">{text(truth)}</b></p>'
        f"<p><span>likely</span>{percent(mistake.truth_share)}</p></li>"
    )


def drawn(image: NDArray[Any]) -> Picture:
    """(C, H, W) values from 0 to 1 as a picture, made smaller where it is large."""
    step = -(-max(image.shape[1:]) // _SIDE)
    if step > 1:
        rows, columns = (size // step for size in image.shape[1:])
        if rows and columns:
            whole = image[:, : rows * step, : columns * step]
            image = whole.reshape(len(image), rows, step, columns, step).mean((2, 4))
        else:  # a strip thinner than a step
            image = image[:, ::step, ::step]
    pixels = np.rint(np.nan_to_num(image).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    if pixels.shape[2] != 3 or (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    height, width = pixels.shape[:2]
    return Picture(encode(pixels), width, height, 0.0, 1.0, "colour")


def percent(share: float) -> str:
    """'97.3%', with more digits near to 0 and 1: nothing is quite certain.

    >>> percent(0.99996), percent(0.5)
    ('> 99.99%', '50.0%')
    """
    if share >= 0.9999:
        return "> 99.99%"
    if share < 0.0001:
        return "< 0.01%"
    digits = 2 if min(share, 1 - share) < 0.01 else 1
    return f"{100 * share:.{digits}f}%"


def short(name: str) -> str:
    """'7' for MNIST's '7 - seven', any other name as it is."""
    number, dash, _ = name.partition(" - ")
    return number if dash and number.isdecimal() else name


def _source(png: bytes) -> str:
    return Picture(png, 0, 0, None, None, "colour").src
