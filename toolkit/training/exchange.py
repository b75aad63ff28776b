"""Runs from policies of other libraries, and the other way; see `toolkit.bridges.sb3.exchange`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.envs import spaces
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training import sessions, setup
from toolkit.training.description import describe
from toolkit.training.resolve import plan
from toolkit.training.run_directory import RunDirectory
from toolkit.training.tasks import OnlineTask

NOT_TRUSTED = ("{path}: a file of Stable-Baselines3 is a pickle, and loading one executes whatever it holds. If you know where "
               "it is from, say so: --trust")


def load_sb3(path: str, env: str, trust: bool, out: str | None = None, seed: int = 0) -> sessions.Session:
    """A finished run of the agent ``sb3-...`` from a policy that Stable-Baselines3 has saved, evaluated on ``env``.

    Raises UsageError without ``trust``, for a file of another kind, and for an environment with other spaces.
    """
    from toolkit.bridges.sb3 import exchange

    kind = exchange.kind_of_file(path)
    if not trust:
        raise UsageError(NOT_TRUSTED.format(path=path))
    algorithm = exchange.loaded(path, kind)
    exchange.require_equal_actions(algorithm.action_space)
    settings = {**exchange.settings_of(algorithm, kind), "env": env, "seed": seed, "steps": max(1, int(algorithm.num_timesteps))}
    made = plan(registry.get("agent", f"sb3-{kind}"), settings, preset="none")
    task = setup.make_task(made)
    try:
        assert isinstance(task, OnlineTask)
        mine = (task.envs.observation_space, task.envs.action_space)
        if mine != (algorithm.observation_space, algorithm.action_space):
            raise UsageError(f"--env {env}: its spaces are {mine[0]} and {mine[1]}; the policy's are "
                             f"{algorithm.observation_space} and {algorithm.action_space}")
        agent: Any = task.agent
        try:
            agent.policy.load_state_dict(algorithm.policy.state_dict())
        except RuntimeError as error:  # torch's, of other networks
            raise UsageError(f"{path}: its networks are not those of the agent sb3-{kind}, and it cannot become a run of it: "
                             f"{' '.join(str(error).split())[:200]}") from error
        exchange.agree(algorithm, agent, *mine)
        task.clock.step = task.clock.budget
        directory = RunDirectory.create(out, made.entry.name, made.subject, seed,
                                        {**describe(made, task), "loaded_from": str(Path(path).resolve())})
        trainer = setup.make_trainer(directory, made, task.unit)
        return sessions.Session(directory, sessions.run(trainer, task), task.clock.step, None)
    finally:
        task.close()


def export_sb3(directory: RunDirectory, step: int | None, path: str) -> Path:
    """Write the policy of a run as a file that Stable-Baselines3 loads; returns its name.

    Raises UsageError for an agent without a counterpart there and for a file that exists, ToolkitError unless both
    choose the same actions.
    """
    from toolkit.bridges.sb3 import exchange

    target = exchange.suffixed(path)
    if target.exists():
        raise UsageError(f"{target}: it exists, and nothing is overwritten. Name another file")
    facts = directory.read()
    observation, action = (spaces.from_json(facts["spaces"][name]) for name in ("observation", "action"))
    exchange.require_equal_actions(action)
    agent = setup.load_agent(directory, step)
    algorithm = exchange.exported(agent, facts["name"], observation, action)
    exchange.agree(algorithm, agent, observation, action)
    algorithm.num_timesteps = int(facts.get("steps", 0))
    target.parent.mkdir(parents=True, exist_ok=True)
    algorithm.save(str(target))
    return target
