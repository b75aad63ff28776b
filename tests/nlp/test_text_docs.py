"""The commands and the Python of docs/text.md and docs/tables.md run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["text.md", "tables.md"])
def test_what_a_document_says_runs(name: str, toolkit: Any) -> None:
    """With less data and one pass over it: what is learned is not looked at here."""
    pytest.importorskip("sklearn")
    text = (DOCS / name).read_text()
    for number, (language, block) in enumerate(re.findall(r"```(sh|python)\n(.*?)```", text, re.S)):
        if language == "python":
            (toolkit.folder / f"block{number}.py").write_text(block)
            done = toolkit(module=f"block{number}")
            assert done.returncode == 0 and done.stdout, done.stderr
            continue
        for line in block.strip().splitlines():
            words = shlex.split(line)[1:]
            if words[0] == "run":
                words += ["--epochs", "1", "--threads", "1"]
                for flag, less in ("--data.count", ("60", "--data.held-out", "20")), ("--data.size", ("10000",)):
                    words += [flag, *less] if flag in words else []
            done = toolkit(*words)
            assert done.returncode == 0 and done.stdout, f"{line}: {done.stderr}"
