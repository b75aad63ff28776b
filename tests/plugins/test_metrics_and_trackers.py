"""A plugin's metrics and trackers serve runs by their names, with options, in training, evaluation and resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Toolkit
from test_isolation import install

DECLARED = """
from dataclasses import dataclass
from toolkit.config import setting
@dataclass(frozen=True)
class Beta:
    beta: float = setting(1.0, "what recall counts", above=0)
@dataclass(frozen=True)
class Words:
    word: str = setting("line", "what each line begins with")
def declare(registry):
    registry.add("metric", "share-of", "own_code:share_of", config="own_plugin:Beta", accepts=("classes",), summary="A share.")
    registry.add("metric", "certainty", "own_code:certainty", accepts=("classes", "scores"), summary="Of what is said.")
    registry.add("metric", "f1", "own_code:twice", summary="Named as one that is there.")
    registry.add("metric", "torn", "own_code:torn", summary="Of nothing here.")
    registry.add("tracker", "plain-lines", "own_code:Lines", config="own_plugin:Words", summary="Lines of text.")
"""
CODE = """
import numpy as np
def share_of(predictions, targets, beta=1.0):
    return beta * (predictions == targets).mean()
def certainty(scores, targets):
    assert scores.ndim == 2 and np.allclose(scores.sum(1), 1)
    return scores.max(1).mean()
def twice(predictions, targets):
    return [2.0, 2.0]
def torn(predictions, targets):
    raise KeyError("no luck")
class Lines:
    def __init__(self, config, directory):
        self.word, self.file = config.word, (directory / "lines.txt").open("a+b")
    def write(self, step, seconds, metrics):
        self.file.write(f"{self.word} {step} {sorted(metrics)}\\n".encode())
        self.file.flush()
    def offset(self):
        return self.file.seek(0, 2)
    def cut(self, offset):
        self.file.truncate(offset)
    def close(self):
        self.file.close()
"""


@pytest.fixture
def around(tmp_path: Path) -> Toolkit:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "own", DECLARED)
    (site / "own_code.py").write_text(CODE)
    return Toolkit(tmp_path, site, "own")


def test_runs_measure_and_track_by_a_plugins_names(around: Toolkit, tmp_path: Path) -> None:
    done = around("run", "tabular-classification", "--data", "iris", "--steps", "600", "--out", "run", "--metrics",
                  "share-of,certainty,own/f1,torn", "--metrics.share-of.beta", "3", "--trackers", "plain-lines",
                  "--trackers.plain-lines.word", "row", "--json")
    assert done.returncode == 0, done.stderr
    judged = json.loads(done.stdout)["evaluation"]
    assert judged["own/share-of"] == pytest.approx(3 * judged["accuracy"]) and 0.3 < judged["own/certainty"] <= 1
    assert judged["own/torn"] is None and done.stderr.count("'own/torn' gives nothing here: KeyError: 'no luck'") == 1
    assert list(judged)[:2] == ["split", "accuracy"] and judged["f1"] <= 1, "its own come first, and keep their meaning"
    kept = json.loads(next((tmp_path / "run" / "evaluations").glob("*.json")).read_text())
    assert kept["splits"]["validation"]["own/f1"] == [2.0, 2.0]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert facts["metrics"]["value"] == ["own/share-of", "own/certainty", "own/f1", "own/torn"]
    assert facts["metrics.share_of.beta"] == {"value": 3.0, "origin": "flag"} and not list((tmp_path / "run").glob("events*"))
    words = ("run", "tabular-classification", "--data", "iris", "--metrics", "share-of,recall", "--metrics.share-of.beta", "3")
    (tmp_path / "mine.toml").write_text(around(*words, "--print-config").stdout)
    read = around.json("run", "tabular-classification", "--config", "mine.toml", "--print-config")["config"]
    assert read["metrics"]["value"] == ["share-of", "recall"] and read["metrics.share_of.beta"]["value"] == 3
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    written = (tmp_path / "run" / "lines.txt").read_text().splitlines()
    assert [int(line.split()[1]) for line in written] == steps and all(line.startswith("row ") for line in written)
    around.json("resume", "run", "--steps", "900")
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [int(line.split()[1]) for line in (tmp_path / "run" / "lines.txt").read_text().splitlines()] == steps
    again = around.json("evaluate", "run", "--metrics", "share-of,recall", "--metrics.share-of.beta", "0.5")
    assert again["own/share-of"] == pytest.approx(again["accuracy"] / 2) and "recall" in again and "own/torn" not in again


@pytest.mark.parametrize(("words", "message"), [
    ("run tabular-classification --data iris --metrics r2", "the metric 'r2' is not one for classes: it is for numbers. Allowed "
                                                            "here: accuracy, auc, "),
    ("run tabular-classification --data iris --metrics share-off", "unknown metric 'share-off'. Did you mean 'share-of'?"),
    ("run tabular-classification --data iris --metrics share-of --metrics.share-of.betta 2",
     "unknown setting '--metrics.share-of.betta'. Did you mean '--metrics.share-of.beta'?"),
    ("run tabular-classification --data iris --metrics.share-of.beta 2", "unknown setting '--metrics.share-of.beta'"),
    ("run dqn --env CartPole-v1 --trackers plain-line", "unknown tracker 'plain-line'. Did you mean 'plain-lines'?"),
    ("run dqn --env CartPole-v1 --metrics f1", "dqn has no option '--metrics'"),
])
def test_what_is_wrong_with_them_is_said_before_anything_is_made(around: Toolkit, words: str, message: str) -> None:
    done = around(*words.split())
    assert done.returncode == 2 and message in done.stderr, done.stderr
