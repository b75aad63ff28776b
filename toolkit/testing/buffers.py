"""What a buffer promises (`toolkit.agents.base.Buffer`), on steps whose every number says where it came from."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
from gymnasium import spaces

from toolkit.agents.base import Batches, Buffer, Steps
from toolkit.core import state as states
from toolkit.testing.suite import NotPromised, Suite, require

SIGHT, CHOICES = spaces.Box(-1e6, 1e6, (2,), np.float64), spaces.Discrete(1000)
N_ENVS, ROWS = 2, 12
LOST_ROW = 7  # of environment 1: not valid


class BufferSuite(Suite):
    """A buffer's promises."""

    kind = "buffer"
    capacity = 200

    def buffer(self, seed: int = 0) -> Buffer:
        buffer: Buffer = self.make(capacity=self.capacity, n_envs=N_ENVS, observation_space=SIGHT, action_space=CHOICES,
                                   generator=np.random.default_rng(seed))
        return buffer

    def replay(self, seed: int = 0) -> Buffer:
        """The buffer with steps in it, if it is one that is sampled."""
        buffer = self.buffer(seed)
        buffer.add(numbered())
        if not isinstance(next(iter(buffer.batches(1, 4))), Batches):
            raise NotPromised("it gives whole rollouts and is not sampled")
        return buffer

    def steps_summed(self) -> int:
        """How many rewards one transition sums."""
        return int(self.setting("n_step", 1))

    def setting(self, name: str, without: float) -> Any:
        """The buffer's setting ``name``; ``without`` it the number given."""
        return next((self.options.get(item.name, item.default) for item in self.entry.settings if item.name == name), without)

    def test_it_counts_and_gives_what_was_added(self) -> None:
        """len() counts the valid steps; batches() gives minibatches [K, B, ...], or the rollout itself."""
        buffer, steps = self.buffer(), numbered()
        require(len(buffer) == 0, f"an empty buffer has the length {len(buffer)}")
        buffer.add(steps)
        require(len(buffer) == steps.count, f"after {steps.count} valid steps its length is {len(buffer)}")
        given = list(buffer.batches(3, 5))
        if isinstance(given[0], Steps):
            require(np.array_equal(given[0].rewards, steps.rewards), "the rollout is not the one that was added")
            return
        require(sum(batches.count for batches in given) == 3, "batches(3, 5) gave another number of minibatches than 3")
        for batches in given:
            require(batches.observations.shape[1:] == (5, 2), f"observations are {batches.observations.shape}, promised: "
                                                              "[K, 5, 2]")
            require(batches.rewards.dtype == np.float32, f"rewards are {batches.rewards.dtype}, promised: float32")

    def test_it_takes_other_sizes(self) -> None:
        """Other observations, actions and numbers of copies come back as they were, too."""
        pictures, moves = spaces.Box(0, 255, (2, 3), np.uint8), spaces.Box(-1.0, 1.0, (2,), np.float32)
        buffer: Buffer = self.make(capacity=30, n_envs=3, observation_space=pictures, action_space=moves,
                                   generator=np.random.default_rng(0))
        seen = np.arange(6 * 3, dtype=np.uint8).reshape(6, 3, 1, 1) * np.ones((2, 3), np.uint8)  # [T + 1, N, 2, 3]
        no = np.zeros((5, 3), bool)
        acted = seen[:-1, :, 0, :2] / np.float32(32)  # [T, N, 2]
        buffer.add(Steps(seen, acted, no.astype(float), no, no, ~no, np.zeros(0, np.int64), np.zeros(0, np.int64), seen[0, :0]))
        require(len(buffer) == 15, f"after 5 steps of 3 copies its length is {len(buffer)}")
        given = next(iter(buffer.batches(2, 7)))
        require(given.observations.dtype == np.uint8, f"observations are {given.observations.dtype}, were given as uint8")
        if isinstance(given, Batches):
            require(given.observations.shape == (2, 7, 2, 3), f"observations of 2 minibatches of 7 have the shape "
                    f"{given.observations.shape}, promised: (2, 7, 2, 3)")
            require(np.allclose(given.actions, given.observations[:, :, 0, :2] / 32), "the action beside a step is another's")

    def test_transitions_belong_together(self) -> None:
        """Action, reward, end and next observation are those of the observation's step, also at an episode's end."""
        batches, steps, summed = self._drawn(), numbered(), self.steps_summed()
        for row, env, b in located(batches):
            require(batches.actions[b] == steps.actions[row, env], f"the action beside step ({row}, {env}) is another step's")
            if summed > 1:
                continue
            require(batches.rewards[b] == np.float32(steps.rewards[row, env]), f"the reward beside step ({row}, {env}) is "
                                                                               "another step's")
            require(batches.terminated[b] == steps.terminated[row, env], f"terminated beside step ({row}, {env}) is another's")
            wanted = true_next(steps, row, env)
            require(np.array_equal(batches.next_observations[b], wanted), f"after step ({row}, {env}) comes "
                    f"{wanted.tolist()}, the buffer says {batches.next_observations[b].tolist()}: where an episode ended the "
                    "true last observation is in final_observations")

    def test_rewards_are_summed_within_their_episode(self) -> None:
        """Summed over n steps, rewards end with the episode, the next observation is the one after the last of them, and the
        discount is for as many steps."""
        summed = self.steps_summed()
        if summed == 1:
            raise NotPromised("it sums no rewards")
        batches, steps = next(iter(self.replay().batches(60, 8))), numbered()
        gamma = float(self.setting("gamma", 1.0))
        require(batches.discounts is not None, f"it sums {summed} rewards and gives no discounts")
        for k, b in np.ndindex(batches.rewards.shape):
            row, env = map(int, batches.observations[k, b])
            last = row  # the last step that counts
            while last + 1 < min(row + summed, ROWS) and steps.valid[last + 1, env] and not (
                    steps.terminated[last, env] or steps.truncated[last, env]):
                last += 1
            count = last - row + 1
            found = (float(batches.rewards[k, b]), float(batches.discounts[k, b]), bool(batches.terminated[k, b]))
            wanted = (float(gamma ** np.arange(count) @ steps.rewards[row:last + 1, env]), gamma ** count,
                      bool(steps.terminated[last, env]))
            require(np.allclose(found, wanted, rtol=1e-4), f"from step ({row}, {env}), {count} of at most {summed} steps count: "
                    f"the sum, the discount and whether it terminated are {wanted}, the buffer says {found}")
            require(np.array_equal(batches.next_observations[k, b], true_next(steps, last, env)),
                    f"the next observation of step ({row}, {env}) is not the one after the {count} steps that count")

    def test_rows_that_are_not_valid_are_never_given(self) -> None:
        """What the collector marks as not valid is never learned from."""
        for row, env, _ in located(self._drawn()):
            require((row, env) != (LOST_ROW, 1), f"it gave step ({LOST_ROW}, 1), which is not valid")

    def test_it_keeps_no_view_of_the_steps(self) -> None:
        """What it holds does not change when the collector's arrays are used again."""
        one, other = self.replay(1), self.replay(1)
        for buffer in (one, other):
            steps = numbered(start=ROWS)
            buffer.add(steps)
            if buffer is one:
                for array in (steps.observations, steps.actions, steps.rewards, steps.terminated, steps.final_observations):
                    array[...] = 0
        mine, theirs = (next(iter(buffer.batches(20, 8))) for buffer in (one, other))
        require(np.array_equal(mine.observations, theirs.observations) and np.array_equal(mine.rewards, theirs.rewards),
                "what it gives changes when the arrays of the steps it was given are used again: copy them")

    def test_the_same_generator_draws_the_same(self) -> None:
        """Draws come from the generator that it was given, and from nothing else."""
        one, other = (next(iter(self.replay(5).batches(6, 8))) for _ in range(2))
        require(np.array_equal(one.observations, other.observations), "two buffers with equal generators draw differently")

    def test_restored_it_goes_on_exactly(self) -> None:
        """state_dict() goes through safetensors and JSON, and a buffer that loads it draws as the saved one does."""
        saved, restored = self.replay(3), self.buffer(8)
        list(saved.batches(2, 4))
        tensors, skeleton = states.split(saved.state_dict())
        restored.load_state_dict(copy.deepcopy(states.join(tensors, json.loads(json.dumps(skeleton)))))
        require(len(saved) == len(restored), f"restored, its length is {len(restored)} and was {len(saved)}")
        more = numbered(start=ROWS)
        for buffer in (saved, restored):
            buffer.add(more)
        one, other = (next(iter(buffer.batches(10, 8))) for buffer in (saved, restored))
        for name in ("observations", "actions", "rewards", "next_observations", "terminated"):
            require(np.array_equal(getattr(one, name), getattr(other, name)), f"restored, it draws other {name}")

    def test_it_forgets_the_oldest(self) -> None:
        """It never holds more than its capacity, and what it forgets first came first."""
        buffer = self.replay()
        for turn in range(1, 20):
            buffer.add(numbered(start=turn * ROWS))
        require(len(buffer) <= self.capacity, f"it holds {len(buffer)} steps, and its capacity is {self.capacity}")
        oldest = min(float(batches.observations[..., 0].min()) for batches in buffer.batches(40, 16))
        first = (20 * ROWS - self.capacity // N_ENVS) - 1
        require(oldest >= first, f"it gave step {oldest:g} after {20 * ROWS} rows: more than {self.capacity} steps old")

    def _drawn(self) -> Any:
        """Many transitions side by side, [K * B, ...]."""
        batches = next(iter(self.replay().batches(60, 8)))
        return Batches(*(getattr(batches, name).reshape(-1, *getattr(batches, name).shape[2:])
                         for name in ("observations", "actions", "rewards", "next_observations", "terminated")))


def numbered(start: int = 0) -> Steps:
    """ROWS steps of two environments: step (t, n) sees (t, n), does 10 t + n, earns t + n / 10.

    Environment 0 terminates in row 3, environment 1 is truncated in row 5 (its true last observations
    are -t - 1) and row 7 of environment 1 is not valid.
    """
    row, env = np.meshgrid(np.arange(ROWS + 1), np.arange(N_ENVS), indexing="ij")
    observations = np.stack([row + start, env], -1).astype(np.float64)  # [T + 1, N, 2]
    row, env = row[:-1], env[:-1]
    terminated, truncated = (row == 3) & (env == 0), (row == 5) & (env == 1)
    finals = np.array([[-4.0 - start, 0.0], [-6.0 - start, 1.0]])
    return Steps(observations, (10 * row + env).astype(np.int64), row + start + env / 10, terminated, truncated,
                 ~((row == LOST_ROW) & (env == 1)), np.array([3, 5]), np.array([0, 1]), finals)


def located(batches: Batches) -> list[tuple[int, int, int]]:
    """Row and environment that each transition says it is, and its place."""
    return [(int(row), int(env), place) for place, (row, env) in enumerate(batches.observations)]


def true_next(steps: Steps, row: int, env: int) -> Any:
    for index, (final_row, final_env) in enumerate(zip(steps.final_rows, steps.final_copies)):
        if (final_row, final_env) == (row, env):
            return steps.final_observations[index]
    return steps.observations[row + 1, env]
