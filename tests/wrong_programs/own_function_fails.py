# raises: ValueError
# op: not enough values to unpack (expected 2, got 1)
# node: in the gradient of SwishBackward
# module: Sequential.1: Activation
# hint: -

import lucidlite as torch
from lucidlite import nn


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, grad):
        x, out = ctx.saved_tensors
        return grad * (out + x.sigmoid() * (1 - out))


class Activation(nn.Module):
    def forward(self, x):
        return Swish.apply(x)  # <- recorded


model = nn.Sequential(nn.Linear(3, 3), Activation(), nn.Linear(3, 1))
model(torch.rand(2, 3)).sum().backward()
