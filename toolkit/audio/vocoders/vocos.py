"""Vocos (Siuzdak, 2023): ConvNeXt blocks at the frame rate, magnitudes and phases, one inverse transform.

B clips, F frames, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.audio.vocoder_configs import VocosConfig
from toolkit.audio.vocoders.base import Neural
from toolkit.audio.vocoders.channels_last import columns, convolve, rows
from toolkit.audio.vocoders.spectra import Spectra
from toolkit.core.weights import read_weights, require_fit

KERNEL, LOUDEST, DEVIATION, EPS = 7, 100.0, 0.02, 1e-6
QUIET = -4.0  # log magnitude to begin at, near that of speech; from 0 the first thousands of segments only teach to be quieter


class ConvNeXtBlock(nn.Module):
    """Depth-wise convolution, norm, two linear layers, scaled, added (Liu et al., 2022) on [B, C, F]."""

    def __init__(self, dim: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        y = self.pwconv2(nn.functional.gelu(self.pwconv1(y))) * self.gamma
        return x + y.transpose(1, 2)

    def quickly(self, x: Tensor) -> Tensor:
        """The same of [B, F, C] without gradients; x is overwritten, and stays float32 whatever the products' type."""
        y = self.norm(rows(convolve(self.dwconv, columns(x))))
        return x.addcmul_(self.pwconv2(nn.functional.gelu(self.pwconv1(y))), self.gamma)


class Vocos(Neural):
    """Log magnitudes and phases of each frame, and their inverse transform."""

    in_bfloat16 = ("embed", "blocks")  # not the head: phases are many radians, which bfloat16 knows to a tenth

    def __init__(self, config: VocosConfig) -> None:
        super().__init__(config, "vocos")
        self.spectra = Spectra(self.spec)
        self.embed = nn.Conv1d(self.spec.bins, config.dim, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(config.dim, eps=EPS)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config.dim, config.hidden, 1 / config.layers) for _ in range(config.layers))
        self.final_norm = nn.LayerNorm(config.dim, eps=EPS)
        self.head = nn.Linear(config.dim, self.spec.n_fft + 2)
        self.context = KERNEL // 2 * (config.layers + 1) + self.spectra.context
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.constant_(self.head.bias[:self.spec.n_fft // 2 + 1], QUIET)
        if config.weights:
            load_published(self, config.weights)

    def synthesise(self, mel: Tensor) -> Tensor:
        return self.spectra.synthesise(self.spectrum(mel))

    def spectrum(self, mel: Tensor) -> Tensor:
        """Complex [B, F, n_fft // 2 + 1] of log mel frames [B, F, mels]."""
        if self._quick(mel):
            states = self._states_quickly(mel)
        else:
            with self._lowered(mel.device):
                states = self._states(mel)
        magnitude, phase = self.head(self.final_norm(states)).float().chunk(2, dim=2)
        return torch.polar(magnitude.exp().clamp(max=LOUDEST), phase)

    def _states(self, mel: Tensor) -> Tensor:
        """What the blocks make of frames [B, F, mels]: [B, F, C]."""
        x = self.embed(mel.transpose(1, 2))
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return x.transpose(1, 2)

    def _states_quickly(self, mel: Tensor) -> Tensor:
        """The same without gradients: [B, F, C] throughout, float32 from block to block."""
        x: Tensor = self.norm(rows(convolve(self.embed, columns(mel))).to(mel.dtype))
        for block in self.blocks:
            x = block.quickly(x)  # type: ignore[operator]
        return x


NAMES = (("backbone.convnext.", "blocks."), ("backbone.final_layer_norm.", "final_norm."), ("backbone.", ""),
         ("head.out.", "head."))  # theirs and ours
LEFT_OUT = ("feature_extractor.", "head.istft.")  # windows and filters, which the front end has


def load_published(vocoder: Vocos, path: str) -> None:
    """Take over the weights of the authors' ``pytorch_model.bin``; nothing in the file is executed.

    Raises UsageError naming what is missing, unknown or of another shape.
    """
    own = vocoder.state_dict()
    renamed = {own_name(name): value for name, value in read_weights(path).items() if not name.startswith(LEFT_OUT)}
    require_fit(own, renamed, path, "network", "dim, hidden and layers must be those of the file")
    vocoder.load_state_dict(renamed)


def own_name(name: str) -> str:
    for theirs, ours in NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
