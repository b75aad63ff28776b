"""Every knob of the room."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.config import Part, part, setting
from toolkit.core.configs import ACTIVATIONS, TaskConfig, again, measured

# -- tokenizers


@dataclass(frozen=True)
class VocabularyConfig:
    min_frequency: int = setting(1, "rarer tokens become the unknown one", unit="times", minimum=1)
    max_size: int | None = setting(None, "keep the most frequent so many, special ones included; none keeps all",
                                   unit="tokens", minimum=6)


@dataclass(frozen=True)
class WordConfig(VocabularyConfig):
    lower: bool = setting(False, "make all letters small first")


@dataclass(frozen=True)
class BasicEnglishConfig(VocabularyConfig):
    pass


@dataclass(frozen=True)
class CharConfig(VocabularyConfig):
    lower: bool = setting(False, "make all letters small first")


@dataclass(frozen=True)
class SubwordConfig:
    max_size: int = setting(8000, "tokens to learn, special ones included", unit="tokens", minimum=6)
    min_frequency: int = setting(2, "a pair must occur so often to be merged", unit="times", minimum=1)
    lower: bool = setting(False, "make all letters small first")


@dataclass(frozen=True)
class FolderConfig:
    path: str = setting("", "a local folder, or a name on the Hugging Face hub")


# -- models


@dataclass(frozen=True)
class RecurrentConfig:
    embedding_size: int = setting(64, "numbers of a token", minimum=1)
    hidden_size: int = setting(64, "units of each direction", unit="units", minimum=1)
    layers: int = setting(1, "recurrent layers", minimum=1)
    bidirectional: bool = setting(True, "also read from the end")
    dropout: float = setting(0.2, "share dropped after the embedding and before the output", minimum=0, below=1)
    pool: str = setting("max", "what goes to the output: the largest of each number over positions, their mean, the last state",
                        choices=("max", "mean", "last"))


@dataclass(frozen=True)
class TransformerTextConfig:
    width: int = setting(128, "numbers of a position", minimum=1)
    layers: int = setting(2, "encoder layers", minimum=1)
    heads: int = setting(4, "attentions side by side; divides width", minimum=1)
    hidden: int = setting(512, "units of the feed-forward part", unit="units", minimum=1)
    dropout: float = setting(0.1, "share dropped", minimum=0, below=1)
    activation: str = setting("gelu", "in the feed-forward part", choices=ACTIVATIONS)
    positions: str = setting("sinusoidal", "how positions are told", choices=("sinusoidal", "learned", "rotary"))
    longest: int = setting(512, "positions there are room for", unit="positions", minimum=2)


@dataclass(frozen=True)
class TransformerLMConfig(TransformerTextConfig):
    layers: int = again(TransformerTextConfig, "layers", 4)
    positions: str = again(TransformerTextConfig, "positions", "rotary")
    tied: bool = setting(True, "the output layer is the embedding turned round")


@dataclass(frozen=True)
class RecurrentLMConfig:
    embedding_size: int = setting(64, "numbers of a token", minimum=1)
    hidden_size: int = setting(384, "units of a layer", unit="units", minimum=1)
    layers: int = setting(1, "recurrent layers", minimum=1)
    dropout: float = setting(0.1, "share dropped after the embedding, between layers and before the output", minimum=0, below=1)


@dataclass(frozen=True)
class TaggerConfig(RecurrentConfig):
    encoder: str = setting("lstm", "what reads the tokens", choices=("lstm", "gru"))
    layers: int = again(RecurrentConfig, "layers", 2)


@dataclass(frozen=True)
class BertConfig:
    width: int = setting(768, "numbers of a position", minimum=1)
    layers: int = setting(12, "encoder layers", minimum=1)
    heads: int = setting(12, "attentions side by side; divides width", minimum=1)
    hidden: int = setting(3072, "units of the feed-forward part", unit="units", minimum=1)
    dropout: float = setting(0.1, "share dropped", minimum=0, below=1)
    longest: int = setting(512, "positions there are room for", unit="positions", minimum=2)
    segments: int = setting(2, "kinds of text in one sequence", minimum=1)
    eps: float = setting(1e-12, "added to the mean square by the norms", above=0)


@dataclass(frozen=True)
class PretrainedConfig(FolderConfig):
    freeze: str = setting("none", "which layers keep their weights: none, all, or all at first and then, from the last down, "
                                  "fewer and fewer", choices=("none", "all", "gradual"))
    dropout: float = setting(0.1, "share dropped before the output layer", minimum=0, below=1)
    random: bool = setting(False, "take the folder's configuration only, with random weights")


# -- tasks


@dataclass(frozen=True)
class TextTaskConfig(TaskConfig):
    data: Part | None = again(TaskConfig, "data", None, fits="text")
    tokenizer: Part = part("tokenizer", "basic-english", "text to ids")
    text_column: str = setting("text", "the column that holds the text")
    max_length: int = setting(256, "longer texts are cut to so many tokens", unit="tokens", minimum=3)
    scheduler: Part = again(TaskConfig, "scheduler", "warmup-linear")
    epochs: float = again(TaskConfig, "epochs", 5.0)


@dataclass(frozen=True)
class TextClassificationConfig(TextTaskConfig):
    model: Part = part("model", "lstm-classifier", "from ids to classes", fits="text")
    metrics: tuple[Part, ...] = measured("classes")
    target: str | None = setting(None, "the column that holds the class; none takes the data's own, or label")
    class_weights: str = setting("none", "weight of each class in the loss; balanced is one over its frequency",
                                 choices=("none", "balanced"))


@dataclass(frozen=True)
class TokenClassificationConfig(TextTaskConfig):
    tokenizer: Part = again(TextTaskConfig, "tokenizer", "word")
    model: Part = part("model", "tagger", "from ids to a tag each", fits="position")
    metrics: tuple[Part, ...] = measured("classes")
    target: str | None = setting(None, "the column that holds the tags; none takes the data's own, or tags")


@dataclass(frozen=True)
class TextGenerationConfig(TextTaskConfig):
    tokenizer: Part = again(TextTaskConfig, "tokenizer", "char")
    model: Part = part("model", "transformer-lm", "from ids to the next one", fits="next")
    target: str | None = setting(None, "the column that holds what is to be generated after the text; none takes the data's own; "
                                       "without one the text itself is modelled")
    context: int = setting(128, "tokens of a training example, where the text itself is modelled", unit="tokens", minimum=2)
    scheduler: Part = again(TaskConfig, "scheduler", "cosine")


@dataclass(frozen=True)
class MaskedLanguageModelConfig(TextTaskConfig):
    tokenizer: Part = again(TextTaskConfig, "tokenizer", "wordpiece")
    model: Part = part("model", "bert", "from ids to the hidden ones", fits="masked")
    share: float = setting(0.15, "share of tokens that are hidden", above=0, below=1)


# -- data sets


@dataclass(frozen=True)
class MadeConfig:
    count: int = setting(4000, "training examples", unit="examples", minimum=10)
    held_out: int = setting(500, "examples of validation and of test each", unit="examples", minimum=1)
    seed: int = setting(0, "of the data, not of the run", minimum=0)


@dataclass(frozen=True)
class StringsConfig(MadeConfig):
    count: int = again(MadeConfig, "count", 20_000)
    letters: str = setting("abcdefghijklmnopqrstuvwxyz", "what strings are made of")
    shortest: int = setting(1, "letters at least", unit="letters", minimum=1)
    longest: int = setting(12, "letters at most", unit="letters", minimum=1)


@dataclass(frozen=True)
class BracketsConfig(MadeConfig):
    longest: int = setting(40, "tokens at most", unit="tokens", minimum=4)


@dataclass(frozen=True)
class DocsConfig:
    size: int = setting(1_000_000, "characters in all", unit="characters", minimum=10_000)
