"""How long a fresh Python process takes to import NumPy, lucidlite and PyTorch.

    python benchmarks/import_time.py [--json]

Whole processes, from start to exit, all with compiled bytecode; ``python`` is one that imports
nothing. The ratios are to `import lucidlite`.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from records import HERE
from side_by_side import OURS, arguments, compare, finish, measure, show, start

IMPORTS = {
    "python": "pass",
    "numpy": "import numpy",
    OURS: "import lucidlite",
    "lucidlite with nn and optim": "import lucidlite, lucidlite.nn, lucidlite.optim",
    "torch": "import torch",
}


def process(code: str) -> Callable[[], None]:
    """A function that runs ``code`` in a process of its own."""
    root = str(HERE.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    return run


def main(argv: list[str] | None = None) -> None:
    args = arguments(__doc__.splitlines()[0], rounds=10).parse_args(argv)
    start(args)
    # The others' were compiled when they were installed; what isn't writable stays as it is.
    compileall.compile_dir(Path(HERE.parent, "lucidlite"), quiet=2)
    runs = {name: process(code) for name, code in IMPORTS.items()}
    results = [compare(measure(runs, args.rounds, args.repeats, slot=0.0), name="import")]
    show("a fresh process", results[0])
    rows = results[0]["contenders"]
    for name in (OURS, "torch"):
        added = rows[name]["median_ms"] - rows["numpy"]["median_ms"]
        print(f"  {name} adds {added:.0f} ms to NumPy's import")
    finish("import_time", args, results)


if __name__ == "__main__":
    main()
