"""One file that holds a page and all it needs: its style, its scripts and the data it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lucidlite.callsite import error

_STYLE = re.compile(r'<link rel="stylesheet" href="([\w.-]+)"\s*/?>')
_SCRIPT = re.compile(r'<script src="([\w.-]+)"></script>')
_TITLE = re.compile(r"(<title>).*?(</title>)", re.DOTALL)
_DATA = re.compile(r'(<script type="application/json" id="data">).*?(</script>)', re.DOTALL)
_BODY = "<!-- BODY -->"


def joined(folder: Path, data: Mapping[str, Any], body: str = "") -> str:
    """The HTML of ``folder``'s index.html with style, scripts, title, data and body put in.

    ``body``, which must be escaped already, takes the place of ``<!-- BODY -->``. A content
    security policy in the page names the hashes of just these scripts and styles, in place of
    SCRIPT_SOURCES and STYLE_SOURCES: nothing else runs, and nothing is fetched.
    """
    text = _read(folder, "index.html")
    sources: dict[str, list[str]] = {"style": [], "script": []}

    def inlined(tag: str, name: str) -> str:
        content = _read(folder, name)
        if f"</{tag}" in content.lower():
            raise error(ValueError, f"page: a file of it holds the end of its tag, got {name}")
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest())
        sources[tag].append(f"'sha256-{digest.decode('ascii')}'")
        return f"<{tag}>{content}</{tag}>"

    text = _STYLE.sub(lambda found: inlined("style", found[1]), text)
    text = _SCRIPT.sub(lambda found: inlined("script", found[1]), text)
    for tag, hashes in sources.items():
        text = text.replace(f"{tag.upper()}_SOURCES", " ".join(hashes), 1)
    title = html.escape(str(data["title"]))
    text = _TITLE.sub(lambda found: f"{found[1]}{title}{found[2]}", text, count=1)
    text = _DATA.sub(lambda found: f"{found[1]}{embedded(data)}{found[2]}", text, count=1)
    return text.replace(_BODY, body, 1)


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that nothing in it can end: no character of it means anything to HTML."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")
