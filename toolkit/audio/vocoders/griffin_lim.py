"""Griffin-Lim: magnitudes from mel bands, then phases that fit them."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.audio.vocoder_configs import GriffinLimConfig
from toolkit.audio.vocoders.base import Base
from toolkit.audio.vocoders.spectra import Spectra, explained_by, linear, with_phases
from toolkit.config import ConfigError


class GriffinLim(Base):
    """The non-negative spectrum that explains the mel bands, and phases by iterated projection: see `spectra`."""

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
        found = explained_by(linear(mel, self.spec), self.bank, self.inverse, self.settings.solver_iterations)
        return found ** (1 / self.spec.power)

    def with_phases(self, magnitudes: Tensor) -> Tensor:
        """The waveform [B, T] whose magnitudes come near the given ones [B, F, N // 2 + 1]."""
        settings = self.settings
        return with_phases(magnitudes, self.spectra, settings.iterations, settings.momentum, settings.seed)
