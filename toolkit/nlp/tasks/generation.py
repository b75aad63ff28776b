"""What comes next: a language model of texts, or of what follows each text."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.config import flag_of
from toolkit.core.base import Example
from toolkit.core.losses import IGNORED
from toolkit.core.problem import Array, Batch, Judged, Problem, Tally, refuse_rows
from toolkit.errors import UsageError
from toolkit.nlp.configs import TextGenerationConfig
from toolkit.nlp.generation import Sampling, write
from toolkit.nlp.ragged import Ragged
from toolkit.nlp.tasks.base import TextProblem, Texts

GREEDY = Sampling(temperature=0.0)


class TextGeneration(TextProblem):
    """Two forms. With a target column an example is ``<s> text <s> target </s>``, and only the target is
    learned. Without one all texts are joined and cut into windows of ``context`` tokens.
    """

    unit = "tokens"
    level = "next"
    config: TextGenerationConfig

    @property
    def target(self) -> str | None:
        return self.config.target or self.target_name

    @property
    def cut_by(self) -> str:
        return "max_length" if self.target else "context"

    def refuse_unused(self, given: Collection[str]) -> None:
        unused = "context" if self.target else "max_length"
        if unused in given:
            learned = f"the column {self.target!r} is learned" if self.target else "without a target whole texts are learned"
            raise UsageError(f"{flag_of(unused)} {getattr(self.config, unused)} would do nothing: {learned}, cut to "
                             f"{flag_of(self.cut_by)}. Name that, or leave it out")

    def columns(self) -> list[str]:
        return [self.config.text_column] + ([self.target] if self.target else [])

    def check(self, splits: MutableMapping[str, Sequence[Example]]) -> None:
        super().check(splits)
        target = self.target
        if target:
            refuse_rows(splits, lambda row: row.get(target) is None, f"hold no {target!r}")

    def held_out(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        if self.target or len(examples) > 1:
            return super().held_out(examples)
        return self.cut_in_two(examples[0])

    def training_texts(self, examples: Sequence[Example]) -> list[str]:
        return [str(example[column]) for example in examples for column in self.columns()]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "target": self.target}

    def restore(self, facts: Mapping[str, Any]) -> None:
        super().restore(facts)
        self.target_name = facts["target"]

    # -- batches

    def encode(self, examples: Sequence[Example], targets: bool = True) -> GenerationTexts:
        if not targets:
            return GenerationTexts(Ragged([self.prompt(self.text(example)) for example in examples]), asked=True)
        if self.target:
            return self._pairs(examples)
        return self._windows(examples)

    def _pairs(self, examples: Sequence[Example]) -> GenerationTexts:
        rows, starts, characters = [], [], []
        for example in examples:
            prompt = self.prompt(self.text(example))
            answer = str(example[self.target])  # type: ignore[index]
            ids = self.tokenizer.encode(answer)
            rows.append([*prompt, *ids, self.tokenizer.end_id][:self.config.max_length + 1])
            starts.append(len(prompt))
            characters.append(int(shared(len(answer), len(ids))[:max(0, len(rows[-1]) - len(prompt))].sum()))
        return GenerationTexts(Ragged(rows), np.array(starts), np.array(characters, np.int64))

    def _windows(self, examples: Sequence[Example]) -> GenerationTexts:
        ids: list[int] = []
        counts: list[int] = []  # characters that each id stands for
        for example in examples:
            text = self.text(example)
            found = self.tokenizer.encode(text)
            ids += [self.tokenizer.begin_id, *found, self.tokenizer.end_id]
            counts += [0, *shared(len(text), len(found)).tolist(), 0][:len(found) + 2]
        context = self.config.context
        # Windows share their border token, so that every token but the first is predicted once.
        starts = range(0, len(ids) - 1, context)
        characters = [sum(counts[start + 1:start + context + 1]) for start in starts]
        return GenerationTexts(Ragged([ids[start:start + context + 1] for start in starts]), None, np.array(characters, np.int64))

    def prompt(self, text: str) -> list[int]:
        """What generation goes on from."""
        begin = self.tokenizer.begin_id
        ids = self.tokenizer.encode(text)
        return [begin, *ids, begin] if self.target else [begin, *ids]

    def units(self, encoded: Texts) -> Array:
        return np.maximum(encoded.ids.sizes - 1, 1)

    positions = units  # after the last token nothing is asked for

    def collate(self, encoded: GenerationTexts, indices: Array) -> Batch:
        whole, lengths = encoded.ids.pad(indices, self.tokenizer.pad_id)  # [B, T + 1]
        if encoded.asked:
            return Batch(whole, lengths, None, None, indices)
        inputs, targets = whole[:, :-1].contiguous(), whole[:, 1:].clone()  # [B, T]
        places = torch.arange(inputs.shape[1])
        left_out = places >= (lengths - 1)[:, None]
        if encoded.starts is not None:
            left_out |= places < torch.from_numpy(encoded.starts[indices] - 1)[:, None]
        assert encoded.characters is not None
        return Batch(inputs, lengths - 1, targets.masked_fill(left_out, IGNORED), torch.from_numpy(encoded.characters[indices]),
                     indices)

    def loss(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> Tensor:
        result: Tensor = self.loss_function(outputs, batch.targets)
        return result

    def tally(self) -> Tally:
        return NextTally(self)

    # -- use

    def require_answers(self) -> None:
        if not self.target:
            raise UsageError("this run learned from whole texts, without a target: it has no answers, it writes on. "
                             "Ask it: toolkit generate RUN --prompt TEXT")

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """The likeliest target of each text, token by token."""
        assert batch.lengths is not None
        found: list[Any] = [None] * batch.inputs.shape[0]
        longest = getattr(model, "longest", None)
        for length in batch.lengths.unique().tolist():
            rows = torch.nonzero(batch.lengths == length)[:, 0]
            if longest is not None and length >= longest:
                raise UsageError(f"a text has {length} tokens with its ends, and this model has room for {longest} in all: none "
                                 "is left for an answer. Make it shorter, or train a longer model: --model.longest")
            most = self.config.max_length if longest is None else min(self.config.max_length, longest - length)
            written = write(model, batch.inputs[rows][:, :length], most, self.tokenizer.end_id, GREEDY, forbidden=self.forbidden)
            for row, ids in zip(rows.tolist(), written, strict=True):
                found[row] = {"text": self.tokenizer.decode(ids)}
        return found

    def generate(self, model: nn.Module, prompt: str = "", *, max_tokens: int = 200, seed: int = 0, cached: bool = True,
                 **sampling: Any) -> str:
        """What the model goes on with after ``prompt``; ``sampling`` holds the fields of `Sampling`."""
        device = next(model.parameters()).device
        ids = torch.tensor([self.prompt(prompt)], device=device)
        longest = getattr(model, "longest", None)
        if longest is not None and ids.shape[1] + max_tokens > longest:
            raise UsageError(f"the prompt has {ids.shape[1]} tokens and {max_tokens} are asked for; this model has room for "
                             f"{longest} in all. Ask for fewer with --max-tokens")
        was = model.training
        model.eval()
        try:
            written = write(model, ids, max_tokens, self.tokenizer.end_id, Sampling(**sampling), forbidden=self.forbidden,
                            seed=seed, cached=cached)
        finally:
            model.train(was)
        return self.tokenizer.decode(written[0])


def shared(characters: int, tokens: int) -> Array:
    """How many of a text's characters each of its tokens stands for: shares as equal as whole numbers are, that sum to all.

    Only their sums over texts matter, and what an id decodes to would not do: ``<unk>`` may stand for any number. A text of
    which no token is left has all of them in one place, that of its end.

    >>> shared(7, 3).tolist(), shared(2, 0).tolist()
    ([2, 2, 3], [2])
    """
    return np.asarray(np.diff(np.arange(max(1, tokens) + 1) * characters // max(1, tokens)))


class GenerationTexts(Texts):
    """Encoded texts: ``starts`` [N] is where each example's target begins, ``characters`` [N] how many those that are learned
    stand for; ``asked`` says that they are prompts alone."""

    def __init__(self, ids: Ragged, starts: Array | None = None, characters: Array | None = None, asked: bool = False) -> None:
        super().__init__(ids)
        self.starts, self.characters, self.asked = starts, characters, asked


class NextTally:
    """Nats and bits a token, perplexity, bits a character; with targets the share that comes out exactly.

    A target comes out of greedy generation exactly when each of its tokens is the likeliest after those
    before it, of the tokens that may be written: one pass over the right answer decides it. One that is cut to
    ``max_length`` does not come out, and none with ``<unk>``, which is never written. Characters are those of the texts.
    """

    def __init__(self, problem: Problem[Any]) -> None:
        self.problem: Any = problem
        self._nats, self._tokens, self._characters, self._right = 0.0, 0, 0, 0
        self._exact: list[bool] = []

    def add(self, outputs: Tensor, lengths: Tensor | None, batch: Batch) -> None:
        assert batch.targets is not None
        valid = batch.targets != IGNORED
        targets = batch.targets.clamp(min=0)
        logs = outputs.float().log_softmax(-1)
        self._nats -= float(logs.gather(-1, targets[..., None])[..., 0][valid].double().sum())
        self._tokens += int(valid.sum())
        right = outputs.argmax(-1) == targets
        self._right += int((right & valid).sum())
        if self.problem.target:
            forbidden = torch.tensor(self.problem.forbidden, dtype=torch.long, device=outputs.device)
            written = outputs.index_fill(-1, forbidden, -torch.inf).argmax(-1) == targets
            whole = ((targets == self.problem.tokenizer.end_id) & valid).sum(-1) == 1  # at the first one the writing ends
            self._exact += ((written | ~valid).all(-1) & whole).tolist()
        assert batch.target_lengths is not None
        self._characters += int(batch.target_lengths.sum())

    def result(self) -> Judged:
        nats = self._nats / max(1, self._tokens)
        values = {"perplexity": math.exp(min(nats, 700)), "loss": nats,
                  "bits_per_character": self._nats / math.log(2) / max(1, self._characters),
                  "accuracy": self._right / max(1, self._tokens)}
        if self.problem.target:
            exact = float(np.mean(self._exact))
            values = {"exact_match": exact, **values}
            return Judged(exact - 1e-6 * min(nats, 1e3), values, {"count": len(self._exact)})
        return Judged(-nats, values, {"count": self._tokens})
