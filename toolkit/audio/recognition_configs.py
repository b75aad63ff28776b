"""Every knob of the recognition side on one page: made sounds, models that hear, tasks on recordings."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting
from toolkit.core.configs import FileConfig, TaskConfig, again, measured

# -- data


@dataclass(frozen=True)
class MadeSoundConfig:
    count: int = setting(6000, "training clips", unit="clips", minimum=10)
    held_out: int = setting(1000, "clips of test and of every other condition; validation has half as many", unit="clips",
                            minimum=4)
    seed: int = setting(0, "of the data, not of the run", minimum=0)
    sample_rate: int = setting(16000, "rate of the waveforms", unit="Hz", minimum=4000)


@dataclass(frozen=True)
class CommandsConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 12_000)
    held_out: int = again(MadeSoundConfig, "held_out", 1400)


@dataclass(frozen=True)
class SentencesConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 4000)
    held_out: int = again(MadeSoundConfig, "held_out", 400)
    language: str = setting("en", "what is spoken", choices=("en", "de", "ja"))


@dataclass(frozen=True)
class DigitStringsConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 4000)
    held_out: int = again(MadeSoundConfig, "held_out", 400)
    longest: int = setting(7, "digits at most", unit="digits", minimum=1)


@dataclass(frozen=True)
class ChordsConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 7200)
    held_out: int = again(MadeSoundConfig, "held_out", 1440)
    target: str = setting("label", "what clips are told apart by: root and kind, the kind, or the root",
                          choices=("label", "quality", "root"))


@dataclass(frozen=True)
class GenresConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 2400)
    held_out: int = again(MadeSoundConfig, "held_out", 600)


@dataclass(frozen=True)
class EmotionsConfig(MadeSoundConfig):
    count: int = again(MadeSoundConfig, "count", 3000)
    held_out: int = again(MadeSoundConfig, "held_out", 600)


@dataclass(frozen=True)
class RecordingsConfig(FileConfig):
    """A manifest (JSONL or CSV with a column ``path``), or a folder with one folder of sound files for each label."""


# -- models


@dataclass(frozen=True)
class CRNNConfig:
    channels: tuple[int, ...] = setting((24, 32, 48), "of each convolution; each halves the bins", minimum=1)
    time_strides: tuple[int, ...] = setting((2, 2, 1), "frames each convolution steps by", unit="frames", minimum=1, maximum=4)
    hidden_size: int = setting(64, "units of the recurrent layers, each way", unit="units", minimum=1)
    layers: int = setting(1, "recurrent layers", minimum=1)
    cell: str = setting("gru", "kind of recurrent layer", choices=("gru", "lstm"))
    dropout: float = setting(0.1, "share dropped before the output layer", minimum=0, below=1)


@dataclass(frozen=True)
class EncoderConfig:
    width: int = setting(144, "numbers of a position", minimum=8)
    heads: int = setting(4, "attentions side by side; divides width", minimum=1)
    hidden: int = setting(576, "units of the feed-forward parts", unit="units", minimum=1)
    layers: int = setting(4, "encoder layers", minimum=1)
    subsampling: int = setting(2, "frames that become one position", unit="frames", minimum=1, maximum=8)
    dropout: float = setting(0.1, "share dropped", minimum=0, below=1)


@dataclass(frozen=True)
class StreamingEncoderConfig(EncoderConfig):
    subsampling: int = setting(2, "frames that become one position", unit="frames", minimum=1, maximum=4)
    chunk: int = setting(16, "positions that are heard together: each is answered when the last of them is there",
                         unit="positions", minimum=1)
    left: int = setting(4, "chunks before its own that a position looks at", unit="chunks", minimum=0)


@dataclass(frozen=True)
class TDNNConfig:
    channels: int = setting(128, "of each layer", minimum=1)
    dilations: tuple[int, ...] = setting((1, 2, 3, 1), "distance between the three frames that each layer sees", unit="frames",
                                         minimum=1)
    subsampling: int = setting(2, "frames that become one position", unit="frames", minimum=1, maximum=8)
    dropout: float = setting(0.1, "share dropped before the output layer", minimum=0, below=1)


@dataclass(frozen=True)
class Wav2Vec2Config:
    """The defaults are the published base model's sizes."""

    channels: tuple[int, ...] = setting((512,) * 7, "of each convolution", minimum=1)
    kernels: tuple[int, ...] = setting((10, 3, 3, 3, 3, 2, 2), "samples that each convolution sees", minimum=1)
    strides: tuple[int, ...] = setting((5, 2, 2, 2, 2, 2, 2), "samples that each convolution steps by", minimum=1)
    norm: str = setting("group", "group: one norm, after the first convolution (base); layer: one after each (large)",
                        choices=("group", "layer"))
    bias: bool = setting(False, "convolutions with a bias (large)")
    width: int = setting(768, "numbers of a position", minimum=8)
    layers: int = setting(12, "encoder layers", minimum=1)
    heads: int = setting(12, "attentions side by side; divides width", minimum=1)
    hidden: int = setting(3072, "units of the feed-forward parts", unit="units", minimum=1)
    position_kernel: int = setting(128, "positions that tell each where it is", minimum=1)
    position_groups: int = setting(16, "groups of that convolution; divides width", minimum=1)
    norm_first: bool = setting(False, "norms before attention and feed-forward (large) instead of after them")
    dropout: float = setting(0.1, "share dropped", minimum=0, below=1)
    layer_drop: float = setting(0.05, "share of the layers left out of a training step", minimum=0, below=1)
    weights: str = setting("", "a local file with weights to begin from: .safetensors, or torch.save's")
    freeze: str = setting("none", "what keeps its weights: nothing, the convolutions, all but the output layer, or all of that "
                                  "at first and then, from the last layer down, less and less",
                          choices=("none", "convolutions", "all", "gradual"))


# -- tasks


@dataclass(frozen=True)
class AudioTaskConfig(TaskConfig):
    data: Part | None = again(TaskConfig, "data", None, fits="sound")
    frontend: Part = part("frontend", "log-mel", "from sound to features", {"n_mels": 40})
    transforms: str = setting("", 'what training clips go through, such as "noise(snr=0..30) | speed(0.9,1.0,1.1)"')
    skip_bad: bool = setting(False, "leave out clips that cannot be used, and say how many, instead of stopping")
    epochs: float = again(TaskConfig, "epochs", 12.0)
    scheduler: Part = again(TaskConfig, "scheduler", "one-cycle")
    learning_rate: float = again(TaskConfig, "learning_rate", 4e-3)
    prefetch: int = again(TaskConfig, "prefetch", 8)


@dataclass(frozen=True)
class AudioClassificationConfig(AudioTaskConfig):
    model: Part = part("model", "crnn", "from features to classes", fits="clip")
    metrics: tuple[Part, ...] = measured("classes")
    target: str | None = setting(None, "what clips are told apart by; none takes the data's own, or label")
    class_weights: str = setting("none", "weight of each class in the loss; balanced is one over its frequency",
                                 choices=("none", "balanced"))
    shuffle_labels: bool = setting(False, "give training clips each other's labels: what is learned then is chance")


@dataclass(frozen=True)
class AudioRegressionConfig(AudioTaskConfig):
    model: Part = part("model", "crnn", "from features to the number", fits="clip")
    metrics: tuple[Part, ...] = measured("numbers")
    target: str | None = setting(None, "the column that holds the number; none takes the data's own, or label")
    loss: Part = part("loss", "mse", "what is made small", fits="numbers")


@dataclass(frozen=True)
class VoiceActivityConfig(AudioTaskConfig):
    model: Part = part("model", "crnn", "from features to speech or none", {"time_strides": (2, 1, 1)}, fits="frames")
    metrics: tuple[Part, ...] = measured("classes")
    target: str | None = setting(None, "the column that holds [[start, end], ...] of speech; none takes segments")
    surround: float = setting(1.0, "clips without that column are all speech, and get up to so much silence and noise before and "
                                   "after; 0 refuses them", unit="s", minimum=0)
    epochs: float = again(TaskConfig, "epochs", 3.0)


@dataclass(frozen=True)
class SpeechRecognitionConfig(AudioTaskConfig):
    model: Part = part("model", "crnn", "from features to letters", {"time_strides": (2, 1, 1), "hidden_size": 96, "layers": 2},
                       fits="frames")
    metrics: tuple[Part, ...] = measured("texts")
    tokenizer: Part = part("tokenizer", "char", "text to the classes of the outputs")
    target: str | None = setting(None, "the column that holds what is said; none takes the data's own, or text")
    lower: bool = setting(True, "make all letters of texts, and of the language model, small first")
    loss: Part = part("loss", "ctc", "what is made small", {"zero_infinity": True}, fits="alignments")
    beam: int = setting(1, "texts kept in decoding; 1 takes the likeliest letter of each position", unit="texts", minimum=1,
                        later=True)
    language_model: str | None = setting(None, "ARPA file of word n-grams that the beam also listens to; needs beam 2 or more",
                                         later=True)
    language_model_weight: float = setting(0.5, "what its log-probabilities count", minimum=0, later=True)
    word_bonus: float = setting(1.0, "added for each word, since a language model alone likes few", later=True)
    epochs: float = again(TaskConfig, "epochs", 20.0)
    batch_size: int = again(TaskConfig, "batch_size", 16)
    learning_rate: float = again(TaskConfig, "learning_rate", 2e-3)
