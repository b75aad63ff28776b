"""A user's own recordings: a manifest, or a folder with one folder of sound files for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.audio import io, manifests
from toolkit.audio.recognition_configs import RecordingsConfig
from toolkit.core.base import Example
from toolkit.core.data.files import split_meant
from toolkit.errors import UsageError


class Recordings:
    """Clips of a manifest or a folder; a column ``split`` puts rows into splits, without it all are ``train``."""

    target = None

    def __init__(self, config: RecordingsConfig) -> None:
        if not config.path:
            raise UsageError("recordings need a manifest or a folder: --data FILE.jsonl, FILE.csv or FOLDER/")
        self.path, self.limit = Path(config.path), config.limit

    def splits(self) -> Mapping[str, Sequence[Example]]:
        """The clips by split. Raises ManifestError naming the row; UsageError when there are none."""
        clips = manifests.scan(self.path, damaged=True)[0] if self.path.is_dir() else manifests.read(self.path)
        if not clips:
            raise UsageError(f"{self.path} holds no sound files. Known endings: {', '.join(io.SUFFIXES)}")
        splits: dict[str, list[Example]] = {}
        for clip in clips[:self.limit]:
            splits.setdefault(split_meant(clip.more.get("split") or "train"), []).append(example_of(clip))
        if "train" not in splits:
            raise UsageError(f"{self.path}: no row has the split 'train'; found: {', '.join(splits)}")
        return splits


def example_of(clip: manifests.Clip) -> dict[str, Any]:
    """A manifest's row as an example: its sound is read when it is needed."""
    known = {"text": clip.text, "label": clip.label, "speaker": clip.speaker}
    return {**{name: value for name, value in known.items() if value is not None}, **clip.more, "audio": clip}
