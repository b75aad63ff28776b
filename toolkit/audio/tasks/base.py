"""What all tasks on sound share: clips in memory, transforms and front end, features standardised.

Sound     the clips of a split and their targets
Clips     a batch of them
Featured  a batch whose inputs are features already
Heard     base of the tasks
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.audio import io, manifests
from toolkit.audio.frontends import fixed
from toolkit.audio.models.base import HeardSpec
from toolkit.audio.recognition_configs import AudioTaskConfig
from toolkit.audio.spec import FrameSpec
from toolkit.audio.transforms.pipeline import Pipeline
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Problem
from toolkit.core.rows import SHOWN, Row, fault_of
from toolkit.entries import Entry
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry

MEASURED = 400  # training clips whose features tell mean and deviation
FULL_SCALE = 32768.0
Stretch = tuple[str, float, float | None]  # path, start and duration (s)
STRETCH = ("path", "start", "duration")  # the columns of a manifest that say what is heard


def path_of(example: Example) -> str:
    """The file that a clip is from, or an empty text."""
    return str(getattr(example.get("audio"), "path", ""))


def clip_name(example: Example, place: int) -> str:
    """What to call a clip in an error: the row and path of one from a manifest, the path of a folder's, else its place."""
    path = path_of(example)
    if isinstance(example, Row):
        return f"row {example.number}{path and f' ({path})'}"
    return path or unnamed(place)


def blamed(example: Example, place: int, why: str) -> str:
    """A clip that cannot be used and why, which may begin with its path."""
    return f"{clip_name(example, place)}: {why.removeprefix(f'{path_of(example)}: ')}"


def require_sound(splits: Mapping[str, Sequence[Example]], *names: str) -> None:
    """Raise UsageError for a split whose examples hold no sound under one of ``names``; rows that cannot be read tell nothing."""
    for split, rows in splits.items():
        first = next((row for row in rows if not fault_of(row)), None)
        if first is not None and not set(names) & set(first):
            raise UsageError(f"the data's split {split!r} holds {', '.join(first)} and no sound. Allowed: a folder of sound "
                             f"files, a manifest, or a data set of sound, whose examples have {' or '.join(map(repr, names))}; "
                             "see them: toolkit list dataset")


def in_memory(example: Example) -> Array:
    """The samples [T] that an example holds. Raises AudioError for those of another shape or type."""
    samples = np.asarray(example["audio"])
    if samples.ndim != 1:
        raise io.AudioError(f"its sound has the shape {samples.shape}; allowed: [T], one channel")
    require_type(samples)
    return samples


def require_type(samples: Array) -> None:
    """Raise AudioError for numbers of which it is not known what full scale is."""
    if samples.dtype.kind != "f" and samples.dtype not in (np.int16, np.int32):
        raise io.AudioError(f"samples are {samples.dtype}; allowed: floats in [-1, 1], int16 or int32. Bring others to [-1, 1], "
                            "as (samples.astype(np.float32) - 128) / 128 does where they are uint8 of a WAV file")


def require_numbers(example: Example, rate: int) -> None:
    """Raise AudioError for samples in memory that are NaN or infinite; ``rate`` (Hz) is theirs where the example has none."""
    samples = in_memory(example)
    if samples.dtype.kind == "f":
        io.check_finite(samples[:, None], "its sound", 0.0, int(example.get("sample_rate", rate)))


def stretch_of(clip: manifests.Clip) -> Stretch:
    """What of which file a clip is."""
    return clip.path, clip.start, clip.duration


def unnamed(place: int) -> str:
    """What to call a clip of which no more is known than its place in the split."""
    return f"clip {place + 1}"


@dataclass(frozen=True)
class Clips(Batch):
    """Waveforms [B, T], and what to call each example of the data in an error."""

    name: Callable[[int], str] = unnamed


@dataclass(frozen=True)
class Featured(Batch):
    """A training batch that has been through transforms and front end."""


def whole(samples: Array) -> Array:
    """Samples as float32 in [-1, 1], of floats, int16 or int32. Raises AudioError for other types."""
    require_type(samples)
    floats = samples.astype(np.float32, copy=False)
    return floats if samples.dtype.kind == "f" else floats / np.float32(-float(np.iinfo(samples.dtype).min))


class Sound:
    """Waveforms [T], int16 or float32, one a clip, with their targets and what to call each in an error where that is known."""

    def __init__(self, clips: Sequence[Array], targets: Any = None, names: Sequence[str] = ()) -> None:
        self.clips, self.targets, self.names = clips, targets, names
        self.sizes = np.array([len(clip) for clip in clips], np.int64)

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        """What to call a clip in an error."""
        return self.names[index] if self.names else unnamed(index)

    def pad(self, indices: Array) -> tuple[Tensor, Tensor]:
        """Clips ``indices`` as [B, T] float in [-1, 1], zeros past their ends, and their lengths."""
        lengths = self.sizes[indices]
        filled = np.zeros((len(indices), max(1, int(lengths.max(initial=0)))), np.float32)
        for row, index in enumerate(indices):
            clip = self.clips[index]
            filled[row, :len(clip)] = whole(clip)
        return torch.from_numpy(filled), torch.from_numpy(lengths)


class HeardProblem(Problem[Any]):
    """Clips in; the model's inputs are the front end's features, each bin with mean 0 and deviation 1 over the training clips."""

    config: AudioTaskConfig
    unit = "clips"
    judges_rows = True
    level: ClassVar[Any] = "clip"  # or "frames"

    def __init__(self, config: AudioTaskConfig) -> None:
        super().__init__(config)
        self.model_part: Any = config.model  # type: ignore[attr-defined]
        self.ears: Any = fixed(config.frontend)  # for batches that are made ahead, on the CPU
        self.frontend = copy.deepcopy(self.ears)  # where the model is
        self.spec: FrameSpec = self.ears.spec
        self.transforms = Pipeline(config.transforms, self.spec.sample_rate) if config.transforms else None
        self.mean, self.deviation = torch.zeros(self.spec.bins), torch.ones(self.spec.bins)
        self.inherited = self.restored = False
        self._heard: dict[Stretch, Array] = {}  # clips of files, from `check` until they are encoded

    @property
    def outputs(self) -> int:
        raise NotImplementedError

    @property
    def target(self) -> str:
        """The column that holds what is to be told."""
        raise NotImplementedError

    def components(self) -> list[Entry]:
        return [registry.get("transform", step.name) for step in (self.transforms.steps if self.transforms else ())]

    def fingerprint(self) -> str:
        return self.transforms.fingerprint() if self.transforms else ""

    # -- before training

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        """Every clip is heard before training: what cannot be used is counted, with the rows of the first.

        What is heard is kept until it is encoded, so that a file is decoded once.
        """
        require_sound(splits, "audio")
        again = self.restored and "train" in splits  # a finished run's own data: training has heard it, and does not now
        heard: dict[Stretch, Array] | None = None if again and not self.config.skip_bad else {}
        faults = {split: {place: why for place, row in enumerate(rows)
                          if (why := self.fault(row) or (None if heard is None else self._unsound(row, heard)))}
                  for split, rows in splits.items()}
        self._leave_out(splits, faults, self.misfits(splits, faults))
        self._heard = {} if again or heard is None else heard

    def misfits(self, splits: Mapping[str, Sequence[Example]], faults: Mapping[str, dict[int, str]]) -> str:
        """Add clips that do not fit the others to ``faults``, which say by place why one cannot be used; what can be done."""
        return "Mend them"

    def _unsound(self, row: Example, heard: dict[Stretch, Array]) -> str | None:
        """Why a clip's samples cannot be used, or None; what is ``heard`` of a file is put there."""
        clip = row["audio"]
        try:
            if isinstance(clip, manifests.Clip):
                heard[stretch_of(clip)] = self.samples(row)
            else:
                require_numbers(row, self.spec.sample_rate)
        except ToolkitError as error:
            return str(error)
        return None

    def taken(self, example: Example) -> Array:
        """`samples`, which are not kept any longer."""
        samples = self.samples(example)
        if isinstance(example["audio"], manifests.Clip):
            self._heard.pop(stretch_of(example["audio"]), None)
        return samples

    def _leave_out(self, splits: MutableMapping[str, Sequence[Example]], faults: Mapping[str, Mapping[int, str]],
                   advice: str) -> None:
        """Refuse clips with ``faults``, or leave them out where the config says so."""
        refused = []
        for split, rows in list(splits.items()):
            found = faults[split]
            if not found:
                continue
            shown = "; ".join(blamed(rows[place], place, found[place]) for place in sorted(found)[:SHOWN])
            bad = f"{len(found)} of {len(rows)} clips ({split})"
            told = f"{shown}{'; ...' if len(found) > SHOWN else ''}"
            if self.config.skip_bad and len(found) == len(rows):
                raise UsageError(f"{bad} cannot be used, so that none is left: {told}. {advice}")
            if self.config.skip_bad:
                warnings.warn(f"{bad} are left out: {told}", stacklevel=2)
                splits[split] = [row for place, row in enumerate(rows) if place not in found]
            else:
                refused.append(f"{bad} cannot be used: {told}. ")
        if refused:
            raise UsageError(f"{''.join(refused)}{advice}{self._way_on}")

    @property
    def _way_on(self) -> str:
        """How to go on without bad clips."""
        if self.restored:
            return ", or judge other data without them: toolkit evaluate RUN --data DATA --skip-bad"
        return ", or let training go on without them: toolkit run ... --skip-bad true"

    def fault(self, row: Example) -> str | None:
        """Why a clip cannot be used, or None."""
        if fault_of(row):
            return fault_of(row)
        if row.get(self.target) in (None, ""):
            return f"no {self.target!r}"
        audio = row["audio"]
        try:
            samples = self.length(row)
        except ToolkitError as error:
            return str(error)
        name = f"{audio.path}: " if isinstance(audio, manifests.Clip) else ""
        if samples <= 0:
            return f"{name}its sound has length zero"
        return None if self.spec.frames(samples) else name + self.spec.too_short(samples)

    def fit(self, examples: Sequence[Example]) -> None:
        self.fit_targets(examples)
        if self.inherited:
            return
        chosen = np.random.default_rng(self.config.split_seed).permutation(len(examples))[:MEASURED]
        clips = (torch.from_numpy(whole(self.samples(examples[int(place)]))) for place in np.sort(chosen))
        own = torch.cat([self.ears(clip)[0] for clip in clips]).double()  # [frames, bins]
        self.mean, self.deviation = own.mean(0).float(), own.std(0).clamp(min=1e-5).float()

    def fit_targets(self, examples: Sequence[Example]) -> None:
        raise NotImplementedError

    def inherit(self, facts: Mapping[str, Any]) -> None:
        """How features are scaled; the targets are learned anew."""
        self._take(facts)
        self.inherited = True

    def facts(self) -> dict[str, Any]:
        return {"target": self.target, "mean": self.mean, "deviation": self.deviation, "spec": self.spec.json()}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.target_name = facts["target"]
        self.restored = True
        self._take(facts)

    def _take(self, facts: Mapping[str, Any]) -> None:
        FrameSpec.from_json(facts["spec"]).require(self.spec, "the run", "its front end")
        self.mean, self.deviation = facts["mean"], facts["deviation"]

    def build(self) -> nn.Module:
        return self.made_model(self.outputs)

    def made_model(self, outputs: int, begun: bool = False) -> nn.Module:
        """The model; where it has ``begun`` its weights come from elsewhere, and the file it began from need not be there."""
        options = dict(self.model_part.options)
        if begun or self.restored:
            options.pop("weights", None)
        model: nn.Module = registry.make("model", self.model_part.name, inputs=self.spec.bins, outputs=outputs,
                                         spec=HeardSpec(self.level, self.spec), **options)
        return model

    # -- batches

    def samples(self, example: Example) -> Array:
        """The clip's sound at the front end's rate, mono: [T] int16 or float32."""
        audio, rate = example["audio"], self.spec.sample_rate
        if isinstance(audio, manifests.Clip):
            if (heard := self._heard.get(stretch_of(audio))) is not None:
                return heard
            loaded, _ = audio.load(rate)
            return np.asarray(loaded).reshape(-1).astype(np.float32)
        array = in_memory(example)
        given = int(example.get("sample_rate", rate))
        if given == rate:
            return array if array.dtype == np.int16 else whole(array)
        return io.resampled(whole(array), given, rate)

    def length(self, example: Example) -> int:
        """Samples [T] of the clip at the front end's rate, without decoding it. Raises AudioError for one past its file's end."""
        audio, rate = example["audio"], self.spec.sample_rate
        if isinstance(audio, manifests.Clip):
            return round(manifests.seconds_of(audio) * rate)
        return round(len(in_memory(example)) * rate / int(example.get("sample_rate", rate)))

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Sound:
        """The sound of examples. Raises AudioError for a clip without a target that is too short for a frame or no numbers."""
        clips = [self.taken(example) for example in examples]
        for example, clip in zip(examples, clips, strict=True):
            if not targets and not isinstance(example["audio"], manifests.Clip):
                require_numbers(example, self.spec.sample_rate)
            if not targets and not self.spec.frames(len(clip)):
                raise io.AudioError(f"{getattr(example['audio'], 'path', 'a clip')}: {self.spec.too_short(len(clip))}")
        return Sound(clips, self.encode_targets(examples) if targets else None, list(map(clip_name, examples, count())))

    def encode_targets(self, examples: Sequence[Example]) -> Any:
        raise NotImplementedError

    def sizes(self, encoded: Sound) -> Array:
        return encoded.sizes

    def collate(self, encoded: Sound, indices: Array) -> Batch:
        inputs, lengths = encoded.pad(indices)
        return Clips(inputs, lengths, *self.targets_of(encoded, indices), indices, encoded.name)

    def targets_of(self, encoded: Sound, indices: Array) -> tuple[Tensor | None, Tensor | None]:
        """The targets of a batch and, for sequences, their lengths; here one target a clip, encoded as a tensor [N]."""
        return (None if encoded.targets is None else encoded.targets[torch.from_numpy(indices)]), None

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        if self.transforms is None:
            return batch
        assert batch.lengths is not None
        inputs, lengths = self.transforms(batch.inputs, batch.lengths, generator)
        self._require_sound(batch, lengths)
        inputs, lengths = self.ears(inputs, lengths)
        inputs, lengths = self.transforms.features(inputs, lengths, generator)
        return Featured(inputs, lengths, batch.targets, batch.target_lengths, batch.indices)

    def _require_sound(self, batch: Batch, lengths: Tensor) -> None:
        """Raise UsageError where the transforms left less than a frame of a clip, such as ``trim`` of one that is silent."""
        assert batch.lengths is not None and self.transforms is not None
        name_of = batch.name if isinstance(batch, Clips) else unnamed
        for index, before, after in zip(batch.indices, batch.lengths.tolist(), lengths.tolist(), strict=True):
            if not self.spec.frames(after):
                named, shortening = name_of(int(index)), " and ".join(self.transforms.shortening)
                raise UsageError(f"--transforms: {shortening} left {after} of the {before} samples of {named} of the training "
                                 f"data; {self.spec.too_short(after)}. Leave that clip out of the data, or {shortening} out of "
                                 "--transforms")

    def features(self, batch: Batch) -> Batch:
        ready = batch if isinstance(batch, Featured) else super().features(batch)
        scaled = (ready.inputs - self.mean.to(ready.inputs.device)) / self.deviation.to(ready.inputs.device)
        return replace(ready, inputs=scaled)

    # -- what people ask about

    @property
    def asked_columns(self) -> Sequence[str]:
        return STRETCH

    def asked(self, rows: Sequence[Any], source: Path) -> Sequence[Any]:
        return asked_clips(rows, source)

    def as_example(self, value: Any) -> Example:
        return heard_example(value)


def heard_example(value: Any) -> Example:
    """A path, a `toolkit.audio.manifests.Clip`, a row with one or of a manifest, or samples [T] at the front end's rate."""
    if isinstance(value, str):
        return {"audio": manifests.Clip(value)}
    if isinstance(value, manifests.Clip):
        return {"audio": value}
    if isinstance(value, Mapping):
        return value if "audio" in value else {**value, "audio": manifests.clip_of(value, "predict", Path())}
    return {"audio": np.asarray(value)}


def asked_clips(rows: Sequence[Any], source: Path) -> list[manifests.Clip | ToolkitError]:
    """Names of files and rows of a manifest as clips; as in training they count from the folder that ``source`` is in."""
    manifests.refuse_columns(source, [row for row in rows if isinstance(row, Mapping)])
    return [asked_clip(row, source.resolve().parent) for row in rows]


def asked_clip(row: Any, folder: Path) -> manifests.Clip | ToolkitError:
    """The clip that a row of a manifest or the name of a file in ``folder`` means, or why it cannot be heard."""
    fault = fault_of(row)
    if fault:
        return manifests.ManifestError(fault)
    try:
        return manifests.asked_clip(row if isinstance(row, Mapping) else {"path": row}, folder)
    except manifests.ManifestError as error:
        return error
