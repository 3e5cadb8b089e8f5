"""The page of a tape: its files and its data joined, and the page in a frame."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lucidlite.pages import joined

PAGE = Path(__file__).with_name("page")


def build(data: Mapping[str, Any]) -> str:
    """The HTML of ``page/index.html`` with all it needs, to show ``data``."""
    return joined(PAGE, data)


def framed(page: str, height: int = 720) -> str:
    """The page inside another one, such as a notebook, that it can neither read nor change."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" '
        f'style="width: 100%; height: {height}px; border: 0" title="tape"></iframe>'
    )
