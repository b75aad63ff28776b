"""A tag for each token."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.core import metrics
from toolkit.core.base import Example
from toolkit.core.classes import in_order_of, others_than
from toolkit.core.losses import IGNORED
from toolkit.core.problem import Array, Batch, Judged, Tally, refuse_rows
from toolkit.core.rows import row_name
from toolkit.errors import UsageError
from toolkit.nlp.configs import TokenClassificationConfig
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts


class TokenClassification(TextProblem):
    """A tag for each word: text and tags are words between spaces (or lists), as many of one as of the other.

    A word of several tokens is tagged by its first.
    """

    unit = "tokens"
    level = "position"
    config: TokenClassificationConfig

    def __init__(self, config: TokenClassificationConfig) -> None:
        super().__init__(config)
        self.tags: list[str] = []
        self.inherited_tags: Sequence[str] = ()  # of the run whose parameters are taken over

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "tags"

    @property
    def outputs(self) -> int:
        return len(self.tags)

    def columns(self) -> list[str]:
        return [self.config.text_column, self.target]

    def words(self, value: Any) -> list[str]:
        """The words of a text, or the items of a list, or of an array, as pandas reads them from Parquet."""
        if value is None:
            return []
        items = value.tolist() if hasattr(value, "tolist") else value
        listed = isinstance(items, Sequence) and not isinstance(items, (str, bytes))
        return [str(item) for item in items] if listed else str(value).split()

    def text(self, example: Example) -> str:
        return " ".join(self.words(example[self.config.text_column]))

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        refuse_rows(splits, lambda row: len(self.words(row[self.config.text_column])) != len(self.words(row.get(self.target))),
                    "have not as many tags as words", "mend them, or take them out")

    def fit(self, examples: Sequence[Example]) -> None:
        super().fit(examples)
        found = {tag for example in examples for tag in self.words(example[self.target])}
        self.tags = in_order_of(self.inherited_tags, found)
        self.other_outputs = others_than(self.inherited_tags, self.tags, self.target)

    def inherit(self, facts: Mapping[str, Any]) -> None:
        super().inherit(facts)
        self.inherited_tags = facts.get("tags", ())

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "tags": self.tags, "target": self.target}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.tags, self.target_name = list(facts["tags"]), facts["target"]

    def encode(self, examples: Sequence[Example], targets: bool = True) -> TaggedTexts:
        places = {tag: index for index, tag in enumerate(self.tags)}
        rows, wanted, counts = [], [], []
        for place, example in enumerate(examples):
            words = self.words(example[self.config.text_column])
            tags = self.words(example[self.target]) if targets else []
            unknown = sorted(set(tags) - set(places))
            if unknown:
                raise UsageError(f"the tag {unknown[0]!r} in {row_name(example, place)} was not trained on; known: "
                                 f"{', '.join(self.tags[:20])}. Take such texts out, or have some of them in training")
            ids, marks = self._row(words, [places[tag] for tag in tags] if targets else [0] * len(words))
            rows.append(ids)
            wanted.append(marks)
            counts.append(len(words))
        return TaggedTexts(Ragged(rows), Ragged(wanted), np.array(counts, np.int64))

    def _row(self, words: Sequence[str], tags: Sequence[int]) -> tuple[list[int], list[int]]:
        """Ids, and the tag at each word's first token; other places count nowhere."""
        ids, marks = [self.tokenizer.begin_id], [IGNORED]
        for word, tag in zip(words, tags, strict=True):
            pieces = self.tokenizer.encode(word) or [self.tokenizer.unknown_id]
            ids += pieces
            marks += [tag] + [IGNORED] * (len(pieces) - 1)
        most = self.config.max_length - 1
        return [*ids[:most], self.tokenizer.end_id], [*marks[:most], IGNORED]

    def units(self, encoded: Texts) -> Array:
        return encoded.ids.sizes

    def collate(self, encoded: TaggedTexts, indices: Array) -> Batch:
        inputs, lengths = encoded.ids.pad(indices, self.tokenizer.pad_id)
        targets, _ = encoded.targets.pad(indices, IGNORED)
        return Batch(inputs, lengths, targets, torch.from_numpy(encoded.words[indices]), indices)

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs, batch.targets)
        return result

    def tally(self) -> Tally:
        return TagTally(self.tags, any("scores" in measure.takes for measure in self.measures))

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        """The tags of each text's words, in order; words past ``max_length`` have none."""
        assert batch.targets is not None
        found = outputs.argmax(-1)
        return [{"tags": [self.tags[int(place)] for place in found[row][batch.targets[row] != IGNORED]]}
                for row in range(outputs.shape[0])]


class TaggedTexts(Texts):
    """Encoded texts: ``words`` [N] is how many each has, those that are cut off by ``max_length`` among them."""

    def __init__(self, ids: Ragged, targets: Ragged, words: Array) -> None:
        super().__init__(ids, targets)
        self.words = words


class TagTally:
    """Accuracy and F1 over all words: micro over the tags but ``O``, macro over all, and whole texts right.

    Words that ``max_length`` cuts off have no tag: their text is not right as a whole, and nothing else counts them.
    """

    def __init__(self, tags: Sequence[str], keep_scores: bool) -> None:
        self.tags = list(tags)
        self._scores: list[Tensor] | None = [] if keep_scores else None  # one for each tag of each word: kept where asked for
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._whole: list[bool] = []
        self._loss = 0.0

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None and batch.target_lengths is not None
        valid = batch.targets != IGNORED
        predicted = outputs.argmax(-1)
        self._pairs.append((predicted[valid].cpu(), batch.targets[valid].cpu()))
        whole = valid.sum(-1) == batch.target_lengths
        self._whole += (((predicted == batch.targets) | ~valid).all(-1) & whole).tolist()
        logs = outputs.float().log_softmax(-1)[valid]
        self._loss -= float(logs.gather(1, batch.targets[valid][:, None]).sum())
        if self._scores is not None:
            self._scores.append(logs.exp().double().cpu())

    def result(self) -> Judged:
        predicted, wanted = (torch.cat(column).numpy() for column in zip(*self._pairs, strict=True))
        table = metrics.confusion(predicted, wanted, len(self.tags))
        low, high = metrics.wilson(float(np.trace(table)), float(table.sum()))
        values = {"f1": micro_f1(table, self.tags), "accuracy": metrics.accuracy(predicted, wanted), "accuracy_low": low,
                  "accuracy_high": high, "f1_macro": metrics.f1(predicted, wanted),
                  "whole_texts": float(np.mean(self._whole)), "loss": self._loss / len(wanted)}
        return Judged(values["f1"] - 1e-6 * min(values["loss"], 1e3), values,
                      {"classes": self.tags, "confusion": table.tolist(), "count": len(wanted)},
                      pairs={"classes": (predicted, wanted),
                             **({"scores": (torch.cat(self._scores).numpy(), wanted)} if self._scores else {})})


def micro_f1(table: Array, tags: Sequence[str]) -> float:
    """F1 over all words whose tag or prediction is not ``O``; over all where there is no ``O``."""
    kept = [index for index, tag in enumerate(tags) if tag != "O"] or list(range(len(tags)))
    right = float(np.diag(table)[kept].sum())
    said, wanted = float(table[:, kept].sum()), float(table[kept].sum())
    return 2 * right / (said + wanted) if said + wanted else 0.0
