"""PyTorch's own test data: the OpInfo and ModuleInfo databases that its wheel carries."""

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
import warnings
from functools import lru_cache
from typing import Any

import pytest

REASON = "the samples are PyTorch's own"


def _module_of(name: str, **content: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    return module


def internal(*names: str) -> list[Any]:
    """Modules of torch.testing._internal; skips without torch.

    They want expecttest, which only PyTorch's own test classes use: where it isn't installed an
    empty one takes its place during the import.
    """
    torch = pytest.importorskip("torch", reason=REASON)
    if importlib.util.find_spec("expecttest") is None:
        sys.modules["expecttest"] = _module_of("expecttest", TestCase=unittest.TestCase)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [importlib.import_module(f"torch.testing._internal.{name}") for name in names]
    except ImportError as problem:  # pragma: no cover - a wheel without them
        pytest.skip(f"this torch has no test data: {problem}")
    finally:
        if getattr(sys.modules.get("expecttest"), "__spec__", True) is None:
            del sys.modules["expecttest"]
    # The import forbids every later ``torch.backends.x = y`` in this process.
    vars(torch.backends)["__allow_nonbracketed_mutation_flag"] = True
    return found


@lru_cache
def databases() -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """(op name -> its OpInfos, module class name -> its ModuleInfo); skips without torch."""
    ops, modules = internal("common_methods_invocations", "common_modules")
    by_name: dict[str, list[Any]] = {}
    for info in ops.op_db:
        by_name.setdefault(info.name, []).append(info)
    return by_name, {info.module_cls.__name__: info for info in modules.module_db}
