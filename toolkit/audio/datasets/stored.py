"""Clips made once and kept: samples in one flat array, mapped into memory, and a row of facts for each.

Clips   a split: a sequence of examples ``{"audio": [T] int16, "sample_rate": ..., **row}``
stored  the splits of a recipe, from the cache, or made first

A recipe is a function of its name and options alone; the folder's name is their hash, with the
version of what made it. It is made in a process of its own and appears complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.core.base import Example
from toolkit.errors import MissingExtra, ToolkitError, UsageError
from toolkit.files import cache_directory

FORMAT = 1
SAMPLES, OFFSETS, ROWS = "samples.npy", "offsets.npy", "rows.json"
FAILURES = {3: MissingExtra, 2: UsageError, 1: ToolkitError}  # exit codes of the making process


class Clips(Sequence[Example]):
    """Stored clips ``places`` as examples; the sound is a view of the mapped file."""

    def __init__(self, folder: Path, places: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        self.samples = np.load(folder / SAMPLES, mmap_mode="r")
        self.offsets = np.load(folder / OFFSETS)
        self.places, self.rows = list(places), rows

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = self.places[index]
        return {"audio": self.samples[self.offsets[place]:self.offsets[place + 1]], **self.rows[place]}


def stored(name: str, options: Mapping[str, Any], version: str) -> dict[str, Clips]:
    """The splits of the recipe ``name`` under ``options``, made if they are not in the cache."""
    text = json.dumps({"format": FORMAT, "name": name, "options": options, "version": version}, sort_keys=True)
    folder = cache_directory() / "data" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not folder.exists():
        make(name, options, folder)
    rows = json.loads((folder / ROWS).read_text())
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.pop("split"), []).append(place)
    return {split: Clips(folder, chosen, rows) for split, chosen in places.items()}


def make(name: str, options: Mapping[str, Any], folder: Path) -> None:
    """Run the recipe in a fresh process. Raises what it failed with: a missing package, wrong options, no space."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        words = [name, json.dumps(dict(options)), str(unfinished)]
        done = subprocess.run([sys.executable, "-m", "toolkit.audio.datasets.making", *words],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            failure = FAILURES.get(done.returncode, ToolkitError)
            raise failure(done.stdout.strip() or f"making {name} ended with code {done.returncode}")
        try:
            os.rename(unfinished, folder)
        except OSError:
            if not folder.exists():  # otherwise another process was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write(folder: Path, clips: Iterable[tuple[np.ndarray, Mapping[str, Any]]]) -> None:
    """Keep clips ([T] int16, row with its ``split``) in ``folder``."""
    pieces, rows, sizes = [], [], [0]
    for samples, row in clips:
        pieces.append(samples)
        rows.append(dict(row))
        sizes.append(len(samples))
    np.save(folder / SAMPLES, np.concatenate(pieces))
    np.save(folder / OFFSETS, np.cumsum(sizes))
    (folder / ROWS).write_text(json.dumps(rows))


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Float samples in [-1, 1] as int16, rounded."""
    return np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
