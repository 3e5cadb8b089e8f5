"""A module in a notebook: its tree, each part with its parameters, to fold and unfold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.printing_html import escaped

if TYPE_CHECKING:
    from lucidlite.nn.module import Module

_INDENT = 'style="margin-left: 1.5em"'
_OPEN = 2  # levels that are unfolded at first


def module_html(module: Module, name: str = "", depth: int = 0) -> str:
    """The module as nested ``<details>``: settings, numbers of parameters, tensors, children."""
    title = f"({name}): " if name else ""
    title += f"<b>{escaped(module._get_name())}</b>"
    settings = " ".join(module.extra_repr().split())
    if settings:
        title += f"({escaped(settings)})"
    parameters = list(module.parameters())
    if parameters:
        title += f' <small style="opacity: 0.7">{_count(parameters)}</small>'
    lines = [
        *(_tensor(key, value, "parameter") for key, value in module._parameters.items()),
        *(_tensor(key, value, "buffer") for key, value in module._buffers.items()),
        *(
            f"<div>({escaped(key)}): None</div>" if child is None
            else module_html(child, escaped(key), depth + 1)
            for key, child in module._modules.items()
        ),
    ]  # fmt: skip
    if not lines:
        return f'<div style="font-family: monospace">{title}</div>'
    return (
        f'<details{" open" if depth < _OPEN else ""} style="font-family: monospace">'
        f"<summary>{title}</summary><div {_INDENT}>{''.join(lines)}</div></details>"
    )


def _tensor(name: str, value: Any, kind: str) -> str:
    if value is None:
        return f"<div>{escaped(name)}: None</div>"
    notes = [kind] if kind == "buffer" else [] if value.requires_grad else ["frozen"]
    notes += [value.dtype.name] if value.dtype.name != "float32" else []
    notes += [str(value.device)] if value.device.type != "cpu" else []
    note = f' <small style="opacity: 0.7">{", ".join(notes)}</small>' if notes else ""
    return f"<div>{escaped(name)} {escaped(str(tuple(value.shape)))}{note}</div>"


def _count(parameters: list[Any]) -> str:
    total = sum(p.numel() for p in parameters)
    frozen = sum(p.numel() for p in parameters if not p.requires_grad)
    words = f"{total:,} parameter{'s' if total != 1 else ''}"
    return f"{words}, {frozen:,} frozen" if frozen else words
