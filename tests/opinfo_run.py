"""Runs the samples and error inputs of one op or module of PyTorch's databases."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from opinfo_checks import (
    Difference,
    Pair,
    both,
    check_gradients,
    doubled,
    flat,
    partner,
    quiet,
    same,
    signature,
    text,
    tolerances,
)
from opinfo_table import LEFT_OUT, Asked

DTYPES = ("float32", "float64")
WHOLE = ("int64", "uint8", "bool")  # for ops that take no floating-point numbers


@dataclass
class Count:
    """How many checks were made, what failed, and how many were left out for each reason."""

    checks: int
    failures: list[str]
    left: dict[str, int]

    def leave(self, asked: Asked, what: str) -> bool:
        for row in LEFT_OUT:
            if row.holds(asked, what):
                self.left[row.why] = self.left.get(row.why, 0) + 1
                return True
        return False

    def check(self, label: str, call: Callable[[], None]) -> bool:
        self.checks += 1
        try:
            call()
        except Difference as problem:
            self.failures.append(f"{label}: {problem}")
            return False
        return True


def chosen(samples: Any, limit: int, seed: str) -> Iterator[tuple[int, Any]]:
    """All samples, or ``limit`` of the first hundred (making them takes time), always the same."""
    numbered = list(enumerate(islice(samples, 100) if limit else samples))
    if limit and len(numbered) > limit:
        numbered = sorted(random.Random(seed).sample(numbered, limit), key=lambda pair: pair[0])
    return iter(numbered)


def asked_of(name: str, sample: Any, error: str = "", dtype: str = "") -> Asked:
    values = list(flat((sample.input, sample.args, sample.kwargs)))
    positional = (sample.input, *sample.args)
    return Asked(name, values, dict(sample.kwargs), positional, error, dtype)


def variants(info: Any) -> Iterator[tuple[str, Any, bool]]:
    """The method, operator and in-place forms: name, PyTorch's callable, whether in place."""
    yield "method", info.method_variant, False
    yield "operator", info.operator_variant, False
    yield "in place", info.inplace_variant, True
    yield "in-place operator", info.inplace_operator_variant, True


def run_samples(
    torch: Any, info: Any, count: Count, limit: int = 0, largest: float = 0.0
) -> None:
    """Value, gradient and second gradient of the float32 and float64 samples of one OpInfo.

    ``limit`` of them for each dtype, all for 0. ``largest``: float32 values may be off by this part
    of the largest one, gradients by three times that.
    """
    label = f"{info.name}{'.' + info.variant_test_name if info.variant_test_name else ''}"
    call = quiet(lambda: partner(info.op, info.name if not _python(info.op) else ""))
    limits: dict[str, Any] = dict(tolerances(info))
    if largest:
        limits["largest"] = largest
    supported = {str(d).removeprefix("torch.") for d in info.supported_dtypes("cpu")}
    for dtype in DTYPES if supported & {*DTYPES} else WHOLE:
        if dtype not in supported or (largest and dtype != "float32"):
            continue
        kind = getattr(torch, dtype)
        differentiable = info.supports_autograd and kind in info.supported_backward_dtypes("cpu")
        samples = info.sample_inputs("cpu", kind, requires_grad=differentiable)
        for i, sample in chosen(samples, limit, f"{label} {dtype}"):
            asked = asked_of(info.name, sample, dtype=dtype)
            if count.leave(asked, "value"):
                continue
            where = f"{label}[{dtype} {i}]({signature(sample)})"
            if isinstance(call, Exception):
                count.check(where, partial(_absent, call))
                continue
            given = sample, asked, limits, count
            count.check(where, partial(_one, torch, info, call, *given))
            for form, theirs, writes in variants(info):
                if theirs is None or (writes and sample.broadcasts_input):
                    continue
                if count.leave(asked, form):
                    continue
                call_form = partial(_variant, torch, theirs, form, writes, *given)
                count.check(f"{where} {form}", call_form)


def _python(call: Any) -> bool:
    """Whether PyTorch's test code wraps the op in Python of its own."""
    call = getattr(call, "func", call)
    return "testing._internal" in str(getattr(call, "__module__", ""))


def _absent(problem: Exception) -> None:
    raise Difference(f"absent: {text(problem)}")


def _one(
    torch: Any, info: Any, call: Any, sample: Any, asked: Asked, limits: Any, count: Count
) -> None:
    try:
        _ask(torch, info, call, sample, asked, limits, count)
    except Difference:
        given = (sample.input, *sample.args), dict(sample.kwargs)
        truth = doubled(torch, info.op, given, []) if asked.dtype == "float32" else None
        if truth is None:
            raise
        _ask(torch, info, call, sample, asked, limits, count, truth)


def _ask(
    torch: Any, info: Any, call: Any, sample: Any, asked: Asked, limits: Any, count: Count,
    truth: Any = (None, None),
) -> None:  # fmt: skip
    pair = Pair(torch)
    args = (sample.input, *sample.args)
    results = both(
        lambda: call(*pair.ours(args), **pair.ours(sample.kwargs)),
        lambda: info.op(*pair.theirs(args), **pair.theirs(sample.kwargs)),
        "value",
    )
    if results is None:
        return
    got, expected = results
    random_values = count.leave(asked, "numbers")
    same(got, expected, limits, "value", not random_values, truth[0])
    if random_values or not info.supports_autograd or count.leave(asked, "gradient"):
        return
    second = asked.dtype == "float64" and info.supports_gradgrad
    second = second and not count.leave(asked, "second")
    check_gradients(torch, got, expected, pair.leaves, limits, second, truth[1])


def _variant(
    torch: Any, theirs: Any, form: str, writes: bool, sample: Any, asked: Asked, limits: Any,
    count: Count,
) -> None:  # fmt: skip
    ours = quiet(lambda: partner(theirs))
    if isinstance(ours, Exception):
        raise Difference(f"{form}: absent: {text(ours)}")
    pair = Pair(torch)
    args = (sample.input, *sample.args)
    mine, others = list(pair.ours(args)), list(pair.theirs(args))
    if writes and hasattr(mine[0], "clone"):
        mine[0], others[0] = mine[0].clone(), others[0].clone()
    results = both(
        lambda: ours(*mine, **pair.ours(sample.kwargs)),
        lambda: theirs(*others, **pair.theirs(sample.kwargs)),
        form,
    )
    if results is not None:
        values = not count.leave(asked, "numbers")
        same(*results, limits, form, values)
        if writes:
            same(mine[0], others[0], limits, f"{form}, the tensor itself", values)


def run_errors(torch: Any, info: Any, count: Count) -> None:
    """Every listed error input raises what PyTorch raises, or a subclass."""
    if info.error_inputs_func is None:
        return
    label = f"{info.name}{'.' + info.variant_test_name if info.variant_test_name else ''}"
    call = quiet(lambda: partner(info.op, info.name if not _python(info.op) else ""))
    for i, wrong in enumerate(info.error_inputs("cpu")):
        sample = wrong.sample_input
        asked = asked_of(info.name, sample, error=str(wrong.error_regex) or "any")
        if count.leave(asked, "error"):
            continue
        where = f"{label}[error {i}]({signature(sample)})"
        if isinstance(call, Exception):
            count.check(where, partial(_absent, call))
            continue
        count.check(where, partial(_error, torch, info, call, sample, wrong))


def _error(torch: Any, info: Any, call: Any, sample: Any, wrong: Any) -> None:
    pair = Pair(torch)
    args = (sample.input, *sample.args)
    theirs = quiet(lambda: info.op(*pair.theirs(args), **pair.theirs(sample.kwargs)))
    got = quiet(lambda: call(*pair.ours(args), **pair.ours(sample.kwargs)))
    raises(got, theirs, wrong)


def raises(got: Any, theirs: Any, wrong: Any) -> None:
    """``got`` is an exception of the class that PyTorch raises, or that its database names."""
    if not isinstance(theirs, Exception):
        return  # listed, and yet accepted
    listed = wrong.error_type if isinstance(wrong.error_type, tuple) else (wrong.error_type,)
    kinds = (type(theirs), *(kind for kind in listed if kind is not Exception))
    if not isinstance(got, Exception):
        raise Difference(f"no error; PyTorch: {text(theirs)}")
    if not isinstance(got, kinds):
        names = "/".join(sorted({kind.__name__ for kind in kinds}))
        raise Difference(f"{text(got)[:120]}; PyTorch: {names}: {wrong.error_regex}"[:300])


def same_numbers_seed() -> None:
    """Samples that draw with Python's or NumPy's generator draw the same."""
    random.seed(0)
    np.random.seed(0)
