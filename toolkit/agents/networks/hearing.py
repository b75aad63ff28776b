"""``hearing``: a front end and a model of sound before the policy, joined with what else is observed.

Hearing      the network: [B, ...] observations to features
Ears         the front end's part of it: waveforms to scaled frames; fixed unless the front end has parameters
TrainedEars  a trained recogniser's front end and encoder in their place, fixed
ConvPool     the small model of sound that is the default

A sound in an observation is a float32 Box within [-1, 1] whose last axis is a waveform: [T] or [E, T].
Letters: B batch, E ears, T samples, F frames, C channels.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from toolkit.agents.base import Array
from toolkit.agents.configs import ConvPoolConfig, HearingConfig
from toolkit.agents.networks.encode import Flattened, encode_leaf, leaf_spaces, width
from toolkit.agents.perception import Features
from toolkit.audio.frontends import heard_through, learned
from toolkit.audio.models.base import Heard, HeardSpec, pooled
from toolkit.config import Part
from toolkit.core.problem import Batch
from toolkit.envs import packing
from toolkit.errors import UsageError
from toolkit.registry import registry

RATE = 16_000  # Hz, of the sound in observations
SHORTEST = 400  # samples; a shorter Box is not taken for sound
CALIBRATION_LEVELS = (0.003, 0.03, 0.3)  # root mean squares of the noise that frames are scaled by
Space = gymnasium.Space[Any]


def is_sound(space: Space) -> bool:
    """Whether elements of ``space`` are waveforms, [T] or [E, T]."""
    return (isinstance(space, spaces.Box) and space.dtype == np.float32 and len(space.shape) in (1, 2)
            and space.shape[-1] >= SHORTEST and bool((space.low == -1).all() and (space.high == 1).all()))


class Encoded(spaces.Box):
    """What a trained recogniser heard, [W], in the place of the sound."""

    def __init__(self, width: int) -> None:
        super().__init__(-np.inf, np.inf, (width,), np.float32)


class Ears(nn.Module):
    """Waveforms [B, T] or [B, E, T] to frames [B, F, E * bins], about standardised.

    Frames are shifted and scaled by two numbers that the front end's answer to pink noise at three
    levels gives: the same for every run, whatever the front end.
    """

    def __init__(self, frontend: Part) -> None:
        super().__init__()
        self.frontend = heard_through(frontend)
        center, scale = self._calibrate()
        self.center, self.scale = center, scale

    @property
    def fixed(self) -> bool:
        """Whether nothing in the front end is learned."""
        return not learned(self.frontend)

    @torch.no_grad()
    def _calibrate(self) -> tuple[float, float]:
        spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(16_000))
        pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)))
        pink = pink / np.sqrt(np.mean(pink**2))
        levels = np.clip(np.stack([pink * level for level in CALIBRATION_LEVELS]), -1, 1).astype(np.float32)  # [3, T]
        frames, _ = self.frontend(torch.from_numpy(levels), None)
        return float(frames.mean()), max(float(frames.std()), 1e-6)

    def forward(self, sound: Tensor) -> Tensor:
        flat = sound.reshape(-1, sound.shape[-1])  # [B * E, T]
        frames, _ = self.frontend(flat, None)
        # In one pass over memory: two passes are a fifth of the whole front end's time.
        scaled = torch.add(frames.new_tensor(-self.center / self.scale), frames, alpha=1.0 / self.scale)  # [B * E, F, bins]
        if sound.dim() == 2:
            return scaled
        ears = scaled.unflatten(0, sound.shape[:2])  # [B, E, F, bins]
        return ears.transpose(1, 2).flatten(2)  # [B, F, E * bins]

    def heard(self, space: Space) -> Space:
        """What stands in the place of a sound of ``space``."""
        return Features(self.shape(space), getattr(self.frontend, "spec", None))

    def shape(self, space: Space) -> tuple[int, int]:
        """Frames and bins of a sound of ``space``; raises UsageError where the front end cannot hear it."""
        silence = torch.zeros(1, *(space.shape or ()))
        with torch.no_grad():
            _, frames, bins = self(silence).shape
        return frames, bins


class TrainedEars(nn.Module):
    """Waveforms [B, T] or [B, E, T] to what a trained recogniser's encoder makes of them, [B, E * W]; fixed.

    Front end, mean and deviation are the recogniser's. Its states are pooled over the clip as for its own
    answers, and each vector is standardised. Raises UsageError for a run whose model has no such states.
    """

    def __init__(self, recogniser: Any, run: str) -> None:
        super().__init__()
        problem, model = recogniser.problem, recogniser.model
        if not (hasattr(problem, "ears") and isinstance(model, Heard)):
            raise UsageError(f"--network.init-from {run}: a model {type(model).__name__} that {type(problem).__name__} trained "
                             "has no encoder of sound. Allowed: a run of a task on sound. Train one: "
                             "toolkit run audio-classification --data spoken-commands")
        if problem.spec.sample_rate != RATE:
            raise UsageError(f"--network.init-from {run}: it hears {problem.spec.sample_rate} samples a second; allowed: {RATE}")
        self.problem, self.model = problem, model.eval()

    def heard(self, space: Space) -> Space:
        """What stands in the place of a sound of ``space``."""
        return Encoded(self(torch.zeros(1, *(space.shape or ()))).shape[1])

    @torch.no_grad()
    def forward(self, sound: Tensor) -> Tensor:
        flat = sound.reshape(-1, sound.shape[-1])  # [B * E, T]
        heard = self.problem.features(Batch(flat, torch.full((len(flat),), flat.shape[1])))
        vectors = pooled(*self.model.states(heard.inputs, heard.lengths))  # [B * E, W]
        return functional.layer_norm(vectors, vectors.shape[-1:]).reshape(len(sound), -1)


class FrontendPerception:
    """Every sound of an observation as its frames, or as what a recogniser heard; the other elements as they are."""

    def __init__(self, ears: Ears | TrainedEars, space: Space) -> None:
        self.ears, self.raw = ears, space
        self._alone = not packing.is_packed(space)
        self.space: Space = self._heard(space) if self._alone else spaces.Dict(
            {leaf.path: self._heard(leaf.space) for leaf in packing.layout(space).leaves})

    def _heard(self, space: Space) -> Space:
        if not is_sound(space):
            return space
        return self.ears.heard(space)

    @torch.no_grad()
    def __call__(self, observations: Array) -> Array:
        if self._alone:
            return self._frames(observations)
        parts = packing.unpack(self.raw, observations)
        for leaf in packing.layout(self.raw).leaves:
            if is_sound(leaf.space):
                parts[leaf.path] = self._frames(parts[leaf.path])
        return packing.pack_batch(self.space, parts, len(observations))

    def _frames(self, sound: Array) -> Array:
        frames: Array = self.ears(torch.from_numpy(sound)).numpy()
        return frames


class Hearing(nn.Module):
    """Observations [B, ...] to features [B, hidden]: each sound through the model, then everything through a layer.

    It takes sound, or the frames that its `perception` made of it. A model's outputs for each frame
    [B, F, features] are averaged over the frames. Raises UsageError without a sound to hear.
    """

    replaced_by_recogniser: ClassVar = ("frontend", "model", "sound_features")  # settings that init_from leaves without effect

    def __init__(self, config: HearingConfig, *, observation_space: Space) -> None:
        super().__init__()
        self.config, self.space = config, observation_space
        found = elements(observation_space)
        require_sound(observation_space)
        self.ears = Ears(config.frontend) if any(is_sound(leaf) for leaf in found) else None
        shapes = [self._frames(leaf) for leaf in found if self._audible(leaf)]
        specs = [leaf.spec for leaf in found if isinstance(leaf, Features)]
        spec = specs[0] if specs else getattr(getattr(self.ears, "frontend", None), "spec", None)
        self.models = nn.ModuleList(make_model(config, bins, spec) for _, bins in shapes)
        others = sum(width(leaf) for leaf in found if not self._audible(leaf))
        self.joined = nn.Linear(config.sound_features * len(shapes) + others, config.hidden_size)
        self.features = config.hidden_size

    @staticmethod
    def perception(config: HearingConfig, observation_space: Space, recogniser: Any = None) -> FrontendPerception | None:
        """The front end, or the ``recogniser`` of ``init_from``, as a perception; None where it is learned, and must run
        inside the network."""
        require_sound(observation_space)
        if recogniser is not None:
            return FrontendPerception(TrainedEars(recogniser, config.init_from), observation_space)
        ears = Ears(config.frontend)
        return FrontendPerception(ears, observation_space) if ears.fixed else None

    @staticmethod
    def _audible(space: Space) -> bool:
        return isinstance(space, Features) or is_sound(space)

    def _frames(self, space: Space) -> tuple[int, int]:
        if isinstance(space, Features):
            return space.shape  # type: ignore[return-value]
        assert self.ears is not None
        return self.ears.shape(space)

    def forward(self, observations: Tensor) -> Tensor:
        encoded, models = [], iter(self.models)
        for space, values in self._leaves(observations):
            encoded.append(self._hear(next(models), space, values) if self._audible(space) else encode_leaf(space, values))
        return torch.relu(self.joined(torch.cat(encoded, -1)))  # [B, hidden]

    def _leaves(self, observations: Tensor) -> list[tuple[Space, Tensor]]:
        if isinstance(self.space, Flattened):
            return self.space.split(observations)
        if not packing.is_packed(self.space):
            return [(self.space, observations)]
        parts = packing.unpack(self.space, observations)
        return [(leaf.space, parts[leaf.path]) for leaf in packing.layout(self.space).leaves]

    def _hear(self, model: nn.Module, space: Space, values: Tensor) -> Tensor:
        if isinstance(space, Features):
            frames = values
        else:
            assert self.ears is not None
            frames = self.ears(values)
        outputs, lengths = model(frames, torch.full((len(frames),), frames.shape[1], device=frames.device))
        if outputs.dim() == 3:
            outputs = mean_over(outputs, lengths)  # [B, features]
        return torch.relu(outputs)


def make_model(config: HearingConfig, bins: int, spec: Any) -> nn.Module:
    """The model of sound for frames of ``bins`` values by a front end of ``spec``.

    Raises UsageError whose flags, those of a task where a model names any, are this network's.
    """
    try:
        model: nn.Module = registry.make("model", config.model.name, inputs=bins, outputs=config.sound_features,
                                         spec=HeardSpec("frames", spec), **config.model.options)
    except UsageError as error:
        error.args = (re.sub(r"--(?=(model|frontend)\b)", "--network.", str(error)),)
        raise
    return model


def elements(space: Space) -> list[Space]:
    """The elementary spaces of observations, also of those that stand flat beside an action."""
    return space.parts if isinstance(space, Flattened) else leaf_spaces(space)


def require_sound(space: Space) -> None:
    """Raise UsageError unless something in the observation is sound, or frames of it."""
    if not any(isinstance(leaf, (Features, Encoded)) or is_sound(leaf) for leaf in elements(space)):
        raise UsageError(f"the network 'hearing' needs sound in the observations: a float32 Box from -1 to 1 of shape [samples] "
                         f"or [ears, samples], at least {SHORTEST} samples; this environment's are {space}. Use --network mlp")


def mean_over(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """The mean [B, C] over the first ``lengths`` frames of [B, F, C]."""
    if lengths is None:
        return outputs.mean(1)
    inside = torch.arange(outputs.shape[1], device=outputs.device) < lengths[:, None]  # [B, F]
    return (outputs * inside.unsqueeze(-1)).sum(1) / lengths.clamp(min=1)[:, None]


class ConvPool(nn.Module):
    """Frames [B, F, bins] to outputs [B, C]: convolutions over time, then their mean and maximum over time.

    It looks at neighbouring frames, not at their place in the clip; small and quick on a CPU.
    """

    def __init__(self, config: ConvPoolConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__()
        channels = [inputs, *[config.channels] * config.layers]
        self.strides = [config.stride, *[1] * (config.layers - 1)]
        self.kernel = config.kernel_size
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, config.kernel_size, stride, padding=config.kernel_size // 2)
            for i, o, stride in zip(channels[:-1], channels[1:], self.strides, strict=True))
        self.output = nn.Linear(2 * config.channels, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if lengths is None:
            lengths = torch.full((len(inputs),), inputs.shape[1], device=inputs.device)
        hidden, left = inputs.transpose(1, 2), lengths  # [B, C, F]
        for layer, stride in zip(self.convolutions, self.strides, strict=True):
            hidden = torch.relu(layer(hidden * self._inside(hidden, left)))
            left = torch.div(left - 1, stride, rounding_mode="floor") + 1
        inside = self._inside(hidden, left)  # [B, 1, F]
        mean = (hidden * inside).sum(-1) / left.clamp(min=1)[:, None]
        highest = (hidden * inside).amax(-1)  # what is past a length is 0, and so is the least that a rectifier gives
        return self.output(torch.cat([mean, highest], -1)), None

    @staticmethod
    def _inside(hidden: Tensor, lengths: Tensor) -> Tensor:
        return (torch.arange(hidden.shape[-1], device=hidden.device) < lengths[:, None]).unsqueeze(1)
