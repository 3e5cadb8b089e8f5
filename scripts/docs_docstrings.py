"""Our docstrings as Markdown, for mkdocstrings: an example that runs becomes a block of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

# An example: a line with >>>, and all up to the next empty line.
EXAMPLE = re.compile(r"^>>> .*?(?=\n[ \t]*\n|\Z)", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"[ ]*# doctest: \+\w+", re.MULTILINE)


def markdown(text: str) -> str:
    """A docstring, with each example in a fence and its origin in italics.

    >>> print(markdown("Twice.\\n\\n>>> twice(2)\\n4\\n\\nSemantics: torch.add."))
    Twice.
    <BLANKLINE>
    ```pycon
    >>> twice(2)
    4
    ```
    <BLANKLINE>
    Semantics: torch.add.
    """
    return EXAMPLE.sub(lambda found: f"```pycon\n{HIDDEN.sub('', found[0])}\n```", text)


class Docstrings(griffe.Extension):
    """Rewrites what griffe has read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
