"""The same model in both libraries: made from one source, or given as a pair."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lucidlite.callsite import error
from lucidlite.nn.module import Module
from lucidlite.parity.inputs import IMAGE, Inputs, Sizes, image_for, inputs_for
from lucidlite.parity.measure import Gap
from lucidlite.parity.places import LAYERS
from lucidlite.parity.sides import Problem, Side
from lucidlite.parity.source import OURS, Turned, class_in
from lucidlite.parity.step import Finding
from lucidlite.training.build import MODELS, OFFERED, make_model

Sides = tuple[Side, Side]


class Twins(NamedTuple):
    """``make()`` gives fresh models, ours and PyTorch's; ``files`` are those their code is in."""

    name: str
    make: Callable[[], tuple[Any, Any]]
    files: tuple[frozenset[str], frozenset[str]]
    inputs: Inputs


def from_source(name: str, sides: Sides, classes: int, sizes: Sequence[Sizes]) -> Twins:
    """The class ``path.py:Class``, or one of our models, under both libraries."""
    path, wanted = _place(name)
    turned = [Turned(side.name, path.parent.resolve()) for side in sides]
    modules = _both(name, sides, turned, lambda i: turned[i].run(path, path.stem))
    kinds: Any = [
        MODELS[name] if name in MODELS and side.name == OURS
        else class_in(module, side.lib.nn.Module, path, wanted)
        for side, module in zip(sides, modules, strict=True)
    ]  # fmt: skip
    image: Any = sizes[0] if sizes and len(sizes[0]) == 3 else None
    if image is None:
        try:
            image = image_for(kinds[0], classes)
        except Exception:  # it will come again when both are made, and be reported
            image = IMAGE

    def make() -> tuple[Any, Any]:
        return _both(name, sides, turned, lambda i: make_model(kinds[i], classes, image))

    inputs = inputs_for(make()[0], sizes, image)
    files = frozenset(turned[0].files), frozenset(turned[1].files)
    return Twins(wanted, make, files, inputs)


def from_pair(pair: Any, sides: Sides, sizes: Sequence[Sizes]) -> Twins:
    """Two models as they are; they are copied, so that they stay so."""
    bases = Module, sides[1].lib.nn.Module
    if len(pair) != 2 or not all(map(isinstance, pair, bases)):
        got = ", ".join(type(each).__name__ for each in pair)
        raise error(
            TypeError, f"parity: expects lucidlite's nn.Module, then PyTorch's, got ({got})"
        )
    ours, theirs = pair
    shown = inputs_for(ours, sizes)
    files = _files(ours), _files(theirs)
    return Twins(type(ours).__name__, lambda: copy.deepcopy((ours, theirs)), files, shown)


def _place(name: str) -> tuple[Path, str]:
    """The file and the class in it that a name means."""
    if name in MODELS:
        kind = MODELS[name]
        code: Any = kind.forward
        return Path(code.__code__.co_filename), kind.__name__
    path, colon, wanted = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise error(
            ValueError,
            f"parity: model must be one of {', '.join(MODELS)} or path.py:Class, "
            f"got model={name!r}",
        )
    if not Path(path).is_file():
        raise error(FileNotFoundError, f"parity: there is no file {path}")
    return Path(path), wanted


def _both(
    name: str, sides: Sides, turned: Sequence[Turned], call: Callable[[int], Any]
) -> tuple[Any, Any]:
    """What ``call`` gives for each library; ValueError with what each raised."""
    made: list[Any] = []
    problems: list[Problem] = []
    for i, side in enumerate(sides):
        try:
            made.append(call(i))
        except (Exception, SystemExit) as problem:  # a script may end when it is run
            problems.append(side.problem(problem, turned[i].files))
    if problems:
        texts = [each.brief for each in problems]
        if any("__init__() missing" in each.message for each in problems):
            texts.append(f"a class is given {', '.join(OFFERED)}, the rest needs defaults")
        if any(each.kind == "SystemExit" for each in problems):
            texts.append('what a script does belongs under if __name__ == "__main__"')
        if len(problems) == 1:
            other = sides[0].name if problems[0].library == sides[1].name else sides[1].name
            texts.append(f"{other} makes it")
        raise error(ValueError, "\n".join([f"parity: {name} can't be made", *texts]))
    return made[0], made[1]


def _own(module: Any) -> bool:
    """Whether a module's class is its user's, not a library's."""
    return not f"{type(module).__module__}.".startswith(LAYERS)


def _files(model: Any) -> frozenset[str]:
    """Where the forward functions of a model's own classes stand."""
    own = filter(_own, model.modules())
    codes = [getattr(type(module).forward, "__code__", None) for module in own]
    return frozenset(code.co_filename for code in codes if code is not None)


# -- weights and modes ---------------------------------------------------------------------------


def mismatches(sides: Sides, models: tuple[Any, Any], weights: str) -> list[Finding]:
    """Names and shapes in which the two states differ, parameters that only one would train."""
    ours, theirs = (side.state(model) for side, model in zip(sides, models, strict=True))
    found: dict[str, str] = {}
    if ours.keys() != theirs.keys():
        kinds = [
            {name: type(m).__name__ for name, m in model.named_modules() if not _own(m)}
            for model in models
        ]
        other = next((n for n, kind in kinds[0].items() if kinds[1].get(n, kind) != kind), None)
        if other is not None:  # from there on, numbers are those of other layers
            found[other] = f"class: ours {kinds[0][other]}, torch {kinds[1][other]}"
    for name in [*ours, *(n for n in theirs if n not in ours)]:
        if name not in ours or name not in theirs:
            found[name] = f"only {(sides[0] if name in ours else sides[1]).name} has one"
        elif ours[name].shape != theirs[name].shape:
            found[name] = f"shape: ours {ours[name].shape}, torch {theirs[name].shape}"
    flags = [{n: p.requires_grad for n, p in model.named_parameters()} for model in models]
    for name, flag in flags[0].items():
        if flags[1].get(name, flag) != flag:
            found.setdefault(name, f"requires_grad: ours {flag}, torch {not flag}")
    return [
        Finding(weights, 0, "weights", name, "state_dict", Gap(np.inf, reason=reason))
        for name, reason in found.items()
    ]


def copy_weights(source: tuple[Side, Any], target: tuple[Side, Any]) -> list[str]:
    """Copy a state over and back again; the names of what isn't the same to the bit then."""
    (side, model), (other_side, other) = source, target
    sent = side.state(model)
    other_side.load(other, sent)
    arrived = other_side.state(other)
    side.load(model, arrived)
    back = side.state(model)
    return [
        name for name, array in sent.items()
        if any(each.tobytes() != array.tobytes() or each.dtype != array.dtype
               for each in (arrived[name], back[name]))
    ]  # fmt: skip


def without_dropout(models: Sequence[Any]) -> list[str]:
    """Set every dropout of the models to nothing; the names of the modules that had some."""
    names: dict[str, None] = {}
    for model in models:
        for name, module in model.named_modules():
            attribute = "p" if "Dropout" in type(module).__name__ else "dropout"
            chance = getattr(module, attribute, 0)
            if isinstance(chance, float) and chance > 0:
                setattr(module, attribute, 0.0)
                names[name or type(module).__name__] = None
    return list(names)
