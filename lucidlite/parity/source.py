"""One source for two libraries: a file runs twice, its imports turned to lucidlite or to PyTorch.

The file is given an ``import`` of its own (``__import__`` among its builtins), so nothing of the
process changes: no entry of ``sys.modules`` is replaced, and other threads import what they always
did. The turned import is the file's for good: imports inside its functions are turned too, and so
are the imports of files beside it.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from lucidlite.callsite import error

OURS, THEIRS = "lucidlite", "torch"
# Rooms of ours that models.py takes things from: what PyTorch has in their place.
_ELSEWHERE = {"tensor": ""}
_numbers = itertools.count()


def library(name: str) -> Any:
    """lucidlite or PyTorch; ImportError that says what to install where PyTorch is missing."""
    if name == OURS:
        return importlib.import_module(__name__.partition(".")[0])
    try:
        return importlib.import_module(THEIRS)
    except ImportError as problem:
        raise error(
            ImportError,
            "parity: PyTorch is not installed, and everything is compared with it: "
            f"pip install 'lucidlite[parity]' brings it (import torch: {problem})",
        ) from problem


class Turned:
    """Files that run with one library in the place of both: ``to`` is "lucidlite" or "torch".

    ``files`` are those that ran, as tracebacks name them.
    """

    def __init__(self, to: str, folder: Path) -> None:
        self.to, self.files = to, set[str]()
        self.front = library(to)
        # Installed packages aren't somebody's project: what lies there is imported as it is.
        self._folders = [] if "site-packages" in folder.parts else [str(folder)]
        self._loaded: dict[str, ModuleType] = {}

    def run(self, path: Path, name: str, inside: Sequence[str] | None = None) -> ModuleType:
        """The module that ``path`` makes; ``inside`` are the folders of a package."""
        title = f"_parity_{self.to}_{next(_numbers)}_{path.stem}"
        module = self._loaded[name] = ModuleType(title)
        scope = vars(module)
        scope["__file__"], scope["_turned_name"] = str(path), name
        scope["__builtins__"] = {**vars(builtins), "__import__": self._import}
        if inside is not None:
            scope["__path__"] = list(inside)
        self.files.add(str(path))
        text = importlib.util.decode_source(path.read_bytes())
        try:
            with _listed(title, module):
                exec(compile(text, str(path), "exec", dont_inherit=True), scope)
        except BaseException:
            del self._loaded[name]
            raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        wanted = tuple(fromlist or ())
        if level:
            name = self._absolute(name, globals or {}, level)
            if not name:  # from . import neighbour, beside the model's file
                return _namespace("", {each: self._neighbour(each) for each in wanted})
        root, _, rest = name.partition(".")
        if root in (OURS, THEIRS):
            return self._library(root, rest, wanted)
        if self._spec(root, self._folders) is not None:
            module = self._neighbour(name)
            for each in wanted:
                if each != "*" and not hasattr(module, each) and hasattr(module, "__path__"):
                    self._neighbour(f"{name}.{each}")
            return module if wanted else self._loaded[root]
        return builtins.__import__(name, globals, locals, wanted, 0)

    # -- the two libraries -------------------------------------------------------------------

    def _library(self, root: str, rest: str, wanted: tuple[str, ...]) -> Any:
        """What ``import root.rest`` or ``from root.rest import wanted`` gets."""
        if root != self.to:
            if rest in _ELSEWHERE:
                rest = _ELSEWHERE[rest]
            elif rest and not _exists(f"{self.to}.{rest}"):
                found = self._other(root, rest)
                return found if wanted else _front(self.front, root, rest, found)
        full = f"{self.to}.{rest}" if rest else self.to
        module = importlib.import_module(full)
        missing = [each for each in wanted if each != "*" and not _has(module, each)]
        there = [f"{rest}.{each}".strip(".") for each in missing]
        if root == self.to or not any(_exists(f"{root}.{each}") for each in there):
            return module if wanted else self.front
        names = {each: getattr(module, each) for each in wanted if each not in missing}
        for each, place in zip(missing, there, strict=True):
            names[each] = self._other(root, place)
        return _namespace(full, names)

    def _other(self, root: str, rest: str) -> ModuleType:
        """A room of ``root`` that the other library doesn't have.

        Our models are source like the user's, so they are turned. Anything else, such as datasets,
        stays what it is: a class that doesn't use it may stand beside it.
        """
        if root == OURS and rest == "models":
            spec = importlib.util.find_spec(f"{OURS}.{rest}")
            if spec is not None and spec.origin is not None:
                name = f"{OURS}.{rest}"
                return self._loaded.get(name) or self.run(Path(spec.origin), name)
        return importlib.import_module(f"{root}.{rest}")

    # -- files beside the model's ------------------------------------------------------------

    def _spec(self, name: str, folders: Sequence[str]) -> Any:
        if not folders or name in sys.stdlib_module_names:
            return None
        spec = PathFinder.find_spec(name, list(folders))
        origin = None if spec is None else spec.origin
        return spec if origin is not None and origin.endswith(".py") else None

    def _neighbour(self, name: str) -> ModuleType:
        """The module of a file or package beside the model's, with its parents."""
        if name in self._loaded:
            return self._loaded[name]
        above, _, last = name.rpartition(".")
        parent = self._neighbour(above) if above else None
        folders = self._folders if parent is None else getattr(parent, "__path__", [])
        spec = self._spec(last, folders)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = self.run(Path(spec.origin), name, spec.submodule_search_locations)
        if parent is not None:
            setattr(parent, last, module)
        return module

    def _absolute(self, name: str, scope: Mapping[str, Any], level: int) -> str:
        """The full name of a relative import in a file beside the model's, or in its packages."""
        here = str(scope.get("_turned_name", ""))
        parts = here.split(".") if "__path__" in scope else here.split(".")[:-1]
        if level > len(parts) + 1:
            raise ImportError("attempted relative import beyond top-level package")
        kept = parts[: len(parts) + 1 - level]
        return ".".join([*kept, *filter(None, [name])])


class _Front(ModuleType):
    """A library, with a room added that it doesn't have."""

    def __init__(self, library: Any, room: str, found: Any) -> None:
        super().__init__(library.__name__)
        self._library = library
        setattr(self, room, found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


def _front(library: Any, root: str, rest: str, found: ModuleType) -> Any:
    """What ``import root.rest`` binds to the first name: ``library`` with what was found in it."""
    room, _, inner = rest.partition(".")
    if inner and hasattr(library, room):
        return _Front(library, room, _front(getattr(library, room), root, inner, found))
    return _Front(library, room, importlib.import_module(f"{root}.{room}") if inner else found)


def _namespace(name: str, values: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # a part of its name is no package
        return False


def _has(module: Any, name: str) -> bool:
    """Whether ``from module import name`` works, which may load a submodule."""
    try:
        return hasattr(module, name) or bool(importlib.import_module(f"{module.__name__}.{name}"))
    except ImportError:
        return False


@contextmanager
def _listed(title: str, module: ModuleType) -> Iterator[None]:
    """Among the loaded modules while it runs: dataclasses look their module up there."""
    sys.modules[title] = module
    try:
        yield
    finally:
        del sys.modules[title]


def class_in(module: ModuleType, base: type, path: Path, wanted: str) -> Any:
    """The nn.Module called ``wanted`` in a file; ValueError that lists those it has."""
    kinds = {
        name: value for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
    }  # fmt: skip
    if wanted not in kinds:
        own = [name for name, kind in kinds.items() if kind.__module__ == module.__name__]
        other = getattr(module, wanted, None)
        raise error(
            ValueError,
            f"parity: {path} has no nn.Module called {wanted}"
            + (f" (a class is needed, not a {type(other).__name__})" if other is not None else "")
            + (f", only {', '.join(own)}" if own else ""),
        )
    return kinds[wanted]
