"""What is said in each clip: letters by connectionist temporal classification.

The tokenizer's pad id, 0, is the blank. Source: Graves et al. (2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.decoding import BLANK, error_rate, prefix_beam
from toolkit.audio.recognition_configs import SpeechRecognitionConfig
from toolkit.audio.tasks.base import HeardProblem, Sound
from toolkit.core.base import Example
from toolkit.core.problem import Array, Batch, Judged, Tally
from toolkit.errors import UsageError
from toolkit.registry import registry

KEPT = 2000  # texts in the details of an evaluation


class SpeechRecognition(HeardProblem):
    """The text of a clip."""

    config: SpeechRecognitionConfig
    level = "frames"

    def __init__(self, config: SpeechRecognitionConfig) -> None:
        super().__init__(config)
        self.tokenizer: Any = registry.make("tokenizer", config.tokenizer.name, **config.tokenizer.options)

    @property
    def target(self) -> str:
        return self.config.target or self.target_name or "text"

    @property
    def outputs(self) -> int:
        return int(self.tokenizer.size)

    def text(self, example: Example) -> str:
        return " ".join(str(example[self.target]).lower().split())

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
        short = [int(batch.indices[int(place)]) + 1 for place in torch.nonzero(needed > lengths).flatten()]
        if short:
            raise UsageError(f"training clips {', '.join(map(str, short[:5]))} are shorter than their texts: the model gives "
                             "fewer positions than there are letters. Use smaller strides (crnn: --model.time-strides 2,1,1; "
                             "others: --model.subsampling 2), or take the clips out")
        result: Tensor = self.loss_function(outputs, batch.targets, lengths, batch.target_lengths)
        return result

    def tally(self) -> Tally:
        return TextTally(self)

    def decode(self, outputs: Tensor, lengths: Tensor | None) -> list[str]:
        """The texts of outputs [B, T, C]."""
        logs = F.log_softmax(outputs.float(), -1).cpu().numpy()
        counts = [logs.shape[1]] * len(logs) if lengths is None else lengths.tolist()
        return [self.tokenizer.decode(prefix_beam(row[:count], self.config.beam))
                for row, count in zip(logs, counts, strict=True)]

    def answers(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> list[Any]:
        return [{"text": text} for text in self.decode(outputs, lengths)]


def repeats(targets: Tensor) -> Tensor:
    """How often a letter follows itself in each row [B, S], padding not counted: each needs a blank between."""
    return ((targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] != BLANK)).sum(1)


class TextTally:
    """Word and character error rates over the corpus."""

    def __init__(self, problem: SpeechRecognition) -> None:
        self.problem = problem
        self._rows: list[tuple[int, str, str]] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None and batch.target_lengths is not None
        wanted = [self.problem.tokenizer.decode(row[:count].tolist())
                  for row, count in zip(batch.targets, batch.target_lengths, strict=True)]
        found = self.problem.decode(outputs, lengths)
        self._rows += [(int(place), *pair) for place, pair in zip(batch.indices, zip(found, wanted, strict=True), strict=True)]

    def result(self) -> Judged:
        rows = sorted(self._rows)
        cer = error_rate([(found, wanted) for _, found, wanted in rows])
        wer = error_rate([(found.split(), wanted.split()) for _, found, wanted in rows])
        exact = sum(found == wanted for _, found, wanted in rows) / max(1, len(rows))
        details = {"count": len(rows), "texts": [{"found": found, "wanted": wanted} for _, found, wanted in rows[:KEPT]]}
        return Judged(-wer - 1e-3 * cer, {"wer": wer, "cer": cer, "exact": exact}, details)
