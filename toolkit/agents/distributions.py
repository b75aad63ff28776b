"""Action distributions: sampling in NumPy for acting, log-probabilities and their gradients for learning.

Letters: N environments, B steps in a minibatch, A outputs of the policy head.

Each distribution turns the head's outputs [.., A] (and, for continuous actions, a learned log
standard deviation) into actions. ``backward`` gives, by hand, the gradient of

    sum_b  log_prob_weights[b] * log_prob[b]  +  entropy_weight * entropy[b]

by the outputs, so that a policy's update needs no autograd where its network has a fast path. A
test holds every one equal to autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import UsageError

Array = NDArray[Any]
LOG_SQRT_TWO_PI = 0.5 * math.log(2 * math.pi)
MASKED = -1e8  # logit of an action that is not allowed; its probability is exactly zero in float32


class Evaluated(NamedTuple):
    """``log_prob`` [B] of a minibatch, what `backward` needs again, and how to find the entropy, which few updates ask for."""

    log_prob: Tensor
    saved: Any
    find_entropy: Callable[[], Tensor]

    @property
    def entropy(self) -> Tensor:
        """[B], in nats."""
        return self.find_entropy()


class Distribution(Protocol):
    """Maps head outputs to actions. ``outputs`` is the width A of the head."""

    outputs: int
    has_log_std: bool

    def sample(self, outputs: Array, log_std: Array | None, generator: np.random.Generator) -> Array:
        """Random actions [N, ...] for outputs [N, A]."""

    def mode(self, outputs: Array) -> Array:
        """The most probable actions [N, ...]."""

    def prepare(self, actions: Tensor) -> Tensor:
        """Actions [B, ...] in the form that `evaluate` takes; once for a rollout, which is evaluated many times."""

    def evaluate(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Evaluated:
        """Log-probability and entropy of prepared ``actions`` [B, ...] under outputs [B, A]."""

    def backward(self, evaluated: Evaluated, log_prob_weights: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor | None]:
        """Gradients by the outputs [B, A] and by the log standard deviation [A]."""


def total(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return tensors[0] if len(tensors) == 1 else torch.stack(tuple(tensors)).sum(0)


def _entropy(p: Tensor, log_p: Tensor) -> Tensor:
    return (p * log_p).sum(-1).neg_()


class Categorical:
    """One or several independent choices: Discrete (one of ``sizes[0]``, of shape ()) and MultiDiscrete of any ``shape``.

    The outputs are logits, choice after choice; log-probabilities and entropies add up.
    """

    has_log_std = False

    def __init__(self, sizes: tuple[int, ...], starts: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.sizes, self.shape = sizes, shape
        self.starts = np.array(starts)
        self.outputs = sum(sizes)
        self._cuts = np.cumsum((0, *sizes)).tolist()

    def _pieces(self, outputs: Any) -> list[Any]:
        if len(self.sizes) == 1:
            return [outputs]
        return [outputs[..., begin:end] for begin, end in zip(self._cuts, self._cuts[1:], strict=False)]

    def _join(self, choices: list[Array]) -> Array:
        if not self.shape:
            return choices[0] + self.starts[0]
        joined = np.stack(choices, -1) + self.starts  # [..., choices]
        return joined.reshape(*joined.shape[:-1], *self.shape)

    def sample(self, outputs: Array, log_std: Array | None, generator: np.random.Generator) -> Array:
        # argmax(logits + Gumbel noise) is a draw from softmax(logits).
        noisy = outputs + generator.gumbel(size=outputs.shape)
        return self._join([piece.argmax(-1) for piece in self._pieces(noisy)])

    def mode(self, outputs: Array) -> Array:
        return self._join([piece.argmax(-1) for piece in self._pieces(outputs)])

    def prepare(self, actions: Tensor) -> Tensor:
        """Actions [B, ...] as choices counted from zero, [B, choices]."""
        return actions.reshape(len(actions), -1).long() - torch.as_tensor(self.starts, device=actions.device)

    def evaluate(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Evaluated:
        saved, chosen = [], []
        for position, logits in enumerate(self._pieces(outputs)):
            log_p = torch.log_softmax(logits, -1)  # [B, size]
            index = actions if len(self.sizes) == 1 else actions[:, position:position + 1]  # [B, 1]
            chosen.append(log_p.gather(-1, index).squeeze(-1))
            saved.append((log_p.exp(), log_p, index))
        return Evaluated(total(chosen), saved, lambda: total([_entropy(p, log_p) for p, log_p, _ in saved]))

    def backward(self, evaluated: Evaluated, log_prob_weights: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor | None]:
        weights = log_prob_weights.unsqueeze(-1)  # [B, 1]
        gradients = []
        for p, log_p, index in evaluated.saved:
            gradient = p * -weights  # d log_prob / d logits = onehot - p
            gradient.scatter_add_(-1, index, weights)
            if entropy_weight:
                gradient.addcmul_(p, log_p + _entropy(p, log_p).unsqueeze(-1), value=-entropy_weight)
            gradients.append(gradient)
        return (gradients[0] if len(gradients) == 1 else torch.cat(gradients, -1)), None


class Bernoulli:
    """Independent coins, one for each element of a MultiBinary action; the outputs are logits."""

    has_log_std = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.outputs = int(np.prod(shape))

    def sample(self, outputs: Array, log_std: Array | None, generator: np.random.Generator) -> Array:
        heads = generator.random(outputs.shape) < 1.0 / (1.0 + np.exp(-outputs))
        return heads.astype(np.int8).reshape(-1, *self.shape)  # [N, *shape]

    def mode(self, outputs: Array) -> Array:
        return (outputs > 0).astype(np.int8).reshape(-1, *self.shape)  # [N, *shape]

    def prepare(self, actions: Tensor) -> Tensor:
        """Actions side by side, [B, A]."""
        return actions.reshape(len(actions), -1).float()

    def evaluate(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Evaluated:
        heads = actions  # [B, A]
        p = torch.sigmoid(outputs)
        log_prob = (heads * outputs - torch.nn.functional.softplus(outputs)).sum(-1)
        return Evaluated(log_prob, (p, heads, outputs),
                         lambda: (torch.nn.functional.softplus(outputs) - p * outputs).sum(-1))

    def backward(self, evaluated: Evaluated, log_prob_weights: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor | None]:
        p, heads, outputs = evaluated.saved
        gradient = (heads - p) * log_prob_weights.unsqueeze(-1)
        # d entropy / d logit = -logit * p * (1 - p)
        return gradient.addcmul_(outputs * p, 1.0 - p, value=-entropy_weight), None


class Gaussian:
    """Independent normals for Box actions: the outputs are means, one learned log standard deviation each."""

    has_log_std = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.outputs = int(np.prod(shape))

    def sample(self, outputs: Array, log_std: Array | None, generator: np.random.Generator) -> Array:
        if log_std is None:
            raise ValueError("a Gaussian policy needs a log standard deviation")
        noise = generator.standard_normal(outputs.shape, dtype=np.float32)
        return (outputs + np.exp(log_std) * noise).reshape(-1, *self.shape)  # [N, *shape]

    def mode(self, outputs: Array) -> Array:
        return outputs.reshape(-1, *self.shape)  # [N, *shape]

    def prepare(self, actions: Tensor) -> Tensor:
        """Actions side by side, [B, A]."""
        return actions.reshape(len(actions), -1)

    def evaluate(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Evaluated:
        if log_std is None:
            raise ValueError("a Gaussian policy needs a log standard deviation")
        inverse = torch.exp(-log_std)
        z = (actions - outputs) * inverse  # [B, A]
        log_prob = -0.5 * z.square().sum(-1) - (log_std.sum() + self.outputs * LOG_SQRT_TWO_PI)
        entropy = (log_std.sum() + self.outputs * (0.5 + LOG_SQRT_TWO_PI)).expand(len(outputs))
        return Evaluated(log_prob, (z, inverse), lambda: entropy)

    def backward(self, evaluated: Evaluated, log_prob_weights: Tensor, entropy_weight: float) -> tuple[Tensor, Tensor | None]:
        z, inverse = evaluated.saved
        weights = log_prob_weights.unsqueeze(-1)  # [B, 1]
        by_log_std = ((z.square() - 1.0) * weights).sum(0) + entropy_weight * len(z)  # [A]
        return z * inverse * weights, by_log_std


def float_bounds(space: spaces.Box) -> tuple[Array, Array]:
    """The lowest and the highest actions of a Box as floats: of whole numbers, high - low may be beyond the largest."""
    low, high = (bound.astype(np.result_type(bound, np.float32), copy=False) for bound in (space.low, space.high))
    return low, high


def to_dtype(actions: Array, dtype: Any) -> Array:
    """Continuous actions as ``dtype``: for a Box of whole numbers the nearest ones."""
    nearest = np.rint(actions) if np.issubdtype(dtype, np.integer) else actions
    return nearest.astype(dtype, copy=False)


def distribution_for(space: gymnasium.Space[Any]) -> Categorical | Bernoulli | Gaussian:
    """The distribution whose actions ``space`` holds. Raises UsageError for a space that has none."""
    if isinstance(space, spaces.Discrete):
        return Categorical((int(space.n),), (int(space.start),), ())
    if isinstance(space, spaces.MultiDiscrete):
        return Categorical(tuple(space.nvec.reshape(-1).tolist()), tuple(space.start.reshape(-1).tolist()), space.shape)
    if isinstance(space, spaces.MultiBinary):
        return Bernoulli(space.shape)
    if isinstance(space, spaces.Box):
        return Gaussian(space.shape)
    raise UsageError(f"no action distribution for the space {space}; allowed: Discrete, MultiDiscrete, MultiBinary, Box")
