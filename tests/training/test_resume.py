"""Exact resume: a run that was killed anywhere and resumed equals one that was never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import RESUMABLE, Die, command, copy_of, finished, flags, outcome, rows, steps_of, timeless, tree

STEPS = {"steps": 480, "checkpoint_every": 100, "evaluate_every": 120, "record_every": 30}


@pytest.mark.parametrize("agent", RESUMABLE)
def test_every_agent_continues_exactly_after_a_kill(agent: str, tmp_path: Path) -> None:
    settings = {**STEPS, "n_envs": 2}
    killed = command(*flags(agent, **settings), "--out", "run", cwd=tmp_path, die=Die("step", 290))
    assert killed.code == -signal.SIGKILL
    facts = command("resume", "run", "--json", cwd=tmp_path).json
    assert facts["resumed_from"] > 0
    assert facts["resumed_from"] % 100 < 100 and facts["steps"] == 480
    assert outcome(tmp_path / "run") == outcome(finished(agent, **settings))
