"""Worker processes: the same steps as in this process, and what happens when one fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import Toolkit, server

from toolkit.agents.base import Acted
from toolkit.core.clock import Clock
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.envs.workers import EnvironmentFailed, WorkerEnvs, WorkersFailed
from toolkit.errors import ToolkitError, UsageError
from toolkit.training.collector import Collector

SEEDS = [11, 12, 13, 14, 15]
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """``faulty:CartPole-v0`` can be imported here and in workers."""
    monkeypatch.syspath_prepend(str(HERE))


def opened(spec: EnvSpec, workers: int = 2, timeout: float = 30.0) -> WorkerEnvs:
    envs = factory.make(spec, SEEDS, workers=workers, worker_timeout=timeout)
    assert isinstance(envs, WorkerEnvs)
    return envs


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    """Whatever is put in here is closed."""
    envs: list[Any] = []
    yield envs
    for one in envs:
        one.close()


def alike(one: Any, other: Any) -> None:
    """Two steps are the same in every field."""
    for name in ("observations", "rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.final is None) == (other.final is None)
    if one.final is not None:
        np.testing.assert_array_equal(one.final.indices, other.final.indices)
        np.testing.assert_array_equal(one.final.observations, other.final.observations)


@pytest.mark.parametrize("spec", [EnvSpec("CartPole-v1"), EnvSpec("Pendulum-v1", max_episode_steps=9), EnvSpec("Taxi-v4"),
                                  EnvSpec("CartPole-v1", frame_stack=3)], ids=["cartpole", "pendulum", "taxi", "stacked"])
def test_workers_take_the_steps_that_this_process_takes(spec: EnvSpec, closing: list[Any]) -> None:
    ours, theirs = factory.make(spec, SEEDS, "in-process"), opened(spec)
    closing.extend([ours, theirs])
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ours.action_space.seed(0)
    for _ in range(120):
        actions = np.stack([ours.action_space.sample() for _ in SEEDS])
        alike(ours.step(actions), theirs.step(actions))
        assert (ours.masks is None) == (theirs.masks is None)
        if ours.masks is not None and theirs.masks is not None:
            np.testing.assert_array_equal(ours.masks, theirs.masks)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_state_in_mid_episode_is_continued(env: str, closing: list[Any]) -> None:
    first, second = opened(EnvSpec(env)), opened(EnvSpec(env))
    closing.extend([first, second])
    first.reset()
    first.action_space.seed(0)
    actions = np.stack([[first.action_space.sample() for _ in SEEDS] for _ in range(43)])  # [T, N, ...]
    for row in actions[:13]:
        first.step(row)
    expected = first.block.observations.copy()
    np.testing.assert_array_equal(second.set_state(first.get_state()), expected)
    assert second.dropped == []
    for row in actions[13:]:
        alike(first.step(row), second.step(row))


def test_a_state_for_another_number_of_workers_is_refused(closing: list[Any]) -> None:
    two, three = opened(EnvSpec("CartPole-v1")), opened(EnvSpec("CartPole-v1"), workers=3)
    closing.extend([two, three])
    two.reset()
    with pytest.raises(ToolkitError, match="--workers 2"):
        three.set_state(two.get_state())


def test_workers_and_another_vectorization_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        factory.make(EnvSpec("CartPole-v1"), SEEDS, "native", workers=2)


# -- failures


def faulty(what: str, after: int, **options: Any) -> EnvSpec:
    return EnvSpec("faulty:faulty/CartPole-v0", {"what": what, "after": after, **options})


def test_an_exception_comes_home_with_traceback_seed_and_action(closing: list[Any]) -> None:
    envs = opened(faulty("raise", 4))
    closing.append(envs)
    envs.reset()
    for _ in range(3):
        envs.step(np.ones(5, int))
    with pytest.raises(EnvironmentFailed) as caught:
        envs.step(np.ones(5, int))
    text = str(caught.value)
    assert "copy 0 (seed 11, last action 1)" in text or "copy 2 (seed 13, last action 1)" in text
    assert "RuntimeError: the pole broke" in text and 'faulty.py", line' in text


@pytest.mark.parametrize(("what", "timeout"), [("die", 30.0), ("hang", 1.0)])
def test_a_worker_that_dies_or_hangs_is_replaced(what: str, timeout: float, closing: list[Any], tmp_path: Path) -> None:
    envs = opened(faulty(what, 3, once=str(tmp_path / "done")), timeout=timeout)
    closing.append(envs)
    begun = envs.reset().copy()
    processes = [worker.process.pid for worker in envs.workers]
    steps = [envs.step(np.array([0, 1, 0, 1, 0])) for _ in range(2)]
    stepped = envs.step(np.zeros(5, int))
    assert stepped.lost is not None and stepped.lost.tolist() in ([0, 1], [2, 3, 4])
    assert stepped.valid is not None and np.flatnonzero(~stepped.valid).tolist() == stepped.lost.tolist()
    assert envs.lost_episodes == len(stepped.lost)
    # New episodes from new seeds in the lost copies; the other worker did not notice.
    assert not np.array_equal(stepped.observations[stepped.lost], begun[stepped.lost])
    changed = [worker.process.pid != pid for worker, pid in zip(envs.workers, processes, strict=True)]
    assert sum(changed) == 1 and all(step.lost is None for step in steps)
    assert envs.step(np.zeros(5, int)).lost is None


def test_repeated_failures_end_it(closing: list[Any]) -> None:
    envs = opened(faulty("die", 1), workers=1)
    closing.append(envs)
    envs.reset()
    with pytest.raises(WorkersFailed, match="worker 0 ended with exit code -9 in copy .*4th failure in 1000 steps") as caught:
        for _ in range(10):
            envs.step(np.zeros(5, int))
    assert caught.value.copies.tolist() == [0, 1, 2, 3, 4]
    # What is left can be saved: the lost copies begin anew.
    assert "fresh" in envs.get_state()["workers"][0]


class Zero:
    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        return Acted(np.zeros(len(observations), int))


def test_lost_episodes_are_broken_off_and_not_counted(closing: list[Any], tmp_path: Path) -> None:
    envs = opened(faulty("die", 6, once=str(tmp_path / "done")))
    closing.append(envs)
    collector = Collector(envs, Zero(), Clock(1000))  # type: ignore[arg-type]
    steps, episodes = collector.collect(12)
    lost = np.flatnonzero(~steps.valid[5])
    assert lost.tolist() in ([0, 1], [2, 3, 4]) and steps.valid.sum() == 60 - len(lost)
    assert steps.truncated[4, lost].all() and not steps.terminated[4, lost].any()
    # Their last true observation is what the policy saw in the step that was lost.
    for copy in lost:
        index = np.flatnonzero((steps.final_rows == 4) & (steps.final_copies == copy))
        np.testing.assert_array_equal(steps.final_observations[index[0]], steps.observations[5, copy])
    # Pushing left alone fails within 8 to 12 steps: no episode of 5 steps was finished.
    assert all(episode.length >= 8 for episode in episodes)
    assert (np.diff(steps.final_rows) >= 0).all()


def test_a_run_goes_on_after_a_lost_worker_and_counts_it(tmp_path: Path) -> None:
    done = Toolkit(tmp_path, HERE)("run", "ppo", "--env", "faulty:faulty/CartPole-v0", "--env.what", "die", "--env.after", "40",
                   "--env.once", str(tmp_path / "done"), "--preset", "none", "--workers", "2", "--n-envs", "4", "--n-steps", "32",
                   "--steps", "640", "--final-episodes", "2", "--evaluate-every", "0", "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    assert '"rollout/lost_episodes": 2' in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_repeated_failures_stop_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    done = Toolkit(tmp_path, HERE)("run", "ppo", "--env", "faulty:faulty/CartPole-v0", "--env.what", "die", "--env.after", "40",
                   "--preset", "none", "--workers", "1", "--n-envs", "2", "--n-steps", "32", "--steps", "640",
                   "--evaluate-every", "0", "--checkpoint-every", "0", "--out", str(tmp_path / "run"))
    assert done.returncode == 1 and "4th failure" in done.stderr and "Continue: toolkit resume" in done.stderr
    steps = sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit())
    assert steps[-1] > 64, "the checkpoint is of the moment it stopped, not of the beginning"


def test_what_an_environment_raises_in_a_worker_ends_the_run_with_the_way_on(tmp_path: Path) -> None:
    done = Toolkit(tmp_path, HERE)("run", "ppo", "--env", "faulty:faulty/CartPole-v0", "--env.what", "raise", "--env.after", "40",
                   "--preset", "none", "--workers", "1", "--n-envs", "2", "--n-steps", "16", "--steps", "640", "--out", "run")
    assert done.returncode == 1 and "RuntimeError: the pole broke" in done.stderr
    last = done.stderr.rstrip().split("\n")[-1]
    assert re.fullmatch(r"The run failed at step \d+. The last good checkpoint is 0: toolkit resume .*run --from 0", last), last


def test_an_environment_that_only_this_process_knows_is_told_apart() -> None:
    gymnasium.register("OnlyHere-v0", lambda: gymnasium.make("CartPole-v1"))
    with pytest.raises(UsageError, match="'OnlyHere-v0' is known here and not in worker processes. .*module:Name-v0"):
        factory.make(EnvSpec("OnlyHere-v0"), [1, 2], workers=2)
    del gymnasium.registry["OnlyHere-v0"]


def test_a_script_that_starts_workers_unguarded_is_told_how(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import toolkit\ntoolkit.train('ppo', env='CartPole-v1', preset='none', steps=64, n_envs=2, workers=2)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "under: if __name__ == '__main__':" in done.stderr.rstrip().split("\n")[-1]
    assert done.stderr.count("Traceback") == 1, "the workers say nothing of their own"


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in found.split()]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_run(how: signal.Signals, tmp_path: Path, toolkit: Toolkit) -> None:
    words = ("run", "ppo", "--env", "CartPole-v1", "--workers", "2", "--steps", "100000000", "--out", "run")
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(toolkit, *words, timeout=90)  # which kills it
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "metrics.jsonl").exists() or len(children(process := children(parent())[0])) < 2:
            assert time.monotonic() < deadline and not ending.done()
            time.sleep(0.05)
        workers = children(process)
        os.kill(process, how)
        ending.result()
        while any(alive(pid) for pid in workers):
            assert time.monotonic() < deadline, "a worker is still there"
            time.sleep(0.05)


def parent() -> int:
    """The process that commands are forked from, one at a time."""
    number: int = server().number
    return number


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def test_an_error_of_the_environments_own_files_is_none_of_the_runs() -> None:
    envs = factory.make(EnvSpec("faulty:faulty/CartPole-v0", {"what": "refuse", "after": 2}), SEEDS, "in-process")
    envs.reset()
    envs.step(np.ones(5, int))
    with pytest.raises(RuntimeError, match="ConnectionRefusedError: nobody listens") as raised:
        envs.step(np.ones(5, int))
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    assert "It was raised by environment 'faulty:faulty/CartPole-v0' (copy 0, seed 11, last action 1)." in raised.value.__notes__


def test_where_all_workers_hang_none_is_waited_for_when_the_state_is_asked_for(
        closing: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.envs.workers.MAX_FAILURES", 0)
    envs = opened(EnvSpec("faulty:faulty/CartPole-v0", {"what": "hang", "after": 2}), timeout=1.0)
    closing.append(envs)
    envs.reset()
    envs.step(np.ones(5, int))
    with pytest.raises(WorkersFailed, match="gave no answer for 1 s") as raised:
        envs.step(np.ones(5, int))
    assert raised.value.copies.tolist() == [0, 1, 2, 3, 4]
    asked: list[float] = []
    monkeypatch.setattr(envs, "_wait", lambda workers, seconds: asked.extend(seconds for _ in workers) or ({}, []))
    envs._ask_each("get_state", [None, None])
    assert not asked, "no worker is left that could answer"
