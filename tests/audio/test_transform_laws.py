"""What holds for every transform in the registry, whoever declared it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from signals import noise, speech_like

from toolkit.audio.base import Transform
from toolkit.audio.transforms.blocks import Sound
from toolkit.audio.transforms.denoise import Denoise
from toolkit.errors import UsageError
from toolkit.registry import registry

ENTRIES = registry.entries("transform")
NAMES = [entry.name for entry in ENTRIES]
VARIANTS = [(name, {}) for name in NAMES] + [
    ("normalize", {"measure": "loudness"}), ("normalize", {"measure": "rms"}), ("clipping", {"soft": True}),
    ("vad", {"action": "mute"}), ("noise", {"colour": "pink", "snr": (0.0,)}), ("reverb", {"tail": True}),
    ("crop", {"seconds": 0.2}), ("speed", {"probability": 0.5}), ("codec", {"codecs": ("mu-law", "a-law", "gsm", "adpcm")}),
    ("wiener", {"adaptive": True}), ("spectral-gate", {"adaptive": True}),
    ("time-mask", {"fill": "zero", "share": 0.2}), ("frequency-mask", {"fill": "min"})]
every = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda value: str(value) if value else "")
ALONE = [(name, options) for name, options in VARIANTS if "one by one" not in registry.get("transform", name).cannot]


def made(name: str, options: dict[str, Any]) -> Any:
    return registry.make("transform", name, **options)


def batch_for(transform: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clips of different lengths (the second empty), of samples or of frames; wild values behind their ends."""
    if getattr(transform, "domain", "waveform") == "features":
        values, lengths = noise(3 * 200 * 16).view(3, 200, 16), torch.tensor([200, 0, 61])
    else:
        values, lengths = torch.stack([speech_like(0.6, seed=seed) for seed in range(3)]), torch.tensor([9600, 0, 4211])
    for row, length in zip(values, lengths.tolist()):
        row[length:] = float("nan")
    return values, lengths


def random(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every
def test_the_promise_of_shapes_lengths_and_padding(name: str, options: dict[str, Any]) -> None:
    transform = made(name, options)
    assert isinstance(transform, Transform)
    values, lengths = batch_for(transform)
    before = values.clone()
    changed, sizes = transform(values, lengths, random())
    torch.testing.assert_close(values, before, equal_nan=True)  # what was given is not overwritten
    assert changed.dtype == values.dtype and len(changed) == 3 and sizes.dtype == torch.int64
    assert int(sizes.max()) <= changed.shape[1] and int(sizes[1]) == 0
    for row, size in zip(changed, sizes.tolist()):
        assert row.isfinite().all() and not row[size:].any()


@pytest.mark.parametrize(("name", "options"), ALONE, ids=lambda value: str(value) if value else "")
def test_a_batch_equals_its_clips_one_by_one(name: str, options: dict[str, Any]) -> None:
    transform = made(name, options)
    values, lengths = batch_for(transform)
    together, sizes = transform(values, lengths, random())
    generator = random()
    for row, value, length, size in zip(together, values, lengths.tolist(), sizes.tolist()):
        if length:
            alone, count = transform(value[:length], None, generator)
            assert count.tolist() == [size] and torch.equal(alone[:size], row[:size])


@every
def test_the_same_generator_gives_the_same_result(name: str, options: dict[str, Any]) -> None:
    values, lengths = batch_for(made(name, options))
    first, second = made(name, options), made(name, options)
    assert torch.equal(first(values, lengths, random())[0], second(values, lengths, random())[0])
    own = first(values, lengths)[0]
    assert torch.equal(own, second(values, lengths)[0])
    torch.manual_seed(99)  # the default generator is not read
    third = made(name, options)(values, lengths)[0]
    assert torch.equal(own, third)


def in_blocks(samples: torch.Tensor, size: int) -> Sound:
    return Sound(lambda: samples.split(size), len(samples))


BLOCKWISE = [(name, options) for name, options in VARIANTS
             if getattr(made(name, options), "domain", "waveform") == "waveform" and not made(name, options).whole_clip]
LONG = speech_like(15.0)  # more than three units and no multiple of one


def test_transforms_say_which_of_them_need_the_whole_clip() -> None:
    assert {name for name, _ in BLOCKWISE} >= {"gain", "noise", "reverb", "speed", "crop", "shift", "wiener", "low-pass"}
    assert made("noise", {"colour": "pink"}).whole_clip and made("normalize", {"measure": "loudness"}).whole_clip


@pytest.mark.parametrize(("name", "options"), BLOCKWISE, ids=lambda value: str(value) if value else "")
def test_blocks_of_any_size_give_what_the_whole_gives(name: str, options: dict[str, Any]) -> None:
    transform, generator = made(name, options), random()
    whole = transform(LONG, None, generator)[0]
    results = []
    for size in (1000, 77_777, len(LONG)):
        own = random()
        changed = transform.in_blocks(in_blocks(LONG, size), own)
        results.append(torch.cat([*changed.read()]))
        assert len(results[-1]) == changed.samples == len(whole)
        assert torch.equal(results[-1], torch.cat([*changed.read()])), "read again it is another"
        assert torch.equal(own.get_state(), generator.get_state()), "what is drawn next would be another number"
        assert torch.equal(results[-1], results[0]), "it depends on the blocks"
    torch.testing.assert_close(results[0], whole, rtol=0, atol=1e-3 if isinstance(transform, Denoise) else 1e-6)


@pytest.mark.parametrize("kind", ["silence", "one sample"])
@pytest.mark.parametrize(("name", "options"), BLOCKWISE, ids=lambda value: str(value) if value else "")
def test_odd_clips_in_blocks(name: str, options: dict[str, Any], kind: str) -> None:
    clip = torch.zeros(200_000) if kind == "silence" else torch.full((1,), 0.5)
    whole = made(name, options)(clip, None, random())[0]
    changed = made(name, options).in_blocks(in_blocks(clip, 50_000), random())
    torch.testing.assert_close(torch.cat([*changed.read()]), whole, rtol=0, atol=1e-6)


RANDOM = [name for name in NAMES if any(item.name == "seed" for item in registry.get("transform", name).settings)]


@pytest.mark.parametrize("name", RANDOM)
def test_probability_0_changes_nothing_and_seeds_differ(name: str) -> None:
    transform = made(name, {"probability": 0.0})
    values, lengths = batch_for(transform)
    values = values.nan_to_num(0.0)
    unchanged, sizes = transform(values, lengths, random())
    assert torch.equal(unchanged, values[:, :unchanged.shape[1]]) and torch.equal(sizes, lengths)
    settings = {item.name: item for item in registry.get("transform", name).settings}
    if any(len(item.default) > 1 for item in settings.values() if item.many) or name == "noise":
        results = [made(name, {"seed": seed})(values, lengths)[0] for seed in (1, 2, 3)]
        assert not all(one.shape == results[0].shape and torch.equal(one, results[0]) for one in results[1:])


@every
@pytest.mark.parametrize("kind", ["silence", "constant", "one sample", "double"])
def test_odd_clips_are_survived(name: str, options: dict[str, Any], kind: str) -> None:
    transform = made(name, options)
    shape = (50, 8) if getattr(transform, "domain", "waveform") == "features" else (3000,)
    clip = {"silence": torch.zeros(shape), "constant": torch.full(shape, 0.5), "one sample": torch.full((1, *shape[1:]), 0.5),
            "double": torch.linspace(-1, 1, 400).double().reshape(-1, *shape[1:])}[kind]
    changed, sizes = transform(clip, None, random())
    assert changed.isfinite().all() and changed.dtype == clip.dtype and sizes.shape == (1,)
    assert kind != "silence" or not changed.any() or name == "reverb"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_input_is_explained(name: str) -> None:
    with pytest.raises(UsageError):
        made(name, {})(torch.zeros(2, 3, 4, 5))
    with pytest.raises(UsageError):
        made(name, {})(torch.zeros(20, 20, dtype=torch.int32))
    with pytest.raises(UsageError, match="lengths"):
        made(name, {})(torch.zeros(2, 9) if made(name, {}).domain == "waveform" else torch.zeros(2, 9, 3), torch.tensor([10, 1]))
