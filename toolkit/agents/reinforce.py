"""``reinforce``: Monte-Carlo policy gradient (Williams, 1992), with or without a learned baseline.

Whole episodes are learned from, a number of them at a time. An episode that is unfinished when
the parameters change goes on and is learned from when it ends; its first steps are then from a
policy at most a few updates old.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from toolkit.agents import returns
from toolkit.agents.base import Array, Steps, Updated
from toolkit.agents.configs import ReinforceConfig
from toolkit.agents.distributions import MASKED
from toolkit.agents.on_policy import OnPolicyAgent
from toolkit.core.optimizers import FlatAdam

FIELDS = ("observations", "actions", "rewards")


class Reinforce(OnPolicyAgent):
    """One gradient step on every ``episodes_per_update`` finished episodes."""

    name = "reinforce"
    config: ReinforceConfig

    def __init__(self, config: ReinforceConfig, *, observation_space: gymnasium.Space[Any], n_envs: int = 1,
                 **context: Any) -> None:
        super().__init__(config, observation_space=observation_space, n_envs=n_envs, **context)
        self.optimizer = FlatAdam(self.flat)
        self._unfinished: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        self._finished: list[dict[str, Any]] = []
        self._path, self._path_size = self.policy.path(1), 1

    @torch.no_grad()
    def update(self, steps: Steps) -> Updated:
        self._sort(steps)
        if len(self._finished) < self.config.episodes_per_update:
            return Updated({})
        episodes, self._finished = self._finished, []
        return Updated(self._learn(episodes))

    # -- episodes

    def _sort(self, steps: Steps) -> None:
        """Cut the rollout into episodes, copy by copy; finished ones go to ``_finished``."""
        finals = {(int(row), int(copy)): observation for row, copy, observation in
                  zip(steps.final_rows, steps.final_copies, steps.final_observations, strict=True)}
        ended = steps.terminated | steps.truncated
        rewards = steps.rewards if self.reward_normalizer is None else self.reward_normalizer(steps)
        if steps.broken_observations is not None:
            for copy, last in zip(steps.broken_copies.tolist(), steps.broken_observations, strict=True):
                if len(self._unfinished[copy].get("rewards", ())):
                    self._finish(copy, last, terminated=False)
        columns = {"observations": steps.observations[:-1], "actions": steps.extras.get("drawn", steps.actions),
                   "rewards": rewards}
        if "masks" in steps.extras:
            columns["masks"] = steps.extras["masks"]
        for copy in range(steps.rewards.shape[1]):
            begin = 0
            if not steps.valid[0, copy] and len(self._unfinished[copy].get("rewards", ())):
                # Lost with its worker in the first step of this rollout: it broke off at the end of the last one.
                self._finish(copy, steps.observations[0, copy], terminated=False)
            for row in np.flatnonzero(ended[:, copy] & steps.valid[:, copy]).tolist():
                self._extend(copy, columns, steps.valid, begin, row + 1)
                last = finals.get((row, copy), steps.observations[row + 1, copy])
                self._finish(copy, last, bool(steps.terminated[row, copy]))
                begin = row + 1
            self._extend(copy, columns, steps.valid, begin, len(steps.rewards))

    def _extend(self, copy: int, columns: dict[str, Array], valid: Array, begin: int, end: int) -> None:
        keep = np.flatnonzero(valid[begin:end, copy]) + begin
        kept = self._unfinished[copy]
        for name, column in columns.items():
            rows = column[keep, copy]
            kept[name] = np.concatenate([kept[name], rows]) if name in kept else rows

    def _finish(self, copy: int, last: Array, terminated: bool) -> None:
        self._finished.append({**self._unfinished[copy], "last": last, "terminated": terminated})
        self._unfinished[copy] = {}

    # -- learning

    def _learn(self, episodes: list[dict[str, Any]]) -> dict[str, float]:
        raw = np.concatenate([episode["observations"] for episode in episodes])  # [B, ...]
        observations = self._tensor(self.sight(raw))
        goals = self._tensor(np.concatenate([self._returns(episode) for episode in episodes]).astype(np.float32))  # [B]
        actions = self._tensor(np.concatenate([episode["actions"] for episode in episodes]))
        outputs, values = self._forward(observations)
        if "masks" in episodes[0]:
            outputs = outputs.masked_fill(~self._tensor(np.concatenate([episode["masks"] for episode in episodes])), MASKED)
        log_std = None if self.policy.log_std is None else self.policy.log_std.detach()
        evaluated = self.distribution.evaluate(outputs, log_std, self.distribution.prepare(actions))
        advantages = goals - values if self.config.baseline else goals
        if self.config.normalize_advantage and len(goals) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        count = len(goals)
        by_outputs, by_log_std = self.distribution.backward(evaluated, advantages / -count, -self.config.ent_coef / count)
        self._path.backward(by_outputs, (values - goals) * (2.0 * self.config.vf_coef / count))
        self.write_log_std_gradient(by_log_std)
        learning_rate = self.learning_rate()
        self.descend(self.optimizer, learning_rate)
        if self.sight.normalizer is not None:
            self.sight.normalizer.update(raw)
        metrics = {"train/policy_loss": -float((advantages * evaluated.log_prob).mean()),
                   "train/entropy_loss": -float(evaluated.entropy.mean()), "train/learning_rate": learning_rate,
                   "train/n_updates": float(self._updates)}
        if self.config.baseline:
            metrics["train/value_loss"] = float((values - goals).square().mean())
        return metrics

    def _returns(self, episode: dict[str, Any]) -> Array:
        """Discounted returns [T]; a truncated episode continues with its last observation's value, where there is a baseline."""
        rewards = episode["rewards"][:, None]  # [T, 1]
        ended = np.zeros_like(rewards, bool)
        ended[-1] = True
        following = np.zeros_like(rewards)
        if self.config.baseline and not episode["terminated"]:
            following[-1] = self.policy.values_of(self.sight(episode["last"][None]))
        return returns.discounted_returns(rewards, ended, self.config.gamma, following)[:, 0]

    def _forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        if len(observations) > self._path_size:
            self._path_size = 1 << (len(observations) - 1).bit_length()
            self._path = self.policy.path(self._path_size)
        return self._path.forward(observations)

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    # -- saving

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "unfinished": self._unfinished, "finished": self._finished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._unfinished, self._finished = list(state["unfinished"]), list(state["finished"])
