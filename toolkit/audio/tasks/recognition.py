"""What is said in each clip: letters by connectionist temporal classification.

The tokenizer's pad id, 0, is the blank. Source: Graves et al. (2006).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.decoding import BLANK, error_rate, prefix_beam
from toolkit.audio.language_model import Fusion, read_arpa, tidied
from toolkit.audio.recognition_configs import SpeechRecognitionConfig
from toolkit.audio.tasks.base import Clips, HeardProblem, Sound, unnamed
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Judged, Tally, first_split
from toolkit.core.rows import SHOWN
from toolkit.errors import UsageError
from toolkit.registry import registry

MEASURED_FRAMES = 840  # a multiple of every step up to 8
SHOWN_TEXT = 40  # letters of a text in a message
KEPT = 2000  # texts in the details of an evaluation
FINER = "use smaller strides (crnn: --model.time-strides 1,1,1; others: --model.subsampling 1)"
UNSAYABLE = "\N{REPLACEMENT CHARACTER}"  # stands in a wanted text for what the tokenizer does not know


class SpeechRecognition(HeardProblem):
    """The text of a clip."""

    config: SpeechRecognitionConfig
    level: ClassVar[Any] = "frames"

    def __init__(self, config: SpeechRecognitionConfig) -> None:
        super().__init__(config)
        self.tokenizer: Any = registry.make("tokenizer", config.tokenizer)
        self.fusion: Fusion | None = None
        if config.language_model is not None:
            if config.beam < 2:
                raise UsageError("a language model chooses among the texts of a beam; allowed with it: --beam 2 or more")
            self.fusion = Fusion(read_arpa(config.language_model, config.lower), self.tokenizer.decode,
                                 config.language_model_weight, config.word_bonus)

    def refuse_idle(self, given: Collection[str]) -> None:
        if self.fusion is None and {"language_model_weight", "word_bonus"} & set(given):
            raise UsageError("--language-model-weight and --word-bonus say what a language model counts, and the run has none. "
                             "Name one: --language-model FILE.arpa --beam 8")

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "text"

    @property
    def outputs(self) -> int:
        return int(self.tokenizer.size)

    def text(self, example: Example) -> str:
        return tidied(str(example[self.target]), self.config.lower)

    def misfits(self, splits: Mapping[str, Sequence[Example]], faults: Mapping[str, dict[int, str]]) -> str:
        """Unknown letters, and texts with more letters than the clip has positions."""
        bad = first_split(faults) if self.config.skip_bad else ()  # else training will have their texts, once they are mended
        first = [row for place, row in enumerate(first_split(splits)) if place not in bad and row.get(self.target)]
        if not first:
            return super().misfits(splits, faults)
        tokenizer = self.tokenizer if self.inherited or self.restored else self._learned(first)
        # A vocabulary that is limited by choice has unknown words in training too; then they are no fault.
        strict = not any(tokenizer.unknown_id in tokenizer.encode(self.text(row)) for row in first)
        with torch.random.fork_rng(devices=[]):  # a model to count with, not the one that learns
            positions = self._positions(self.made_model(tokenizer.size, begun=True))
        found = {split: {place: why for place, row in enumerate(rows) if place not in faults[split]
                         and (why := self._misfit(row, tokenizer, positions, strict))} for split, rows in splits.items()}
        for split, misfits in found.items():
            faults[split].update(misfits)
        if not any(found.values()):
            return super().misfits(splits, faults)
        return f"Mend them, {FINER}"

    def _learned(self, rows: Sequence[Example]) -> Any:
        """A tokenizer as training will learn it."""
        tokenizer: Any = registry.make("tokenizer", self.config.tokenizer)
        tokenizer.train([self.text(row) for row in rows])
        return tokenizer

    def _positions(self, model: nn.Module) -> Callable[[int], int]:
        """How many positions a model answers for so many frames: as it says, or in proportion to what it does on a sample."""
        says = getattr(model, "positions", None)
        if says is not None:
            return lambda frames: int(says(torch.tensor([frames]))[0])
        with torch.no_grad():
            sample = torch.zeros(1, MEASURED_FRAMES, self.spec.bins)
            outputs, _ = self.checked(model.eval()(sample, torch.tensor([MEASURED_FRAMES])))
        share = outputs.shape[1] / MEASURED_FRAMES
        return lambda frames: math.ceil(frames * share - 1e-9)

    def _misfit(self, row: Example, tokenizer: Any, positions: Callable[[int], int], strict: bool) -> str | None:
        ids = list(tokenizer.encode(self.text(row)))
        if strict and tokenizer.unknown_id in ids:
            return f"its text {shortened(self.text(row))!r} holds letters that no training text has"
        needed = len(ids) + sum(one == other for one, other in itertools.pairwise(ids))
        given = positions(self.spec.frames(self.length(row)))
        if given >= needed:
            return None
        return f"its text {shortened(self.text(row))!r} needs {needed} positions and its sound gives {given}"

    def fault(self, row: Example) -> str | None:
        return super().fault(row) or (None if self.text(row) else "its text is empty")

    def fit_targets(self, examples: Sequence[Example]) -> None:
        if not self.inherited:
            self.tokenizer.train([self.text(example) for example in examples])

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "tokenizer": self.tokenizer.facts()}

    def _take(self, facts: Mapping[str, Any]) -> None:
        super()._take(facts)
        self.tokenizer.restore(facts["tokenizer"])
        if self.tokenizer.pad_id != BLANK:
            raise UsageError(f"the tokenizer's pad id is {self.tokenizer.pad_id}; speech recognition needs {BLANK} for the blank")

    def encode_targets(self, examples: Sequence[Example]) -> list[list[int]]:
        return [list(self.tokenizer.encode(self.text(example))) for example in examples]

    def targets_of(self, encoded: Sound, indices: Array) -> tuple[Tensor | None, Tensor | None]:
        if encoded.targets is None:
            return None, None
        rows = [encoded.targets[int(index)] for index in indices]
        padded = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
        for place, row in enumerate(rows):
            padded[place, :len(row)] = row
        return torch.from_numpy(padded), torch.tensor([len(row) for row in rows])

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        assert lengths is not None and batch.target_lengths is not None and batch.targets is not None
        needed = batch.target_lengths.to(lengths.device) + repeats(batch.targets).to(lengths.device)
        short = [int(batch.indices[int(place)]) for place in torch.nonzero(needed > lengths).flatten()]
        if short and self.transforms is None:  # a clip that was played faster sits this one out: its loss is 0
            names = [batch.name(index) if isinstance(batch, Clips) else unnamed(index) for index in short[:SHOWN]]
            raise UsageError(f"training clips ({', '.join(names)}) are shorter than their texts: the model gives "
                             f"fewer positions than there are letters. Take the clips out, or {FINER}")
        result: Tensor = self.loss_function(outputs, batch.targets, lengths, batch.target_lengths)
        return result

    def tally(self) -> Tally:
        return TextTally(self)

    def decode(self, outputs: Tensor, lengths: Tensor | None) -> list[str]:
        """The texts of outputs [B, T, C]."""
        logs = F.log_softmax(outputs.float(), -1).cpu().numpy()
        counts = [logs.shape[1]] * len(logs) if lengths is None else lengths.tolist()
        return [self.tokenizer.decode(self.decode_ids(row[:count])) for row, count in zip(logs, counts, strict=True)]

    def decode_ids(self, logs: Array) -> list[int]:
        """The ids of one clip's log-probabilities [T, C]."""
        return prefix_beam(logs, self.config.beam, None if self.fusion is None else self.fusion.score)

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return [{"text": text} for text in self.decode(outputs, lengths)]


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + "..."


def repeats(targets: Tensor) -> Tensor:
    """How often a letter follows itself in each row [B, S], padding not counted: each needs a blank between."""
    return ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != BLANK)).sum(1)


class TextTally:
    """Word and character error rates over the corpus; what the tokenizer does not know is an error, whatever is found there."""

    def __init__(self, problem: SpeechRecognition) -> None:
        self.problem = problem
        self._unknown: str = problem.tokenizer.decode([problem.tokenizer.unknown_id]) or UNSAYABLE
        self._rows: list[tuple[int, str, str]] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None and batch.target_lengths is not None
        wanted = [self.problem.tokenizer.decode(row[:count].tolist()).replace(self._unknown, UNSAYABLE)
                  for row, count in zip(batch.targets, batch.target_lengths, strict=True)]
        found = self.problem.decode(outputs, lengths)
        self._rows += [(int(place), *pair) for place, pair in zip(batch.indices, zip(found, wanted, strict=True), strict=True)]

    def result(self) -> Judged:
        rows = sorted(self._rows)
        cer = error_rate([(found, wanted) for _, found, wanted in rows])
        wer = error_rate([(found.split(), wanted.split()) for _, found, wanted in rows])
        exact = sum(found == wanted for _, found, wanted in rows) / max(1, len(rows))
        details = {"count": len(rows), "texts": [{"found": found, "wanted": wanted} for _, found, wanted in rows[:KEPT]]}
        return Judged(-wer - 1e-3 * cer, {"wer": wer, "cer": cer, "exact": exact}, details,
                      pairs={"texts": ([found for _, found, _ in rows], [wanted for *_, wanted in rows])})
