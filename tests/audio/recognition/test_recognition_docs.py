"""The commands of docs/recognition.md run, on less data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Toolkit

PAGE = Path(__file__).resolve().parents[3] / "docs" / "recognition.md"
LESS = ("--data.count", "100", "--data.held-out", "20", "--epochs", "1")


def test_the_commands_of_the_page_run(toolkit: Toolkit) -> None:
    pytest.importorskip("espeakng_loader")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    for line in block.strip().split("\n"):
        words = line.split()[1:]
        done = toolkit(*words, *(LESS if words[0] == "run" else ()))
        assert done.returncode == 0, f"{line}: {done.stderr}"
