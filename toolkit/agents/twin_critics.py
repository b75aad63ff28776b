"""Two critics Q(s, a), as SAC and TD3 use them (Fujimoto et al., 2018), and passes through both at once.

Letters: B batch, S encoded observation, A action, F features.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import torch
from torch import Tensor, nn

from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.encode import Encoder, Flattened, is_image, leaf_spaces
from toolkit.agents.networks.fast import learning
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.networks.stacked import StackedPath, stacked_path
from toolkit.config import Part
from toolkit.errors import UsageError


class TwinCritics(nn.Module):
    """Two networks over the encoded observation beside the action: inputs [B, S + A] to values [2, B]."""

    def __init__(self, network: Part, observation_space: gymnasium.Space[Any], actions: int) -> None:
        super().__init__()
        self.encoder = Encoder(observation_space)
        space = Flattened(observation_space, actions)
        self.critics = nn.ModuleList(Headed(make_body(network, space), 1) for _ in range(2))

    @property
    def headed(self) -> list[Headed]:
        """The two networks, with their type."""
        return [critic for critic in self.critics if isinstance(critic, Headed)]

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([critic(inputs).squeeze(-1) for critic in self.critics])  # [2, B]

    def path(self, batch_size: int, learns: bool = True) -> CriticsPath:
        """Forward and, where it ``learns``, backward for batches of ``batch_size``: by hand where both bodies allow it."""
        path = stacked_path(self.headed, batch_size)
        return AutogradCritics(self, learns) if path is None else StackedCritics(path)


def require_vectors(agent: str, space: gymnasium.Space[Any]) -> None:
    """Raise UsageError for pictures, which a critic beside an action cannot flatten sensibly."""
    if any(is_image(leaf) for leaf in leaf_spaces(space)):
        raise UsageError(f"{agent} takes vector observations; this environment's are {space}. "
                         "For pictures use ppo with --network nature-cnn")


class CriticsPath(Protocol):
    """Forward gives values [2, B]; backward takes the gradient by them [2, B]."""

    def forward(self, inputs: Tensor) -> Tensor: ...

    def first(self, inputs: Tensor) -> Tensor:
        """Values [1, B] of the first critic alone; `by_last_inputs` then takes a gradient [1, B]."""

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients of the parameters."""

    def by_last_inputs(self, gradient: Tensor, columns: int) -> Tensor:
        """The gradient by the last ``columns`` inputs [B, columns], summed over the critics; parameters are left alone."""


class StackedCritics:
    """Both critics as one batched product a layer."""

    def __init__(self, path: StackedPath) -> None:
        self._path = path

    def forward(self, inputs: Tensor) -> Tensor:
        return self._path.forward(inputs).squeeze(-1)  # [2, B]

    def first(self, inputs: Tensor) -> Tensor:
        return self._path.forward(inputs, copies=1).squeeze(-1)  # [1, B]

    def backward(self, gradient: Tensor) -> None:
        self._path.backward(gradient.unsqueeze(-1))

    def by_last_inputs(self, gradient: Tensor, columns: int) -> Tensor:
        return self._path.by_last_inputs(gradient.unsqueeze(-1), columns).sum(0)


class AutogradCritics:
    """The same by autograd, for bodies without a fast path."""

    def __init__(self, module: TwinCritics, learns: bool) -> None:
        self._module, self._learns = module, learns
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._values: Tensor | None = None
        self._inputs: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if not self._learns:
            with torch.no_grad():
                values: Tensor = self._module(inputs)
            return values
        with torch.enable_grad(), learning(self._module):
            self._inputs = inputs.detach().requires_grad_()
            self._values = self._module(self._inputs)
        return self._values.detach()

    def first(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad(), learning(self._module):
            self._inputs = inputs.detach().requires_grad_()
            self._values = self._module.headed[0](self._inputs).squeeze(-1).unsqueeze(0)
        return self._values.detach()

    def backward(self, gradient: Tensor) -> None:
        if self._values is None:
            raise ValueError("backward was called before forward")
        gradients = torch.autograd.grad(self._values, self._parameters, gradient)
        for parameter, value in zip(self._parameters, gradients, strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(value)

    def by_last_inputs(self, gradient: Tensor, columns: int) -> Tensor:
        if self._values is None or self._inputs is None:
            raise ValueError("by_last_inputs was called before forward")
        return torch.autograd.grad(self._values, self._inputs, gradient)[0][:, -columns:]
