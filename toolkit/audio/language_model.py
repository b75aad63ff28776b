"""N-gram language models of words, from texts or ARPA files, and what they add to a beam search.

ARPA is text: after ``\\data\\`` the number of n-grams of each order, then a section an order with lines
``log10 probability <tab> words <tab> log10 backoff``. Source: Jurafsky and Martin, chapter 3; SRILM's ngram-format.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from toolkit.errors import UsageError

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0  # log10, what ARPA files write for the probability of <s>
UNSEEN = -7.0  # log10 of a word that the model does not know, where it has no <unk>
LOG10 = math.log(10.0)
REMEMBERED = 1 << 12  # scores of texts that a fusion keeps: those of the last positions are asked for again


class NGrams:
    """Back-off n-grams: log-probabilities (natural) of words after words."""

    def __init__(self, probabilities: dict[tuple[str, ...], float], backoffs: dict[tuple[str, ...], float]) -> None:
        self.probabilities, self.backoffs = probabilities, backoffs
        self.order = max(map(len, probabilities))

    def score(self, history: Sequence[str], word: str) -> float:
        """The log-probability of ``word`` after ``history`` (Katz's back-off), unknown words as ``<unk>``."""
        known = self._known(word)
        context = tuple(self._known(item) for item in history[max(0, len(history) - self.order + 1):])
        spent = 0.0
        while True:
            found = self.probabilities.get((*context, known))
            if found is not None:
                return spent + found
            if not context:
                return spent + UNSEEN * LOG10
            spent += self.backoffs.get(context, 0.0)
            context = context[1:]

    def _known(self, word: str) -> str:
        return word if (word,) in self.probabilities else UNKNOWN

    def sentence(self, words: Sequence[str]) -> float:
        """The log-probability of a sentence, its end included."""
        history = [BEGIN]
        total = 0.0
        for word in [*words, END]:
            total += self.score(history, word)
            history.append(word)
        return total


def tidied(text: str, lower: bool) -> str:
    """A text with single blanks between its words, in small letters if told so."""
    return " ".join((text.lower() if lower else text).split())


def read_arpa(path: str | Path, lower: bool = False) -> NGrams:
    """The model of an ARPA file (also gzipped), in small letters if told so: of two words that become one the likelier counts.

    Raises UsageError naming the line that is not as it should be.
    """
    probabilities: dict[tuple[str, ...], float] = {}
    backoffs: dict[tuple[str, ...], float] = {}
    expected: dict[int, int] = {}
    found: dict[int, int] = {}
    order = 0
    for number, line in lines_of(Path(path)):
        if line.startswith("ngram ") and "=" in line:
            size, _, count = line[6:].partition("=")
            expected[whole(size, path, number)] = whole(count, path, number)
        elif line.startswith("\\") and line.endswith("-grams:"):
            order = whole(line[1:-7], path, number)
        elif line == "\\end\\":
            break
        elif line and not line.startswith("\\") and order:
            words, probability, backoff = parsed(line, order, path, number)
            words = tuple(map(str.lower, words)) if lower else words
            found[order] = found.get(order, 0) + 1
            if lower and words in probabilities and probabilities[words] >= probability:
                continue
            probabilities[words] = probability
            if backoff is not None:
                backoffs[words] = backoff
    else:
        raise UsageError(f"{path}: it is not an ARPA language model: it does not end in \\end\\")
    if not probabilities or found != {size: count for size, count in expected.items() if count}:
        raise UsageError(f"{path}: its header promises {expected} n-grams, and {found} are there")
    return NGrams(probabilities, backoffs)


def write_arpa(path: str | Path, model: NGrams) -> None:
    """``model`` as an ARPA file, in powers of ten. Raises UsageError when the file exists."""
    if Path(path).exists():
        raise UsageError(f"{path} exists. Choose another name")
    groups: dict[int, list[str]] = defaultdict(list)
    for words, value in sorted(model.probabilities.items()):
        backoff = f"\t{model.backoffs[words] / LOG10:.7g}" if words in model.backoffs else ""
        groups[len(words)].append(f"{value / LOG10:.7g}\t{' '.join(words)}{backoff}")
    counts = "".join(f"ngram {size}={len(lines)}\n" for size, lines in sorted(groups.items()))
    sections = "".join(f"\n\\{size}-grams:\n" + "\n".join(lines) + "\n" for size, lines in sorted(groups.items()))
    Path(path).write_text(f"\\data\\\n{counts}{sections}\n\\end\\\n", encoding="utf-8")


def estimated(texts: Iterable[str], order: int = 3) -> NGrams:
    """A model of ``texts``: P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)), T(h) being how many kinds of words follow h
    and h' being h without its first word; below one word all known words and <unk> are alike. Source: Witten and Bell (1991).

    Raises UsageError without texts.
    """
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for text in texts:
        words = [BEGIN, *text.split(), END]
        for place in range(1, len(words)):
            for length in range(min(order, place + 1)):
                counts[tuple(words[place - length:place])][words[place]] += 1
    if not counts:
        raise UsageError("a language model needs at least one text")
    known = [*counts[()], UNKNOWN]
    shares: dict[tuple[str, ...], float] = {}
    backoffs: dict[tuple[str, ...], float] = {}
    for history in sorted(counts, key=len):
        after = counts[history]
        total, kinds = after.total(), len(after)
        for word in after if history else known:
            lower = shares[(*history[1:], word)] if history else 1 / len(known)
            shares[(*history, word)] = (after[word] + kinds * lower) / (total + kinds)
        if history:
            backoffs[history] = math.log(kinds / (total + kinds))
    probabilities = {words: math.log(share) for words, share in shares.items()}
    return NGrams({(BEGIN,): NEVER * LOG10, **probabilities}, backoffs)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield number, line.strip()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the language model cannot be read: {error}") from error


def parsed(line: str, order: int, path: str | Path, number: int) -> tuple[tuple[str, ...], float, float | None]:
    parts = line.split()
    try:
        if len(parts) not in (order + 1, order + 2):
            raise ValueError("it has too few or too many parts")
        backoff = float(parts[order + 1]) * LOG10 if len(parts) == order + 2 else None
        return tuple(parts[1:order + 1]), float(parts[0]) * LOG10, backoff
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: got {line!r}, allowed: a number, {order} words, and perhaps another "
                         "number") from error


def whole(text: str, path: str | Path, number: int) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{path}, line {number}: got {text!r}, allowed: a whole number") from error


class Fusion:
    """What a language model and a bonus a word add to the score of ids (shallow fusion; Gulcehre et al., 2015).

    ``weight * log P(word | words before) + bonus`` for every word that is complete; a text's last word is completed
    by its end.
    """

    def __init__(self, model: NGrams, decode: Callable[[list[int]], str], weight: float, bonus: float) -> None:
        self.model, self.decode, self.weight, self.bonus = model, decode, weight, bonus
        self._scores: dict[tuple[int, ...], float] = {}

    def score(self, ids: tuple[int, ...], over: bool = False) -> float:
        """Of the words that ``ids`` complete; of all of them, and of the sentence's end, when the text is ``over``."""
        key = (*ids, -1) if over else ids
        if key not in self._scores:
            if len(self._scores) >= REMEMBERED:
                self._scores.clear()
            text = self.decode(list(ids))
            words = text.split()
            if not over and words and not text.endswith(" "):
                words = words[:-1]
            history, total = [BEGIN], 0.0
            for word in [*words, END] if over else words:
                total += self.weight * self.model.score(history, word) + (self.bonus if word != END else 0.0)
                history.append(word)
            self._scores[key] = total
        return self._scores[key]
