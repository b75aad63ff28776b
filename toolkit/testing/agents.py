"""What an agent promises (`toolkit.agents.base.Agent`), proven on small runs of its own.

Every promise is tried on one environment for each kind of action space that the agent ``accepts``: see
`toolkit.testing.trivial`. Runs are made by the same code as `toolkit run`, without a folder.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, ClassVar

import numpy as np
import torch

from toolkit.agents.base import Agent, Array
from toolkit.config import flatten
from toolkit.core import state as states
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.entries import LOCAL
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.errors import UsageError
from toolkit.testing import trivial
from toolkit.testing.gpu import gpu
from toolkit.testing.suite import NotPromised, Suite, require
from toolkit.training import resolve, setup
from toolkit.training.resolve import Plan
from toolkit.training.tasks import Task
from toolkit.training.trainer import parameters_sha256

# Settings that make a run small, and learning quick where each answer stands alone; an agent takes those that it has.
SMALL: dict[str, Any] = {"learning_starts": 64, "batch_size": 32, "buffer_size": 2000, "n_steps": 32, "n_epochs": 4,
                         "target_update_interval": 50, "episodes_per_update": 4, "network.hidden_sizes": (32,), "net_arch": (32,)}
QUICK: dict[str, Any] = {**SMALL, "learning_rate": 3e-3, "gamma": 0.5, "exploration_fraction": 0.3, "train_freq": 2,
                         "v_min": 0.0, "v_max": 3.0}
ATTEMPTS: tuple[dict[str, Any], ...] = ({}, {"n_steps": 8, "learning_rate": 1e-2})  # the second for one update a rollout
WORKER_SECONDS = 120.0
SHARES = (0.25, 0.5, 1.0)  # of the learning steps, after which it is asked whether it has learned
ALIKE = 0.95  # of actions: rounding may turn a choice between two that are as good


class AgentSuite(Suite):
    """An agent's promises. ``steps`` is the budget of its short runs, some of which go to a half or two thirds of it;
    ``learning_steps`` and ``learning_options`` are what it may spend on the trivial environment."""

    kind = "agent"
    n_envs = 4
    steps = 600
    learning_steps = 4000
    learning_options: Mapping[str, Any] = {}
    _taken: ClassVar[dict[tuple[str, str], dict[str, bool]]] = {}  # by agent and options: the environments that it takes

    @property
    def environments(self) -> list[str]:
        """Environments to try it on: by default one for each kind of action space that it accepts.

        Where it refuses (by UsageError) observations that are vectors, one that shows numbers.
        """
        accepted = self.entry.accepts or tuple(trivial.ACTION_SPACES)
        return [next(filter(self._takes, trivial.names_of(kind)), trivial.name_of(kind))
                for kind in trivial.ACTION_SPACES if kind in accepted]

    def _takes(self, env: str) -> bool:
        taken = self._taken.setdefault((self.entry.id, repr(self.options)), {})
        if env not in taken:
            try:
                self.agent(env)
                taken[env] = True
            except UsageError:
                taken[env] = False
        return taken[env]

    # -- tools

    def plan(self, env: str, steps: int | None = None, seed: int = 0, n_envs: int | None = None, quick: bool = False,
             attempt: Mapping[str, Any] | None = None, device: str = "cpu") -> Plan:
        """A small run of the agent, or one that is to learn something (``quick``, with what this ``attempt`` changes)."""
        chosen = {**(QUICK if quick else SMALL), **(attempt or {}), **flatten(self.options),
                  **flatten(self.learning_options if quick else {})}
        table: dict[str, Any] = {"env": env, "steps": steps or self.steps, "seed": seed, "n_envs": n_envs or self.n_envs,
                                 "device": device}
        known = resolve.all_settings(self.entry, {**table, **chosen})
        # The suite's own choices go to agents that have such a setting; the author's must exist.
        table.update((name, value) for name, value in chosen.items() if name in known or name not in QUICK)
        return resolve.plan(self.entry, {}, table, preset="none")  # as a file: of flags, those that do nothing are refused

    def task(self, env: str, steps: int | None = None, quick: bool = False, attempt: Mapping[str, Any] | None = None,
             device: str = "cpu") -> Task:
        """A run, ready to be advanced."""
        return setup.make_task(self.plan(env, steps, quick=quick, attempt=attempt, device=device))

    def agent(self, env: str, seed: int = 0, n_envs: int = 1) -> Agent:
        """The agent, freshly made for an environment."""
        one = factory.make_one(EnvSpec(env))
        one.close()
        torch.manual_seed(seed)
        return setup.make_agent(self.entry.id, self.plan(env, seed=seed).config, one.observation_space, one.action_space, n_envs,
                                Streams(seed), Clock(1000), torch.device("cpu"))

    def each(self) -> Iterator[str]:
        """The environments, none of which is no promise."""
        if not self.environments:
            raise NotPromised(f"it accepts {', '.join(self.entry.accepts)}, for which there is no trivial environment")
        yield from [self.environments] if isinstance(self.environments, str) else self.environments

    # -- promises

    def test_it_acts_for_one_environment_and_for_many(self) -> None:
        """Actions have the shape [N, ...] and the values of the action space, for one environment and for many."""
        for env in self.each():
            for n_envs in (1, 5):
                agent = self.agent(env, n_envs=n_envs)
                space = factory.make_one(EnvSpec(env)).action_space
                for deterministic in (False, True):
                    actions = agent.act(sights(env, n_envs), deterministic=deterministic).actions
                    require(isinstance(actions, np.ndarray), f"actions must be a NumPy array, got {type(actions).__name__}")
                    wanted = (n_envs, *(space.shape or ()))
                    require(actions.shape == wanted, f"actions for {n_envs} observations of {env} have the shape "
                                                     f"{actions.shape}, promised: {wanted}")
                    for action in actions:
                        value = np.asarray(action).astype(space.dtype, casting="same_kind")
                        require(space.contains(value if space.shape else value[()]),
                                f"the action {action!r} is not in the action space {space}")

    def test_the_same_seed_gives_the_same_actions(self) -> None:
        """Two agents made with one seed act alike, and deterministic actions repeat."""
        for env in self.each():
            one, other = self.agent(env, seed=3), self.agent(env, seed=3)
            for turn in range(5):
                seen = sights(env, 4, turn)
                first, second = one.act(seen).actions.copy(), other.act(seen.copy()).actions
                require(np.array_equal(first, second), f"two agents with seed 3 act differently on the same observations of "
                        f"{env}: {first[:2].tolist()} and {second[:2].tolist()}. Draw from the streams that the agent is given")
            seen = sights(env, 16)
            first = one.act(seen, deterministic=True).actions.copy()
            again = one.act(seen, deterministic=True).actions
            require(np.array_equal(first, again), f"deterministic=True gives other actions the second time on the same "
                                                  f"observations of {env}")

    def test_it_keeps_no_view_of_the_observations(self) -> None:
        """Observations are not changed by acting, and nothing is kept that changes when their buffer is used again."""
        for env in self.each():
            one, other = self.agent(env, seed=1), self.agent(env, seed=1)
            buffer = np.empty_like(sights(env, 4))
            for turn in range(4):
                seen = sights(env, 4, turn)
                buffer[...] = seen
                mine = one.act(buffer)
                require(np.array_equal(buffer, seen), f"acting changed the observations of {env} that it was given")
                buffer[...] = -1  # the environments write their next observations here
                theirs = other.act(seen)
                require(np.array_equal(mine.actions, theirs.actions), f"actions on {env} change when the buffer of the "
                        "observations is used again: copy what is kept of them")
                for name, value in theirs.extras.items():
                    require(np.array_equal(mine.extras[name], value), f"the extra {name!r} changes when the buffer of the "
                            "observations is used again: it is a view of them, copy it")
            require(self._learned(env, reused=False) == self._learned(env, reused=True), f"what it learns on {env} changes when "
                    "the buffer of the observations is used again after act(): copy what is kept of them until the update")

    def _learned(self, env: str, reused: bool) -> str:
        """The hash of the parameters after a short run; ``reused``: what act() was given is overwritten after each call."""
        task = self.task(env, steps=self.steps // 3)
        agent: Any = getattr(task, "agent")  # noqa: B009 (every task of an agent has it)
        act = agent.act

        def acting(observations: Array, *rest: Any, **more: Any) -> Any:
            given = observations.copy()
            acted = act(given, *rest, **more)
            acted = acted._replace(extras={name: np.array(value) for name, value in acted.extras.items()})
            given[...] = 0
            return acted

        if reused:
            agent.act = acting
        advance(task, self.steps // 3)
        task.close()
        return parameters_sha256(agent.parameters())

    def test_updates_move_the_parameters_and_stay_finite(self) -> None:
        """Training moves the learned parameters; they and all metrics are finite numbers."""
        for env in self.each():
            task = self.task(env)
            try:
                before = {name: value.clone() for name, value in task.parameters().items()}
                require(before, "parameters() is empty: it must name every learned parameter")
                metrics: dict[str, float] = {}
                while task.clock.remaining:
                    metrics.update(task.advance().metrics)
                after = task.parameters()
                require(set(after) == set(before), "parameters() has other names after training")
                require(any(not torch.equal(before[name], after[name]) for name in before),
                        f"the parameters did not move in {task.clock.step} steps of {env}: update() changes nothing of what "
                        "parameters() gives")
                for name, value in after.items():
                    require(bool(value.isfinite().all()), f"the parameter {name!r} is not finite after training on {env}")
                require(metrics, f"no update reported any metrics in {task.clock.step} steps of {env}")
                for name, number in metrics.items():
                    require(isinstance(name, str) and math.isfinite(number), f"the metric {name!r} is {number!r}")
            finally:
                task.close()

    def test_saved_and_loaded_it_acts_the_same(self) -> None:
        """state_dict() goes through safetensors and JSON, and an agent that loads it acts as the saved one does."""
        for env in self.each():
            saved = self._trained(env)
            tensors, skeleton = states.split(saved.state_dict())
            restored = self.agent(env, seed=9, n_envs=self.n_envs)
            restored.load_state_dict(states.join(tensors, json.loads(json.dumps(skeleton))))
            seen = sights(env, 64)
            require(np.array_equal(saved.act(seen, deterministic=True).actions, restored.act(seen, deterministic=True).actions),
                    f"after load_state_dict the deterministic actions on {env} are other than those of the saved agent")
            require(parameters_sha256(saved.parameters()) == parameters_sha256(restored.parameters()),
                    "after load_state_dict the parameters are other than those of the saved agent")

    def test_it_survives_a_spawned_worker(self) -> None:
        """A new process makes the agent by its name alone, and with the same state it acts the same."""
        if self.entry.distribution == LOCAL:
            raise NotPromised("it was registered in this process only; another one cannot make it by name")
        for env in self.each():
            saved = self._trained(env)
            tensors, skeleton = states.split(saved.state_dict())
            arrays = {name: value.numpy() for name, value in tensors.items()}
            job = spawned().submit(act_elsewhere, self.entry.id, dict(self.options), env, arrays, skeleton, sights(env, 16))
            actions = job.result(timeout=WORKER_SECONDS)
            require(np.array_equal(actions, saved.act(sights(env, 16), deterministic=True).actions),
                    f"in a spawned process the loaded agent acts differently on {env}")

    def test_resumed_it_goes_on_exactly(self) -> None:
        """A run that is saved and loaded half-way ends with the same parameters as one that is not."""
        self._goes_on_exactly("cpu")

    def test_on_a_gpu_it_resumes_exactly(self) -> None:
        """On a GPU, too, a run that is saved and loaded half-way ends as one that is not."""
        self._goes_on_exactly(gpu().type)

    def _goes_on_exactly(self, device: str) -> None:
        if "resume" in self.entry.cannot:
            raise NotPromised(f"resume: {self.entry.cannot['resume']}")
        steps = self.steps * 2 // 3
        for env in self.each():
            # One after the other: torch's default generator is every run's, and making one seeds it.
            whole = self.task(env, steps=steps, device=device)
            advance(whole, steps)
            whole.close()
            first = self.task(env, steps=steps, device=device)
            advance(first, steps // 2)
            kept = {name: states.split(part.state_dict()) for name, part in first.parts().items()}
            first.close()
            second = self.task(env, steps=steps, device=device)
            second.clock.step = first.clock.step
            for name, part in second.parts().items():
                tensors, skeleton = kept[name]
                part.load_state_dict(states.join(tensors, json.loads(json.dumps(skeleton))))
            advance(second, steps)
            second.close()
            require(parameters_sha256(whole.parameters()) == parameters_sha256(second.parameters()),
                    f"saved and loaded at step {first.clock.step} of {env}, the run ends with other parameters than without: "
                    "state_dict() leaves something out (optimizer, counters, generators), or say "
                    'cannot={"resume": "approximate"} in its declaration')

    def test_on_a_gpu_it_trains(self) -> None:
        """On a GPU it trains to finite parameters and is judged; its state acts alike there and on the CPU."""
        gpu()
        steps = self.steps * 2 // 3
        for env in self.each():
            task = self.task(env, steps=steps, device="cuda")
            before = {name: value.clone() for name, value in task.parameters().items()}
            places = {value.device.type for value in before.values()}
            require(places == {"cuda"}, f"its parameters are on {', '.join(sorted(places))}, asked for: cuda")
            advance(task, steps)
            require(math.isfinite(task.evaluate(False).score), f"its score on the GPU is not finite ({env})")
            after = task.parameters()
            require(any(not torch.equal(before[name], after[name]) for name in before),
                    f"the parameters did not move in {task.clock.step} steps of {env} on the GPU")
            require(all(bool(value.isfinite().all()) for value in after.values()), f"a parameter is not finite ({env}, GPU)")
            task.close()
            agent: Agent = getattr(task, "agent")  # noqa: B009 (every task of an agent has it)
            tensors, skeleton = states.split(agent.state_dict())
            here = self.agent(env, seed=9, n_envs=self.n_envs)
            here.load_state_dict(states.join(tensors, json.loads(json.dumps(skeleton))))
            seen = sights(env, 64)
            one, other = (np.asarray(each.act(seen, deterministic=True).actions, np.float64) for each in (agent, here))
            alike = np.isclose(one, other, atol=1e-3, rtol=1e-3).mean()
            require(alike >= ALIKE, f"of the actions of its state on {env}, {alike:.0%} are the same on the GPU and on the CPU")

    def test_it_learns_a_trivial_environment(self) -> None:
        """On an environment whose observation shows the right action it gets half-way from chance to perfect, or further."""
        for env in self.each():
            if not trivial.is_one(env):
                raise NotPromised(f"{env} is not one of the trivial environments, whose chance is known")
            kind = env.split("-")[1]
            chance = trivial.random_return(kind)
            wanted = (chance + trivial.LENGTH) / 2
            reached = -math.inf
            for attempt in ATTEMPTS:
                if reached < wanted:
                    reached = max(reached, self._score(env, wanted, attempt))
            require(reached >= wanted, f"after {self.learning_steps} steps of {env} the mean return is {reached:.2f}; promised: "
                    f"at least {wanted:.2f} (chance {chance:.2f}, perfect {trivial.LENGTH}). Set learning_steps or "
                    "learning_options of the suite if it needs others")

    def _score(self, env: str, wanted: float, attempt: Mapping[str, Any]) -> float:
        """The mean return as soon as it is ``wanted``, after `learning_steps` at the latest."""
        task, score = self.task(env, steps=self.learning_steps, quick=True, attempt=attempt), -math.inf
        try:
            for share in SHARES:
                if score < wanted:
                    advance(task, int(share * self.learning_steps))
                    score = task.evaluate(False).score
            return score
        finally:
            task.close()

    def _trained(self, env: str) -> Agent:
        """The agent after a short run."""
        task = self.task(env, steps=self.steps // 2)
        advance(task, self.steps // 2)
        task.close()
        agent: Agent = getattr(task, "agent")  # noqa: B009 (every task of an agent has it)
        return agent


def advance(task: Task, until: int) -> None:
    """Advance the run to step ``until`` or its end."""
    while task.clock.step < until and task.clock.remaining:
        task.advance()


def sights(env: str, count: int, seed: int = 0) -> Array:
    """Observations [count, ...] drawn from the observation space."""
    space = factory.make_one(EnvSpec(env)).observation_space
    space.seed(seed)
    return np.stack([space.sample() for _ in range(count)])


@functools.cache
def spawned() -> ProcessPoolExecutor:
    """One spawned process for all suites of this process."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def act_elsewhere(name: str, options: dict[str, Any], env: str, arrays: dict[str, Array], skeleton: Any,
                  seen: Array) -> Array:
    """In the spawned process: make the agent by name, load the state, act."""
    suite = AgentSuite()
    suite.name, suite.options = name, options
    agent = suite.agent(env, seed=5, n_envs=AgentSuite.n_envs)
    agent.load_state_dict(states.join({key: torch.from_numpy(value) for key, value in arrays.items()}, skeleton))
    return agent.act(seen, deterministic=True).actions


