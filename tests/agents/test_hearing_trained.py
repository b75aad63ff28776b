"""Agents that hear through a trained recogniser (``--network.init-from``), and off-policy agents that hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.api import load, train
from toolkit.training.learners import open_recogniser
from toolkit.training.run_directory import find_run
from toolkit.training.sessions import resume

GO: dict[str, Any] = {
    "env": "toolkit/HearAndGo-v0", "env.words": "tones", "preset": "none", "n_envs": 2, "n_steps": 16, "batch_size": 16,
    "n_epochs": 1, "steps": 64, "checkpoint_every": 32, "evaluation_episodes": 1, "final_episodes": 2, "threads": 1}


class Hums:
    """Two kinds of tones."""

    target = "label"

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        time = np.arange(6000) / 16_000
        clips = [{"audio": np.float32(0.1) * np.sin(2 * np.pi * pitch * time).astype(np.float32), "label": label,
                  "sample_rate": 16_000} for label, low in (("low", 200), ("high", 900)) for pitch in range(low, low + 80, 10)]
        return {"train": clips, "test": clips[::4]}


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> str:
    registry.register("dataset", "hums-test", summary="A test's.")(Hums)
    folder = str(tmp_path_factory.mktemp("recogniser") / "run")
    train("audio-classification", data="hums-test", preset="none", steps=32, batch_size=8, threads=1, out=folder,
          model={"name": "crnn", "channels": (4, 4), "time_strides": (2, 2), "hidden_size": 6})
    return folder


def test_an_agent_hears_through_a_trained_recogniser_and_is_resumed_exactly(recogniser: str, tmp_path: Path) -> None:
    runs = [train("ppo", out=str(tmp_path / name), network={"name": "hearing", "init_from": recogniser}, **GO)
            for name in ("one", "two")]
    facts = find_run(str(tmp_path / "one"))[0].read()
    kept = facts["config"]["network.init_from"]
    assert kept == {"value": str(Path(recogniser).absolute() / "checkpoints" / "32"), "origin": "settled"}
    resume(find_run(str(tmp_path / "two"))[0], step=32)
    again = find_run(str(tmp_path / "two"))[0].read()
    assert again["parameters_sha256"] == facts["parameters_sha256"] and again["evaluation"] == facts["evaluation"]
    policy: Any = load(tmp_path / "one")
    action, _ = policy.predict(policy.observation_space.sample())
    assert policy.action_space.contains(action)
    assert runs[0].facts["status"] == "finished"


def test_what_is_stored_is_what_the_recogniser_answers_by(recogniser: str) -> None:
    from gymnasium import spaces

    from toolkit.agents.perception import perception_of
    from toolkit.config import Part

    learner = open_recogniser(recogniser)
    space = spaces.Box(-1, 1, (2, 8000), np.float32)
    perception = perception_of(Part("hearing", {"init_from": recogniser}), space, open_recogniser)
    assert perception is not None and perception.space.shape == (2 * 4 * 6,)  # ears, mean and maximum both ways
    heard: list[torch.Tensor] = []
    learner.model.output.register_forward_hook(lambda module, given, found: heard.append(given[0]))
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, (3, 2, 8000)).astype(np.float32)
    learner.predict([row for ears in sound for row in ears])
    expected = torch.nn.functional.layer_norm(torch.cat(heard), (24,)).reshape(3, 48).detach().numpy()
    np.testing.assert_allclose(perception(sound), expected, atol=1e-5)


def test_a_run_that_is_no_recogniser_is_refused(recogniser: str, tmp_path: Path) -> None:
    agent = str(tmp_path / "agent")
    train("ppo", out=agent, network={"name": "hearing"}, **GO)
    with pytest.raises(UsageError, match="which has no model of data"):
        train("ppo", out=str(tmp_path / "x"), network={"name": "hearing", "init_from": agent}, **GO)
    with pytest.raises(UsageError, match="not a run"):
        train("ppo", out=str(tmp_path / "x"), network={"name": "hearing", "init_from": str(tmp_path / "none")}, **GO)


@pytest.mark.parametrize(("option", "said"), [
    ({"frontend": "mfcc"}, "--network.frontend mfcc"), ({"frontend": {"name": "log-mel", "hop_length": 160}},
                                                        "--network.frontend.hop-length 160"),
    ({"model": {"name": "conv-pool", "channels": 8}}, "--network.model.channels 8"),
    ({"sound_features": 9}, "--network.sound-features 9")])
def test_settings_that_a_recogniser_replaces_are_refused(option: dict[str, Any], said: str, recogniser: str,
                                                         tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        train("ppo", out=str(tmp_path / "x"), network={"name": "hearing", "init_from": recogniser, **option}, **GO)
    message = str(caught.value)
    assert f"{said}" in message and f"with --network.init-from {recogniser} that run's front end and encoder hear" in message
    assert message.endswith("Leave it out, or leave out --network.init-from") and not (tmp_path / "x").exists()


def test_a_flag_and_a_file_are_refused_alike(recogniser: str, toolkit: Any) -> None:
    common = ("run", "ppo", "--env", "toolkit/PitchMatch-v0", "--network.init-from", recogniser)
    flag = toolkit(*common, "--network.model.channels", "8")
    assert flag.returncode == 2 and "--network.model.channels 8: with --network.init-from" in flag.stderr
    (toolkit.folder / "own.toml").write_text('"network.frontend" = "mfcc"\n')
    file = toolkit(*common, "--config", "own.toml")
    assert file.returncode == 2 and "--network.frontend mfcc: with --network.init-from" in file.stderr
    assert not (toolkit.folder / "runs").exists()


def test_a_recogniser_takes_the_place_of_what_a_preset_sets(recogniser: str, tmp_path: Path) -> None:
    few = {name: value for name, value in GO.items() if name not in ("env", "env.words", "preset")}
    settings: dict[str, Any] = {**few, "network.init_from": recogniser, "network.hidden_size": 16}
    run = train("ppo", env="toolkit/PitchMatch-v0", out=str(tmp_path / "run"), **settings)
    assert run.facts["status"] == "finished" and run.facts["config"]["network.frontend"]["origin"] == "preset"


@pytest.mark.parametrize(("agent", "env"), [("dqn", "HearAndGo"), ("sac", "PitchMatch"), ("td3", "PitchMatch")])
def test_off_policy_agents_hear_and_keep_frames_in_their_buffer(agent: str, env: str, tmp_path: Path) -> None:
    words = {"env.words": "tones"} if env == "HearAndGo" else {}
    run = train(agent, env=f"toolkit/{env}-v0", preset="none", out=str(tmp_path / "run"), steps=40, n_envs=2, learning_starts=20,
                batch_size=8, buffer_size=40, evaluation_episodes=1, final_episodes=1, max_episode_steps=5, threads=1,
                network={"name": "hearing"}, **words)
    assert run.facts["status"] == "finished" and np.isfinite(run.facts["evaluation"]["mean_return"])
