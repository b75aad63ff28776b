"""What a task on a data set is about, apart from how it is trained.

Problem   examples to batches, batches to a loss, outputs to scores and answers
Encoded   all examples of a split in a form that batches are cut from quickly
Batch     what the model takes and the loss compares
Tally     running totals of one evaluation
Judged    what an evaluation found

A problem knows no optimizer, clock, checkpoint or run: `toolkit.training.supervised` drives it. It
is made with its config alone; `fit` then learns from the training examples what the model's shape
depends on (classes, vocabulary, scaling), which `facts` gives as values that a checkpoint can keep.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.config import Part, settings_of
from toolkit.core.base import Example
from toolkit.core.batching import hold_out
from toolkit.core.configs import TaskConfig
from toolkit.core.measures import Pairs, measured, measures_of
from toolkit.core.rows import fault_of, listed, number_of
from toolkit.entries import Entry
from toolkit.errors import UsageError
from toolkit.registry import registry

Config = TypeVar("Config", bound=TaskConfig)
Split = TypeVar("Split")
Array = np.ndarray[Any, Any]
Encoded = Any
ONCE = ("clip", "text")  # levels of which a model gives one output [B, C] an example
EACH = ("frames", "position", "next")  # and of which it gives one for each position [B, T', C]


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded.

    inputs [B, ...]; lengths [B] or None when all are whole; targets as the problem's loss takes them;
    target_lengths [B] or None; indices say which examples of the split they are.
    """

    inputs: Tensor
    lengths: Tensor | None = None
    targets: Tensor | None = None
    target_lengths: Tensor | None = None
    indices: Sequence[int] | Array = ()

    def to(self, device: torch.device) -> Self:
        def move(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device, non_blocking=True)

        if device.type == "cpu":
            return self
        return replace(self, inputs=self.inputs.to(device, non_blocking=True), lengths=move(self.lengths),
                       targets=move(self.targets), target_lengths=move(self.target_lengths))


@dataclass(frozen=True)
class Judged:
    """``score`` (higher is better) decides which checkpoint is the best; ``metrics`` go by plain names.

    ``sounds`` are to be kept as files: by name, a waveform [T] in [-1, 1] and its rate (Hz). ``pairs`` are for `--metrics`:
    ``classes`` and ``scores`` (numbers of classes [N] or probabilities [N, C], and numbers of classes), ``numbers``, ``texts``.
    """

    score: float
    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    sounds: Mapping[str, tuple[Tensor, int]] = field(default_factory=dict)
    pairs: Pairs = field(default_factory=dict)


class Tally(Protocol):
    """Running totals of one evaluation."""

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None: ...

    def result(self) -> Judged: ...


class Problem(Generic[Config]):
    """The base of every task on a data set; a task overrides what differs.

    ``frontend`` turns raw inputs into features on the device; `augment` changes training batches
    before it, with a generator that depends on seed and position alone. Both are absent by default.
    """

    unit = "examples"
    full_batches = False  # whether few examples are repeated until a batch is full: where each is drawn from anew
    other_outputs = ""  # how those of the run whose parameters are taken over differ, where they would fit and mean others
    frontend: nn.Module | None = None
    asked_by_rows: ClassVar[bool] = False  # whether people ask about rows with columns, and never about lines of text
    judges_rows: ClassVar[bool] = False  # whether `check` sees rows that cannot be read, to tell of them beside others
    level: ClassVar[str] = ""  # what the model answers for, of `ONCE` and `EACH`; outputs of others are as the loss takes them
    driver = "toolkit.training.supervised:SupervisedTask"  # "module:Class" of the task that trains it

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loss_function: nn.Module = registry.make("loss", config.loss)
        self.measures = measures_of(getattr(config, "metrics", ()))
        self.target_name: str | None = None  # what the data set calls its target; set before `fit`

    def components(self) -> list[Entry]:
        """What it is made of that its settings name in a text and not as a part."""
        return []

    def fingerprint(self) -> str:
        """What tells whether the files have changed that its settings name and training draws from; empty without any."""
        return ""

    # -- before training

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        """Raise UsageError when examples cannot be learned from, with counts and row numbers; or leave them out, if told to.

        Other data that is judged has one split, ``test``.
        """

    def groups(self, examples: Sequence[Example]) -> Array | None:
        """A label [N] for each example that both sides of a hold-out should have their share of; None is none."""
        return None

    def held_out(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Training examples in two: what is trained on, and the share ``holdout`` that is held out."""
        if len(examples) < 2:
            raise UsageError(f"the data has {len(examples)} example to train on; at least 2 are needed, one to be held out")
        kept, held = hold_out(len(examples), self.config.holdout, self.config.split_seed, self.groups(examples))
        if not len(held):
            raise UsageError(f"the data has {len(examples)} examples to train on, each of another class: none can be held out; "
                             "at least one class needs 2")
        return [examples[int(index)] for index in kept], [examples[int(index)] for index in held]

    def learned_from(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Example]:
        """The training examples, changed once before the run; ``generator`` depends on ``seed`` and ``split_seed`` alone."""
        return examples

    def inherit(self, facts: Mapping[str, Any]) -> None:
        """Take over from another run's `facts` what its parameters were learned with; `fit` leaves that as it is."""

    def fit(self, examples: Sequence[Example]) -> None:
        """Learn from the training examples what the model's shape depends on."""

    def facts(self) -> dict[str, Any]:
        """What `fit` learned, as tensors, arrays and JSON values."""
        return {}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """The inverse of `facts`."""

    def build(self) -> nn.Module:
        """The model, freshly initialised from torch's default generator; after `fit` or `restore`."""
        raise NotImplementedError

    def move(self, device: torch.device) -> None:
        """Batches will be on ``device``: what changes them there goes along."""
        if isinstance(self.frontend, nn.Module):
            self.frontend.to(device)

    def settle(self, model: nn.Module) -> None:
        """Called once for a trained model that was loaded for its answers: it may take a form that cannot be taught."""

    def parameter_groups(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """What the optimizer gets: what learns, and of a model that is thawed gradually also what will."""
        later = getattr(model, "freeze", "none") == "gradual"  # until it learns it has no gradient
        return [parameter for parameter in model.parameters() if later or parameter.requires_grad]

    def schedule(self, model: nn.Module, fraction: float) -> None:
        """Called before each step with the share of the budget that is done: a model may thaw by it."""
        unfreeze = getattr(model, "unfreeze", None)
        if unfreeze is not None:
            unfreeze(fraction)

    # -- batches

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Encoded:
        """All examples in a form that `collate` cuts batches from; without ``targets`` for predictions."""
        raise NotImplementedError

    def sizes(self, encoded: Encoded) -> Array:
        """How long each example is [N]: buckets and ``batch_length`` go by it."""
        return np.ones(len(encoded), np.int64)

    @property
    def cut_by(self) -> str:
        """The setting that long examples are cut to; empty where there is none."""
        return ""

    def positions(self, encoded: Encoded) -> Array:
        """How many positions of a model each example takes [N]; asked where the model has ``room`` for so many and no more."""
        return self.sizes(encoded)

    def units(self, encoded: Encoded) -> Array:
        """How many of the task's units each example counts [N]."""
        return np.ones(len(encoded), np.int64)

    def collate(self, encoded: Encoded, indices: Array) -> Batch:
        """The examples ``indices`` as one batch on the CPU."""
        raise NotImplementedError

    def drawn(self, encoded: Encoded, indices: Array, generator: torch.Generator) -> Batch:
        """The training examples ``indices`` as one batch on the CPU, changed at random."""
        return self.augment(self.collate(encoded, indices), generator)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A training batch, changed at random."""
        return batch

    def evaluated(self, encoded: Encoded) -> Encoded:
        """What of a held-out split an evaluation looks at; all of it."""
        return encoded

    @property
    def evaluation_batch_size(self) -> int:
        """Examples in a batch of an evaluation."""
        return max(self.config.batch_size, 64)

    def fixed(self, batch: Batch) -> Batch:
        """An evaluation batch: where `augment` makes the task itself (hides tokens), that, the same each time."""
        return batch

    def features(self, batch: Batch) -> Batch:
        """The batch as the model takes it."""
        if self.frontend is None:
            return batch
        inputs, lengths = self.frontend(batch.inputs, batch.lengths)
        return replace(batch, inputs=inputs, lengths=lengths)

    # -- outputs

    def checked(self, found: Any) -> tuple[Tensor, Tensor | None]:
        """What a model returned: outputs and lengths. Raises UsageError for a model that is for something else."""
        part = getattr(self.config, "model", None)
        name = part.name if isinstance(part, Part) else ""
        if not (isinstance(found, (tuple, list)) and len(found) == 2 and isinstance(found[0], Tensor)):
            raise UsageError(f"the model {name!r} returns {type(found).__name__}, promised: the pair (outputs, lengths). "
                             f"See: toolkit check model {name}")
        outputs, lengths = found
        needs, given = "one output for each example, [B, C]", "for each position"
        fits = outputs.dim() == 2 or self.level not in ONCE
        if self.level in EACH:
            needs = "one output for each position, [B, T', C], and their lengths"
            given = "without lengths" if outputs.dim() == 3 else "once for each example"
            fits = outputs.dim() == 3 and (lengths is not None or self.level != "frames")
        if not fits:
            default = next((item.default.name for item in settings_of(type(self.config)) if item.name == "model"), "")
            raise UsageError(f"the model {name!r} answers {given}: its outputs have the shape {list(outputs.shape)}. This task "
                             f"needs {needs}. Name a model that gives them: --model {default}")
        asked = getattr(self, "outputs", None)
        if self.level in ONCE and asked is not None and outputs.shape[-1] != asked:
            raise UsageError(f"the model {name!r} gives {outputs.shape[-1]} outputs, and was asked for {asked}. "
                             f"See: toolkit check model {name}")
        return outputs, lengths

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        """The scalar to be made small."""
        result: Tensor = self.loss_function(outputs, batch.targets, lengths, batch.target_lengths)
        return result

    def tally(self) -> Tally:
        """Fresh totals for one evaluation."""
        raise NotImplementedError

    def judged(self, tally: Tally) -> Judged:
        """The result of ``tally``, with the metrics asked for by name. Raises UsageError where it has no pairs for them."""
        found = tally.result()
        if not self.measures:
            return found
        if not found.pairs:
            raise UsageError(f"--metrics: the evaluations of {type(self).__name__} have no predictions and targets to measure. "
                             "Leave it out, or give them as pairs of Judged")
        values, details = measured(self.measures, found.pairs)
        return replace(found, metrics={**found.metrics, **values}, details={**found.details, **details})

    def refuse_unused(self, given: Collection[str]) -> None:
        """Raise UsageError where settings ``given`` to a run that begins, by name, would do nothing with its data."""

    def refuse_idle(self, given: Collection[str]) -> None:
        """Raise UsageError where settings ``given`` to a trained run, by name, would do nothing."""

    def require_answers(self) -> None:
        """Raise UsageError for a run that has no answers."""

    @property
    def asked_columns(self) -> Sequence[str] | None:
        """The columns of a row that a person asks about which its answer can depend on; None where that may be any."""
        return None

    def asked(self, rows: Sequence[Any], source: Path) -> Sequence[Any]:
        """The rows of the file ``source``, or the lines of a text, as values that a person asks about; here as they are.

        Where one cannot be asked about stands the error that says why. Raises UsageError for a file without a needed column.
        """
        return [UsageError(fault) if (fault := fault_of(row)) else row for row in rows]

    def as_example(self, value: Any) -> Example:
        """What a person asks about (a text, a row, a path) as an example without target."""
        if not isinstance(value, Mapping):
            got = textwrap.shorten(repr(value), 80, placeholder=" ...")
            raise UsageError(f"predict: got {got}; allowed: rows with named columns. Ask about one: toolkit predict RUN "
                             'COLUMN=VALUE COLUMN=VALUE. From Python: predict({"COLUMN": value}), or a DataFrame')
        return value

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """One answer an example of ``batch``."""
        return self.answers(*run_model(self, model, batch))

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        """One answer an example, as JSON values."""
        raise NotImplementedError


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are; the CPU for one without."""
    return next((value.device for value in model.parameters()), torch.device("cpu"))


def run_model(problem: Problem[Any], model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None, Batch]:
    """Front end and model: outputs, their lengths, and the batch with its features."""
    ready = problem.features(batch)
    outputs, lengths = problem.checked(model(ready.inputs, ready.lengths))
    return outputs, lengths, ready


def first_split(splits: Mapping[str, Split]) -> Split:
    """What ``splits`` have of the training examples, or where other data is judged of that."""
    return splits["train"] if "train" in splits else next(iter(splits.values()))


def refuse_rows(splits: Mapping[str, Sequence[Example]], bad: Callable[[Example], bool | str | None], said: str,
                advice: str = "take them out or fill them in") -> None:
    """Raise UsageError where ``bad`` holds for examples: how many of which split, which rows, and why the first if it says so."""
    refused = []
    for split, rows in splits.items():
        found = {number_of(row, place): why for place, row in enumerate(rows) if (why := bad(row))}
        if found:
            first = next(iter(found.values()))
            reason = f" ({first})" if isinstance(first, str) else ""
            refused.append(f"{len(found)} of {len(rows)} rows ({split}) {said}{reason}: rows {listed(list(found))}. ")
    if refused:
        raise UsageError(f"{''.join(refused)}{advice[:1].upper()}{advice[1:]}")
