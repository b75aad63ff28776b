"""What an environment promises: gymnasium's own interface, seeds, no shared buffers, a state that can be restored.

``name`` is an env of the registry or any id that gymnasium knows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from toolkit.entries import LOCAL
from toolkit.envs import factory, promises, specs
from toolkit.envs.base import EnvSpec, one_number
from toolkit.envs.in_process import InProcess
from toolkit.envs.masks import Masks, counts_of, heeded
from toolkit.testing.suite import NotPromised, Suite, require

STEPS = 200


class EnvSuite(Suite):
    """An environment's promises. ``longest`` bounds the steps in which an episode of random actions must end."""

    kind = "env"
    longest = 20_000

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(self.name, dict(self.options))

    def env(self) -> gymnasium.Env[Any, Any]:
        return factory.make_one(self.spec)

    def test_gymnasiums_checker_accepts_it(self) -> None:
        """gymnasium.utils.env_checker.check_env finds nothing wrong."""
        env = self.env()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(env.unwrapped, skip_render_check=True)
        env.close()

    def test_the_same_seed_gives_the_same_episodes(self) -> None:
        """reset(seed=...) and the same actions give the same observations, rewards and ends."""
        one, other = rollout(self.env(), 5), rollout(self.env(), 5)
        for place, (mine, theirs) in enumerate(zip(one, other)):
            require(equal(mine, theirs), f"with the same seed and actions, step {place} differs: {short(mine)} and "
                                         f"{short(theirs)}. Draw from self.np_random alone")
        # A generator that is seeded when the environment is made, and never again, passes all of the above.
        env = self.env()
        rollout(env, 6, close=False)
        for place, (mine, theirs) in enumerate(zip(one, rollout(env, 5))):
            require(equal(mine, theirs), f"reset(seed=5) of a copy that has run before gives another step {place} than of a new "
                    f"one: {short(theirs)} and {short(mine)}. It ignores its seed there, or keeps something of earlier "
                    "episodes: draw from self.np_random alone, and begin anew in reset()")

    def test_observations_keep_their_values(self) -> None:
        """An observation that was given does not change when the environment goes on."""
        env = self.env()
        given, _ = env.reset(seed=1)
        env.action_space.seed(1)
        for turn in range(STEPS):
            kept = snapshot(given)
            following, _, terminated, truncated, _ = env.step(env.action_space.sample())
            require(equal(given, kept), f"the observation of step {turn} changed when the environment was stepped: it hands out "
                                        "its own buffer, copy it")
            if terminated or truncated:
                kept = snapshot(following)
                fresh, _ = env.reset()
                require(equal(following, kept), "the last observation of an episode changed when the environment was reset: it "
                                                "hands out its own buffer, copy it")
                following = fresh
            given = following
        env.close()

    def test_rewards_and_observations_are_what_the_spaces_say(self) -> None:
        """Observations lie in the observation space, rewards are finite numbers."""
        env = self.env()
        for place, (observation, reward, _, _) in enumerate(rollout(env, 2)):
            require(env.observation_space.contains(observation), f"the observation of step {place} is not in "
                                                                 f"{env.observation_space}: {short(observation)}")
            require(np.isfinite(reward), f"the reward of step {place} is {reward!r}, promised: a "
                                                                        "finite number")

    def test_action_masks_leave_a_choice(self) -> None:
        """Where it says which actions it allows, in info["action_mask"], each mask is for its action space and allows one."""
        envs = InProcess(self.env, [3])
        envs.reset()
        if envs.masks is None:
            raise NotPromised("reset() gives no info['action_mask']")
        generator = np.random.default_rng(0)
        for _ in range(STEPS):
            envs.step(np.asarray([drawn_within(heeded(envs.masks, envs.action_space)[0], envs.action_space, generator)]))
        envs.close()

    def test_episodes_end(self) -> None:
        """Some episode of random actions is terminated or truncated."""
        env = self.env()
        env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(self.longest):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.close()
                return
        require(False, f"no episode ended in {self.longest:,} random steps: returns are counted at an episode's end. "
                       "Truncate it, or set longest in the suite")

    def test_copies_do_not_touch_each_other(self) -> None:
        """Two copies stepped in turns give what one gives alone."""
        alone = rollout(self.env(), 4)
        one, other = self.env(), self.env()
        together = interleaved(one, other, 4)
        for place, (mine, theirs) in enumerate(zip(alone, together)):
            require(equal(mine, theirs), f"step {place} of a copy changes when another copy is stepped: they share state")

    def test_its_state_is_restored_in_mid_episode(self) -> None:
        """Saved and restored in mid-episode it goes on exactly, in the first episode and in the one after it."""
        if "resume" in self.entry_cannot:
            raise NotPromised(f"resume: {self.entry_cannot['resume']}")
        saved = InProcess(self.env, [11])
        space = saved.action_space
        space.seed(3)
        saved.reset()
        for _ in range(7):
            saved.step(np.asarray([space.sample()]))
        self._goes_on_restored(saved)
        # Only the first episode has a seed: what is drawn later comes from a generator that has to be restored.
        for _ in range(self.longest):
            stepped = saved.step(np.asarray([space.sample()]))
            if stepped.terminated[0] or stepped.truncated[0]:
                break
        else:
            return
        for _ in range(3):
            saved.step(np.asarray([space.sample()]))
        self._goes_on_restored(saved)

    def _goes_on_restored(self, saved: InProcess) -> None:
        """A copy with the state of ``saved`` does the same as that, which is stepped with it."""
        space, restored = saved.action_space, InProcess(self.env, [99])
        restored.reset()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            restored.set_state(saved.get_state())
        mine = [str(item.message) for item in said if "did not come back" in str(item.message)]
        require(not mine, "".join(mine[:1]))
        for turn in range(STEPS):
            action = np.asarray([space.sample()])
            one, other = saved.step(action), restored.step(action)
            require(equal(one.observations, other.observations) and one.rewards[0] == other.rewards[0],
                    f"restored, step {turn} after it differs: the state holds less than the environment remembers. Offer "
                    "get_state() and set_state(state), or draw all randomness from self.np_random")

    def test_a_worker_process_makes_it_by_name(self) -> None:
        """In a worker process it gives the same transitions as in this one."""
        if self.in_this_process_only:
            raise NotPromised("it was registered in this process only; a worker cannot make it by name")
        workers, here = factory.make(self.spec, [3, 4], "workers", 1), factory.make(self.spec, [3, 4], "in-process")
        try:
            require(np.array_equal(workers.reset(), here.reset()), "its first observations differ in a worker process")
            space = here.action_space
            space.seed(1)
            for turn in range(20):
                actions = np.stack([np.asarray(space.sample()) for _ in range(2)])
                require(np.array_equal(workers.step(actions).observations, here.step(actions).observations),
                        f"step {turn} differs in a worker process")
        finally:
            workers.close()
            here.close()

    @property
    def entry_cannot(self) -> dict[str, str]:
        found = specs.entry_of(self.name)
        return dict(found.cannot) if found else {}

    @property
    def in_this_process_only(self) -> bool:
        found = specs.entry_of(self.name)
        return found is not None and found.distribution == LOCAL


def rollout(env: gymnasium.Env[Any, Any], seed: int, close: bool = True) -> list[tuple[Any, float, bool, bool]]:
    """STEPS random steps and resets from ``seed``: observation, reward, terminated, truncated, all copied."""
    actions = drawn(env, seed)
    observation, _ = env.reset(seed=seed)
    found = [(snapshot(observation), 0.0, False, False)]
    for _ in range(STEPS):
        found.append(stepped(env, next(actions)))
    if close:
        env.close()
    return found


def drawn_within(mask: Masks, space: Any, generator: np.random.Generator) -> Any:
    """A random action among those that ``mask`` [actions] allows."""
    choices = [generator.choice(np.flatnonzero(part)) for part in np.split(mask, np.cumsum(counts_of(space))[:-1])]
    return np.reshape(choices, space.shape) + space.start


def drawn(env: gymnasium.Env[Any, Any], seed: int) -> Iterator[Any]:
    """Random actions; the space is a copy, since a class may have one for all of its environments."""
    space = copy.deepcopy(env.action_space)
    space.seed(seed)
    while True:
        yield space.sample()


def stepped(env: gymnasium.Env[Any, Any], action: Any) -> tuple[Any, float, bool, bool]:
    observation, reward, terminated, truncated, _ = env.step(action)
    kept = snapshot(observation), one_number(reward, promises.name_of(env)), bool(terminated), bool(truncated)
    if terminated or truncated:
        env.reset()
    return kept


def interleaved(env: gymnasium.Env[Any, Any], other: gymnasium.Env[Any, Any], seed: int) -> list[Any]:
    """As `rollout` of ``env``, with ``other`` stepped in between."""
    actions, others = drawn(env, seed), drawn(other, seed + 1)
    observation, _ = env.reset(seed=seed)
    other.reset(seed=seed + 1)
    found: list[Any] = [(snapshot(observation), 0.0, False, False)]
    for _ in range(STEPS):
        stepped(other, next(others))
        found.append(stepped(env, next(actions)))
    return found


def snapshot(value: Any) -> Any:
    """A copy of an observation of any space."""
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(snapshot, value))
    return np.array(value, copy=True) if isinstance(value, np.ndarray) else value


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(np.array_equal(one, other))


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 120 else text[:120] + "..."
