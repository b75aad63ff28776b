"""What holds for every front end in the registry, whoever declared it."""

from __future__ import annotations

import copy
import functools
import json
import warnings
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signals import noise

from toolkit.audio.base import Frontend
from toolkit.audio.configs import LogMelConfig
from toolkit.audio.frontends.stft import LogMel
from toolkit.audio.spec import FrameSpec
from toolkit.errors import UsageError
from toolkit.registry import registry

ENTRIES = registry.entries("frontend")
NAMES = [entry.name for entry in ENTRIES]
FLAT = [entry.name for entry in ENTRIES if "gradient" in entry.cannot]
STREAMABLE = [entry.name for entry in ENTRIES if "stream" not in entry.cannot]
# Variants of settings that take other paths through the code.
VARIANTS = [(name, {}) for name in NAMES] + [
    ("waveform", {"frame_length": 400, "hop_length": 160, "normalize": True}), ("spectrogram", {"power": 1.0}),
    ("spectrogram", {"padding": "none", "n_fft": 401}), ("mel", {"padding": "same", "power": 1.5}),
    ("log-mel", {"pre_emphasis": 0.97, "log": "db", "top_db": 40.0}), ("log-mel", {"padding": "constant", "hop_length": 500}),
    ("spectrogram", {"hop_length": 900}),
    ("log-mel", {"drop_last": True, "hop_length": 399, "padding": "none"}), ("mfcc", {"lifter": 22.0}),
    ("kaldi-fbank", {"snip_edges": False, "use_energy": True}), ("kaldi-mfcc", {"snip_edges": False, "use_energy": False}),
    ("kaldi-fbank", {"raw_energy": False, "use_energy": True, "power": 1.0}), ("pcen", {"bias": 0.0}), ("chroma", {"norm": "l1"})]
IDS = [name + "".join(f" {key}={value}" for key, value in options.items()) for name, options in VARIANTS]
every = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)


@functools.cache
def made(name: str, items: tuple[tuple[str, Any], ...] = ()) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # presets warn of empty filters; see test_mel
        return registry.make("frontend", name, **dict(items))


def frontend_of(name: str, options: dict[str, Any]) -> Any:
    return made(name, tuple(options.items()))


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = 2e-4) -> None:
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@every
def test_the_promise_of_shapes_and_lengths(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    assert isinstance(frontend, Frontend)
    lengths = torch.tensor([9000, 1, 0, 4321])
    features, frames = frontend(noise(4 * 9000).view(4, 9000), lengths)
    assert frames.tolist() == [frontend.spec.frames(length) for length in lengths.tolist()]
    assert features.shape == (4, frontend.spec.frames(9000), frontend.spec.bins)
    assert features.dtype == torch.float32
    for clip, count in zip(features, frames.tolist()):
        assert not clip[count:].any()
    single, count = frontend(noise(9000))
    assert single.shape == features.shape[1:] and count.tolist() == [len(single)]


@every
def test_a_batch_equals_its_clips_one_by_one(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    clips = noise(3 * 7000, 1).view(3, 7000) * torch.tensor([[1.0], [1e-3], [8.0]])
    lengths = [7000, 5511, 640]
    features, frames = frontend(clips, torch.tensor(lengths))
    for index, (length, count) in enumerate(zip(lengths, frames.tolist())):
        close(features[index, :count], frontend(clips[index, :length])[0])


@every
def test_what_lies_past_a_clip_is_never_read(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    clip, lengths = noise(5000, 2), torch.tensor([3000])
    wild = clip.clone()
    wild[3000:] = float("nan")
    for gradients in (False, True):
        one = frontend(clip[None].requires_grad_(gradients), lengths)[0].detach()
        assert torch.equal(one, frontend(wild[None].clone().requires_grad_(gradients), lengths)[0].detach())


@every
def test_gradients_are_finite_and_the_paths_with_and_without_them_agree(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    clips = torch.stack([noise(3000, 3), torch.zeros(3000), torch.full((3000,), 0.25)])
    lengths = torch.tensor([3000, 2500, 3000])
    tracked = clips.clone().requires_grad_()
    features, _ = frontend(tracked, lengths)
    close(features.detach(), frontend(clips, lengths)[0])
    features.square().mean().backward()
    assert tracked.grad is not None and tracked.grad.isfinite().all()
    assert (tracked.grad[0].abs().sum() > 0) == (name not in FLAT)
    assert not tracked.grad[1, 2500:].any()


@every
def test_double_precision_is_kept(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    clip = noise(6000, 4)
    features, _ = frontend(clip.double())
    assert features.dtype == torch.float64
    close(features.float(), frontend(clip)[0], 1e-3)
    assert frontend(clip.half())[0].dtype == torch.float32


@every
@pytest.mark.parametrize("sound", ["silence", "constant", "full scale", "one sample"])
def test_silence_and_constants_give_finite_values(name: str, options: dict[str, Any], sound: str) -> None:
    clip = {"silence": torch.zeros(4000), "constant": torch.full((4000,), 0.3), "full scale": torch.ones(4000).neg(),
            "one sample": torch.tensor([0.5])}[sound]
    assert frontend_of(name, options)(clip)[0].isfinite().all()


@every
def test_streams_yield_the_offline_frames(name: str, options: dict[str, Any]) -> None:
    frontend = frontend_of(name, options)
    if frontend.whole_clip:
        with pytest.raises(UsageError, match="cannot stream"):
            frontend.stream()
        assert options or name not in STREAMABLE
        return
    assert name in STREAMABLE
    for samples, block in ((9000, 733), (9000, 9000), (3200, 160), (500, 7), (150, 100), (1, 1)):
        clip = noise(samples, samples)
        stream = frontend.stream()
        parts = [stream.push(part) for part in clip.split(block)]
        close(torch.cat([*parts, stream.finish()]), frontend(clip)[0])
    with pytest.raises(UsageError, match="ended"):
        stream.push(noise(3))


@pytest.mark.parametrize("name", ["log-mel", "hifigan-mel", "kaldi-fbank", "pcen", "librosa-mel"])
@given(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_streams_take_blocks_of_any_size(name: str, sizes: list[int]) -> None:
    frontend = made(name)
    clip = noise(sum(sizes), 5)
    stream = frontend.stream()
    parts = [stream.push(part) for part in clip.split(sizes)]
    close(torch.cat([*parts, stream.finish()]), frontend(clip)[0])


def test_a_stream_of_nothing_yields_nothing() -> None:
    stream = made("log-mel").stream()
    assert stream.push(torch.zeros(0)).shape == (0, 80)
    assert stream.finish().shape == (0, 80)


def test_a_stream_keeps_little() -> None:
    stream = made("log-mel").stream()
    for _ in range(50):
        stream.push(noise(1000))
    assert len(stream._kept) < 1500


@pytest.mark.parametrize("name", NAMES)
def test_specs_survive_json(name: str) -> None:
    spec = made(name).spec
    assert FrameSpec.from_json(json.loads(json.dumps(spec.json()))) == spec


@pytest.mark.parametrize("name", NAMES)
def test_front_ends_can_be_copied(name: str) -> None:
    clip = noise(2000)
    assert torch.equal(copy.deepcopy(made(name))(clip)[0], made(name)(clip)[0])


@pytest.mark.parametrize(("waveform", "lengths", "message"), [
    (torch.zeros(2, 3, 4), None, "one clip [T] or clips [B, T]"), (torch.zeros(9, dtype=torch.int16), None, "float in [-1, 1]"),
    (torch.zeros(2, 9), torch.tensor([9]), "2 whole numbers"), (torch.zeros(1, 9), torch.tensor([10]), "between 0 and 9"),
    (torch.zeros(1, 9), torch.tensor([0.5]), "whole numbers"), ([0.0], None, "torch tensor")])
def test_wrong_input_is_explained(waveform: Any, lengths: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        made("log-mel")(waveform, lengths)
    assert message in str(caught.value)


class Raised(LogMel):
    """A stranger's front end: it changes the samples where its class does not."""

    def prepare(self, clips: torch.Tensor, lengths: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
        return 2.0 * clips


def test_what_a_subclass_does_to_the_samples_is_done_to_short_clips_too() -> None:
    clip = noise(16000)
    raised, plain = Raised(LogMelConfig()), LogMel(LogMelConfig())
    torch.testing.assert_close(raised(clip)[0], plain(2.0 * clip)[0])
    torch.testing.assert_close(raised(clip[None], torch.tensor([16000]))[0][0], raised(clip)[0])


def test_short_clips_are_computed_anew_each_time() -> None:
    frontend = registry.make("frontend", "librosa-mfcc")
    first, second = noise(22050, 1), noise(22050, 2)
    kept = frontend(first)[0]
    before = kept.clone()
    frontend(second)
    assert torch.equal(kept, before) and torch.equal(frontend(first)[0], before)
    kept.add_(1.0).requires_grad_()  # it belongs to the caller


@pytest.mark.parametrize("name", ["log-mel", "mfcc", "pcen", "cqt"])
def test_features_keep_their_digits_where_a_model_has_fewer(name: str) -> None:
    clips = noise(32000).view(2, 16000)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(name)(clips)[0]
    assert torch.equal(found, made(name)(clips)[0])
