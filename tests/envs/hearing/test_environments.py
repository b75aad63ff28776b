"""The environments of sound: gymnasium's checker, one copy equal to many, state, deafness, held-out voices, pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from toolkit.envs import factory, packing, specs
from toolkit.envs.base import EnvSpec, measures_of
from toolkit.envs.hearing import ENVIRONMENTS, VECTORS, sounds
from toolkit.errors import MissingExtra, UsageError
from toolkit.registry import registry

IDS = [f"toolkit/{name}-v0" for name in ENVIRONMENTS]
SEEDS = [3, 4, 5, 6]
TONES = {"words": "tones"}


def options_for(env_id: str, **more: Any) -> dict[str, Any]:
    return {**(TONES if "HearAndGo" in env_id or "Guard" in env_id else {}), **more}


def opened(env_id: str, vectorization: str = "native", evaluation: bool = False, **options: Any) -> Any:
    spec = EnvSpec(env_id, options_for(env_id, **options), evaluation=evaluation)
    return factory.make(spec, SEEDS, vectorization)


def actions(envs: Any, rng: np.random.Generator) -> Any:
    if isinstance(envs.action_space, gymnasium.spaces.Discrete):
        return rng.integers(0, envs.action_space.n, len(SEEDS))
    return rng.uniform(-1.2, 1.2, (len(SEEDS), 2)).astype(np.float32)


def sound_of(envs: Any, rows: Any) -> Any:
    return packing.unpack(envs.observation_space, rows)["sound"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore:.*np_random.*")
def test_gymnasiums_checker_passes(env_id: str) -> None:
    specs.find(env_id)
    check_env(gymnasium.make(env_id, render_mode="rgb_array", **options_for(env_id)).unwrapped)


def test_gymnasium_alone_finds_them() -> None:
    code = ("import gymnasium; env = gymnasium.make('toolkit.envs.hearing:toolkit/PitchMatch-v0'); "
            "print(env.reset(seed=1)[0].keys())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "sound" in done.stdout, done.stderr


@pytest.mark.parametrize("env_id", IDS)
def test_many_copies_equal_single_ones(env_id: str) -> None:
    many, single = opened(env_id), opened(env_id, "in-process")
    assert type(many).__name__ in {target.rpartition(":")[2] for target in VECTORS.values()}
    np.testing.assert_array_equal(many.reset(), single.reset())
    rng, ended = np.random.default_rng(0), 0
    for _ in range(130):
        chosen = actions(many, rng)
        one, other = many.step(chosen), single.step(chosen)
        for name in ("observations", "rewards", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        if one.final is not None:
            ended += len(one.final.indices)
            np.testing.assert_array_equal(one.final.observations, other.final.observations)
            for name, values in many.measures.items():
                np.testing.assert_array_equal(values[one.final.indices], single.measures[name][one.final.indices])
    assert ended >= len(SEEDS)


def test_measures_are_read_flat_and_from_a_dict() -> None:
    assert measures_of({"measured_hits": 0.5, "other": 1, "measures": {"error": 2.0}}) == {"hits": 0.5, "error": 2.0}
    # Somebody else's infos that only begin alike.
    assert measures_of({"measured_forces": np.zeros(3), "measured_unit": "m", "measured_hits": np.float32(1)}) == {"hits": 1.0}


@pytest.mark.parametrize("vectorization", ["native", "in-process"])
@pytest.mark.parametrize("env_id", IDS)
def test_a_state_is_continued_to_the_bit(env_id: str, vectorization: str) -> None:
    first, second = opened(env_id, vectorization), opened(env_id, vectorization)
    first.reset()
    rng = np.random.default_rng(0)
    for _ in range(9):
        stepped = first.step(actions(first, rng))
    np.testing.assert_array_equal(second.set_state(first.get_state()), stepped.observations)
    for _ in range(60):
        chosen = actions(first, rng)
        one, other = first.step(chosen), second.step(chosen)
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.rewards, other.rewards)


@pytest.mark.parametrize("env_id", IDS)
def test_the_deaf_hear_silence_in_the_same_world(env_id: str) -> None:
    hearing, deaf = opened(env_id), opened(env_id, deaf=True)
    heard, silence = sound_of(hearing, hearing.reset()), sound_of(deaf, deaf.reset())
    assert np.abs(heard).max() > 0.001 and not silence.any()
    rng = np.random.default_rng(0)
    for _ in range(40):
        chosen = actions(hearing, rng)
        one, other = hearing.step(chosen), deaf.step(chosen)
        np.testing.assert_array_equal(one.rewards, other.rewards)
        assert not sound_of(deaf, other.observations).any()


@pytest.mark.parametrize("env_id", IDS)
def test_evaluations_hear_what_training_never_does(env_id: str) -> None:
    training, evaluation = opened(env_id), opened(env_id, evaluation=True)
    asked = opened(env_id, evaluation=True, held_out=False)
    assert (training.hearing.held_out, evaluation.hearing.held_out, asked.hearing.held_out) == (False, True, False)

    def heard(envs: Any) -> set[int]:
        envs.reset()
        rng, found = np.random.default_rng(0), set()
        for _ in range(150):
            name = next(name for name in ("clip", "beacon", "timbre") if name in envs.fields)
            found |= set(envs.fields[name].reshape(-1).tolist())
            envs.step(actions(envs, rng))
        return found

    assert not heard(training) & heard(evaluation)
    assert heard(training) & heard(asked)


@pytest.mark.parametrize("env_id", IDS)
def test_noise_is_as_loud_as_asked(env_id: str) -> None:
    loud, quiet = (opened(env_id, noise="white", noise_db=level) for level in (-20.0, 60.0))
    ratio = np.abs(sound_of(loud, loud.reset())).mean() / np.abs(sound_of(quiet, quiet.reset())).mean()
    assert ratio > 1.1


@pytest.mark.parametrize(("options", "message"), [
    ({"deaf": "maybe"}, "--env.deaf maybe: allowed are true and false"),
    ({"held_out": 2}, "--env.held-out 2: allowed are true and false"),
    ({"noise_db": "loud"}, "--env.noise-db loud: allowed is a finite number of decibels"),
    ({"noise_db": float("nan")}, "--env.noise-db nan: allowed is a finite number of decibels")])
def test_conditions_of_another_type_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        opened("toolkit/PitchMatch-v0", **options)


def test_a_noise_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match=r"--env.noise rain: allowed are white, pink"):
        opened("toolkit/PitchMatch-v0", noise="rain")
    for env_id in ("toolkit/PitchMatch-v0", "toolkit/SoundSeeker-v0"):  # where nobody speaks
        with pytest.raises(UsageError, match="--env.noise babble: allowed are white, pink, hum, brown, crackle, or nothing"):
            opened(env_id, noise="babble")
    with pytest.raises(UsageError, match=r"--env.keyword maybe: allowed are stop, go"):
        opened("toolkit/KeywordGuard-v0", keyword="maybe")
    for option, wrong, near in (("noise", "whit", "white"), ("keyword", "sto", "stop"), ("words", "tone", "tones")):
        with pytest.raises(UsageError, match=rf"--env.{option} {wrong}: allowed are .* Did you mean '{near}'"):
            opened("toolkit/KeywordGuard-v0", **{option: wrong})
    with pytest.raises(UsageError, match=r"has no option --env.nose. Did you mean --env.noise"):
        opened("toolkit/SoundSeeker-v0", nose=1)


@pytest.mark.parametrize("env_id", IDS)
def test_pictures_show_scene_and_spectrogram(env_id: str) -> None:
    env = factory.make_one(EnvSpec(env_id, options_for(env_id)), render_mode="rgb_array")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    picture = env.render()
    assert picture.shape == (240, 488, 3) and picture.dtype == np.uint8
    assert picture[:, :240].std() > 1 and picture[:, 248:].std() > 1
    heard = env.unwrapped.sound()
    assert heard.shape[-1] * env.metadata["render_fps"] == env.metadata["sample_rate"]


def test_going_by_chance_succeeds_a_quarter_of_the_time() -> None:
    envs = factory.make(EnvSpec("toolkit/HearAndGo-v0", TONES), list(range(32)))
    envs.reset()
    rng, successes = np.random.default_rng(0), []
    for _ in range(120):
        stepped = envs.step(rng.integers(0, 4, 32))
        if stepped.final is not None:
            successes += envs.measures["success"][stepped.final.indices].tolist()
    assert abs(np.mean(successes) - 0.25) < 4 * (0.25 * 0.75 / len(successes)) ** 0.5


def test_ears_hear_where_the_source_is() -> None:
    envs = opened("toolkit/SoundSeeker-v0", noise_db=60.0)
    envs.reset()
    envs.fields["listener"][:] = [3.0, 3.0, 0.0]  # looking along x
    envs.fields["source"][:] = [[4.5, 3.0], [3.0, 4.5], [3.0, 1.5], [1.5, 3.0]]  # ahead, left, right, behind
    left, right = np.square(sound_of(envs, envs.observe(np.arange(4)))).mean(-1).T
    ratio = 10 * np.log10(left / right)
    assert abs(ratio[0]) < 1 and ratio[1] > 3 and ratio[2] < -3 and abs(ratio[3]) < 1
    assert left[0] > 2 * left[3] * 0.2  # from behind is softer, and not silent


def test_a_keyword_is_hit_once_and_presses_elsewhere_are_false_alarms() -> None:
    envs = opened("toolkit/KeywordGuard-v0", noise_db=60.0)
    envs.reset()
    fields = envs.fields
    fields["clip"][:] = envs.clips[1][0]  # a distractor
    fields["start"][:] = 10**9
    fields["clip"][:, 0], fields["start"][:, 0] = envs.clips[envs.keyword][0], 16_000
    press, wait = np.ones(4, np.int64), np.zeros(4, np.int64)
    total = np.zeros(4)
    for step in range(60):
        pressing = press if step in (0, 7, 8) else wait  # before the word; twice within its time
        total += envs.step(pressing).rewards
    assert fields["hits"].tolist() == [1] * 4 and fields["false_alarms"].tolist() == [1] * 4
    np.testing.assert_allclose(total, -1.0, atol=0.1)  # a hit and a false alarm, which costs two hits


def test_the_guard_knows_when_it_pressed_within_the_window() -> None:
    envs = opened("toolkit/KeywordGuard-v0")
    first = packing.unpack(envs.observation_space, envs.reset())["pressed"]
    np.testing.assert_array_equal(first, np.zeros((4, 5), np.float32))
    for step in range(99):  # one step short of an episode
        pressing = np.array([1, 0, step == 97, step == 93])
        seen = packing.unpack(envs.observation_space, envs.step(pressing).observations)["pressed"]
    assert seen.tolist() == [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    after = packing.unpack(envs.observation_space, envs.step(np.ones(4, np.int64)).observations)["pressed"]
    assert not after.any(), "a new episode begins without presses"


def test_a_missed_keyword_costs_as_much_as_a_hit_gives() -> None:
    envs = opened("toolkit/KeywordGuard-v0")
    envs.reset()
    total = sum(envs.step(np.zeros(4, np.int64)).rewards for _ in range(99))
    np.testing.assert_array_equal(total, -envs.fields["keywords"])
    assert (envs.fields["keywords"] > 2).all() and not envs.measures["hits"].any()


def test_the_pitch_that_is_heard_is_the_pitch_of_the_state() -> None:
    envs = opened("toolkit/PitchMatch-v0", noise_db=60.0)
    envs.reset()
    sound = sound_of(envs, envs.observe(np.arange(4)))  # [4, 2, T]
    for copy in range(4):
        for ear in range(2):
            spectrum = np.abs(np.fft.rfft(sound[copy, ear] * np.hanning(4000), 65_536))
            frequency = 150.0 * 2 ** (envs.fields["pitch"][copy, ear] / 12)
            near = np.argmin(np.abs(np.fft.rfftfreq(65_536, 1 / 16_000) - frequency))
            around = spectrum[near - 300:near + 300]
            assert abs(int(np.argmax(around)) - 300) < 20


class Said:
    """A small data set of words, as data sets of speech give them; its test speaker is held out."""

    target = "label"

    def __init__(self, words: tuple[str, ...] = ("left", "right", "up", "down"), rate: int = 16_000) -> None:
        self.words, self.rate = words, rate

    def splits(self) -> dict[str, list[dict[str, Any]]]:
        rng = np.random.default_rng(0)

        def clips(count: int) -> list[dict[str, Any]]:
            return [{"audio": (rng.standard_normal(5000) * 3000).astype(np.int16), "label": word, "sample_rate": self.rate}
                    for word in (*self.words, "other") for _ in range(count)]

        return {"train": clips(3), "test": clips(2), "noise_5db": clips(4)}


def test_words_come_from_any_data_set_by_name() -> None:
    registry.register("dataset", "said-test", summary="A test's.")(Said)
    envs = opened("toolkit/HearAndGo-v0", words="said-test")
    assert len(envs.lexicon.clips) == 4 * 5 and envs.lexicon.held_out.sum() == 4 * 2
    np.testing.assert_allclose([np.sqrt(np.mean(clip**2)) for clip in envs.lexicon.clips], 0.1, rtol=1e-3)
    registry.register("dataset", "said-little-test", summary="A test's.")(lambda: Said(("left", "up")))
    with pytest.raises(UsageError, match="do not both hold down, right"):
        opened("toolkit/HearAndGo-v0", words="said-little-test")
    registry.register("dataset", "said-fast-test", summary="A test's.")(lambda: Said(rate=8000))
    with pytest.raises(UsageError, match="8000 samples a second; allowed: 16000"):
        opened("toolkit/HearAndGo-v0", words="said-fast-test")
    with pytest.raises(UsageError, match=r"--env.words sung: allowed are tones, .* toolkit list dataset"):
        opened("toolkit/HearAndGo-v0", words="sung")


@pytest.mark.parametrize("name", ["HearAndGo", "KeywordGuard"])
def test_the_words_of_an_environment_are_among_those_of_made_speech(name: str, monkeypatch: pytest.MonkeyPatch,
                                                                    tmp_path: Path) -> None:
    """Its default, with each word said twice and not 400 times."""
    pytest.importorskip("espeakng_loader")
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    registry.register("dataset", "few-commands-test", summary="A test's.")(
        lambda: registry.make("dataset", "spoken-commands", count=70, held_out=35))
    envs = opened(f"toolkit/{name}-v0", words="few-commands-test")
    assert len(envs.lexicon.clips) == len(envs.clips) * 3 and envs.lexicon.held_out.sum() == len(envs.clips)
    envs.reset()
    assert np.abs(sound_of(envs, envs.step(actions(envs, np.random.default_rng(0))).observations)).max() > 0.01


@pytest.mark.parametrize("name", ["HearAndGo", "KeywordGuard"])
def test_what_a_run_records_names_the_words_that_it_heard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EnvSpec(f"toolkit/{name}-v0", {"deaf": True})
    found = factory.settled(spec)
    assert found == {"deaf": True, "words": sounds.source("")}
    assert factory.settled(EnvSpec(spec.id, found)) == found, "settled once, it stays"


def test_words_that_cannot_be_made_here_are_not_replaced_by_others() -> None:
    registry.register("dataset", "said-elsewhere-test", summary="A test's.",
                      extras={"no_such_module": 'pip install "toolkit[speech]"'})(Said)
    with pytest.raises(MissingExtra, match=r"toolkit\[speech\]"):
        opened("toolkit/HearAndGo-v0", words="said-elsewhere-test")
