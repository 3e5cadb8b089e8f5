"""PNGs and small pictures of arrays, decoded with Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lucidlite.pictures import colours, limits, planes, shown, thinned, tiled
from lucidlite.png import encode

BLUE, WHITE, RED = (33, 102, 172, 255), (255, 255, 255, 255), (178, 24, 43, 255)
MAGENTA, CLEAR = (230, 0, 230, 255), (0, 0, 0, 0)


def decoded(png, mode="RGBA"):
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(png))
    image.load()  # checks every checksum
    return np.asarray(image.convert(mode))


@pytest.mark.parametrize(
    ("shape", "mode"), [((3, 5), "L"), ((3, 5, 3), "RGB"), ((3, 5, 4), "RGBA")]
)
def test_pixels_come_back(shape, mode):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(decoded(encode(pixels), mode), pixels)


def test_a_palette_is_looked_up():
    palette = np.array([[1, 2, 3, 255], [9, 8, 7, 0], [255, 0, 0, 128]], np.uint8)
    rows = np.array([[0, 1], [2, 0], [1, 2]], np.uint8)
    np.testing.assert_array_equal(decoded(encode(rows, palette)), palette[rows])


def test_grey_goes_from_black_to_white():
    picture = planes(np.array([[[-1.0, 0.0], [1.0, 3.0]]]), "grey")
    assert (picture.low, picture.high, picture.scale) == (-1.0, 3.0, "grey")
    found = decoded(picture.png)
    assert found[..., 0].tolist() == [[0, 63], [128, 255]]
    assert (found[..., :3] == found[..., :1]).all()
    assert (found[..., 3] == 255).all()


def test_zero_is_white_between_blue_and_red():
    picture = planes(np.array([[[-2.0, 0.0, 1.0, 2.0]]]), "diverging")
    assert (picture.low, picture.high) == (-2.0, 2.0)
    found = [tuple(pixel) for pixel in decoded(picture.png)[0].tolist()]
    assert found[0] == BLUE
    assert found[1] == WHITE
    assert found[3] == RED
    half = (np.array(WHITE) + np.array(RED)) / 2
    assert np.abs(np.array(found[2]) - half).max() <= 1


def test_the_larger_side_of_zero_sets_the_scale():
    picture = planes(np.array([[[-4.0, 2.0, 4.0]], [[1.0, 0.0, 0.0]]]) - 1, "diverging")
    assert (picture.low, picture.high) == (-5.0, 5.0)
    found = decoded(picture.png)[0]
    assert tuple(found[0]) == BLUE
    assert tuple(found[4]) == WHITE
    assert 43 < found[2][2] < 255


def test_one_side_of_zero_keeps_zero_white():
    found = decoded(planes(np.array([[[0.0, 5.0]]]), "diverging").png)
    assert [tuple(pixel) for pixel in found[0].tolist()] == [WHITE, RED]


def test_what_is_not_finite_is_magenta():
    values = np.array([[[np.nan, 0.0], [np.inf, 1.0]]])
    picture = planes(values, "grey")
    assert (picture.low, picture.high) == (0.0, 1.0)
    found = decoded(picture.png)
    assert [tuple(p) for p in found[:, 0].tolist()] == [MAGENTA, MAGENTA]
    assert found[:, 1, 0].tolist() == [0, 255]
    nothing = planes(np.full((1, 2, 2), np.nan), "diverging")
    assert (nothing.low, nothing.high) == (None, None)
    assert (decoded(nothing.png) == MAGENTA).all()


@pytest.mark.parametrize("scale", ["grey", "diverging"])
def test_a_constant_map_is_one_colour(scale):
    found = decoded(planes(np.full((1, 3, 4), 7.0), scale).png).reshape(-1, 4)
    assert len(np.unique(found, axis=0)) == 1


def test_numbers_at_the_end_of_the_range():
    largest = np.finfo(np.float64).max
    found = decoded(planes(np.array([[[-largest, 0.0, largest]]]), "grey").png)
    assert found[0, :, 0].tolist() == [0, 128, 255]


def test_integers_and_bools():
    ints = planes(np.array([[[0, 255]]], np.uint8), "grey")
    assert (ints.low, ints.high) == (0.0, 255.0)
    bools = planes(np.array([[[False, True]]]), "grey")
    assert decoded(bools.png)[0, :, 0].tolist() == [0, 255]


def test_tiles_stand_side_by_side_with_clear_gaps():
    values = np.arange(5.0)[:, None, None] + np.zeros((1, 2, 3))
    picture = planes(values, "grey")
    assert (picture.height, picture.width) == (2 * 2 + 1, 3 * 3 + 2)
    found = decoded(picture.png)
    assert found.shape == (5, 11, 4)
    assert (found[2] == CLEAR).all()
    assert (found[:, [3, 7]] == CLEAR).all()
    assert found[0, [0, 4, 8], 0].tolist() == [0, 63, 128]
    assert found[3, [0, 4], 0].tolist() == [192, 255]
    assert (found[3:, 8:] == CLEAR).all()
    in_a_row = planes(values, "grey", 5)
    assert (in_a_row.height, in_a_row.width) == (2, 5 * 3 + 4)


def test_three_channels_are_a_colour():
    values = np.zeros((2, 3, 1, 2))
    values[0, :, 0, 0] = 1.0, 0.0, 0.5
    values[1, 2, 0, 1] = np.nan
    picture = colours(values)
    (found,) = decoded(picture.png).tolist()
    assert found == [[255, 0, 128, 255], [0, 0, 0, 255], [*CLEAR], [0, 0, 0, 255], [*MAGENTA]]
    photo = np.full((1, 3, 1, 1), 100, np.uint8)
    assert decoded(colours(photo).png).tolist() == [[[100, 100, 100, 255]]]


def test_about_as_many_columns_as_rows():
    sizes = [tiled(np.zeros((n, 1, 1), np.uint8), None, 0).shape for n in (1, 2, 3, 4, 5, 16)]
    assert sizes == [(1, 1), (1, 3), (3, 3), (3, 3), (3, 5), (7, 7)]


def test_words():
    assert limits(np.array([np.nan, 2.0, -1.0, np.inf])) == (-1.0, 2.0)
    assert shown(4, 64, "channel") == "4 of 64 channels"
    assert (shown(1, 1, "filter"), shown(3, 3, "filter")) == ("1 filter", "3 filters")
    assert (thinned(1), thinned(2)) == ("", ", 1 of 2 rows and columns")
