"""Every knob of the front ends on one page.

A preset that reproduces another system is the same config with that system's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import setting

WINDOWS = ("hann", "hann-symmetric", "hamming", "hamming-symmetric", "blackman", "blackman-symmetric", "povey", "rectangular")
PADDINGS = ("reflect", "constant", "same", "none")
LOGS = ("natural", "log10", "db")


@dataclass(frozen=True)
class WaveformConfig:
    """The samples themselves."""

    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=1)
    frame_length: int = setting(1, "samples in a frame", minimum=1)
    hop_length: int = setting(1, "samples from one frame to the next", minimum=1)
    normalize: bool = setting(False, "each clip to zero mean and unit variance, as wav2vec 2.0 expects")


@dataclass(frozen=True)
class FramesConfig:
    """How sound is cut into frames."""

    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(400, "samples that one spectrum is taken of", minimum=2)
    win_length: int | None = setting(None, "samples under the window; none means n_fft", minimum=1)
    hop_length: int = setting(160, "samples from one frame to the next", minimum=1)
    window: str = setting("hann", "periodic unless it is named symmetric", choices=WINDOWS)
    padding: str = setting("reflect", "what lies beyond a clip's ends; same is HiFi-GAN's, none takes whole frames only",
                           choices=PADDINGS)
    drop_last: bool = setting(False, "leave out the last frame, as Whisper and NeMo do")
    pre_emphasis: float = setting(0.0, "y[t] = x[t] - this x[t-1] over the whole clip", minimum=0, below=1)


@dataclass(frozen=True)
class SpectrogramConfig(FramesConfig):
    """Short-time Fourier spectra."""

    power: float = setting(2.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)


@dataclass(frozen=True)
class MelConfig(SpectrogramConfig):
    """Spectra summed in mel bands."""

    n_mels: int = setting(80, "mel bands", unit="bands", minimum=1)
    f_min: float = setting(0.0, "lowest frequency", unit="Hz", minimum=0)
    f_max: float | None = setting(None, "highest frequency; none means half the sample rate", unit="Hz", above=0)
    mel_scale: str = setting("slaney", "the mel scale's formula", choices=("slaney", "htk"))
    mel_norm: str = setting("slaney", "slaney gives each band the same area", choices=("slaney", "none"))
    empty_filters: str = setting("refuse", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))
    odd_rate_axis: str = setting("exact", "the frequency axis of odd sample rates; torchaudio ends it at sample_rate // 2",
                                 choices=("exact", "torchaudio"))


@dataclass(frozen=True)
class LogMelConfig(MelConfig):
    """The logarithm of mel bands."""

    log: str = setting("natural", "db is 10 log10 of powers, 20 log10 of magnitudes", choices=LOGS)
    floor: float = setting(1e-10, "keeps the logarithm finite", above=0)
    floor_mode: str = setting("clamp", "clamp: log(max(x, floor)); add: log(x + floor)", choices=("clamp", "add"))
    magnitude_floor: float = setting(0.0, "added to the squared magnitude before its root (with power 1)", minimum=0)
    top_db: float | None = setting(None, "cut this far below each clip's loudest value", unit="dB", above=0)
    shift: float = setting(0.0, "added to the logarithm")
    scale: float = setting(1.0, "multiplies the shifted logarithm")
    normalize: str = setting("none", "per-feature: zero mean and unit deviation of each band over the clip",
                             choices=("none", "per-feature"))


@dataclass(frozen=True)
class MFCCConfig(LogMelConfig):
    """Mel-frequency cepstral coefficients."""

    log: str = setting("db", "db is 10 log10 of powers, 20 log10 of magnitudes", choices=LOGS)
    n_mfcc: int = setting(20, "coefficients kept, the first included", minimum=1)
    lifter: float = setting(0.0, "sine liftering 1 + L/2 sin(pi n / L); 0 is none", minimum=0)


@dataclass(frozen=True)
class LFCCConfig(SpectrogramConfig):
    """Linear-frequency cepstral coefficients."""

    n_filters: int = setting(64, "linearly spaced bands", unit="bands", minimum=1)
    n_lfcc: int = setting(20, "coefficients kept, the first included", minimum=1)
    f_min: float = setting(0.0, "lowest frequency", unit="Hz", minimum=0)
    f_max: float | None = setting(None, "highest frequency; none means half the sample rate", unit="Hz", above=0)
    log: str = setting("db", "db is 10 log10 of powers, 20 log10 of magnitudes", choices=LOGS)
    floor: float = setting(1e-10, "keeps the logarithm finite", above=0)
    top_db: float | None = setting(None, "cut this far below each clip's loudest value", unit="dB", above=0)
    lifter: float = setting(0.0, "sine liftering 1 + L/2 sin(pi n / L); 0 is none", minimum=0)
    empty_filters: str = setting("refuse", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))


@dataclass(frozen=True)
class ChromaConfig(SpectrogramConfig):
    """Energy in the twelve pitch classes (Ellis, 2007)."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(2048, "samples that one spectrum is taken of", minimum=2)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=PADDINGS)
    n_chroma: int = setting(12, "pitch classes, the first is C", minimum=3)
    tuning: float = setting(0.0, "deviation from A 440", unit="bins", minimum=-1, maximum=1)
    norm: str = setting("max", "each frame is divided by its largest value, its length, its sum, or nothing",
                        choices=("max", "l2", "l1", "none"))


@dataclass(frozen=True)
class CQTConfig:
    """Constant-Q magnitudes (Brown, 1991): as many cycles under each window."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    f_min: float = setting(32.70319566257483, "frequency of the lowest bin; the default is C1", unit="Hz", above=0)
    n_bins: int = setting(84, "bins", minimum=1)
    bins_per_octave: int = setting(12, "bins an octave", minimum=1)
    filter_scale: float = setting(1.0, "length of the windows; below 1 trades frequency for time", above=0)
    window: str = setting("hann", "over each bin's cycles", choices=WINDOWS)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=("reflect", "constant"))


@dataclass(frozen=True)
class WaveletConfig:
    """Scalogram of Morlet wavelets, log-spaced. A sine of amplitude 1 has magnitude 1 at its frequency."""

    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=1)
    hop_length: int = setting(160, "samples from one frame to the next", minimum=1)
    f_min: float = setting(60.0, "frequency of the lowest bin", unit="Hz", above=0)
    f_max: float = setting(7600.0, "frequency of the highest bin", unit="Hz", above=0)
    n_bins: int = setting(64, "bins", minimum=1)
    cycles: float = setting(6.0, "omega_0: higher resolves frequency better and time worse", minimum=4)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=("reflect", "constant"))


@dataclass(frozen=True)
class PCENConfig(MelConfig):
    """Per-channel energy normalisation (Wang et al., 2017): (E / (eps + M)^gain + bias)^power - bias^power."""

    power: float = setting(1.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)
    gain: float = setting(0.98, "strength of the gain control", minimum=0, maximum=1)
    bias: float = setting(2.0, "added before the root", minimum=0)
    root: float = setting(0.5, "exponent of the compression", above=0, maximum=1)
    time_constant: float = setting(0.4, "of the smoothed energy M", unit="s", above=0)
    epsilon: float = setting(1e-6, "keeps the division finite", above=0)
    amplitude: float = setting(2147483648.0, "multiplies the waveform's energy, for waveforms in [-1, 1]", above=0)


@dataclass(frozen=True)
class KaldiConfig:
    """Kaldi's frames: scaled to 16 bits, pre-emphasised, windowed one by one."""

    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=100)
    frame_length: float = setting(25.0, "length of a frame", unit="ms", above=0)
    frame_shift: float = setting(10.0, "time from one frame to the next", unit="ms", above=0)
    n_mels: int = setting(23, "mel bands", unit="bands", minimum=3)
    f_min: float = setting(20.0, "lowest frequency", unit="Hz", minimum=0)
    f_max: float = setting(0.0, "highest frequency; 0 or below counts from half the sample rate", unit="Hz")
    window: str = setting("povey", "over each frame", choices=("povey", "hanning", "hamming", "blackman", "rectangular"))
    pre_emphasis: float = setting(0.97, "within each frame", minimum=0, maximum=1)
    remove_dc: bool = setting(True, "subtract each frame's mean")
    dither: float = setting(0.0, "deviation of the noise added, on the 16-bit scale; Kaldi's own default is 1", minimum=0)
    dither_seed: int = setting(0, "seed of the dither's own generator", minimum=0)
    snip_edges: bool = setting(True, "take only frames that lie inside the clip")
    round_to_power_of_two: bool = setting(True, "pad each frame with zeros to a power of two")
    use_energy: bool = setting(False, "the log energy as a further value (first), or as the first coefficient")
    raw_energy: bool = setting(True, "take the energy before pre-emphasis and window")
    energy_floor: float = setting(0.0, "smallest energy; 0 is the float's epsilon", minimum=0)
    empty_filters: str = setting("refuse", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))


@dataclass(frozen=True)
class KaldiFbankConfig(KaldiConfig):
    """Kaldi's filter banks."""

    power: float = setting(2.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=2)
    log: bool = setting(True, "take the natural logarithm")


@dataclass(frozen=True)
class KaldiMFCCConfig(KaldiConfig):
    """Kaldi's cepstral coefficients."""

    n_mfcc: int = setting(13, "coefficients kept, the first included", minimum=1)
    lifter: float = setting(22.0, "sine liftering 1 + L/2 sin(pi n / L); 0 is none", minimum=0)
    use_energy: bool = setting(True, "the log energy as the first coefficient")


# -- presets that reproduce other systems


@dataclass(frozen=True)
class LibrosaMelConfig(MelConfig):
    """librosa.feature.melspectrogram."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(2048, "samples that one spectrum is taken of", minimum=2)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=PADDINGS)
    n_mels: int = setting(128, "mel bands", unit="bands", minimum=1)
    empty_filters: str = setting("warn", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))


@dataclass(frozen=True)
class LibrosaMFCCConfig(MFCCConfig):
    """librosa.feature.mfcc."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(2048, "samples that one spectrum is taken of", minimum=2)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=PADDINGS)
    n_mels: int = setting(128, "mel bands", unit="bands", minimum=1)
    top_db: float | None = setting(80.0, "cut this far below each clip's loudest value", unit="dB", above=0)
    empty_filters: str = setting("warn", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))


@dataclass(frozen=True)
class TorchaudioMelConfig(MelConfig):
    """torchaudio.transforms.MelSpectrogram."""

    hop_length: int = setting(200, "samples from one frame to the next", minimum=1)
    n_mels: int = setting(128, "mel bands", unit="bands", minimum=1)
    mel_scale: str = setting("htk", "the mel scale's formula", choices=("slaney", "htk"))
    mel_norm: str = setting("none", "slaney gives each band the same area", choices=("slaney", "none"))
    empty_filters: str = setting("warn", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))
    odd_rate_axis: str = setting("torchaudio", "the frequency axis of odd sample rates; torchaudio ends it at sample_rate // 2",
                                 choices=("exact", "torchaudio"))


@dataclass(frozen=True)
class TorchaudioMFCCConfig(MFCCConfig):
    """torchaudio.transforms.MFCC; the cut at 80 dB is each clip's own."""

    hop_length: int = setting(200, "samples from one frame to the next", minimum=1)
    n_mels: int = setting(128, "mel bands", unit="bands", minimum=1)
    mel_scale: str = setting("htk", "the mel scale's formula", choices=("slaney", "htk"))
    mel_norm: str = setting("none", "slaney gives each band the same area", choices=("slaney", "none"))
    n_mfcc: int = setting(40, "coefficients kept, the first included", minimum=1)
    top_db: float | None = setting(80.0, "cut this far below each clip's loudest value", unit="dB", above=0)
    empty_filters: str = setting("warn", "what to do when a band is narrower than the spectrum's resolution",
                                 choices=("refuse", "warn"))
    odd_rate_axis: str = setting("torchaudio", "the frequency axis of odd sample rates; torchaudio ends it at sample_rate // 2",
                                 choices=("exact", "torchaudio"))


@dataclass(frozen=True)
class WhisperConfig(LogMelConfig):
    """Whisper's input (Radford et al., 2022): a clip of 30 s gives 3000 frames."""

    log: str = setting("log10", "db is 10 log10 of powers, 20 log10 of magnitudes", choices=LOGS)
    drop_last: bool = setting(True, "leave out the last frame, as Whisper and NeMo do")
    top_db: float | None = setting(80.0, "cut this far below each clip's loudest value", unit="dB", above=0)
    shift: float = setting(4.0, "added to the logarithm")
    scale: float = setting(0.25, "multiplies the shifted logarithm")


@dataclass(frozen=True)
class HifiganMelConfig(LogMelConfig):
    """The mel of HiFi-GAN (Kong et al., 2020)."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(1024, "samples that one spectrum is taken of", minimum=2)
    hop_length: int = setting(256, "samples from one frame to the next", minimum=1)
    padding: str = setting("same", "what lies beyond a clip's ends", choices=PADDINGS)
    power: float = setting(1.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)
    f_max: float | None = setting(8000.0, "highest frequency; none means half the sample rate", unit="Hz", above=0)
    floor: float = setting(1e-5, "keeps the logarithm finite", above=0)
    magnitude_floor: float = setting(1e-9, "added to the squared magnitude before its root (with power 1)", minimum=0)


@dataclass(frozen=True)
class Tacotron2MelConfig(HifiganMelConfig):
    """The mel of NVIDIA's Tacotron 2 (Shen et al., 2018)."""

    padding: str = setting("reflect", "what lies beyond a clip's ends", choices=PADDINGS)
    magnitude_floor: float = setting(0.0, "added to the squared magnitude before its root (with power 1)", minimum=0)


@dataclass(frozen=True)
class NemoMelConfig(LogMelConfig):
    """The mel of NeMo's speech recognisers, without dither."""

    n_fft: int = setting(512, "samples that one spectrum is taken of", minimum=2)
    win_length: int | None = setting(400, "samples under the window; none means n_fft", minimum=1)
    window: str = setting("hann-symmetric", "periodic unless it is named symmetric", choices=WINDOWS)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=PADDINGS)
    drop_last: bool = setting(True, "leave out the last frame, as Whisper and NeMo do")
    pre_emphasis: float = setting(0.97, "y[t] = x[t] - this x[t-1] over the whole clip", minimum=0, below=1)
    floor: float = setting(2.0 ** -24, "keeps the logarithm finite", above=0)
    floor_mode: str = setting("add", "clamp: log(max(x, floor)); add: log(x + floor)", choices=("clamp", "add"))
    normalize: str = setting("per-feature", "per-feature: zero mean and unit deviation of each band over the clip",
                             choices=("none", "per-feature"))


@dataclass(frozen=True)
class VocosMelConfig(LogMelConfig):
    """The mel of Vocos (Siuzdak, 2023) at 24 kHz."""

    sample_rate: int = setting(24000, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(1024, "samples that one spectrum is taken of", minimum=2)
    hop_length: int = setting(256, "samples from one frame to the next", minimum=1)
    power: float = setting(1.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)
    n_mels: int = setting(100, "mel bands", unit="bands", minimum=1)
    mel_scale: str = setting("htk", "the mel scale's formula", choices=("slaney", "htk"))
    mel_norm: str = setting("none", "slaney gives each band the same area", choices=("slaney", "none"))
    floor: float = setting(1e-7, "keeps the logarithm finite", above=0)


# -- analysis, with librosa's definitions


@dataclass(frozen=True)
class AnalysisConfig(SpectrogramConfig):
    """Frames as librosa takes them."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    n_fft: int = setting(2048, "samples that one value is taken of", minimum=2)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=PADDINGS)
    power: float = setting(1.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)


@dataclass(frozen=True)
class RolloffConfig(AnalysisConfig):
    """The frequency below which a share of the spectrum lies."""

    share: float = setting(0.85, "of the sum of magnitudes", above=0, below=1)


@dataclass(frozen=True)
class FlatnessConfig(AnalysisConfig):
    """Geometric over arithmetic mean of the spectrum."""

    power: float = setting(2.0, "exponent of the magnitude: 1 amplitude, 2 power", minimum=1, maximum=4)
    floor: float = setting(1e-10, "keeps the logarithm finite", above=0)


@dataclass(frozen=True)
class ContrastConfig(AnalysisConfig):
    """Peaks over valleys in octaves (Jiang et al., 2002)."""

    f_min: float = setting(200.0, "upper end of the lowest band", unit="Hz", above=0)
    n_bands: int = setting(6, "octaves above f_min", minimum=1)
    quantile: float = setting(0.02, "share of a band's bins that are its peaks, and its valleys", above=0, below=1)
    floor: float = setting(1e-10, "keeps the logarithm finite", above=0)


@dataclass(frozen=True)
class OnsetConfig(LibrosaMelConfig):
    """Rising energy in mel bands."""

    floor: float = setting(1e-10, "keeps the logarithm finite", above=0)


@dataclass(frozen=True)
class PyinConfig:
    """Fundamental frequency by pYIN; the defaults suit speech."""

    sample_rate: int = setting(22050, "rate of the waveforms", unit="Hz", minimum=1)
    frame_length: int = setting(2048, "samples that one value is taken of", minimum=16)
    hop_length: int = setting(512, "samples from one frame to the next", minimum=1)
    padding: str = setting("constant", "what lies beyond a clip's ends", choices=("reflect", "constant", "none"))
    f_min: float = setting(65.0, "lowest frequency", unit="Hz", above=0)
    f_max: float = setting(800.0, "highest frequency", unit="Hz", above=0)
