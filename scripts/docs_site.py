"""Of the finished site: listings of quoted files, search without a server, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs_source import PACKAGE

# Attributes by which a browser fetches something; <a href> it only follows.
FETCHED = {
    ("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"),
    ("video", "src"), ("audio", "src"), ("object", "data"), ("embed", "src"), ("image", "href"),
}  # fmt: skip
STYLE = """
body { margin: 0; font-size: 14px; line-height: 1.45 } pre { margin: 0 }
.highlighttable { border-spacing: 0 } .linenos { padding: 0 1em; opacity: .6; text-align: right }
:target, a:target { outline: none } span:has(> a:target), :target { background: #fc06 }
@media (prefers-color-scheme: dark) { body { background: #14151a } }
"""


def listings(folder: Path, files: list[str]) -> None:
    """A page of its own for each file that the documentation quotes, with numbered lines."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    light = HtmlFormatter(linenos="inline", lineanchors="L", style="default")
    dark = HtmlFormatter(style="github-dark")
    style = (
        f"{STYLE}{light.get_style_defs('.highlight')}\n"
        f"@media (prefers-color-scheme: dark) {{ {dark.get_style_defs('.highlight')} }}"
    )
    for file in files:
        code = highlight((PACKAGE / file).read_text(encoding="utf-8"), PythonLexer(), light)
        target = folder / f"{file}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        head = f"<!doctype html><html lang=en><meta charset=utf-8><title>lucidlite/{file}</title>"
        size = "<meta name=viewport content='width=device-width'>"
        target.write_text(f"{head}{size}<style>{style}</style>{code}</html>", encoding="utf-8")


def search_script(site: Path) -> None:
    """The search index as a script too: pages opened as files may not fetch JSON."""
    index = site / "search" / "search_index.json"
    if index.is_file():
        text = index.read_text(encoding="utf-8")
        index.with_suffix(".js").write_text(f"var __index = {text}", encoding="utf-8")


class _Page(HTMLParser):
    """Where a page leads, what it fetches, and the places in it that links may name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        rel = dict(attrs).get("rel") or ""
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            elif (tag, name) in FETCHED and rel not in ("canonical", "prev", "next"):
                self.fetched.add(value)
            elif tag == "a" and name == "href":
                self.links.add(value)


def _elsewhere(address: str) -> bool:
    return bool(re.match(r"(https?:)?//", address))


def problems(site: Path) -> list[str]:
    """Links that lead nowhere, and what would be fetched from elsewhere."""
    pages = {
        path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    found = []
    for path, page in pages.items():
        if path.name == "404.html":  # served under any address: its links start with a slash
            continue
        name = path.relative_to(site.resolve())
        found += [f"{name}: fetches {each}" for each in page.fetched if _elsewhere(each)]
        for address in page.links | page.fetched:
            if not _elsewhere(address) and not _leads(address, path, pages):
                found.append(f"{name}: {address} leads nowhere")
    found += [f"{style.name}: fetches {each}" for style, each in _imports(site)]
    return sorted(found)


def _leads(address: str, path: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(address)
    if parts.scheme in ("data", "mailto", "javascript"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        return False
    place = unquote(parts.fragment)
    return not place or target not in pages or place in ({"__codelineno"} | pages[target].places)


def _imports(site: Path) -> Iterator[tuple[Path, str]]:
    """What stylesheets fetch from elsewhere."""
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        for each in re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", text):
            yield style, each
