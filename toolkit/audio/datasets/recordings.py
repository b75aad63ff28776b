"""A user's own recordings: a manifest, or a folder with one folder of sound files for each label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.audio import io, manifests
from toolkit.audio.recognition_configs import RecordingsConfig
from toolkit.core.base import Example
from toolkit.core.data.files import split_meant
from toolkit.core.rows import Row
from toolkit.errors import UsageError
from toolkit.files import digest, glimpse


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
        """One word of a manifest, or of the names and sizes of a folder's sound files and the texts beside them, and one of
        what these files hold."""
        if self.path.is_dir():
            beside = [file for sound in manifests.sound_files(self.path) for file in (sound, sound.with_suffix(".txt"))]
            files = [file for file in beside if file.exists()]
            whole = of_lines(f"{file.relative_to(self.path)}\0{file.stat().st_size}" for file in files)
        else:
            clips = [clip for _, clip in manifests.tried(self.path)[:self.limit] if isinstance(clip, manifests.Clip)]
            files = [Path(path) for path in dict.fromkeys(clip.path for clip in clips)]
            whole = digest(self.path)
        return f"{whole} {of_lines(map(glimpse, files))}"

    def scanned(self) -> list[Example]:
        """The clips of the folder, damaged ones too."""
        clips = manifests.scan(self.path, damaged=True)[0]
        if not clips:
            raise UsageError(f"{self.path} holds no sound files. Known endings: {', '.join(io.SUFFIXES)}")
        return [example_of(clip) for clip in clips]


def of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")).hexdigest()


def row_of(row: Row, clip: manifests.Clip | str) -> Example:
    """A manifest's row as an example, or as it is with what is wrong with it."""
    return Row(row, row.number, clip) if isinstance(clip, str) else Row(example_of(clip), row.number)


def example_of(clip: manifests.Clip) -> dict[str, Any]:
    """A clip as an example: its sound is read when it is needed."""
    known = {"text": clip.text, "label": clip.label, "speaker": clip.speaker}
    return {**{name: value for name, value in known.items() if value is not None}, **clip.more, "audio": clip}
