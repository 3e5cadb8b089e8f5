"""The documents' examples run with their import lines changed, and print what PyTorch prints."""

import ast
import doctest
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from parity import TEST_ALL, numpy_of
from seed_examples import HALVED, SCRIPTS, SESSION, TORCH_JS, with_imports

import lucidlite


def same_numbers(lib, monkeypatch):
    """Let ``lib.randn`` give numbers that don't depend on the library."""
    rng = np.random.default_rng(0)

    def randn(*sizes):
        shape = sizes[0] if isinstance(sizes[0], (list, tuple)) else sizes
        return lib.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    monkeypatch.setattr(lib, "randn", randn)


def printed(code, lib):
    """What the code prints when it imports ``lib``, sizes as plain tuples; and its variables."""
    variables = {"__name__": "__main__"}
    out = StringIO()
    with redirect_stdout(out):
        exec(with_imports(code, lib.__name__), variables)
    return plain_sizes(out.getvalue()), variables


def plain_sizes(text):
    def plain(found):
        return str(tuple(ast.literal_eval(found[1])))

    return re.sub(r"torch\.Size\((\[.*?\])\)", plain, text)


@pytest.mark.parametrize(
    ("code", "expected"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS]
)
def test_script_prints_what_the_document_says(code, expected):
    said, variables = printed(code, lucidlite)
    if expected is not None:
        assert said == expected
        return
    title, image, empty, title_out, pooled, empty_out, shapes = said.splitlines()
    assert (title, empty, title_out, empty_out) == ("Input:", "", "Output:", "")
    image, pooled = np.array(ast.literal_eval(image)), np.array(ast.literal_eval(pooled))
    assert image.tolist() == variables["x"].squeeze().tolist()
    np.testing.assert_allclose(pooled, image.reshape(2, 2, 2, 2).mean((1, 3)), rtol=1e-6, atol=1e-7)
    assert shapes == "Shape transformation: (1, 1, 4, 4) -> (1, 1, 2, 2)"


@pytest.mark.parametrize("code", [row[1] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS])
def test_script_prints_what_torch_prints(code, monkeypatch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    said = []
    for lib in (torch, lucidlite):
        same_numbers(lib, monkeypatch)
        said.append(printed(code, lib)[0])
    if "tolist" in code:  # floats in full: an average may differ in its last bit
        theirs, ours = (re.split(r"(-?\d+\.\d+(?:e-?\d+)?)", text) for text in said)
        assert ours[::2] == theirs[::2]
        np.testing.assert_allclose(
            [float(n) for n in ours[1::2]], [float(n) for n in theirs[1::2]], rtol=2e-6, atol=1e-7
        )
    else:
        assert said[1] == said[0]


def session(lib):
    """(what each line shows, what the document says it shows)."""
    code = SESSION.replace("import lucid\n", f"import {lib.__name__} as lucid\n")
    code = code.replace("import lucid.nn", f"import {lib.__name__}.nn")
    variables, shown, wanted = {}, [], []
    for example in doctest.DocTestParser().get_examples(code):
        out = StringIO()
        with redirect_stdout(out):
            exec(compile(example.source, "<session>", "single"), variables)
        shown.append(plain_sizes(out.getvalue()))
        wanted.append(example.want)
    assert len(shown) == 10
    return shown, wanted, variables


def test_lucid_session_shows_what_the_document_says():
    shown, wanted, variables = session(lucidlite)
    assert shown == wanted
    assert "lucid" in variables


def test_lucid_session_shows_what_torch_shows():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    shown, _, variables = session(lucidlite)
    theirs, _, torch_variables = session(torch)
    assert shown == theirs
    np.testing.assert_allclose(numpy_of(variables["y"]), numpy_of(torch_variables["y"]), rtol=1e-6)


def torch_js(name, code, shape):
    """The code and the shape it ends in. The first example takes 411 MB, so a smaller batch is run
    unless LUCIDLITE_TEST_ALL=1.
    """
    if code is HALVED and not TEST_ALL:
        code, shape = code.replace("[32, 64", "[2, 64"), (2, *shape[1:])
    return pytest.param(code, shape, id=name)


TORCH_JS_CASES = [torch_js(*row) for row in TORCH_JS]


@pytest.mark.parametrize(("code", "shape"), TORCH_JS_CASES)
def test_torch_js_example_has_the_documented_shape(code, shape):
    variables = {"torch": lucidlite}
    exec(code, variables)
    assert variables["y"].shape == shape


@pytest.mark.parametrize(("code", "shape"), TORCH_JS_CASES)
def test_torch_js_example_gives_what_torch_gives(code, shape, monkeypatch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    results = []
    for lib in (torch, lucidlite):
        same_numbers(lib, monkeypatch)
        variables = {"torch": lib}
        exec(code, variables)
        results.append(numpy_of(variables["y"]))
        del variables
    theirs, ours = results
    assert ours.shape == theirs.shape == shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# The calls the tutorial's quizzes offer as answers: the code, and the shape of 10 x 10 images after
# it, or the exception it raises.
ANSWERS = [
    ("nn.MaxPool2d(2)", (5, 5)),
    ("nn.AvgPool2d(kernel_size=3, stride=1, padding=1)", (10, 10)),
    ("nn.MaxPool2d(kernel_size=3, stride=2)", (4, 4)),
    ("nn.MaxPool2d(stride=3, kernel_size=2)", (3, 3)),
    ("nn.AvgPool2d(kernel=3, stride=2)", TypeError),
    ("nn.MaxPool2d(size=3, step=2)", TypeError),
    ("nn.MaxPool2d(kernel_size=3, stride=3)", (3, 3)),
    ("nn.AvgPool2d(kernel_size=4, stride=4)", (2, 2)),
    ("nn.Sequential(nn.MaxPool2d(kernel_size=2, stride=2), nn.MaxPool2d(2, 2))", (2, 2)),
    ("nn.AvgPool2d(kernel_size=5, stride=5)", (2, 2)),
]


@pytest.mark.parametrize("name", ["lucidlite", "torch"])
@pytest.mark.parametrize(("call", "expected"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_quiz_answers(call, expected, name):
    lib = pytest.importorskip(name, reason="compares with PyTorch")
    if expected is TypeError:
        with pytest.raises(TypeError, match=r"unexpected keyword argument '(kernel|size)'"):
            eval(call, {"nn": lib.nn})
        return
    assert tuple(eval(call, {"nn": lib.nn})(lib.randn(1, 1, 10, 10)).shape) == (1, 1, *expected)


@pytest.mark.parametrize("name", ["lucidlite", "torch"])
def test_the_tutorials_indices(name):
    lib = pytest.importorskip(name, reason="compares with PyTorch")
    pool = lib.nn.MaxPool2d(kernel_size=2, stride=2, return_indices=True)
    values, indices = pool(lib.arange(1.0, 17.0).view(1, 1, 4, 4))
    assert values.tolist() == [[[[6, 8], [14, 16]]]]
    assert indices.tolist() == [[[[5, 7], [13, 15]]]]


def test_the_documents_are_those_transcribed():
    """Where the documents lie beside the repository, each line of an example is found in one."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "seeds"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
    if not texts:
        pytest.skip("the documents are not beside the repository")
    there = re.sub(r"\s+", "", "".join(texts))
    for name, code, _ in SCRIPTS:
        for line in code.splitlines():
            assert re.sub(r"\s+", "", line) in there, f"{name}: {line}"
    for line in SESSION.splitlines():
        if line.startswith((">>>", "(")):
            assert re.sub(r"\s+", "", line) in there, line
