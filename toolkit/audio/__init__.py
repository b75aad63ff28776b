"""Audio: io, front ends, features, transforms, datasets, models, vocoders."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from toolkit.registry import Declarer

if TYPE_CHECKING:
    from toolkit.audio.analysis import deltas as deltas
    from toolkit.audio.analysis import griffin_lim as griffin_lim
    from toolkit.audio.analysis import invert_mel as invert_mel
    from toolkit.audio.analysis import pitch as pitch
    from toolkit.audio.analysis import separate as separate
    from toolkit.audio.analysis import tempo as tempo
    from toolkit.audio.io import blocks as blocks
    from toolkit.audio.io import info as info
    from toolkit.audio.io import load as load
    from toolkit.audio.io import save as save
    from toolkit.audio.spec import FrameSpec as FrameSpec
    from toolkit.audio.store import FeatureStore as FeatureStore
    from toolkit.audio.transforms.pipeline import Pipeline as Pipeline

_HOMES = {**dict.fromkeys(("deltas", "griffin_lim", "invert_mel", "pitch", "separate", "tempo"), "toolkit.audio.analysis"),
          **dict.fromkeys(("load", "save", "info", "blocks"), "toolkit.audio.io"), "FrameSpec": "toolkit.audio.spec",
          "FeatureStore": "toolkit.audio.store",
          "Pipeline": "toolkit.audio.transforms.pipeline"}
_ALONE = {"one by one": "a clip is mixed with others of its batch"}
_LOG = {"stream": "the cut is relative to the clip's loudest value"}


# name, where its code is, its config, its summary
TRANSFORMS = (
    ("gain", "level:Gain", "GainConfig", "Louder or quieter by decibels."),
    ("normalize", "level:Normalize", "NormalizeConfig", "Each clip to one peak, root mean square or loudness (BS.1770-4)."),
    ("clipping", "level:Clipping", "ClippingConfig", "Overdriven recording, hard or soft."),
    ("trim", "silence:Trim", "TrimConfig", "Silence at both ends left out."),
    ("vad", "silence:VAD", "VADConfig", "Voice activity detection: what is not speech removed or muted."),
    ("pre-emphasis", "bands:PreEmphasis", "PreEmphasisConfig", "High frequencies raised by a first difference."),
    ("low-pass", "bands:LowPass", "CutoffConfig", "Butterworth low-pass filter."),
    ("high-pass", "bands:HighPass", "CutoffConfig", "Butterworth high-pass filter."),
    ("band-pass", "bands:BandPass", "BandConfig", "Butterworth band-pass filter; a telephone by default."),
    ("band-stop", "bands:BandStop", "BandConfig", "Butterworth band-stop filter."),
    ("noise", "noise:Noise", "NoiseConfig", "Noise of any colour, or recordings of it, at an exact signal-to-noise ratio."),
    ("mix", "noise:Mix", "MixConfig", "Another clip of the batch on top at an exact ratio."),
    ("reverb", "room:Reverb", "ReverbConfig", "Room impulse responses, generated or recorded."),
    ("speed", "time:Speed", "SpeedConfig", "Faster and higher or slower and lower, by resampling."),
    ("stretch", "time:Stretch", "StretchConfig", "Faster or slower at the same pitch (phase vocoder)."),
    ("pitch", "time:Pitch", "PitchConfig", "Higher or lower at the same length."),
    ("crop", "time:Crop", "CropConfig", "Cut or padded to one length."),
    ("shift", "time:Shift", "ShiftConfig", "Earlier or later within the same length."),
    ("codec", "codec:Codec", "CodecConfig", "Round trip through MP3, Vorbis, Opus, mu-law, A-law, GSM or ADPCM."),
    ("spectral-gate", "denoise:SpectralGate", "SpectralGateConfig", "Denoising by spectral gating, stationary or adaptive."),
    ("wiener", "denoise:Wiener", "WienerConfig", "Denoising by a Wiener filter, stationary or adaptive."),
    ("time-mask", "masks:TimeMask", "TimeMaskConfig", "Stretches of frames hidden (features)."),
    ("frequency-mask", "masks:FrequencyMask", "FrequencyMaskConfig", "Bands of bins hidden (features)."),
    ("time-warp", "masks:TimeWarp", "TimeWarpConfig", "A moment of the clip moved in time (features)."),
    ("spec-augment", "masks:SpecAugment", "SpecAugmentConfig", "SpecAugment: time warp, frequency and time masks (features)."),
)

FLAT = {"gradient": "it moves in steps, so that its derivative is 0"}
# name, class and config (of frontends.analysis and configs), summary, what it cannot do
ANALYSES = (
    ("spectral-centroid", "Centroid", "AnalysisConfig", "Mean frequency of the spectrum.", None),
    ("spectral-bandwidth", "Bandwidth", "AnalysisConfig", "Spread of the spectrum around its mean frequency.", None),
    ("spectral-rolloff", "Rolloff", "RolloffConfig", "Frequency below which 85 % of the spectrum lies.", FLAT),
    ("spectral-flatness", "Flatness", "FlatnessConfig", "Geometric over arithmetic mean of the spectrum.", None),
    ("spectral-contrast", "Contrast", "ContrastConfig", "Peaks over valleys in octave bands.", None),
    ("zero-crossing-rate", "ZeroCrossings", "AnalysisConfig", "Changes of sign a sample.", FLAT),
    ("rms", "RootMeanSquare", "AnalysisConfig", "Root mean square of the samples.", None),
    ("onset-strength", "OnsetStrength", "OnsetConfig", "Rise of mel bands from one frame to the next.", None),
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'toolkit.audio' has no attribute {name!r}")


def declare(registry: Declarer) -> None:
    """The room's components."""
    declare_frontends(registry)
    declare_presets(registry)
    declare_recognition(registry)
    for name, target, config, summary, cannot in ANALYSES:
        registry.add("frontend", name, f"toolkit.audio.frontends.analysis:{target}", summary=summary,
                     config=f"toolkit.audio.configs:{config}", cannot=cannot)
    registry.add("frontend", "pyin", "toolkit.audio.frontends.pitch:Pyin", config="toolkit.audio.configs:PyinConfig",
                 cannot={**FLAT, "stream": "the pitch is the likeliest path through the whole clip",
                         "speed": "a second of sound takes about a tenth of one; cqt tells pitch too, in a thirtieth of that"},
                 summary="Fundamental frequency (F0) in Hz and the probability of a voice, by pYIN.")
    declare_vocoders(registry)
    for name, target, config, summary in TRANSFORMS:
        registry.add("transform", name, f"toolkit.audio.transforms.{target}", summary=summary,
                     config=f"toolkit.audio.transforms.configs:{config}", cannot=_ALONE if name == "mix" else None)


# name, where its code is, its config, its summary
SPEECH = {"espeakng_loader": 'pip install "toolkit[speech]"'}
MADE = (
    ("spoken-digits", "spoken:Digits", "MadeSoundConfig", "Ten spoken words, zero to nine, by made voices."),
    ("spoken-commands", "spoken:Commands", "CommandsConfig", "The 35 words of Speech Commands, by made voices."),
    ("spoken-digit-strings", "spoken:DigitStrings", "DigitStringsConfig", "Three to seven digits one after the other."),
    ("spoken-sentences", "spoken:Sentences", "SentencesConfig", "Sentences of a closed grammar in English, German or Japanese."),
    ("synthetic-sounds", "synthetic:Sounds", "MadeSoundConfig", "Ten kinds of environmental sound, computed in NumPy."),
    ("synthetic-chords", "music:Chords", "ChordsConfig", "Six kinds of chord on twelve roots, computed in NumPy."),
    ("synthetic-genres", "music:Genres", "GenresConfig", "Six kinds of computed music by rhythm and tempo; a proxy for genres."),
    ("synthetic-emotions", "emotions:Emotions", "EmotionsConfig",
     "Six moods of a computed voice by its prosody; a proxy for emotions."),
)
CLIP = {"stream": "a position depends on the whole clip"}
AHEAD = {"stream": "convolutions look at frames to come"}
MODELS_THAT_WAIT = {"crnn": CLIP, "transformer": CLIP, "conformer": CLIP, "tdnn": AHEAD, "wav2vec2": CLIP}
MODELS = (
    ("crnn", "crnn:CRNN", "CRNNConfig", "Convolutions, then recurrent layers both ways."),
    ("transformer", "encoders:Transformer", "EncoderConfig", "Attention over positions that convolutions made fewer."),
    ("conformer", "encoders:Conformer", "EncoderConfig", "Attention and convolution in every layer."),
    ("streaming-conformer", "streaming:StreamingConformer", "StreamingEncoderConfig",
     "A conformer that hears sound as it comes: causal convolutions, attention by chunks."),
    ("tdnn", "tdnn:TDNN", "TDNNConfig", "Dilated convolutions over time."),
    ("wav2vec2", "wav2vec2:Wav2Vec2", "Wav2Vec2Config", "wav2vec 2.0 on samples, from random weights or a local file."),
)


def declare_recognition(registry: Declarer) -> None:
    """Data, models and tasks of what is heard."""
    configs, presets = "toolkit.audio.recognition_configs", "toolkit.audio:presets"
    for name, target, config, summary in MADE:
        registry.add("dataset", name, f"toolkit.audio.datasets.{target}", config=f"{configs}:{config}", summary=summary,
                     extras=SPEECH if name.startswith("spoken") else None,
                     accepts=("sound", "text") if name.startswith("spoken") else ("sound",))
    registry.add("dataset", "recordings", "toolkit.audio.datasets.recordings:Recordings", config=f"{configs}:RecordingsConfig",
                 accepts=(".jsonl", ".csv", "/", "sound", "text"),
                 summary="A manifest of sound files, or a folder with a folder for each label.")
    for name, target, config, summary in MODELS:
        registry.add("model", name, f"toolkit.audio.models.{target}", config=f"{configs}:{config}", summary=summary,
                     accepts=("clip", "frames", "samples") if name == "wav2vec2" else ("clip", "frames"),
                     cannot=MODELS_THAT_WAIT.get(name))
    registry.add("task", "audio-classification", "toolkit.audio.tasks.classification:AudioClassification",
                 config=f"{configs}:AudioClassificationConfig", presets=f"{presets}/classification.toml", accepts=("recordings",),
                 aliases=("keyword-spotting",), summary="A class for each clip: words, keywords, sounds, speakers.")
    registry.add("task", "audio-regression", "toolkit.audio.tasks.regression:AudioRegression", accepts=("recordings",),
                 config=f"{configs}:AudioRegressionConfig", summary="A number for each clip: a pitch, an age, a loudness.")
    registry.add("task", "voice-activity", "toolkit.audio.tasks.voice_activity:VoiceActivity", accepts=("recordings",),
                 config=f"{configs}:VoiceActivityConfig", summary="Where in a clip somebody speaks.")
    registry.add("task", "speech-recognition", "toolkit.audio.tasks.recognition:SpeechRecognition",
                 config=f"{configs}:SpeechRecognitionConfig", presets=f"{presets}/recognition.toml", accepts=("recordings",),
                 summary="What is said, in letters (CTC).")


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


def declare_vocoders(registry: Declarer) -> None:
    """From mel frames back to sound, and the task that learns it."""
    configs, vocoders = "toolkit.audio.vocoder_configs", "toolkit.audio.vocoders"
    registry.add("vocoder", "griffin-lim", f"{vocoders}.griffin_lim:GriffinLim", config=f"{configs}:GriffinLimConfig",
                 summary="Phases that fit the magnitudes, without learning; fast with momentum.",
                 cannot={"stream": "each sample depends on the whole clip",
                         "bfloat16": "phases are fitted by transforms, which torch does not have in it",
                         "training": "it has nothing to learn; use it as it is: toolkit audio vocode griffin-lim IN.wav OUT.wav"})
    taught = ("training",)
    for size, config in (("v1", "HifiganConfig"), ("v2", "HifiganV2Config"), ("v3", "HifiganV3Config")):
        registry.add("vocoder", f"hifigan-{size}", f"{vocoders}.hifigan:Hifigan", config=f"{configs}:{config}",
                     aliases=("hifigan",) if size == "v1" else (), accepts=taught,
                     summary=f"HiFi-GAN's generator {size.upper()}.")
    registry.add("vocoder", "vocos", f"{vocoders}.vocos:Vocos", config=f"{configs}:VocosConfig", accepts=taught,
                 summary="ConvNeXt blocks and an inverse Fourier transform.")
    registry.add("vocoder", "lstm", f"{vocoders}.lstm:LSTM", config=f"{configs}:LSTMVocoderConfig", accepts=taught,
                 summary="Recurrent layers over frames and an inverse Fourier transform; streams.")
    registry.add("vocoder", "wavenet", f"{vocoders}.wavenet:WaveNet", config=f"{configs}:WaveNetConfig", accepts=taught,
                 summary="Samples drawn one after another by dilated causal convolutions, on mu-law levels.",
                 cannot={"bfloat16": "samples are drawn one after another by a compiled loop in float32"})
    registry.add("task", "vocoder", f"{vocoders}.task:make", config=f"{configs}:VocoderTaskConfig", accepts=("recordings",),
                 presets="toolkit.audio:presets/vocoder.toml",
                 summary="From mel frames to sound, against critics, as HiFi-GAN is trained.")
