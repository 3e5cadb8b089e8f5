"""Counts of what a training step does, without a clock: copies, products, calls, memory.

Each counter is a context manager that replaces the functions it counts, and puts them back.
"""

from __future__ import annotations

import sys
import tracemalloc
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

import numpy as np

import lucidlite
from lucidlite import nn
from lucidlite.backends import cpu
from lucidlite.backends.base import Backend, is_conv_layout
from lucidlite.backends.numpy_kernels import layout
from lucidlite.threads import get_num_threads, set_num_threads
from lucidlite.workers import local

KERNELS = [
    name
    for family in Backend.__mro__[:-1]
    for name in vars(family)
    if not name.startswith("_") and callable(getattr(family, name)) and name != "call"
]


@contextmanager
def in_one_thread():
    """Work cut for two threads, all of it done by this one, where the counters look."""
    threads = get_num_threads()
    set_num_threads(2)
    try:
        with mock.patch.object(local, "alone", True):
            yield
    finally:
        set_num_threads(threads)


class Training:
    """A network, a batch and an optimizer; ``step()`` is one step."""

    def __init__(self, name, batch, build=None):
        lucidlite.manual_seed(0)
        self.model = (build or getattr(lucidlite.models, name))()
        shape = (1, 28, 28) if name == "LeNet" else (3, 32, 32)
        self.x = lucidlite.randn(batch, *shape)
        self.target = lucidlite.arange(batch) % 10
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = lucidlite.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def forward(self):
        return self.criterion(self.model(self.x), self.target)

    def step(self):
        self.optimizer.zero_grad()
        self.forward().backward()
        self.optimizer.step()

    def warmed(self):
        """After two steps momentum, scratch and plans are there."""
        for _ in range(2):
            self.step()
        return self


def modules():
    return [m for n, m in sys.modules.items() if n.startswith("lucidlite") and m is not None]


def replace_everywhere(stack, name, plain, new):
    """Replace a function of NumPy or of a helper module wherever it was imported to."""
    for module in [np, *modules()]:
        if vars(module).get(name) is plain:
            stack.enter_context(mock.patch.object(module, name, new))
        for table in list(vars(module).values()):
            # A table of functions by name, or one that fills as they are asked for.
            filling = type(table).__module__ == module.__name__ and hasattr(table, "__missing__")
            if isinstance(table, dict) and (table.get(name) is plain or filling):
                stack.enter_context(mock.patch.dict(table, {name: new}))


# -- kernels ---------------------------------------------------------------------------------------


class Call(NamedTuple):
    kernel: str
    args: tuple
    results: tuple


@contextmanager
def kernel_calls():
    """A list that fills with the calls of the backend's kernels, without those they make."""
    calls, depth = [], [0]

    def counted(name, plain):
        def kernel(backend, *args, **kwargs):
            depth[0] += 1
            try:
                result = plain(backend, *args, **kwargs)
            finally:
                depth[0] -= 1
            if not depth[0]:
                results = result if isinstance(result, tuple) else (result,)
                calls.append(Call(name, (*args, *kwargs.values()), results))
            return result

        return kernel

    kind = type(cpu)
    with ExitStack() as stack:
        for name in set(KERNELS):
            new = counted(name, getattr(kind, name))
            stack.enter_context(mock.patch.object(kind, name, new))
        yield calls


def images(call):
    """The images among a kernel's arguments and results: 4-dim arrays of several pixels."""
    arrays = []
    for value in (*call.args, *call.results):
        arrays += value if isinstance(value, tuple) else (value,)
    return [
        a
        for a in arrays
        if isinstance(a, np.ndarray) and a.ndim == 4 and a.shape[2] * a.shape[3] > 1
    ]


def strays(calls, model):
    """(kernel, shape) of each image that a kernel met in another memory order than theirs.

    Weights and their gradients are no images; an image broadcast from fewer numbers has no order.
    """
    weights = {tuple(p.shape) for p in model.parameters()}
    return [
        (call.kernel, image.shape)
        for call in calls
        for image in images(call)
        if image.shape not in weights and 0 not in image.strides and not is_conv_layout(image)
    ]


# -- copies ----------------------------------------------------------------------------------------


@contextmanager
def order_copies():
    """A list that fills with the shapes of arrays copied for the sake of their memory order.

    A copy made of smaller ones counts once.
    """
    made, inside = [], []

    def counted(function, which, is_needed):
        def copier(*args, **kwargs):
            array = args[which]
            if not inside and isinstance(array, np.ndarray) and is_needed(array):
                made.append(array.shape)
            inside.append(function)
            try:
                return function(*args, **kwargs)
            finally:
                inside.pop()

        return copier

    def not_row_major(array):
        return not array.flags.c_contiguous

    def not_in_conv_layout(image):
        return not is_conv_layout(image.transpose(2, 3, 0, 1))

    with ExitStack() as stack:
        new = counted(np.ascontiguousarray, 0, not_row_major)
        replace_everywhere(stack, "ascontiguousarray", np.ascontiguousarray, new)
        new = counted(layout.copy_image, 1, not_in_conv_layout)
        replace_everywhere(stack, "copy_image", layout.copy_image, new)
        new = counted(type(cpu).copy, 1, not_row_major)
        stack.enter_context(mock.patch.object(type(cpu), "copy", new))
        yield made


# -- products --------------------------------------------------------------------------------------


class Product(NamedTuple):
    """``kind`` has a letter for each operand: N row-major, T transposed, - neither (no BLAS)."""

    kind: str
    flops: int
    shapes: tuple


def order_of(matrix):
    if matrix.ndim < 2:
        return "N"
    (rows, columns), (row, column), size = matrix.shape[-2:], matrix.strides[-2:], matrix.itemsize
    if columns == 1 or column == size:
        return "N" if rows == 1 or row >= columns * size else "-"
    return "T" if (rows == 1 or row == size) and column >= rows * size else "-"


@contextmanager
def products():
    """A list that fills with the matrix products."""
    found = []
    plain = np.matmul

    def matmul(a, b, *args, **kwargs):
        out = plain(a, b, *args, **kwargs)
        inner = a.shape[-1]
        found.append(
            Product(order_of(a) + order_of(b), 2 * int(np.size(out)) * inner, (a.shape, b.shape))
        )
        return out

    with ExitStack() as stack:
        replace_everywhere(stack, "matmul", plain, matmul)
        yield found


def share(found, slow):
    """What part of the multiply-adds is done in products of the ``slow`` kinds."""
    total = sum(p.flops for p in found)
    return sum(p.flops for p in found if slow(p)) / max(total, 1)


# -- calls -----------------------------------------------------------------------------------------


class Calls(NamedTuple):
    python: int  # calls of functions written in Python
    c: int  # and of built-in ones
    by_name: dict


def calls_of(function):
    """How many functions are called while ``function`` runs, itself not counted."""
    by_name: dict[tuple[str, str], int] = {}
    counts = {"call": 0, "c_call": 0}

    def profile(frame, event, _argument):
        if event in counts:
            counts[event] += 1
            if event == "call":
                code = frame.f_code
                key = code.co_filename.replace("\\", "/").rpartition("lucidlite/")[2], code.co_name
                by_name[key] = by_name.get(key, 0) + 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return Calls(counts["call"] - 1, counts["c_call"] - 1, by_name)


# -- memory ----------------------------------------------------------------------------------------


def peak_of(function):
    """Bytes allocated at most, while ``function`` runs, above those before it."""
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    try:
        function()  # what is kept from one run to the next is there
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if started:
            tracemalloc.stop()
