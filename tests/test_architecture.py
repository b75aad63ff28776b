"""The floors of the house, and what no file may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "toolkit"
FLOORS = [("errors", "files", "installed", "entries", "registry", "config", "plugins"), ("core",), ("nlp", "audio", "envs"),
          ("agents",), ("bridges",), ("training",), ("testing",), ("commands",), ("cli",), ("__main__",)]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))
UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# Runs fixed programs of its own in a subprocess.
MAY_EXECUTE = {PACKAGE / "commands" / "doctor.py"}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "__init__" if parts == ("__init__",) else parts[0]


def last_word(function: ast.expr) -> str:
    """``load`` of ``torch.load``."""
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules imported anywhere in a file but under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # no import is in one, and most nodes are
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_floors_only(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "toolkit" or len(parts) < 2 or parts[1] not in FLOOR:
            continue
        other = parts[1]
        same_house = other == room or (FLOOR[other] == FLOOR[room] == 0)
        assert same_house or FLOOR[other] < FLOOR[room], f"{path} imports {name}, which is not on a floor below {room}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_executes_nothing_it_loads(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assert not UNSAFE & {name.split(".")[0] for name in imports(tree)}
    for node in ast.walk(tree):
        # Writing every call out is most of the time of this test; its last word says whether it can be one of these.
        if not isinstance(node, ast.Call) or last_word(node.func) not in ("eval", "exec", "load"):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "exec"):
            assert path in MAY_EXECUTE, f"{path}:{node.lineno} calls {called}"
        if called.endswith("torch.load") or called == "torch.load":
            assert "weights_only=True" in ast.unparse(node)
        if called in ("np.load", "numpy.load"):
            assert "allow_pickle=True" not in ast.unparse(node)


def test_names_need_nothing_heavy() -> None:
    program = (
        "import sys; from toolkit.registry import registry\n"
        "[entry.settings for entry in registry.entries()]\n"
        "heavy = {'torch', 'numpy', 'gymnasium', 'librosa', 'rich', 'scipy', 'tensorboard'} & set(sys.modules)\n"
        "assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", program], check=True)
