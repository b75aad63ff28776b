"""Losses beside torch's, with numbers worked by hand, and never NaN where nothing is valid."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from toolkit.errors import UsageError
from toolkit.registry import registry


def test_cross_entropy_equals_torch_with_weights_and_smoothing() -> None:
    logits, targets, weights = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 1, -100]), torch.rand(4)
    for smoothing in (0.0, 0.1):
        ours = registry.make("loss", "cross-entropy", label_smoothing=smoothing)(logits, targets, class_weights=weights)
        assert torch.allclose(ours, F.cross_entropy(logits, targets, weights, label_smoothing=smoothing), atol=1e-6)


def test_sequences_count_only_valid_positions() -> None:
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 2, -100], [3, -100, -100]])
    ours = registry.make("loss", "cross-entropy")(logits, targets)
    byhand = -(F.log_softmax(logits, -1)[[0, 0, 1], [0, 1, 0], [1, 2, 3]].mean())
    assert torch.allclose(ours, byhand)


@pytest.mark.parametrize("name", ["cross-entropy", "focal"])
def test_without_any_valid_target_the_loss_is_zero(name: str) -> None:
    assert float(registry.make("loss", name)(torch.randn(2, 3), torch.tensor([-100, -100]))) == 0.0


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    assert torch.allclose(registry.make("loss", "focal", gamma=0.0)(logits, targets), F.cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_gradient_where_it_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)  # certain, once rightly and once wrongly
    registry.make("loss", "focal", gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all() and logits.grad[1, 0] < 0


def test_numbers_equal_torch_and_padding_counts_nowhere() -> None:
    outputs, targets = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.allclose(registry.make("loss", "mse")(outputs, targets), F.mse_loss(outputs, targets))
    assert torch.allclose(registry.make("loss", "huber", delta=0.5)(outputs, targets), F.huber_loss(outputs, targets, delta=0.5))
    lengths = torch.tensor([4, 1])
    byhand = torch.cat([outputs[0] - targets[0], outputs[1, :1] - targets[1, :1]]).square().mean()
    assert torch.allclose(registry.make("loss", "mse")(outputs, targets, lengths), byhand)


def test_shapes_that_torch_would_broadcast_are_refused() -> None:
    with pytest.raises(UsageError, match="shape \\[3, 1\\] and targets \\[3\\]"):
        registry.make("loss", "mse")(torch.zeros(3, 1), torch.zeros(3))


def test_ctc_equals_torch_and_needs_lengths() -> None:
    logits, targets = torch.randn(2, 6, 4), torch.tensor([[1, 2, 3], [2, 2, 0]])
    lengths, target_lengths = torch.tensor([6, 5]), torch.tensor([3, 2])
    ours = registry.make("loss", "ctc")(logits, targets, lengths, target_lengths)
    theirs = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, lengths, target_lengths)
    assert torch.allclose(ours, theirs)
    with pytest.raises(UsageError, match="needs the lengths"):
        registry.make("loss", "ctc")(logits, targets)
    impossible = registry.make("loss", "ctc")(torch.zeros(1, 1, 3), torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([2]))
    assert math.isinf(float(impossible))
    assert float(registry.make("loss", "ctc", zero_infinity=True)(
        torch.zeros(1, 1, 3), torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([2]))) == 0.0
