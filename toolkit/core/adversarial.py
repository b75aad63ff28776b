"""What a problem adds that is learned against critics; `toolkit.training.adversarial` drives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic

from torch import Tensor, nn

from toolkit.core.problem import Batch, Config, Problem


class AdversarialProblem(Problem[Config], Generic[Config]):
    """A problem with critics that tell its model's outputs from real ones.

    `loss` is the reconstruction's alone; it is all that is learned from while `warming_up`.
    """

    driver = "toolkit.training.adversarial:AdversarialTask"

    def build_critics(self) -> nn.Module:
        """The critics, freshly initialised from torch's default generator."""
        raise NotImplementedError

    def warming_up(self, step: int) -> bool:
        """Whether the critics are still left out at position ``step`` (units)."""
        return False

    def critics_loss(self, critics: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:
        """The critics' scalar; ``outputs`` carry no gradient."""
        raise NotImplementedError

    def adversarial_loss(self, critics: nn.Module, outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """What the critics add to the model's loss, by name, each already weighted."""
        raise NotImplementedError
