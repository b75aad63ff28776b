"""The collector: steps the environments with the agent and fills time-major arrays."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from toolkit.agents.base import Agent, Array, Steps
from toolkit.agents.checks import NonFinite
from toolkit.core.clock import Clock
from toolkit.envs.base import Final, Stepped, VectorEnv, zeros
from toolkit.envs.workers import WorkersFailed
from toolkit.errors import UsageError


class Episode(NamedTuple):
    """A finished episode: the sum of its rewards and its number of steps."""

    episode_return: float
    length: int


class Collector:
    """Owns the position in the environments: the observations to act on, and unfinished returns.

    It moves the clock as it steps, so that schedules read the right step while acting.
    """

    def __init__(self, envs: VectorEnv, agent: Agent, clock: Clock) -> None:
        self.envs, self.agent, self.clock = envs, agent, clock
        self.seconds = {"acting": 0.0, "stepping": 0.0}
        self._returns = np.zeros(envs.n_envs)
        self._lengths = np.zeros(envs.n_envs, np.int64)
        self._observations: Array | None = None
        self._state: Array | None = None  # recurrent state to act with next
        self._broken: Final | None = None  # copies that did not come back to where they were, and what they had seen last
        self._masked = bool(getattr(agent, "masked", False))
        self.failure: WorkersFailed | None = None  # why collecting stopped before its time

    def collect(self, rows: int) -> tuple[Steps, list[Episode]]:
        """Take ``rows`` steps of every environment, or fewer when the budget ends before.

        Steps beyond the budget are marked not valid, so that a run takes exactly its budget.
        """
        n_envs = self.envs.n_envs
        if self._observations is None:
            self._observations = self.envs.reset()
        if self._masked and self.envs.masks is None:
            raise UsageError("action_masking is on, but this environment gives no info['action_mask']; "
                             "leave out --action-masking")
        observations = zeros(self.envs.observation_space, rows + 1, n_envs)
        actions = zeros(self.envs.action_space, rows, n_envs)
        rewards = np.zeros((rows, n_envs))
        terminated, truncated = np.zeros((rows, n_envs), bool), np.zeros((rows, n_envs), bool)
        valid = np.ones((rows, n_envs), bool)
        finals: list[tuple[int, Final]] = []
        extras: dict[str, Array] = {}
        lost = np.zeros((rows, n_envs), bool)
        observations[0] = self._observations
        acting = stepping = 0.0
        taken, clock = 0, self.clock
        while taken < rows and clock.step < clock.budget and self.failure is None:
            begin = perf_counter()
            acted = self.agent.act(observations[taken], self._state, self.envs.masks if self._masked else None)
            middle = perf_counter()
            try:
                stepped = self.envs.step(acted.actions)
            except WorkersFailed as failure:
                self.failure = failure
                break
            end = perf_counter()
            acting += middle - begin
            stepping += end - middle
            observations[taken + 1] = stepped.observations
            actions[taken] = acted.actions
            rewards[taken] = stepped.rewards
            terminated[taken] = stepped.terminated
            truncated[taken] = stepped.truncated
            for name, value in acted.extras.items():
                if name not in extras:
                    extras[name] = np.zeros((rows, *value.shape), value.dtype)
                extras[name][taken] = value
            if acted.state is not None:
                self._state = fresh_where_ended(acted.state, stepped)
            if stepped.lost is not None:
                lost[taken, stepped.lost] = True
                if taken:
                    finals.append((taken - 1, break_off(stepped.lost, observations[taken], truncated[taken - 1],
                                                        terminated[taken - 1], valid[taken - 1])))
            if stepped.final is not None:
                finals.append((taken, stepped.final))
            if stepped.valid is not None:
                valid[taken] = stepped.valid
                clock.step += self._within_budget(valid[taken])
            elif clock.step + n_envs > clock.budget:
                clock.step += self._within_budget(valid[taken])
            else:
                clock.step += n_envs
            taken += 1
        self.seconds["acting"] += acting
        self.seconds["stepping"] += stepping
        self._observations = observations[taken].copy()
        steps = Steps(
            observations[:taken + 1], actions[:taken], rewards[:taken], terminated[:taken], truncated[:taken],
            valid[:taken], *self._side_table(finals), {name: value[:taken] for name, value in extras.items()},
        )
        if self._broken is not None and taken:
            steps.broken_copies, steps.broken_observations = self._broken
            self._broken = None
        episodes = self._episodes(steps, lost[:taken])
        if self.failure is not None:
            self._forget(self.failure.copies)
        return steps, episodes

    def _forget(self, copies: Any) -> None:
        """Forget the unfinished episodes of ``copies`` [k]."""
        self._returns[copies] = self._lengths[copies] = 0
        if self._state is not None:
            self._state = self._state.copy()
            self._state[copies] = 0

    def _within_budget(self, valid: Array) -> int:
        """Mark the steps of one row that exceed the budget; the number left."""
        extra = int(valid.sum()) - (self.clock.budget - self.clock.step)
        if extra > 0:
            valid[np.flatnonzero(valid)[-extra:]] = False
        return int(valid.sum())

    def _side_table(self, finals: list[tuple[int, Final]]) -> tuple[Array, Array, Array]:
        if not finals:
            empty = np.zeros(0, np.int64)
            return empty, empty, zeros(self.envs.observation_space, 0)
        rows = np.concatenate([np.full(len(final.indices), row) for row, final in finals])
        return rows, np.concatenate([final.indices for _, final in finals]), np.concatenate(
            [final.observations for _, final in finals])

    def _episodes(self, steps: Steps, lost: Array) -> list[Episode]:
        """Finished episodes in the order they ended; unfinished ones are carried over, lost ones dropped."""
        begin = np.zeros(self.envs.n_envs, np.int64)
        totals = np.cumsum(np.where(steps.valid, steps.rewards, 0.0), axis=0)
        if len(totals) and not math.isfinite(totals[-1].sum()):
            self._refuse(steps)
        counts = np.cumsum(steps.valid, axis=0)
        before, counted = np.zeros(self.envs.n_envs), begin.copy()
        episodes = []
        ended = (steps.terminated | steps.truncated) & steps.valid
        ended[:-1] &= ~lost[1:]  # those were broken off, not finished
        for row, copy in zip(*np.nonzero(ended | lost), strict=True):
            if not lost[row, copy]:
                episodes.append(Episode(float(self._returns[copy] + totals[row, copy] - before[copy]),
                                        int(self._lengths[copy] + counts[row, copy] - counted[copy])))
            self._returns[copy] = self._lengths[copy] = 0
            before[copy], counted[copy] = totals[row, copy], counts[row, copy]
        if len(totals):
            self._returns += totals[-1] - before
            self._lengths += counts[-1] - counted
        return episodes

    def _refuse(self, steps: Steps) -> None:
        """Raise NonFinite naming the first reward that is not finite, before it is stored or learned from."""
        for row, copy in np.argwhere(steps.valid & ~np.isfinite(steps.rewards)):
            step = self.clock.step - int(steps.valid[row + 1:].sum())
            raise NonFinite(
                f"the reward is not finite ({steps.rewards[row, copy]}) at step {step}, from copy {copy} of the environment "
                f"after the action {steps.actions[row, copy]}; nothing was learned from it. Mend the environment's reward")

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"returns": self._returns.copy(), "lengths": self._lengths.copy(),
                                 "begun": self._observations is not None, "recurrent": self._state,
                                 "broken": None if self._broken is None else self._broken._asdict()}
        if self._observations is not None:
            # Where a worker failed, the other copies have taken a step that came to nothing.
            state.update(envs=self.envs.get_state(), observations=self._observations, interrupted=self.failure is not None)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._returns, self._lengths = state["returns"].copy(), state["lengths"].copy()
        self._state = state["recurrent"]
        broken = state.get("broken")
        self._broken = None if broken is None else Final(**broken)
        if state["begun"]:
            self._observations = self.envs.set_state(state["envs"]).copy()
            dropped = range(self.envs.n_envs) if state.get("interrupted") else getattr(self.envs, "dropped", ())
            copies = np.array(dropped, np.int64)
            self._forget(copies)
            if "observations" in state:  # checkpoints of earlier versions have none
                self._break_off(copies, state["observations"])

    def _break_off(self, copies: Array, seen: Array) -> None:
        """Note, for the next steps, that ``copies`` [k] do not go on from what all had ``seen`` [N, ...] last."""
        noted = [Final(copies, seen[copies])]
        if self._broken is not None:  # and no step has come since
            kept = ~np.isin(copies, self._broken.indices)
            noted = [self._broken, Final(copies[kept], seen[copies[kept]])]
        if any(len(one.indices) for one in noted):
            self._broken = Final(*(np.concatenate(parts) for parts in zip(*noted, strict=True)))


def break_off(lost: Array, observations: Array, truncated: Array, terminated: Array, valid: Array) -> Final:
    """End the episodes of copies that were lost in the step after: mark their last steps [N] as truncated.

    What they saw last becomes their true last observation, from which learning may bootstrap.
    """
    open_ones = lost[(valid & ~terminated & ~truncated)[lost]]
    truncated[open_ones] = True
    return Final(open_ones, observations[open_ones].copy())


def fresh_where_ended(state: Array, stepped: Stepped) -> Array:
    """The recurrent state [N, ...] with zeros where an episode ended or the row was a reset."""
    over = stepped.terminated | stepped.truncated
    if stepped.valid is not None:
        over = over | ~stepped.valid
    if over.any():
        state = state.copy()
        state[over] = 0
    return state
