"""The same words from Python: train, load, predict, evaluate."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from small_runs import RESUMABLE, STEPS, command, copy_of, environment_of, finished, flags, inside, outcome, steps_of

import toolkit
from toolkit.envs import packing
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry
from toolkit.training.observations import rows_of, unchanged

PICTURE = gymnasium.spaces.Box(0, 255, (2, 2, 3), np.uint8)
SMALL: dict[str, Any] = {"env": "CartPole-v1", "preset": "none", "steps": 300, "learning_starts": 60, "batch_size": 16,
                         "network": {"name": "mlp", "hidden_sizes": (8, 8)}, "final_episodes": 3, "evaluation_episodes": 2}


def test_training_from_python_is_the_same_run_as_from_the_command_line(tmp_path: Path) -> None:
    numpys = {**SMALL, "steps": np.int64(300), "gamma": np.float64(0.99), "learning_rate": np.float64(5e-4),
              "network": {"name": "mlp", "hidden_sizes": np.array([8, 8])}}
    run = toolkit.train("dqn", out=str(tmp_path / "run"), seed=4, **numpys)
    words = flags("dqn", steps=300, seed=4, final_episodes=3, evaluation_episodes=2, buffer_size=100_000,
                  target_update_interval=500)
    theirs = command(*words, "--out", "other", "--json", cwd=tmp_path).json
    assert run.facts["parameters_sha256"] == theirs["parameters_sha256"]
    assert run.evaluation == theirs["evaluation"]
    assert outcome(run.path) == outcome(tmp_path / "other")


def test_the_numbers_of_the_process_are_as_before_after_a_run(tmp_path: Path) -> None:
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    toolkit.train("dqn", out=str(tmp_path / "run"), **{**SMALL, "steps": 80})
    assert torch.equal(torch.rand(3), drawn), "a run has numbers of its own"
    assert sys.float_info.min / 2 > 0, "a run flushes denormals, its caller may need them"


def test_a_run_is_evaluated_with_its_own_seeds(tmp_path: Path) -> None:
    run = toolkit.load(copy_of(finished(**STEPS), tmp_path))
    assert run.step is None and run.path == tmp_path / "run"
    with pytest.raises(UsageError, match="episodes: got 0, allowed: a whole number at least 1"):
        run.evaluate(episodes=0)
    with pytest.raises(UsageError, match="episodes: got '3', allowed: a whole number at least 1"):
        run.evaluate(episodes="3")
    with pytest.raises(UsageError, match=r"env: got <.*CartPole.*>, allowed: the id .* This one's id: env='CartPole-v1'"):
        run.evaluate(2, env=gymnasium.make("CartPole-v1"))
    again = run.evaluate(5)
    assert dict(again.summary) == run.evaluation == outcome(run.path)["evaluation"]


@pytest.mark.parametrize("agent", RESUMABLE)
def test_predict_takes_one_observation_or_a_batch(agent: str) -> None:
    run = toolkit.load(finished(agent, **STEPS, n_envs=2))
    env = gymnasium.make(environment_of(registry.get("agent", agent)) or "")
    assert run.observation_space == env.observation_space and run.action_space == env.action_space
    env.observation_space.seed(0)
    batch = np.stack([env.observation_space.sample() for _ in range(6)])
    actions, _ = run.predict(batch)
    assert np.asarray(actions).shape == (6, *(env.action_space.shape or ()))
    for observation, expected in zip(batch, actions, strict=True):
        action, _ = run.predict(observation)
        assert env.action_space.contains(action)
        np.testing.assert_allclose(action, expected, atol=1e-5)
    listed, _ = run.predict(batch[0].tolist())
    np.testing.assert_allclose(listed, actions[0], atol=1e-5)
    np.testing.assert_array_equal(run.predict(batch)[0], actions, err_msg="deterministic")


def test_predict_plays_episodes_as_the_evaluation_does(tmp_path: Path) -> None:
    run = toolkit.load(copy_of(finished(**STEPS), tmp_path))
    details = run.evaluate(1).details
    env = gymnasium.make("CartPole-v1")
    observation, total, over = env.reset(seed=details["env_seeds"][0])[0], 0.0, False
    state = None
    while not over:
        action, state = run.predict(observation, state, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    assert [total] == run.evaluate(1).summary["returns"]


@pytest.mark.parametrize(("given", "space", "words"), [
    (np.linspace(0, 1, 12).reshape(2, 2, 3), PICTURE, r"of float64 from 0 to 1, allowed: whole numbers from 0 to 255 \(uint8\)"),
    (np.full((2, 2, 3), 300), PICTURE, "of int64 from 300 to 300, allowed: whole numbers from 0 to 255"),
    (np.full((2, 2, 3), -1, np.int8), PICTURE, "of int8 from -1 to -1"),
    (np.full((2, 2, 3), np.nan), PICTURE, "of float64 from nan to nan"),
    (2.5, gymnasium.spaces.Discrete(4), "of float64 from 2.5 to 2.5, allowed: whole numbers from -9223372036854775808 to"),
    ("up", gymnasium.spaces.Discrete(4), "of <U2"), ([[1], [2, 3]], PICTURE, "of object"),
    ("1.5", gymnasium.spaces.Box(0, 1, (), np.float32), r"of <U3, allowed: finite numbers \(float32\)"),
    ([0.5, np.nan], gymnasium.spaces.Box(0, 1, (2,), np.float32), "of float64 from nan to nan, allowed: finite numbers"),
    ([0, 1e300], gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32), r"of float64 from 0 to 1e\+300, allowed: finite")])
def test_an_observation_that_would_be_another_one_in_the_spaces_type_is_refused(given: Any, space: Any, words: str) -> None:
    with pytest.raises(UsageError, match=f"predict: got an observation {words}.*as the environment gives them; this policy sees"):
        unchanged(given, space)


DICT = gymnasium.spaces.Dict(vec=gymnasium.spaces.Box(-1, 1, (3,), np.float32), kind=gymnasium.spaces.Discrete(5, start=-2),
                             pair=gymnasium.spaces.Tuple((gymnasium.spaces.MultiDiscrete([3, 4]), PICTURE)))


@pytest.mark.parametrize("space", [DICT, DICT["pair"], PICTURE, DICT["kind"]])
def test_batches_come_stacked_as_gymnasium_stacks_them_or_as_lists(space: Any) -> None:
    space.seed(0)
    elements = [space.sample() for _ in range(4)]
    single = [rows_of(element, space) for element in elements]
    assert all(one and rows.shape[0] == 1 for rows, one in single)
    stacked = gymnasium.vector.utils.concatenate(space, elements, gymnasium.vector.utils.create_empty_array(space, 4))
    for batch in (stacked, elements):
        rows, one = rows_of(batch, space)
        assert not one
        np.testing.assert_array_equal(rows, np.concatenate([rows for rows, _ in single]))
        if packing.is_packed(space):
            np.testing.assert_array_equal(rows, np.stack([packing.pack(space, element) for element in elements]))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"vec": None}, r"got a dict with 'kind', 'pair', which has nothing at 'vec', allowed: an observation as the"),
    ({"vec": [0, 0]}, r"got an observation at 'vec' of shape \(2,\), allowed: \(3,\), or a batch \[N, ...\] of such"),
    ({"kind": 3}, r"got an observation at 'kind' with 3 in it, allowed: what Discrete\(5, start=-2\) holds"),
    ({"kind": [0, -3]}, "got an observation at 'kind' with -3 in it"),
    ({"pair": ([0, 4], np.zeros((2, 2, 3)))}, "got an observation at 'pair.0' with 4 in it, allowed: what MultiDiscrete"),
    ({"pair": 7}, "got a dict .*, which has nothing at 'pair.0'"),
    ({"kind": [0, 1]}, "got observations with 1 at 'vec', 2 at 'kind', 1 at 'pair.0', 1 at 'pair.1', allowed: one, or"),
    ({"vec": [0, np.nan, 0]}, "got an observation at 'vec' of float64 from nan")])
def test_observations_of_many_parts_that_do_not_fit_are_named(wrong: Any, message: str) -> None:
    given = {**DICT.sample(), **wrong}
    with pytest.raises(UsageError, match=f"predict: {message}.*; this policy sees "):
        rows_of({name: value for name, value in given.items() if value is not None}, DICT)


@pytest.mark.parametrize("space", [PICTURE, DICT])
def test_what_reset_gives_is_answered_with_the_line_that_takes_it_apart(space: Any) -> None:
    with pytest.raises(UsageError, match="got an observation and its info, as reset.* observation, info = env.reset"):
        rows_of((space.sample(), {}), space)


@pytest.mark.parametrize(("space", "right", "wrong"), [
    (gymnasium.spaces.MultiBinary(2), [[0, 1]], [[0, 2]]), (gymnasium.spaces.MultiBinary((1, 2)), [[1, 1]], [[-1, 0]]),
    (gymnasium.spaces.MultiDiscrete([2, 3], start=[0, 1]), [[1, 3]], [[1, 4]]), (gymnasium.spaces.Discrete(2), [0, 1], [0, 2])])
def test_choices_that_there_are_not_are_refused(space: Any, right: Any, wrong: Any) -> None:
    assert rows_of(right, space)[0].tolist() == np.reshape(right, (-1, *space.shape)).tolist()
    with pytest.raises(UsageError, match=f"with {np.ravel(wrong)[np.ravel(wrong) != np.ravel(right)][0]} in it, allowed: what"):
        rows_of(wrong, space)


def test_an_observation_may_come_in_another_type() -> None:
    whole = np.arange(12).reshape(2, 2, 3)
    for given in (whole, whole.astype(float), whole.tolist(), whole.astype(np.uint8)):
        found = unchanged(given, PICTURE)
        assert found.dtype == np.uint8 and found.tolist() == whole.tolist()
    found = unchanged([1, 0.1], gymnasium.spaces.Box(0, 1, (2,), np.float32))
    assert found.dtype == np.float32 and found[1] == np.float32(0.1)


@pytest.mark.parametrize(("env", "right", "wrong", "where"), [
    ("FrozenLake-v1", 3.0, 3.5, "observation of"), ("Blackjack-v1", (12.0, 3, 0), (12, 3.5, 0), "observation at '1' of")])
def test_predict_refuses_choices_between_two(env: str, right: Any, wrong: Any, where: str, tmp_path: Path) -> None:
    run = toolkit.train("dqn", out=str(tmp_path / "run"), **{**SMALL, "env": env, "steps": 80})
    assert run.action_space.contains(run.predict(right)[0])
    assert run.predict([right, right, right])[0].tolist() == [run.predict(right)[0]] * 3
    with pytest.raises(UsageError, match=f"{where} float64 from 3.5 to 3.5"):
        run.predict(wrong)


def test_predictions_that_are_not_deterministic_explore() -> None:
    """Epsilon is as at the checkpoint: 1 at step 0."""
    run = toolkit.load(finished(**STEPS) / "checkpoints" / "0")
    batch = np.zeros((400, 4), np.float32)
    assert len(set(run.predict(batch)[0].tolist())) == 1
    assert np.mean(run.predict(batch, deterministic=False)[0]) == pytest.approx(0.5, abs=0.1)


def test_observations_of_a_wrong_shape_are_named() -> None:
    run = toolkit.load(finished(**STEPS))
    for wrong in (np.zeros(5), np.zeros((3, 5)), np.zeros((2, 2, 4)), 0.0):
        with pytest.raises(UsageError, match=r"got an observation of shape .*, allowed: \(4,\), or a batch"):
            run.predict(wrong)


def test_a_checkpoint_is_loaded_as_it_was(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    first, last = toolkit.load(run / "checkpoints" / "0"), toolkit.load(str(run))
    assert first.step == 0 and last.step is None
    own = toolkit.load(run / "checkpoints" / "final").agent.parameters()
    for name, value in last.agent.parameters().items():
        assert torch.equal(value, own[name])
    assert not all(torch.equal(value, last.agent.parameters()[name]) for name, value in first.agent.parameters().items())


def test_an_unfinished_run_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    (run / "checkpoints" / "final").unlink()
    (run / "checkpoints" / "final").symlink_to("0")  # of an earlier end
    own = toolkit.load(run / "checkpoints" / str(steps_of(run)[-1])).agent.parameters()
    assert all(torch.equal(value, own[name]) for name, value in toolkit.load(run).agent.parameters().items())


def test_latest_is_the_newest(tmp_path: Path) -> None:
    with inside(tmp_path):
        run = toolkit.train("dqn", **{**SMALL, "steps": 80})
        assert run.path.parent == tmp_path / "runs"
        assert toolkit.load("latest").path == run.path
        with pytest.raises(UsageError, match="not a run"):
            toolkit.load("elsewhere")


@pytest.mark.parametrize("agent", RESUMABLE)
def test_a_run_can_begin_with_the_parameters_of_another(agent: str, tmp_path: Path) -> None:
    source = finished(agent, **STEPS, n_envs=2)
    words = flags(agent, steps=62, n_envs=2, evaluate_every=0, checkpoint_every=0)
    done = command(*words, "--init-from", str(source), "--out", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    first = toolkit.load(tmp_path / "run" / "checkpoints" / "0").agent.parameters()
    assert all(torch.equal(value, first[name]) for name, value in toolkit.load(source).agent.parameters().items())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["init_from"] == str(source)


def test_parameters_that_do_not_fit_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    source = str(finished(**STEPS))
    for words, message in (
            (flags("dqn", network__hidden_sizes="9"), "5 differ, the first is online.body.layers.0.weight: [8, 4] there, [9, 4] "
             "here. The settings of its network must be those of that run: add --network.hidden-sizes 8,8"),
            (flags("dqn", dueling="true"), "The settings of its network must be those of that run: add --dueling false"),
            (flags("dqn", env="Acrobot-v1"), "[8, 6] here. Use the same agent, network and spaces"),
            (flags("c51"), "It is a run of dqn. Use the same agent, network and spaces")):
        done = command(*words, "--init-from", source, "--out", "run", cwd=tmp_path)
        assert done.code == 2 and "its parameters do not fit this agent: " in done.err and message in done.err, done.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_can_begin_with_a_run_that_was_loaded(tmp_path: Path) -> None:
    source = finished(**STEPS)
    for given, named in ((toolkit.load(source), source), (source, source),
                         (toolkit.load(source / "checkpoints" / "0"), source / "checkpoints" / "0")):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        run = toolkit.train("dqn", out=out, init_from=given, **{**SMALL, "steps": 80})
        assert run.facts["init_from"] == str(named)
    with pytest.raises(UsageError, match=r"init_from: got 3, allowed: a run \(toolkit.load\), or the folder of one"):
        toolkit.train("dqn", init_from=3, **SMALL)
    with pytest.raises(UsageError, match="it exists and is not an empty folder"):
        toolkit.train("dqn", out=tmp_path / "0", **SMALL)


class Walk(gymnasium.Env[Any, Any]):
    """A class as a user of Stable-Baselines3 gives it."""


@pytest.mark.parametrize(("env", "advice"), [
    (gymnasium.make("CartPole-v1"), "This one's id: env='CartPole-v1'"),
    (Walk, rf"such as {__name__}.py: gymnasium.register\('Mine-v0', entry_point='{__name__}:Walk'\); then "
           f"env='{__name__}:Mine-v0'"), (Walk(), f"env='{__name__}:Mine-v0'"), (lambda: None, "then env='mine:Mine-v0'")])
def test_an_environment_in_the_place_of_its_id_is_told_how_to_get_one(env: Any, advice: str) -> None:
    with pytest.raises(UsageError, match=f"env: got .*, allowed: the id of an environment, .*{advice}"):
        toolkit.train("dqn", **{**SMALL, "env": env})


def test_wrong_words_are_errors_before_anything_is_made(tmp_path: Path) -> None:
    with inside(tmp_path):
        for settings, message in (({"gama": 0.9}, "Did you mean 'gamma'"), ({"gamma": 1.5}, "gamma: got 1.5"),
                                  ({"network": "mpl"}, "Did you mean 'mlp'"), ({"env": "CartPole-v7"}, "CartPole-v1"),
                                  ({"config": {"gamma": 0.9}}, "config: got {'gamma': 0.9}, allowed: the path of a TOML file"),
                                  ({"preset": "zo"}, "Did you mean 'zoo'"),
                                  ({"gradient_steps": 0}, "--gradient-steps 0: nothing would be learned. Allowed: a whole"),
                                  ({"buffer_size": 15}, "Allowed: --buffer-size of at least 16, or --batch-size of at most 15"),
                                  ({"learning_starts": 300}, "--steps of more than 300, or --learning-starts below 300")):
            with pytest.raises(ToolkitError, match=message):
                toolkit.train("dqn", **{**SMALL, **settings})
        with pytest.raises(LookupError, match="Did you mean 'dqn'"):
            toolkit.train("dqm", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_before_it_learns_warns(tmp_path: Path) -> None:
    words = {name: value for name, value in SMALL.items() if name != "learning_starts"}
    with pytest.warns(UserWarning, match="nothing is learned in 300 steps: --learning-starts is 1,000") as warned:
        toolkit.train("dqn", out=str(tmp_path / "run"), **words)
    assert [item.filename for item in warned] == [__file__]


def test_training_works_outside_the_main_thread(tmp_path: Path) -> None:
    """Signal handlers belong to the main thread; elsewhere the run does without."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda name=name: found.append(toolkit.train("dqn", out=str(tmp_path / name), **SMALL)))
               for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = toolkit.train("dqn", out=str(tmp_path / "again"), **SMALL)
    assert [run.facts["parameters_sha256"] for run in found] == [again.facts["parameters_sha256"]] * 2, "none shares numbers"


def test_a_config_file_counts_less_than_an_argument(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("gamma = 0.5\nbatch-size = 7\n")
    run = toolkit.train("dqn", out=str(tmp_path / "run"), config=str(tmp_path / "mine.toml"), **{**SMALL, "steps": 80})
    config = run.facts["config"]
    assert config["gamma"] == {"value": 0.5, "origin": "file"}
    assert config["batch_size"] == {"value": 16, "origin": "flag"}
