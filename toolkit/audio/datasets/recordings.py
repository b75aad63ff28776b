"""A user's own recordings: a manifest, or a folder with one folder of sound files for each label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.audio import io, manifests
from toolkit.audio.recognition_configs import RecordingsConfig
from toolkit.core.base import Example
from toolkit.core.data.files import split_meant
from toolkit.core.rows import Row
from toolkit.errors import UsageError
from toolkit.files import digest


class Recordings:
    """Clips of a manifest or a folder; a column ``split`` puts rows into splits, without it all are ``train``."""

    target = None

    def __init__(self, config: RecordingsConfig) -> None:
        if not config.path:
            raise UsageError("recordings need a manifest or a folder: --data FILE.jsonl, FILE.csv or FOLDER/")
        self.path, self.limit = Path(config.path), config.limit

    def splits(self) -> Mapping[str, Sequence[Example]]:
        """The clips by split; rows that name none are there with their faults.

        Raises ManifestError for a manifest that has no rows or no paths; UsageError for a folder without sound.
        """
        rows = self.scanned() if self.path.is_dir() else [row_of(*found) for found in manifests.tried(self.path)]
        splits: dict[str, list[Example]] = {}
        for row in rows[:self.limit]:
            splits.setdefault(split_meant(row.get("split") or "train"), []).append(row)
        return splits

    def fingerprint(self) -> str:
        """Of a manifest, or of the names and sizes of a folder's sound files and the texts beside them."""
        if not self.path.is_dir():
            return digest(self.path)
        files = [file for sound in manifests.sound_files(self.path) for file in (sound, sound.with_suffix(".txt"))]
        listing = "".join(f"{file.relative_to(self.path)}\0{file.stat().st_size}\n" for file in files if file.exists())
        return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()

    def scanned(self) -> list[Example]:
        """The clips of the folder, damaged ones too."""
        clips = manifests.scan(self.path, damaged=True)[0]
        if not clips:
            raise UsageError(f"{self.path} holds no sound files. Known endings: {', '.join(io.SUFFIXES)}")
        return [example_of(clip) for clip in clips]


def row_of(row: Row, clip: manifests.Clip | str) -> Example:
    """A manifest's row as an example, or as it is with what is wrong with it."""
    return Row(row, row.number, clip) if isinstance(clip, str) else Row(example_of(clip), row.number)


def example_of(clip: manifests.Clip) -> dict[str, Any]:
    """A clip as an example: its sound is read when it is needed."""
    known = {"text": clip.text, "label": clip.label, "speaker": clip.speaker}
    return {**{name: value for name, value in known.items() if value is not None}, **clip.more, "audio": clip}
