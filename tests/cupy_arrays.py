"""Arrays on a cuda device for the tests of its kernels, in the memory orders that occur."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

ORDERS = ("C", "images", "every second", "flipped", "turned")


def put(backend: Any, array: np.ndarray, order: str = "C") -> Any:
    """The array on the backend's device, its memory in the given order."""
    array = np.ascontiguousarray(array)
    if order == "images" and array.ndim == 4:
        return backend.asarray(np.ascontiguousarray(array.transpose(0, 2, 3, 1))).transpose(
            0, 3, 1, 2
        )
    if order == "every second" and array.ndim:
        larger = np.full([2 * n for n in array.shape], 77).astype(array.dtype)
        larger[(slice(None, None, 2),) * array.ndim] = array
        return backend.asarray(larger)[(slice(None, None, 2),) * array.ndim]
    if order == "flipped" and array.ndim:
        return backend.asarray(np.ascontiguousarray(array[..., ::-1]))[..., ::-1]
    if order == "turned" and array.ndim > 1:
        return backend.asarray(np.ascontiguousarray(array.swapaxes(-1, -2))).swapaxes(-1, -2)
    return backend.asarray(array)


def get(array: Any) -> np.ndarray:
    return array.get()  # type: ignore[no-any-return]


@contextmanager
def launches(backend: Any, monkeypatch: Any) -> Iterator[list[str]]:
    """The names of our own kernels that a block launches."""
    names: list[str] = []
    launch: Callable[..., None] = backend.launch

    def noted(family: str, name: str, count: int, *args: Any, **how: Any) -> None:
        names.append(name)
        launch(family, name, count, *args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "launch", noted)
        yield names


def use_cudnn(monkeypatch: Any, backend: Any, module: Any) -> None:
    """``import cudnn`` finds ``module``, nothing where that is None; the backend looks anew."""
    monkeypatch.setitem(sys.modules, "cudnn", module)
    for name, value in {"_cudnn": None, "_asked": False, "_told": False}.items():
        monkeypatch.setattr(backend, name, value)


def use_fake_cudnn(monkeypatch: Any, backend: Any) -> Any:
    """The stand-in for cuDNN, as new."""
    import fakecudnn

    fakecudnn.reset()
    use_cudnn(monkeypatch, backend, fakecudnn)
    return fakecudnn


def on_stand_in() -> bool:
    """Whether device "cuda" is the stand-in."""
    return getattr(sys.modules.get("cupy"), "__name__", "") == "fakecupy"
