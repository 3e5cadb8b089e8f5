"""The page as a file: whole, self-contained, and safe whatever the names in it."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from viz_graphs import HOSTILE, Hostile, custom

import lucidlite
from lucidlite import nn, viz
from lucidlite.pictures import _DIVERGING

PAGE = Path(viz.__file__).with_name("page")


class Parts(HTMLParser):
    """The scripts, styles, links and title of a page."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.title, self.addresses, self._inside = [], "", [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self._inside = tag
        self.addresses += [attributes[n] for n in ("src", "href", "srcset") if n in attributes]
        if tag == "script":
            self.scripts.append([attributes, ""])

    def handle_endtag(self, _tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1][1] += data
        elif self._inside == "title":
            self.title += data


def test_the_page_holds_the_data_and_loads_nothing(tmp_path):
    path = tmp_path / "run.html"
    model = Hostile()
    tape = viz.tape(model(lucidlite.ones(1, 2)).sum(), path, title=HOSTILE)
    assert tape.path == path
    assert os.listdir(tmp_path) == ["run.html"]
    text = path.read_text(encoding="utf-8")
    assert text == tape.html()
    page = Parts(text)
    assert page.title == HOSTILE
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    (data,) = [content for attributes, content in page.scripts if attributes.get("id") == "data"]
    assert json.loads(data) == tape.data
    assert not set(data) & set("<>&\u2028\u2029")
    assert HOSTILE in tape.data["modules"][1]["path"]
    assert "alert(1)</script>" not in text
    scripts = [content for attributes, content in page.scripts if "id" not in attributes]
    names = re.findall(r'<script src="([\w.-]+)">', (PAGE / "index.html").read_text("utf-8"))
    assert scripts == [(PAGE / name).read_text("utf-8") for name in names]
    assert "_SOURCES" not in text.partition("</head>")[0]


def test_strange_characters_are_written(tmp_path):
    tape = viz.tape(custom(), tmp_path / "a.html", title="caf\u00e9 \u2028 \udc80 \U0001f600")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "caf\u00e9" in Parts(text).title
    assert "\u2028" not in re.search('id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert tape.data["title"].endswith("\U0001f600")


def test_the_page_reads_all_that_it_is_given():
    text = "".join(path.read_text("utf-8") for path in PAGE.glob("*.js"))
    keys = set()

    def walk(value):
        if isinstance(value, dict):
            keys.update(value)
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, (dict, list)):
                walk(each)

    walk(viz.tape(pictures()).data)
    assert {"kept_bytes", "histogram", "delivers", "caption", "function"} <= keys
    unread = {key for key in keys if not re.search(rf'[.{{ "]{key}\b', text)}
    assert unread == set()


def test_each_dark_colour_is_written_once():
    text = (PAGE / "theme.css").read_text("utf-8")
    light, dark = re.findall(r"\{([^{}]*)\}", text)[:2]
    names = [re.findall(r"(--[\w-]+): #", part) for part in (light, dark)]
    assert names[0] == names[1]
    assert all(text.count(f"{name}:") == 2 for name in names[0])


def test_the_ramp_has_the_colours_of_the_pictures():
    low, _, high = _DIVERGING
    ends = ["#" + bytes(colour).hex() for colour in (low, high)]
    assert f"linear-gradient(90deg, {ends[0]}, #fff, {ends[1]})" in (
        (PAGE / "panel.css").read_text("utf-8")
    )


def pictures():
    lucidlite.manual_seed(0)
    x = lucidlite.rand(1, 2, 4, 4, requires_grad=True)
    return nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.MaxPool2d(2))(x).sum()


def test_an_old_page_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    path.write_text("old", encoding="utf-8")
    tape = viz.tape(custom())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            tape.save(path)
    assert path.read_text("utf-8") == "old"
    assert os.listdir(tmp_path) == ["run.html"]
    assert tape.path is None
    with pytest.raises(FileNotFoundError, match=r"viz\.tape: the folder of the file must exist"):
        viz.tape(custom(), tmp_path / "none" / "run.html")


def test_in_a_notebook_the_page_is_framed():
    tape = viz.tape(custom())
    (frame,) = [a for tag, a in _tags(tape._repr_html_()) if tag == "iframe"]
    assert frame["srcdoc"] == tape.html()
    assert frame["sandbox"] == "allow-scripts"
    assert repr(tape) == "<Tape: tape, 4 nodes, leaves=1, 16 bytes kept for backward>"


def _tags(text):
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(text)
    return found
