"""The actions of unfinished episodes, of several copies side by side.

An environment without a state of its own comes back by playing its episode again, which may go on
for as long as the run does: an action takes its own bytes here and little more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.envs.base import Array

CHUNK = 512  # steps between two tidyings


class ActionHistory:
    """What all ``n_envs`` copies did, step by step; each looks back as far as its own episode goes."""

    def __init__(self, n_envs: int) -> None:
        self._begins = np.zeros(n_envs, dtype=np.int64)  # the first step of each copy's episode, counted from the first chunk's
        self._chunks: list[Array] = []  # each [CHUNK, N, ...]
        self._recent: list[Any] = []  # the actions [N, ...] of each step since

    def begin(self, index: int) -> None:
        """An episode of copy ``index`` begins: what it did before is forgotten."""
        self._begins[index] = CHUNK * len(self._chunks) + len(self._recent)

    def append(self, actions: Any) -> None:
        """Keep a step's actions, an array [N, ...] or a list of N numbers, which nobody may change afterwards."""
        self._recent.append(actions)
        if len(self._recent) == CHUNK:
            self._tidy()

    def _tidy(self) -> None:
        """Pack the recent steps, and drop the chunks that no episode reaches back to."""
        self._chunks.append(np.array(self._recent))
        self._recent = []
        past = int(self._begins.min()) // CHUNK
        del self._chunks[:past]
        self._begins -= past * CHUNK

    def of(self, index: int) -> Array:
        """The actions [T, ...] of the unfinished episode of copy ``index``."""
        past, first = divmod(int(self._begins[index]), CHUNK)
        steps = [chunk[:, index] for chunk in self._chunks[past:]]
        if self._recent:
            steps.append(np.array([actions[index] for actions in self._recent]))
        return np.concatenate(steps)[first:] if steps else np.zeros(0)

    def load(self, episodes: Sequence[Array]) -> None:
        """Take up the unfinished episodes of all copies, each [T, ...] of its own length."""
        lengths = np.array([len(episode) for episode in episodes])
        self._begins, self._chunks, self._recent = np.zeros_like(lengths), [], []
        played = [episode for episode in episodes if len(episode)]
        if not played:
            return
        rows = np.zeros((lengths.max(), len(episodes), *played[0].shape[1:]), np.result_type(*played))
        for index, episode in enumerate(episodes):
            if len(episode):
                rows[-len(episode):, index] = episode
        for row in rows:
            self.append(row)
        self._begins = lengths.max() - lengths
