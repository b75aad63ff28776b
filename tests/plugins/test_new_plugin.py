"""A new plugin installs with pip, is listed, and passes the tests that came with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def install(folder: Path, into: Path) -> None:
    """Really install ``folder`` with pip, into a folder of its own, without the network."""
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
                           "--target", str(into), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["agent", "env"])
def test_it_installs_lists_and_passes_its_own_tests(toolkit: Any, tmp_path: Path, kind: str) -> None:
    made = toolkit.json("new-plugin", f"my-{kind}", "--kind", kind)
    assert made["name"] == f"my-{kind}"
    install(tmp_path / f"my-{kind}", tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    around = {"PYTHONPATH": path, "TOOLKIT_PLUGINS": f"toolkit-my-{kind}"}
    rows = toolkit.json("list", f"my-{kind}", **around)
    assert [(row["id"], row["status"]) for row in rows] == [(f"toolkit-my-{kind}/my-{kind}", "ok")]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], cwd=tmp_path / f"my-{kind}",
                          env={**toolkit.environment, **around}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    words = {"agent": ("my-agent", "--env", "CartPole-v1"), "env": ("ppo", "--env", "my-env", "--preset", "none")}[kind]
    report = toolkit.json("run", *words, "--steps", "600", "--final-episodes", "3", "--out", "run", **around)
    assert report["steps"] == 600 and toolkit.json("evaluate", "run", "--episodes", "2", **around)["episodes"] == 2


def test_it_overwrites_nothing_and_refuses_wrong_names(toolkit: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    assert "nothing is overwritten" in toolkit("new-plugin", "full", "--kind", "env").stderr
    assert "is not allowed" in toolkit("new-plugin", "Bad_Name", "--kind", "env").stderr
