"""What every model that hears promises, over the registry."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from toolkit.audio.models.base import HeardSpec, strides_of
from toolkit.audio.models.streaming import Streams
from toolkit.registry import registry

SMALL: dict[str, dict[str, Any]] = {
    "crnn": {"channels": (4, 6), "time_strides": (2, 1), "hidden_size": 12, "dropout": 0.0},
    "transformer": {"width": 16, "heads": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "subsampling": 2},
    "conformer": {"width": 16, "heads": 2, "hidden": 32, "layers": 1, "dropout": 0.0, "subsampling": 2},
    "streaming-conformer": {"width": 16, "heads": 2, "hidden": 32, "layers": 2, "dropout": 0.0, "subsampling": 2, "chunk": 3,
                            "left": 1},
    "tdnn": {"channels": 24, "dilations": (1, 2), "dropout": 0.0},
    "wav2vec2": {"channels": (8, 8), "kernels": (3, 2), "strides": (1, 2), "width": 16, "layers": 1, "heads": 2, "hidden": 32,
                 "position_kernel": 6, "position_groups": 2, "dropout": 0.0, "layer_drop": 0.0}}
ENTRIES = [entry for entry in registry.entries("model", plugins=False)
           if str(entry.target).startswith("toolkit.audio.models.")]
MODELS = [entry.name for entry in ENTRIES]
STREAMING = [entry.name for entry in ENTRIES if "stream" not in entry.cannot]
BINS, CLASSES = 12, 5
on_every_model = pytest.mark.parametrize("name", MODELS)
on_every_streaming_model = pytest.mark.parametrize("name", STREAMING)
on_both_levels = pytest.mark.parametrize("level", ["clip", "frames"])


def make(name: str, level: Any = "clip", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = registry.make("model", name, inputs=BINS, outputs=CLASSES, spec=HeardSpec(level),
                                     **{**SMALL.get(name, {}), **options})
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


# -- models that hear sound as it comes: every one that does not say it cannot


def test_which_models_stream_is_declared() -> None:
    assert STREAMING == ["streaming-conformer"]
    for name in MODELS:
        assert isinstance(make(name), Streams) == (name in STREAMING)


def heard(model: Any, pieces: Sequence[torch.Tensor], own: Sequence[torch.Tensor | None] | None = None) -> torch.Tensor:
    """What a stream gives for pieces [B, n, bins]: outputs joined, or the last answer."""
    state, outputs = None, []
    for place, piece in enumerate(pieces):
        found, state = model.step(piece, state, None if own is None else own[place])
        outputs.append(found)
    outputs.append(model.finish(state))
    return outputs[-1] if model.level == "clip" else torch.cat(outputs, 1)


@on_every_streaming_model
@on_both_levels
@settings(max_examples=25)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12), subsampling=st.sampled_from([1, 2, 3, 4]),
       chunk=st.integers(1, 5), left=st.integers(0, 2))
def test_blocks_of_any_size_give_what_the_whole_clip_gives(name: str, level: Any, sizes: list[int], subsampling: int, chunk: int,
                                                           left: int) -> None:
    model = make(name, level, subsampling=subsampling, chunk=chunk, left=left).eval()
    clips = torch.randn(2, sum(sizes), BINS)
    outputs = heard(model, clips.split(sizes, 1))
    if sum(sizes):
        whole = model(clips)[0].detach()
        torch.testing.assert_close(outputs, whole, atol=1e-4, rtol=1e-4)
    else:
        assert outputs.shape == ((2, CLASSES) if level == "clip" else (2, 0, CLASSES))


@on_every_streaming_model
@on_both_levels
def test_streams_of_a_batch_may_end_at_different_times(name: str, level: Any) -> None:
    model: Any = make(name, level).eval()
    clips, lengths, sizes = torch.randn(3, 29, BINS), torch.tensor([29, 7, 16]), [5, 5, 11, 8]
    begins = torch.tensor([0, 5, 10, 21])
    own = [(lengths - begin).clamp(0, size) for begin, size in zip(begins, sizes, strict=True)]
    outputs = heard(model, clips.split(sizes, 1), own)
    for row, length in enumerate(lengths.tolist()):
        alone, counts = model(clips[row:row + 1, :length])
        got = outputs[row] if level == "clip" else outputs[row, :int(counts[0])]
        torch.testing.assert_close(got, alone[0].detach(), atol=1e-4, rtol=1e-4)


@on_every_streaming_model
def test_a_state_stays_as_it_was_and_does_not_grow(name: str) -> None:
    model: Any = make(name, "frames").eval()
    first, second = torch.randn(2, 1, 24, BINS)
    _, state = model.step(first)
    size = numbers_in(state)
    one, after = model.step(second, state)
    again, _ = model.step(second, state)  # gone on from a second time
    assert torch.equal(one, again)
    fresh, _ = model.step(first)  # no state: nothing is remembered
    assert torch.equal(fresh, model.step(first, model.begin(1))[0])
    for _ in range(5):
        _, after = model.step(second, after)
    assert numbers_in(after) == size


def numbers_in(value: Any) -> int:
    """How many numbers a state holds."""
    if isinstance(value, torch.Tensor):
        return value.numel()
    if dataclasses.is_dataclass(value):
        return sum(numbers_in(getattr(value, field.name)) for field in dataclasses.fields(value))
    return sum(map(numbers_in, value)) if isinstance(value, tuple) else 0


def test_a_chunk_is_answered_when_its_last_frame_is_there() -> None:
    """Two frames a position, three positions a chunk: position 2 ends the chunk, and looks at frames 2 to 4 last."""
    model: Any = make("streaming-conformer", "frames").eval()
    frames, state, counts = torch.randn(1, 12, BINS), None, []
    for frame in frames.split(1, 1):
        outputs, state = model.step(frame, state)
        counts.append(outputs.shape[1])
    assert counts == [0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 3, 0]


def test_frames_of_another_shape_are_refused() -> None:
    from toolkit.errors import UsageError

    model: Any = make("streaming-conformer").eval()
    _, state = model.step(torch.zeros(2, 4, BINS))
    with pytest.raises(UsageError, match=r"got frames \[3, 4, 12\]; allowed: \[2, any number, 12\]"):
        model.step(torch.zeros(3, 4, BINS), state)
    with pytest.raises(UsageError, match="heads 3 does not divide width 16"):
        make("streaming-conformer", heads=3)


@pytest.mark.parametrize(("subsampling", "strides"), [
    (1, [1, 1, 1]), (2, [2, 1, 1]), (4, [2, 2, 1]), (6, [2, 3, 1]), (8, [2, 2, 2])])
def test_subsampling_is_shared_out(subsampling: int, strides: list[int]) -> None:
    assert strides_of(subsampling, 3) == strides


def test_channels_and_strides_must_match() -> None:
    from toolkit.errors import UsageError

    with pytest.raises(UsageError, match="crnn has 1 channels and 3 time_strides"):
        registry.make("model", "crnn", inputs=8, outputs=2, spec=HeardSpec(), channels=(4,))
