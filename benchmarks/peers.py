"""One training step of CNNWithGAP in other frameworks too: MyGrad and JAX, where installed.

    pip install 'lucidlite[bench,peers]'
    python benchmarks/peers.py [--batch 64] [--json]

The same step from the same weights as in train_step.py. JAX compiles the whole step and holds
images as (N, H, W, C), which suits it best. NumPy's BLAS gets its own number of threads for
MyGrad's turns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from side_by_side import OURS, arguments, compare, finish, measure, show, start
from train_step import SGD, check_losses, training_step
from twins import Side, sides

from lucidlite.blas import blas
from lucidlite.threads import get_num_threads


class Loss:
    """A loss that is a number already."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> float:
        return float(self.value)


def weights_of(side: Side) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in side.model.state_dict().items()}


def mygrad_step(side: Side) -> Callable[[], Loss]:
    """The step in MyGrad, written as its documentation does."""
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    weights = {name: mygrad.tensor(value) for name, value in weights_of(side).items()}
    moments = {name: np.zeros_like(value.data) for name, value in weights.items()}
    images, labels = side.images.numpy(), side.labels.numpy()

    def step() -> Loss:
        x: Any = images
        for number in (0, 3, 6):
            w, b = (weights[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
            x = conv_nd(x, w, stride=1, padding=1) + b.reshape(1, -1, 1, 1)
            x = max_pool(relu(x), pool=(2, 2), stride=2)
        x = x.mean(axis=(2, 3)) @ weights["classifier.weight"].T + weights["classifier.bias"]
        loss = softmax_crossentropy(x, labels)
        loss.backward()
        for name, weight in weights.items():
            moments[name] = SGD["momentum"] * moments[name] + weight.grad
            weight.data[...] -= SGD["lr"] * moments[name]
        return Loss(loss.item())

    return step


def jax_step(side: Side) -> Callable[[], Loss]:
    """The step in JAX, compiled whole."""
    import jax
    import jax.numpy as jnp

    weights = {
        name: jnp.asarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
        for name, value in weights_of(side).items()
    }
    moments = {name: jnp.zeros_like(value) for name, value in weights.items()}
    images = jnp.asarray(side.images.numpy().transpose(0, 2, 3, 1))
    labels = jnp.asarray(side.labels.numpy())

    def loss_of(weights: Any) -> Any:
        x = images
        for number in (0, 3, 6):
            w, b = (weights[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
            order = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=order) + b
            window = (1, 2, 2, 1)
            x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, window, window, "SAME")
        logits = x.mean((1, 2)) @ weights["classifier.weight"].T + weights["classifier.bias"]
        chosen = jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
        return -chosen.mean()

    @jax.jit
    def update(weights: Any, moments: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(weights)
        moments = {name: SGD["momentum"] * m + grads[name] for name, m in moments.items()}
        return {n: w - SGD["lr"] * moments[n] for n, w in weights.items()}, moments, loss

    def step() -> Loss:
        nonlocal weights, moments
        weights, moments, loss = update(weights, moments)
        return Loss(loss.block_until_ready())

    return step


PEERS = {"mygrad": mygrad_step, "jax jit": jax_step}


@contextlib.contextmanager
def numpys_own_threads() -> Iterator[None]:
    """NumPy's BLAS as it is without lucidlite."""
    blas.give_back()
    try:
        yield
    finally:
        if get_num_threads() > 1:
            blas.take()


def contenders(batch: int) -> dict[str, Callable[[], Any]]:
    """lucidlite, PyTorch, and the peers that can be imported."""
    found = sides("CNNWithGAP", batch)
    steps: dict[str, Callable[[], Any]] = {}
    for name, make in PEERS.items():
        try:
            steps[name] = make(found[OURS])
        except ImportError as problem:
            print(f"{name} is left out: {problem}")
    return {**{name: training_step(side) for name, side in found.items()}, **steps}


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=8)
    parser.add_argument("--batch", type=int, default=64, help="images a step (64)")
    args = parser.parse_args(argv)
    start(args)
    steps = contenders(args.batch)
    check_losses(steps)
    around = {} if args.threads else {"mygrad": numpys_own_threads}
    times = measure(steps, args.rounds, args.repeats, around=around)
    labels = {"model": "CNNWithGAP", "batch": args.batch, **SGD}
    results = [compare(times, **labels)]
    show(f"a training step of CNNWithGAP, batch {args.batch}", results[0])
    finish("peers", args, results)


if __name__ == "__main__":
    main()
