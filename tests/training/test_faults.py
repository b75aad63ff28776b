"""What goes wrong in a run: signals, NaN, an environment that raises, folders that cannot be written."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dying import Die
from small_runs import CONTINUOUS, RESUMABLE, STEPS, command, environment_of, finished, flags, outcome, steps_of

import toolkit
from toolkit.registry import registry
from toolkit.training.checkpoints import Checkpoints

HERE = str(Path(__file__).parent)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


# -- interruption


def resume_words(message: str) -> list[str]:
    """The resume command in a message, as a shell would read it."""
    found = re.search(r"Continue: toolkit (resume .*)", message)
    assert found, message
    return shlex.split(found[1])


@pytest.mark.parametrize("signum", CODES)
@pytest.mark.parametrize("where", [("step", 250), ("learn", 250), ("play", 2), ("play", 4), ("save", 3)],
                         ids=["stepping", "learning", "evaluating", "final evaluation", "saving"])
def test_an_interrupted_run_saves_says_how_to_go_on_and_then_ends_as_if_it_had_not_been(
        where: tuple[str, int], signum: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    done = command(*flags("dqn", **STEPS), "--out", "run", cwd=folder, die=Die(*where, (signum,)))
    assert done.code == CODES[signum], done.err
    assert done.out == ""
    assert "interrupted: saving a checkpoint (once more to end at once)" in done.err
    step = steps_of(folder / "run")[-1]
    assert f"interrupted at step {step}; a checkpoint is saved" in done.err
    facts = json.loads((folder / "run" / "run.json").read_text())
    assert facts["status"] == "interrupted" and "parameters_sha256" not in facts
    again = command(*resume_words(done.err), "--json", cwd=tmp_path).json
    assert again["resumed_from"] == step
    result, expected = outcome(folder / "run"), outcome(finished(**STEPS))
    # The checkpoint that was asked for is one more than the uninterrupted run has.
    assert set(result.pop("checkpoints")) >= {0, expected.pop("checkpoints")[-1]}
    assert result == expected


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)], ids=["twice", "both"])
def test_a_second_signal_ends_at_once(signals: tuple[int, ...], tmp_path: Path) -> None:
    done = command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die("step", 250, signals))
    assert done.code == 128 + signals[1]
    assert steps_of(tmp_path / "run")[-1] < 250, "nothing was saved"
    assert command("resume", "run", cwd=tmp_path).code == 0
    assert outcome(tmp_path / "run") == outcome(finished(**STEPS))


@pytest.mark.parametrize("signum", CODES)
def test_an_ordinary_process_takes_the_signal(signum: signal.Signals, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "toolkit", *flags("dqn", steps=10_000_000, checkpoint_every=500), "--out", "run"]

    def defaults() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "TOOLKIT_PLUGINS": "0"}, text=True, preexec_fn=defaults,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not ((tmp_path / "run" / "checkpoints").is_dir() and steps_of(tmp_path / "run")[-1:] > [0]):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == CODES[signum], err
    assert out == "" and resume_words(err) == ["resume", str(tmp_path / "run")]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert f"interrupted at step {checkpoints.steps()[-1]};" in err
    assert checkpoints.load(checkpoints.steps()[-1])


# -- sick environments


def sick(agent: str, what: str, after: int) -> list[str]:
    inner = "Pendulum" if environment_of(registry.get("agent", agent)) == CONTINUOUS else "CartPole"
    return [*flags(agent, env=f"sick:sick/{inner}-v0", steps=600, checkpoint_every=50, evaluate_every=0), "--env.what", what,
            "--env.after", str(after)]


@pytest.fixture
def with_sick(tmp_path: Path) -> Path:
    (tmp_path / "sick.py").write_text((Path(HERE) / "sick.py").read_text())
    return tmp_path


@pytest.mark.parametrize("agent", RESUMABLE)
def test_numbers_that_are_none_stop_the_run_before_they_reach_the_parameters(agent: str, with_sick: Path) -> None:
    done = command(*sick(agent, "nan-observation", 150), "--out", "run", cwd=with_sick)
    assert done.code == 1, done.err
    assert "Traceback" not in done.err and "Warning" not in done.err and done.out == ""
    found = re.search(r"not finite.* at step (\d+)", done.err)
    assert found and int(found[1]) >= 150, done.err
    check_kept(with_sick / "run", done.err, int(found[1]))


@pytest.mark.parametrize("what", ["nan-reward", "infinite-reward"])
def test_a_reward_that_is_none_is_named_with_its_step(what: str, with_sick: Path) -> None:
    done = command(*sick("dqn", what, 300), "--out", "run", cwd=with_sick)
    assert done.code == 1, done.err
    number = "nan" if what == "nan-reward" else "inf"
    # One copy: its 300th step is the run's.
    assert f"the reward is not finite ({number}) at step 300, from copy 0 of the environment after the action" in done.err
    assert [line[:8] for line in done.err.strip().split("\n")] == ["toolkit:", "The run "], done.err
    check_kept(with_sick / "run", done.err, 300)


def check_kept(run: Path, message: str, step: int) -> None:
    """The checkpoints before ``step`` are there, whole and finite, and the message names the last."""
    checkpoints = Checkpoints(run / "checkpoints")
    last = checkpoints.steps()[-1]
    assert 0 < last <= step
    assert f"The last good checkpoint is {last}: toolkit resume" in message
    for kept in checkpoints.steps():
        parameters = toolkit.load(run / "checkpoints" / str(kept)).agent.parameters()
        assert all(bool(value.isfinite().all()) for value in parameters.values())
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "failed" and "not finite" in facts["reason"]


def test_an_environment_that_raises_ends_the_run_with_its_own_error_and_the_way_on(with_sick: Path) -> None:
    done = command(*sick("dqn", "raise", 300), "--out", "run", cwd=with_sick)
    assert done.code == 1
    assert "RuntimeError: the spring broke" in done.err and 'sick.py", line' in done.err, "its author needs the traceback"
    good = steps_of(with_sick / "run")[-1]
    assert good > 0 and f"The last good checkpoint is {good}: toolkit resume" in done.err
    facts = json.loads((with_sick / "run" / "run.json").read_text())
    assert facts["status"] == "failed" and "the spring broke" in facts["reason"]


# -- folders


@pytest.mark.parametrize("out", ["file/inside", "file", "/proc/toolkit-run", "/sys/toolkit-run"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_done(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = command(*flags("dqn", **STEPS), "--out", out, cwd=tmp_path)
    assert done.code == (2 if out == "file" else 1)
    assert len(done.err.strip().split("\n")) == 1 and out in done.err and "--out" in done.err
    assert (tmp_path / "file").read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_holds_something_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    done = command(*flags("dqn", **STEPS), "--out", "mine", cwd=tmp_path)
    assert done.code == 2 and "no run is overwritten" in done.err and "Name another folder" in done.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_wrong_spaces_and_names_leave_no_folder_behind(tmp_path: Path) -> None:
    for words in (flags("dqn", env="Pendulum-v1"), flags("dqn", env="CartPole-v9"), flags("dqn", learning_rate=-1)):
        assert command(*words, "--out", "run", cwd=tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


def test_observations_that_are_none_stop_a_run_that_only_stores_them_yet(with_sick: Path) -> None:
    done = command(*sick("dqn", "nan-observation", 5), "--learning-starts", "500", "--out", "run", cwd=with_sick)
    assert done.code == 1, done.err
    assert re.search(r"an observation is not finite at step 5, from copy 0 of the environment after the action [01];", done.err)
    assert "Mend the environment's observations" in done.err and "Warning" not in done.err and "Traceback" not in done.err
