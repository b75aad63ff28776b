"""Which actions an environment allows next: ``info["action_mask"]`` as one row of truths, one for each action.

It may be given as gymnasium's ``Space.sample(mask)`` takes it: n numbers 0 or 1 for ``Discrete(n)``, and for ``MultiDiscrete``
one such row for each choice; or all in one row.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UsageError

Masks = NDArray[np.bool_]  # [N, actions], true where an action is allowed


def counts_of(space: gymnasium.Space[Any]) -> list[int]:
    """How many actions each choice of ``space`` has; none of a space whose actions no mask forbids."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return [int(space.n)]
    return [int(count) for count in space.nvec.ravel()] if isinstance(space, gymnasium.spaces.MultiDiscrete) else []


def row_of(given: Any, space: gymnasium.Space[Any], whose: str) -> Masks:
    """One mask as truths [actions]. Raises UsageError, which begins with ``whose`` it is, for one that is not for ``space``."""
    counts = counts_of(space)
    found = flat(given, counts)
    row: Masks = found.astype(bool)
    if found.shape != (sum(counts),) or found.dtype.kind not in "biuf" or not np.array_equal(row, found):
        choices = f", or {len(counts)} rows of {', '.join(map(str, counts))}" if len(counts) > 1 else ""
        shown = " ".join(np.array2string(found, threshold=12).split())
        raise UsageError(f"{whose} action_mask is {shown}. Allowed for {space}: {sum(counts)} truths or numbers 0 and 1, one for "
                         f"each action{choices}")
    return row


def flat(given: Any, counts: list[int]) -> NDArray[Any]:
    """What is given in one row, where it has the rows of each choice; else as it is."""
    try:
        if isinstance(given, (tuple, list)) and [np.size(part) for part in given] == counts:
            return np.concatenate([np.ravel(part) for part in given])
        return np.asarray(given)
    except ValueError:  # nested unevenly
        return np.asarray(repr(given))


def heeded(masks: Masks | None, space: gymnasium.Space[Any], whose: str = "copy {} of the environment") -> Masks:
    """The ``masks`` to act by; ``whose`` each is, with its number in the place of {}.

    Raises UsageError where there are none, and for one that leaves nothing to choose.
    """
    if masks is None:
        raise UsageError("--action-masking is on, but reset() of this environment gives no info['action_mask']; leave out "
                         "--action-masking")
    begins = np.cumsum([0, *counts_of(space)[:-1]])
    stuck = ~np.logical_or.reduceat(masks, begins, axis=1).all(1)
    if stuck.any():
        copy = int(stuck.argmax())
        raise UsageError(f"{whose.format(copy)} allows no action: its action_mask is {masks[copy].astype(int)}. Mend it: end the "
                         "episode there, or allow an action that passes")
    return masks
