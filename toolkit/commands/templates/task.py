"""A number of each row of a table, of which a chosen share of the rows lies below: quantile regression."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolkit.core.problem import Batch
from toolkit.core.tabular import TabularRegression
from toolkit.errors import UsageError


class Component(TabularRegression):
    """Columns, batches, evaluation and answers are those of ``tabular-regression``; what is made small is not."""

    config: Any

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.loss != type(config)().loss:
            raise UsageError(f"--loss {config.loss.name}: what is made small here is the pinball loss. Leave it out")

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        """The pinball loss (Koenker and Bassett, 1978): least where ``quantile`` of the targets lie below the outputs."""
        assert batch.targets is not None
        above = batch.targets - outputs[:, 0]
        return torch.maximum(self.config.quantile * above, (self.config.quantile - 1) * above).mean()
