"""The command line: ``lucidlite train | eval | predict | export | summary | ...``.

Each command is a module of lucidlite.commands, imported when it is the one asked for: it defines
``add_arguments(parser)`` and ``run(args)``, which returns the exit code. Mistakes of the user's
end in one line and exit code 2.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

COMMANDS = {
    "train": "train a classifier of images, or go on with a run",
    "eval": "measure a trained model on its test images",
    "predict": "tell the classes of image files",
    "export": "write a trained model as an ONNX file",
    "summary": "show a model's layers, shapes, parameters and work",
    "parity": "train a model here and in PyTorch, and find where they differ",
    "doctor": "show what this installation has and what it lacks",
}
_EXAMPLES = """examples:
  lucidlite train                          the documented CNN on the digits in the package
  lucidlite eval runs/sample-cnn-with-gap
  lucidlite predict digit.pgm
  lucidlite COMMAND --help                 options and examples of a command
"""

# What files, settings and data that don't fit raise, here and in the rooms below.
_EXPECTED = (ValueError, OSError, RuntimeError, ImportError, ArithmeticError, MemoryError)
_USAGE, _BUG, _INTERRUPTED = 2, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in arguments if not word.startswith("-")), "")
    command = importlib.import_module(f"lucidlite.commands.{name}") if name in COMMANDS else None
    args = _parser(name, command).parse_args(arguments)
    if command is None:  # parse_args takes any other name for a mistake
        _parser("", None).print_help()
        return _USAGE
    try:
        code: int = command.run(args)
        return code
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # whoever was reading (head, less) has gone
        sys.stdout = None
        return 0
    except Exception as problem:
        if args.debug:
            raise
        return _complain(name, problem)


def _parser(name: str, command: ModuleType | None) -> argparse.ArgumentParser:
    """The parser of all commands, with the options of the one called ``name``."""
    parser = argparse.ArgumentParser(
        prog="lucidlite",
        description="Train and use small convolutional networks on images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = sys.modules[__name__.partition(".")[0]].__version__
    parser.add_argument("--version", action="version", version=f"lucidlite {version}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for each, purpose in COMMANDS.items():
        chosen = command if each == name else None
        sub = subparsers.add_parser(
            each,
            help=purpose,
            description=purpose[0].upper() + purpose[1:] + ".",
            epilog=None if chosen is None else chosen.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if chosen is not None:
            chosen.add_arguments(sub)
            sub.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser


def _complain(name: str, problem: Exception) -> int:
    """Say in one line what went wrong; returns the exit code."""
    lines = [line.strip() for line in str(problem).splitlines()]
    # The user's line that the package adds is the entry point here, but for a model file.
    mine = tuple(_model_files())
    lines = [line for line in lines if not line.startswith("at ") or line[3:].startswith(mine)]
    text = "; ".join(line for line in lines if line) or type(problem).__name__
    if len(text) > 600:
        text = text[:600] + " ..."
    places = [f for f in traceback.extract_tb(problem.__traceback__) if f.filename in mine]
    if places and "at " + places[-1].filename not in text:
        text = f"{type(problem).__name__}: {text} ({places[-1].filename}:{places[-1].lineno})"
    if isinstance(problem, _EXPECTED) or places or isinstance(problem, SyntaxError):
        print(f"lucidlite {name}: error: {text}", file=sys.stderr)
        return _USAGE
    print(
        f"lucidlite {name}: unexpected {type(problem).__name__}: {text} "
        "(--debug shows the traceback)",
        file=sys.stderr,
    )
    return _BUG


def _model_files() -> list[str]:
    """The files that ``--model path.py:Class`` loaded."""
    loaded = list(sys.modules.items())
    return [str(module.__file__) for name, module in loaded if name.startswith("_model_")]
