"""The collector: steps the environments with the agent and fills time-major arrays."""

from __future__ import annotations

import math
import warnings
from time import perf_counter
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from toolkit.agents.base import Acted, Agent, Array, Steps
from toolkit.agents.checks import NonFinite
from toolkit.core.clock import Clock
from toolkit.envs import packing
from toolkit.envs.base import Final, Stepped, VectorEnv, zeros
from toolkit.envs.masks import heeded
from toolkit.envs.workers import WorkersFailed
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.resolve import having


class Episode(NamedTuple):
    """A finished episode: the sum of its rewards and its number of steps."""

    episode_return: float
    length: int


class Rows:
    """Time-major arrays for ``size`` steps of every environment, filled row by row."""

    def __init__(self, envs: VectorEnv, size: int) -> None:
        shape = (size, envs.n_envs)
        self.space = envs.observation_space
        self.observations = zeros(self.space, size + 1, envs.n_envs)
        self.actions = zeros(envs.action_space, *shape)
        self.rewards = np.zeros(shape)
        self.terminated, self.truncated, self.lost = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
        self.valid = np.ones(shape, bool)
        self.extras: dict[str, Array] = {}
        self.finals: list[tuple[int, Final]] = []
        self.count = 0  # rows that are filled

    def write(self, acted: Acted, stepped: Stepped) -> Array:
        """Fill the next row; which of its steps are valid, [N], as a view."""
        row = self.count
        self.observations[row + 1] = stepped.observations
        self.actions[row] = acted.actions
        self.rewards[row] = stepped.rewards
        self.terminated[row] = stepped.terminated
        self.truncated[row] = stepped.truncated
        for name, value in acted.extras.items():
            if name not in self.extras:
                self.extras[name] = np.zeros((len(self.rewards), *value.shape), value.dtype)
            self.extras[name][row] = value
        if stepped.lost is not None:
            self._lose(row, stepped.lost)
        if stepped.final is not None:
            self.finals.append((row, stepped.final))
        valid: Array = self.valid[row]
        if stepped.valid is not None:
            valid[:] = stepped.valid
        self.count += 1
        return valid

    def _lose(self, row: int, copies: Array) -> None:
        """End the episodes of ``copies`` [k], lost in this row, in the row before."""
        self.lost[row, copies] = True
        if row:
            ended = break_off(copies, self.observations[row], self.truncated[row - 1], self.terminated[row - 1],
                              self.valid[row - 1])
            self.finals.append((row - 1, ended))

    def steps(self) -> Steps:
        """The rows that are filled."""
        count = self.count
        return Steps(
            self.observations[:count + 1], self.actions[:count], self.rewards[:count], self.terminated[:count],
            self.truncated[:count], self.valid[:count], *self._side_table(),
            {name: value[:count] for name, value in self.extras.items()})

    def _side_table(self) -> tuple[Array, Array, Array]:
        """Row, copy and true last observation of every episode that ended and was reset in the same step."""
        if not self.finals:
            empty = np.zeros(0, np.int64)
            return empty, empty, zeros(self.space, 0)
        rows = np.concatenate([np.full(len(final.indices), row) for row, final in self.finals])
        return rows, np.concatenate([final.indices for _, final in self.finals]), np.concatenate(
            [final.observations for _, final in self.finals])


def require_actions(actions: Any, space: gymnasium.Space[Any], count: int) -> None:
    """Raise UsageError for actions that are not [N, ...], one of ``space`` for each copy: the environment would be blamed."""
    wanted, shape = (count, *(space.shape or ())), np.shape(actions)
    if shape != wanted:
        raise UsageError(f"the agent gave actions of shape {shape}, promised: {wanted}, one of {space} for each copy of the "
                         "environment. What else it promises: toolkit check agent NAME")
    for action in actions:
        if not space.contains(np.asarray(action, space.dtype)):
            raise UsageError(f"the agent gave the action {action}, which is not in {space}. What else it promises: toolkit check "
                             "agent NAME")


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
        self._acted = False  # in this process
        self.failure: WorkersFailed | None = None  # why collecting stopped before its time

    def collect(self, rows: int) -> tuple[Steps, list[Episode]]:
        """Take ``rows`` steps of every environment, or fewer when the budget ends before.

        Steps beyond the budget are marked not valid, so that a run takes exactly its budget.
        """
        seen = self._seen()
        filled = Rows(self.envs, rows)
        filled.observations[0] = seen
        while filled.count < rows and self.clock.step < self.clock.budget and self.failure is None:
            acted = self._act(filled.observations[filled.count])
            stepped = self._step(acted)
            if stepped is None:
                break
            self._move_clock(filled.write(acted, stepped), stepped.valid is None)
        return self._finished(filled)

    def _seen(self) -> Array:
        """The observations [N, ...] to act on."""
        if self._observations is None:
            self._observations = self.envs.reset()
            if self.envs.masks is not None and not self._masked:
                able = ", ".join(having(registry.entries("agent"), "action_masking"))
                warnings.warn("the environment says in info['action_mask'] which actions it allows, and this run does not look "
                              f"there. Agents that can, with --action-masking: {able}", stacklevel=2)
        return self._observations

    def _act(self, observations: Array) -> Acted:
        begin = perf_counter()
        # A copy: the environments write their next masks into the same array, and the agent learns from these.
        masks = heeded(self.envs.masks, self.envs.action_space).copy() if self._masked else None
        acted = self.agent.act(observations, self._state, masks)
        if not self._acted:
            require_actions(acted.actions, self.envs.action_space, self.envs.n_envs)
            self._acted = True
        self.seconds["acting"] += perf_counter() - begin
        return acted

    def _step(self, acted: Acted) -> Stepped | None:
        """Step every environment; None where workers failed, which `failure` then says."""
        begin = perf_counter()
        try:
            stepped = self.envs.step(acted.actions)
        except WorkersFailed as failure:
            self.failure = failure
            return None
        self.seconds["stepping"] += perf_counter() - begin
        if acted.state is not None:
            self._state = fresh_where_ended(acted.state, stepped)
        return stepped

    def _move_clock(self, valid: Array, whole: bool) -> None:
        """Count one row's ``valid`` steps [N]; ``whole``: all are, but for those beyond the budget."""
        n_envs, clock = self.envs.n_envs, self.clock
        clock.step += n_envs if whole and clock.step + n_envs <= clock.budget else self._within_budget(valid)

    def _finished(self, filled: Rows) -> tuple[Steps, list[Episode]]:
        """The steps and the episodes that ended in them; what has not ended is carried over."""
        self._require_finite(filled)
        self._observations = filled.observations[filled.count].copy()
        steps = filled.steps()
        if self._broken is not None and filled.count:
            steps.broken_copies, steps.broken_observations = self._broken
            self._broken = None
        episodes = self._episodes(steps, filled.lost[:filled.count])
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

    def _require_finite(self, filled: Rows) -> None:
        """Raise NonFinite naming the first observation that is not finite, before it is stored or learned from."""
        space, count = filled.space, filled.count
        seen = filled.observations[:count + 1]
        if all_finite(space, seen) and all(all_finite(space, final.observations) for _, final in filled.finals):
            return
        faulty = [(row + 1, int(copy)) for row, final in filled.finals
                  for copy, last in zip(final.indices, final.observations, strict=True) if not all_finite(space, last)]
        faulty += [(row, copy) for row, copy in np.ndindex(count + 1, self.envs.n_envs) if not all_finite(space, seen[row, copy])]
        row, copy = min(faulty)
        after = f"after the action {filled.actions[row - 1, copy]}" if row else "after its reset"
        raise NonFinite(f"an observation is not finite at step {self.clock.step - int(filled.valid[row:count].sum())}, from copy "
                        f"{copy} of the environment {after}; nothing was learned from it. Mend the environment's observations")

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


def all_finite(space: gymnasium.Space[Any], observations: Array) -> bool:
    """Whether observations [..., *shape] of ``space`` hold neither NaN nor infinity."""
    if packing.is_packed(space):
        return all(np.isfinite(packing.read(leaf, observations)).all() for leaf in packing.layout(space).leaves
                   if leaf.dtype.kind == "f")
    return observations.dtype.kind != "f" or bool(np.isfinite(observations).all())


def fresh_where_ended(state: Array, stepped: Stepped) -> Array:
    """The recurrent state [N, ...] with zeros where an episode ended or the row was a reset."""
    over = stepped.terminated | stepped.truncated
    if stepped.valid is not None:
        over = over | ~stepped.valid
    if over.any():
        state = state.copy()
        state[over] = 0
    return state
