"""Generalised state-dependent exploration (gSDE; Raffin et al., 2021).

Letters: N environments, B steps in a minibatch, A actions, F features.

The noise on an action is ``features @ (std * normals)``: one matrix [F, A] of normals is kept for
several steps, so that exploration is smooth and the same observation is met with the same noise.
Given the features, the action is normal with variance ``features**2 @ std**2``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.agents.base import ActingFunction, FastPath
from toolkit.agents.distributions import LOG_SQRT_TWO_PI, Evaluated
from toolkit.agents.networks.fast import LinearPath, path_of
from toolkit.agents.networks.mlp import Headed

Array = NDArray[Any]
VARIANCE_EPS = 1e-6


class ExplorationNoise:
    """A matrix of normals for each environment, drawn anew every ``every`` steps."""

    def __init__(self, every: int) -> None:
        self.every, self.count = every, 0
        self.matrices = np.zeros((0, 0, 0), np.float32)  # [N, F, A]

    def draw(self, features: Array, std: Array, generator: np.random.Generator) -> Array:
        """Noise [N, A] for ``features`` [N, F] and deviations ``std`` [F, A]."""
        shape = (len(features), *std.shape)
        if self.count % self.every == 0 or self.matrices.shape != shape:
            self.matrices = generator.standard_normal(shape, dtype=np.float32)
        self.count += 1
        noise: Array = np.matmul(features[:, None], std * self.matrices)[:, 0]  # [N, A]
        return noise

    def state_dict(self) -> dict[str, Any]:
        return {"matrices": self.matrices, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.matrices, self.count = state["matrices"].copy(), state["count"]


class StateDependent:
    """The distribution of Box actions under gSDE. Outputs [.., A + F] are means, then features.

    No gradient flows from the deviation to the features, as in Stable-Baselines3.
    """

    has_log_std = True

    def __init__(self, shape: tuple[int, ...], every: int) -> None:
        self.shape = shape
        self.outputs = int(np.prod(shape))
        self.noise = ExplorationNoise(every)

    def sample(self, outputs: Array, log_std: Array | None, generator: np.random.Generator) -> Array:
        mean, features = outputs[:, :self.outputs], outputs[:, self.outputs:]
        noise = self.noise.draw(features, np.exp(needed(log_std)), generator)
        return (mean + noise).reshape(-1, *self.shape)  # [N, *shape]

    def mode(self, outputs: Array) -> Array:
        return outputs[:, :self.outputs].reshape(-1, *self.shape)  # [N, *shape]

    def prepare(self, actions: Tensor) -> Tensor:
        """Actions side by side, [B, A]."""
        return actions.reshape(len(actions), -1)

    def evaluate(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Evaluated:
        mean, features = outputs[:, :self.outputs], outputs[:, self.outputs:]
        variance_of_each = torch.exp(2.0 * needed(log_std))  # [F, A]
        squares = features.square()
        variance = squares @ variance_of_each + VARIANCE_EPS  # [B, A]
        error = actions - mean
        log_std_of_action = 0.5 * variance.log()
        log_prob = -(0.5 * error.square() / variance + log_std_of_action + LOG_SQRT_TWO_PI).sum(-1)
        return Evaluated(log_prob, (error, variance, squares, variance_of_each),
                         lambda: (log_std_of_action + 0.5 + LOG_SQRT_TWO_PI).sum(-1))

    def backward(self, evaluated: Evaluated, log_prob_weights: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor | None]:
        error, variance, squares, variance_of_each = evaluated.saved
        weights = log_prob_weights.unsqueeze(-1)  # [B, 1]
        by_mean = weights * error / variance
        by_variance = (weights * (error.square() / variance - 1.0) + entropy_weight) / (2.0 * variance)  # [B, A]
        by_log_std = 2.0 * variance_of_each * (squares.t() @ by_variance)  # [F, A]
        return torch.cat([by_mean, torch.zeros_like(squares)], -1), by_log_std


def needed(log_std: Any) -> Any:
    if log_std is None:
        raise ValueError("state-dependent exploration needs a log standard deviation")
    return log_std


class Exposed(Headed):
    """A body and a head whose outputs are followed by the features that they are made from: [B, outputs + F]."""

    def forward(self, observations: Tensor) -> Tensor:
        features = self.body(observations)
        return torch.cat([self.head(features), features], -1)  # [B, outputs + F]

    def fast_path(self, batch_size: int) -> FastPath | None:
        body = path_of(self.body, batch_size)
        return ExposedPath(body, LinearPath(self.head, batch_size))

    def acting(self) -> ActingFunction:
        own = getattr(self.body, "acting", None)
        body = own() if own is not None else None
        if body is None:
            return self._module_acting
        weight, bias = self.head.weight.detach().numpy().T, self.head.bias.detach().numpy()

        def outputs(observations: Array) -> Array:
            features = body(observations)
            return np.concatenate([features @ weight + bias, features], -1)  # [N, outputs + F]

        return outputs


class ExposedPath:
    """The same by hand."""

    def __init__(self, body: FastPath, head: LinearPath) -> None:
        self._body, self._head = body, head

    def forward(self, inputs: Tensor) -> Tensor:
        features = self._body.forward(inputs)
        return torch.cat([self._head.forward(features), features], -1)

    def backward(self, gradient: Tensor) -> Tensor | None:
        width = gradient.shape[1] - self._head.in_features
        by_features = self._head.backward(gradient[:, :width].contiguous())
        if by_features is None:
            return None
        return self._body.backward(by_features.add_(gradient[:, width:]))
