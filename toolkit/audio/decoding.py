"""From the outputs of a CTC model to ids: the likeliest path, or the likeliest text among a beam; and error rates.

T positions, C classes; class 0 is the blank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

BLANK = 0
NEVER = -np.inf
Array = np.ndarray


def greedy(logs: Array) -> list[int]:
    """The likeliest class of each position of ``logs`` [T, C], repeats taken once, blanks left out.

    >>> greedy(np.log(np.eye(3)[[1, 1, 0, 1, 2]] + 1e-9))
    [1, 1, 2]
    """
    path = logs.argmax(-1)
    first = np.concatenate([[True], path[1:] != path[:-1]])[:len(path)]
    kept = np.flatnonzero((path != BLANK) & first)
    return [int(path[place]) for place in kept]


def prefix_beam(logs: Array, beam: int) -> list[int]:
    """The likeliest ids by the sum over all their paths, among the ``beam`` best of each position; one is `greedy`.

    ``logs`` [T, C] are log-probabilities. Source: Hannun et al. (2014), arXiv 1408.2873, algorithm 1.
    """
    if beam <= 1:
        return greedy(logs)
    # text -> log-probability of its paths that end in a blank, and of those that end in a letter
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, NEVER)}
    for row in logs:
        letters = [int(letter) for letter in np.argsort(row)[-beam - 1:] if letter != BLANK]
        found: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [NEVER, NEVER])
        for text, (blank, letter_end) in beams.items():
            whole = np.logaddexp(blank, letter_end)
            found[text][0] = np.logaddexp(found[text][0], whole + row[BLANK])
            if text:
                found[text][1] = np.logaddexp(found[text][1], letter_end + row[text[-1]])
            for letter in letters:
                before = blank if text and letter == text[-1] else whole  # the same letter again needs a blank between
                longer = (*text, letter)
                found[longer][1] = np.logaddexp(found[longer][1], before + row[letter])
        best = sorted(found, key=lambda text: (-float(np.logaddexp(found[text][0], found[text][1])), text))[:beam]
        beams = {text: (found[text][0], found[text][1]) for text in best}
    return list(next(iter(beams)))


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
