"""Pipelines: their text, their files, their errors, their order."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from signals import noise, speech_like

from toolkit import audio
from toolkit.audio import Pipeline
from toolkit.audio.transforms.blocks import Sound
from toolkit.audio.transforms.configs import GainConfig
from toolkit.audio.transforms.level import Gain
from toolkit.audio.transforms.pipeline import Step, needs_whole, parse
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry


def test_the_text_of_the_readme() -> None:
    assert parse("noise(snr=10..30) | speed(0.9,1.0,1.1)") == [Step("noise", {"snr": (10.0, 30.0)}),
                                                               Step("speed", {"factors": (0.9, 1.0, 1.1)})]
    assert parse("gain(-6..6, probability=0.5)|trim | codec(mp3, opus, compression=0.5)") == [
        Step("gain", {"gain": (-6.0, 6.0), "probability": 0.5}), Step("trim"),
        Step("codec", {"codecs": ("mp3", "opus"), "compression": (0.5,)})]
    assert parse("noise(-5..-1.5, colour=pink)")[0].options == {"snr": (-5.0, -1.5), "colour": "pink"}
    assert parse("wiener(adaptive=yes)")[0].options == {"adaptive": True}
    assert parse("") == []


@pytest.mark.parametrize("text", [
    "noise(10..30, path=hums) | speed(0.9, 1.1) | normalize(-6) | low-pass(2000..3000) | gain(-6..6)",
    "shift(-0.5) | reverb(path=rooms) | gain(3, probability=0.5) | wiener | clipping",
    "crop(8) | codec(mu-law) | noise(20)", "vad | noise(3, colour=pink) | mix | shift(0.1)",
    "crop(0.01) | spectral-gate | reverb"])
def test_a_pipeline_in_blocks_gives_what_it_gives_of_the_whole(text: str, tmp_path: Path) -> None:
    rooms = noise(3000, 6) * torch.exp(-torch.arange(3000) / 500)
    for name, samples in (("hums", noise(30_000, 5)), ("rooms", rooms)):
        audio.save(tmp_path / f"{name}.wav", samples[None], 16000)
        text = text.replace(f"path={name}", f"path={tmp_path / name}.wav")
    pipeline, clip = Pipeline(text), speech_like(15.0)
    for seed in range(2):
        whole, lengths = pipeline(clip, generator=torch.Generator().manual_seed(seed))
        results = []
        for size in (5000, 77_777):
            blocks = Sound(partial(clip.split, size), len(clip))
            sound = pipeline.in_blocks(blocks, torch.Generator().manual_seed(seed))
            results.append(torch.cat([*sound.read()]))
            assert len(results[-1]) == sound.samples == int(lengths)
        assert torch.equal(*results)
        torch.testing.assert_close(results[0], whole, rtol=0, atol=2e-3 if "wiener" in text or "gate" in text else 1e-5)


def test_a_transform_that_changes_anothers_clips_is_given_whole_ones() -> None:
    class Half(Gain):
        def apply(self, clip: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return clip / 2

    config = GainConfig(gain=(6.0, 6.0))
    assert needs_whole(Half(config)) and not needs_whole(Gain(config))


def test_a_pipeline_in_blocks_of_what_silence_leaves() -> None:
    sound = Pipeline("trim | wiener | noise | crop(1) | reverb").in_blocks(Sound(lambda: [torch.zeros(90_000)], 90_000))
    assert sound.samples == 0 and list(sound.read()) == []


@given(st.lists(st.sampled_from([Step("noise", {"snr": (1.5, 30.0), "colour": "pink"}), Step("trim"),
                                 Step("vad", {"threshold": 3.25}), Step("speed", {"factors": (0.9, 1.1)}),
                                 Step("wiener", {"adaptive": True})]), max_size=5))
def test_spelling_and_parsing_are_inverse(steps: list[Step]) -> None:
    assert parse(" | ".join(step.spelled() for step in steps)) == steps


def test_lists_tables_and_files(tmp_path: Path) -> None:
    expected = parse("noise(snr=10..30) | speed(0.9, 1.1)")
    assert parse(["noise(snr=10..30)", {"name": "speed", "factors": [0.9, 1.1]}]) == expected
    (tmp_path / "a.toml").write_text('transforms = ["noise(snr=10..30)", "speed(0.9, 1.1)"]\n')
    (tmp_path / "b.toml").write_text('[[transforms]]\nname = "noise"\nsnr = "10..30"\n\n'
                                     '[[transforms]]\nname = "speed"\nfactors = [0.9, 1.1]\n')
    assert parse(str(tmp_path / "a.toml")) == parse(str(tmp_path / "b.toml")) == expected
    assert parse([{"name": "gain", "gain": 3}]) == [Step("gain", {"gain": (3.0,)})]


@pytest.mark.parametrize(("text", "message"), [
    ("nois", "unknown transform 'nois'. Did you mean 'noise'"), ("noise(snrr=3)", "unknown setting 'snrr'. Did you mean 'snr'"),
    ("noise(snr=loud)", "snr: got 'loud'"), ("noise(snr=1..2..3)", "snr: got"),
    ("noise(snr=3", "is not a step. Write NAME or NAME"),
    ("gain(1) | | trim", "is not a step"), ("speed(0.9..1.1)", "factors is not drawn from a range"),
    ("speed(0.9) | noise(snrr=3)", "transforms: noise: unknown setting 'snrr'. Did you mean 'snr'? Allowed: colour, path"),
    ("noise(snr=1, snr=2)", "transforms: noise: snr is given twice"),
    ("vad(threshold=-1)", "threshold: got"), ("gain(1, 2, 3)", "one number, or two"),
    ("time-mask(3) | gain(2)", "gain changes waveforms and must come before"),
    ("pre-emphasis(coefficient=0..1)", "coefficient is not drawn"), ("none.toml", "none.toml: No such file")])
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ToolkitError) as caught:
        Pipeline(text)
    assert message in str(caught.value)


def test_files_that_hold_no_pipeline(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x = [")
    with pytest.raises(UsageError, match="not TOML"):
        parse(str(tmp_path / "a.toml"))
    (tmp_path / "a.toml").write_text("x = 1")
    with pytest.raises(UsageError, match='has no list "transforms"'):
        parse(str(tmp_path / "a.toml"))


def test_a_pipeline_is_its_transforms_in_order() -> None:
    clips, lengths = torch.stack([speech_like(0.5), speech_like(0.5, seed=1)]), torch.tensor([8000, 5000])
    pipeline = Pipeline("noise(snr=5..20) | speed(0.9, 1.1) | gain(-3)", seed=4)
    generator = torch.Generator().manual_seed(4)
    expected, sizes = clips, lengths
    for name, options in (("noise", {"snr": (5.0, 20.0)}), ("speed", {"factors": (0.9, 1.1)}), ("gain", {"gain": (-3.0,)})):
        expected, sizes = registry.make("transform", name, **options)(expected, sizes, generator)
    changed, found = pipeline(clips, lengths)
    assert torch.equal(changed, expected) and torch.equal(found, sizes)
    assert torch.equal(Pipeline(pipeline.spelled(), seed=4)(clips, lengths)[0], changed)
    assert not torch.equal(pipeline(clips, lengths)[0][:, :4000], changed[:, :4000])  # the generator goes on


def test_features_come_after_the_front_end_and_the_rate_is_shared() -> None:
    pipeline = Pipeline("low-pass(3000) | spec-augment(warp=5, time_mask=10)", sample_rate=8000)
    assert [transform.config.sample_rate for transform in pipeline.on_waveforms] == [8000]
    waveform, _ = pipeline(noise(8000))
    features, frames = registry.make("frontend", "log-mel", sample_rate=8000, n_mels=40, n_fft=400)(waveform)
    masked, counts = pipeline.features(features, frames)
    assert masked.shape == features.shape and not torch.equal(masked, features) and torch.equal(counts, frames)


def test_a_wrong_pipeline_is_refused_without_torch() -> None:
    program = ("import sys\nfrom toolkit.audio.transforms.pipeline import parse\n"
               "try:\n    parse('noise(snr=loud)')\nexcept ValueError: pass\nassert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", program], check=True)
