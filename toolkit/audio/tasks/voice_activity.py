"""Where in a clip somebody speaks: speech or not at each position.

A clip's column ``segments`` holds the stretches of speech, ``[[start, end], ...]`` in seconds. With ``surround`` a
training or evaluation clip of one stretch, as the made speech is, is set into silence and noise by the task itself, so that
every data set of speech will do.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.audio.recognition_configs import VoiceActivityConfig
from toolkit.audio.tasks.base import HeardProblem, Sound, clip_name, whole
from toolkit.core import metrics
from toolkit.core.base import Example
from toolkit.core.losses import IGNORED
from toolkit.core.problem import Array, Batch, Judged, Tally
from toolkit.core.rows import like
from toolkit.errors import UsageError

Segment = tuple[float, float]
QUIETEST, LOUDEST = -60.0, -20.0  # dB of the noise around and under speech, of full scale


@dataclass(frozen=True)
class Set:
    """A clip in its surroundings: samples [T] float32 and the seconds at which speech begins and ends."""

    samples: Array
    segments: list[Segment]


class VoiceActivity(HeardProblem):
    """Speech or not, position by position."""

    config: VoiceActivityConfig
    level: ClassVar[Any] = "frames"
    outputs = 2

    def __init__(self, config: VoiceActivityConfig) -> None:
        super().__init__(config)
        moving = self.transforms.moving if self.transforms else []
        if moving:
            raise UsageError(f"--transforms: {moving[0]} changes how long clips are or where in them something is heard, so that "
                             "speech is no longer where the data says. Allowed for voice-activity: transforms that keep both, "
                             "such as noise, gain, reverb and spec-augment(warp=0)")

    @property
    def target(self) -> str:
        return self.config.target or "segments"

    def fault(self, row: Example) -> str | None:
        if self.target not in row and self.config.surround:
            row = like(row, {**row, self.target: [[0, 1]]})  # all of the clip is speech
        problem = super().fault(row)
        if problem is None and not well_formed(row[self.target]):
            return f"{self.target!r} is {row[self.target]!r}; allowed: [[start, end], ...] in seconds, ascending"
        return problem

    def fit_targets(self, examples: Sequence[Example]) -> None:
        """There is nothing to learn about them."""

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Sound:
        if not targets:
            return super().encode(examples, False)
        found = [self.set(example) for example in examples]
        return Sound([item.samples for item in found], [item.segments for item in found],
                     list(map(clip_name, examples, itertools.count())))

    def set(self, example: Example) -> Set:
        """A clip as it is, or surrounded by silence and noise that its own samples seed."""
        samples = whole(np.asarray(self.taken(example)))
        if self.target in example:
            return Set(samples, [(float(start), float(end)) for start, end in example[self.target]])
        chosen = np.random.default_rng([self.config.split_seed, zlib.crc32(samples.tobytes())])
        rate = self.spec.sample_rate
        before, after = (int(rate * chosen.uniform(0, self.config.surround)) for _ in range(2))
        level = 10 ** (chosen.uniform(QUIETEST, LOUDEST) / 20)
        noise = level * chosen.standard_normal(before + len(samples) + after)
        noise[before:before + len(samples)] += samples
        return Set(np.clip(noise, -1, 1).astype(np.float32), [(before / rate, (before + len(samples)) / rate)])

    def targets_of(self, encoded: Sound, indices: Array) -> tuple[Tensor | None, Tensor | None]:
        """The boundaries [B, S, 2] in samples, padded with 0, and how many there are [B]: positions are known in the loss."""
        if encoded.targets is None:
            return None, None
        rows = [encoded.targets[int(index)] for index in indices]
        padded = np.zeros((len(rows), max(1, *map(len, rows)), 2), np.float32)
        for place, row in enumerate(rows):
            padded[place, :len(row)] = np.array(row, np.float32).reshape(-1, 2)
        return torch.from_numpy(padded), torch.tensor([len(row) for row in rows])

    def wanted(self, positions: int, lengths: Tensor, batch: Batch) -> Tensor:
        """1 for speech, 0 for none, IGNORED past the end: [B, P]. A position is asked at its middle."""
        assert batch.targets is not None and batch.lengths is not None
        seconds = batch.lengths * (self.spec.hop_length / self.spec.sample_rate)  # of the features [B]
        place = torch.arange(positions, device=lengths.device)
        middle = (place + 0.5) * (seconds / lengths.clamp(min=1))[:, None]  # (B, P)
        inside = (middle[:, :, None] >= batch.targets[:, None, :, 0]) & (middle[:, :, None] < batch.targets[:, None, :, 1])
        return inside.any(2).long().masked_fill(place >= lengths[:, None], IGNORED)

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        assert lengths is not None
        result: Tensor = self.loss_function(outputs, self.wanted(outputs.shape[1], lengths, batch))
        return result

    def tally(self) -> Tally:
        return ActivityTally(self)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Segments and the share of speech; the last position may reach past the clip's end, its answer does not."""
        assert batch.lengths is not None
        rate = self.spec.sample_rate
        ends = [samples * 1000 // rate / 1000 for samples in batch.lengths.tolist()]
        return [{**answer, "segments": [[start, min(stop, end)] for start, stop in answer["segments"] if start < end]}
                for answer, end in zip(super().predict(model, batch), ends, strict=True)]

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        assert lengths is not None and batch.lengths is not None
        seconds = batch.lengths * (self.spec.hop_length / self.spec.sample_rate)
        shares = outputs.float().softmax(-1)[:, :, 1].cpu()
        return [{"segments": stretches(row[:count].numpy() > 0.5, float(duration) / max(1, int(count))),
                 "speech": float(row[:count].mean()) if count else 0.0}
                for row, count, duration in zip(shares, lengths, seconds, strict=True)]


class ActivityTally:
    """Accuracy, F1 and AUC over all positions."""

    def __init__(self, problem: VoiceActivity) -> None:
        self.problem = problem
        self._shares: list[Array] = []
        self._wanted: list[Array] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert lengths is not None
        wanted = self.problem.wanted(outputs.shape[1], lengths, batch)
        own = wanted != IGNORED
        self._shares.append(outputs.float().softmax(-1)[own].double().cpu().numpy())
        self._wanted.append(wanted[own].cpu().numpy())

    def result(self) -> Judged:
        shares, wanted = np.concatenate(self._shares), np.concatenate(self._wanted)
        found = shares.argmax(1)
        values = {"accuracy": metrics.accuracy(found, wanted), "f1": metrics.f1(found, wanted)}
        if len(np.unique(wanted)) > 1:
            values["auc"] = metrics.auc(shares, wanted)
        return Judged(values["accuracy"], values, {"positions": len(wanted), "speech": float(wanted.mean())},
                      pairs={"classes": (found, wanted), "scores": (shares, wanted)})


def stretches(active: Array, step: float) -> list[list[float]]:
    """Seconds at which runs of True in ``active`` [P] begin and end; a position lasts ``step`` seconds."""
    edges = np.diff(np.concatenate([[0], active.astype(np.int8), [0]]))
    return [[round(float(start) * step, 3), round(float(end) * step, 3)]
            for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)]


def well_formed(segments: Any) -> bool:
    """Whether these are pairs of ascending seconds."""
    try:
        flat = [float(second) for start, end in segments for second in (start, end)]
    except (TypeError, ValueError):
        return False
    return all(one <= other for one, other in itertools.pairwise(flat)) and all(second >= 0 for second in flat)
