"""English that ships with Python: its manual's topics and the docstrings of its library."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolkit.core.base import Example
from toolkit.errors import ToolkitError
from toolkit.nlp.configs import DocsConfig

HELD_OUT = 0.1


class PythonDocs:
    """``size`` characters of documentation; the last tenth is held out. No file is executed.

    The text is that of the Python that runs, so it differs a little between versions.
    """

    target = None

    def __init__(self, config: DocsConfig) -> None:
        self.size = config.size

    def splits(self) -> Mapping[str, Sequence[Example]]:
        text = ""
        for piece in pieces():
            text += piece.strip() + "\n\n"
            if len(text) >= self.size:
                break
        if len(text) < self.size:
            raise ToolkitError(f"the documentation of this Python holds {len(text):,} characters, and {self.size:,} are asked "
                               "for; ask for fewer with --data.size")
        text = text[:self.size]
        cut = round(self.size * (1 - HELD_OUT))
        return {"train": [{"text": text[:cut]}], "validation": [{"text": text[cut:]}]}


def pieces() -> Iterator[str]:
    """The library's docstrings by file, in the order of their names, then the manual's topics."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if not {"site-packages", "test", "tests", "idlelib", "pydoc_data", "lib2to3"} & set(path.relative_to(library).parts):
            text = docstrings(path)
            if text:
                yield text
    topics = library / "pydoc_data" / "topics.py"
    if topics.exists():
        yield from (node.value for node in ast.walk(ast.parse(topics.read_text(encoding="utf-8")))
                    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 200)


def docstrings(path: Path) -> str:
    """All docstrings of a file that are more than a line, in ASCII."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return ""  # a deliberately broken file of the library
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node)) and "\n" in text]
    return "\n\n".join(found).encode("ascii", "ignore").decode()
