"""Draws the pictures of the documentation: ``python scripts/docs_pictures.py``.

Each is an SVG of its own in docs/pictures/. Lines and letters have the colour of the text around
them, areas are thin washes, so that a picture serves a light page and a dark one. Sizes come from
the code that the page explains.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lucidlite.backends.numpy_kernels.winograd_transforms import transform
from lucidlite.window import Window

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
BLUE, ORANGE, GREEN, GREY = "#3b82c4", "#e07b1f", "#2f9e6e", "#8a8f98"
ALONE = "svg { color: #24292f } @media (prefers-color-scheme: dark) { svg { color: #d8dee6 } }"


class Drawing:
    """An SVG of some size, filled step by step."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.size, self.title = (width, height), title
        self.parts: list[str] = []

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str = "none", wash: float = 0.3,
        line: str = "currentColor", width: float = 1, dashed: bool = False,
    ) -> None:  # fmt: skip
        dash = ' stroke-dasharray="3 2"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" '
            f'fill-opacity="{wash:g}" stroke="{line}" stroke-width="{width:g}"{dash}/>'
        )

    def text(
        self, x: float, y: float, words: str, size: float = 11, anchor: str = "middle",
        fill: str = "currentColor", bold: bool = False,
    ) -> None:  # fmt: skip
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="{fill}"{weight}>{words}</text>'
        )

    def arrow(
        self, x: float, y: float, to_x: float, to_y: float, line: str = "currentColor"
    ) -> None:
        self.parts.append(
            f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{line}" fill="none" '
            f'stroke-width="1.2" marker-end="url(#head)"/>'
        )

    def grid(
        self, x: float, y: float, rows: int, columns: int, cell: float,
        fill: Callable[[int, int], str] | None = None, line: float = 0.6,
    ) -> None:  # fmt: skip
        """Cells side by side; ``fill(row, column)`` names a colour, or '' for none."""
        for row in range(rows):
            for column in range(columns):
                colour = (fill(row, column) if fill else "") or "none"
                at = x + column * cell, y + row * cell
                self.rect(*at, cell, cell, colour, 0.45, width=line)

    def svg(self) -> str:
        width, height = self.size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'font-family="system-ui, sans-serif">\n<title>{self.title}</title>\n'
            f"<style>{ALONE}</style>\n"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker>'
            "</defs>\n"
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"


def windows() -> Drawing:
    """A 5 x 5 image with a border of one, and 3 x 3 windows of stride 1 on it."""
    d = Drawing(640, 246, "Two windows of an image, and the two outputs that they make")
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    rows, columns = window.output_size((5, 5))
    cell, left, top = 26, 30, 34

    def covers(row: int, column: int, at: tuple[int, int]) -> bool:
        return at[0] <= row < at[0] + 3 and at[1] <= column < at[1] + 3

    first, second = (0, 0), (2, 3)
    d.text(left, 20, "input, with a border of zeros (padding=1)", 11, "start", bold=True)
    for row in range(7):
        for column in range(7):
            inside = 1 <= row <= 5 and 1 <= column <= 5
            colour = "none"
            if covers(row, column, first):
                colour = BLUE
            elif covers(row, column, second):
                colour = ORANGE
            d.rect(
                left + column * cell, top + row * cell, cell, cell, colour, 0.4, width=0.8,
                line="currentColor" if inside else GREY, dashed=not inside,
            )  # fmt: skip
    for (row, column), colour in ((first, BLUE), (second, ORANGE)):
        d.rect(left + column * cell, top + row * cell, 3 * cell, 3 * cell, line=colour, width=2.5)
    out_left, out_top = 430, top + cell
    d.text(out_left + columns * cell / 2, 20, "output", bold=True)

    def colour_of(row: int, column: int) -> str:
        return BLUE if (row, column) == first else ORANGE if (row, column) == second else ""

    d.grid(out_left, out_top, rows, columns, cell, colour_of, 0.8)
    d.arrow(left + 3 * cell + 4, top + 1.5 * cell, out_left - 5, out_top + cell / 2, BLUE)
    d.arrow(
        left + 6 * cell + 4, top + 3.5 * cell,
        out_left + second[1] * cell - 4, out_top + (second[0] + 0.5) * cell, ORANGE,
    )  # fmt: skip
    d.text(315, 236, "each output: 9 elements of its window times 9 weights, summed")
    return d


def matrix() -> Drawing:
    """im2col: a row for each window, times a column for each filter."""
    d = Drawing(640, 228, "The windows as rows of a matrix, times the weights")
    cell, top = 15, 52
    colours = [BLUE, ORANGE, GREEN]
    d.text(100, 30, "the windows", bold=True)
    d.text(100, 45, "a row for each", 10)
    d.grid(32, top, 10, 9, cell, lambda row, _: colours[row] if row < 3 else "")
    d.text(100, top + 10 * cell + 16, "9 taps x C channels wide", 10)
    d.text(22, top + 5 * cell, "N x OH x OW high", 10)
    d.parts[-1] = d.parts[-1].replace("<text", f'<text transform="rotate(-90 22 {top + 75})"')
    d.text(200, top + 80, "x", 18)
    d.text(265, 30, "the weights", bold=True)
    d.text(265, 45, "a column a filter", 10)
    d.grid(228, top, 9, 5, cell, lambda _, column: GREY if column == 1 else "")
    d.text(265, top + 9 * cell + 16, "K filters wide", 10)
    d.text(335, top + 80, "=", 18)
    d.text(410, 30, "the output", bold=True)
    d.text(410, 45, "a row a window", 10)

    def product(row: int, column: int) -> str:
        return colours[row] if column == 1 and row < 3 else ""

    d.grid(372, top, 10, 5, cell, product)
    d.text(410, top + 10 * cell + 16, "in memory: (OH, OW, N, K)", 10)
    d.rect(474, top, 160, 96, GREY, 0.12, GREY, 0.8)
    for index, line in enumerate(
        ("Neighbouring windows share", "most of their elements,", "so the matrix repeats them:",
         "9 times as large", "as the input.")
    ):  # fmt: skip
        d.text(482, top + 20 + 16 * index, line, 10, "start")
    return d


def blocks() -> Drawing:
    """The matrix of windows, a few rows of the output at a time."""
    d = Drawing(640, 190, "A few rows of windows are written, multiplied and forgotten")
    d.text(95, 22, "image (H, W, N, C)", bold=True)
    for row in range(9):
        d.rect(30, 34 + 14 * row, 130, 14, BLUE if 2 <= row <= 5 else "none", 0.45, width=0.7)
    d.text(95, 180, "rows that this block reads", 10)
    d.arrow(166, 96, 222, 96)
    d.text(312, 22, "its windows, in the cache", bold=True)
    for row in range(4):
        d.rect(230, 68 + 14 * row, 164, 14, BLUE, 0.45, width=0.7)
    d.rect(222, 60, 180, 72, line=ORANGE, width=1.6, dashed=True)
    d.text(312, 152, "written over by the next block", 10)
    d.text(420, 101, "x", 18)
    d.rect(438, 66, 60, 60, GREY, 0.3, width=0.8)
    d.text(468, 152, "weights", 10)
    d.text(514, 101, "=", 18)
    d.text(580, 22, "output", bold=True)
    for row in range(9):
        d.rect(536, 34 + 14 * row, 88, 14, BLUE if 2 <= row <= 3 else "none", 0.45, width=0.7)
    d.text(580, 180, "two rows of it", 10)
    return d


def planes() -> Drawing:
    """Few channels: a row of the matrix is a shifted plane."""
    d = Drawing(640, 236, "For each tap a shifted copy of the plane is one row of the matrix")
    cell, top = 11, 44
    d.text(20, 24, "a plane, with border", 11, "start", bold=True)
    d.grid(20, top, 8, 8, cell, lambda r, c: "" if 1 <= r <= 6 and 1 <= c <= 6 else GREY)
    taps = [(0, 0, BLUE), (0, 1, ORANGE), (2, 2, GREEN)]
    for index, (row, column, colour) in enumerate(taps):
        y = 30 + 66 * index
        d.text(214, y + 4, f"tap ({row}, {column}) of every window", 10)
        left = 180
        d.grid(left, y + 8, 8, 8, 6, None, 0.3)
        d.rect(left + 6 * column, y + 8 + 6 * row, 36, 36, colour, 0.5, colour, 1.4)
        d.arrow(left + 56, y + 32, 330, 62 + 22 * (index if index < 2 else 3), colour)
    d.text(480, 24, "the matrix: a row for each tap and channel", bold=True)
    rows = [("tap (0, 0)", BLUE), ("tap (0, 1)", ORANGE), ("...", "none"), ("tap (2, 2)", GREEN),
            ("ones", GREY)]  # fmt: skip
    for index, (label, colour) in enumerate(rows):
        y = 52 + 22 * index
        d.rect(338, y, 220, 18, colour, 0.4, width=0.8)
        d.text(448, y + 13, label, 10)
    d.text(566, 57 + 22 * 4 + 8, "for the", 10, "start")
    d.text(566, 57 + 22 * 4 + 20, "bias", 10, "start")
    d.text(448, 180, "N x OH x OW wide: long runs to copy", 10)
    d.text(448, 222, "output = weights with the bias as last column, times this", 10.5)
    return d


def winograd() -> Drawing:
    """F(4 x 4, 3 x 3): evaluate, multiply point by point, interpolate."""
    t = transform(4)
    m, p = t.m, t.points
    d = Drawing(660, 300, "Winograd's algorithm for a tile of 4 x 4 outputs")
    cell = 14
    d.text(30 + p * cell / 2, 22, f"{p} x {p} inputs", bold=True)
    d.grid(30, 34, p, p, cell, lambda *_: BLUE)
    d.arrow(122, 76, 186, 76)
    d.text(154, 66, "BT d B", 11)
    d.text(192 + p * cell / 2, 22, f"values at {p} x {p} points", bold=True)
    d.grid(192, 34, p, p, cell, lambda *_: BLUE)
    d.text(30 + p * cell / 2, 172, "3 x 3 weights", bold=True)
    d.grid(51, 196, 3, 3, cell, lambda *_: GREY)
    d.arrow(122, 220, 186, 220)
    d.text(154, 210, "G g GT", 11)
    d.text(192 + p * cell / 2, 172, f"values at {p} x {p} points", bold=True)
    d.grid(192, 184, p, p, cell, lambda *_: GREY)
    d.arrow(284, 76, 340, 128)
    d.arrow(284, 226, 340, 172)
    d.text(346 + p * cell / 2, 96, f"{p * p} products", bold=True)
    d.grid(346, 108, p, p, cell, lambda *_: ORANGE)
    d.text(346 + p * cell / 2, 210, "summed over channels", 10)
    d.arrow(438, 150, 506, 150)
    d.text(472, 140, "AT . A", 11)
    d.text(514 + m * cell / 2, 96, f"{m} x {m} outputs", bold=True)
    d.grid(514, 122, m, m, cell, lambda *_: GREEN)
    plain = m * m * 9
    d.text(330, 286, f"{p * p} products instead of {m * m} x 9 = {plain}, for a pair of channels")
    return d


def tiles() -> Drawing:
    """Tiles of outputs lie side by side; the inputs they read overlap by two."""
    d = Drawing(640, 170, "Tiles of outputs touch, the tiles of inputs that they read overlap")
    cell, top = 20, 36
    d.text(150, 22, "inputs of two tiles: they share two columns", bold=True)
    for column in range(10):
        colour = BLUE if column < 4 else ORANGE if column >= 6 else GREEN
        for row in range(6):
            d.rect(50 + column * cell, top + row * cell, cell, cell, colour, 0.4, width=0.6)
    d.rect(50, top, 6 * cell, 6 * cell, line=BLUE, width=2.5)
    d.rect(50 + 4 * cell + 2, top, 6 * cell - 2, 6 * cell, line=ORANGE, width=2.5)
    d.arrow(262, top + 60, 350, top + 60)
    d.text(440, 22, "their outputs", bold=True)
    for column in range(8):
        colour = BLUE if column < 4 else ORANGE
        for row in range(4):
            d.rect(360 + column * cell, top + cell + row * cell, cell, cell, colour, 0.4, width=0.6)
    return d


def memory() -> Drawing:
    """The order of an image's elements in memory, PyTorch's default and here."""
    d = Drawing(640, 150, "Two memory orders of a batch of images")
    rows = (
        (34, "(N, C, H, W): the elements of a channel lie together",
         ["image 0, channel 0", "image 0, channel 1", "image 0, channel 2", "image 1, channel 0"],
         [BLUE, ORANGE, GREEN, BLUE]),
        (100, "(H, W, N, C): all channels of all images at a pixel lie together",
         ["pixel 0", "pixel 1", "pixel 2", "pixel 3", "pixel 4", "pixel 5", "pixel 6", "pixel 7"],
         []),
    )  # fmt: skip
    for y, title, labels, colours in rows:
        d.text(20, y - 10, title, 11, "start", bold=True)
        width = 600 / len(labels)
        for index, label in enumerate(labels):
            x = 20 + index * width
            if colours:
                d.rect(x, y, width, 26, colours[index], 0.4, width=0.8)
            else:
                for part in range(6):
                    colour = (BLUE, ORANGE, GREEN)[part % 3]
                    d.rect(x + part * width / 6, y, width / 6, 26, colour, 0.4, width=0.25)
                d.rect(x, y, width, 26, width=1)
            d.text(x + width / 2, y + 39, label, 9.5)
    return d


PICTURES: dict[str, Callable[[], Drawing]] = {
    "windows": windows, "matrix": matrix, "memory": memory, "blocks": blocks, "planes": planes,
    "winograd": winograd, "tiles": tiles,
}  # fmt: skip


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
