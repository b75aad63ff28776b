"""What the room's components promise.

Example   one thing to learn from, as names and plain values: ``{"text": "...", "label": "good"}``
Dataset   examples in named splits
Model     features or ids to outputs, with the lengths of both
Loss      outputs and targets to one number to be made small
Metric    predictions and targets to one number for people
Op        a tensor function

B sequences, T positions, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Example: TypeAlias = Mapping[str, Any]


class Dataset(Protocol):
    """Examples in named splits.

    ``train`` is always there. Without ``validation`` and ``test`` a share of ``train`` is held out by
    the task. Other splits (another accent, a noise) are judged at the end beside ``test``, each under
    its name. The same options give the same examples in the same order, always. ``toolkit.core.splits`` reads them.

    One that reads what users may change can also have ``fingerprint()``, a text that differs once that has changed: a run keeps
    it, and is resumed and judged on the same data alone. Of a file it is `toolkit.files.digest`; where that names others, a
    second word is of them (`toolkit.files.glimpse` of each); words that a run did not keep are not compared. It may raise
    OSError.
    """

    @property
    def target(self) -> str | None:
        """The name under which an example holds what is to be predicted, where the data says so; may be left out."""

    def splits(self) -> Mapping[str, Sequence[Example]]:
        """The splits by name. Raises UsageError for files that cannot be read, naming row and column."""


@runtime_checkable
class SequenceModel(Protocol):
    """A torch module from sequences to outputs; positions past a length never influence those before it.

    It is made with ``inputs`` (features of a position, or the number of different ids) and ``outputs``
    (numbers per output, e.g. classes). ``spec`` says what else the front end or tokenizer tells.
    """

    def __call__(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Outputs [B, C] or [B, T', C] and their lengths, of inputs [B, T, features] or ids [B, T]."""


class Op(Protocol):
    """A function of tensors, then numbers, to a tensor; the docstring gives shapes, errors, source and an example."""

    def __call__(self, *arguments: Any) -> Any: ...


class Layer(Protocol):
    """A torch module made from its config alone; shapes are in its docstring."""

    def __call__(self, *inputs: Tensor) -> Any: ...


@runtime_checkable
class Loss(Protocol):
    """A torch module from outputs and targets to one scalar."""

    def __call__(self, outputs: Tensor, targets: Tensor, lengths: Tensor | None = None,
                 target_lengths: Tensor | None = None, class_weights: Tensor | None = None) -> Tensor:
        """The mean loss; ``lengths`` and ``target_lengths`` [B] say where sequences end."""


class OptimizerMaker(Protocol):
    """``make(config, parameters, learning_rate)`` is a `torch.optim.Optimizer`."""

    def __call__(self, config: Any, parameters: Any, learning_rate: float = ...) -> torch.optim.Optimizer: ...


class Metric(Protocol):
    """``metric(predictions, targets)`` is a number, or an array of numbers."""

    def __call__(self, predictions: Any, targets: Any) -> Any: ...


class ModelMaker(Protocol):
    """What `toolkit.make("model", ...)` calls."""

    def __call__(self, config: Any, inputs: int, outputs: int, spec: Any = None) -> nn.Module: ...
