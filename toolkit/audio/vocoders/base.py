"""What all vocoders share: their front end, the check of a FrameSpec, and streaming.

Base     a vocoder with the front end whose frames it takes
Neural   a convolutional vocoder: each sample depends on a bounded number of frames; it has a faster form for a CPU
Stream   synthesis in blocks: the samples, joined, are the offline result's
turn     any vocoder, a plugin's too, into its form for synthesis

F frames, T samples.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from toolkit.audio import base
from toolkit.audio.frontends import make_frontend
from toolkit.audio.spec import CENTRED, FrameSpec
from toolkit.audio.vocoder_configs import PRECISIONS, VocoderConfig
from toolkit.audio.vocoders.channels_last import lay_out
from toolkit.config import ConfigError
from toolkit.errors import UsageError
from toolkit.registry import registry

ROUNDED = (nn.Conv1d, nn.ConvTranspose1d, nn.Linear, nn.LSTM)  # layers whose products a processor may have in bfloat16


class Base(nn.Module):
    """``vocoder(mel [B, F, mels])`` is a waveform [B, T]; one clip [F, mels] gives [T]."""

    in_bfloat16: ClassVar[tuple[str, ...]] = ()  # parts that may compute in it; what is in none of them stays float32
    precision = "float32"

    def __init__(self, config: VocoderConfig, owner: str) -> None:
        super().__init__()
        self.config, self.owner = config, owner
        # Not a submodule: its constants are made from the config, not kept with the parameters.
        self._made = (make_frontend(config.frontend),)
        self.spec: FrameSpec = self.frontend.spec
        if self.spec.values != "log-mel":
            raise ConfigError(f"frontend: {owner} needs log mel frames, {config.frontend.name} gives {self.spec.values}. "
                              "Allowed, for example: hifigan-mel, tacotron2-mel, vocos-mel.")

    @property
    def frontend(self) -> Any:
        """The front end that gives this vocoder's frames."""
        return self._made[0]

    def check(self, spec: FrameSpec, giver: str = "the front end") -> None:
        """Raise SpecMismatch, which names the fields, unless ``spec`` is this vocoder's."""
        self.spec.require(spec, self.owner, giver)

    def samples(self, frames: int) -> int:
        """How many samples ``frames`` frames become."""
        return max(0, frames - int(self.spec.padding in CENTRED)) * self.spec.hop_length

    def forward(self, mel: Tensor) -> Tensor:
        """Waveforms [B, T] of log mel frames [B, F, mels]. Raises UsageError for frames of another size."""
        if mel.dim() not in (2, 3) or mel.shape[-1] != self.spec.bins:
            raise UsageError(f"{self.owner}: got frames of shape {list(mel.shape)}, allowed: [B, F, {self.spec.bins}] "
                             f"or [F, {self.spec.bins}]")
        if self.samples(mel.shape[-2]) == 0:
            raise UsageError(f"{self.owner}: got {mel.shape[-2]} frames, which is too short to give a sample")
        return self.synthesise(mel) if mel.dim() == 3 else self.synthesise(mel[None])[0]

    def synthesise(self, mel: Tensor) -> Tensor:
        """Waveforms [B, T] of [B, F, mels]."""
        raise NotImplementedError

    def for_synthesis(self, precision: str = "float32") -> Self:
        """Turn this vocoder into the form that makes sound and is no longer taught, and return it.

        In ``float32`` the sound stays the same. In ``bfloat16`` the layers of the parts ``in_bfloat16`` have weights and
        products of that type, and the sound, float32 still, differs by their rounding; there is no way back.

        Raises UsageError for a precision that this vocoder does not have.
        """
        self._require(precision)
        if precision == "bfloat16":
            for name in self.in_bfloat16:
                lower(self.get_submodule(name))
        self.precision = precision
        return self.eval().requires_grad_(False)

    def _require(self, precision: str) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision: got {precision!r}, allowed: {', '.join(PRECISIONS)}")
        if precision == "bfloat16" and not self.in_bfloat16:
            declared = (entry.cannot.get("bfloat16") for entry in registry.entries("vocoder", self.owner)
                        if entry.name == self.owner)
            why = next(filter(None, declared), "it names no parts (in_bfloat16) that could compute in it")
            raise UsageError(f"{self.owner} has no form in bfloat16: {why}. "
                             "Leave the precision out, or say float32")
        if precision == "float32" and self.precision == "bfloat16":
            raise UsageError(f"{self.owner} was turned into bfloat16, which rounded its weights: make or load it again for "
                             "float32")

    def stream(self) -> base.Stream:
        """A new stream. Raises UsageError where a sample depends on the whole clip."""
        raise UsageError(f"{self.owner} cannot stream: each sample depends on the whole clip. "
                         "Give it the whole clip, or take hifigan-v1, hifigan-v2, hifigan-v3, vocos, lstm or wavenet")


class Neural(Base):
    """A vocoder whose samples of frame f depend on frames f - context to f + context alone."""

    context: int
    _laid_out = False

    def stream(self) -> Stream:
        return Stream(self)

    def for_synthesis(self, precision: str = "float32") -> Self:
        """As every vocoder's; weight norms are folded, and on a CPU the weights laid out for `channels_last`.

        Names and shapes of the parameters are those after `remove_weight_norm`, and so are their values in ``float32``.
        Where gradients are asked for, and on other devices, the network computes as before.
        """
        self._require(precision)
        self.remove_weight_norm()
        if all(value.device.type == "cpu" for value in self.parameters()):
            lay_out(self)
            self._laid_out = True
        return super().for_synthesis(precision)

    def _quick(self, mel: Tensor) -> bool:
        """Whether this call may overwrite what it computed before, with channels side by side."""
        if not self._laid_out or mel.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return False
        return not torch.is_grad_enabled() or not (mel.requires_grad or any(value.requires_grad for value in self.parameters()))

    def _lowered(self, device: torch.device) -> AbstractContextManager[Any]:
        """In which the network, computing as before, takes weights in the form's precision."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()

    def remove_weight_norm(self) -> None:
        """Fold every weight norm into the plain weight it stands for; the sound stays the same."""
        fold(self)


class Synthesis(Protocol):
    """What makes samples of frames, each from the ``context`` frames on both sides."""

    context: int
    spec: FrameSpec

    def __call__(self, frames: Tensor, /) -> Tensor:
        """Samples [T] of [F, ...]."""


class Stream:
    """Frames in blocks to samples in blocks, each ``vocoder.context`` frames late.

    A block is synthesised with the frames around it that it depends on, and the sound of those is
    left out, so that the samples equal the offline ones but for the rounding of sums.
    """

    def __init__(self, vocoder: Synthesis) -> None:
        self.vocoder = vocoder
        self._kept: Tensor | None = None  # [n, mels] frames from number `_first` on
        self._first = self._done = 0  # frames; the samples of those before `_done` are out

    def push(self, block: Tensor) -> Tensor:
        """The samples [T] that the frames ``block`` [n, mels] complete; T may be 0."""
        self._kept = block if self._kept is None else torch.cat((self._kept, block))
        ready = self._first + len(self._kept) - self.vocoder.context
        if ready <= self._done:
            return block.new_zeros(0)
        sound = self._sound(ready)
        self._done = ready
        drop = max(0, ready - self.vocoder.context - self._first)
        self._kept, self._first = self._kept[drop:], self._first + drop
        return sound

    def finish(self) -> Tensor:
        """The samples [T] that only the clip's end completes; the stream is then at its end."""
        kept, self._kept = self._kept, None
        if kept is None:
            return torch.zeros(0)
        self._kept = kept
        sound = self._sound(None)
        self._kept = None
        return sound

    @torch.no_grad()
    def _sound(self, end: int | None) -> Tensor:
        assert self._kept is not None
        hop = self.vocoder.spec.hop_length
        whole = self.vocoder(self._kept)
        return whole[(self._done - self._first) * hop:None if end is None else (end - self._first) * hop]


def fold(module: nn.Module) -> None:
    """Replace parametrised weights by plain parameters of the same value, also where no gradients are kept.

    Without gradients torch would leave a bare tensor, which neither ``state_dict`` nor ``to`` knows.
    """
    with torch.inference_mode(False), torch.enable_grad():
        for part in module.modules():
            if parametrize.is_parametrized(part):
                kind = type(part)  # a copy shares it with what it was copied from, and torch takes weights out of it
                part.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
                for name in list(part.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(part, name)


def lower(part: nn.Module) -> None:
    """Round the parameters of all `ROUNDED` layers in ``part`` to bfloat16, each in the layout that it has."""
    with torch.inference_mode(False), torch.no_grad():
        for layer in part.modules():
            if isinstance(layer, ROUNDED):
                for name, value in list(layer.named_parameters(recurse=False)):
                    setattr(layer, name, nn.Parameter(value.to(torch.bfloat16), requires_grad=value.requires_grad))


def turn(vocoder: Any, precision: str, name: str) -> None:
    """Turn any vocoder into its form for synthesis; one without such a form is used as it is.

    Raises UsageError for a precision that ``name`` does not have: a plugin's may have no form, or one alone.
    """
    form: Any = getattr(vocoder, "for_synthesis", None)
    if form is not None and "precision" in inspect.signature(form).parameters:
        form(precision=precision)
    elif precision != "float32":
        raise UsageError(f"{name} has no form in {precision}: its for_synthesis takes no precision. "
                         "Leave the precision out, or say float32")
    elif form is not None:
        form()
