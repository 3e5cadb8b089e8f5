"""Images of every layout for the tests of the transforms, and comparisons across layouts."""

import numpy as np

import lucidlite
from lucidlite.datasets import transforms
from lucidlite.generator import Generator

RNG = np.random.default_rng(0)
HWC = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
HW = HWC[..., 0].copy()
NHWC = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
CHW = lucidlite.from_numpy(RNG.random((3, 6, 5), dtype=np.float32))
NCHW = lucidlite.from_numpy(RNG.random((4, 3, 6, 5), dtype=np.float32))


def as_tensor(array):
    """The Tensor (C, H, W) or (N, C, H, W) with an array's pixels."""
    axis = array.ndim - 3
    return lucidlite.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, axis)))


def same_as_array(tensor, array):
    np.testing.assert_array_equal(np.moveaxis(tensor.numpy(), tensor.ndim - 3, -1), array)


def drawn(transform, image, seed=3):
    with transforms.use_generator(Generator().manual_seed(seed)):
        return transform(image)
