"""What tensors and modules show in a notebook."""

from __future__ import annotations

import base64
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import lucidlite
from lucidlite import nn

VOID = {"img", "br", "input", "meta", "link"}


class Tree(HTMLParser):
    """Checks that tags nest; keeps the text and the tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def pixels(tree):
    (source,) = [attributes["src"] for tag, attributes in tree.tags if tag == "img"]
    head, _, content = source.partition(",")
    assert head == "data:image/png;base64"
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(base64.b64decode(content)))
    return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize(
    "tensor",
    [
        lucidlite.tensor(3.0),
        lucidlite.arange(5),
        lucidlite.zeros(2, 0),
        lucidlite.zeros(2, 1, 1, 1, 2),
    ],
    ids=["number", "vector", "empty", "five dimensions"],
)
def test_only_text(tensor):
    tree = Tree(tensor._repr_html_())
    assert tree.text == repr(tensor)
    assert [tag for tag, _ in tree.tags] == ["div", "pre"]


def test_a_matrix_is_a_plane():
    tensor = lucidlite.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    tree = Tree(tensor._repr_html_())
    assert tree.text == repr(tensor) + "2 x 3, 0 to 5"
    (style,) = [attributes["style"] for tag, attributes in tree.tags if tag == "img"]
    assert "width: 48px" in style
    assert "image-rendering: pixelated" in style
    assert pixels(tree)[..., 0].tolist() == [[0, 51, 102], [153, 204, 255]]


def test_negative_numbers_are_blue():
    found = pixels(Tree(lucidlite.tensor([[-1.0, 0.0, 1.0]])._repr_html_()))
    assert found[0].tolist() == [[33, 102, 172, 255], [255, 255, 255, 255], [178, 24, 43, 255]]


def test_channels_are_tiles():
    tree = Tree(lucidlite.arange(20.0).view(5, 2, 2)._repr_html_())
    assert tree.text.endswith("5 channels, 0 to 19")
    assert pixels(tree).shape == (5, 8, 4)
    samples = lucidlite.zeros(2, 40, 3, 3)
    samples[1] = 7
    many = Tree(samples._repr_html_())
    assert many.text.endswith("16 of 40 channels, sample 0 of 2, 0 to 0")
    assert pixels(many).shape == (15, 15, 4)


def test_a_colour_image():
    image = lucidlite.zeros(1, 3, 1, 2, dtype=lucidlite.uint8)
    image[0, :, 0, 1] = lucidlite.tensor([255, 0, 51], dtype=lucidlite.uint8)
    tree = Tree(image._repr_html_())
    assert pixels(tree)[0].tolist() == [[0, 0, 0, 255], [255, 0, 51, 255]]
    assert tree.text.endswith("3 channels as colour, sample 0 of 1, 0 to 255")


@pytest.mark.parametrize("dtype", [lucidlite.bool, lucidlite.int64, lucidlite.float16])
def test_any_numbers(dtype):
    found = pixels(Tree(lucidlite.tensor([[0, 1], [1, 0]], dtype=dtype)._repr_html_()))
    assert found[..., 0].tolist() == [[0, 255], [255, 0]]


def test_a_large_matrix_is_thinned():
    tree = Tree(lucidlite.zeros(300, 2)._repr_html_())
    assert pixels(tree).shape == (100, 1, 4)
    assert tree.text.endswith("300 x 2, 1 of 3 rows and columns, 0 to 0")
    wide = lucidlite.zeros(100, 100)._repr_html_()
    assert "width: 200px" in wide


def test_nan_everywhere():
    tree = Tree(lucidlite.full((2, 2), float("nan"))._repr_html_())
    assert tree.text.endswith("2 x 2")
    assert (pixels(tree) == (230, 0, 230, 255)).all()


def test_a_tensor_in_a_graph_and_a_parameter():
    weight = nn.Parameter(lucidlite.ones(2, 2))
    assert Tree(weight._repr_html_()).text.startswith("Parameter containing:\ntensor(")
    result = weight * 2
    tree = Tree(result._repr_html_())
    assert tree.text.startswith(repr(result))
    assert "grad_fn=<MulBackward0>" in tree.text
    assert result._version == 0


class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("<script>alert(1)</script>", nn.ReLU())

    def extra_repr(self):
        return "'\"><img src=x>&"

    def _get_name(self):
        return "<b>Bold"


def test_markup_in_names_is_text():
    text = Hostile()._repr_html_()
    tree = Tree(text)
    assert "(<script>alert(1)</script>): ReLU" in tree.text
    assert "<b>Bold('\"><img src=x>&)" in tree.text
    assert not {"script", "img"} & {tag for tag, _ in tree.tags}

    class Shouting(lucidlite.Tensor):
        def __repr__(self):
            return "</pre><script>"

    tensor = Shouting(2)
    assert Tree(tensor._repr_html_()).text == "</pre><script>"


def test_a_module_is_a_tree_to_unfold():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    model[0].weight.requires_grad_(False)
    text = model._repr_html_()
    tree = Tree(text)
    assert [tag for tag, _ in tree.tags].count("details") == 3
    assert "Sequential 116 parameters, 108 frozen" in tree.text
    assert "(0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), bias=False)" in tree.text
    assert "weight (4, 3, 3, 3) frozen" in tree.text
    assert "bias: None" in tree.text
    assert "running_mean (4,) buffer" in tree.text
    assert "num_batches_tracked () buffer, int64" in tree.text
    assert tree.text.endswith("(2): ReLU()") or tree.text.endswith("(2): ReLU")
    # Both levels here are unfolded; what is deeper isn't.
    deep = Tree(nn.Sequential(nn.Sequential(model))._repr_html_())
    unfolded = ["open" in attributes for tag, attributes in deep.tags if tag == "details"]
    assert unfolded == [True, True, False, False, False]


def test_a_child_that_is_none():
    module = nn.Module()
    module.add_module("part", None)
    assert Tree(module._repr_html_()).text == "Module(part): None"


def test_text_is_escaped_once():
    shown = html.unescape(re.search("<pre[^>]*>(.*?)</pre>", _matrix(), re.DOTALL)[1])
    assert shown == repr(lucidlite.zeros(2, 2).requires_grad_() * 1)


def _matrix():
    return (lucidlite.zeros(2, 2).requires_grad_() * 1)._repr_html_()
