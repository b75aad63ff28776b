"""AdversarialTask: the supervised task with critics, their own optimizer, and both steps in one `advance`."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.agents.checks import NonFinite
from toolkit.core.adversarial import AdversarialProblem
from toolkit.core.clock import Clock
from toolkit.core.problem import Batch, Encoded, run_model
from toolkit.core.seeding import Streams
from toolkit.core.state import Saveable
from toolkit.core.torch_optimizers import OptimizerState, make_optimizer, set_learning_rate
from toolkit.errors import UsageError
from toolkit.training.supervised import ModuleState, Stop, SupervisedTask, autocast
from toolkit.training.tasks import Report


class AdversarialTask(SupervisedTask):
    """One batch: the critics learn to tell outputs from real ones, then the model learns to deceive them."""

    problem: AdversarialProblem[Any]

    def __init__(self, problem: AdversarialProblem[Any], model: nn.Module, splits: Mapping[str, Encoded], clock: Clock,
                 streams: Streams, device: torch.device) -> None:
        super().__init__(problem, model, splits, clock, streams, device)
        if self.config.accumulate != 1:
            raise UsageError(f"--accumulate {self.config.accumulate}: adversarial tasks step once a batch; allowed: 1")
        torch.manual_seed(streams.seed("critics"))
        self.critics = problem.build_critics().to(device)
        self._judging = list(self.critics.parameters())
        self.critics_optimizer = make_optimizer(self.config.optimizer, self._judging, self.config.learning_rate)

    def advance(self, should_stop: Stop = bool) -> Report:
        if not self.clock.remaining:
            return Report(0, {})  # stopped early by the evaluation just before
        rate = self.config.learning_rate * self._factor()
        for optimizer in (self.optimizer, self.critics_optimizer):
            set_learning_rate(optimizer, rate)
        self.problem.schedule(self.model, self.clock.fraction)
        batch, units = self._next()
        begin = perf_counter()
        metrics = self._learn(batch)
        self._seconds["training"] += perf_counter() - begin
        self.clock.step += units
        return Report(units, {**metrics, "train/learning_rate": rate})

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Both steps; the losses by name."""
        with autocast(self.config.precision, self.device):
            outputs, lengths, batch = run_model(self.problem, self.model, batch)
        losses: dict[str, Tensor] = {}
        if not self.problem.warming_up(self.clock.step):
            losses["critics"] = self._teach_critics(outputs.detach(), batch)
        self.critics.requires_grad_(False)
        with autocast(self.config.precision, self.device):
            parts = {"reconstruction": self.problem.loss(outputs, lengths, batch)}
            if losses:
                parts.update(self.problem.adversarial_loss(self.critics, outputs, batch))
        total = torch.stack(list(parts.values())).sum()
        self._check(total, "the model's loss")
        total.backward()  # type: ignore[no-untyped-call]
        self.critics.requires_grad_(True)
        norm = self._step()
        values = {f"train/{name}_loss": float(value.detach()) for name, value in {**losses, **parts}.items()}
        return {"train/loss": float(total.detach()), **values, "train/grad_norm": norm}

    def _teach_critics(self, outputs: Tensor, batch: Batch) -> Tensor:
        with autocast(self.config.precision, self.device):
            loss = self.problem.critics_loss(self.critics, outputs, batch)
        self._check(loss, "the critics' loss")
        loss.backward()  # type: ignore[no-untyped-call]
        self.critics_optimizer.step()
        self.critics_optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _check(self, loss: Tensor, owner: str) -> None:
        if not bool(torch.isfinite(loss)):
            raise NonFinite(f"{owner} is {float(loss)} at step {self.clock.step}; nothing was learned from this batch. "
                            "Try a smaller --learning-rate")

    def parts(self) -> Mapping[str, Saveable]:
        return {**super().parts(), "critics": ModuleState(self.critics),
                "critics_optimizer": OptimizerState(self.critics_optimizer)}

    def parameters(self) -> Mapping[str, Tensor]:
        judging = {f"critics.{name}": value.detach() for name, value in self.critics.named_parameters()}
        return {**super().parameters(), **judging}
