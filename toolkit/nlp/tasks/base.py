"""What all tasks on text share: a tokenizer trained on the training texts, ids with an end on both sides."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from toolkit.core.base import Example
from toolkit.core.classes import is_blank
from toolkit.core.problem import Array, Problem, first_split, refuse_rows
from toolkit.core.rows import require_columns
from toolkit.errors import UsageError, did_you_mean
from toolkit.nlp.base import TextSpec, Tokenizer
from toolkit.nlp.configs import TextTaskConfig
from toolkit.nlp.ragged import Ragged
from toolkit.registry import registry


class Texts:
    """Encoded texts and, where they are known, their targets."""

    def __init__(self, ids: Ragged, targets: Any = None) -> None:
        self.ids, self.targets = ids, targets

    def __len__(self) -> int:
        return len(self.ids)


def no_text(row: Example, column: str) -> str | None:
    """What is wrong with a cell of bytes, which a reader leaves where they are no UTF-8; None for any other cell."""
    cell = row.get(column)
    if not isinstance(cell, bytes):
        return None
    try:
        cell.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"{column!r}: byte {error.start} is not UTF-8"
    return f"{column!r}: bytes, not text"


class TextProblem(Problem[Any]):
    """Texts in; the model's inputs are ids ``<s> ... </s>``, cut to ``max_length``."""

    config: TextTaskConfig
    level: ClassVar[Any] = "text"

    def __init__(self, config: TextTaskConfig) -> None:
        super().__init__(config)
        model: Any = config.model  # type: ignore[attr-defined]
        if model.name == "pretrained" and config.tokenizer.name != "pretrained":
            raise UsageError("a pretrained model knows its own tokens only: add --tokenizer pretrained --tokenizer.path "
                             f"{model.options.get('path') or 'FOLDER'}")
        self.model_part = model
        self.tokenizer: Tokenizer = registry.make("tokenizer", config.tokenizer)
        self.model_facts: Mapping[str, Any] = {}
        self.inherited = False

    @property
    def cut_by(self) -> str:
        return "max_length"

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for each answer."""
        return self.tokenizer.size

    # -- before training

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        names = list(first_split(splits)[0])
        for column in self.columns():
            if column not in names:
                raise UsageError(f"there is no column {column!r}.{did_you_mean(column, names)} The data has: {', '.join(names)}. "
                                 "Name the columns with --text-column and --target")
        refuse_rows(splits, lambda row: next(filter(None, (no_text(row, column) for column in self.columns())), None),
                    "hold bytes that are no text", "Save them as UTF-8, or take them out")
        refuse_rows(splits, lambda row: row.get(self.config.text_column) is None or not self.text(row).strip(), "hold no text")

    def columns(self) -> list[str]:
        """The columns that examples must have."""
        return [self.config.text_column]

    def text(self, example: Example) -> str:
        return str(example[self.config.text_column])

    def cut_in_two(self, example: Example) -> tuple[Sequence[Example], Sequence[Example]]:
        """A text on its own: its last share is held out."""
        text = self.text(example)
        cut = round(len(text) * (1 - self.config.holdout))
        if not 0 < cut < len(text):
            raise UsageError(f"the text has {len(text)} characters; there is nothing to train on or to hold out")
        return [{self.config.text_column: text[:cut]}], [{self.config.text_column: text[cut:]}]

    def inherit(self, facts: Mapping[str, Any]) -> None:
        """The tokens: parameters learned with others mean nothing."""
        self.tokenizer.restore(facts["tokenizer"])
        self.inherited = True

    def fit(self, examples: Sequence[Example]) -> None:
        if not self.inherited:
            self.tokenizer.train(self.training_texts(examples))

    def training_texts(self, examples: Sequence[Example]) -> list[str]:
        """What the tokenizer learns from."""
        return [self.text(example) for example in examples]

    def facts(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.facts(), "model": dict(self.model_facts)}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.tokenizer.restore(facts["tokenizer"])
        self.model_facts = facts["model"]

    def build(self) -> nn.Module:
        spec = TextSpec(self.tokenizer.pad_id, self.level, self.model_facts)
        model: nn.Module = registry.make("model", self.model_part, inputs=self.tokenizer.size, outputs=self.outputs, spec=spec)
        self.model_facts = getattr(model, "facts", {})
        return model

    # -- batches

    def wrapped(self, text: str) -> list[int]:
        """``<s> ... </s>``, cut to ``max_length``."""
        ids = self.tokenizer.encode(text)[:self.config.max_length - 2]
        return [self.tokenizer.begin_id, *ids, self.tokenizer.end_id]

    def sizes(self, encoded: Texts) -> Array:
        return encoded.ids.sizes

    def units(self, encoded: Texts) -> Array:
        return np.ones(len(encoded), np.int64)

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Ids that are never answered: all special ones but the end."""
        special = {self.tokenizer.pad_id, self.tokenizer.unknown_id, self.tokenizer.begin_id, self.tokenizer.mask_id}
        return tuple(sorted(special - {self.tokenizer.end_id}))

    @property
    def asked_columns(self) -> list[str]:
        return [self.config.text_column]

    def asked(self, rows: Sequence[Any], source: Path) -> Sequence[Any]:
        column = self.config.text_column
        require_columns(rows, [column], source, "which held the texts in training",
                        f"Rename the one that holds them to {column}, or write the texts line by line into a .txt file")
        return [self.refused(row) or row for row in super().asked(rows, source)]

    def refused(self, row: Any) -> UsageError | None:
        """Why a row cannot be asked about, where it cannot."""
        column = self.config.text_column
        if isinstance(row, Mapping) and is_blank(row.get(column)):
            return UsageError(f"it holds no {column!r}")
        why = no_text(row, column) if isinstance(row, Mapping) else None
        return UsageError(f"it holds bytes that are no text ({why}); save them as UTF-8") if why else None

    def as_example(self, value: Any) -> Example:
        if isinstance(value, str):
            return {self.config.text_column: value}
        if isinstance(value, Mapping) and self.config.text_column in value:
            return value
        raise UsageError(f"predict: got {value!r}; allowed: a text, or a row with the column {self.config.text_column!r}")
