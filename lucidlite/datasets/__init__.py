"""Data sets of images, and transforms for them, with torchvision's names and arguments."""

from lucidlite.datasets import transforms
from lucidlite.datasets.cifar import CIFAR10
from lucidlite.datasets.folder import ImageFolder
from lucidlite.datasets.images import read_image
from lucidlite.datasets.mnist import MNIST, FashionMNIST, MNISTSample
from lucidlite.datasets.on_device import OnDevice
from lucidlite.datasets.vision import VisionDataset

__all__ = [
    "CIFAR10",
    "MNIST",
    "FashionMNIST",
    "ImageFolder",
    "MNISTSample",
    "OnDevice",
    "VisionDataset",
    "read_image",
    "transforms",
]
