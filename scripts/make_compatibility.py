"""Writes docs/compatibility.md: every public name of PyTorch, and whether lucidlite has it.

It reads both packages, so PyTorch must be installed: ``python scripts/make_compatibility.py``.
What is out of scope, and why, stands in lucidlite/scope.py.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import warnings
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import lucidlite
from lucidlite.scope import nearest, reason

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"

SECTIONS = ("torch", "torch.nn", "torch.nn.functional", "torch.optim")

# Arguments that nothing here takes, or that are taken and mean nothing: no row for each of them.
NOWHERE = """
    out names layout memory_format pin_memory foreach fused capturable differentiable _stacklevel
    size_average reduce orig_func _use_new_zipfile_serialization _disable_byteorder_record
"""

# What signatures don't show.
PARTIAL = {
    "torch.gather": "sparse_grad=True is refused",
    "torch.norm": "p='nuc' is refused: it needs singular values",
    "torch.save": "a zip of .npy arrays and JSON, or .safetensors; not PyTorch's .pt",
    "torch.load": "data only; .pt, .safetensors and .npz files, bfloat16 as float32",
    "torch.Tensor": "no tensor classes of each dtype; see the methods in the error it raises",
    "torch.nn.Embedding": "sparse=True is refused",
    "torch.nn.functional.embedding": "sparse=True is refused",
}

# Python's own, which dir() shows too.
FOREIGN = {"typing", "builtins", "collections", "functools", "os", "sys", "math", "enum", "abc",
           "types", "inspect", "threading", "textwrap", "platform", "ctypes", "glob", "importlib",
           "typing_extensions", "contextlib", "warnings", "pathlib", "operator", "itertools",
           "dataclasses", "numbers"}  # fmt: skip
FOREIGN_NAMES = {"TYPE_CHECKING", "torch"}

HEAD = """\
# What lucidlite has of PyTorch

Every public name of `torch`, `torch.nn`, `torch.nn.functional` and `torch.optim` in PyTorch
{version}: supported, partial, or absent, and why. `python scripts/make_compatibility.py` wrote this
page from the code of both. A name that is absent raises `AttributeError` with what is said here.

"Supported" means with all of PyTorch's arguments, except those that nothing here has: results are
returned, never written to `out=`; tensors have no `names=`, no `layout=` and no `memory_format=`;
the old `size_average=` and `reduce=` are `reduction=`; optimizers have one implementation, whatever
`foreach=`, `fused=`, `capturable=` and `differentiable=` would choose.

| | names | supported | partial | absent |
|---|---|---|---|---|
"""


def public(module: Any) -> Iterator[str]:
    """The names a user may use: PyTorch's own, submodules among them.

    But for those that are loaded when somebody asks: they are there only if somebody has.
    """
    apart = {*FOREIGN_NAMES, *getattr(module, "_lazy_modules", ())}
    for name in sorted(dir(module)):
        value = getattr(module, name)
        if name.startswith("_") or name in apart:
            continue
        if isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] == "torch":
                yield name
        else:
            home = (getattr(value, "__module__", None) or "").partition(".")[0]
            if home not in FOREIGN or isinstance(value, types.BuiltinFunctionType):
                yield name


def parameters(function: Any) -> list[str] | None:
    """The names of what ``function`` takes; None where it takes any, or nobody knows."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    kinds = {p.kind for p in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    several = inspect.Parameter.VAR_POSITIONAL
    return [p.name for p in signature.parameters.values() if p.kind != several]


def documented(function: Any) -> list[str] | None:
    """The parameters in the first line of the docstring, which built-in functions have instead."""
    first = ((function.__doc__ or "").strip().splitlines() or [""])[0]
    found = re.match(r"\w+\((.*)\) *->", first)
    if found is None:
        return None
    words = re.sub(r"\([^()]*\)|\[[^]]*\]", "", found[1]).split(",")
    names = [re.split(r"[=:]", word)[0].strip() for word in words]
    return [name for name in names if name.isidentifier()]


def missing(theirs: Any, ours: Any) -> list[str]:
    """The parameters that PyTorch's form has and ours hasn't."""
    if not callable(theirs) or not callable(ours):
        return []
    wanted = parameters(theirs) or documented(theirs)
    given = parameters(ours)
    if wanted is None or given is None:
        return []
    renamed = {w for w, g in zip(wanted, given, strict=False) if g not in wanted}
    return [n for n in wanted if n not in given and n not in NOWHERE.split() and n not in renamed]


def page() -> str:
    """The text of the page."""
    import torch

    head, body = [HEAD.format(version=torch.__version__.partition("+")[0]).rstrip()], []
    for section in SECTIONS:
        path = section.split(".")[1:]
        theirs, ours = (reduce(getattr, path, T) for T in (torch, lucidlite))
        names = list(public(theirs))
        there, partial, absent = [], {}, {}
        own = dir(ours)
        for name in names:
            full = f"{section}.{name}"
            if not hasattr(ours, name):
                words, shown = instead(section, name, own)
                absent.setdefault(words, []).append(shown)
                continue
            lacks = missing(getattr(theirs, name), getattr(ours, name))
            notes = [f"no `{n}=`" for n in lacks]
            note = "; ".join(notes + ([PARTIAL[full]] if full in PARTIAL else []))
            if note:
                partial[name] = note
            else:
                there.append(name)
        counts = len(names), len(there), len(partial), len(names) - len(there) - len(partial)
        head.append(f"| `{section}` | " + " | ".join(map(str, counts)) + " |")
        body += ["", f"## {section}", "", "**Supported.** " + listed(there)]
        if partial:
            body += ["", "| partial | what is missing |", "|---|---|"]
            body += [f"| `{name}` | {note} |" for name, note in partial.items()]
        body += ["", "**Absent.**", ""]
        for words, group in absent.items():
            body.append(textwrap.fill(f"- {words[0].upper() + words[1:]}: {', '.join(group)}", 100,
                                      subsequent_indent="  ", break_long_words=False,
                                      break_on_hyphens=False))  # fmt: skip
    return "\n".join([*head, *body]) + "\n"


def instead(section: str, name: str, own: list[str]) -> tuple[str, str]:
    """What is said of an absent name, and how the name is shown below it."""
    for place in ("nn.functional", "nn", "linalg", "optim.lr_scheduler"):
        known = reduce(getattr, place.split("."), lucidlite).__all__
        if f"torch.{place}" != section and name in known:
            return f"in `lucidlite.{place}`", f"`{name}`"
    if section == "torch" and hasattr(lucidlite.Tensor, name):
        return "a method of tensors", f"`{name}`"
    if reason(name):
        return reason(name), f"`{name}`"
    near = nearest(name, own)
    return "no more is said of these than the nearest name", f"`{name}`" + (
        f" (`{near}`)" if near else ""
    )


def listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = page()
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
