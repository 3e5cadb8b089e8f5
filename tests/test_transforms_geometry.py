"""Transforms that move pixels: padding, crops, flips, scaling."""

import numpy as np
import pytest
from image_cases import CHW, HW, HWC, NCHW, NHWC, as_tensor, drawn, same_as_array

from lucidlite.datasets import spatial, transforms
from lucidlite.generator import Generator

# ---- Pad


@pytest.mark.parametrize("mode", spatial.PADDING_MODES)
@pytest.mark.parametrize("padding", [1, (2, 3), [2, 0, 1, 3], (9, 14), 0])
def test_pad_as_numpy(mode, padding):
    left, top, right, bottom = {1: (1, 1, 1, 1), 0: (0, 0, 0, 0)}.get(
        padding if isinstance(padding, int) else None
    ) or (tuple(padding) if len(padding) == 4 else tuple(padding) * 2)
    pad = transforms.Pad(padding, 7 if mode == "constant" else 0, mode)
    options = {"constant_values": 7} if mode == "constant" else {}
    sides = ((top, bottom), (left, right))
    expected = np.pad(HWC, (*sides, (0, 0)), mode, **options)
    got = pad(HWC)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(pad(HW), expected[..., 0])
    same_as_array(pad(as_tensor(HWC)), expected)
    batch = np.pad(NHWC, ((0, 0), *sides, (0, 0)), mode, **options)
    np.testing.assert_array_equal(pad(NHWC), batch)
    same_as_array(pad(as_tensor(NHWC)), batch)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_pad_of_one_pixel(mode):
    np.testing.assert_array_equal(
        transforms.Pad(3, padding_mode=mode)(np.full((1, 1), 5)), np.full((7, 7), 5)
    )


def test_pad_with_one_number_per_channel():
    pad = transforms.Pad(1, (1, 2, 3))
    got = pad(HWC)
    np.testing.assert_array_equal(got[0, 0], [1, 2, 3])
    np.testing.assert_array_equal(got[1:-1, 1:-1], HWC)
    same_as_array(pad(as_tensor(HWC)), got)
    same_as_array(pad(as_tensor(NHWC))[0], pad(NHWC[0]))


@pytest.mark.parametrize(
    ("arguments", "image", "message"),
    [
        ((-1,), None, "padding must be .* at least 0"),
        (((1, 2, 3),), None, "one, two or four"),
        ((1.5,), None, "one, two or four"),
        ((1, 0, "wrap"), None, "padding_mode must be one of .* got padding_mode='wrap'"),
        ((1, (1, 2)), HWC, r"fill must be a number or one number per channel.*channels=3"),
        ((1, 256), HWC, "fill must fit an image of uint8, got fill=256"),
        ((1, 0.5), HW, "fill must fit"),
        ((1, 0, "edge"), np.zeros((0, 3), np.uint8), "must not be empty"),
    ],
)
def test_pad_errors(arguments, image, message):
    with pytest.raises(ValueError, match=message):
        transforms.Pad(*arguments)(image)


# ---- crops


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        (4, (1, 5), (0, 4)),
        ((2, 5), (2, 4), (0, 5)),
        ((6, 3), (0, 6), (1, 4)),
        ((5, 2), (0, 5), (2, 4)),
    ],
)
def test_center_crop(size, rows, columns):
    expected = NHWC[:, slice(*rows), slice(*columns)]
    crop = transforms.CenterCrop(size)
    np.testing.assert_array_equal(crop(NHWC), expected)
    np.testing.assert_array_equal(crop(NHWC[0]), expected[0])
    same_as_array(crop(as_tensor(NHWC)), expected)
    same_as_array(crop(as_tensor(NHWC[1])), expected[1])


def test_center_crop_of_a_small_image():
    got = transforms.CenterCrop((9, 4))(HW)
    expected = np.zeros((9, 4), np.uint8)
    expected[1:7] = HW[:, :4]
    np.testing.assert_array_equal(got, expected)


def test_crop_of_a_tensor_is_no_second_view_of_its_memory():
    before = NCHW.numpy().copy()
    transforms.CenterCrop(2)(NCHW).zero_()
    drawn(transforms.RandomCrop(2), NCHW[0]).zero_()
    np.testing.assert_array_equal(NCHW.numpy(), before)


def places(crops, image, size):
    """Where each crop was taken; every pixel of ``image`` differs."""
    height, width = size
    found = []
    for crop in crops:
        top, left = (int(n[0]) for n in np.nonzero(image == crop.ravel()[0]))
        np.testing.assert_array_equal(crop, image[top : top + height, left : left + width])
        found.append((top, left))
    return found


def test_random_crop_takes_every_place_equally():
    image = np.arange(30).reshape(6, 5)
    crop = transforms.RandomCrop((4, 3))
    with transforms.use_generator(Generator().manual_seed(0)):
        found = places([crop(image) for _ in range(900)], image, (4, 3))
    counts = [found.count((top, left)) for top in range(3) for left in range(3)]
    assert sum(counts) == 900
    assert min(counts) > 70
    assert max(counts) < 130


def test_random_crop_draws_for_each_image_of_a_batch():
    image = np.arange(1024).reshape(32, 32)
    batch = np.broadcast_to(image[:, :, None], (200, 32, 32, 1))
    crop = transforms.RandomCrop(24)
    got = drawn(crop, batch)
    assert got.shape == (200, 24, 24, 1)
    found = places(got[..., 0], image, (24, 24))
    assert len(set(found)) > 60
    same_as_array(drawn(crop, as_tensor(batch)), got)
    np.testing.assert_array_equal(drawn(crop, batch), got)
    assert not np.array_equal(drawn(crop, batch, seed=4), got)


@pytest.mark.parametrize("mode", spatial.PADDING_MODES)
def test_random_crop_with_padding_is_a_crop_of_the_padded_image(mode):
    image = np.arange(1, 31).reshape(6, 5, 1)
    crop = transforms.RandomCrop((6, 5), padding=(1, 2), padding_mode=mode)
    padded = transforms.Pad((1, 2), padding_mode=mode)(image)
    windows = np.lib.stride_tricks.sliding_window_view(padded[..., 0], (6, 5)).reshape(-1, 30)
    with transforms.use_generator(Generator().manual_seed(1)):
        for _ in range(20):
            assert (windows == crop(image)[..., 0].ravel()).all(1).any()
    same_as_array(drawn(crop, as_tensor(image)), drawn(crop, image))


def test_random_crop_pads_if_needed():
    crop = transforms.RandomCrop((8, 4), pad_if_needed=True, fill=9)
    got = drawn(crop, HW)
    assert got.shape == (8, 4)
    assert (got == 9).sum() >= 2 * 4
    reflected = transforms.RandomCrop((10, 11), 1, pad_if_needed=True, padding_mode="reflect")
    expected = HW
    for sides in ((1, 1), (4, 0), (0, 2)):  # as the transform does it, step by step
        expected = transforms.Pad(sides, padding_mode="reflect")(expected)
    windows = np.lib.stride_tricks.sliding_window_view(expected, (10, 11)).reshape(-1, 110)
    assert (windows == drawn(reflected, HW).ravel()).all(1).any()
    with pytest.raises(ValueError, match=r"Required crop size .*size=\(8, 4\), image size="):
        transforms.RandomCrop((8, 4))(HW)


def test_random_crop_of_the_whole_image_draws_nothing():
    with transforms.use_generator(Generator().manual_seed(0)) as generator:
        assert transforms.RandomCrop((6, 5))(HW) is HW
        assert transforms.RandomCrop((6, 5))(CHW) is CHW
        assert generator.get_state()["offset"] == 0


@pytest.mark.parametrize("size", [0, -1, (1, 2, 3), 2.5, "3", (2, 0), True])
def test_sizes_are_checked(size):
    for kind in (transforms.RandomCrop, transforms.CenterCrop, transforms.Resize):
        with pytest.raises(ValueError, match=rf"^{kind.__name__}: size must be"):
            kind(size)


# ---- flips


@pytest.mark.parametrize(
    ("kind", "axis"), [(transforms.RandomHorizontalFlip, 2), (transforms.RandomVerticalFlip, 1)]
)
def test_flips(kind, axis):
    flipped = np.flip(NHWC, axis)
    np.testing.assert_array_equal(kind(1)(NHWC), flipped)
    np.testing.assert_array_equal(kind(p=1)(NHWC[0]), flipped[0])
    np.testing.assert_array_equal(kind(1)(NHWC[0, ..., 0]), flipped[0, ..., 0])
    same_as_array(kind(1)(as_tensor(NHWC)), flipped)
    same_as_array(kind(1)(as_tensor(NHWC[0])), flipped[0])
    assert kind(0)(HWC) is HWC
    assert kind(0)(NCHW) is NCHW
    assert repr(kind(0.25)) == f"{kind.__name__}(p=0.25)"
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: p must be from 0 to 1, got p=1.5"):
        kind(1.5)


def test_flip_draws_for_each_image():
    line = np.arange(5)
    batch = np.broadcast_to(line[None, None, :, None], (400, 1, 5, 1))
    got = drawn(transforms.RandomHorizontalFlip(0.3), batch)
    mirrored = (got[:, 0, 0, 0] == 4).mean()
    assert 0.22 < mirrored < 0.38
    assert set(got[:, 0, 0, 0].tolist()) == {0, 4}
    same_as_array(drawn(transforms.RandomHorizontalFlip(0.3), as_tensor(batch)), got)
    assert (batch[:, 0, 0, 0] == 0).all()


def test_flip_keeps_no_negative_strides():
    got = transforms.RandomHorizontalFlip(1)(HWC)
    assert min(got.strides) > 0


# ---- Resize


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(3, 4), (12, 3), (7, 7), (6, 5), (1, 1), (13, 17)])
def test_resize_as_torch(size, antialias):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    resize = transforms.Resize(size, antialias=antialias)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(NCHW.numpy()), size=size, mode="bilinear", antialias=antialias
    ).numpy()
    np.testing.assert_allclose(resize(NCHW).numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(resize(NCHW[0]).numpy(), expected[0], atol=2e-6)
    array = NCHW.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(resize(array).transpose(0, 3, 1, 2), expected, atol=2e-6)


def test_resize_uint8_as_pillow():
    image_module = pytest.importorskip("PIL.Image", reason="reads pictures (extra: images)")
    for size in ((3, 4), (14, 9), (2, 20)):
        expected = np.asarray(image_module.fromarray(HWC).resize(size[::-1], image_module.BILINEAR))
        got = transforms.Resize(size)(HWC)
        assert got.dtype == np.uint8
        assert np.abs(got.astype(int) - expected).max() <= 1


def test_resize_of_constant_images_is_exact():
    for size in (3, 17, (2, 9)):
        got = transforms.Resize(size)(np.full((6, 5, 1), 200, np.uint8))
        assert (got == 200).all()


@pytest.mark.parametrize(
    ("size", "max_size", "expected"),
    [
        (10, None, (12, 10)),
        (3, None, (3, 3)),
        ((3, 9), None, (3, 9)),
        (10, 11, (11, 9)),
        ([4], None, (4, 4)),
    ],
)
def test_resize_sizes(size, max_size, expected):
    assert transforms.Resize(size, max_size=max_size)(HW).shape == expected
    if isinstance(size, int):
        assert transforms.Resize(size, max_size=max_size)(HW.T).shape == expected[::-1]


def test_resize_errors():
    with pytest.raises(ValueError, match="must be 'bilinear', got interpolation='bicubic'"):
        transforms.Resize(3, "bicubic")
    with pytest.raises(ValueError, match="max_size"):
        transforms.Resize(9, max_size=9)
    with pytest.raises(ValueError, match="max_size"):
        transforms.Resize((9, 9), max_size=12)
