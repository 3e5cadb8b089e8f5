"""Runs the inputs of one module of PyTorch's ModuleInfo database."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from opinfo_checks import (
    Difference,
    Pair,
    both,
    check_gradients,
    doubled,
    flat,
    quiet,
    same,
    signature,
    tolerances,
)
from opinfo_run import DTYPES, Count, chosen, raises
from opinfo_table import Asked

import lucidlite


class _Sample:
    """A FunctionInput as ``signature`` reads samples."""

    def __init__(self, given: Any) -> None:
        self.input, self.args, self.kwargs = (), tuple(given.args), dict(given.kwargs)


def halves(module_input: Any) -> list[Any]:
    """What construction and forward take, where there is a forward."""
    return [g for g in (module_input.constructor_input, module_input.forward_input) if g]


def asked_of_module(info: Any, given: list[Any], dtype: str, error: str = "") -> Asked:
    values = list(flat([(g.args, g.kwargs) for g in given]))
    named = {name: value for g in given for name, value in g.kwargs.items()}
    return Asked(info.module_cls.__name__, values, named, (), error, dtype)


def run_module(
    torch: Any, info: Any, count: Count, limit: int = 0, largest: float = 0.0
) -> None:
    """Outputs, gradients and state in training and evaluation, repr, and the second gradient.

    ``limit`` and ``largest`` as for ``run_samples``.
    """
    name = info.module_cls.__name__
    limits: dict[str, Any] = dict(tolerances(info))
    if largest:
        limits["largest"] = largest
    for dtype in DTYPES:
        kind = getattr(torch, dtype)
        if kind not in info.supported_dtypes("cpu") or (largest and dtype != "float32"):
            continue
        for training in (True, False) if info.train_and_eval_differ else (True,):
            torch.manual_seed(0)
            inputs = info.module_inputs_func(
                info, device="cpu", dtype=kind, requires_grad=True, training=training
            )
            mode = "train" if training else "eval"
            for i, module_input in chosen(inputs, limit, f"{name} {dtype} {mode}"):
                given = halves(module_input)
                asked = asked_of_module(info, given, dtype)
                if count.leave(asked, "value"):
                    continue
                made = ", ".join(signature(_Sample(g))[4:] for g in given)
                where = f"{name}[{dtype} {mode} {i}]({made})"
                call = partial(_module, torch, info, module_input, kind, training)
                count.check(where, partial(call, asked, limits, count))


def _module(
    torch: Any, info: Any, module_input: Any, dtype: Any, training: bool, asked: Asked, limits: Any,
    count: Count,
) -> None:  # fmt: skip
    pair = Pair(torch)
    made = module_input.constructor_input
    modules = both(
        lambda: getattr(lucidlite.nn, info.module_cls.__name__)(
            *pair.ours(made.args), **pair.ours(made.kwargs)
        ).to(getattr(lucidlite, asked.dtype)),
        lambda: info.module_cls(*pair.theirs(made.args), **pair.theirs(made.kwargs)).to(dtype),
        "construction",
    )
    if modules is None:
        return
    ours, theirs = modules
    if repr(ours) != repr(theirs):
        raise Difference(f"repr: {ours!r}, PyTorch has {theirs!r}")
    state = theirs.state_dict()
    if list(ours.state_dict()) != list(state):
        raise Difference(f"state_dict: {list(ours.state_dict())}, PyTorch has {list(state)}")
    ours.load_state_dict({k: lucidlite.from_numpy(v.numpy().copy()) for k, v in state.items()})
    ours.train(training), theirs.train(training)
    given = module_input.forward_input
    if given is None:
        return
    results = both(
        lambda: ours(*pair.ours(given.args), **pair.ours(given.kwargs)),
        lambda: theirs(*pair.theirs(given.args), **pair.theirs(given.kwargs)),
        "value",
    )
    if results is None:
        return
    got, expected = results
    values = not count.leave(asked, "numbers")
    after = theirs.state_dict()
    parameters = dict(ours.named_parameters())
    leaves = pair.leaves + [(p, parameters[name]) for name, p in theirs.named_parameters()]
    second = asked.dtype == "float64" and info.supports_gradgrad
    second = second and not count.leave(asked, "second")

    def compare(truth: Any = (None, None)) -> None:
        same(got, expected, limits, "value", values, truth[0])
        same([ours.state_dict()[k] for k in after], list(after.values()), limits, "state")
        if values and not count.leave(asked, "gradient"):
            check_gradients(torch, got, expected, leaves, limits, second, truth[1])

    try:
        compare()
    except Difference:
        if asked.dtype != "float32" or not values:
            raise
        wide = copy.deepcopy(theirs).double()
        call = (given.args, dict(given.kwargs))
        truth = doubled(torch, wide, call, list(wide.parameters()))
        if truth is None:
            raise
        # Once more from the same leaves: the first comparison freed the graph.
        got = ours(*pair.ours(given.args), **pair.ours(given.kwargs))
        expected = theirs(*pair.theirs(given.args), **pair.theirs(given.kwargs))
        compare(truth)


def run_module_errors(torch: Any, info: Any, count: Count) -> None:
    """Every listed error input raises, on construction or in forward."""
    if info.module_error_inputs_func is None:
        return
    name = info.module_cls.__name__
    for training in (True, False) if info.train_and_eval_differ else (True,):
        wrongs = info.module_error_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
        )
        for i, wrong in enumerate(wrongs):
            module_input = wrong.module_error_input
            given = halves(module_input)
            asked = asked_of_module(info, given, "float32", str(wrong.error_regex))
            if count.leave(asked, "error"):
                continue
            made = ", ".join(signature(_Sample(g))[4:] for g in given)
            label = f"{name}[error {i}]({made})"
            count.check(label, partial(_error, torch, info, module_input, wrong))


def _error(torch: Any, info: Any, module_input: Any, wrong: Any) -> None:
    pair = Pair(torch)

    def run(cls: Any, convert: Any) -> Any:
        made, given = module_input.constructor_input, module_input.forward_input
        module = cls(*convert(made.args), **convert(made.kwargs))
        return given and module(*convert(given.args), **convert(given.kwargs))

    got = quiet(lambda: run(getattr(lucidlite.nn, info.module_cls.__name__), pair.ours))
    raises(got, quiet(lambda: run(info.module_cls, pair.theirs)), wrong)
