"""Write your own differentiable operation: a swish whose backward pass is given by hand.

gradcheck compares the gradient with numerical differences, gradgradcheck does so for the second
derivative, which comes for free where backward itself is made of differentiable operations.
"""

import lucidlite as torch
from lucidlite.autograd import Function, gradcheck, gradgradcheck


class Swish(Function):
    """x * sigmoid(x)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad_output * (s + x * s * (1 - s))


class ClippedGradient(Function):
    """The identity, whose gradient is kept between -limit and limit."""

    @staticmethod
    def forward(ctx, x, limit):
        ctx.limit = limit
        return x.clone()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.clamp(-ctx.limit, ctx.limit), None


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    print("gradcheck:", gradcheck(Swish.apply, (x,)))
    print("gradgradcheck:", gradgradcheck(Swish.apply, (x,)))

    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = Swish.apply(x)
    y.sum().backward()
    print("swish:   ", y.detach())
    print("gradient:", x.grad)

    x.grad = None
    (ClippedGradient.apply(x, 0.5) ** 2).sum().backward()
    print("clipped: ", x.grad)
