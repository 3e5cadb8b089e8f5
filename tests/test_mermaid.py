"""viz.to_mermaid: the text, to the last character."""

from __future__ import annotations

from viz_graphs import Hostile

import lucidlite
from lucidlite import nn, viz
from lucidlite.models import ResNet8
from lucidlite.viz.graph import nodes_of

SMALL = """\
flowchart TD
    n0["sum<br/>()"]
    subgraph m0["Sequential"]
        subgraph m1["0: Linear(2 -> 3)"]
            n4(["0.weight (3, 2)"])
            n3(["0.bias (3,)"])
            n2["linear<br/>(4, 3)"]
        end
        subgraph m2["1: ReLU"]
            n1["relu<br/>(4, 3)"]
        end
    end
    n4 --> n2
    n3 --> n2
    n2 --> n1
    n1 --> n0"""

TWICE = """\
flowchart TD
    n0["sum<br/>()"]
    subgraph m0["Twice"]
        n2["split<br/>(1, 2), (1, 2)"]
        n1["mul<br/>(1, 2)"]
        subgraph m1["cell: Linear(2 -> 2, bias=False), call 1"]
            n5(["cell.weight (2, 2)"])
            n4["linear<br/>(2, 2)"]
        end
        subgraph m2["cell: Linear(2 -> 2, bias=False), call 2"]
            n3["linear<br/>(2, 2)"]
        end
    end
    n5 --> n4
    n4 --> n3
    n5 --> n3
    n3 --> n2
    n2 -->|output 0| n1
    n2 -->|output 1| n1
    n1 --> n0"""


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        first, second = self.cell(self.cell(x)).split(1)
        return first * second


def test_mermaid_text():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    loss = model(lucidlite.ones(4, 2)).sum()
    assert viz.to_mermaid(loss) == SMALL
    loss.backward()
    assert viz.to_mermaid(loss) == SMALL
    twice = Twice()
    assert viz.to_mermaid(twice(lucidlite.ones(2, 2)).sum()) == TWICE


def test_mermaid_text_is_quoted():
    model = Hostile()
    text = viz.to_mermaid(model(lucidlite.ones(1, 2)).sum())
    assert "<script" not in text
    assert "#60;/script>" in text
    assert text.count('"') == 2 * sum(('["' in line) for line in text.splitlines())


def test_mermaid_of_a_resnet():
    model = ResNet8()
    loss = model(lucidlite.ones(1, 3, 16, 16)).sum()
    lines = viz.to_mermaid(loss).splitlines()
    nodes = nodes_of(loss)
    assert sum("-->" in line for line in lines) == sum(
        edge is not None for node in nodes for edge in node.edges
    )
    begun = sum(line.strip().startswith("subgraph") for line in lines)
    assert begun == sum(line.strip() == "end" for line in lines)
    assert begun == len(viz.tape(loss).data["modules"]) > 20
