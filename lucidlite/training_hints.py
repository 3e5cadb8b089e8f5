"""Likely causes of what is refused around backward and in training, '' where nothing usual fits.

As in ``hints``: pure functions, called where an error is raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# -- gradients -------------------------------------------------------------------------------------

SCALAR = "loss.mean() or loss.sum() first? A criterion's reduction='none' keeps one loss a sample"
DETACHED = "loss.item() for one number to print, x.detach().numpy() for the values"
ONE_NUMBER = "x.mean() or x.sum() first, or x.tolist() for all of them"
TRUTH = "(a == b).all() or .any() for tensors, `is None` to ask whether there is one"


def for_second_backward(path: str) -> str:
    """A graph that was walked before."""
    kept = "a hidden state kept from the batch before (h = h.detach())"
    total = "a total of losses (total += loss.item())"
    first, second = (kept, total) if "RNN" in path or "LSTM" in path or "GRU" in path else (
        total, kept)  # fmt: skip
    return (
        f"a part of an earlier step's graph: {first}, {second}, an output that two losses share "
        "(add them up, or detach() it for one), or backward() twice on one loss; "
        "retain_graph=True only if you mean it, and then gradients add up until zero_grad()"
    )


def for_no_grad(enabled: bool, floating: bool, inference: bool) -> str:
    """A tensor that nothing leads back from."""
    if inference:
        return "made in inference_mode()"
    if not enabled:
        return "this is inside no_grad()"
    if not floating:
        return "whole numbers have no gradient: argmax(), comparisons and .long() end the graph"
    return (
        "made under no_grad(), cut off by detach(), .item(), .numpy(), argmax() or a comparison, "
        "or are all parameters frozen (requires_grad=False)?"
    )


OUT_OF_PLACE = "out of place instead: x = x + 1 for x += 1, relu(x) without inplace=True"
STEPPED = (
    "a parameter changed between forward and backward: optimizer.step() belongs after the last "
    "backward(), or forward() comes once more"
)


# -- training --------------------------------------------------------------------------------------

NO_PARAMETERS = (
    "is no layer an attribute of the model (lists need nn.ModuleList), or were the parameters a "
    "generator that was used up before?"
)
MOVED = "model.to(device) first, then the optimizer; load_state_dict(its state_dict()) moves it too"
NO_LEAF = "the result of an operation: nn.Parameter(w) first, then what is computed from it"
NO_SUPER = "super().__init__() first in __init__"
NO_FORWARD = "def forward(self, x): inside the class, spelled so and indented once"
ONLY_HOLDS = "it only holds modules: call each in a loop, or make it an nn.Sequential"
SAME_SIZE = "one size for all: a resize or crop in the transform, or a collate_fn that pads"


def for_no_module(value: Any) -> str:
    """What was given where a module is due."""
    if isinstance(value, type):
        return f"the class itself: {value.__name__}(...) makes a layer of it"
    if isinstance(value, (list, tuple)):
        return "nn.Sequential(*layers) takes a list apart, nn.ModuleList(layers) holds one"
    if callable(value):
        return "a function is no layer: call it in a module's forward()"
    return ""


def for_no_state(value: Any) -> str:
    """What was given to load in place of a state_dict."""
    if hasattr(value, "state_dict"):
        return "its state_dict() is wanted"
    return "lucidlite.load(path) reads it from a file" if isinstance(value, str) else ""


def for_state_dict(missing: Iterable[str], unexpected: Iterable[str], held: Any) -> str:
    """Names that don't fit; ``held`` is what was given to load."""
    missing, unexpected = list(missing), list(unexpected)
    if unexpected and all(name.startswith("module.") for name in unexpected):
        return (
            "saved from a wrapped model: {k.removeprefix('module.'): v for k, v in state.items()}"
        )
    for name, value in held.items():
        if isinstance(value, dict) and missing and set(missing) <= set(value):
            return f"a checkpoint with more in it: load_state_dict(checkpoint[{name!r}])"
    if missing and unexpected:
        return "saved from another architecture, or by other attribute names?"
    if not missing and not unexpected:
        return "the same names: is the model made with the arguments it was saved with?"
    return ""
