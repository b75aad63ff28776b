"""Losses: outputs and targets to one number, averaged over what is valid.

All take ``loss(outputs, targets, lengths, target_lengths, class_weights)``; those that have no use
for lengths or weights say so. Targets of class losses that are `IGNORED` count nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.core.configs import CrossEntropyConfig, CTCConfig, FocalConfig, HuberConfig
from toolkit.errors import UsageError

IGNORED = -100  # torch's own mark for a target that counts nowhere


class CrossEntropy(nn.Module):
    """Mean negative log-probability of the right class, in nats.

    outputs [B, C] or [B, T, C] logits; targets [B] or [B, T] int64 in [0, C), or -100 to be left out.
    ``class_weights`` [C] make a weighted mean. Raises RuntimeError (torch) for shapes that do not fit.
    Without any valid target it is 0 and not NaN. Source: Bishop (2006), section 4.3.4; label smoothing
    as in Szegedy et al. (2016), section 7.

    >>> round(float(CrossEntropy(CrossEntropyConfig())(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))), 4)
    0.6931
    """

    def __init__(self, config: CrossEntropyConfig) -> None:
        super().__init__()
        self.smoothing = config.label_smoothing

    def forward(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None, target_lengths: Tensor | None = None,
                class_weights: Tensor | None = None) -> Tensor:
        flat, wanted = outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1)  # [N, C], [N]
        total = F.cross_entropy(flat, wanted, class_weights, ignore_index=IGNORED, reduction="sum",
                                label_smoothing=self.smoothing)
        valid = wanted != IGNORED
        weight = valid.sum() if class_weights is None else (class_weights[wanted.clamp(min=0)] * valid).sum()
        return total / weight.clamp(min=1e-12)


class Focal(nn.Module):
    """Cross-entropy in which each example counts ``(1 - p) ** gamma``, p being its class's probability.

    Shapes as in `CrossEntropy`; nats. Raises RuntimeError (torch) for shapes that
    do not fit. Source: Lin et al. (2017), "Focal loss", equation 4.

    >>> loss = Focal(FocalConfig(gamma=2.0))
    >>> round(float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))), 4)  # 0.5 ** 2 * 0.6931
    0.1733
    """

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        self.gamma = config.gamma

    def forward(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None, target_lengths: Tensor | None = None,
                class_weights: Tensor | None = None) -> Tensor:
        flat, wanted = outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1)  # [N, C], [N]
        valid = wanted != IGNORED
        chosen = F.log_softmax(flat, -1).gather(1, wanted.clamp(min=0)[:, None])[:, 0]  # [N]
        weight = valid.to(chosen.dtype)
        if class_weights is not None:
            weight = weight * class_weights[wanted.clamp(min=0)]
        # At probability 1 the slope of a root is infinite, and its product with the loss of 0 no number.
        missed = (-torch.expm1(chosen)).clamp(min=torch.finfo(chosen.dtype).tiny)
        each = -(missed ** self.gamma) * chosen
        return (each * weight).sum() / weight.sum().clamp(min=1e-12)


class Elementwise(nn.Module):
    """The mean of what each number costs; a subclass says in `each` what that is.

    outputs and targets of one shape; sequences [B, T, ...] are averaged over valid positions when
    ``lengths`` [B] are given. Raises UsageError when the shapes differ: torch would broadcast them.
    """

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cost of each number, of the shape of both."""
        raise NotImplementedError

    def forward(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None, target_lengths: Tensor | None = None,
                class_weights: Tensor | None = None) -> Tensor:
        check_same_shape(outputs, targets)
        return masked_mean(self.each(outputs, targets), lengths)


class MSE(Elementwise):
    """Mean squared error, in the target's unit squared. Shapes as in `Elementwise`.

    Raises UsageError when the shapes differ. Source: Gauss (1809); Bishop (2006), equation 1.2, without its half.

    >>> float(MSE()(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])))
    2.0
    """

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets) ** 2


class L1(Elementwise):
    """Mean absolute error, in the target's unit. Shapes as in `Elementwise`.

    Raises UsageError when the shapes differ. Its optimum is the median. Source: Laplace (1774); Bishop (2006),
    equation 1.91 with q = 1.

    >>> float(L1()(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])))
    1.0
    """

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs()


class Huber(Elementwise):
    """Half the squared error up to ``delta``, then a line: outliers pull less. Shapes as in `Elementwise`.

    In the target's unit, squared where it is small. Raises UsageError when the shapes differ.
    Source: Huber (1964), "Robust estimation of a location parameter".

    >>> float(Huber(HuberConfig(delta=1.0))(torch.tensor([3.0]), torch.tensor([0.0])))  # 1 * (3 - 0.5)
    2.5
    """

    def __init__(self, config: HuberConfig) -> None:
        super().__init__()
        self.delta = config.delta

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.huber_loss(outputs, targets, reduction="none", delta=self.delta)


class CTC(nn.Module):
    """Connectionist temporal classification: the negative log-probability of all alignments, in nats.

    outputs [B, T, C] logits, targets [B, S] int64 without blanks, lengths [B] frames, target_lengths [B].
    Each clip's loss is divided by its target's length (at least 1), and the mean is over clips, as in
    torch's ``reduction="mean"``. A target that does not fit its input is infinite, or 0 with
    ``zero_infinity``. Raises UsageError without lengths. Source: Graves et al. (2006), equation 5.

    >>> loss = CTC(CTCConfig())
    >>> one = torch.tensor([1])
    >>> round(float(loss(torch.zeros(1, 1, 2), torch.tensor([[1]]), one, one)), 4)  # one frame, two classes
    0.6931
    """

    def __init__(self, config: CTCConfig) -> None:
        super().__init__()
        self.blank, self.zero_infinity = config.blank, config.zero_infinity

    def forward(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None, target_lengths: Tensor | None = None,
                class_weights: Tensor | None = None) -> Tensor:
        if lengths is None or target_lengths is None:
            raise UsageError("the CTC loss needs the lengths of its inputs and of its targets")
        logs = F.log_softmax(outputs.float(), -1).transpose(0, 1)  # [T, B, C]
        # The gradient that a GPU gives adds up in any order: where torch was told to repeat, the CPU aligns.
        place = torch.device("cpu") if torch.are_deterministic_algorithms_enabled() else logs.device
        loss = F.ctc_loss(logs.to(place), targets.to(place), lengths.to(place, torch.long), target_lengths.to(place, torch.long),
                          self.blank, "mean", self.zero_infinity)
        return loss.to(outputs.device)


def check_same_shape(outputs: Tensor, targets: Tensor) -> None:
    if outputs.shape != targets.shape:
        raise UsageError(f"outputs have shape {list(outputs.shape)} and targets {list(targets.shape)}; allowed: the same")


def masked_mean(each: Tensor, lengths: Tensor | None) -> Tensor:
    """The mean of ``each`` [B, T, ...] over positions before ``lengths`` [B], or of all without them."""
    if lengths is None:
        return each.mean()
    positions = torch.arange(each.shape[1], device=each.device)  # [T]
    valid = (positions < lengths[:, None]).reshape(*each.shape[:2], *(1 for _ in each.shape[2:]))  # [B, T, 1...]
    return (each * valid).sum() / valid.expand_as(each).sum().clamp(min=1)
