"""``torchrl``: uniform replay whose observations lie on the disk, in TorchRL's memory-mapped storage.

The system keeps in memory what is drawn often and writes out the rest, so the buffer may be larger
than memory. Everything else (rewards, flags, the side table) is small and stays in memory.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from tensordict import TensorDict
from torchrl.data import LazyMemmapStorage

from toolkit.agents.base import Array
from toolkit.agents.buffers.uniform import UniformBuffer
from toolkit.envs.base import zeros
from toolkit.errors import ToolkitError

logging.getLogger("torchrl").setLevel(logging.WARNING)  # it announces every storage


class TorchRLBuffer(UniformBuffer):
    """The ring of observations is a `torchrl.data.LazyMemmapStorage` of R rows.

    Its file has no name once it is mapped, so that nothing stays on the disk however the process ends; where open files
    cannot be removed (Windows), it goes with the buffer.
    """

    def _allocate(self, space: gymnasium.Space[Any], rows: int, n_envs: int) -> Array:
        directory = self.config.directory
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="replay-", dir=directory)
            self._storage = LazyMemmapStorage(rows, scratch_dir=Path(self._folder.name))
            first = TensorDict({"observation": torch.from_numpy(zeros(space, 1, n_envs))}, batch_size=[1])
            self._storage.set(torch.zeros(1, dtype=torch.long), first)  # the first row decides shape and type
        except OSError as error:
            raise ToolkitError(f"the replay file cannot be made in {directory or tempfile.gettempdir()}: {error}. "
                               "Name a folder with room for it: --buffer.directory DIR") from error
        mapped: Array = np.asarray(self._storage._storage["observation"])  # [R, N, ...], the file's own memory
        if os.name == "posix":
            self._folder.cleanup()
        return mapped

    @property
    def row_bytes(self) -> int:
        return super().row_bytes - int(self._observations[0].nbytes)
