"""docs/compatibility.md is what the code says, and an absent name says what there is instead."""

from __future__ import annotations

import importlib.util
import re
import types

import pytest
from project_files import ROOT

import lucidlite
from lucidlite import scope
from lucidlite.scope import OUT_OF_SCOPE, reason

PAGE = ROOT / "docs" / "compatibility.md"
SECTIONS = {
    "torch": lucidlite,
    "torch.nn": lucidlite.nn,
    "torch.nn.functional": lucidlite.nn.functional,
    "torch.optim": lucidlite.optim,
}


def script() -> types.ModuleType:
    path = ROOT / "scripts" / "make_compatibility.py"
    spec = importlib.util.spec_from_file_location("make_compatibility", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(kind: str) -> list[tuple[types.ModuleType, str]]:
    """(module, name) of what the page calls 'Supported' or 'Absent'."""
    found = []
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title, _, text = part.partition("\n")
        supported, _, absent = text.partition("**Absent.**")
        if kind == "Supported":
            text = supported.partition("\n\n| partial")[0]
        else:
            text = re.sub(r"\(`[^`]*`\)|in `lucidlite[^`]*`", "", absent, flags=re.I)
        found += [(SECTIONS[title.strip()], name) for name in re.findall(r"`(\w+)`", text)]
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_page_is_fresh(monkeypatch):
    torch = pytest.importorskip("torch", reason="the page names what PyTorch has")
    # As if a test before had asked for it; PyTorch loads it only then.
    monkeypatch.setitem(vars(torch), "onnx", torch.nn)
    if not torch.__version__.startswith("2.13."):
        pytest.skip(f"the page is about PyTorch 2.13, this is {torch.__version__}")
    assert PAGE.read_text(encoding="utf-8") == script().page(), (
        "run python scripts/make_compatibility.py"
    )


def test_what_the_page_calls_supported_is_there():
    supported = names("Supported")
    assert len(supported) > 500
    missing = [(m.__name__, name) for m, name in supported if not hasattr(m, name)]
    assert missing == []


def test_every_absent_name_says_what_there_is_instead():
    absent = names("Absent")
    assert len(absent) > 500
    for module, name in absent:
        with pytest.raises(AttributeError) as caught:
            getattr(module, name)
        text = str(caught.value)
        assert f"has no attribute '{name}'" in text
        assert re.search(r": .+|, it is |the nearest name is |compatibility\.md", text), text
        assert "\n  at " in text
        assert "test_compatibility.py" in text


@pytest.mark.parametrize(
    ("take", "says"),
    [
        (lambda: lucidlite.stft, "Fourier transforms and windows are out of scope, numpy.fft"),
        (lambda: lucidlite.relu6, "it is lucidlite.nn.functional.relu6"),
        (lambda: lucidlite.Linear, "it is lucidlite.nn.Linear"),
        (lambda: lucidlite.StepLR, "docs/compatibility.md"),
        (lambda: lucidlite.compile, "there is no compiler"),
        (lambda: lucidlite.svd, "numpy.linalg works on x.numpy()"),
        (lambda: lucidlite.complex64, "complex numbers are out of scope"),
        (lambda: lucidlite.argmx, "the nearest name is 'argmax'"),
        (lambda: lucidlite.nn.Conv3d, "three spatial dims are out of scope"),
        (lambda: lucidlite.nn.Linaer, "the nearest name is 'Linear'"),
        (lambda: lucidlite.nn.relu, "it is lucidlite.nn.functional.relu"),
        (lambda: lucidlite.nn.functional.grop_norm, "the nearest name is 'group_norm'"),
        (lambda: lucidlite.optim.StepLR, "it is lucidlite.optim.lr_scheduler.StepLR"),
        (lambda: lucidlite.optim.Adamm, "the nearest name is 'Adam'"),
        (lambda: lucidlite.linalg.svd, "matrix decompositions are out of scope"),
        (lambda: lucidlite.ones(2).stft(3), "Fourier transforms"),
        (lambda: lucidlite.ones(2).summ(), "the nearest name is 'sum'"),
        (lambda: lucidlite.ones(2).to_sparse(), "sparse tensors are out of scope"),
    ],
)
def test_messages(take, says):
    with pytest.raises(AttributeError, match=re.escape(says)) as caught:
        take()
    assert "test_compatibility.py" in str(caught.value)


def test_asking_is_still_possible():
    x = lucidlite.ones(2)
    assert not hasattr(lucidlite, "stft")
    assert not hasattr(x, "stft")
    assert not hasattr(x, "__array_interface__")
    assert getattr(x, "no_such_thing", 3) == 3
    with pytest.raises(ImportError):
        exec("from lucidlite import stft")


def test_asking_again_costs_little(monkeypatch):
    """The search for what may be meant is made once a name, and not for Python's own."""
    x = lucidlite.ones(2)
    assert not hasattr(x, "no_such_thing_either")
    for search in ("reason", "nearest"):
        monkeypatch.setattr(scope, search, None)
    for name in ("no_such_thing_either", "__no_such_thing__"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(x, name)


def test_functions_that_write_are_the_methods():
    x = lucidlite.tensor([-1.0, 2.0])
    assert lucidlite.relu_(x) is x
    assert x.tolist() == [0.0, 2.0]
    assert "relu_" in dir(lucidlite)


def test_each_name_is_out_of_scope_for_one_reason():
    """Patterns mean something, and no plain name stands under two reasons."""
    said: dict[str, str] = {}
    for words, patterns in OUT_OF_SCOPE.items():
        for name in patterns.split():
            if "*" not in name:
                assert said.setdefault(name, words) == words, name
    assert reason("stft")
    assert not reason("add")
