"""Runs of agents that hear, in real processes: the presets' networks, exact resume, deaf evaluations, films with sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

RUN = ("run", "ppo", "--env", "toolkit/HearAndGo-v0", "--env.words", "tones", "--n-envs", "4", "--final-episodes", "4",
       "--evaluation-episodes", "4", "--threads", "1")
SMALL = (*RUN, "--steps", "384", "--n-steps", "32", "--batch-size", "64", "--n-epochs", "1", "--checkpoint-every", "128")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small run, and the command line in its folder."""
    from conftest import Toolkit

    toolkit = Toolkit(tmp_path_factory.mktemp("runs"))
    return toolkit, toolkit.json(*SMALL, "--out", "first")


def test_a_run_is_repeated_to_the_bit_and_continued_exactly(trained: Any) -> None:
    toolkit, first = trained
    second = toolkit.json(*SMALL, "--out", "second", "--workers", "2", PYTHONHASHSEED="1")
    assert second["parameters_sha256"] == first["parameters_sha256"], "worker processes change nothing"
    shutil.copytree(toolkit.folder / "first", toolkit.folder / "third", symlinks=True)
    resumed = toolkit.json("resume", "third", "--from", "256")
    assert resumed["resumed_from"] == 256
    assert resumed["parameters_sha256"] == first["parameters_sha256"]
    assert resumed["evaluation"] == first["evaluation"]


def test_run_json_describes_the_sound_and_what_is_stored_are_frames(trained: Any) -> None:
    toolkit, _ = trained
    facts = json.loads((toolkit.folder / "first" / "run.json").read_text())
    assert facts["spaces"]["observation"]["spaces"]["sound"]["shape"] == [16_000]
    assert facts["config"]["network.frontend"]["value"] == "log-mel"


def test_an_evaluation_can_be_deaf_noisy_and_filmed(trained: Any) -> None:
    toolkit, _ = trained
    result = toolkit.json("evaluate", "first", "--episodes", "6", "--env.noise", "babble", "--env.noise-db=10")
    assert result["mean_return"] == result["success"]
    deaf = toolkit("evaluate", "first", "--episodes", "40", "--env.deaf", "true", "--video", "deaf.mp4")
    assert deaf.returncode == 0 and "success" in deaf.stdout, deaf.stderr
    assert (toolkit.folder / "deaf.mp4").stat().st_size > 1000
    again = toolkit("evaluate", "first", "--video", "deaf.mp4")
    assert again.returncode == 2 and "--video deaf.mp4: it exists, and nothing is overwritten" in again.stderr
    kept = [json.loads(path.read_text()) for path in (toolkit.folder / "first" / "evaluations").glob("*.json")]
    assert any(row["env_options"].get("deaf") for row in kept)
    wrong = toolkit("evaluate", "first", "--env.nose", "1")
    assert wrong.returncode == 2 and "--env.nose. Did you mean --env.noise" in wrong.stderr
    missing = toolkit("evaluate", "first", "--env.deaf")
    assert missing.returncode == 2 and "--env.deaf needs a value" in missing.stderr


def test_the_film_has_a_sound_track(trained: Any) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    import subprocess

    toolkit, _ = trained
    assert toolkit("evaluate", "first", "--episodes", "1", "--video", "film.mp4").returncode == 0
    probe = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(toolkit.folder / "film.mp4")], capture_output=True,
                           text=True, check=False).stderr
    assert "Video: h264" in probe and "Audio: aac" in probe


def test_a_policy_is_asked_about_sound_not_about_frames(trained: Any) -> None:
    import gymnasium

    import toolkit.envs.hearing  # noqa: F401
    from toolkit.training.api import load

    folder: Path = trained[0].folder
    policy: Any = load(folder / "first")
    env = gymnasium.make("toolkit/HearAndGo-v0", words="tones")
    observation, _ = env.reset(seed=3)
    action, state = policy.predict(observation)
    assert env.action_space.contains(action) and state is None
    assert policy.predict(observation)[0] == action


@pytest.mark.parametrize(("env", "more"), [("SoundSeeker", ()), ("KeywordGuard", ("--env.words", "tones")), ("PitchMatch", ())])
def test_every_preset_trains(env: str, more: tuple[str, ...], toolkit: Any) -> None:
    """Its words are melodies: 16,900 clips of made speech take half a minute."""
    done = toolkit.json("run", "ppo", "--env", f"toolkit/{env}-v0", *more, "--steps", "512", "--n-envs", "4",
                        "--final-episodes", "2", "--evaluation-episodes", "2", "--evaluate-every", "512", "--threads", "1")
    assert done["steps"] == 512
    assert set(done["evaluation"]) > {"mean_return", "std_return", "episodes", "returns"}


def test_without_sound_the_run_leaves_nothing_behind(toolkit: Any) -> None:
    done = toolkit("run", "ppo", "--env", "CartPole-v1", "--network", "hearing")
    assert done.returncode == 2 and "needs sound in the observations" in done.stderr
    assert not (toolkit.folder / "runs").exists()


@pytest.mark.slow
def test_a_hearing_agent_learns_and_a_deaf_one_goes_by_chance(toolkit: Any) -> None:
    words = ("run", "ppo", "--env", "toolkit/HearAndGo-v0", "--env.words", "tones", "--steps", "30000", "--final-episodes", "200",
             "--evaluate-every", "30000")
    assert toolkit.json(*words, "--out", "hearing")["evaluation"]["success"] > 0.9
    deaf = toolkit.json("evaluate", "hearing", "--episodes", "400", "--env.deaf", "true")
    assert deaf["success"] < 0.25 + 4 * (0.25 * 0.75 / 400) ** 0.5
    trained_deaf = toolkit.json(*words, "--env.deaf", "true", "--out", "deaf")
    assert trained_deaf["evaluation"]["success"] < 0.25 + 4 * (0.25 * 0.75 / 200) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("env", "measure", "good", "by_chance"), [
    ("KeywordGuard", "hits", lambda hits: hits > 0.8, lambda hits: hits < 0.2),
    ("PitchMatch", "error_semitones", lambda error: error < 2, lambda error: error > 5)])  # 8 where nothing is done
def test_guards_and_tuners_learn_within_a_sixth_of_their_presets_and_need_their_ears(
        env: str, measure: str, good: Any, by_chance: Any, toolkit: Any) -> None:
    if env == "KeywordGuard":
        pytest.importorskip("espeakng_loader", reason="its preset is for spoken words")
    heard = toolkit.json("run", "ppo", "--env", f"toolkit/{env}-v0", "--steps", "16384", "--final-episodes", "40",
                         "--evaluate-every", "16384", "--threads", "1", "--out", "run")
    assert good(heard["evaluation"][measure]), heard["evaluation"][measure]
    deaf = toolkit.json("evaluate", "run", "--episodes", "40", "--env.deaf", "true")
    assert by_chance(deaf[measure]), deaf[measure]
