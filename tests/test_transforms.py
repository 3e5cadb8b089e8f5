"""Transforms: torchvision's values and words, on arrays, Tensors and batches alike."""

import numpy as np
import pytest
from image_cases import CHW, HW, HWC, NCHW, NHWC, as_tensor, drawn, same_as_array

import lucidlite
from lucidlite.datasets import transforms

# ---- ToTensor, Normalize, Compose, Lambda


def test_to_tensor_scales_uint8_and_moves_channels():
    got = transforms.ToTensor()(HWC)
    assert got.dtype == lucidlite.float32
    assert got.is_contiguous()
    expected = HWC.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(transforms.ToTensor()(HW).numpy(), expected[:1])
    np.testing.assert_array_equal(
        transforms.ToTensor()(NHWC).numpy(),
        NHWC.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255),
    )
    # Memory that is channels-first already, as CIFAR10 gives it.
    view = np.ascontiguousarray(HWC.transpose(2, 0, 1)).transpose(1, 2, 0)
    np.testing.assert_array_equal(transforms.ToTensor()(view).numpy(), expected)


def test_to_tensor_is_bit_equal_to_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = torch.from_numpy(every).to(torch.float32).div(255).numpy()
    np.testing.assert_array_equal(transforms.ToTensor()(every).numpy()[0], expected)
    normal = transforms.Normalize((0.1307,), (0.3081,))(transforms.ToTensor()(every))
    expected = torch.from_numpy(expected).sub(torch.tensor(0.1307)).div(torch.tensor(0.3081))
    np.testing.assert_array_equal(normal.numpy()[0], expected.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_to_tensor_keeps_other_values(dtype):
    array = np.asarray(HWC % 2, dtype=dtype)
    got = transforms.ToTensor()(array)
    assert got.dtype.name == dtype
    same_as_array(got, array)
    array[...] = 0
    assert got.numpy().any()  # no shared memory


def test_to_tensor_of_tensors():
    pixels = as_tensor(NHWC)
    np.testing.assert_array_equal(
        transforms.ToTensor()(pixels).numpy(), transforms.ToTensor()(NHWC).numpy()
    )
    assert transforms.ToTensor()(NCHW) is NCHW


def test_to_tensor_follows_the_default_dtype():
    lucidlite.set_default_dtype(lucidlite.float64)
    try:
        got = transforms.ToTensor()(HW)
    finally:
        lucidlite.set_default_dtype(lucidlite.float32)
    assert got.dtype == lucidlite.float64
    np.testing.assert_array_equal(got.numpy()[0], HW / 255)


def test_pillow_images_are_taken_too():
    image_module = pytest.importorskip("PIL.Image", reason="reads pictures (extra: images)")
    picture = image_module.fromarray(HWC)
    np.testing.assert_array_equal(
        transforms.ToTensor()(picture).numpy(), transforms.ToTensor()(HWC).numpy()
    )
    np.testing.assert_array_equal(transforms.CenterCrop(4)(picture), HWC[1:5, 0:4])


@pytest.mark.parametrize(
    "transform",
    [
        transforms.ToTensor(),
        transforms.Normalize(0.5, 0.5),
        transforms.Pad(1),
        transforms.RandomCrop(2),
        transforms.CenterCrop(2),
        transforms.RandomHorizontalFlip(),
        transforms.Resize(3),
        transforms.Grayscale(),
    ],
)
def test_what_is_no_image_is_refused_by_name(transform):
    name = type(transform).__name__
    with pytest.raises(TypeError, match=rf"^{name}: image must be a NumPy array or a Tensor"):
        transform([[1, 2]])
    with pytest.raises(ValueError, match=rf"^{name}: .*got shape=\(3,\)"):
        transform(np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=rf"^{name}: a Tensor image .*got shape=\(1, 1, 1, 1, 1\)"):
        transform(lucidlite.zeros(1, 1, 1, 1, 1))


MEAN, STD = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)


def test_normalize_every_kind():
    mean, std = np.float32(MEAN), np.float32(STD)
    normalize = transforms.Normalize(MEAN, STD)
    before = NCHW.numpy().copy()
    expected = (before - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_array_equal(normalize(NCHW).numpy(), expected)
    np.testing.assert_array_equal(NCHW.numpy(), before)
    np.testing.assert_array_equal(normalize(NCHW[0]).numpy(), expected[0])
    array = before.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(normalize(array), expected.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(normalize(array[0]), expected[0].transpose(1, 2, 0))
    double = normalize(lucidlite.from_numpy(before.astype(np.float64)))
    assert double.dtype == lucidlite.float64
    np.testing.assert_array_equal(
        transforms.Normalize(0.5, 2)(array[0, ..., 0]), (array[0, ..., 0] - np.float32(0.5)) / 2
    )


def test_normalize_in_place_and_with_gradient():
    tensor = NCHW.clone()
    version = tensor._version
    normalize = transforms.Normalize(MEAN, STD, inplace=True)
    assert normalize(tensor) is tensor
    assert tensor._version > version
    np.testing.assert_array_equal(tensor.numpy(), transforms.Normalize(MEAN, STD)(NCHW).numpy())
    array = np.ones((2, 2, 3), np.float32)
    assert normalize(array) is array
    np.testing.assert_allclose(array[0, 0], (1 - np.float32(MEAN)) / np.float32(STD), rtol=1e-6)
    leaf = NCHW.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="in-place"):
        normalize(leaf)
    transforms.Normalize(MEAN, STD)(leaf).sum().backward()
    expected = np.broadcast_to(1 / np.float32(STD)[:, None, None], leaf.shape)
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std", "image", "kind", "message"),
    [
        (0.5, 0.5, HWC, TypeError, "must be floating.*ToTensor.*uint8"),
        (0.5, 0.5, as_tensor(HWC), TypeError, "must be floating"),
        (0.5, (1, 0, 1), CHW, ValueError, "std must not be 0"),
        (0.5, 1e-60, CHW, ValueError, "std must not be 0 as float32"),
        ((1, 2), 1, CHW, ValueError, r"one per channel, got mean=\(1, 2\), channels=3"),
        (0, MEAN, CHW[:1], ValueError, "channels=1"),
    ],
)
def test_normalize_errors(mean, std, image, kind, message):
    with pytest.raises(kind, match=message):
        transforms.Normalize(mean, std)(image)


def test_compose_and_lambda():
    both = transforms.Compose([transforms.Lambda(lambda x: x + 1), abs])
    assert both(-5) == 4
    assert repr(both).startswith("Compose(\n    Lambda()\n    <built-in function abs>\n)")
    assert transforms.Compose([])(HW) is HW
    with pytest.raises(TypeError, match="lambd should be callable, got int"):
        transforms.Lambda(3)


# ---- the current generator


def test_outside_of_use_generator_the_default_one_is_used():
    crop = transforms.RandomCrop(3)
    lucidlite.manual_seed(11)
    first = [crop(HW) for _ in range(5)]
    lucidlite.manual_seed(11)
    for before, again in zip(first, [crop(HW) for _ in range(5)], strict=True):
        np.testing.assert_array_equal(before, again)
    offset = lucidlite.default_generator.get_state()["offset"]
    drawn(crop, HW)
    assert lucidlite.default_generator.get_state()["offset"] == offset


# ---- gradients: the same values by way of ops


@pytest.mark.parametrize(
    "transform",
    [
        transforms.Pad(2, 0.5),
        transforms.Pad((1, 2), (0.1, 0.2, 0.3)),
        transforms.Pad(7, 0, "reflect"),
        transforms.Pad(2, 0, "edge"),
        transforms.CenterCrop(3),
        transforms.CenterCrop(8),
        transforms.RandomCrop(4, padding=2),
        transforms.RandomHorizontalFlip(),
        transforms.Resize(4),
        transforms.RandomVerticalFlip(1),
        transforms.Normalize(0.5, 0.5),
        transforms.Grayscale(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("image", [NCHW, CHW], ids=["batch", "image"])
def test_a_tensor_that_requires_grad_gets_its_gradient(transform, image):
    expected = drawn(transform, image)
    leaf = image.clone().requires_grad_()
    got = drawn(transform, leaf)
    np.testing.assert_allclose(got.detach().numpy(), expected.numpy(), rtol=1e-6, atol=1e-7)
    if got is leaf:
        return
    weight = lucidlite.from_numpy(np.random.default_rng(1).random(got.shape, dtype=np.float32))
    (got * weight).sum().backward()
    # All of them are affine: f(x) - f(0) is the dot product of x with the gradient.
    zero = drawn(transform, lucidlite.zeros(*image.shape))
    difference = ((expected - zero) * weight).sum().item()
    np.testing.assert_allclose((leaf.grad * image).sum().item(), difference, rtol=1e-4)
    with lucidlite.no_grad():
        assert not drawn(transform, leaf).requires_grad or drawn(transform, leaf) is leaf


# ---- Grayscale, reprs


def test_grayscale():
    image_module = pytest.importorskip("PIL.Image", reason="reads pictures (extra: images)")
    expected = np.asarray(image_module.fromarray(HWC).convert("L"))
    np.testing.assert_array_equal(transforms.Grayscale()(HWC), expected)
    np.testing.assert_array_equal(transforms.Grayscale(3)(HWC), np.stack([expected] * 3, 2))
    np.testing.assert_array_equal(
        transforms.Grayscale()(NHWC[:1])[0, ..., 0], transforms.Grayscale()(NHWC[0])
    )
    np.testing.assert_array_equal(transforms.Grayscale()(HW), HW)
    assert transforms.Grayscale(3)(HW).shape == (6, 5, 3)
    weights = np.float32([0.2989, 0.587, 0.114])
    values = (NCHW.numpy() * weights[:, None, None]).sum(1, keepdims=True)
    np.testing.assert_allclose(transforms.Grayscale()(NCHW).numpy(), values, rtol=1e-6)
    assert tuple(transforms.Grayscale(3)(CHW).shape) == (3, 6, 5)
    with pytest.raises(ValueError, match="either 1 or 3, got num_output_channels=2"):
        transforms.Grayscale(2)
    with pytest.raises(ValueError, match="1 or 3 channels, got 4"):
        transforms.Grayscale()(np.zeros((2, 2, 4), np.uint8))


def test_reprs_are_torchvisions():
    assert repr(
        transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,), (0.5,)),
                transforms.Pad(2),
                transforms.Resize(8),
                transforms.CenterCrop(4),
                transforms.Grayscale(),
            ]
        )
    ) == (
        "Compose(\n    RandomCrop(size=(32, 32), padding=4)\n    RandomHorizontalFlip(p=0.5)\n"
        "    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n"
        "    Pad(padding=2, fill=0, padding_mode=constant)\n"
        "    Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    CenterCrop(size=(4, 4))\n    Grayscale(num_output_channels=1)\n)"
    )
