"""What all tasks that tell classes apart share, whatever they look at.

ClassProblem   goes before the class that reads the examples: ``class TextClassification(ClassProblem, TextProblem)``
class_answers  logits as answers
meaning        what is the same in all spellings of a class
in_order_of    classes in the order of the run whose parameters are taken over
others_than    how they differ from those of that run
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.core.base import Example
from toolkit.core.numeric import boolean
from toolkit.core.problem import Array, Batch, Problem, Tally, refuse_rows
from toolkit.core.rows import row_name
from toolkit.core.tallies import ClassTally
from toolkit.errors import UsageError

WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")  # 1.0, as pandas writes the 1 of a column with gaps; 007 and 1.10 may be codes


class ClassProblem(Problem[Any]):
    """One class an example; ``things`` is what messages call the examples."""

    things: ClassVar[str] = "rows"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classes: list[str] = []
        self.weights: Tensor | None = None
        self.inherited_classes: Sequence[str] = ()  # of the run whose parameters are taken over

    @property
    def target(self) -> str:
        """The column that holds the class."""
        return self.config.target or self.target_name or "label"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        refuse_rows(splits, lambda row: is_blank(row.get(self.target)), f"hold no {self.target!r}")

    def label(self, example: Example) -> str:
        return str(example[self.target]).strip()

    def labels(self, examples: Sequence[Example]) -> list[str]:
        return [self.label(example) for example in examples]

    def groups(self, examples: Sequence[Example]) -> Array:
        return np.array(self.labels(examples), dtype=object)  # of fixed width, one long label would make all as long

    def fit_classes(self, labels: Sequence[str]) -> None:
        """Learn which classes there are. Raises UsageError for fewer than two."""
        counts = one_spelling(Counter(labels), self.target)
        if len(counts) < 2:
            raise UsageError(f"all {self.things} have the same {self.target!r} ({labels[0]}); there is nothing to learn")
        self.classes = in_order_of(self.inherited_classes, counts)
        self.other_outputs = others_than(self.inherited_classes, self.classes, self.target)
        if self.config.class_weights == "balanced":
            self.weights = torch.tensor([len(labels) / (len(counts) * counts[name]) for name in self.classes])

    def encode_classes(self, examples: Sequence[Example]) -> Tensor:
        """The place of each example's label among the classes [N]. Raises UsageError for one that training has not seen."""
        # A run of old may tell 1 from 1.0: a class is first looked for as it is spelled.
        places = {name: index for names in (map(meaning, self.classes), self.classes) for index, name in enumerate(names)}
        labels = self.labels(examples)
        found = [places.get(label, places.get(meaning(label))) for label in labels]
        unknown = list(dict.fromkeys(label for label, place in zip(labels, found, strict=True) if place is None))
        if unknown:
            first = labels.index(unknown[0])
            where = row_name(examples[first], first)
            raise UsageError(f"{self.target!r} holds {unknown[0]!r} in {where}, which is not among the classes trained on: "
                             f"{shown(self.classes)}. {self.unknown_advice(unknown)}")
        return torch.tensor(found)

    def unknown_advice(self, labels: Sequence[str]) -> str:
        """What to do about ``labels`` that training has not seen."""
        return f"Take such {self.things} out, or have some of them in training"

    def inherit(self, facts: Mapping[str, Any]) -> None:
        super().inherit(facts)
        self.inherited_classes = facts.get("classes", ())  # a run of another task has none

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "target": self.target, "classes": self.classes, "weights": self.weights}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.target_name, self.classes, self.weights = facts["target"], list(facts["classes"]), facts["weights"]

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        weights = None if self.weights is None else self.weights.to(outputs.device)
        result: Tensor = self.loss_function(outputs, batch.targets, class_weights=weights)
        return result

    def tally(self) -> Tally:
        return ClassTally(self.classes)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return class_answers(outputs, self.classes)


def meaning(label: str) -> str:
    """What the spellings of one class have in common: 1 of 1.0, true of TRUE; of others the label itself."""
    if boolean(label) is not None:
        return label.lower()
    found = WHOLE.fullmatch(label)
    return found[1] if found else label


def one_spelling(counts: Mapping[str, int], target: str) -> Counter[str]:
    """How often each class occurs by its commonest spelling. Warns where there are several."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings.setdefault(meaning(name), []).append(name)
    for first, *others in spellings.values():
        if others:
            warnings.warn(f"{target!r} holds {', '.join(map(repr, (first, *others)))}, which are read as one class, {first!r}. "
                          "Spell it in one way; where they are to differ, give them other names", stacklevel=2)
    return Counter({names[0]: sum(counts[name] for name in names) for names in spellings.values()})


def in_order_of(inherited: Sequence[str], found: Collection[str]) -> list[str]:
    """The classes ``found`` in the data, as the run has them where it has the same, else sorted."""
    return list(inherited) if set(inherited) == set(found) else sorted(found)


def others_than(inherited: Sequence[str], classes: Sequence[str], target: str) -> str:
    """How the classes of the run whose parameters are taken over differ from these, where they are as many: its outputs would
    fit, and one class be taken for another."""
    if len(inherited) != len(classes) or set(inherited) == set(classes):
        return ""
    return f"that run tells apart {shown(inherited)}, and {target!r} here holds {shown(classes)}"


def shown(classes: Sequence[str]) -> str:
    """The first of many classes."""
    return f"{', '.join(classes[:20])}{', ...' if len(classes) > 20 else ''}"


def is_blank(value: Any) -> bool:
    """Whether a cell is empty. ``none`` or ``na`` may well be the name of a class."""
    return value is None or value != value or not str(value).strip()


def class_answers(outputs: Tensor, classes: Sequence[str]) -> list[Any]:
    """The likeliest class of each row of logits [B, C], and all probabilities."""
    shares = outputs.float().softmax(-1).tolist()
    return [{"label": classes[int(np.argmax(row))], "probability": max(row),
             "probabilities": dict(zip(classes, row, strict=True))} for row in shares]
