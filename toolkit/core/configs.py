"""Every knob of the tensor pieces, and of every task that learns from a data set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from toolkit.config import Part, part, parts, setting

ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "elu", "leaky-relu")


def again(config: type, name: str, default: Any, fits: str = "") -> Any:
    """The setting ``name`` of another config, with another default; ``fits``: of a part, where it is for another place."""
    metadata = next(item.metadata for item in dataclasses.fields(config) if item.name == name)
    if "kind" in metadata:
        return part(metadata["kind"], default, metadata["help"], fits=fits or metadata["fits"])
    return dataclasses.field(default=default, metadata=metadata)


def measured(fits: str) -> Any:
    """The setting ``metrics`` of a task whose answers can be held against targets of one sort (see `Judged.pairs`)."""
    return parts("metric", (), "what answers are measured by, beside the task's own", fits=fits, later=True)


# -- tasks


@dataclass(frozen=True)
class TaskConfig:
    """What every task on a data set has."""

    data: Part | None = part("dataset", None, "a data set by name, or a file")
    epochs: float = setting(20.0, "passes over the training examples; --steps overrides it", unit="epochs", above=0)
    batch_size: int = setting(32, "examples in a batch", unit="examples", minimum=1)
    batch_length: int | None = setting(None, "padded length of a batch, all its examples together, at most; "
                                             "none limits the examples alone", minimum=1)
    bucket: bool = setting(True, "put examples of like length into one batch")
    learning_rate: float = setting(1e-3, "step size at the top of its schedule", above=0)
    optimizer: Part = part("optimizer", "adamw", "what turns gradients into steps")
    scheduler: Part = part("scheduler", "constant", "how the learning rate changes over the run")
    loss: Part = part("loss", "cross-entropy", "what is made small", fits="classes")
    max_grad_norm: float | None = setting(1.0, "gradients are scaled down to this global norm; none leaves them", above=0)
    accumulate: int = setting(1, "batches whose gradients are summed for one step", unit="batches", minimum=1)
    patience: int | None = setting(None, "stop after so many evaluations without a better one; none never stops early",
                                   unit="evaluations", minimum=1)
    holdout: float = setting(0.2, "share of the training examples held out, where the data has no split of its own",
                             above=0, below=1)
    split_seed: int = setting(0, "which examples are held out", minimum=0)
    precision: str = setting("float32", "numbers of the forward pass", choices=("float32", "bfloat16"))
    prefetch: int = setting(0, "batches made ahead in a thread of their own", unit="batches", minimum=0)


# -- tables


@dataclass(frozen=True)
class TabularConfig(TaskConfig):
    data: Part | None = again(TaskConfig, "data", None, fits="columns")
    target: str | None = setting(None, "the column to predict; none takes the one that the data names")
    ignore: tuple[str, ...] = setting((), "columns that are not to be looked at; one that holds a comma in double quotes")
    model: Part = part("model", "mlp", "from columns to outputs", {"hidden_sizes": (128,), "dropout": 0.3}, fits="columns")
    folds: int = setting(0, "also cross-validate over so many folds at the end; 0 does not", unit="folds", minimum=0)
    max_categories: int = setting(100, "the most common categories of a column that get a number of their own",
                                  unit="categories", minimum=1)
    epochs: float = again(TaskConfig, "epochs", 100.0)
    # One default for small tables: chosen on ten sets together, see docs/tables.md.
    learning_rate: float = again(TaskConfig, "learning_rate", 1e-2)
    optimizer: Part = part("optimizer", "adamw", "what turns gradients into steps", {"weight_decay": 0.5})
    scheduler: Part = again(TaskConfig, "scheduler", "cosine")
    bucket: bool = again(TaskConfig, "bucket", False)


@dataclass(frozen=True)
class TabularClassificationConfig(TabularConfig):
    metrics: tuple[Part, ...] = measured("classes")
    class_weights: str = setting("none", "weight of each class in the loss; balanced is one over its frequency",
                                 choices=("none", "balanced"))


@dataclass(frozen=True)
class TabularRegressionConfig(TabularConfig):
    metrics: tuple[Part, ...] = measured("numbers")
    loss: Part = part("loss", "mse", "what is made small", fits="numbers")


@dataclass(frozen=True)
class MLPModelConfig:
    hidden_sizes: tuple[int, ...] = setting((64, 64), "units of each hidden layer", unit="units", minimum=1)
    activation: str = setting("relu", "after each hidden layer", choices=ACTIVATIONS)
    dropout: float = setting(0.0, "share of hidden units dropped while training", minimum=0, below=1)
    norm: str = setting("none", "before each activation", choices=("none", "layer", "batch"))


# -- data sets from files


@dataclass(frozen=True)
class FileConfig:
    path: str = setting("", "the file")
    limit: int | None = setting(None, "take the first so many rows; none takes all", unit="rows", minimum=1)


@dataclass(frozen=True)
class CSVConfig(FileConfig):
    delimiter: str = setting("auto", "what separates columns; auto looks at the first line")


@dataclass(frozen=True)
class TextFileConfig(FileConfig):
    by: str = setting("file", "one example is the whole file, a paragraph or a line", choices=("file", "paragraph", "line"))


# -- optimizers


@dataclass(frozen=True)
class SGDConfig:
    momentum: float = setting(0.9, "share of the last step that is kept", minimum=0, below=1)
    nesterov: bool = setting(False, "look ahead along the momentum")
    weight_decay: float = setting(0.0, "added to the gradient, times the parameter", minimum=0)


@dataclass(frozen=True)
class AdamConfig:
    beta1: float = setting(0.9, "memory of the mean gradient", minimum=0, below=1)
    beta2: float = setting(0.999, "memory of the mean squared gradient", minimum=0, below=1)
    eps: float = setting(1e-8, "added to the root of the mean square", above=0)
    weight_decay: float = setting(0.0, "added to the gradient, times the parameter", minimum=0)


@dataclass(frozen=True)
class AdamWConfig(AdamConfig):
    weight_decay: float = setting(0.01, "share of a matrix taken away each step, times the learning rate; "
                                        "biases and norms are left alone", minimum=0)


@dataclass(frozen=True)
class RMSpropConfig:
    alpha: float = setting(0.99, "memory of the mean squared gradient", minimum=0, below=1)
    eps: float = setting(1e-8, "added to the root of the mean square", above=0)
    momentum: float = setting(0.0, "share of the last step that is kept", minimum=0, below=1)
    weight_decay: float = setting(0.0, "added to the gradient, times the parameter", minimum=0)


# -- schedulers


@dataclass(frozen=True)
class WarmupConfig:
    warmup: float = setting(0.1, "share of the budget over which the value rises from 0", minimum=0, below=1)


@dataclass(frozen=True)
class CosineConfig:
    warmup: float = setting(0.05, "share of the budget over which the value rises from 0", minimum=0, below=1)
    final: float = setting(0.0, "factor at the end of the budget", minimum=0, maximum=1)


@dataclass(frozen=True)
class StepConfig:
    every: float = setting(0.3, "share of the budget between drops", above=0, maximum=1)
    gamma: float = setting(0.1, "factor of each drop", above=0, maximum=1)


@dataclass(frozen=True)
class ExponentialConfig:
    final: float = setting(0.1, "factor at the end of the budget", above=0, maximum=1)


@dataclass(frozen=True)
class OneCycleConfig:
    warmup: float = setting(0.3, "share of the budget on the way up", above=0, below=1)
    start: float = setting(0.04, "factor at the start", above=0, maximum=1)
    final: float = setting(0.000004, "factor at the end", minimum=0, maximum=1)


@dataclass(frozen=True)
class PlateauConfig:
    patience: int = setting(2, "evaluations without a better one before a drop", unit="evaluations", minimum=1)
    gamma: float = setting(0.5, "factor of each drop", above=0, below=1)


# -- losses


@dataclass(frozen=True)
class CrossEntropyConfig:
    label_smoothing: float = setting(0.0, "share of the target spread evenly over all classes", minimum=0, below=1)


@dataclass(frozen=True)
class FocalConfig:
    gamma: float = setting(2.0, "how much examples that are right already count less; 0 is cross-entropy", minimum=0)


@dataclass(frozen=True)
class HuberConfig:
    delta: float = setting(1.0, "error at which the square becomes a line", above=0)


@dataclass(frozen=True)
class CTCConfig:
    blank: int = setting(0, "the class that stands for nothing", minimum=0)
    zero_infinity: bool = setting(False, "count targets longer than their input as 0 instead of infinity")


# -- layers


@dataclass(frozen=True)
class MLPLayerConfig(MLPModelConfig):
    inputs: int = setting(64, "numbers in", minimum=1)
    outputs: int = setting(64, "numbers out", minimum=1)


@dataclass(frozen=True)
class ActivationConfig:
    name: str = setting("gelu", "which one", choices=ACTIVATIONS)


@dataclass(frozen=True)
class DropoutConfig:
    share: float = setting(0.1, "share of numbers set to 0 while training", minimum=0, below=1)


@dataclass(frozen=True)
class EmbeddingConfig:
    count: int = setting(1000, "different ids", unit="ids", minimum=1)
    width: int = setting(64, "numbers for each", minimum=1)
    padding: int | None = setting(0, "the id whose numbers stay 0; none has none", minimum=0)


@dataclass(frozen=True)
class PositionsConfig:
    width: int = setting(64, "numbers of a position, even", minimum=2)
    longest: int = setting(512, "positions there are", unit="positions", minimum=1)


@dataclass(frozen=True)
class RotaryConfig:
    width: int = setting(32, "numbers of one head, even", minimum=2)
    base: float = setting(10_000.0, "the slowest pair turns once in about 2 pi times so many positions", above=1)


@dataclass(frozen=True)
class AttentionConfig:
    width: int = setting(64, "numbers of a position", minimum=1)
    heads: int = setting(4, "attentions side by side; divides width", minimum=1)
    dropout: float = setting(0.0, "share of attention weights dropped while training", minimum=0, below=1)
    rotary: bool = setting(False, "turn queries and keys by their position")


@dataclass(frozen=True)
class FeedForwardConfig:
    width: int = setting(64, "numbers of a position", minimum=1)
    hidden: int = setting(256, "units in between", unit="units", minimum=1)
    activation: str = setting("relu", "in between", choices=ACTIVATIONS)
    dropout: float = setting(0.0, "share of units dropped while training", minimum=0, below=1)


@dataclass(frozen=True)
class NormConfig:
    width: int = setting(64, "numbers of a position", minimum=1)
    eps: float = setting(1e-5, "added to the mean square", above=0)


@dataclass(frozen=True)
class EncoderLayerConfig:
    width: int = setting(512, "numbers of a position", minimum=1)
    heads: int = setting(8, "attentions side by side; divides width", minimum=1)
    hidden: int = setting(2048, "units of the feed-forward part", unit="units", minimum=1)
    activation: str = setting("relu", "in the feed-forward part", choices=ACTIVATIONS)
    dropout: float = setting(0.1, "share dropped while training", minimum=0, below=1)
    norm_first: bool = setting(False, "normalise before each part instead of after it")
    rotary: bool = setting(False, "turn queries and keys by their position")
    eps: float = setting(1e-5, "added to the mean square by the norms", above=0)


@dataclass(frozen=True)
class ResidualConfig:
    width: int = setting(64, "numbers of a position", minimum=1)
    hidden: int = setting(256, "units of the branch", unit="units", minimum=1)
    dropout: float = setting(0.0, "share of units dropped while training", minimum=0, below=1)
