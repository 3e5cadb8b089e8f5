"""What the build of the documentation adds to MkDocs. A page may say, on a line of its own:

    !source engine.py Walk.run Walk.step     the source of these, as it is now
    !top backends/numpy_kernels/direct.py    what a file says of itself
    !section README.md Licence               what another page has under a heading
    !tape cnn-with-gap                       the tape page of a network, made by this build
    !api lucidlite.nn                        and, in the lines below, names: their reference
    !rules                                   the mistakes that lucidlite.watch knows

A name that is gone fails the build. So do, in the finished site, a link that leads nowhere and
anything that a browser would fetch from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))

from docs_notebooks import Page
from docs_site import listings, problems, search_script
from docs_source import ROOT, Gone, docstring, excerpt, forget, public, rules, section
from docs_tape import TAPES

DIRECTIVE = re.compile(
    r"^!(source|top|section|tape|api|rules)\b *(.*(?:\n(?!\n|!).+)*)$", re.MULTILINE
)
PICTURE = re.compile(r"^!\[(.*)\]\((pictures/\w+\.svg)\)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

# Where links of README.md and CONTRIBUTING.md lead in the site.
LINKS = {
    "CONTRIBUTING.md": "add-your-own-op.md",
    "benchmarks/results/ratios.png": "pictures/ratios.png",
    "#on-a-gpu": "gpu.md",
}
# Files of the site that aren't in docs/.
ELSEWHERE = {"pictures/ratios.png": ROOT / "benchmarks" / "results" / "ratios.png"}

NOTEBOOKS = ROOT / "docs" / "notebooks"
notebooks: dict[str, Page] = {}  # by the page's place in the site
tapes: dict[str, str] = {}
quoted: set[str] = set()


def on_config(config: Any) -> None:
    """Run the notebooks, and give each a place in the navigation; draw the tapes."""
    forget()
    quoted.clear()
    notebooks.clear()
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    # Each in a process of its own, as a reader would run it: nodes count from 0.
    with ThreadPoolExecutor(2) as pool:
        drawn = pool.map(partial(said, "docs_tape.py"), TAPES)
        ran = pool.map(partial(said, "docs_notebooks.py"), map(str, paths))
        tapes.update({f"tapes/{n}.html": text for n, text in zip(TAPES, drawn, strict=True)})
        for path, text in zip(paths, ran, strict=True):
            notebooks[f"notebooks/{path.stem}.md"] = Page(*json.loads(text))
    listed = [{made.title: place} for place, made in notebooks.items()]
    config.nav.insert(1, {"Notebooks": listed})


def said(script: str, argument: str) -> str:
    """What a script prints; where it fails, so does the build."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), argument],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise PluginError(f"{script} {argument} failed:\n{done.stderr}")
    return done.stdout


def on_files(files: Any, config: Any) -> Any:
    for place, path in ELSEWHERE.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    for place, made in notebooks.items():
        files.append(File.generated(config, place, content=made.markdown))
    for place, content in tapes.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    del kwargs
    up = "../" * page.file.src_uri.count("/")
    fences: list[str] = []

    def aside(match: re.Match[str]) -> str:
        fences.append(match[0])
        return f"\x00{len(fences) - 1}\x00"

    # Directives inside code are code.
    text = FENCED.sub(aside, markdown)
    try:
        text = DIRECTIVE.sub(lambda match: expand(match, up), text)
        text = PICTURE.sub(lambda match: figure(match[1], match[2]), text)
    except Gone as gone:
        raise PluginError(f"{page.file.src_uri}: {gone}") from None
    return re.sub("\x00(\\d+)\x00", lambda match: fences[int(match[1])], text)


def on_page_content(content: str, page: Any, **kwargs: Any) -> str:
    """Put what a notebook's cells showed into its page."""
    del kwargs
    outputs = notebooks[page.file.src_uri].outputs if page.file.src_uri in notebooks else []
    for number, shown in enumerate(outputs):
        empty = f'<div id="output-{number}"></div>'
        content = content.replace(empty, f'<div class="output">{shown}</div>')
    return content


def expand(match: re.Match[str], up: str = "") -> str:
    """What a directive stands for; ``up`` leads from its page to the site's top."""
    kind, words = match[1], match[2].split()
    if kind == "source":
        return "\n\n".join(shown(words[0], name, up) for name in words[1:])
    if kind == "top":
        quoted.add(words[0])
        text = docstring(words[0]).replace("``", "`")
        quote = "\n".join(f"> {line}".rstrip() for line in text.splitlines())
        return f"{caption(words[0], 1, 'at its top', up)}\n\n{quote}"
    if kind == "section":
        return relinked(section(words[0], " ".join(words[1:])))
    if kind == "tape":
        if words[0] not in TAPES:
            raise Gone(f"there is no tape {words[0]}")
        return framed(f"{up}tapes/{words[0]}.html")
    if kind == "rules":
        rows = [f"| `{name}` | {text} |" for name, text in rules()]
        return "\n".join(["| rule | speaks when |", "|---|---|", *rows])
    return "\n\n".join(reference(words))


def shown(file: str, name: str, up: str) -> str:
    """Source as a block of code under a line that says where it is."""
    found = excerpt(file, name)
    quoted.add(file)
    span = f"lines {found.first} to {found.last}" if found.last > found.first else ""
    where = caption(file, found.first, f"{span or f'line {found.first}'}: <code>{name}</code>", up)
    return f'{where}\n\n```python linenums="{found.first}"\n{found.code}\n```'


def caption(file: str, line: int, rest: str, up: str) -> str:
    link = f'<a href="{up}source/{file}.html#L-{line}">lucidlite/{file}</a>'
    return f'<p class="source">{link}, {rest}</p>'


def framed(address: str) -> str:
    return (
        f'<iframe class="tape" src="{address}" title="The tape of a training step" loading="lazy">'
        f'</iframe>\n\n<p class="source"><a href="{address}">The same page, alone</a></p>'
    )


def figure(words: str, file: str) -> str:
    """A drawing as a part of the page, so that it takes the colours of the page."""
    svg = (ROOT / "docs" / file).read_text(encoding="utf-8")
    svg = re.sub(r"<style>.*</style>\n", "", svg)
    return f'<figure class="picture">{svg}<figcaption>{words}</figcaption></figure>'


def relinked(text: str) -> str:
    """A section of a page at the repository's root, with its links as they are in the site."""

    def target(match: re.Match[str]) -> str:
        address = match[1]
        if re.match(r"https?:", address):
            return match[0]
        page = address.removeprefix("docs/")
        if address in LINKS:
            return f"]({LINKS[address]})"
        if page == address or not (ROOT / address).is_file():
            raise Gone(f"no place in the site is known for the link {address}")
        return f"]({page})"

    return re.sub(r"\]\(([^)\s]+)\)", target, re.sub(r"^<!--.*-->\n", "", text, flags=re.M))


def reference(words: list[str]) -> list[str]:
    """mkdocstrings' directives for public names; 'members' asks for classes' methods too."""
    module, names = words[0], words[1:]
    members = names[:1] == ["members"]
    parts = []
    for each in public(module, names[1:] if members else names):
        options = {"heading": each.shown, "toc_label": each.shown.removeprefix(f"{module}.")}
        if not members:
            options["members"] = "false"
        lines = [f"      {key}: {value}" for key, value in options.items()]
        parts.append("\n".join([f"::: {each.path}", "    options:", *lines]))
        if each.also:
            parts.append("Also called " + ", ".join(f"`{name}`" for name in each.also) + ".")
    return parts


def on_post_build(config: Any) -> None:
    site = Path(config.site_dir)
    listings(site / "source", sorted(quoted))
    search_script(site)
    found = problems(site)
    if found:
        raise PluginError("the site has problems:\n" + "\n".join(found))
