"""``torchrl-dqn``: TorchRL's DQN loss and target network, on the toolkit's buffers.

Letters: N environments, K minibatches of B transitions.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.modules import QValueActor
from torchrl.objectives import DQNLoss, HardUpdate, SoftUpdate

from toolkit.agents.base import Acted, Array, Batches, Cadence, Updated
from toolkit.agents.q_learning import epsilon_at
from toolkit.bridges.torchrl.base import TorchRLAgent
from toolkit.errors import UsageError
from toolkit.registry import registry


class DQNAgent(TorchRLAgent):
    """Epsilon-greedy; the loss holds the target network and updates it."""

    name = "torchrl-dqn"

    def __init__(self, config: Any, **context: Any) -> None:
        single_steps(config)
        super().__init__(config, **context)
        self.cadence = Cadence(config.train_freq, config.gradient_steps, config.batch_size, config.learning_starts)
        self.buffer, self.buffer_size = config.buffer, config.buffer_size
        self._target_step = 0

    def build(self, observation_space: gymnasium.Space[Any]) -> None:
        config = self.config
        self.n_actions = int(self.action_space.n)  # type: ignore[attr-defined]  # Discrete, as checked
        self.actor = QValueActor(self.body(observation_space, self.n_actions), in_keys=["observation"],
                                 action_space="categorical")
        self.learned = {"online": self.actor}
        self.loss = DQNLoss(self.actor, loss_function=config.loss, delay_value=True, double_dqn=config.double, reduction="mean",
                            action_space="categorical")
        self.loss.make_value_estimator(gamma=config.gamma)
        # A whole copy is the library's hard update, one a step of it; how often is for `_update_target` to say.
        self.target = (HardUpdate(self.loss, value_network_update_interval=1) if config.tau == 1
                       else SoftUpdate(self.loss, tau=config.tau))
        self.optimizer = torch.optim.Adam(self.actor.parameters(), config.learning_rate)

    # -- acting

    @property
    def epsilon(self) -> float:
        """The chance of a random action at this step of the run."""
        return epsilon_at(self.config, self.clock.fraction)

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        with torch.no_grad():
            greedy = self.actor(TensorDict({"observation": self.tensor(observations)}, batch_size=[len(observations)]))["action"]
        actions: Array = greedy.cpu().numpy()
        if not deterministic:
            epsilon = 1.0 if self.clock.step < self.config.learning_starts else self.epsilon
            explore = self.generator.random(len(actions)) < epsilon
            actions = np.where(explore, self.generator.integers(self.n_actions, size=len(actions)), actions)
        return Acted(actions + self.first_action)

    # -- learning

    def update(self, batches: Batches) -> Updated:
        self._update_target()
        losses, errors = [], np.empty(batches.rewards.shape, np.float32)
        with self.randomness.drawing():
            for k in range(batches.count):
                batch = self._batch(batches, k)
                loss = self.loss(batch)["loss"]
                self.descend(loss)
                losses.append(float(loss.detach()))
                errors[k] = batch["td_error"].detach().flatten().cpu().numpy()
        return Updated({"train/loss": float(np.mean(losses)), "train/learning_rate": self.learning_rate(),
                        "train/n_updates": float(self.updates), "rollout/exploration_rate": self.epsilon}, np.abs(errors))

    def _batch(self, batches: Batches, k: int) -> TensorDict:
        def column(array: Array) -> Tensor:
            return self.tensor(array)[:, None]

        count = batches.rewards.shape[1]
        weights = {} if batches.weights is None else {"priority_weight": self.tensor(batches.weights[k])}
        following = TensorDict({
            "observation": self.tensor(batches.next_observations[k]), "reward": column(batches.rewards[k]),
            "done": column(batches.terminated[k]), "terminated": column(batches.terminated[k])}, batch_size=[count])
        return TensorDict({"observation": self.tensor(batches.observations[k]), "next": following, **weights,
                           "action": self.tensor(batches.actions[k] - self.first_action)}, batch_size=[count])

    def _update_target(self) -> None:
        """Once for each multiple of the interval that the run has crossed."""
        interval = self.config.target_update_interval
        for _ in range(self.clock.step // interval - self._target_step // interval):
            self.target.step()
        self._target_step = self.clock.step

    # -- saving

    def state_dict(self) -> dict[str, Any]:
        target = {str(index): value.detach() for index, value in enumerate(self._target_values())}
        return {**super().state_dict(), "target": target, "target_step": self._target_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for index, value in enumerate(self._target_values()):
            value.data.copy_(state["target"][str(index)])
        self._target_step = state["target_step"]

    def initialise(self, state: dict[str, Any]) -> None:
        super().initialise(state)
        for mine, theirs in zip(self._target_values(), self.actor.parameters(), strict=True):
            mine.data.copy_(theirs)

    def _target_values(self) -> list[Tensor]:
        return list(self.loss.target_value_network_params.flatten_keys().values())


def single_steps(config: Any) -> None:
    """Raise UsageError for a buffer that sums several rewards: the library's loss has one discount for all."""
    part = config.buffer
    fields = {item.name: item.default for item in registry.get("buffer", part.name).settings}
    if part.options.get("n_step", fields.get("n_step", 1)) > 1:
        raise UsageError(f"torchrl-dqn learns from single steps; the buffer {part.name} sums several rewards. Choose another: "
                         "--buffer torchrl, uniform or prioritized, without --buffer.n-step")
