"""What every model that hears promises, over the registry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolkit.audio.models.base import HeardSpec, strides_of
from toolkit.registry import registry

SMALL: dict[str, dict[str, Any]] = {
    "crnn": {"channels": (4, 6), "time_strides": (2, 1), "hidden_size": 12, "dropout": 0.0},
    "transformer": {"width": 16, "heads": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "subsampling": 2},
    "conformer": {"width": 16, "heads": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "subsampling": 2},
    "tdnn": {"channels": 24, "dilations": (1, 2), "dropout": 0.0},
    "wav2vec2": {"channels": (8, 8), "kernels": (3, 2), "strides": (1, 2), "width": 16, "layers": 1, "heads": 2, "hidden": 32,
                 "position_kernel": 6, "position_groups": 2, "dropout": 0.0, "layer_drop": 0.0}}
MODELS = [entry.name for entry in registry.entries("model", plugins=False)
          if str(entry.target).startswith("toolkit.audio.models.")]
BINS, CLASSES = 12, 5
on_every_model = pytest.mark.parametrize("name", MODELS)
on_both_levels = pytest.mark.parametrize("level", ["clip", "frames"])


def make(name: str, level: Any = "clip") -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = registry.make("model", name, inputs=BINS, outputs=CLASSES, spec=HeardSpec(level), **SMALL.get(name, {}))
    return model


@on_every_model
@on_both_levels
def test_padding_changes_nothing_and_a_batch_equals_its_clips(name: str, level: Any) -> None:
    model = make(name, level).eval()
    clips = [torch.randn(length, BINS) for length in (31, 8, 17, 1)]
    batch = torch.full((4, 40, BINS), 7.0)  # what lies past a clip's length is not silence
    for row, clip in enumerate(clips):
        batch[row, :len(clip)] = clip
    outputs, counts = model(batch, torch.tensor([len(clip) for clip in clips]))
    for row, clip in enumerate(clips):
        alone, count = model(clip.unsqueeze(0))
        assert int(counts[row]) == int(count[0]) >= 1
        got = outputs[row] if level == "clip" else outputs[row, :int(counts[row])]
        torch.testing.assert_close(got, alone[0], atol=1e-4, rtol=1e-4)


@on_every_model
@on_both_levels
def test_every_parameter_is_learned(name: str, level: Any) -> None:
    model = make(name, level)
    outputs, _ = model(torch.randn(3, 20, BINS), torch.tensor([20, 11, 5]))
    outputs.square().sum().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and bool(torch.isfinite(value.grad).all()), parameter


@on_every_model
def test_one_batch_is_learned_by_heart(name: str) -> None:
    """Loss under 0.1 within 300 steps."""
    model = make(name)
    inputs, lengths, targets = torch.randn(8, 20, BINS), torch.arange(13, 21), torch.arange(8) % CLASSES
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    loss = torch.tensor(9.0)
    for _ in range(300):
        loss = F.cross_entropy(model(inputs, lengths)[0], targets)
        if loss.item() < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize(("subsampling", "strides"), [
    (1, [1, 1, 1]), (2, [2, 1, 1]), (4, [2, 2, 1]), (6, [2, 3, 1]), (8, [2, 2, 2])])
def test_subsampling_is_shared_out(subsampling: int, strides: list[int]) -> None:
    assert strides_of(subsampling, 3) == strides


def test_channels_and_strides_must_match() -> None:
    from toolkit.errors import UsageError

    with pytest.raises(UsageError, match="crnn has 1 channels and 3 time_strides"):
        registry.make("model", "crnn", inputs=8, outputs=2, spec=HeardSpec(), channels=(4,))
