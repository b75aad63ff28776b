"""The folder that a run leaves behind: its names, run.json, and how a RUN is found."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import numpy
import pytest
import torch
from refusals import asked_here
from small_runs import STEPS, command, copy_of, finished, flags, inside, steps_of

import toolkit
from toolkit import __version__
from toolkit.errors import ToolkitError, UsageError
from toolkit.training import run_directory, sessions
from toolkit.training.checkpoints import Checkpoints
from toolkit.training.comparison import records
from toolkit.training.run_directory import RunDirectory, find_run, latest, plain


def test_everything_that_was_promised_is_there() -> None:
    run = finished(**STEPS)
    names = sorted(re.sub(r"tfevents\..*", "tfevents", path.name) for path in run.iterdir())
    assert names == ["checkpoints", "evaluations", "events.out.tfevents", "lock", "metrics.jsonl", "run.json"]
    links = {name: os.readlink(run / "checkpoints" / name) for name in ("best", "final")}
    assert links["final"] == "480" and int(links["best"]) in steps_of(run), "relative, so that a run can be moved"


def test_run_json_says_what_was_run_with_which_values_from_where_on_what(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("gamma = 0.9\n")
    words = flags("dqn", **{**STEPS, "steps": 80, "env__sutton_barto_reward": "true"})
    assert command(*words, "--config", "mine.toml", "--out", "run", cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (facts["name"], facts["component"], facts["kind"]) == ("dqn", "toolkit/dqn", "agent")
    assert (facts["subject"], facts["unit"], facts["preset"]) == ("CartPole-v1", "env steps", "none")
    config = facts["config"]
    assert config["gamma"] == {"value": 0.9, "origin": "file"}
    assert config["batch_size"] == {"value": 16, "origin": "flag"}
    assert config["network.hidden_sizes"] == {"value": [8, 8], "origin": "flag"}
    assert config["max_grad_norm"] == {"value": 10.0, "origin": "default"}
    assert config["env.sutton_barto_reward"] == {"value": True, "origin": "flag"}
    assert config["seed"] == {"value": 0, "origin": "default"}
    assert facts["seeds"]["root"] == 0 and facts["seeds"]["evaluation"] > 0
    assert facts["distributions"] == {"toolkit": __version__}
    assert facts["libraries"]["torch"] == torch.__version__.split("+")[0] or facts["libraries"]["torch"] == torch.__version__
    assert facts["libraries"]["numpy"] == numpy.__version__ and facts["libraries"]["gymnasium"] == gymnasium.__version__
    assert facts["machine"]["python"] == sys.version.split()[0] and facts["machine"]["cpus"] == os.cpu_count()
    assert facts["threads"] == 1 and facts["status"] == "finished" and len(facts["parameters_sha256"]) == 64
    printed = command(*words, "--config", "mine.toml", "--print-config", "--json", cwd=tmp_path).json
    assert printed["config"] == config, "what --print-config shows is what is run"


@pytest.mark.parametrize("words", [
    ("dqn", "--env", "CartPole-v1", "--learning-rate", "0.000123456789", "--env.sutton_barto_reward", "true"),
    ("ppo", "--env", "toolkit/KeywordGuard-v0", "--network.model", "tdnn", "--env.noise_db", "7.5", "--env.words", "tones"),
    ("audio-classification", "--data", "synthetic-sounds", "--target", "none"),
    ("tabular-classification", "--data", "iris", "--steps", "60", "--metrics", "recall,auc", "--trackers", "none"),
    ("text-generation", "--data", "reverse", "--data.letters", 'ab"\\é')], ids=lambda words: words[0])
def test_what_print_config_prints_is_a_config_file(words: tuple[str, ...], tmp_path: Path) -> None:
    first = command("run", *words, "--print-config", cwd=tmp_path)
    assert first.code == 0, first.err
    (tmp_path / "mine.toml").write_text(first.out)
    again = command("run", words[0], "--config", "mine.toml", "--print-config", "--json", cwd=tmp_path).json
    again, preset = again["config"], again["preset"]
    wanted = command("run", *words, "--print-config", "--json", cwd=tmp_path).json["config"]
    assert {name: row["value"] for name, row in again.items()} == {name: row["value"] for name, row in wanted.items()}
    assert {row["origin"] for row in again.values()} == {"file"} and preset == "none", "nothing of a preset is left to be used"


def test_a_run_without_out_is_named_after_what_it_is(tmp_path: Path) -> None:
    words = flags("dqn", steps=80, seed=3)
    first, second = (command(*words, "--json", cwd=tmp_path).json["run"] for _ in range(2))
    assert first != second
    for run in (first, second):
        assert re.fullmatch(r"dqn-CartPole-v1-s3-\d{8}-\d{6}(-\d+)?", Path(run).name)
        assert Path(run).parent == tmp_path / "runs"
    with inside(tmp_path):
        assert latest().resolve() == Path(second)
    assert command("evaluate", "latest", "--episodes", "2", cwd=tmp_path).code == 0


@pytest.mark.parametrize(("text", "expected"), [
    ("CartPole-v1", "CartPole-v1"), ("ALE/Pong-v5", "ALE-Pong-v5"), ("my_pkg:MyEnv-v0", "my_pkg-MyEnv-v0"),
    ("a b//c", "a-b-c"), ("../up", "..-up"), ("/abs/", "abs"), ("é:x", "x")])
def test_ids_become_plain_folder_names(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_two_runs_begun_in_one_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260102-030405")
    with inside(tmp_path):
        names = [RunDirectory.create(None, "dqn", "ALE/Pong-v5", 1, {}).path.name for _ in range(3)]
    base = "dqn-ALE-Pong-v5-s1-20260102-030405"
    assert names == [base, f"{base}-2", f"{base}-3"]


def test_runs_begun_at_the_same_moment_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260102-030405")
    chosen, gate = run_directory.unused, threading.Barrier(4)

    def all_at_once(path: Path) -> Path:
        found = chosen(path)
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(timeout=1)  # until each has seen that the name is free
        return found

    monkeypatch.setattr(run_directory, "unused", all_at_once)
    with inside(tmp_path), ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: RunDirectory.create(None, "dqn", "x", 1, {}).path.name, range(4)))
    assert len(set(names)) == 4


def test_a_run_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    copy_of(finished(**STEPS), tmp_path)
    directory = RunDirectory(tmp_path / "run")
    directory.claim()
    done = command("resume", "run", "--steps", "500", cwd=tmp_path)
    assert done.code == 2 and f"another process, {os.getpid()}, is training the run {directory.path}. Wait until it has " \
        f"ended, or end it: kill {os.getpid()}. It saves a checkpoint first" in done.err, done.err
    del directory
    assert command("resume", "run", "--steps", "500", cwd=tmp_path).code == 0


def test_a_run_stays_claimed_whatever_reads_its_records_and_old_runs_have_no_lock_yet(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    (run / "lock").unlink()
    directory = RunDirectory(run)
    directory.claim()
    records(RunDirectory(run))  # which opens and closes metrics.jsonl in this process
    (run / "metrics.jsonl").open("ab").close()
    with pytest.raises(UsageError, match="this process is training the run .* already. Wait until it has ended"):
        RunDirectory(run).claim()
    done = command("resume", "run", "--steps", "500", cwd=tmp_path)
    assert done.code == 2 and "is training the run" in done.err, done.err
    directory.release()
    assert command("resume", "run", "--steps", "500", cwd=tmp_path).code == 0, "also while the object is still there"


def test_a_claim_that_was_refused_takes_nothing_with_it_later(tmp_path: Path) -> None:
    """Closing the file drops the locks of this process, also the one that another object has by then."""
    run = copy_of(finished(**STEPS), tmp_path)
    code = f"import fcntl; file = open({str(run / 'lock')!r}, 'ab'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"
    first, second = RunDirectory(run), RunDirectory(run)
    with subprocess.Popen([sys.executable, "-c", code], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout and other.stdout.readline()
        with pytest.raises(UsageError, match=f"another process, {other.pid}, is training"):
            first.claim()
        other.stdin.write("\n")
    second.claim()
    first.release()
    del first
    done = command("resume", "run", "--steps", "500", cwd=tmp_path)
    assert done.code == 2 and f"another process, {os.getpid()}, is training" in done.err, done.err


def test_a_copy_of_a_claimed_run_is_free(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    directory = RunDirectory(run)
    directory.claim()
    shutil.copytree(run, tmp_path / "copy", symlinks=True)
    assert command("resume", "copy", "--steps", "500", cwd=tmp_path).code == 0


def test_a_run_that_ended_or_could_not_be_resumed_is_free(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    directory = RunDirectory(run)
    with pytest.raises(UsageError, match="has no checkpoint 7"):
        sessions.resume(directory, step=7)
    assert sessions.resume(directory, steps=490).outcome.steps == 490
    assert command("resume", "run", "--steps", "500", cwd=tmp_path).code == 0


def test_out_is_exactly_that_folder_and_may_be_there_if_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(str(tmp_path / "empty"), "dqn", "x", 0, {}).path == tmp_path / "empty"
    assert RunDirectory.create(str(tmp_path / "deep" / "er"), "dqn", "x", 0, {}).path == tmp_path / "deep" / "er"
    with pytest.raises(UsageError, match="is not an empty folder, and no run is overwritten"):
        RunDirectory.create(str(tmp_path / "empty"), "dqn", "x", 0, {})


def test_an_out_that_is_empty_is_this_folder_and_not_as_if_it_were_not_there(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with inside(tmp_path), pytest.raises(UsageError, match="--out '': that is the folder which you are in, and it is "
                                                             "not an empty folder, .*Name another folder$"):
        RunDirectory.create("", "dqn", "x", 0, {})


def test_an_out_that_is_a_file_or_another_run_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with inside(tmp_path):
        with pytest.raises(UsageError, match="--out zoo.py: it is a file. Name a folder that is empty or not there yet$"):
            RunDirectory.create("zoo.py", "dqn", "x", 0, {})
        with pytest.raises(UsageError, match="Name another folder, or continue that run: toolkit resume run$"):
            RunDirectory.create("run", "dqn", "x", 0, {})


def test_evaluations_are_never_overwritten(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"), "dqn", "x", 0, {})
    paths = [directory.write_evaluation("40", {"mean": mean}) for mean in (1, 1, 2, 3)]
    assert [path.name for path in paths] == ["40.json", "40.json", "40-2.json", "40-3.json"]
    assert [json.loads(path.read_text())["mean"] for path in paths] == [1, 1, 2, 3]
    shutil.rmtree(directory.path / "evaluations")
    assert directory.write_evaluation("40", {"mean": 4}).name == "40.json", "a folder that was deleted is made again"


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"), "dqn", "x", 0, {"mine": 1})
    directory.write_evaluation("40", {})
    for name in (".run.json-123", "evaluations/.50.json-123"):
        (directory.path / name).write_text("half")
    for name in (".notes", "checkpoints/.notes"):
        (directory.path / name).write_text("the user's")
    directory.sweep()
    assert sorted(str(path.relative_to(directory.path)) for path in directory.path.rglob("*") if path.is_file()) == [
        ".notes", "checkpoints/.notes", "evaluations/40.json", "lock", "run.json"]


# -- finding a run


def test_a_run_is_found_by_its_folder_its_checkpoints_and_its_links(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    assert find_run(str(run))[1] is None
    for name, step in (("0", 0), ("final", 480), ("best", int(os.readlink(run / "checkpoints" / "best")))):
        directory, found = find_run(str(run / "checkpoints" / name))
        assert (directory.path, found) == (run, step)
    with inside(run):
        assert find_run(".")[0].path == run
        assert find_run("checkpoints/final")[1] == 480
    with inside(run / "checkpoints"):
        assert find_run("final")[1] == find_run("480")[1] == find_run("0/../480")[1] == 480
    with inside(run / "checkpoints" / "0"):
        assert find_run(".")[1] == 0 and find_run("../final")[1] == 480 and find_run("../..")[0].path == run


def test_a_moved_run_is_whole(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    run.rename(tmp_path / "elsewhere")
    assert command("resume", "elsewhere", "--steps", "500", cwd=tmp_path).code == 0


def test_a_run_that_is_moved_while_it_trains_says_where_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, out, place = Checkpoints.save, tmp_path / "run", tmp_path / "else where"

    def moving(self: Checkpoints, step: int, *rest: Any) -> Path:
        if step:
            out.rename(place)
        return save(self, step, *rest)

    monkeypatch.setattr(Checkpoints, "save", moving)
    with pytest.raises(ToolkitError, match=f"the run {out} is now {place}: its folder was moved .* while it trained. Continue it "
                                           f"from its last checkpoint: toolkit resume '{place}'"):
        toolkit.train("dqn", env="CartPole-v1", preset="none", steps=80, learning_starts=60, final_episodes=1, evaluate_every=0,
                      checkpoint_every=40, out=out)
    monkeypatch.undo()
    assert not out.exists() and RunDirectory(place).read()["status"] == "failed"
    assert command("resume", str(place), "--json", cwd=tmp_path).json["resumed_from"] == 0


def test_a_run_that_was_copied_by_what_follows_links_goes_on(tmp_path: Path) -> None:
    """``scp -r`` and ``cp -rL`` make folders of links."""
    run = finished(**STEPS)
    shutil.copytree(run, tmp_path / "run")
    best = int(os.readlink(run / "checkpoints" / "best"))
    assert find_run(str(tmp_path / "run" / "checkpoints" / "best"))[1] == best
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "480")  # "final" is all that is left of it
    assert command("resume", "run", "--steps", "500", "--json", cwd=tmp_path).json["resumed_from"] == 480
    assert os.readlink(tmp_path / "run" / "checkpoints" / "final") == "500"


@pytest.mark.parametrize("text", ["nowhere", ".", "run/checkpoints", "run/checkpoints/77", "run/metrics.jsonl"])
def test_what_is_no_run_is_refused(text: str, tmp_path: Path) -> None:
    copy_of(finished(**STEPS), tmp_path)
    with inside(tmp_path), pytest.raises(UsageError, match=r"not a run\. Allowed: a run folder.*'latest'"):
        find_run(text)


def test_a_checkpoint_alone_is_explained(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    (run / "checkpoints" / "480").rename(tmp_path / "480")
    with pytest.raises(UsageError, match="a checkpoint outside its run"):
        find_run(str(tmp_path / "480"))


@pytest.mark.parametrize("content", ["{", "", "\x00", "5", "[]", "{}", '{"kind": "agent"}'])
def test_a_damaged_run_json_is_named(content: str, tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    (run / "run.json").write_text(content)
    with pytest.raises(ToolkitError, match=r"run\.json cannot be read"):
        RunDirectory(run).read()
    for words in (("resume", "run"), ("evaluate", "run")):
        done = asked_here(*words, cwd=tmp_path)
        assert done.code == 1 and "run.json cannot be read" in done.err and not done.out


def test_a_run_of_a_component_that_is_gone_is_explained(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "component": "some-plugin/dqm"}))
    done = command("evaluate", "run", cwd=tmp_path)
    assert done.code == 2 and "some-plugin/dqm" in done.err and "Traceback" not in done.err


def test_runs_whose_boards_were_divided_by_255_are_not_taken_up_again() -> None:
    from gymnasium.spaces import Box

    from toolkit.envs import spaces
    from toolkit.training.setup import require_same_bytes

    def facts(high: int, **more: int) -> dict[str, Any]:
        space = spaces.to_json(Box(0, high, (4, 4), numpy.uint8))
        return {"name": "dqn", "subject": "Board-v0", "spaces": {"observation": space}, **more}

    for fine in (facts(255, format=1), facts(2, format=2), {"format": 1}):
        require_same_bytes(fine)
    with pytest.raises(UsageError, match="divided observations of Box.* by 255.* Train it anew: toolkit run dqn --env Board-v0"):
        require_same_bytes(facts(2, format=1))
