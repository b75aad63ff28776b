"""What front ends, transforms and vocoders promise (`toolkit.audio.base`). B clips, T samples, F frames."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from toolkit.audio.frontends import learned, make_frontend
from toolkit.audio.spec import FrameSpec
from toolkit.errors import UsageError
from toolkit.testing.gpu import gpu, require_same, unrounded
from toolkit.testing.suite import NotPromised, Suite, require

LENGTHS = (9000, 1, 0, 4321, 640, 8192, 7999)  # samples of the clips that frames are counted on
TOLERANCE = 5e-4


class FrontendSuite(Suite):
    """A front end's promises."""

    kind = "frontend"

    def make(self, **context: Any) -> Any:
        return make_frontend(self.entry.id, {**self.options, **context})

    def test_frames_are_what_the_spec_says(self) -> None:
        """A clip of T samples gives spec.frames(T) frames of spec.bins numbers, alone and in a batch."""
        frontend = self.make()
        spec = frontend.spec
        require(isinstance(spec, FrameSpec), f"spec is a {type(spec).__name__}, promised: a FrameSpec")
        features, frames = frontend(torch.stack([noise(max(LENGTHS), seed) for seed in range(len(LENGTHS))]),
                                    torch.tensor(LENGTHS))
        for row, samples in enumerate(LENGTHS):
            require(int(frames[row]) == spec.frames(samples), f"the number of frames of a clip of {samples} samples is "
                    f"{int(frames[row])}; its spec declares spec.frames({samples}) = {spec.frames(samples)}")
        wanted = (len(LENGTHS), spec.frames(max(LENGTHS)), spec.bins)
        require(tuple(features.shape) == wanted, f"features of the batch have the shape {tuple(features.shape)}; declared by "
                                                 f"the spec: {wanted}")
        for samples in (9000, 4321, 1):
            clip, count = frontend(noise(samples))
            require(tuple(clip.shape) == (spec.frames(samples), spec.bins) and count.tolist() == [len(clip)],
                    f"one clip [{samples}] gives features {tuple(clip.shape)} and lengths {count.tolist()}; declared by the "
                    f"spec: {(spec.frames(samples), spec.bins)}")
        require(FrameSpec.from_json(spec.json()) == spec, "its spec does not survive its JSON form")

    def test_a_batch_equals_its_clips(self) -> None:
        """Features of a clip in a padded batch are those of the clip alone."""
        frontend = self.make()
        clips, lengths = torch.stack([noise(7000, 1), noise(7000, 2) * 1e-2, noise(7000, 3)]), [7000, 5511, 640]
        features, frames = frontend(clips, torch.tensor(lengths))
        for row, (samples, count) in enumerate(zip(lengths, frames.tolist())):
            alone = frontend(clips[row, :samples])[0]
            require(close(features[row, :count], alone), f"features of clip {row} in a batch differ from those of the clip "
                    f"alone, by {gap(features[row, :count], alone)}: something of its padding leaks in")

    def test_padding_is_never_read(self) -> None:
        """What lies past a clip's length changes nothing, and frames past its own are 0."""
        frontend = self.make()
        clip = noise(5000, 2)
        wild = clip.clone()
        wild[3000:] = 1e4
        one, frames = frontend(clip[None], torch.tensor([3000]))
        other, _ = frontend(wild[None], torch.tensor([3000]))
        count = int(frames[0])
        require(torch.equal(one[:, :count], other[:, :count]), "features change with the samples past a clip's length: padding "
                                                               "is read")
        require(not one[0, count:].any(), "frames past a clip's own are not 0")

    def test_silence_is_finite(self) -> None:
        """Silence, a constant and full scale give finite features."""
        frontend = self.make()
        for what, clip in {"silence": torch.zeros(4000), "a constant": torch.full((4000,), 0.3),
                           "full scale": -torch.ones(4000)}.items():
            require(bool(frontend(clip)[0].isfinite().all()), f"{what} gives features that are not finite")

    def test_gradients_flow(self) -> None:
        """Gradients reach the waveform and are finite, for noise and for silence."""
        if "gradient" in self.entry.cannot:
            raise NotPromised(f"gradient: {self.entry.cannot['gradient']}")
        frontend = self.make()
        clips = torch.stack([noise(3000, 4), torch.zeros(3000)]).requires_grad_()
        features = frontend(clips, torch.tensor([3000, 2500]))[0]
        require(features.requires_grad, "no gradient reaches the waveform: the features are cut from it (detach, no_grad, NumPy)."
                                        ' Where that is meant, say cannot={"gradient": "..."} in its declaration')
        features.square().mean().backward()
        require(clips.grad is not None and bool(clips.grad.isfinite().all()), "the gradient of the waveform is not finite")
        require(clips.grad is not None and bool(clips.grad[0].any()), "the gradient of the waveform is zero everywhere")
        self._require_that_parameters_learn(frontend)

    def _require_that_parameters_learn(self, frontend: Any) -> None:
        """Parameters get gradients too, from a waveform that needs none: inside an agent's network they learn."""
        parameters = learned(frontend)
        if not parameters:
            return
        features = frontend(torch.stack([noise(3000, 4), noise(3000, 5)]), torch.tensor([3000, 2500]))[0]
        if features.requires_grad:
            features.square().mean().backward()
        still = [name for name, value in parameters.items() if value.grad is None]
        require(not still, f"no gradient reaches the parameters {', '.join(still)}: they would stay as they were drawn. "
                           "Use them in the features without detach and no_grad, or freeze them (requires_grad_(False))")

    def test_streaming_equals_offline(self) -> None:
        """Fed in blocks of any size, it yields the frames of the whole clip."""
        frontend = self.make()
        stream_of(self, frontend)
        for samples, block in ((9000, 733), (3200, 160), (500, 7), (1, 1)):
            clip = noise(samples, samples)
            stream = frontend.stream()
            joined = torch.cat([*(stream.push(part) for part in clip.split(block)), stream.finish()])
            offline = frontend(clip)[0]
            require(joined.shape == offline.shape, f"a clip of {samples} samples streamed in blocks of {block} gives "
                                                   f"{len(joined)} frames, offline {len(offline)}")
            require(close(joined, offline), f"a clip of {samples} samples streamed in blocks of {block} differs from offline, "
                                            f"by {gap(joined, offline)}")

    def test_the_same_input_gives_the_same_features(self) -> None:
        """The same clip gives the same features, from a copy of the front end and from another with the same settings too."""
        frontend = self.make()
        clip = noise(4000, 6)
        first = frontend(clip)[0].clone()
        require(torch.equal(first, frontend(clip)[0]), "the same clip gives other features the second time")
        require(torch.equal(first, copy.deepcopy(frontend)(clip)[0]), "a copy of the front end gives other features")
        require(torch.equal(first, self.make()(clip)[0]), "another front end with the same settings gives other features: a run "
                "would be judged through another one than it was trained with. Draw with torch's default generator, which is "
                "seeded when a front end is made, or with one that has a seed of its own")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU features and their gradients are those of the CPU."""
        device, frontend = gpu(), self.make()
        there = copy.deepcopy(frontend).to(device)
        clips, lengths = torch.stack([noise(7000, 1), noise(7000, 2)]), torch.tensor([7000, 5511])
        given, elsewhere = (clips.clone().to(place).requires_grad_("gradient" not in self.entry.cannot)
                            for place in ("cpu", device))
        with unrounded():
            (wanted, frames), (found, counts) = frontend(given, lengths), there(elsewhere, lengths.to(device))
            require_same(found, wanted, "features")
            require(counts.tolist() == frames.tolist(), f"on the GPU clips have {counts.tolist()} frames, on the CPU "
                                                        f"{frames.tolist()}")
            if given.requires_grad:
                wanted.square().mean().backward()
                found.square().mean().backward()
                assert given.grad is not None and elsewhere.grad is not None
                require_same(elsewhere.grad, given.grad, "gradients of the waveform")

    def test_on_a_gpu_it_streams_the_same(self) -> None:
        """On a GPU frames of a stream are those of the CPU."""
        device, frontend, clip = gpu(), self.make(), noise(5000, 3)
        stream = stream_of(self, copy.deepcopy(frontend).to(device))
        with unrounded():
            joined = torch.cat([*(stream.push(part.to(device)) for part in clip.split(733)), stream.finish()])
        require_same(joined, frontend(clip)[0], "frames of a stream")


class TransformSuite(Suite):
    """A transform's promises, on waveforms or on features as its ``domain`` says."""

    kind = "transform"
    seconds = 0.5

    @property
    def domain(self) -> str:
        return str(getattr(self.make(), "domain", "waveform"))

    def clips(self, count: int = 3) -> tuple[Tensor, Tensor]:
        """A batch in the transform's domain, and its lengths [B]."""
        if self.domain == "features":
            generator = torch.Generator().manual_seed(0)
            return torch.randn(count, 60, 40, generator=generator), torch.tensor([60, 41, 30][:count])
        samples = int(16_000 * self.seconds)
        return torch.stack([noise(samples, seed) for seed in range(count)]), torch.tensor(
            [samples, samples * 3 // 4, samples // 2][:count])

    def test_shapes_and_lengths_agree(self) -> None:
        """Its results are float of the same domain, with one length a clip, and 0 past it."""
        self._agree(*self.clips())

    def test_it_takes_other_sizes(self) -> None:
        """So they are for fewer and shorter clips, and for features of fewer bins."""
        clips, lengths = self.clips()
        shorter = clips.shape[1] * 4 // 5
        clips = clips[:-1, :shorter] if clips.dim() == 2 else clips[:-1, :shorter, :-3]
        self._agree(clips, lengths[:-1].clamp(max=shorter))

    def _agree(self, clips: Tensor, lengths: Tensor) -> None:
        changed, sizes = self.make()(clips, lengths, torch.Generator().manual_seed(1))
        require(changed.dim() == clips.dim() and len(changed) == len(clips), f"a batch {tuple(clips.shape)} gives "
                                                                             f"{tuple(changed.shape)}")
        require(sizes.shape == (len(clips),), f"lengths are {tuple(sizes.shape)}, promised: one for each of {len(clips)} clips")
        require(bool(changed.isfinite().all()), "its result is not finite")
        for row, size in enumerate(sizes.tolist()):
            require(0 <= size <= changed.shape[1], f"clip {row} has the length {size} in a batch of {changed.shape[1]}")
            require(not changed[row, size:].any(), f"clip {row} is not 0 past its length {size}")

    def test_random_choices_come_from_the_generator(self) -> None:
        """The same generator gives the same result, and torch's default one is not read."""
        clips, lengths = self.clips()
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one, _ = self.make()(clips, lengths, torch.Generator().manual_seed(7))
        require(torch.equal(before, torch.get_rng_state()), "it draws from torch's default generator: draw from the one given")
        other, _ = self.make()(clips, lengths, torch.Generator().manual_seed(7))
        require(torch.equal(one, other), "the same generator gives another result the second time")

    def test_a_batch_equals_its_clips(self) -> None:
        """A batch equals its clips one after another with one generator: padding changes nothing."""
        if "one by one" in self.entry.cannot:
            raise NotPromised(f"one by one: {self.entry.cannot['one by one']}")
        clips, lengths = self.clips()
        transform = self.make()
        together, sizes = transform(clips, lengths, torch.Generator().manual_seed(3))
        generator = torch.Generator().manual_seed(3)
        for row, length in enumerate(lengths.tolist()):
            alone, _ = transform(clips[row, :length], None, generator)
            size = int(sizes[row])
            require(len(alone) == size, f"clip {row} alone has the length {len(alone)}, in the batch {size}")
            require(close(together[row, :size], alone), f"clip {row} in the batch differs from the clip alone, by "
                                                        f"{gap(together[row, :size], alone)}: its padding leaks in")

    def test_the_input_stays_as_it_is(self) -> None:
        """What it is given is not changed."""
        clips, lengths = self.clips()
        kept = clips.clone()
        self.make()(clips, lengths, torch.Generator().manual_seed(1))
        require(torch.equal(clips, kept), "it changed the clips that it was given")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU, with the same generator, its results are those of the CPU."""
        device, (clips, lengths) = gpu(), self.clips()
        with unrounded():
            wanted, sizes = self.make()(clips, lengths, torch.Generator().manual_seed(4))
            there = self.make()
            there = there.to(device) if isinstance(there, torch.nn.Module) else there
            found, counts = there(clips.to(device), lengths.to(device), torch.Generator().manual_seed(4))
        require_same(found, wanted, "results")
        require(counts.tolist() == sizes.tolist(), f"on the GPU clips have the lengths {counts.tolist()}, on the CPU "
                                                   f"{sizes.tolist()}")


class VocoderSuite(Suite):
    """A vocoder's promises."""

    kind = "vocoder"

    def test_a_frame_becomes_a_hop_of_sound(self) -> None:
        """mel [B, F, mels] gives float waveforms [B, T] that last as long as F frames, within one window."""
        vocoder = self.make()
        spec = vocoder.spec
        require(isinstance(spec, FrameSpec), f"spec is a {type(spec).__name__}, promised: a FrameSpec")
        sound = vocoder(mels(spec))
        wanted = 20 * spec.hop_length
        require(sound.dim() == 2 and len(sound) == 2, f"mel [2, 20, {spec.bins}] gives {tuple(sound.shape)}, promised: [2, T]")
        require(abs(sound.shape[1] - wanted) <= spec.n_fft, f"20 frames of {spec.hop_length} samples give {sound.shape[1]} "
                                                            f"samples, promised: {wanted} within one window of {spec.n_fft}")
        require(bool(sound.isfinite().all()), "its sound is not finite")

    def test_the_same_mel_gives_the_same_sound(self) -> None:
        """Once made, the same mel gives the same sound."""
        vocoder = self.make()
        mel = mels(vocoder.spec)
        with torch.no_grad():
            require(torch.equal(vocoder(mel), vocoder(mel)), "the same mel gives another sound the second time")

    def test_streaming_equals_offline(self) -> None:
        """Fed with frames in blocks, it yields the sound of the whole clip."""
        vocoder = self.make()
        if not hasattr(vocoder, "stream"):
            raise NotPromised("it has no stream()")
        stream = stream_of(self, vocoder)
        mel = mels(vocoder.spec, 48)[0]
        with torch.no_grad():
            offline = vocoder(mel)
            joined = torch.cat([*(stream.push(block) for block in mel.split(13)), stream.finish()])
        require(joined.shape == offline.shape, f"48 frames streamed in blocks of 13 give {len(joined)} samples, offline "
                                               f"{len(offline)}")
        peak = offline.abs().max().clamp(min=1e-12)  # what has learned nothing is quiet
        require(close(joined / peak, offline / peak), f"48 frames streamed in blocks of 13 differ from offline, by "
                f"{gap(joined / peak, offline / peak)} of the peak: a sample hears more frames on both sides than its context")

    def test_on_a_gpu_it_sounds(self) -> None:
        """On a GPU it gives finite sound there, as much of it as on the CPU."""
        device, vocoder = gpu(), self.make()
        mel = mels(vocoder.spec)
        with torch.no_grad():
            wanted = vocoder(mel)
            found = vocoder.to(device)(mel.to(device))
        require(found.device.type == "cuda" and found.shape == wanted.shape, f"on the GPU it gives {tuple(found.shape)} on "
                f"{found.device}, on the CPU {tuple(wanted.shape)}")
        require(bool(found.isfinite().all()), "its sound on the GPU is not finite")


def stream_of(suite: Suite, component: Any) -> Any:
    """A stream of the suite's component. Raises NotPromised where it says that it has none."""
    if "stream" in suite.entry.cannot:
        raise NotPromised(f"stream: {suite.entry.cannot['stream']}")
    try:
        return component.stream()
    except UsageError as error:
        raise NotPromised(str(error)) from error


def mels(spec: FrameSpec, frames: int = 20) -> Tensor:
    """Two clips [2, F, bins] of plausible mel features."""
    values = torch.rand(2, frames, spec.bins, generator=torch.Generator().manual_seed(0))
    return values if spec.log == "none" else values.clamp(min=1e-5).log()


def noise(samples: int, seed: int = 0) -> Tensor:
    """Noise [samples] in [-1, 1)."""
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE))


def gap(one: Tensor, other: Tensor) -> Any:
    """The largest difference, in words."""
    return f"{float((one - other).abs().max()):.2g}" if one.shape == other.shape and one.numel() else "another shape"
