"""Griffin-Lim: magnitudes from mel bands, then phases that fit them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toolkit.audio.vocoder_configs import GriffinLimConfig
from toolkit.audio.vocoders.base import Base
from toolkit.audio.vocoders.spectra import Spectra
from toolkit.config import ConfigError

TINY = 1e-16


class GriffinLim(Base):
    """Phases by iterated projection (Griffin and Lim, 1984); fast with momentum (Perraudin et al., 2013).

    The spectrum of mel bands is the non-negative least-squares one, by multiplicative steps (Lee and Seung, 2001).
    """

    float32_alone = "phases are fitted by transforms, which torch does not have in it"
    bank: Tensor
    inverse: Tensor

    def __init__(self, config: GriffinLimConfig) -> None:
        super().__init__(config, "griffin-lim")
        self.settings = config
        details = dict(self.spec.details)
        if details.get("normalize", "none") != "none":
            raise ConfigError(f"frontend: {config.frontend.name} normalises its bands over the clip, which cannot be undone.")
        self.spectra = Spectra(self.spec)
        bank = torch.as_tensor(self.frontend.bank).float()  # [N // 2 + 1, mels]
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(bank.double()).float(), persistent=False)

    @torch.no_grad()
    def synthesise(self, mel: Tensor) -> Tensor:
        return self.with_phases(self.magnitudes(mel))

    def magnitudes(self, mel: Tensor) -> Tensor:
        """Magnitudes [B, F, N // 2 + 1] of log mel frames [B, F, mels]."""
        shift, scale = self.frontend.affine
        bands = self._exponential(mel / scale - shift)
        guess = (bands @ self.inverse).clamp(min=TINY ** 0.5)
        above = bands @ self.bank.T
        gram = self.bank @ self.bank.T
        for _ in range(self.settings.solver_iterations):
            guess = guess * above / (guess @ gram).clamp(min=TINY)
        return guess ** (1 / self.spec.power)

    def _exponential(self, logarithm: Tensor) -> Tensor:
        if self.spec.log == "natural":
            return logarithm.exp()
        per_unit = {"log10": 1.0, "db": self.spec.power / 20}[self.spec.log]
        return (logarithm * per_unit * math.log(10)).exp()

    def with_phases(self, magnitudes: Tensor) -> Tensor:
        """The waveform [B, T] whose magnitudes come near the given ones [B, F, N // 2 + 1]."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        turns = torch.rand(magnitudes.shape[1:], generator=generator).to(magnitudes)  # each clip's alike
        current = torch.polar(magnitudes, (2 * math.pi * turns).expand_as(magnitudes))
        before = torch.zeros_like(current)
        for _ in range(self.settings.iterations):
            rebuilt = self.spectra.analyse(self.spectra.synthesise(current))
            ahead = rebuilt + self.settings.momentum * (rebuilt - before)
            before = rebuilt
            current = magnitudes * ahead / ahead.abs().clamp(min=TINY)
        return self.spectra.synthesise(current)
