"""What a component's code says about itself, read from its source: nothing is imported or executed."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
from pathlib import Path

from toolkit.entries import Entry


def definition(entry: Entry) -> str:
    """The signature and the docstring of the function or class behind ``entry``; empty where no source is found."""
    if not isinstance(entry.target, str):
        return inspect.getdoc(entry.target) or ""
    module, _, attribute = entry.target.partition(":")
    path = source_file(module)
    if path is None:
        return ""
    try:
        nodes = ast.parse(path.read_bytes()).body
    except SyntaxError as error:  # of a plugin, whose code nothing has imported yet
        return f"{path} is not Python: {error}"
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == attribute:
            return "\n\n".join(part for part in (signature(node), ast.get_docstring(node) or "") if part)
    return ""


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """``name(x: Tensor, dim: int) -> Tensor`` of a function; nothing of a class, whose settings say it."""
    if isinstance(node, ast.ClassDef):
        return ""
    return f"{node.name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def source_file(module: str) -> Path | None:
    """The file of a module, found as importing it would, package by package.

    The top package is asked of every finder, so that one installed in editable mode is found too; that imports nothing.
    """
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    for count in range(1, len(inner) + 1):
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
        spec = importlib.machinery.PathFinder.find_spec(".".join([top, *inner[:count]]), places)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
