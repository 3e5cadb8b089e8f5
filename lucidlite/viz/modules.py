"""The module calls that nodes were recorded in, and the names of parameters."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lucidlite.callsite import ModuleStack
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.tape import AccumulateGrad, Node


class Calls:
    """Every call of a module in a graph, parents first: ``entries``; ``of(node)`` is its number.

    A module that was called twice has two entries, told apart by ``call``. The modules are known
    weakly: one that is gone leaves its nodes to the call around it.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.entries: list[dict[str, Any]] = []
        self._modules: list[Module] = []
        self._ids: dict[int, int | None] = {}  # by the stack's identity: each call has its own
        self._times: Counter[int] = Counter()  # the modules are alive: self._modules holds them
        self._roots: dict[int, Module] = {}
        self._children: dict[int, dict[int, str]] = {}  # names by parent, by child
        self._parts: dict[int, dict[int, str]] = {}  # likewise, of what is further down
        self._of: dict[Node, int | None] = {}
        for node in reversed(nodes):  # oldest first, so calls are counted as they were made
            if not isinstance(node, AccumulateGrad):
                self._of[node] = self._enter(node.modules)
        for entry, module in zip(self.entries, self._modules, strict=True):
            entry["calls"] = self._times[id(module)]
        self._labels = self._name_leaves(nodes)
        self._place_leaves(nodes)

    def of(self, node: Node) -> int | None:
        """The entry of the call that ``node`` was recorded in."""
        return self._of.get(node)

    def label(self, leaf: Node) -> str:
        """A leaf's name: its parameter's, or what it is with its shape."""
        return self._labels[leaf]

    @property
    def title(self) -> str:
        """What was run: the kind of the first outermost module with parameters."""
        for module in self._roots.values():
            if next(iter(module.parameters()), None) is not None:
                return type(module).__name__
        return "tape"

    def _enter(self, stack: ModuleStack) -> int | None:
        if stack is None:
            return None
        if id(stack) in self._ids:
            return self._ids[id(stack)]
        parent, module = self._enter(stack[1]), stack[0]()
        if module is None:
            self._ids[id(stack)] = parent
            return parent
        number = self._ids[id(stack)] = len(self.entries)
        self._times[id(module)] += 1
        self.entries.append({
            "id": number,
            "path": self._path(module, parent),
            "kind": type(module).__name__,
            "brief": _brief(module),
            "parent": parent,
            "call": self._times[id(module)],
        })  # fmt: skip
        self._modules.append(module)
        return number

    def _path(self, module: Module, parent: int | None) -> str:
        """A module's name in its outermost one; '' for that itself."""
        if parent is None:
            self._roots.setdefault(id(module), module)
            return ""
        above, path = self._modules[parent], self.entries[parent]["path"]
        if id(above) not in self._children:
            self._children[id(above)] = {id(m): n for n, m in reversed(above._modules.items())}
        name = self._children[id(above)].get(id(module))
        if name is None:  # a grandchild, called past the child; or no part of it at all
            if id(above) not in self._parts:
                self._parts[id(above)] = {id(m): n for n, m in above.named_modules()}
            name = self._parts[id(above)].get(id(module)) or type(module).__name__
        return f"{path}.{name}" if path else name

    def _name_leaves(self, nodes: list[Node]) -> dict[Node, str]:
        owners: dict[int, tuple[Module, str]] = {}
        places: dict[int, int] = {}  # of the roots, each among those of its class
        counted: Counter[type] = Counter()
        for root in self._roots.values():
            counted[type(root)] += 1
            places[id(root)] = counted[type(root)]
        for root in reversed(self._roots.values()):  # the first root that has it names it
            owners.update({id(p): (root, name) for name, p in root.named_parameters()})
        leaves = [node for node in reversed(nodes) if isinstance(node, AccumulateGrad)]
        known = {leaf: owners[id(leaf.variable)] for leaf in leaves if id(leaf.variable) in owners}
        alike = Counter(name for _, name in known.values())
        roots = {id(root): root for root, _ in known.values()}
        kinds = Counter(type(root).__name__ for root in roots.values())
        labels: dict[Node, str] = {}
        for leaf in leaves:
            shape = tuple(leaf.variable.shape)
            if leaf not in known:
                word = "parameter" if isinstance(leaf.variable, Parameter) else "input"
                labels[leaf] = f"{word} {shape}"
                continue
            root, name = known[leaf]
            if alike[name] > 1:
                kind = type(root).__name__
                place = f" {places[id(root)]}" if kinds[kind] > 1 else ""
                name = f"{kind}{place}.{name}"
            labels[leaf] = name
        self._known = set(known)
        return labels

    def _place_leaves(self, nodes: list[Node]) -> None:
        """A parameter belongs to the call that uses it first, whenever its leaf was made."""
        for node in nodes:  # youngest first: the oldest consumer has the last word
            for edge in node.edges:
                if edge is not None and edge[0] in self._known:
                    self._of[edge[0]] = self._of.get(node)


def _brief(module: Module) -> str:
    try:
        return module._brief()
    except Exception:  # a user's class, and only a label
        return type(module).__name__
