"""Every preset of every agent starts: it resolves, its environment, agent and buffer are made, and it takes steps."""

from __future__ import annotations

import importlib.util

import pytest

from toolkit.entries import Entry
from toolkit.registry import registry
from toolkit.training import setup
from toolkit.training.presets import choose, load_presets
from toolkit.training.resolve import plan

EXAMPLES = {"ALE/*": ("ALE/Pong-v5", "ale_py"), "*-v5": ("Hopper-v5", "mujoco"),
            "LunarLander*": ("LunarLander-v3", "Box2D"), "LunarLander-v3": ("LunarLander-v3", "Box2D")}
# Returns alone, without exploration, teach nothing there: after a million steps it was where it began.
NOT_LEARNED = {"reinforce": {"MountainCar-v0", "Pendulum-v1", "LunarLander-v3"}}
CLASSIC = {"Discrete": ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3"),
           "Box": ("Pendulum-v1", "MountainCarContinuous-v0")}
AGENTS = [entry for entry in registry.entries("agent") if entry.distribution == "toolkit"]
PRESETS = [(entry.name, preset, subject) for entry in AGENTS for preset, subjects in load_presets(entry).items()
           for subject in subjects]


@pytest.mark.parametrize(("agent", "preset", "subject"), PRESETS, ids=lambda value: value)
def test_every_preset_starts_and_learns(agent: str, preset: str, subject: str) -> None:
    env, needs = EXAMPLES.get(subject, (subject, "gymnasium"))
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    chosen = choose(registry.get("agent", agent), env, preset)[1]
    assert chosen == load_presets(registry.get("agent", agent))[preset][subject], "another preset is taken there"
    # As the preset says but for what makes it long: two copies, one rollout, no warm-up, at most four updates at once.
    given = plan(registry.get("agent", agent), {"env": env}, preset=preset).config.values
    short = {"learning_starts": 0, "buffer_size": 2_000, "n_steps": 32, "n_epochs": 1, "batch_size": 16, "n_envs": 2}
    flags = {name: min(value, given[name]) for name, value in short.items() if name in given}
    if given.get("gradient_steps", 1) > 4 or given.get("gradient_steps") == -1:
        flags["gradient_steps"] = 4
    task = setup.make_task(plan(registry.get("agent", agent), {"env": env, **flags}, preset=preset))
    try:
        learned = agent == "reinforce"  # which learns from whole episodes
        while not task.clock.step or (not learned and task.clock.step < 64):
            report = task.advance()
            assert report.units > 0
            learned = learned or report.metrics.get("train/n_updates", 0) > 0
        assert learned
    finally:
        task.close()


OWN = [entry for entry in AGENTS if not str(entry.target).startswith("toolkit.bridges")]  # bridges keep their libraries' defaults


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_every_agent_has_a_tuned_preset_for_each_classic_environment_that_suits_it(entry: Entry) -> None:
    tuned = load_presets(entry)["tuned"]
    for space, environments in CLASSIC.items():
        if space in entry.accepts:
            assert set(environments) - set(tuned) == set(environments) & NOT_LEARNED.get(entry.name, set())


def test_naming_the_default_part_keeps_what_its_place_says() -> None:
    """speech-recognition's crnn steps by 2, 1, 1; crnn alone by 2, 2, 1."""
    entry = registry.get("task", "speech-recognition")
    usual = plan(entry, {"data": "spoken-sentences"}).config.values
    named = plan(entry, {"data": "spoken-sentences", "model": "crnn"}).config.values
    assert named == usual and named["model.time_strides"] == (2, 1, 1)


def test_a_part_that_is_replaced_takes_nothing_from_the_preset() -> None:
    entry = registry.get("agent", "dqn")
    values = plan(entry, {"env": "CartPole-v1", "network": "transformer"}).config.values
    assert values["network.width"] == 64 and "network.hidden_sizes" not in values
    kept = plan(entry, {"env": "CartPole-v1", "network": "mlp"}).config.values
    assert kept["network.hidden_sizes"] == (64, 64)  # the preset's own choice, named
