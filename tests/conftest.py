"""Fixtures for every test file."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import lucidlite
from lucidlite import backends


@pytest.fixture
def fake_cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``import cupy`` finds the stand-in, for the length of the test."""
    import fakecupy

    monkeypatch.setitem(sys.modules, "cupy", fakecupy)
    monkeypatch.setattr(backends, "_backends", dict(backends._backends))
    return fakecupy


@pytest.fixture
def cuda(request: pytest.FixtureRequest) -> str:
    """The name of a cuda device: a GPU through CuPy where one answers, else the stand-in."""
    if not lucidlite.cuda.is_available():
        request.getfixturevalue("fake_cupy")
    return "cuda"
