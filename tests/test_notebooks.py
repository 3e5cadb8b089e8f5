"""The notebooks run from top to bottom, and what they compute is right.

With nbclient and ipykernel in a kernel of Jupyter's, as a reader runs them; without those their
cells run here, one after another. The short ones do both.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re

import numpy as np
import pytest
from parity import TEST_ALL
from project_files import ROOT

import lucidlite

FOLDER = ROOT / "docs" / "notebooks"

# What has to be true at the end, said in a cell after the last, and how many pictures there are.
CHECKS = {
    "first_steps": (
        """
assert slope == 9.0
assert abs(measured - slope) < 1e-5
assert (places.grad - (3 * places.detach() ** 2 - 3)).abs().max() < 1e-5
assert abs(walker.item() - 1) < 1e-3
assert all(f(one) >= f(other) for one, other in zip(path, path[1:]))
assert losses[0] > 2 and sum(losses[-50:]) / 50 < 0.25
assert accuracy > 0.88
assert len(wrong) == round(1000 * (1 - accuracy))
""",
        5,
    ),
    "the_tape": (
        """
assert order == [order[0] - i for i in range(6)]
assert torch.allclose(stepped[0], by_hand, atol=1e-6)
assert same
assert small.data["totals"]["nodes"] == 6
assert [node["op"] for node in small.data["nodes"]] == ["sum", "add", "tanh", "mul", "leaf", "leaf"]
assert chart.startswith("flowchart TD") and "tanh" in chart
kinds = [node["op"] for node in tape.data["nodes"]]
assert kinds.count("conv2d") == 2 and kinds.count("linear") == 2
assert len(tape.data["steps"]) == totals["nodes"] and tape.data["images"]
assert all(p.grad is None for p in model.parameters())
assert ["flatten first?" in m for m in messages] == [True, False, False, False]
assert "in module Sequential.3: Linear" in messages[0]
assert "second time" in messages[1]
assert "modified by an inplace operation" in messages[2]
assert "SqrtBackward0" in messages[3] and len(messages) == 4
assert torch.allclose(x.grad, torch.tensor([0.0, 0.25, 1 / 6]))
""",
        0,
    ),
    "train_a_cnn": (
        """
assert images.shape == (6000, 3, 24, 24) and images.max() == 1
assert 0.0015 < 1 - images[:, 0].sum() * 255 / train.data.sum() < 0.0025
assert len(losses) == 150 and np.mean(losses[-20:]) < 0.4 < 2 < losses[0]
assert max(rates) < 0.0061 and rates[0] < 0.001 and rates[-1] < 0.0001
assert accuracy > 0.9
assert confusion.sum() == 1000 and abs(np.trace(confusion) / 1000 - accuracy) < 1e-6
assert (confusion.sum(axis=1) == np.bincount(test_labels.numpy(), minlength=10)).all()
assert [found.shape for found in maps.values()] == [(64, 24, 24), (128, 12, 12), (256, 6, 6)]
assert all(found.min() == 0 and found.max() > 0 for found in maps.values())
assert not any(layer._forward_hooks for layer in model.modules())
assert filters.shape == (64, 3, 3)
assert says.shape == (10, 24, 24) and (np.abs(says).max(axis=(1, 2)) > 0).all()
assert same
""",
        6,
    ),
}
TITLES = sorted(CHECKS)


def book(title):
    return json.loads((FOLDER / f"{title}.ipynb").read_text(encoding="utf-8"))


def text_of(cell):
    return "".join(cell["source"])


def test_each_notebook_is_checked():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == TITLES


@pytest.mark.parametrize("title", TITLES)
def test_stored_form(title):
    """Without outputs, counts and traces of whoever ran it: one text for one notebook."""
    path = FOLDER / f"{title}.ipynb"
    found = book(title)
    assert (
        path.read_text(encoding="utf-8") == json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    )
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert sorted(found["metadata"]) == ["kernelspec", "language_info"]
    assert found["metadata"]["language_info"] == {"name": "python"}
    ids = [cell["id"] for cell in found["cells"]]
    assert len(set(ids)) == len(ids)
    assert found["cells"][0]["cell_type"] == "markdown"
    assert text_of(found["cells"][0]).startswith("# ")
    for cell in found["cells"]:
        assert cell["metadata"] == {}
        assert text_of(cell).strip()
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            compile(text_of(cell), path.name, "exec")  # no commands of IPython's


@pytest.mark.parametrize("title", TITLES)
def test_links_lead_somewhere(title):
    text = "\n".join(text_of(cell) for cell in book(title)["cells"])
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in links:
        assert (FOLDER / link).exists(), link


@pytest.fixture
def quiet():
    """What a notebook changes in its process, put back."""
    numbers = lucidlite.get_rng_state()
    yield
    lucidlite.set_rng_state(numbers)


def has_jupyter():
    return all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel", "matplotlib"))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("title", TITLES)
def test_runs_here(title, monkeypatch, capsys, tmp_path):
    """Cell by cell in this process; the value of a cell's last line is shown as Jupyter would."""
    if title == "train_a_cnn" and has_jupyter() and not TEST_ALL:
        pytest.skip("it takes a while, and runs in Jupyter below")
    monkeypatch.chdir(tmp_path)
    if any("matplotlib" in text_of(cell) for cell in book(title)["cells"]):
        monkeypatch.setenv("MPLBACKEND", "Agg")
        matplotlib = pytest.importorskip("matplotlib", reason="the notebook draws")
        matplotlib.use("Agg")
        pyplot = pytest.importorskip("matplotlib.pyplot")
    else:
        pyplot = None
    check, pictures = CHECKS[title]
    scope = {"__name__": "__main__"}
    shown = 0
    try:
        for number, cell in enumerate(book(title)["cells"]):
            if cell["cell_type"] == "code":
                value = run(text_of(cell), f"{title}.ipynb cell {number + 1}", scope)
                page = getattr(value, "_repr_html_", None)
                shown += page is not None and bool(page())
        exec(check, scope)
        assert (0 if pyplot is None else len(pyplot.get_fignums())) == pictures
        if pyplot is not None:
            for number in pyplot.get_fignums():
                assert drawn(pyplot.figure(number)) > 3
    finally:
        if pyplot is not None:
            pyplot.close("all")
    assert capsys.readouterr().out
    assert shown == {"the_tape": 3, "first_steps": 2, "train_a_cnn": 0}[title]


def run(text, title, scope):
    """Run a cell; its last expression's value, if it ends with one."""
    tree = ast.parse(text, title)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, title, "exec"), scope)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), title, "eval"), scope)


def drawn(figure):
    """How many different colours a figure has."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).reshape(-1, 4)
    return len(np.unique(pixels, axis=0))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("title", TITLES)
def test_runs_in_jupyter(title, monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="the notebooks run in this process only")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="the notebooks run in this process only")
    pytest.importorskip("matplotlib", reason="the notebooks draw")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # nobody's own settings
    monkeypatch.delenv("MPLBACKEND", raising=False)
    check, pictures = CHECKS[title]
    notebook = nbformat.read(FOLDER / f"{title}.ipynb", as_version=4)
    nbformat.validate(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=180, resources=resources).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == pictures
    assert [out for out in outputs if out["output_type"] == "error"] == []
    assert [out["text"] for out in outputs if out.get("name") == "stderr"] == []
    if title == "the_tape":
        pages = [out["data"]["text/html"] for out in outputs if "text/html" in out.get("data", {})]
        assert sum("<iframe" in page for page in pages) == 2
