"""Tables: columns to numbers, and the tasks that predict one column from the others.

Column    how one column becomes numbers, learned from the training rows
Encoder   all columns, and the matrix of a table
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.config import flag_with, quoted
from toolkit.core.base import Example
from toolkit.core.classes import ClassProblem, shown
from toolkit.core.configs import TabularClassificationConfig, TabularConfig, TabularRegressionConfig
from toolkit.core.numeric import BESIDE, NUMBERS, NumberProblem, boolean, moments, number, outlier, scaled
from toolkit.core.problem import Array, Batch, Problem, first_split, refuse_rows
from toolkit.core.rows import Row, columns_text, lacked, require_columns, row_name
from toolkit.errors import ToolkitError, UsageError, did_you_mean
from toolkit.registry import registry

INSTEAD = "To predict a number: toolkit run tabular-regression"
ENOUGH = 20  # values of which it can be told that each is a category of its own
MEASURE = re.compile(r"[-+$€£¥ ]*\d[-+\d.,:/T ]*\D{0,5}")  # 3.5%, $3, 3.5 USD, 2024-01-05 10:00:00
WHICH = "which column is to be predicted? Name it: --target COLUMN"
GAPS = ("NAType", "NaTType")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


def is_missing(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    if type(value).__name__ in GAPS:  # pandas', which need not be imported for it
        return True
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


def gap_of(value: Any) -> bool | str:
    """Whether a value is missing, and where it is a word which one, that may be meant as a class."""
    word = value.strip() if isinstance(value, str) else ""
    return is_missing(value) and (f"{word!r} is read as a gap; give a class another name" if word else True)


@dataclass(frozen=True)
class Column:
    """A numeric column is scaled to mean 0 and deviation 1, its gaps filled with the mean and, where the
    training rows had any, marked in a column of their own; true and false, booleans or words, are the numbers 1 and 0.
    Others get one number a category (one-hot), a gap being a category too; a category not seen in training is all zeros.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    gaps: bool = False
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.categories) or 1 + self.gaps

    @property
    def of_booleans(self) -> bool:
        """Whether all training rows with a value had 0 or 1: others between these with the same mean deviate less from it."""
        alike = self.mean in (0.0, 1.0) and self.scale == 1.0  # all the same beside gaps
        return alike or math.isclose(self.scale**2, self.mean * (1 - self.mean), rel_tol=1e-6)

    def encode(self, examples: Sequence[Example]) -> Array:
        """Numbers [N, width]."""
        values = [example.get(self.name) for example in examples]
        if self.categories:
            # A run of old may tell True from true: a category is first looked for as it is spelled.
            places = {category(name): index for index, name in enumerate(self.categories)}
            places |= {name: index for index, name in enumerate(self.categories)}
            matrix = np.zeros((len(values), len(self.categories)), np.float32)
            for row, value in enumerate(values):
                place = places.get(str(value).strip(), places.get(category(value)))
                if place is not None:
                    matrix[row, place] = 1.0
            return matrix
        numbers = [number(value) for value in values]
        if self.of_booleans:
            numbers = [boolean(value) if found is None else found for found, value in zip(numbers, values, strict=True)]
        filled = [self.mean if is_missing(value) else found for found, value in zip(numbers, values, strict=True)]
        wrong = next((row for row, value in enumerate(filled) if value is None), None)
        if wrong is not None:
            words = "true, false and " if self.of_booleans else ""
            raise UsageError(f"{row_name(examples[wrong], wrong)}: column {self.name!r} was a number in training; got "
                             f"{values[wrong]!r}; allowed: {words}{NUMBERS}")
        column = scaled(np.array(filled, np.float64), self.mean, self.scale)[:, None]
        far = np.flatnonzero(~np.isfinite(column))
        if len(far):
            place = int(far[0])
            raise UsageError(f"{row_name(examples[place], place)}: column {self.name!r} had the mean {self.mean:g} and the "
                             f"deviation {self.scale:g} in training; got {values[place]!r}, too far from it for float32")
        marks = np.array([[is_missing(value)] for value in values], np.float32).reshape(-1, 1)
        return np.hstack([column, marks]) if self.gaps else column


def category(value: Any) -> str:
    """Booleans are the words true and false, as in CSV."""
    text = "" if is_missing(value) else str(value).strip()
    return text if boolean(value) is None else text.lower()


def like_number(value: Any) -> bool:
    """Whether a person would take it for a number, a date or a time."""
    return number(value) is not None or MEASURE.fullmatch(str(value).strip()) is not None


def fit_column(name: str, examples: Sequence[Example], most: int) -> Column | None:
    """How a column's values become numbers; None for one that says nothing: empty, or always the same.

    Warns of a column of categories that are numbers for the most part, or nearly as many as there are rows, and of numbers that
    hardly differ beside one of them.
    """
    values: list[Any] = [example.get(name) for example in examples]
    present = [value for value in values if not is_missing(value)]
    gaps = len(present) < len(values)
    if not present:
        return None
    odd = next((item for item in present if not isinstance(item, str) and (isinstance(item, Mapping) or np.ndim(item))), None)
    if odd is not None:
        raise UsageError(f"column {name!r} holds {type(odd).__name__} values; allowed: numbers and words. "
                         f"Leave it out: {ignoring(name)}")
    numbers = [number(value) for value in present]
    truths = [boolean(value) if found is None else found for found, value in zip(numbers, present, strict=True)]
    if set(truths) <= {0.0, 1.0}:
        numbers = truths
    if None not in numbers:
        array = np.array(numbers, np.float64)
        mean, scale = moments(array)
        far = outlier(array, scale)
        if far is not None:
            place = [place for place, value in enumerate(values) if not is_missing(value)][far]
            warnings.warn(f"column {name!r} holds {values[place]!r} in {row_name(examples[place], place)}, {BESIDE}. Correct it, "
                          f"or leave the column out: {ignoring(name)}", stacklevel=2)
        return Column(name, mean, scale or 1.0, gaps) if scale or gaps else None
    counts = Counter(category(value) for value in values)
    different = len(counts) - gaps
    words = [place for place, value in enumerate(values) if not is_missing(value) and number(value) is None]
    commas = [place for place in words if number(str(values[place]).replace(",", "")) is not None]
    if len(words) - len(commas) < len(present) / 2:
        place = (commas or words)[0]
        remedy = "Write them with a decimal point and no comma" if commas else "Correct them"
        warnings.warn(f"column {name!r} is read as categories: {len(words)} of its {len(present)} values are no finite numbers, "
                      f"such as {values[place]!r} in {row_name(examples[place], place)}. {remedy}, or leave the column out: "
                      f"{ignoring(name)}", stacklevel=2)
    elif len(present) >= ENOUGH and (different > len(present) / 2 or (different > ENOUGH and all(map(like_number, present)))):
        place = words[0]
        warnings.warn(f"column {name!r} is read as categories: its {len(present)} values are {different} different ones, such as "
                      f"{values[place]!r} in {row_name(examples[place], place)}, and what holds for one says nothing of others. "
                      "Write numbers plain, without a unit or %, and a date as a number of days, or leave the column out: "
                      f"{ignoring(name)}", stacklevel=2)
    chosen = sorted(counts, key=lambda word: (-counts[word], word))[:most]
    return Column(name, categories=tuple(sorted(chosen))) if len(counts) > 1 else None


def ignoring(*names: str) -> str:
    """How columns are left out, as it is typed."""
    return flag_with("ignore", names)


def columns_of(facts: Mapping[str, Any]) -> list[Column]:
    """The columns that a checkpoint keeps."""
    return [Column(**{**row, "categories": tuple(row["categories"])}) for row in facts["columns"]]


class Table(NamedTuple):
    """An encoded split: inputs [N, F] and targets [N], which are None when only answers are wanted."""

    inputs: Tensor
    targets: Tensor | None

    def size(self) -> int:
        return self.inputs.shape[0]


class TabularProblem(Problem[Any]):
    """What classification and regression of tables share: columns in, `mlp` or another model over them."""

    config: TabularConfig
    asked_by_rows = True

    def __init__(self, config: TabularConfig) -> None:
        super().__init__(config)
        self.columns: list[Column] = []
        self.inherited = False
        self.told: set[str] = set()  # columns whose unknown categories have been warned of

    @property
    def target(self) -> str:
        name = self.config.target or self.target_name
        if name is None:
            raise UsageError(WHICH)
        return name

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        names = list(first_split(splits)[0])
        if not (self.config.target or self.target_name):
            raise UsageError(f"{WHICH}. Allowed: {', '.join(names)}")
        if self.target not in names and "train" not in splits:
            near = did_you_mean(self.target, names)
            raise UsageError(f"the data has no column {self.target!r}, which this run predicts.{near} "
                             f"It has {', '.join(names)}. To ask without answers: toolkit predict RUN --input FILE")
        if self.target not in names:
            data = next((name for name in names if number(name) is not None), None)
            header = "" if data is None else (f" The first line looks like data ({data}): a table needs a header "
                                              "above it, a line with the names of its columns.")
            raise UsageError(f"there is no column {self.target!r}.{did_you_mean(self.target, names)} "
                             f"Allowed for --target: {', '.join(names)}.{header}")
        refuse_rows(splits, lambda row: gap_of(row.get(self.target)), f"hold no {self.target!r}")

    def fit(self, examples: Sequence[Example]) -> None:
        names = list(dict.fromkeys(name for row in examples for name in row))
        for name in self.config.ignore:
            if name == self.target:
                raise UsageError(f"{ignoring(name)}: it is the column to be predicted, which is never looked at. Leave it out of "
                                 "--ignore, or name another with --target")
            if name not in names:
                raise UsageError(f"there is no column {name!r} to leave out.{did_you_mean(name, names)} Allowed for --ignore: "
                                 f"{', '.join(quoted(other) for other in names if other != self.target)}.")
        if self.inherited:
            self.refuse_to_ignore_inherited()
            if self.target in self.asked_columns:
                raise UsageError(f"--init-from: the run has learned from the column {self.target!r}, which is to be predicted "
                                 "here: what it is given would hold the answer. Leave out --init-from, or name another --target")
            self.fit_target(examples)
            return
        names = [name for name in names if name not in (self.target, *self.config.ignore)]
        found = [fit_column(name, examples, self.config.max_categories) for name in names]
        self.columns = [column for column in found if column is not None]
        if not self.columns:
            raise UsageError(f"no column beside {self.target!r} holds anything that differs between rows")
        self.fit_target(examples)

    def refuse_to_ignore_inherited(self) -> None:
        """Raise UsageError where a column is to be ignored for which the parameters that are taken over have weights."""
        if learned := [name for name in self.config.ignore if name in self.asked_columns]:
            raise UsageError(f"{ignoring(*learned)}: the run of --init-from has learned from the {columns_text(learned)}"
                             ", and its parameters need what it has. Leave it out of --ignore, or leave out --init-from")

    def inherit(self, facts: Mapping[str, Any]) -> None:
        """The columns and their scales; the target is learned anew."""
        self.columns = columns_of(facts)
        self.inherited = True

    def fit_target(self, examples: Sequence[Example]) -> None:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        return {"target": self.target, "columns": [asdict(column) for column in self.columns]}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.target_name = facts["target"]
        self.columns = columns_of(facts)

    def build(self) -> nn.Module:
        width = sum(column.width for column in self.columns)
        model: nn.Module = registry.make("model", self.config.model, inputs=width, outputs=self.outputs, spec=None)
        return model

    @property
    def outputs(self) -> int:
        raise NotImplementedError

    @property
    def asked_columns(self) -> list[str]:
        return [column.name for column in self.columns]

    def asked(self, rows: Sequence[Any], source: Path) -> Sequence[Any]:
        """The rows; where one lacks a column stands the error that says so."""
        require_columns(rows, self.asked_columns, source,
                        "which the model was trained on", "Add what is missing; an empty cell is a gap")
        return [row if isinstance(row, ToolkitError) else self.unfit([row], "it lacks") or row
                for row in super().asked(rows, source)]

    def unfit(self, rows: Sequence[Example], said: str) -> UsageError | None:
        """What is wrong with rows of which none has a column that the model was trained on, or None."""
        absent = lacked(rows, self.asked_columns)
        why = f"{said} the {columns_text(absent)}, which the model was trained on; an empty value is a gap"
        return UsageError(why) if absent else None

    def encode(self, examples: Sequence[Example], targets: bool = True) -> Table:
        # Where there are targets, a column that only some rows have may be a gap in the others, as in training.
        alone = ((f"{row_name(row, place)}: it lacks", [row]) for place, row in enumerate(examples))
        for said, rows in [("rows lack", examples)] if targets else alone:
            if wrong := self.unfit(rows, said):
                raise wrong
        parts = [column.encode(examples) for column in self.columns]
        if not targets:
            for column, part in zip(self.columns, parts, strict=True):
                self.tell_unknown(column, part, examples)
        inputs = np.hstack(parts)
        wanted = self.encode_target(examples) if targets else None
        return Table(torch.from_numpy(inputs), wanted)

    def tell_unknown(self, column: Column, encoded: Array, examples: Sequence[Example]) -> None:
        """Warn, once a column, of a category asked about that training has not seen, such as a typing error."""
        if not column.categories or column.name in self.told:
            return
        unknown = (int(place) for place in np.flatnonzero(~encoded.any(1)))
        place = next((place for place in unknown if not is_missing(examples[place].get(column.name))), None)
        if place is None:
            return
        self.told.add(column.name)
        example = examples[place]
        where = f" in {row_name(example, place)}" if isinstance(example, Row) else ""
        warnings.warn(f"column {column.name!r} holds {example[column.name]!r}{where}, none of the categories trained on: "
                      f"{shown([name for name in column.categories if name])}. It is answered as none of them; of others like it "
                      "in this column nothing more is said", stacklevel=2)

    def encode_target(self, examples: Sequence[Example]) -> Tensor:
        raise NotImplementedError

    def sizes(self, encoded: Table) -> Array:
        return np.ones(encoded.size(), np.int64)

    units = sizes

    def collate(self, encoded: Table, indices: Array) -> Batch:
        chosen = torch.from_numpy(indices)
        targets = None if encoded.targets is None else encoded.targets[chosen]
        return Batch(encoded.inputs[chosen], None, targets, None, indices)


class TabularClassification(ClassProblem, TabularProblem):
    """Which class a row belongs to."""

    config: TabularClassificationConfig
    target = TabularProblem.target  # there is no usual name for it

    def fit_target(self, examples: Sequence[Example]) -> None:
        labels = self.labels(examples)
        self.fit_classes(labels)
        if len(self.classes) > max(50, len(labels) // 2):
            raise UsageError(f"{self.target!r} has {len(self.classes)} different values in {len(labels)} rows. "
                             f"{INSTEAD}")

    def unknown_advice(self, labels: Sequence[str]) -> str:
        numbers = all(number(label) is not None for label in (*self.classes, *labels))
        return INSTEAD if numbers else super().unknown_advice(labels)

    def encode_target(self, examples: Sequence[Example]) -> Tensor:
        return self.encode_classes(examples)


class TabularRegression(NumberProblem, TabularProblem):
    """A number for each row; the model learns it with mean 0 and deviation 1."""

    config: TabularRegressionConfig
    target = TabularProblem.target

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        # True, which JSON and Parquet have, is 1 to Python; of CSV it is a word.
        refuse_rows(splits, lambda row: boolean(row[self.target]) is not None or number(row[self.target]) is None,
                    f"hold no number as {self.target!r}",
                    f"correct them (allowed: {NUMBERS}), or predict a class: toolkit run tabular-classification")

    def fit_target(self, examples: Sequence[Example]) -> None:
        self.fit_numbers([row[self.target] for row in examples])

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "mean": self.centre, "scale": self.scale}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.centre, self.scale = facts["mean"], facts["scale"]

    def encode_target(self, examples: Sequence[Example]) -> Tensor:
        return self.encode_numbers([row[self.target] for row in examples])
