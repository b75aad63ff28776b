"""English that ships with Python: its manual's topics and the docstrings of its library."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from toolkit.core.base import Example
from toolkit.errors import ToolkitError
from toolkit.nlp.configs import DocsConfig

HELD_OUT = 0.1


class PythonDocs:
    """``size`` characters of prose, whole documents in a drawn order; the last tenth is held out, so that
    what is held out is of the same kinds and yet unseen. No file is executed.

    Paragraphs of code and tables are left out, and those that were there before. The text is that of the Python
    that runs, so it differs a little between versions.
    """

    target = None

    def __init__(self, config: DocsConfig) -> None:
        self.size = config.size

    def splits(self) -> Mapping[str, Sequence[Example]]:
        chosen, characters = [], 0
        for document in prose(documents()):
            chosen.append(document[:self.size - characters])
            characters += len(chosen[-1])
            if characters == self.size:
                break
        if characters < self.size:
            raise ToolkitError(f"the documentation of this Python holds {characters:,} characters, and {self.size:,} are asked "
                               "for; ask for fewer with --data.size")
        text = "".join(chosen[index] for index in np.random.default_rng(0).permutation(len(chosen)))
        cut = round(self.size * (1 - HELD_OUT))
        return {"train": [{"text": text[:cut]}], "validation": [{"text": text[cut:]}]}


def documents() -> Iterator[str]:
    """The manual's topics, then the library's docstrings by file, in the order of their names."""
    library = Path(sysconfig.get_paths()["stdlib"])
    topics = library / "pydoc_data" / "topics.py"
    if topics.exists():
        yield from (node.value for node in ast.walk(ast.parse(topics.read_text(encoding="utf-8")))
                    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 200)
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if not {"site-packages", "test", "tests", "idlelib", "pydoc_data", "lib2to3"} & set(path.relative_to(library).parts):
            yield docstrings(path)


def prose(texts: Iterable[str]) -> Iterator[str]:
    """The texts with their English alone, each paragraph once: topics of the manual hold whole other topics."""
    seen: set[str] = set()
    for text in texts:
        kept = []
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            words = " ".join(paragraph.split())
            if words not in seen and is_english(words):
                seen.add(words)
                kept.append(paragraph)
        if kept:
            yield "\n\n".join(kept) + "\n\n"


def is_english(words: str) -> bool:
    """Whether letters and spaces are nine tenths of it, and no session with Python is in it."""
    return words != "" and ">>>" not in words and sum(map(str.isalpha, words)) + words.count(" ") >= 0.9 * len(words)


def docstrings(path: Path) -> str:
    """All docstrings of a file that are more than a line, in ASCII."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return ""  # a deliberately broken file of the library
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [text for node in statements(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node)) and "\n" in text]
    return "\n\n".join(found).encode("ascii", "ignore").decode()


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """A module and its statements in the order of `ast.walk`, which also looks into expressions: most of its time."""
    todo: deque[ast.AST] = deque([tree])
    while todo:
        node = todo.popleft()
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):  # in the order in which they are declared
            todo.extend(getattr(node, field, ()))
        yield node
