"""The package as it is installed: metadata, data files, and the extras that errors name."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess

import pytest
from project_files import PACKAGE, ROOT, extras, project

import lucidlite
from lucidlite import cli

SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_version():
    metadata = project()["project"]
    assert metadata["version"] == lucidlite.__version__
    assert f"## [{lucidlite.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        installed = importlib.metadata.version("lucidlite")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lucidlite is not installed, only importable")
    assert installed == lucidlite.__version__


def test_numpy_is_the_only_dependency():
    assert project()["project"]["dependencies"] == ["numpy>=2.0"]


def test_licences():
    metadata = project()["project"]
    assert metadata["license"] == "MIT AND CC-BY-SA-3.0"
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in metadata["license-files"]]
    assert "MIT License" in texts[0]
    assert "CC BY-SA 3.0" in texts[1]


def test_command_is_there():
    assert project()["project"]["scripts"] == {"lucidlite": "lucidlite.cli:main"}
    assert callable(cli.main)


def test_every_folder_with_code_is_a_package():
    """Setuptools finds packages by their __init__.py."""
    assert {p.parent for p in SOURCES if not (p.parent / "__init__.py").exists()} == set()


def test_every_data_file_is_installed():
    patterns = project()["tool"]["setuptools"]["package-data"]["lucidlite"]
    data = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    named = {"datasets/mnist_sample.npz", "datasets/MNIST_SAMPLE.md", "viz/page/index.html",
             "training/page/index.html"}
    assert {"py.typed", *named} <= data
    installed = {p.relative_to(PACKAGE).as_posix() for each in patterns for p in PACKAGE.glob(each)}
    assert data <= installed


def test_git_leaves_no_source_out():
    """A pattern of .gitignore must not match a file of the package."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [git, "ls-files", "--others", "--ignored", "--exclude-standard", "lucidlite", "tests"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"git doesn't answer: {listed.stderr.strip()}")
    ignored = [name for name in listed.stdout.splitlines() if "__pycache__/" not in name]
    assert [name for name in ignored if not name.endswith((".pyc", ".pyo", ".pyd"))] == []


def test_extras_that_texts_name_exist():
    """'lucidlite[images]', and '(or [cuda12])' after it."""
    named = {}
    for path in (*SOURCES, ROOT / "Makefile", *ROOT.glob("benchmarks/*.py")):
        text = path.read_text(encoding="utf-8")
        for group in re.findall(r"(?:lucidlite|'\.|\(or )\[([a-z0-9,]+)\]", text):
            named.update(dict.fromkeys(group.split(","), path.name))
    assert {"images", "cuda12", "cuda13"} <= named.keys()
    assert {name: where for name, where in named.items() if name not in extras()} == {}


def test_extras_build_on_each_other():
    optional = project()["project"]["optional-dependencies"]
    assert set(optional["train"]) == {*optional["progress"], *optional["plot"]}
