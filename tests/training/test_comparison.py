"""Runs side by side: intervals by hand, unfinished runs, tasks beside agents, the picture, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.training.comparison import interval, records, scored
from toolkit.training.run_directory import RunDirectory

SMALL = ("--env", "CartPole-v1", "--preset", "none", "--evaluation-episodes", "2", "--final-episodes", "8")


def test_an_interval_holds_the_mean_and_shrinks_with_more() -> None:
    """Of 0 and 1 in equal parts the mean's deviation is 0.5 / sqrt(n): 0.05 for 100 of them, 0.025 for 400."""
    for count, deviation in ((100, 0.05), (400, 0.025)):
        low, high = interval([0.0, 1.0] * (count // 2))
        assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.01) and high == pytest.approx(0.5 + 1.96 * deviation, abs=0.01)


def test_a_task_shows_its_first_metric_and_its_own_interval() -> None:
    assert scored({"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "loss": 1.0}) == ("accuracy", 0.9, 0.8, 0.95)
    assert scored({"wer": 0.03}) == ("wer", 0.03, None, None) and scored({}) == ("", None, None, None)


def test_rows_behind_a_broken_line_are_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 2, "ti\x00\xff\n{"step": 3}\n{"st')
    assert records(RunDirectory(tmp_path)) == [{"step": 1}, {"step": 3}]


def test_agents_of_ours_and_of_others_are_compared_and_drawn(toolkit: Any) -> None:
    toolkit.json("run", "ppo", *SMALL, "--n-steps", "64", "--steps", "256", "--out", "ours")
    toolkit.json("run", "sb3-ppo", *SMALL, "--n-steps", "64", "--steps", "256", "--out", "theirs")
    found = toolkit.json("compare", "ours", "theirs")
    ours, theirs = found["runs"]
    assert (ours["name"], theirs["name"]) == ("ppo", "sb3-ppo") and ours["steps"] == theirs["steps"] == 256
    assert ours["low"] <= ours["score"] <= ours["high"] and ours["steps_per_second"] > 0
    assert (toolkit.folder / found["plot"]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and found["plot"] == "compare.png"
    shown = toolkit("compare", "ours", "theirs")
    assert shown.returncode == 0 and "mean return" in shown.stdout and "steps a second" in shown.stdout
    assert shown.stderr.endswith("wrote compare-2.png\n") and (toolkit.folder / "compare-2.png").exists()
    theirs_json = Path(toolkit.folder / "theirs" / "run.json")
    theirs_json.write_text(theirs_json.read_text().replace('"std_return"', '"success": 0.625, "std_return"'))
    measured = toolkit("compare", "ours", "theirs", "--no-plot")
    assert [line.split() for line in measured.stdout.splitlines() if line.startswith("success")] == [["success", "-", "0.625"]]
    none = toolkit("compare", "ours", "--no-plot", "--plot", "x.png")
    assert none.returncode == 2 and "allowed: one of them" in none.stderr
    kept = toolkit("compare", "ours", "--plot", "compare.png")
    assert kept.returncode == 2 and "nothing is overwritten" in kept.stderr
    wrong = toolkit("compare", "ours", "nowhere")
    assert wrong.returncode == 2 and "not a run" in wrong.stderr
    # What is read of an unfinished run is what it has recorded.
    path = Path(toolkit.folder / "ours" / "metrics.jsonl")
    path.write_text(path.read_text() + '{"step": 99')
    facts = Path(toolkit.folder / "ours" / "run.json")
    facts.write_text(facts.read_text().replace('"steps": 256,', "").replace('"finished"', '"running"'))
    again = toolkit.json("compare", "ours", "--no-plot")["runs"][0]
    assert again["status"] == "running" and again["steps"] == 256
