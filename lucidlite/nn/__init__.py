"""Neural-network modules under PyTorch's names."""

from lucidlite.nn import functional, init
from lucidlite.nn.activation import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from lucidlite.nn.containers import ModuleDict, ModuleList, Sequential
from lucidlite.nn.conv import Conv2d
from lucidlite.nn.dropout import Dropout
from lucidlite.nn.linear import Identity, Linear
from lucidlite.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from lucidlite.nn.module import Module
from lucidlite.nn.norm import BatchNorm1d, BatchNorm2d
from lucidlite.nn.parameter import Buffer, Parameter
from lucidlite.nn.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from lucidlite.nn.shape import Flatten

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
