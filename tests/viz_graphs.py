"""Graphs of every kind for the tests of what a page shows."""

from __future__ import annotations

import lucidlite
from lucidlite import nn

F = nn.functional


def host(tensor):
    return tensor.detach().cpu().numpy()


class Residual(nn.Module):
    """A block that is called twice and skipped over, so that gradients meet."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x).relu(), 2)
        x = x + self.block(x)
        x = x + self.block(x)
        return self.head(x.mean((2, 3)))


def residual(seed=0):
    lucidlite.manual_seed(seed)
    model = Residual()
    target = lucidlite.tensor([0, 2])
    return model, F.cross_entropy(model(lucidlite.randn(2, 3, 8, 8)), target)


def mixed():
    """Views, several outputs, a branch that leads nowhere and a leaf used twice."""
    x = lucidlite.arange(12.0).reshape(3, 4).requires_grad_()
    w = lucidlite.full((4,), 0.5, requires_grad=True)
    first, second, _ = (x * w).unbind(0)
    return first.exp().sum() + (second.view(2, 2) @ first.reshape(2, 2)).sum() + w.sum()


class Square(lucidlite.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


def custom():
    x = lucidlite.tensor([1.0, -3.0], requires_grad=True)
    return (Square.apply(x) * x).sum()


def second_order():
    x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    (grad,) = lucidlite.autograd.grad((x**3).sum(), x, create_graph=True)
    return (grad * x).sum()


def written_views():
    x = lucidlite.ones(2, 3, requires_grad=True)
    y = x * 2
    y[0] *= 3
    y.view(-1)[4:].mul_(2)
    return (y * y).sum()


def chain():
    x = lucidlite.tensor(1.0, requires_grad=True)
    for _ in range(1500):
        x = x + 0.001
    return x


GRAPHS = {
    "residual": lambda: residual()[1],
    "mixed": mixed,
    "custom": custom,
    "second order": second_order,
    "written views": written_views,
    "chain": chain,
}


def pictured(entry):
    """The numbers of a node's pictures by their titles."""
    return {each["title"]: each["image"] for each in entry["images"]}


HOSTILE = "</script><script>alert(1)</script><!--"


class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module(HOSTILE, nn.Linear(2, 2))

    def forward(self, x):
        return self._modules[HOSTILE](x)
