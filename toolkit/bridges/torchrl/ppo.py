"""``torchrl-ppo``: TorchRL's clipped loss on TorchRL's advantages.

Letters: T steps, N environments, B valid steps of a rollout.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from toolkit.agents.base import Acted, Array, Cadence, Steps, Updated
from toolkit.agents.distributions import float_bounds, to_dtype
from toolkit.bridges.torchrl.base import TorchRLAgent
from toolkit.config import Part

METRICS = {"loss_objective": "train/policy_gradient_loss", "loss_critic": "train/value_loss", "entropy": "train/entropy",
           "kl_approx": "train/approx_kl", "clip_fraction": "train/clip_fraction"}


class PPOAgent(TorchRLAgent):
    """Policy and value on a network each; continuous actions from a normal through tanh, within their bounds."""

    name, squashes = "torchrl-ppo", True

    def __init__(self, config: Any, **context: Any) -> None:
        super().__init__(config, **context)
        count = config.n_steps * self.n_envs
        self.cadence = Cadence(collect=count, updates=1, batch_size=count)
        self.buffer, self.buffer_size = Part("rollout"), count

    def build(self, observation_space: gymnasium.Space[Any]) -> None:
        config = self.config
        self.actor = self._actor(observation_space)
        self.critic = ValueOperator(self.body(observation_space, 1), in_keys=["observation"])
        self.learned = {"actor": self.actor, "critic": self.critic}
        self.loss = ClipPPOLoss(self.actor, self.critic, clip_epsilon=config.clip_range, entropy_coeff=config.ent_coef,
                                critic_coeff=config.vf_coef, loss_critic_type="l2", normalize_advantage=True)
        self.advantages = GAE(gamma=config.gamma, lmbda=config.gae_lambda, value_network=self.critic)
        self.optimizer = torch.optim.Adam([*self.actor.parameters(), *self.critic.parameters()], config.learning_rate, eps=1e-5)

    def _actor(self, observation_space: gymnasium.Space[Any]) -> ProbabilisticActor:
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            body: nn.Module = self.body(observation_space, int(space.n))
            return ProbabilisticActor(TensorDictModule(body, ["observation"], ["logits"]), in_keys=["logits"],
                                      distribution_class=torch.distributions.Categorical, return_log_prob=True)
        assert isinstance(space, spaces.Box)
        size = int(np.prod(space.shape))
        low, high = (self.tensor(bound.reshape(-1)) for bound in float_bounds(space))
        bounds = {"low": low, "high": high}
        body = nn.Sequential(self.body(observation_space, 2 * size), NormalParamExtractor())
        return ProbabilisticActor(TensorDictModule(body, ["observation"], ["loc", "scale"]), in_keys=["loc", "scale"],
                                  distribution_class=TanhNormal, distribution_kwargs=bounds, return_log_prob=True)

    # -- acting

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        seen = TensorDict({"observation": self.tensor(self.finite(observations))}, batch_size=[len(observations)])
        with torch.no_grad(), self.randomness.drawing():
            distribution = self.actor.get_dist(seen)
            drawn = self._best(distribution) if deterministic else distribution.sample()
            log_probs = distribution.log_prob(drawn)
        actions = self._for_environments(drawn.cpu().numpy())
        return Acted(actions, {} if deterministic else {"drawn": drawn.cpu().numpy(), "log_probs": log_probs.cpu().numpy()})

    def _best(self, distribution: Any) -> Tensor:
        best: Tensor = distribution.logits.argmax(-1) if isinstance(
            self.action_space, spaces.Discrete) else distribution.deterministic_sample
        return best

    def _for_environments(self, drawn: Array) -> Array:
        space = self.action_space
        if isinstance(space, spaces.Box):
            drawn = drawn.reshape(-1, *space.shape).clip(space.low, space.high)
        return to_dtype(drawn + self.first_action if self.first_action else drawn, space.dtype)

    # -- learning

    def update(self, steps: Steps) -> Updated:
        if not steps.count:
            return Updated({})
        rollout = self.prepare(steps)
        metrics: dict[str, float] = {}
        with self.randomness.drawing():
            for _ in range(self.config.n_epochs):
                order = torch.from_numpy(self.generator.permutation(len(rollout)))
                for begin in range(0, len(rollout), self.config.batch_size):
                    metrics = self._minibatch(rollout[order[begin:begin + self.config.batch_size]])
        return Updated({**metrics, "train/learning_rate": self.learning_rate(), "train/n_updates": float(self.updates)})

    def _minibatch(self, part: TensorDict) -> dict[str, float]:
        losses = self.loss(part)
        total = sum(value for name, value in losses.items() if name.startswith("loss_"))
        self.descend(total)
        return {"train/loss": float(total.detach()),
                **{METRICS[name]: float(value.detach().mean()) for name, value in losses.items() if name in METRICS}}

    def prepare(self, steps: Steps) -> TensorDict:
        """The valid steps [B] of a rollout with advantages, from the library's estimator on [N, T]."""
        following = self.finite(steps.observations)[1:].copy()
        following[steps.final_rows, steps.final_copies] = steps.final_observations
        rows, copies = steps.rewards.shape

        def column(array: Array) -> Tensor:
            return self.tensor(np.ascontiguousarray(array.swapaxes(0, 1)))

        flags = {"done": column(steps.terminated | steps.truncated)[..., None], "terminated": column(steps.terminated)[..., None]}
        rollout = TensorDict({
            "observation": column(steps.observations[:-1]), "action": column(steps.extras["drawn"]),
            "action_log_prob": column(steps.extras["log_probs"]),
            "next": TensorDict({"observation": column(following), **flags,
                                "reward": column(steps.rewards.astype(np.float32))[..., None]}, batch_size=[copies, rows]),
        }, batch_size=[copies, rows], names=[None, "time"])
        with torch.no_grad():
            self.advantages(rollout)
        valid = column(steps.valid).flatten()
        flat: TensorDict = rollout.reshape(-1)[valid]
        return flat
