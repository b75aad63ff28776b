"""``ppo``: proximal policy optimisation with a clipped objective (Schulman et al., 2017).

Details follow "The 37 implementation details of PPO" (Huang et al., 2022) and Stable-Baselines3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toolkit.agents import returns
from toolkit.agents.base import Steps, Updated
from toolkit.agents.configs import PPOConfig
from toolkit.agents.distributions import MASKED, Evaluated
from toolkit.agents.on_policy import OnPolicyAgent, Rollout
from toolkit.core.optimizers import FlatAdam
from toolkit.registry import registry

ADAM_EPS = 1e-5  # not Adam's own 1e-8: detail 3 of the 37
KL_SLACK = 1.5  # updating stops when the estimated divergence exceeds this many times target_kl


class PPO(OnPolicyAgent):
    """Several epochs of minibatches over each rollout, with the probability ratio clipped."""

    name = "ppo"
    config: PPOConfig

    def __init__(self, config: PPOConfig, **context: Any) -> None:
        super().__init__(config, **context)
        self.optimizer = FlatAdam(self.flat, eps=ADAM_EPS)
        self.clip_schedule = registry.make("scheduler", config.clip_range_schedule)
        self.batch_size = min(config.batch_size, self.buffer_size)
        self._path = self._make_path()

    def _make_path(self) -> Any:
        return self.policy.path(self.batch_size)

    @torch.no_grad()
    def update(self, steps: Steps) -> Updated:
        rollout = self.prepare(steps)
        if not len(rollout):
            return Updated({})
        learning_rate, clip = self.learning_rate(), self.config.clip_range * self.clip_schedule(self.clock.fraction)
        old_log_prob = self._log_probabilities(rollout)
        if self._is_one_minibatch(rollout):
            rollout = self._normalized(rollout)
        metrics: dict[str, float] = {}
        for remaining in reversed(range(self.config.n_epochs)):
            stop, metrics = self._epoch(rollout, old_log_prob, learning_rate, clip, measure=remaining == 0)
            if stop:
                break
        variance = returns.explained_variance(rollout.values.cpu().numpy(), rollout.returns.cpu().numpy())
        return Updated({**metrics, "train/explained_variance": variance, "train/learning_rate": learning_rate,
                        "train/clip_range": clip, "train/n_updates": float(self._updates)})

    def _is_one_minibatch(self, rollout: Rollout) -> bool:
        """Whether every epoch is one step on the whole rollout, in its order."""
        return len(rollout) <= self.batch_size

    def _normalized(self, part: Rollout) -> Rollout:
        """The minibatch with advantages of mean zero and deviation one, where the config asks for it."""
        if not self.config.normalize_advantage or len(part) < 2:
            return part
        advantages = part.advantages
        return replace(part, advantages=(advantages - advantages.mean()) / (advantages.std() + 1e-8))

    def _log_probabilities(self, rollout: Rollout) -> Tensor:
        """Log-probabilities [B] of the rollout's actions under the policy that drew them."""
        pieces = []
        for begin in range(0, len(rollout), self.batch_size):
            part = rollout.between(begin, begin + self.batch_size)
            pieces.append(self._evaluate(part)[0].log_prob.clone())
        return torch.cat(pieces)

    def _evaluate(self, part: Rollout) -> tuple[Evaluated, Tensor]:
        outputs, values = self._path.forward(part.observations)
        if part.masks is not None:
            outputs = outputs.masked_fill(~part.masks, MASKED)
        log_std = None if self.policy.log_std is None else self.policy.log_std.detach()
        return self.distribution.evaluate(outputs, log_std, part.actions), values

    def _epoch(self, rollout: Rollout, old_log_prob: Tensor, learning_rate: float, clip: float,
               measure: bool) -> tuple[bool, dict[str, float]]:
        """One pass over the rollout; whether to stop early, and the last minibatch's metrics if asked to ``measure``."""
        if self._is_one_minibatch(rollout):
            return self._minibatch(rollout, old_log_prob, learning_rate, clip, measure)
        size, count = self.batch_size, len(rollout)
        order = torch.from_numpy(self.shuffling.permutation(count)).to(self.device)
        rollout, old_log_prob = rollout.select(order), old_log_prob[order]
        metrics: dict[str, float] = {}
        for begin in range(0, count, size):
            last = measure and begin + size >= count
            part = self._normalized(rollout.between(begin, begin + size))
            stop, metrics = self._minibatch(part, old_log_prob[begin:begin + size], learning_rate, clip, last)
            if stop:
                return True, metrics
        return False, metrics

    def _minibatch(self, part: Rollout, old_log_prob: Tensor, learning_rate: float, clip: float,
                   measure: bool) -> tuple[bool, dict[str, float]]:
        """One gradient step on normalised advantages; ``measure`` asks for metrics."""
        config, count, advantages = self.config, len(part), part.advantages
        evaluated, values = self._evaluate(part)
        log_ratio = evaluated.log_prob - old_log_prob
        ratio = log_ratio.exp()
        gain, clipped = advantages * ratio, advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
        metrics: dict[str, float] = {}
        if measure or config.target_kl is not None:
            metrics = self._measure(part, evaluated, values, log_ratio, ratio, torch.minimum(gain, clipped), clip)
            if config.target_kl is not None and metrics["train/approx_kl"] > KL_SLACK * config.target_kl:
                return True, metrics
        # The clipped branch is flat: only where the ratio itself counts does the gradient flow.
        weights = gain.mul_(gain <= clipped).div_(-count)  # [B]
        by_outputs, by_log_std = self.distribution.backward(evaluated, weights, -config.ent_coef / count)
        self._path.backward(by_outputs, self._value_gradient(part, values))
        self.write_log_std_gradient(by_log_std)
        self.descend(self.optimizer, learning_rate)
        return False, metrics

    def _value_gradient(self, part: Rollout, values: Tensor) -> Tensor:
        """The gradient [B] of ``vf_coef * mean((value - return)**2)``, values optionally clipped."""
        scale = 2.0 * self.config.vf_coef / len(values)
        limit = self.config.clip_range_vf
        if limit is None:
            return (values - part.returns).mul_(scale)
        moved = values - part.values
        inside = moved.abs() < limit
        return (part.values + moved.clamp(-limit, limit) - part.returns).mul_(scale).mul_(inside)

    def _measure(self, part: Rollout, evaluated: Evaluated, values: Tensor, log_ratio: Tensor, ratio: Tensor,
                 objective: Tensor, clip: float) -> dict[str, float]:
        policy_loss = -float(objective.mean())
        value_loss = float((values - part.returns).square().mean())
        entropy = float(evaluated.entropy.mean())
        metrics = {
            "train/loss": policy_loss + self.config.vf_coef * value_loss - self.config.ent_coef * entropy,
            "train/policy_gradient_loss": policy_loss, "train/value_loss": value_loss, "train/entropy_loss": -entropy,
            "train/approx_kl": float((ratio - 1.0 - log_ratio).mean()),
            "train/clip_fraction": float(((ratio - 1.0).abs() > clip).float().mean()),
        }
        if self.policy.log_std is not None:
            metrics["train/std"] = float(self.policy.log_std.exp().mean())
        return metrics


def make(config: PPOConfig, **context: Any) -> PPO:
    """``ppo`` as its config asks for it: with or without memory."""
    if not config.recurrent:
        return PPO(config, **context)
    from toolkit.agents.ppo_recurrent import RecurrentPPO

    return RecurrentPPO(config, **context)
