"""``ppo --recurrent``: a policy with an LSTM between body and heads.

Letters: T steps, N environments, n environments of a minibatch, B valid steps, H units, A outputs.

A minibatch is sequences of some environments, from the rollout's first state, with the state set to
zero wherever an episode began inside (Huang et al., 2022, details of recurrent PPO). Rollouts longer than
``batch_size`` are cut into pieces of at most so many steps, each from the state that it was acted with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents import returns
from toolkit.agents.base import Acted, Array, Steps
from toolkit.agents.configs import PPOConfig
from toolkit.agents.distributions import Distribution
from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.fast import learning
from toolkit.agents.on_policy import Rollout
from toolkit.agents.policy import HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN, orthogonal
from toolkit.agents.ppo import PPO


class RecurrentActorCritic(nn.Module):
    """Body, LSTM, and two heads. The state [N, 2H] is the LSTM's output beside its cell."""

    def __init__(self, config: PPOConfig, observation_space: gymnasium.Space[Any], distribution: Distribution) -> None:
        super().__init__()
        self.body = make_body(config.network, observation_space)
        self.units = config.lstm_hidden_size
        self.memory = nn.LSTMCell(int(getattr(self.body, "features")), self.units)  # noqa: B009 (a Module's attributes have no type)
        self.actor, self.critic = nn.Linear(self.units, distribution.outputs), nn.Linear(self.units, 1)
        self.log_std = None
        if distribution.has_log_std:
            self.log_std = nn.Parameter(torch.full((distribution.outputs,), config.log_std_init))
        if config.orthogonal_init:
            for module in self.body.modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    orthogonal(module, HIDDEN_GAIN)
            orthogonal(self.actor, POLICY_GAIN)
            orthogonal(self.critic, VALUE_GAIN)

    def step(self, features: Tensor, state: Tensor) -> Tensor:
        """The next state [n, 2H] from features [n, F] and the state [n, 2H]."""
        output, cell = self.memory(features, state.split(self.units, -1))
        return torch.cat([output, cell], -1)

    def sequence(self, observations: Tensor, state: Tensor, begins: Tensor) -> Tensor:
        """States [T, n, 2H] after each of T observations [T, n, ...]; zero before rows where an episode ``begins`` [T, n]."""
        features = self.body(observations.flatten(0, 1)).unflatten(0, observations.shape[:2])  # [T, n, F]
        states = []
        keep = (~begins).float().unsqueeze(-1)  # [T, n, 1]
        for t in range(len(features)):
            state = self.step(features[t], state * keep[t])
            states.append(state)
        return torch.stack(states)

    def heads(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Policy outputs [..., A] and values [...] of states [..., 2H]."""
        output = states[..., :self.units]
        return self.actor(output), self.critic(output).squeeze(-1)


@dataclass
class Sequences:
    """The rollout as sequences, before it is flattened."""

    observations: Tensor  # [T, N, ...]
    state: Tensor  # [N, 2H] before the first row
    begins: Tensor  # [T, N]
    valid: Tensor  # [T, N]

    def cut(self, length: int, states: Tensor) -> Sequences:
        """Pieces [length, K N] of ``length`` rows, the last filled up with rows that are not valid.

        ``states`` [T, N, 2H] are those after each row, of which a piece begins with that before it.
        """
        pieces = -(-len(self.valid) // length)
        firsts = torch.cat([self.state[None], states[length - 1:(pieces - 1) * length:length]])  # [K, N, 2H]
        return Sequences(in_pieces(self.observations, length, pieces), firsts.flatten(0, 1),
                         in_pieces(self.begins, length, pieces), in_pieces(self.valid, length, pieces))


def in_pieces(rows: Tensor, length: int, pieces: int) -> Tensor:
    """Rows [T, N, ...] as ``pieces`` side by side, [length, K N, ...]; zeros where there are no more."""
    filled = torch.cat([rows, rows.new_zeros(pieces * length - len(rows), *rows.shape[1:])])
    return filled.unflatten(0, (pieces, length)).transpose(0, 1).flatten(1, 2)


class RecurrentPath:
    """Forward over whole sequences of chosen environments, backward through time by autograd."""

    def __init__(self, policy: RecurrentActorCritic) -> None:
        self._policy = policy
        self._gradients = [p.grad for p in policy.parameters() if p.grad is not None]
        self._both: Tensor | None = None
        self.sequences: Sequences | None = None

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, A] and values [B] at the valid steps of ``sequences``; ``observations`` are those already there."""
        found = self.sequences
        if found is None:
            raise ValueError("the sequences of the minibatch must be set before forward")
        with torch.enable_grad(), learning(self._policy):
            states = self._policy.sequence(found.observations, found.state, found.begins)
            outputs, values = self._policy.heads(states[found.valid])
            self._both = torch.cat([outputs, values.unsqueeze(-1)], -1)  # [B, A + 1]
        return outputs.detach(), values.detach()

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None:
        if self._both is None:
            raise ValueError("backward was called before forward")
        torch._foreach_zero_(self._gradients)
        self._both.backward(torch.cat([by_outputs, by_values.unsqueeze(-1)], -1))
        self._both = None


class RecurrentPPO(PPO):
    """PPO whose minibatches are sequences."""

    policy: Any
    _path: Any

    def _make_policy(self, observation_space: gymnasium.Space[Any]) -> Any:
        return RecurrentActorCritic(self.config, observation_space, self.distribution).to(self.device)

    def _make_path(self) -> Any:
        return RecurrentPath(self.policy)

    # -- acting

    @torch.no_grad()
    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        observations = self.sight(observations)
        if state is None:
            state = np.zeros((len(observations), 2 * self.policy.units), np.float32)
        features = self.policy.body(torch.from_numpy(np.ascontiguousarray(observations)).to(self.device))
        after = self.policy.step(features, torch.from_numpy(state).to(self.device))
        outputs = self.policy.heads(after)[0].cpu().numpy()
        acted = self.choose(outputs, mask, deterministic)
        return Acted(acted.actions, {**acted.extras, "states": state}, after.cpu().numpy())

    # -- preparing a rollout

    @torch.no_grad()
    def prepare(self, steps: Steps) -> Rollout:
        raw, finals = steps.observations, steps.final_observations
        observations = self._tensor(self.sight(raw))  # [T + 1, N, ...]
        begins = np.zeros((len(raw), raw.shape[1]), bool)
        # Where a copy resets in the step after its end, the row after the end still shows that episode's last observation,
        # which is valued with its memory; the side table holds the ends that were reset at once.
        begins[1:] = ~steps.valid
        begins[steps.final_rows + 1, steps.final_copies] = True
        state = self._tensor(steps.extras["states"][0])  # [N, 2H]
        states = self.policy.sequence(observations, state, self._tensor(begins))  # [T + 1, N, 2H]
        values = self.policy.heads(states)[1].cpu().numpy()
        at_end = np.zeros(0, np.float32)
        if len(finals):
            features = self.policy.body(self._tensor(self.sight(finals)))
            before = states[steps.final_rows, steps.final_copies]
            at_end = self.policy.heads(self.policy.step(features, before))[1].cpu().numpy()
        following = returns.next_values(values, steps.final_rows, steps.final_copies, at_end)
        rewards = steps.rewards if self.reward_normalizer is None else self.reward_normalizer(steps)
        advantages = returns.generalized_advantages(rewards.astype(np.float32), values[:-1], following, steps.terminated,
                                                    steps.truncated, self.config.gamma, self.config.gae_lambda)
        self._sequences = Sequences(observations[:-1], state, self._tensor(begins[:-1]), self._tensor(steps.valid))
        pieces = -(-len(steps.valid) // self.batch_size)
        self._pieces = self._sequences.cut(-(-len(steps.valid) // pieces), states)
        self.sight.take_in(steps)
        flat = raw[:-1].reshape(-1, *raw.shape[2:])
        return self._flatten(steps, flat, advantages, values[:-1])

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    # -- updating

    def _is_one_minibatch(self, rollout: Rollout) -> bool:
        return False  # minibatches are cut by environments

    def _log_probabilities(self, rollout: Rollout) -> Tensor:
        self._path.sequences = self._sequences
        return self._evaluate(rollout)[0].log_prob.clone()

    def _epoch(self, rollout: Rollout, old_log_prob: Tensor, learning_rate: float, clip: float,
               measure: bool) -> tuple[bool, dict[str, float]]:
        """One pass over the pieces of sequences in random groups of about ``batch_size`` steps each."""
        whole, found = self._sequences.valid, self._pieces
        length, copies = found.valid.shape
        groups = min(copies, max(1, whole.numel() // self.batch_size))
        number = torch.full(whole.shape, -1, dtype=torch.long, device=self.device)
        number[whole] = torch.arange(len(rollout), device=self.device)  # the flat index of each valid step
        number = in_pieces(number, length, copies // whole.shape[1])
        metrics: dict[str, float] = {}
        for group in np.array_split(self.shuffling.permutation(copies), groups):
            chosen = torch.from_numpy(np.sort(group)).to(self.device)
            self._path.sequences = Sequences(found.observations[:, chosen], found.state[chosen], found.begins[:, chosen],
                                             found.valid[:, chosen])
            index = number[:, chosen][found.valid[:, chosen]]  # [B], time-major like the path's outputs
            if not len(index):
                continue  # none of its steps is valid
            part = self._normalized(rollout.select(index))
            stop, metrics = self._minibatch(part, old_log_prob[index], learning_rate, clip, measure)
            if stop:
                return True, metrics
        return False, metrics
