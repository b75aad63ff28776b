"""The task ``vocoder``: segments of sound, their mel frames, a vocoder that makes the sound again, critics.

Model       a vocoder as the trainer calls a model
Vocoding    the problem of a vocoder that makes a segment at once: distances, and critics
Likelihood  the problem of one that draws sample after sample: how likely the real ones are
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.audio import io, manifests
from toolkit.audio.frontends import make_frontend
from toolkit.audio.spec import FrameSpec
from toolkit.audio.tasks.base import (
    FULL_SCALE,
    STRETCH,
    asked_clips,
    heard_example,
    in_memory,
    require_numbers,
    require_sound,
    whole,
)
from toolkit.audio.vocoder_configs import VocoderTaskConfig
from toolkit.audio.vocoders import critics, metrics
from toolkit.audio.vocoders.base import turn
from toolkit.audio.vocoders.wavenet import to_levels
from toolkit.config import ConfigError
from toolkit.core.adversarial import AdversarialProblem
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Judged, Tally, device_of, refuse_rows
from toolkit.core.rows import fault_of
from toolkit.registry import registry

SPOKEN_SECONDS = 1.0  # of a held-out clip that an autoregressive vocoder draws in an evaluation
ADVERSARIAL = ("warm_up", "mel_weight", "feature_weight", "loss_f_max", "periods", "scales", "critic_width")


class Taught(NamedTuple):
    """Frames [B, F, mels] and the waveforms [B, T] that they are of, for a vocoder that is shown both."""

    mel: Tensor
    waveform: Tensor


class Model(nn.Module):
    """``model(mel [B, F, mels], lengths [B])``: waveforms [B, T]; of `Taught` the logits [B, Q, T] of their samples."""

    def __init__(self, vocoder: Any) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor | Taught, lengths: Tensor | None = None) -> tuple[Tensor, None]:
        return (self.vocoder.teach(*mel) if isinstance(mel, Taught) else self.vocoder(mel)), None


class Vocoding(AdversarialProblem[VocoderTaskConfig]):
    """From mel frames to sound, against critics, as HiFi-GAN is trained."""

    unit = "segments"
    judges_rows = True
    full_batches = True

    def __init__(self, config: VocoderTaskConfig) -> None:
        super().__init__(config)
        made = registry.make("vocoder", config.model)
        if not any(True for _ in made.parameters()):
            raise ConfigError(f"model: {config.model.name} has nothing to learn. Use it as it is: "
                              f"toolkit audio vocode {config.model.name} IN.wav OUT.wav")
        self.spec, self.frontend = made.spec, made.frontend
        hop = self.spec.hop_length
        if config.segment % hop or config.segment < self.spec.n_fft:
            raise ConfigError(f"segment: got {config.segment}, allowed: multiples of the hop, {hop}, from {self.spec.n_fft} on.")
        options = {**config.model.options}.get("frontend", made.config.frontend)
        # The loss hears up to half the rate, whatever the vocoder is told.
        self.loss_mel = make_frontend(options.name, {**options.options, "f_max": config.loss_f_max})

    @property
    def evaluation_batch_size(self) -> int:
        return 1  # clips of different lengths do not share their padding

    # -- data

    def check(self, splits: Mapping[str, Sequence[Example]]) -> None:
        require_sound(splits, "audio", "path")
        refuse_rows(splits, lambda row: fault(row, self.spec.sample_rate),
                    "hold no sound that can be used", "mend them, or take them out")

    def build(self) -> nn.Module:
        return Model(registry.make("vocoder", self.config.model))

    def move(self, device: torch.device) -> None:
        super().move(device)
        self.loss_mel.to(device)

    def settle(self, model: nn.Module) -> None:
        turn(model.vocoder, "float32", self.config.model.name)

    def encode(self, examples: Sequence[Example], targets: bool = True) -> list[Tensor]:
        """Waveforms [T], padded with silence to a segment where they are shorter."""
        clips = [waveform_of(example, self.spec.sample_rate) for example in examples]
        return [nn.functional.pad(clip, (0, max(0, self.config.segment - len(clip)))) for clip in clips]

    def collate(self, encoded: list[Tensor], indices: Array) -> Batch:
        clips = [encoded[int(index)] for index in indices]
        lengths = torch.tensor([len(clip) for clip in clips])
        return Batch(nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths, indices=indices)

    def drawn(self, encoded: list[Tensor], indices: Array, generator: torch.Generator) -> Batch:
        """A segment of each clip, anywhere in it."""
        size, cut = self.config.segment, []
        for clip in (encoded[int(index)] for index in indices):
            first = int(torch.randint(len(clip) - size + 1, (), generator=generator))
            cut.append(clip[first:first + size])
        return Batch(torch.stack(cut), indices=indices)

    def fixed(self, batch: Batch) -> Batch:
        """The clip's beginning, in whole hops."""
        hop = self.spec.hop_length
        longest = max(self.config.segment, int(self.config.evaluation_seconds * self.spec.sample_rate))
        return replace(batch, inputs=batch.inputs[:, :min(batch.inputs.shape[1], longest) // hop * hop], lengths=None)

    def evaluated(self, encoded: list[Tensor]) -> list[Tensor]:
        """The first so many clips."""
        return encoded[:self.config.evaluation_clips]

    def features(self, batch: Batch) -> Batch:
        assert self.frontend is not None
        with torch.no_grad():
            mel, _ = self.frontend(batch.inputs)
        return replace(batch, inputs=mel, targets=batch.inputs)

    # -- learning

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        assert batch.targets is not None
        with torch.no_grad():
            wanted = self.loss_mel(batch.targets)[0]
        distance: Tensor = self.loss_function(self.loss_mel(outputs.float())[0], wanted)
        return self.config.mel_weight * distance

    def build_critics(self) -> nn.Module:
        return critics.Critics(self.config.periods, self.config.scales, self.config.critic_width)

    def warming_up(self, step: int) -> bool:
        return step < self.config.warm_up

    def critics_loss(self, judges: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:
        return critics.critics_loss(judges(batch.targets), judges(outputs))

    def adversarial_loss(self, judges: nn.Module, outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        made = judges(outputs)
        with torch.no_grad():
            real = judges(batch.targets)
        return {"deception": critics.deception_loss(made),
                "feature": self.config.feature_weight * critics.feature_distance(real, made)}

    # -- judging and answering

    @property
    def asked_columns(self) -> Sequence[str]:
        return STRETCH

    def asked(self, rows: Sequence[Any], source: Path) -> Sequence[Any]:
        return asked_clips(rows, source)

    def as_example(self, value: Any) -> Example:
        return heard_example(value)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """How near each clip's analysis and synthesis come to it: seconds, and distances by name."""
        assert batch.lengths is not None
        vocoder: Any = model.vocoder
        answers = []
        for clip, length in zip(batch.inputs, batch.lengths.tolist(), strict=True):
            real = clip[:length].cpu()
            made = synthesised(vocoder, real)[0]
            answers.append({"seconds": round(length / self.spec.sample_rate, 6), **distances(made, real, vocoder.frontend)})
        return answers

    def tally(self) -> Tally:
        return Listening(self)


class Listening:
    """Distances of the made from the real sound, mean over clips."""

    def __init__(self, problem: Vocoding) -> None:
        self.problem = problem
        self.rows: list[dict[str, float]] = []
        self.sounds: dict[str, tuple[Tensor, int]] = {}

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        made, real = outputs[0].float(), batch.targets[0]
        if len(self.rows) < self.problem.config.samples:
            name, rate = f"clip-{len(self.rows)}", self.problem.spec.sample_rate
            self.sounds.update({f"{name}-real": (real.cpu(), rate), f"{name}-made": (made.clamp(-1, 1).cpu(), rate)})
        self.rows.append(distances(made, real, self.problem.frontend))

    def result(self) -> Judged:
        means = means_of(self.rows)
        return Judged(-means["log_mel_l1"], means, {"clips": self.rows}, self.sounds)


class Likelihood(Vocoding):
    """Each sample told from the real ones before it; the loss is the cross entropy of its level, in nats.

    The options of critics and distances do nothing here, and are refused when they are given.
    """

    driver = "toolkit.training.supervised:SupervisedTask"

    def __init__(self, config: VocoderTaskConfig) -> None:
        super().__init__(config)
        usual = VocoderTaskConfig()
        for name in ADVERSARIAL:
            if getattr(config, name) != getattr(usual, name):
                raise ConfigError(f"{name.replace('_', '-')}: {config.model.name} learns by likelihood and has neither critics "
                                  "nor a mel loss; leave it out")
        self._heard: Any = None  # the model in use, which an evaluation lets speak

    def build(self) -> nn.Module:
        self._heard = super().build()
        model: nn.Module = self._heard
        return model

    def features(self, batch: Batch) -> Batch:
        ready = super().features(batch)
        assert ready.targets is not None
        # What the trainer hands to the model as it is.
        return replace(ready, inputs=Taught(ready.inputs, ready.targets))  # type: ignore[arg-type]

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        assert batch.targets is not None
        return nn.functional.cross_entropy(outputs.float(), to_levels(batch.targets))

    def speak(self, real: Tensor) -> Tensor:
        """The sound [T] that the model draws for the frames of ``real`` [T]."""
        with torch.no_grad():
            made: Tensor = self._heard.vocoder(self.frontend(real)[0]) if self.frontend is not None else real
        return made

    def tally(self) -> Tally:
        return Surprise(self)


class Surprise:
    """Bits a sample of the held-out clips, and how near what the model draws comes to the first of them."""

    def __init__(self, problem: Likelihood) -> None:
        self.problem, self.bits, self.rows = problem, [0.0, 0], list[dict[str, float]]()
        self.sounds: dict[str, tuple[Tensor, int]] = {}

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        self.bits[0] += float(self.problem.loss(outputs, lengths, batch)) / math.log(2) * batch.targets.numel()
        self.bits[1] += batch.targets.numel()
        if len(self.rows) < self.problem.config.samples:
            rate = self.problem.spec.sample_rate
            real = batch.targets[0, :round(SPOKEN_SECONDS * rate)]
            made, name = self.problem.speak(real), f"clip-{len(self.rows)}"
            self.sounds.update({f"{name}-real": (real.cpu(), rate), f"{name}-made": (made.clamp(-1, 1).cpu(), rate)})
            self.rows.append(distances(made, real, self.problem.frontend))

    def result(self) -> Judged:
        bits = self.bits[0] / max(1, self.bits[1])
        means = means_of(self.rows)
        return Judged(-bits, {"bits_per_sample": bits, **means}, {"clips": self.rows}, self.sounds)


def make(config: VocoderTaskConfig) -> Vocoding:
    """The problem that suits the vocoder: one that can be taught samples learns their likelihood."""
    taught = hasattr(registry.get("vocoder", config.model.name).load(), "teach")
    return Likelihood(config) if taught else Vocoding(config)


def means_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each distance over the clips that have it: some need a second of sound."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def distances(made: Tensor, real: Tensor, frontend: Any) -> dict[str, float]:
    """All distances of two waveforms [T] by name."""
    length = min(len(made), len(real))
    made, real = made[:length], real[:length]
    mels = [frontend(sound)[0] for sound in (made, real)]
    return {"log_mel_l1": float((mels[0] - mels[1]).abs().mean()), "stft_distance": metrics.stft_distance(made, real),
            "cepstral_distortion": metrics.cepstral_distortion(*(natural_logs(mel, frontend.spec) for mel in mels)),
            **metrics.judged_by_ear(made, real, frontend.spec.sample_rate)}


def natural_logs(mel: Tensor, spec: FrameSpec) -> Tensor:
    """Mel frames as natural logarithms of their bands, in whatever unit, shifted and scaled, the front end gives them.

    Bands without a logarithm count from 1e-7.
    """
    details = dict(spec.details)
    values = mel / details.get("scale", 1.0) - details.get("shift", 0.0)
    if spec.log == "none":
        return values.clamp(min=metrics.TINY).log()
    units = {"natural": 1.0, "log10": math.log(10), "db": math.log(10) * spec.power / 20}
    return values * units[spec.log]


def clip_in(example: Example) -> manifests.Clip | None:
    """The stretch of a file that an example names; None where it holds samples."""
    sound = example.get("audio", example.get("path"))
    if isinstance(sound, (str, Path)):
        return manifests.clip_of({**example, "path": str(sound)}, "the data", Path())
    return sound if isinstance(sound, manifests.Clip) else None


def fault(example: Example, rate: int) -> str | None:
    """Why the sound that an example names, or holds at ``rate`` (Hz), cannot be used, or None."""
    if fault_of(example):
        return fault_of(example)
    try:
        clip = clip_in(example)
        if clip is None:
            require_numbers(example, rate)
    except (manifests.ManifestError, io.AudioError) as error:
        return str(error)
    return None if clip is None else manifests.sound_fault(clip)


def waveform_of(example: Example, rate: int) -> Tensor:
    """The sound of an example, [T] float at ``rate`` (Hz).

    ``audio`` is a manifest's clip, or samples with ``sample_rate`` beside them; ``path`` is a file, of which ``start`` and
    ``duration`` may name a stretch. Samples are cut to 16 bits, exactly as `toolkit.audio.io.save` writes them: made sound has
    bands without any, and a vocoder that has heard no others answers the rounding noise of a recording with noise of its own.
    Raises AudioError for samples that are no numbers.
    """
    clip = clip_in(example)
    if clip is not None:
        return torch.as_tensor(clip.load(rate)[0])[0]
    require_numbers(example, rate)
    samples = whole(in_memory(example))
    own = int(example.get("sample_rate", rate))
    if own != rate:
        samples = io.resampled(samples.reshape(-1, 1), own, rate)[:, 0]
    held = np.clip(np.floor(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return torch.from_numpy(np.ascontiguousarray(held / FULL_SCALE, np.float32))


def synthesised(vocoder: Any, waveform: Tensor) -> tuple[Tensor, Tensor, float]:
    """Analysis and synthesis of [T]: the sound [T] and its frames [F, mels] on the CPU, and seconds of work for one of sound."""
    with torch.no_grad():
        mel, _ = vocoder.frontend(waveform.cpu())
        begin = perf_counter()
        sound = vocoder(mel.to(device_of(vocoder))).cpu()
        seconds = perf_counter() - begin
    return sound, mel, seconds * vocoder.spec.sample_rate / len(sound)
