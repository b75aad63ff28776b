"""The commands and the Python of docs/text.md and docs/tables.md run, in order, in one folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import command

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["text.md", "tables.md"])
def test_what_a_document_says_runs(name: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    text = (DOCS / name).read_text()
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", text, re.S):
        if language == "python":
            done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and done.stdout, done.stderr
            continue
        for line in block.strip().splitlines():
            found = command(*shlex.split(line)[1:], cwd=tmp_path)
            assert found.code == 0 and found.out, f"{line}: {found.err}"
