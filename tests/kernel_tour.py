"""Every CUDA kernel at work once, through lucidlite's own operations.

``run("float32")`` and the like; as a script it runs on the stand-in, which test_sanitized.py does
under sanitizers. What comes out is compared with the CPU elsewhere, case by case.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from case_kinds import differentiable, tensors_of, upstream
from cases import CASES

import lucidlite
from lucidlite import nn, optim
from lucidlite.amp import GradScaler
from lucidlite.autograd import grad
from lucidlite.backends import get_backend
from lucidlite.cuda.graph import make_graphed_step
from lucidlite.datasets import MNISTSample, OnDevice, transforms
from lucidlite.nn import functional as F

Tensor = lucidlite.Tensor
DEVICE = "cuda"


def on(dtype: str, *shape: int) -> Tensor:
    count = int(np.prod(shape))
    values = np.sin(np.arange(1, count + 1, dtype=np.float64)).reshape(shape)
    return lucidlite.from_numpy(values).to(DEVICE, getattr(lucidlite, dtype))


def case(case: Any, dtype: str) -> list[Tensor]:
    """An operation's results, their gradients and the gradients of those."""
    inputs = case.ours(case.arrays(dtype), DEVICE)
    results = case.run(lucidlite, inputs)
    outputs = differentiable(results)
    wanted = [t for t in inputs if t.requires_grad]
    if not outputs or not wanted:
        return list(tensors_of(results))
    given = [lucidlite.from_numpy(g).to(t.device).requires_grad_()
             for g, t in zip(upstream(case, outputs), outputs, strict=True)]  # fmt: skip
    first = grad(outputs, wanted, given, retain_graph=True, allow_unused=True)
    taped = grad(outputs, wanted, given, create_graph=True, allow_unused=True)
    again = [g for g in taped if g is not None and g.requires_grad]
    second: Sequence[Any] = ()
    if again and case.numeric:
        second = grad([g.sum() for g in again], [*wanted, *given], allow_unused=True)
    return [t for t in (*tensors_of(results), *first, *taped, *second) if t is not None]


def optimizers(dtype: str) -> None:
    weights = [on(dtype, 3, 5).requires_grad_(), on(dtype, 9).requires_grad_()]
    for kind, options in ((optim.SGD, {"momentum": 0.9, "nesterov": True}), (optim.SGD, {}),
                          (optim.Adam, {"amsgrad": True}), (optim.AdamW, {})):  # fmt: skip
        optimizer = kind(weights, lr=0.1, **options)
        for _ in range(2):
            optimizer.zero_grad()
            (weights[0].square().sum() + weights[1].sum()).backward()
            nn.utils.clip_grad_norm_(weights, 0.5)
            nn.utils.clip_grad_norm_(weights, 0.5, norm_type=float("inf"))
            nn.utils.get_total_norm([w.grad for w in weights])
            nn.utils.clip_grad_value_(weights, 0.1)
            optimizer.step()


def scaling(dtype: str) -> None:
    if dtype == "float16":
        return  # refused: the parameters are to stay float32
    weight = on(dtype, 7).requires_grad_()
    optimizer = optim.SGD([weight], lr=0.1)
    scaler = GradScaler(DEVICE, init_scale=4.0)
    scaler.scale(weight.square().sum()).backward()
    scaler.step(optimizer)
    scaler.update()


def products(dtype: str) -> None:
    for m, n, k in ((3, 5, 700), (33, 65, 17), (1, 1, 1)):
        a, b = on(dtype, m, k), on(dtype, k, n)
        a @ b, a @ on(dtype, n, k).t(), on(dtype, k, m).t() @ b
        F.linear(a, on(dtype, n, k), on(dtype, n))


def images(dtype: str) -> None:
    x = on(dtype, 2, 4, 7, 6).requires_grad_()
    weight, bias = on(dtype, 6, 4, 3, 3).requires_grad_(), on(dtype, 6).requires_grad_()
    y = F.conv2d(x, weight, bias, padding=1)
    y = F.dropout(F.relu(y), 0.5, training=True)
    y = F.dropout(F.max_pool2d(y[:, :, :5, :5].contiguous(), 2, 1), 0.3, training=True)
    pooled, _ = F.max_pool2d(y, 2, return_indices=True)
    (pooled.sum() + y.mean()).backward()


def indices(dtype: str) -> None:
    table = on(dtype, 11, 3)
    many = (lucidlite.arange(40000) % 11).to(DEVICE)
    table.requires_grad_()
    table[many].sum().backward()
    lucidlite.index_select(table, 0, many[:9]).sum().backward()


def data(dtype: str) -> None:
    if dtype != "float32":
        return
    change = transforms.Compose([transforms.RandomCrop(28, padding=2), transforms.ToTensor()])
    held = OnDevice(MNISTSample(train=False, transform=change), DEVICE)
    next(iter(lucidlite.utils.data.DataLoader(held, batch_size=5)))


def graph(dtype: str) -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    model.to(DEVICE, getattr(lucidlite, dtype))
    optimizer = optim.Adam(model.parameters())

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    graphed = make_graphed_step(step, warmup=1)
    for _ in range(4):
        graphed(on(dtype, 3, 5))


STOPS: Sequence[Callable[[str], None]] = (
    optimizers, scaling, products, images, indices, data, graph,
)  # fmt: skip


def cases(dtype: str, every: int = 1) -> Sequence[Any]:
    """The rows of the table for a dtype, one in ``every``."""
    return [each for each in CASES[::every] if dtype in each.dtypes and "cpu" not in each.path]


def run(dtype: str, every: int = 1) -> None:
    """All of it, of the table one row in ``every``."""
    for each in cases(dtype, every):
        case(each, dtype)
    for stop in STOPS:
        stop(dtype)
    get_backend(DEVICE).synchronize()


if __name__ == "__main__":
    import fakecupy
    import fakecupyx

    sys.modules["cupy"], sys.modules["cupyx"] = fakecupy, fakecupyx
    for name in sys.argv[2:]:
        run(name, int(sys.argv[1]))
    from fakecupy.raw import launched

    print(len(launched), "kernels")
