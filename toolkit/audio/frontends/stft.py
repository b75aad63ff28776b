"""Front ends on short-time Fourier spectra: spectrogram, mel, log-mel, mfcc, lfcc, chroma.

The presets of other systems are these classes with those systems' settings.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolkit.audio import configs
from toolkit.audio.frontends import filters
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.frontends.framing import mask_of
from toolkit.audio.frontends.pieces import FEW_ROWS, BandedProduct, Constants, LogScale, magnitudes, powers, squares
from toolkit.audio.spec import FrameSpec
from toolkit.config import ConfigError

CUT = "values are cut relative to the clip's loudest (top_db)"
NORMALIZED = "values are normalised over the clip (normalize)"


class Stft(Framewise):
    """Windowed spectra of frames; the pre-emphasis is over the whole clip."""

    def __init__(self, config: configs.SpectrogramConfig, spec: FrameSpec) -> None:
        super().__init__(spec)
        self.config = config
        self.power = config.power
        self.prepares = config.pre_emphasis != 0 or type(self).prepare is not Stft.prepare
        self.window = Constants(window=filters.centred_window(config.window, spec.win_length, spec.n_fft))

    def prepare(self, clips: Tensor, lengths: Tensor, before: Tensor | None = None) -> Tensor:
        amount = self.config.pre_emphasis
        if not amount:
            return clips
        first = clips[:, :1] if before is None else clips[:, :1] - amount * before
        return torch.cat((first, clips[:, 1:] - amount * clips[:, :-1]), dim=1)  # [B, T]

    def spectrum(self, frames: Tensor) -> Tensor:
        """Complex [..., F, n_fft // 2 + 1] of frames [..., F, n_fft]."""
        return torch.fft.rfft(frames * self.window.get("window", frames))


class Spectrogram(Stft):
    """|STFT| ** power."""

    def __init__(self, config: configs.SpectrogramConfig) -> None:
        super().__init__(config, stft_spec(config, "spectrum", config.n_fft // 2 + 1))

    def analyse(self, frames: Tensor) -> Tensor:
        return magnitudes(self.spectrum(frames), self.power)


class Bands(Stft):
    """Spectra summed in bands: the product with ``bank`` [n_fft // 2 + 1, bands]."""

    def __init__(self, config: configs.SpectrogramConfig, spec: FrameSpec, bank: Any, magnitude_floor: float = 0.0) -> None:
        super().__init__(config, spec)
        self.bank = bank
        self.magnitude_floor = magnitude_floor
        # Summing squared real and imaginary parts is left to the product, which has each row twice.
        self.folded = self.power == 2.0 and not magnitude_floor
        self.product = BandedProduct(bank.repeat(2, axis=0) if self.folded else bank)
        self.few_product = BandedProduct(bank)

    def bands(self, frames: Tensor) -> Tensor:
        """[..., F, bands] of frames [..., F, n_fft]."""
        spectrum = self.spectrum(frames)
        if self.folded and frames.dim() == 2 and len(frames) <= FEW_ROWS and not frames.requires_grad:
            return self.few_product(powers(spectrum))
        return self.product(squares(spectrum) if self.folded else magnitudes(spectrum, self.power, self.magnitude_floor))

    def analyse(self, frames: Tensor) -> Tensor:
        return self.bands(frames)


class Mel(Bands):
    """Mel bands of the spectrum."""

    def __init__(self, config: configs.MelConfig) -> None:
        super().__init__(config, mel_spec(config, "mel", config.n_mels), mel_bank(config))


class LogMel(Bands):
    """The logarithm of mel bands, cut and normalised over the clip where the config says so."""

    def __init__(self, config: configs.LogMelConfig, values: str = "log-mel", bins: int | None = None,
                 details: tuple[tuple[str, Any], ...] = ()) -> None:
        spec = mel_spec(config, values, bins or config.n_mels, log_details(config) + details, config.log)
        super().__init__(config, spec, mel_bank(config), config.magnitude_floor)
        self.scale = LogScale(config.log, config.floor, config.floor_mode, config.power)
        self.affine = (config.shift, config.scale)
        self.normalize = config.normalize == "per-feature"
        self.cut = None if config.top_db is None else config.top_db * self.scale.per_db
        self.whole_clip = CUT if self.cut is not None else NORMALIZED if self.normalize else ""

    def analyse(self, frames: Tensor) -> Tensor:
        return self.scale(self.bands(frames))

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        values = cut_below_peak(values, counts, self.cut)
        shift, scale = self.affine
        values = (values + shift) * scale if shift or scale != 1.0 else values
        return (normalized(values, counts) if self.normalize else values), None


class MFCC(LogMel):
    """The orthonormal DCT-II of log mel bands."""

    def __init__(self, config: configs.MFCCConfig) -> None:
        check_cepstra("n_mfcc", config.n_mfcc, "n_mels", config.n_mels)
        super().__init__(config, "cepstra", config.n_mfcc, (("lifter", config.lifter),))
        self.cepstra = Constants(matrix=cepstral_matrix(config.n_mels, config.n_mfcc, config.lifter))

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        values, _ = super().finish(values, counts)
        return values @ self.cepstra.get("matrix", values), None


class LFCC(Bands):
    """The orthonormal DCT-II of log linear bands."""

    def __init__(self, config: configs.LFCCConfig) -> None:
        check_cepstra("n_lfcc", config.n_lfcc, "n_filters", config.n_filters)
        f_max = config.f_max if config.f_max is not None else config.sample_rate / 2
        details = (("floor", config.floor), ("top_db", config.top_db), ("lifter", config.lifter))
        spec = stft_spec(config, "cepstra", config.n_lfcc, details, n_mels=config.n_filters, f_min=config.f_min, f_max=f_max,
                         mel_scale="linear", mel_norm="none", log=config.log)

        def bank(count: int) -> Any:
            return filters.linear_filters(config.sample_rate, config.n_fft, count, config.f_min, f_max)

        super().__init__(config, spec, filters.check_filters(bank, config.n_filters, config.empty_filters, "n_filters"))
        self.scale = LogScale(config.log, config.floor, power=config.power)
        self.cut = None if config.top_db is None else config.top_db * self.scale.per_db
        self.whole_clip = CUT if self.cut is not None else ""
        self.cepstra = Constants(matrix=cepstral_matrix(config.n_filters, config.n_lfcc, config.lifter))

    def analyse(self, frames: Tensor) -> Tensor:
        return self.scale(self.bands(frames))

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        values = cut_below_peak(values, counts, self.cut)
        return values @ self.cepstra.get("matrix", values), None


class Chroma(Bands):
    """Spectra summed by pitch class, each frame divided by its norm; silent frames stay 0."""

    def __init__(self, config: configs.ChromaConfig) -> None:
        details = (("tuning", config.tuning), ("norm", config.norm))
        bank = filters.chroma_filters(config.sample_rate, config.n_fft, config.n_chroma, config.tuning)
        super().__init__(config, stft_spec(config, "chroma", config.n_chroma, details), bank)
        self.norm = {"max": float("inf"), "l2": 2.0, "l1": 1.0, "none": 0.0}[config.norm]

    def analyse(self, frames: Tensor) -> Tensor:
        values = self.bands(frames)
        if not self.norm:
            return values
        size = torch.linalg.vector_norm(values, self.norm, dim=-1, keepdim=True)
        return values / torch.where(size > torch.finfo(values.dtype).tiny, size, torch.ones_like(size))


# -- specs


def stft_spec(config: configs.FramesConfig, values: str, bins: int, details: tuple[tuple[str, Any], ...] = (),
              **more: Any) -> FrameSpec:
    """The spec of a front end on spectra; ``more`` are its further fields."""
    power = getattr(config, "power", 0.0)
    return FrameSpec(values, bins, config.sample_rate, config.n_fft, config.win_length or config.n_fft, config.hop_length,
                     config.window, config.padding, config.drop_last, power=power,
                     details=(("pre_emphasis", config.pre_emphasis), *details), **more)


def mel_spec(config: configs.MelConfig, values: str, bins: int, details: tuple[tuple[str, Any], ...] = (),
             log: str = "none") -> FrameSpec:
    details = (("odd_rate_axis", config.odd_rate_axis), *details) if config.sample_rate % 2 else details
    return stft_spec(config, values, bins, details, n_mels=config.n_mels, f_min=config.f_min, f_max=highest(config),
                     mel_scale=config.mel_scale, mel_norm=config.mel_norm, log=log)


def log_details(config: configs.LogMelConfig) -> tuple[tuple[str, Any], ...]:
    names = ("floor", "floor_mode", "magnitude_floor", "top_db", "shift", "scale", "normalize")
    return tuple((name, getattr(config, name)) for name in names)


def highest(config: configs.MelConfig) -> float:
    """f_max in Hz."""
    if config.f_max is not None:
        return config.f_max
    return config.sample_rate / 2 if config.odd_rate_axis == "exact" else float(config.sample_rate // 2)


def mel_bank(config: configs.MelConfig) -> Any:
    """The filter bank [n_fft // 2 + 1, n_mels]. Raises ConfigError when a filter is empty and that is refused."""

    def bank(count: int) -> Any:
        return filters.mel_filters(config.sample_rate, config.n_fft, count, config.f_min, highest(config), config.mel_scale,
                                   config.mel_norm, config.odd_rate_axis == "exact")

    return filters.check_filters(bank, config.n_mels, config.empty_filters)


def check_cepstra(name: str, count: int, bands_name: str, bands: int) -> None:
    if count > bands:
        raise ConfigError(f"{name}: got {count}, allowed: at most {bands_name} = {bands}.")


def cepstral_matrix(bands: int, count: int, lifter: float) -> Any:
    """DCT-II [bands, count] with the lifter on its columns."""
    return filters.dct_matrix(bands, count) * filters.lifter_weights(count, lifter, first=1)


# -- over the frames of a clip


def cut_below_peak(values: Tensor, counts: Tensor | None, cut: float | None) -> Tensor:
    """Raise values [B, F, bands] to at least each clip's largest minus ``cut``."""
    if cut is None or values.shape[1] == 0:
        return values
    if counts is None and len(values) == 1 and values.device.type == "cpu" and not values.requires_grad:
        return values.clamp_min_(values.amax().item() - cut)  # half the calls of what follows
    if counts is None:
        return torch.maximum(values, values.amax(dim=(1, 2), keepdim=True) - cut)
    inside = mask_of(counts, values.shape[1])[..., None]
    peak = torch.where(inside, values, values.new_full((), -float("inf"))).amax(dim=(1, 2), keepdim=True)
    # A clip without frames has no peak; its values are masked later, and must stay finite for the gradient.
    return torch.maximum(values, torch.where(peak.isfinite(), peak - cut, torch.zeros_like(peak)))


def normalized(values: Tensor, counts: Tensor | None) -> Tensor:
    """Each band to zero mean and unit deviation (over n - 1) of the clip's frames, as NeMo computes it."""
    if counts is None:
        counts = torch.full((len(values),), values.shape[1])
    inside = mask_of(counts, values.shape[1])[..., None]
    valid = torch.where(inside, values, values.new_zeros(()))
    number = counts[:, None, None].clamp(min=1)
    mean = valid.sum(dim=1, keepdim=True) / number
    spread = torch.where(inside, values - mean, values.new_zeros(())).square().sum(dim=1, keepdim=True)
    deviation = (spread / (number - 1).clamp(min=1)).clamp(min=1e-20).sqrt()
    return (values - mean) / (deviation + 1e-5)
