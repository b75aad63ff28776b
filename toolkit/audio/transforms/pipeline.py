"""Pipelines: transforms by name, one after another.

    noise(snr=10..30) | speed(0.9, 1.0, 1.1)

Step       one transform as data: its name and its options
parse      steps from text, from a list, or from a TOML file's array of tables ``[[transforms]]``
Pipeline   the transforms made, applied to waveforms and, after the front end, to features

In the text a value is a number, a word, a range LOW..HIGH (drawn between) or several values separated by commas.
Values without a name belong to the transform's first setting (but for probability, seed and sample_rate).
Nothing heavy is imported to refuse a wrong pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.config import ConfigError, Setting, lookup
from toolkit.errors import UsageError
from toolkit.registry import registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from toolkit.audio.transforms.blocks import Sound

STEP = re.compile(r"\s*(?P<name>[A-Za-z0-9_./-]+)\s*(?:\((?P<inside>[^()]*)\))?\s*")
RANGE = re.compile(r"\s*(?P<low>[^.].*?)\s*\.\.\s*(?P<high>.+?)\s*")
SHARED = ("sample_rate",)
NOT_FIRST = ("probability", "seed", *SHARED)  # never what a value without a name is for
EXAMPLE = 'for example "noise(snr=10..30) | speed(0.9, 1.0, 1.1)"'


@dataclass(frozen=True)
class Step:
    """One transform of a pipeline: its name and the options given."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Setting]:
        return {item.name: item for item in registry.get("transform", self.name).settings}

    def spelled(self) -> str:
        """The step as `parse` reads it."""
        words = [f"{name}={spelled_value(value)}" for name, value in self.options.items()]
        return f"{self.name}({', '.join(words)})" if words else self.name


def parse(pipeline: str | Sequence[Any]) -> list[Step]:
    """The steps of a pipeline, every name and value checked.

    ``pipeline`` is the text above, the name of a TOML file that holds ``transforms`` (a list of such texts or of
    tables with ``name``), or such a list. Raises UnknownComponent or ConfigError naming what is wrong.
    """
    if isinstance(pipeline, str):
        if pipeline.endswith(".toml"):
            return parse(from_file(Path(pipeline)))
        return [step_of(text) for text in pipeline.split("|")] if pipeline.strip() else []
    steps = []
    for item in pipeline:
        if isinstance(item, Step):
            steps.append(item)
        elif isinstance(item, str):
            steps += parse(item)
        elif isinstance(item, Mapping) and isinstance(item.get("name"), str):
            given = {name.replace("-", "_"): value for name, value in item.items() if name != "name"}
            with blaming(item["name"]):
                steps.append(checked(item["name"], given))
        else:
            raise ConfigError(f"transforms: got {item!r}, allowed: a text, {EXAMPLE}, or a table with a name")
    return steps


def from_file(path: Path) -> list[Any]:
    """The value of ``transforms`` in a TOML file. Raises UsageError when there is none."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: it is not TOML: {error}") from error
    found = table.get("transforms")
    if isinstance(found, str):
        return [found]
    if not isinstance(found, list):
        raise UsageError(f'{path}: it has no list "transforms"; write transforms = ["gain(-6..6)", ...] or [[transforms]] tables')
    return found


def step_of(text: str) -> Step:
    match = STEP.fullmatch(text)
    if match is None:
        raise ConfigError(f"transforms: {text.strip()!r} is not a step. Write NAME or NAME(setting=value, ...), {EXAMPLE}")
    name = match["name"]
    settings = Step(name).settings
    with blaming(name):
        return checked(name, {key: value_of(lookup(settings, key), words)
                              for key, words in words_of(settings, match["inside"] or "").items()})


def words_of(settings: Mapping[str, Setting], inside: str) -> dict[str, list[str]]:
    """What stands between the parentheses of a step: setting -> the words given for it."""
    first = next((setting for setting in settings if setting not in NOT_FIRST), "")
    given: dict[str, list[str]] = {}
    current = first
    for word in filter(None, (word.strip() for word in inside.split(","))):
        key, equals, value = word.partition("=")
        if equals:
            current = key.strip().replace("-", "_")
            if current in given:
                raise ConfigError(f"{current} is given twice")
        elif not current:
            raise ConfigError(f"it has no settings; got {word!r}")
        given.setdefault(current, []).append(value.strip() if equals else word)
    return given


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """Let what is wrong with a step name its transform: there may be several."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"transforms: {name}: {error}") from error


def value_of(setting: Setting, words: Sequence[str]) -> Any:
    """The value of one setting from the words given for it."""
    pair = RANGE.fullmatch(words[0]) if len(words) == 1 and setting.type in ("int", "float") else None
    if pair and is_drawn(setting):
        words = [pair["low"], pair["high"]]
    elif pair:
        raise ConfigError(f"{setting.name} is not drawn from a range; got {words[0]!r}, allowed: {setting.allowed}")
    return setting.parse(",".join(words))


def is_drawn(setting: Setting) -> bool:
    """Whether a setting is one number or two between which one is drawn; more by default are a list to choose from."""
    return setting.many and isinstance(setting.default, (tuple, list)) and len(setting.default) <= 2


def checked(name: str, given: Mapping[str, Any]) -> Step:
    """A step whose options exist and are allowed; a single value stands for a list of one."""
    settings = Step(name).settings
    options = {}
    for key, value in given.items():
        setting = lookup(settings, key)
        if setting.many and (isinstance(value, str) or not isinstance(value, Sequence)):
            value = value_of(setting, [value]) if isinstance(value, str) else (value,)
        options[key] = setting.check(value)
    return Step(registry.get("transform", name).name if "/" not in name else name, options)


def spelled_value(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(spelled_value(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else f"{value:.12g}" if isinstance(value, float) else str(value)


class Pipeline:
    """Transforms one after another.

    ``pipeline`` is what `parse` takes; ``sample_rate`` is given to every transform that has that setting and was
    not given another. Transforms of waveforms come before those of features. All draw from one generator, made
    from ``seed``, or the one given with the call.
    """

    def __init__(self, pipeline: str | Sequence[Any], sample_rate: int = 16000, seed: int = 0) -> None:
        import torch

        self.steps = parse(pipeline)
        self.sample_rate = sample_rate
        self.transforms = [self._made(step) for step in self.steps]
        domains = [getattr(transform, "domain", "waveform") for transform in self.transforms]
        if domains != sorted(domains, reverse=True):
            late = self.steps[max(place for place, domain in enumerate(domains) if domain == "waveform")].name
            raise UsageError(f"transforms: {late} changes waveforms and must come before the transforms of features")
        self.on_waveforms = [item for item, domain in zip(self.transforms, domains) if domain == "waveform"]
        self.on_features = [item for item, domain in zip(self.transforms, domains) if domain == "features"]
        self.generator = torch.Generator().manual_seed(seed)

    def fingerprint(self) -> str:
        """A word of the steps and of the recordings that they draw from: another where a file of them holds something else."""
        import hashlib

        lines = [step.spelled() for step in self.steps]
        for transform in self.transforms:
            recordings = getattr(transform, "recordings", None)
            lines += recordings.fingerprint() if recordings is not None else []
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()

    def _made(self, step: Step) -> Any:
        given = {name: self.sample_rate for name in SHARED if name in step.settings}
        with blaming(step.name):
            return registry.make("transform", step.name, **{**given, **step.options})

    def __call__(self, waveform: Tensor, lengths: Tensor | None = None,
                 generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Waveforms [B, T'] and lengths [B] after every transform of waveforms; one clip [T] gives [T']."""
        import torch

        if lengths is None:
            lengths = torch.full((len(waveform) if waveform.dim() == 2 else 1,), waveform.shape[-1], dtype=torch.int64)
        return self._applied(self.on_waveforms, waveform, lengths, generator)

    def in_blocks(self, sound: Sound, generator: torch.Generator | None = None) -> Sound:
        """A mono clip of any length after every transform of waveforms: as a call on the whole, within rounding.

        It takes constant memory but for transforms with ``whole_clip``, which hold it. How it is read changes nothing.
        """
        for transform in self.on_waveforms:
            if not sound.samples:
                return sound
            source = generator or self.generator
            sound = held_whole(transform, sound, source) if needs_whole(transform) else transform.in_blocks(sound, source)
        return sound

    def readings(self, samples: int) -> int:
        """How often a clip of ``samples`` samples is read by `in_blocks` and for the blocks that it gives."""
        count = 1
        for transform in self.on_waveforms:
            if needs_whole(transform):
                return count  # what follows reads what is held
            count += transform.readings(samples)
        return count

    def features(self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, F, bins] and frames [B] after every transform of features."""
        return self._applied(self.on_features, features, lengths, generator)

    def _applied(self, transforms: Sequence[Any], values: Tensor, lengths: Tensor,
                 generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        for transform in transforms:
            values, lengths = transform(values, lengths, generator or self.generator)
        return values, lengths

    @property
    def moving(self) -> list[str]:
        """The names of transforms after which what is heard is elsewhere in time."""
        return [step.name for step, item in zip(self.steps, self.transforms, strict=True)
                if not getattr(item, "keeps_time", getattr(item, "keeps_length", True))]

    @property
    def shortening(self) -> list[str]:
        """The names of transforms after which a clip may be shorter."""
        return [step.name for step, item in zip(self.steps, self.transforms, strict=True)
                if not getattr(item, "keeps_length", False)]

    def spelled(self) -> str:
        """The pipeline as text."""
        return " | ".join(step.spelled() for step in self.steps)


def needs_whole(transform: Any) -> bool:
    """Whether a transform works on whole clips alone, as those of plugins do that say nothing else.

    One that inherits its way with blocks from a class whose `apply` it replaces must not be asked for it.
    """
    ages = {name: age for age, kind in reversed([*enumerate(type(transform).__mro__)]) for name in vars(kind)}
    return bool(getattr(transform, "whole_clip", True)) or ages.get("apply", 0) < ages.get("over", 0)


def held_whole(transform: Any, sound: Sound, generator: torch.Generator) -> Sound:
    """The clip after a transform that needs all of it at once."""
    import torch

    from toolkit.audio.transforms.blocks import Sound

    clip, _ = transform(torch.cat([*sound.read()]), None, generator)
    return Sound(lambda: [clip] if len(clip) else [], len(clip))
