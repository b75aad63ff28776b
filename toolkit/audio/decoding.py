"""From the outputs of a CTC model to ids: the likeliest path, or the likeliest text among a beam; times; error rates.

T positions, C classes; class 0 is the blank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

BLANK = 0
NEVER = -np.inf
Array = np.ndarray
Text = tuple[int, ...]
More = Callable[[Text, bool], float]


def greedy(logs: Array) -> list[int]:
    """The likeliest class of each position of ``logs`` [T, C], repeats taken once, blanks left out.

    >>> greedy(np.log(np.eye(3)[[1, 1, 0, 1, 2]] + 1e-9))
    [1, 1, 2]
    """
    path = logs.argmax(-1)
    first = np.concatenate([[True], path[1:] != path[:-1]])[:len(path)]
    kept = np.flatnonzero((path != BLANK) & first)
    return [int(path[place]) for place in kept]


def prefix_beam(logs: Array, beam: int, more: More | None = None) -> list[int]:
    """The likeliest ids by the sum over all their paths, among the ``beam`` best of each position; one is `greedy`.

    ``logs`` [T, C] are log-probabilities; ``more(ids, over)`` is what a language model adds to the score of ids, ``over``
    once they are complete. Source: Hannun et al. (2014), arXiv 1408.2873, algorithm 1.
    """
    if beam <= 1:
        return greedy(logs)

    def score(text: Text, over: bool = False) -> float:
        blank, letter_end = beams[text]
        heard = float(np.logaddexp(blank, letter_end))
        return heard if more is None else heard + more(text, over)

    # text -> log-probability of its paths that end in a blank, and of those that end in a letter
    beams: dict[Text, list[float]] = {(): [0.0, NEVER]}
    for row in logs:
        beams = extended(beams, row, [int(letter) for letter in np.argsort(row)[-beam - 1:] if letter != BLANK])
        kept = sorted(beams, key=lambda text: (-score(text), text))[:beam]
        beams = {text: beams[text] for text in kept}
    best: Text = min(beams, key=lambda text: (-score(text, True), text))
    return list(best)


def extended(beams: dict[Text, list[float]], row: Array, letters: Sequence[int]) -> dict[Text, list[float]]:
    """The texts of a beam after one more position, each as it is or with one of ``letters`` more."""
    found: dict[Text, list[float]] = defaultdict(lambda: [NEVER, NEVER])
    for text, (blank, letter_end) in beams.items():
        whole = np.logaddexp(blank, letter_end)
        found[text][0] = np.logaddexp(found[text][0], whole + row[BLANK])
        if text:
            found[text][1] = np.logaddexp(found[text][1], letter_end + row[text[-1]])
        for letter in letters:
            before = blank if text and letter == text[-1] else whole  # the same letter again needs a blank between
            longer = (*text, letter)
            found[longer][1] = np.logaddexp(found[longer][1], before + row[letter])
    return found


def align(logs: Array, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Where each of ``ids`` is on the likeliest path of ``logs`` [T, C] that spells them: its first position and its end.

    Viterbi over blanks and ids in turn (Graves et al., 2006, section 4.1). Raises ValueError when the positions are too few.

    >>> align(np.log(np.eye(3)[[0, 1, 1, 0, 2]] + 1e-9), [1, 2])
    [(1, 3), (4, 5)]
    """
    if not len(ids):
        return []
    states = np.full(2 * len(ids) + 1, BLANK)
    states[1::2] = ids
    # A state may follow itself, the one before it, and the id before where that is another (no blank needed between).
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), NEVER)
    best[:2] = logs[0, states[:2]]
    back = np.zeros((len(logs), len(states)), np.int8)
    for place in range(1, len(logs)):
        one = np.concatenate([[NEVER], best[:-1]])
        two = np.where(skips, np.concatenate([[NEVER, NEVER], best[:-2]]), NEVER)
        ways = np.stack([best, one, two])
        back[place] = ways.argmax(0)
        best = ways.max(0) + logs[place, states]
    state = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    if best[state] == NEVER:
        raise ValueError(f"{len(ids)} ids do not fit in {len(logs)} positions")
    path = []
    for place in range(len(logs) - 1, -1, -1):
        path.append(state)
        state -= int(back[place, state])
    at = np.array(path[::-1])
    return [(int(own[0]), int(own[-1]) + 1) for number in range(len(ids)) for own in [np.flatnonzero(at == 2 * number + 1)]]


def distance(found: Sequence[object], wanted: Sequence[object]) -> int:
    """Substitutions, deletions and insertions that turn one into the other, as few as can be (Levenshtein).

    >>> distance("kitten", "sitting")
    3
    """
    row = list(range(len(wanted) + 1))
    for place, item in enumerate(found, 1):
        diagonal, row[0] = row[0], place
        for other, target in enumerate(wanted, 1):
            diagonal, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, diagonal + (item != target))
    return row[-1]


def error_rate(pairs: Sequence[tuple[Sequence[object], Sequence[object]]]) -> float:
    """Errors over all (found, wanted) pairs, divided by how long the wanted ones are together; over the corpus, not a mean.

    Without anything wanted it is 0 where nothing was found, and infinite otherwise.
    """
    errors, total = sum(distance(*pair) for pair in pairs), sum(len(wanted) for _, wanted in pairs)
    return errors / total if total else float("inf") if errors else 0.0
