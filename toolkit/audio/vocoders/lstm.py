"""``lstm``: recurrent layers over frames, then magnitudes and phases and one inverse transform.

The layers look back alone, so that synthesis streams: only the first convolution and the transform wait for the
frames after. Source of the head: Siuzdak (2023), "Vocos", section 3; of the layers: Hochreiter and Schmidhuber (1997).

B clips, F frames, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from toolkit.audio.spec import FrameSpec
from toolkit.audio.vocoder_configs import LSTMVocoderConfig
from toolkit.audio.vocoders.base import Base, Stream
from toolkit.audio.vocoders.spectra import Spectra

KERNEL, LOUDEST = 7, 100.0
State = tuple[Tensor, Tensor]


class LSTM(Base):
    """Log magnitudes and phases of each frame from all frames before it and a few after."""

    in_bfloat16 = ("recurrent",)  # not the head: phases are many radians, which bfloat16 knows to a tenth

    def __init__(self, config: LSTMVocoderConfig) -> None:
        super().__init__(config, "lstm")
        self.spectra = Spectra(self.spec)
        self.embed = nn.Conv1d(self.spec.bins, config.hidden_size, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.recurrent = nn.LSTM(config.hidden_size, config.hidden_size, config.layers, batch_first=True)
        self.head = nn.Linear(2 * config.hidden_size, self.spec.n_fft + 2)

    def synthesise(self, mel: Tensor) -> Tensor:
        return self.spectra.synthesise(self.spectrum(self.embedded(mel))[0])

    def embedded(self, mel: Tensor) -> Tensor:
        """States [B, F, W] of frames [B, F, mels] with KERNEL // 2 frames on both sides."""
        return self.norm(self.embed(mel.transpose(1, 2)).transpose(1, 2))

    def spectrum(self, seen: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Complex [B, F, n_fft // 2 + 1] of embedded frames [B, F, W], and the state after them."""
        # The weights say in what it computes: a caller's autocast asks for what not every processor has for an LSTM.
        with torch.autocast(seen.device.type, enabled=False):
            states, after = self.recurrent(seen.to(self.recurrent.all_weights[0][0].dtype), state)
        magnitude, phase = self.head(torch.cat((seen, states.to(seen.dtype)), -1)).float().chunk(2, dim=2)
        return torch.polar(magnitude.exp().clamp(max=LOUDEST), phase), after

    def stream(self) -> LSTMStream:
        return LSTMStream(self)


class Transform:
    """The inverse transform alone, as what a `Stream` makes sound with."""

    def __init__(self, spectra: Spectra, spec: FrameSpec) -> None:
        self.spectra, self.spec = spectra, spec
        self.context = spectra.context

    def __call__(self, spectrum: Tensor) -> Tensor:
        return self.spectra.synthesise(spectrum[None])[0]


class LSTMStream:
    """Frames in blocks to samples in blocks: the layers' state is carried, the rest waits for a few frames."""

    def __init__(self, vocoder: LSTM) -> None:
        self.vocoder = vocoder
        self._frames: Tensor | None = None  # [n, mels] from KERNEL // 2 before the next one to be embedded
        self._padding = KERNEL // 2  # of them that lie before the clip's beginning
        self._state: Any = None
        self._sound = Stream(Transform(vocoder.spectra, vocoder.spec))

    def push(self, block: Tensor) -> Tensor:
        """The samples [T] that the frames ``block`` [n, mels] complete; T may be 0."""
        if self._frames is None:
            self._frames = block.new_zeros(self._padding, block.shape[1])
        self._frames = torch.cat((self._frames, block))
        return self._told(self._frames)

    def finish(self) -> Tensor:
        """The samples [T] that only the clip's end completes."""
        if self._frames is None:
            return torch.zeros(0)
        last = self._told(torch.cat((self._frames, self._frames.new_zeros(KERNEL // 2, self._frames.shape[1]))))
        return torch.cat((last, self._sound.finish()))

    @torch.no_grad()
    def _told(self, frames: Tensor) -> Tensor:
        count = len(frames) - 2 * (KERNEL // 2)
        if count <= 0:
            return frames.new_zeros(0)
        vocoder = self.vocoder
        seen = vocoder.embedded(frames[None])[:, KERNEL // 2:KERNEL // 2 + count]
        spectrum, self._state = vocoder.spectrum(seen, self._state)
        self._frames = frames[count:]
        sound = self._sound.push(spectrum[0])
        return sound if len(sound) else frames.new_zeros(0)
