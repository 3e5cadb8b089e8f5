"""Wrong uses: PyTorch's class of error, a message with the rule, the value and the user's line.

wrong_uses.txt is the table. Where PyTorch accepts what a row does, the result must be PyTorch's.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from case_kinds import leaves, same

import lucidlite

FILE = "users_script.py"


@dataclass(frozen=True)
class Use:
    """One line of the table; ``says`` is '' where PyTorch accepts it."""

    code: str
    says: str
    python: bool  # Python itself raises it

    def run(self, T: Any) -> Any:
        """What the last expression or assignment gives, or what it raises."""
        tree = ast.parse(self.code)
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.Assign([ast.Name("result", ast.Store())], last.value)
        ast.fix_missing_locations(ast.copy_location(tree.body[-1], last))
        names = {"T": T, "__name__": "users_script"}
        T.manual_seed(0)
        try:
            exec(compile(tree, FILE, "exec"), names)
        except Exception as problem:
            return problem
        return names.get("result")


def table() -> list[Use]:
    text = Path(__file__).with_name("wrong_uses.txt").read_text(encoding="utf-8")
    uses = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            code, mark, says = next(
                (line.partition(m) for m in (" #python# ", " ## ") if m in line), (line, "", "")
            )
            uses.append(Use(code, says, mark == " #python# "))
    return uses


USES = table()
quietly = pytest.mark.filterwarnings("ignore")


def test_the_table_is_long():
    assert len([use for use in USES if use.says]) >= 300
    assert len({use.code for use in USES}) == len(USES)


@quietly
@pytest.mark.parametrize("use", [use for use in USES if use.says], ids=lambda use: use.code)
def test_the_message(use):
    problem = use.run(lucidlite)
    assert isinstance(problem, Exception), f"no error: {problem}"
    assert use.says in str(problem)
    assert use.python or re.search(rf"\bat {FILE}:1 in <module>", str(problem)), str(problem)


@quietly
@pytest.mark.parametrize("use", USES, ids=lambda use: use.code)
def test_as_in_pytorch(use):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    got, expected = use.run(lucidlite), use.run(torch)
    assert isinstance(expected, Exception) == bool(use.says), expected
    if isinstance(expected, Exception):
        assert isinstance(got, type(expected)), f"{got!r}, PyTorch: {expected!r}"
        return
    if isinstance(got, Exception):
        raise got
    if isinstance(expected, torch.nn.Module) or not is_plain(expected, torch):
        assert repr(got) == repr(expected)
    else:
        got, expected = (plain(value) for value in (got, expected))
        same(got, expected, "float32", 1, use.code)


def is_plain(value: Any, torch: Any) -> bool:
    kinds = (torch.Tensor, bool, int, float, type(None))
    return all(isinstance(leaf, kinds) for leaf in leaves(value))


def plain(value: Any) -> Any:
    """A torch.Size as a tuple, so that shapes compare."""
    return tuple(value) if isinstance(value, tuple) else value


ON_TWO_DEVICES = [
    "x + y", "x * y", "x @ y", "T.mm(x, y)", "T.cat([x, y])", "T.stack([x, y])", "T.maximum(x, y)",
    "x < y", "T.where(x > 0, x, y)", "T.nn.functional.mse_loss(x, y)", "x.add_(y)",
    "T.nn.functional.linear(x, y)", "T.addmm(x, x, y)", "x.gather(0, y.long())",
    "T.einsum('ij,jk', x, y)", "T.nn.Linear(2, 2)(y)", "T.lerp(x, y, 0.5)",
    "T.nn.functional.conv2d(x[None, None], y[None, None])", "x.masked_fill(y > 0, 0.0)",
    "T.nn.functional.cross_entropy(x, y[0].long())",
    "T.nn.functional.embedding(y.long(), x)", "x.index_select(0, y[0].long())",
    "T.nn.functional.batch_norm(x, y[0], y[0])",
]  # fmt: skip


@pytest.mark.parametrize("code", ON_TWO_DEVICES)
def test_two_devices(code, cuda):
    """PyTorch's RuntimeError, naming both devices. (It needs no GPU: CuPy's stand-in does.)"""
    made = f"x = T.ones(2, 2, device='cpu'); y = T.ones(2, 2, device={cuda!r})"
    use = Use(f"{made}; {code}", "", False)
    problem = use.run(lucidlite)
    assert type(problem) is RuntimeError, repr(problem)
    assert re.search(r"cpu.*cuda|cuda.*cpu", str(problem).split("\n")[0])
    assert f"at {FILE}:1 in <module>" in str(problem)
