"""The graph below a tensor as Mermaid text, which GitHub and notebooks draw."""

from __future__ import annotations

from typing import Any

from lucidlite.tape import AccumulateGrad, Node
from lucidlite.viz.graph import check, nodes_of, op_name
from lucidlite.viz.modules import Calls


def to_mermaid(loss: Any) -> str:
    """The graph that leads to ``loss`` as a Mermaid flowchart, from leaves to the loss.

    A box an operation, a rounded one a leaf, framed by the modules they were recorded in. The
    graph may be freed already: nothing is run. RuntimeError for a tensor without a graph.

    >>> import lucidlite
    >>> x = lucidlite.tensor([1.0, 2.0], requires_grad=True)
    >>> print(lucidlite.viz.to_mermaid((x * x).sum()))
    flowchart TD
        n2(["input (2,)"])
        n1["mul<br/>(2,)"]
        n0["sum<br/>()"]
        n2 --> n1
        n2 --> n1
        n1 --> n0
    """
    check("viz.to_mermaid", loss)
    nodes = nodes_of(loss)
    ids = {node: f"n{nr}" for nr, node in enumerate(nodes)}
    calls = Calls(nodes)
    inside: dict[int | None, list[Node]] = {}
    for node in reversed(nodes):
        inside.setdefault(calls.of(node), []).append(node)
    within: dict[int | None, list[dict[str, Any]]] = {}
    for entry in calls.entries:
        within.setdefault(entry["parent"], []).append(entry)

    def group(module: int | None, indent: str) -> list[str]:
        lines = [f"{indent}{_box(ids[node], node, calls)}" for node in inside.get(module, ())]
        for entry in within.get(module, ()):
            parts = group(entry["id"], indent + "    ")
            if parts:
                name = f"{entry['path']}: {entry['brief']}" if entry["path"] else entry["kind"]
                if entry["calls"] > 1:
                    name += f", call {entry['call']}"
                lines += [f'{indent}subgraph m{entry["id"]}["{_text(name)}"]', *parts]
                lines.append(f"{indent}end")
        return lines

    arrows = []
    for node in reversed(nodes):
        for source, nr in filter(None, node.edges):
            which = f"|output {nr}|" if len(source.metas) > 1 else ""
            arrows.append(f"    {ids[source]} -->{which} {ids[node]}")
    return "\n".join(["flowchart TD", *group(None, "    "), *arrows])


def _box(name: str, node: Node, calls: Calls) -> str:
    shapes = ", ".join(str(tuple(shape)) for shape, _, _ in node.metas)
    if isinstance(node, AccumulateGrad):
        label = calls.label(node)
        text = label if label.endswith(shapes) else f"{label} {shapes}"
        return f'{name}(["{_text(text)}"])'
    return f'{name}["{_text(op_name(node))}<br/>{_text(shapes)}"]'


def _text(text: str) -> str:
    """Text inside a Mermaid string: what would end it or be read as markup, by its number."""
    return "".join(f"#{ord(c)};" if c in '"#<&`\\' or not c.isprintable() else c for c in text)
