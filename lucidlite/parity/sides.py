"""The two libraries behind one set of calls: values go between them as NumPy arrays."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lucidlite.callsite import error
from lucidlite.determinism import exact_here
from lucidlite.parity.source import OURS, library

Arrays = dict[str, Any]
_one_at_a_time = threading.RLock()

# Names of losses: the function, and what it compares an output with.
LOSSES = {
    "cross-entropy": ("cross_entropy", "classes"),
    "nll": ("nll_loss", "classes"),
    "mse": ("mse_loss", "values"),
    "l1": ("l1_loss", "values"),
    "smooth-l1": ("smooth_l1_loss", "values"),
    "huber": ("huber_loss", "values"),
    "bce-with-logits": ("binary_cross_entropy_with_logits", "chances"),
}
# Names of optimizers: the class, and what it is given besides the learning rate. SGD has momentum
# so that its state counts.
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "adam": ("Adam", {"lr": 0.001}),
    "adamw": ("AdamW", {"lr": 0.001}),
    "adamax": ("Adamax", {"lr": 0.002}),
    "nadam": ("NAdam", {"lr": 0.002}),
    "radam": ("RAdam", {"lr": 0.001}),
    "rmsprop": ("RMSprop", {"lr": 0.001}),
    "adagrad": ("Adagrad", {"lr": 0.01}),
    "adadelta": ("Adadelta", {"lr": 1.0}),
    "asgd": ("ASGD", {"lr": 0.01}),
    "rprop": ("Rprop", {"lr": 0.01}),
}


class Problem(NamedTuple):
    """What one library raised: ``place`` is the line of the model's files it happened in."""

    library: str
    kind: str
    message: str
    place: str

    @property
    def brief(self) -> str:
        """In one line."""
        first = next((line for line in self.message.splitlines() if line.strip()), "")
        place = f" ({self.place})" if self.place else ""
        return f"{self.library}: {self.kind}: {first.strip()}{place}"

    def __str__(self) -> str:
        lines = [line for line in self.message.splitlines() if line.strip()] or [""]
        if self.place and not any(line.strip().startswith("at ") for line in lines):
            lines.append(f"  at {self.place}")
        first, *rest = [f"{self.kind}: {lines[0]}", *lines[1:]]
        return "\n".join([f"  {self.library:10} {first}", *(f"{'':13}{line}" for line in rest)])


class Side:
    """One of the libraries, on a device."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name, self.lib, self.device = name, library(name), device
        if name != OURS and device != "cpu" and not self.lib.cuda.is_available():
            self.device = "cpu"

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, self.lib.Tensor)

    def tensor(self, array: Any) -> Any:
        """A tensor of its own memory."""
        made = self.lib.from_numpy(np.array(array, order="C"))
        return made if self.device == "cpu" else made.to(self.device)

    def array(self, tensor: Any) -> Any:
        """The tensor's values now, whatever becomes of it."""
        return np.array(tensor.detach().cpu().numpy(), order="C")

    def place(self, model: Any, dtype: str) -> Any:
        """The model on the device, its floating-point values of this type."""
        return model.to(device=self.device, dtype=getattr(self.lib, dtype))

    def state(self, model: Any) -> Arrays:
        """The tensors of the state_dict."""
        found = model.state_dict().items()
        return {name: self.array(value) for name, value in found if self.is_tensor(value)}

    def load(self, model: Any, state: Arrays) -> None:
        """Write arrays into the state of these names; what has no array stays."""
        whole = model.state_dict()
        model.load_state_dict({**whole, **{n: self.tensor(a) for n, a in state.items()}})

    def buffers(self, model: Any) -> Arrays:
        return {name: self.array(value) for name, value in model.named_buffers()}

    def gradients(self, model: Any) -> Arrays:
        """The gradient of each parameter, None where it has none."""
        return {
            name: None if p.grad is None else self.array(p.grad)
            for name, p in model.named_parameters()
        }

    def write(self, tensor: Any, array: Any) -> None:
        """Give a tensor these values, off the tape."""
        with self.lib.no_grad():
            tensor.copy_(self.tensor(array))

    def substitute(self, tensor: Any, array: Any) -> Any:
        """``tensor`` with these values, past the tape: what backward has kept of it has them too.

        Where its memory can't be written to (that of ``expand`` is shared), another tensor of
        these values, whose gradient goes to ``tensor``.
        """
        value = self.tensor(array)
        try:
            tensor.data.copy_(value)
            return tensor
        except RuntimeError:
            if not tensor.requires_grad:
                return value
        function: Any = self.lib.autograd.Function

        class Same(function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, given: Any, wanted: Any) -> Any:  # noqa: ARG004
                return wanted.clone()

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:  # noqa: ARG004
                return grad, None

        return Same.apply(tensor, value)

    def loss(self, kind: Any, output: Any, target: Any) -> Any:
        if callable(kind):
            return kind(self.lib, output, target)
        return getattr(self.lib.nn.functional, LOSSES[kind][0])(output, target)

    def optimizer(self, kind: Any, model: Any, lr: float | None) -> Any:
        """An optimizer of the model's parameters; None for a model without any."""
        parameters = list(model.parameters())
        if not parameters:
            return None
        if callable(kind):
            return kind(self.lib, parameters)
        name, options = OPTIMIZERS[kind]
        options = options if lr is None else {**options, "lr": lr}
        return getattr(self.lib.optim, name)(parameters, **options)

    def problem(self, raised: BaseException, files: Collection[str]) -> Problem:
        """``raised`` in words, with the innermost line of ``files`` that it came through."""
        place = ""
        for frame in traceback.extract_tb(raised.__traceback__):
            if frame.filename in files:
                place = f"{frame.filename}:{frame.lineno} in {frame.name}"
        if isinstance(raised, SyntaxError) and raised.filename in files:
            place = f"{raised.filename}:{raised.lineno}"
        return Problem(self.name, type(raised).__name__, str(raised), place)


@contextmanager
def settings(sides: tuple[Side, Side], dtype: str, seed: int, exact: bool) -> Iterator[None]:
    """Both libraries of one mind, and afterwards as they were.

    Default dtype and seed are these, and our convolutions are computed as plain sums if ``exact``.
    PyTorch's warnings are not shown. One comparison at a time: these settings are the process's.
    """
    with _one_at_a_time:
        yield from _set(sides[0].lib, sides[1].lib, dtype, seed, exact)


def _set(ours: Any, theirs: Any, dtype: str, seed: int, exact: bool) -> Iterator[None]:
    before = [(lib, lib.get_default_dtype(), lib.get_rng_state()) for lib in (ours, theirs)]
    plain = exact_here.on
    try:
        exact_here.on = exact or plain
        for lib in (ours, theirs):
            lib.set_default_dtype(getattr(lib, dtype))
            lib.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exact_here.on = plain
        for lib, default, numbers in before:
            lib.set_default_dtype(default)
            lib.set_rng_state(numbers)


def check_choice(what: str, value: Any, names: Collection[str]) -> None:
    """ValueError for a name that isn't one of these; a function is taken as it is."""
    if not callable(value) and value not in names:
        raise error(
            ValueError, f"parity: {what} must be one of {', '.join(names)}, got {what}={value!r}"
        )
