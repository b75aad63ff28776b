"""A new plugin installs with pip, is listed, and passes the tests that came with it."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Toolkit

from toolkit.commands.new_plugin import KINDS, files_of, write
from toolkit.errors import UsageError
from toolkit.registry import Declarer, registry
from toolkit.testing.suite import BROKEN, KEPT, examine, suite_for
from toolkit.training.api import train

WHEELS = """
import os, sys
from setuptools.build_meta import build_wheel

into, *folders = sys.argv[1:]
for folder in folders:
    os.chdir(folder)
    build_wheel(into)
"""


def python(*words: Any) -> None:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(into: Path, folder: Path, *more: Path) -> None:
    """Really install with pip, into a folder of their own, without the network: one as a user does, and ``more`` of the same
    from wheels, to build which pip would start three processes each."""
    wheels = into.parent / f"{into.name}-wheels"
    wheels.mkdir(parents=True)
    python("-c", WHEELS, wheels, *more)
    built = sorted(wheels.iterdir())
    assert len(built) == len(more), built
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", into, folder, *built)


SOUNDS = ("--data", "synthetic-sounds", "--data.count", "40", "--data.held-out", "10")
# What runs the component, in little; None: `toolkit op` shows it.
TRIALS: dict[str, tuple[str, ...] | None] = {
    "agent": ("my-agent", "--env", "CartPole-v1", "--final-episodes", "3"),
    "env": ("ppo", "--env", "my-env", "--preset", "none", "--final-episodes", "3"),
    "network": ("dqn", "--env", "CartPole-v1", "--network", "my-network", "--final-episodes", "3"),
    "buffer": ("dqn", "--env", "CartPole-v1", "--buffer", "my-buffer", "--final-episodes", "3"),
    "frontend": ("audio-classification", *SOUNDS, "--frontend", "my-frontend"),
    "model": ("audio-classification", *SOUNDS, "--model", "my-model"),
    "transform": ("audio-classification", *SOUNDS, "--transforms", "my-transform"),
    "vocoder": ("vocoder", *SOUNDS, "--model", "my-vocoder", "--warm-up", "600", "--evaluation-clips", "1"),
    "dataset": ("tabular-classification", "--data", "my-dataset"),
    "loss": ("tabular-regression", "--data", "diabetes", "--loss", "my-loss"),
    "tokenizer": ("text-classification", "--data", "said.csv", "--tokenizer", "my-tokenizer"),
    "task": ("my-task", "--data", "rows.csv", "--target", "y", "--quantile", "0.9"), "op": None}

STEPS = {"frontend": 64, "model": 64, "transform": 64}  # where one costs more than elsewhere

# Installed and run in the long selection alone; the short one holds what is written to its promises.
SLOW = ("buffer", "loss", "model", "network", "transform", "vocoder")


@pytest.mark.parametrize("kinds", [pytest.param([kind for kind in TRIALS if kind not in SLOW], id="short"),
                                   pytest.param(list(SLOW), id="long", marks=pytest.mark.slow)])
def test_they_install_list_and_pass_their_own_tests(toolkit: Any, tmp_path: Path, kinds: list[str]) -> None:
    """All beside each other, as a user has them: one installation, one list and one run of tests for all."""
    names = [f"my-{kind}" for kind in kinds]
    for kind, name in zip(kinds, names, strict=True):
        assert toolkit.json("new-plugin", name, "--kind", kind)["name"] == name
    install(tmp_path / "site", *(tmp_path / name for name in names))
    around = Toolkit(tmp_path, tmp_path / "site", ",".join(f"toolkit-{name}" for name in names))
    rows = {row["id"]: row["status"] for row in around.json("list", PYTHONHASHSEED="1")}  # a new interpreter
    assert {row: status for row, status in rows.items() if row.startswith("toolkit-")} == {
        f"toolkit-{name}/{name}": "ok" for name in names}
    done = around("-q", "-p", "no:cacheprovider", "--assert", "plain", "-rp", *(f"{name}/tests" for name in names),
                  "--rootdir", ".", module="pytest", timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in names:
        assert f"PASSED {name}/tests/" in done.stdout, f"no test of {name} has been run: {done.stdout[-3000:]}"
    (tmp_path / "said.csv").write_text("text,label\n" + "good day,yes\nbad night,no\n" * 20)
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"{x},{2 * x}\n" for x in range(40)))
    for kind in kinds:
        words = TRIALS[kind]
        if words is None:
            assert around.json("op", "my-op", "--values=-2,0.25,1")["output"]["values"] == [-1.5, 0, 0.5]
            continue
        steps = STEPS.get(kind, 600)
        report = around.json("run", *words, "--steps", str(steps), "--out", kind)
        assert report["steps"] >= steps
        judged = around.json("evaluate", kind, *(("--episodes", "2") if "--env" in words else ()))
        assert judged, f"a finished run of my-{kind} is judged again"


def test_every_template_is_tried() -> None:
    assert set(TRIALS) == set(KINDS)


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize("kind", SLOW)
def test_what_it_writes_keeps_its_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    write(tmp_path, files_of(kind, f"written-{kind}"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(f"written_{kind}_plugin").declare(Declarer(registry, "toolkit-written"))
    verdicts = list(examine(suite_for(registry.get(kind, f"written-{kind}"))))
    assert [verdict.reason for verdict in verdicts if verdict.status == BROKEN] == []
    assert sum(verdict.status == KEPT for verdict in verdicts) > 1


@pytest.mark.usefixtures("only_here")
def test_an_agent_meets_no_action_space_that_it_does_not_declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, files_of("agent", "discrete-only"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("discrete_only_plugin").declare(Declarer(registry, "toolkit-discrete-only"))
    with pytest.raises(UsageError, match=r"^discrete-only acts in Discrete action .* environment's is Box.*can: .*ppo"):
        train("discrete-only", env="Pendulum-v1", steps=64, out=str(tmp_path / "run"))


@pytest.mark.usefixtures("only_here")
def test_an_option_that_its_environment_does_not_have_is_told_with_the_nearest(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, files_of("env", "corridor"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("corridor_plugin").declare(Declarer(registry, "toolkit-corridor"))
    with pytest.raises(UsageError, match=r"has no option --env.lenth. Did you mean --env.length\? Allowed: --env.length.$"):
        train("ppo", env="corridor", **{"env.lenth": 5}, steps=64, preset="none", out=str(tmp_path / "run"))


SHORTER = {"--steps 50000": "--steps 500 --final-episodes 2", "evaluate latest": "evaluate latest --episodes 2",
           "--data synthetic-sounds": "--data synthetic-sounds --data.count 40 --data.held-out 10 --preset none --steps 64"}


@pytest.mark.slow
def test_the_page_is_followed_from_an_empty_folder(toolkit: Any, tmp_path: Path) -> None:
    """Every command of docs/plugins.md that stands before or after an installation, in its order, with short budgets."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text().partition("\n## What is promised")[0]
    lines = [line.split("  #")[0] for block in re.findall(r"```(?:sh)?\n(.*?)```", page, re.S) for line in block.splitlines()]
    assert sum(line.startswith("pip install -e ") for line in lines) == 2
    sites: list[Path] = []
    for line in lines:
        path = os.pathsep.join([*map(str, sites), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        around = {"PYTHONPATH": path, "TOOLKIT_PLUGINS": ",".join(f"toolkit-{site.name}" for site in sites) or "0"}
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        program, *words = shlex.split(line)
        if program == "pip":
            sites.append(tmp_path / "sites" / words[-1])
            install(sites[-1], tmp_path / words[-1])
            continue
        start = {"toolkit": ("-m", "toolkit"), "python": ()}[program]
        done = subprocess.run([sys.executable, *start, *words], cwd=tmp_path, env={**toolkit.environment, **around},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_it_overwrites_nothing_and_refuses_wrong_names(toolkit: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    assert "nothing is overwritten" in toolkit("new-plugin", "full", "--kind", "env").stderr
    assert "is not allowed" in toolkit("new-plugin", "Bad_Name", "--kind", "env").stderr
    assert "it is a word of Python's" in toolkit("new-plugin", "lambda", "--kind", "op").stderr
    assert "it means a built-in agent" in toolkit("new-plugin", "a2c", "--kind", "agent").stderr


def test_the_template_of_a_task_refuses_a_loss_that_would_do_nothing() -> None:
    from toolkit.commands.templates.task import Component
    from toolkit.config import Part
    from toolkit.core.configs import TabularRegressionConfig
    from toolkit.errors import UsageError

    Component(TabularRegressionConfig())
    with pytest.raises(UsageError, match="--loss huber: what is made small here is the pinball loss. Leave it out"):
        Component(TabularRegressionConfig(loss=Part("huber", {})))
