"""Which distributions have plugins is remembered, and every change of an installation is noticed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, sys
{before}
from toolkit.installed import guests_of
found = guests_of("some.group")
print(json.dumps({{"found": found, "asked": "importlib.metadata" in sys.modules}}))
"""
HOOK = """
import importlib.machinery, importlib.metadata
class Hook(importlib.metadata.DistributionFinder):
    find_spec = classmethod(lambda *_: None)
    find_distributions = classmethod(lambda *_: [])
sys.meta_path.append(Hook)
"""


def install(site: Path, name: str, version: str = "1.0", folder: str = "dist-info", facts: str = "METADATA") -> Path:
    place = site / f"{name}-{version}.{folder}"
    place.mkdir(parents=True, exist_ok=True)
    (place / facts).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (place / "entry_points.txt").write_text(f"[some.group]\n{name} = {name}:declare\n")
    return place


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What a fresh process finds with ``tmp_path/site`` on its path, and whether it had to ask importlib.metadata."""
    def found(before: str = "") -> dict[str, Any]:
        path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        environment = {**os.environ, "PYTHONPATH": path, "TOOLKIT_CACHE": str(tmp_path / "cache")}
        # -S and -I would hide the packages; importlib.metadata must be unknown before the question.
        done = subprocess.run([sys.executable, "-c", PROGRAM.format(before=before)], env=environment, check=True,
                              capture_output=True, text=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return found


def test_the_second_question_reads_no_distribution(tmp_path: Path, ask: Callable[..., dict[str, Any]]) -> None:
    install(tmp_path / "site", "one")
    assert ask() == {"found": [["one", "1.0", "one:declare"]], "asked": True}
    assert ask() == {"found": [["one", "1.0", "one:declare"]], "asked": False}


def test_a_new_an_upgraded_and_a_removed_distribution_are_noticed(tmp_path: Path, ask: Callable[..., dict[str, Any]]) -> None:
    site = tmp_path / "site"
    one = install(site, "one")
    ask()
    two = install(site, "two", folder="egg-info", facts="PKG-INFO")
    assert [row[0] for row in ask()["found"]] == ["one", "two"]
    (two / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: two\nVersion: 1.1\n")  # as setuptools does, in its place
    assert ask() == {"found": [["one", "1.0", "one:declare"], ["two", "1.1", "two:declare"]], "asked": True}
    (one / "entry_points.txt").write_text("[some.group]\none = other:declare\n")
    assert ask()["found"][0] == ["one", "1.0", "other:declare"]
    shutil.rmtree(one)
    assert [row[0] for row in ask()["found"]] == ["two"]
    assert not ask()["asked"]


def test_a_finder_of_distributions_that_are_in_no_folder_is_asked_every_time(ask: Callable[..., dict[str, Any]]) -> None:
    ask(HOOK)
    assert ask(HOOK)["asked"]


def test_half_a_cache_is_read_as_none(tmp_path: Path, ask: Callable[..., dict[str, Any]]) -> None:
    install(tmp_path / "site", "one")
    found = ask()["found"]
    for path in (tmp_path / "cache" / "toolkit" / "plugins").iterdir():
        path.write_text(path.read_text()[:20])
    assert ask()["found"] == found
