"""Audio: io, front ends, features, transforms, datasets, models, vocoders."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from toolkit.registry import Declarer

if TYPE_CHECKING:
    from toolkit.audio.io import blocks as blocks
    from toolkit.audio.io import info as info
    from toolkit.audio.io import load as load
    from toolkit.audio.io import save as save
    from toolkit.audio.spec import FrameSpec as FrameSpec

_HOMES = dict.fromkeys(("load", "save", "info", "blocks"), "toolkit.audio.io") | {"FrameSpec": "toolkit.audio.spec"}
_LOG = {"stream": "the cut is relative to the clip's loudest value"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'toolkit.audio' has no attribute {name!r}")


def declare(registry: Declarer) -> None:
    """The room's components."""
    declare_frontends(registry)
    declare_presets(registry)


def declare_frontends(registry: Declarer) -> None:
    """Front ends with settings of their own."""
    registry.add("frontend", "waveform", "toolkit.audio.frontends.waveform:Waveform",
                 config="toolkit.audio.configs:WaveformConfig",
                 summary="The samples themselves, optionally normalised as wav2vec 2.0 expects.")
    registry.add("frontend", "spectrogram", "toolkit.audio.frontends.stft:Spectrogram",
                 config="toolkit.audio.configs:SpectrogramConfig", summary="Magnitudes or powers of short-time Fourier spectra.")
    registry.add("frontend", "mel", "toolkit.audio.frontends.stft:Mel", config="toolkit.audio.configs:MelConfig",
                 summary="Spectra summed in mel bands.")
    registry.add("frontend", "log-mel", "toolkit.audio.frontends.stft:LogMel", config="toolkit.audio.configs:LogMelConfig",
                 summary="The logarithm of mel bands.")
    registry.add("frontend", "mfcc", "toolkit.audio.frontends.stft:MFCC", config="toolkit.audio.configs:MFCCConfig",
                 summary="Mel-frequency cepstral coefficients.")
    registry.add("frontend", "lfcc", "toolkit.audio.frontends.stft:LFCC", config="toolkit.audio.configs:LFCCConfig",
                 summary="Linear-frequency cepstral coefficients.")
    registry.add("frontend", "chroma", "toolkit.audio.frontends.stft:Chroma", config="toolkit.audio.configs:ChromaConfig",
                 summary="Energy in the twelve pitch classes.")
    registry.add("frontend", "cqt", "toolkit.audio.frontends.kernels:CQT", config="toolkit.audio.configs:CQTConfig",
                 summary="Constant-Q magnitudes, as many cycles under each window.")
    registry.add("frontend", "wavelet", "toolkit.audio.frontends.kernels:Wavelet", config="toolkit.audio.configs:WaveletConfig",
                 summary="Scalogram of Morlet wavelets.")
    registry.add("frontend", "pcen", "toolkit.audio.frontends.pcen:PCEN", config="toolkit.audio.configs:PCENConfig",
                 summary="Mel bands divided by their own smoothed past.")
    registry.add("frontend", "kaldi-fbank", "toolkit.audio.frontends.kaldi:KaldiFbank",
                 config="toolkit.audio.configs:KaldiFbankConfig", summary="Kaldi's log mel filter banks.")
    registry.add("frontend", "kaldi-mfcc", "toolkit.audio.frontends.kaldi:KaldiMFCC",
                 config="toolkit.audio.configs:KaldiMFCCConfig", summary="Kaldi's cepstral coefficients.")


def declare_presets(registry: Declarer) -> None:
    """Front ends that reproduce other systems to the digit."""
    registry.add("frontend", "librosa-mel", "toolkit.audio.frontends.stft:Mel", config="toolkit.audio.configs:LibrosaMelConfig",
                 summary="librosa.feature.melspectrogram.")
    registry.add("frontend", "librosa-mfcc", "toolkit.audio.frontends.stft:MFCC",
                 config="toolkit.audio.configs:LibrosaMFCCConfig", summary="librosa.feature.mfcc.", cannot=_LOG)
    registry.add("frontend", "torchaudio-mel", "toolkit.audio.frontends.stft:Mel",
                 config="toolkit.audio.configs:TorchaudioMelConfig", summary="torchaudio.transforms.MelSpectrogram.")
    registry.add("frontend", "torchaudio-mfcc", "toolkit.audio.frontends.stft:MFCC",
                 config="toolkit.audio.configs:TorchaudioMFCCConfig", cannot=_LOG,
                 summary="torchaudio.transforms.MFCC, cut for each clip alone.")
    registry.add("frontend", "whisper-log-mel", "toolkit.audio.frontends.stft:LogMel",
                 config="toolkit.audio.configs:WhisperConfig", summary="Whisper's input.", cannot=_LOG)
    registry.add("frontend", "hifigan-mel", "toolkit.audio.frontends.stft:LogMel",
                 config="toolkit.audio.configs:HifiganMelConfig", summary="HiFi-GAN's log mel magnitudes at 22.05 kHz.")
    registry.add("frontend", "tacotron2-mel", "toolkit.audio.frontends.stft:LogMel",
                 config="toolkit.audio.configs:Tacotron2MelConfig", summary="Tacotron 2's log mel magnitudes at 22.05 kHz.")
    registry.add("frontend", "nemo-mel", "toolkit.audio.frontends.stft:LogMel", config="toolkit.audio.configs:NemoMelConfig",
                 summary="NeMo's normalised log mel bands.", cannot={"stream": "bands are normalised over the clip"})
    registry.add("frontend", "vocos-mel", "toolkit.audio.frontends.stft:LogMel", config="toolkit.audio.configs:VocosMelConfig",
                 summary="Vocos's log mel magnitudes at 24 kHz.")
