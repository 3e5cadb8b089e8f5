"""Running a model without training it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lucidlite.grad_mode import no_grad
from lucidlite.nn.module import Module


@contextmanager
def inference(model: Module) -> Iterator[Module]:
    """Evaluation mode without gradients; afterwards each module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield model
    finally:
        for module, training in modes:
            module.training = training
