"""The data set ``sound-files``: the clips of a folder or of a manifest, to be learned from without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.audio import manifests
from toolkit.audio.vocoder_configs import SoundFilesConfig
from toolkit.core.base import Example
from toolkit.errors import UsageError


class SoundFiles:
    """Examples ``{"audio": Clip}``; a manifest's column ``split`` puts rows into splits, without it all are ``train``."""

    target = None

    def __init__(self, config: SoundFilesConfig) -> None:
        if not config.path:
            raise UsageError("sound-files: no path was given. Name a folder or a manifest: --data FOLDER, FILE.jsonl or FILE.csv")
        self.path, self.limit = Path(config.path), config.limit

    def splits(self) -> Mapping[str, Sequence[Example]]:
        """The clips by split. Raises UsageError when there are none, ManifestError naming the row."""
        clips, problems = manifests.scan(self.path) if self.path.is_dir() else (manifests.read(self.path, True), [])
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UsageError(f"{problems[0]}{more}. Take it out of {self.path}, or name the good files in a manifest")
        splits: dict[str, list[Example]] = {}
        for clip in clips[:self.limit]:
            splits.setdefault(str(clip.more.get("split") or "train"), []).append({"audio": clip})
        if "train" not in splits:
            found = f"its splits are {', '.join(splits)}" if splits else f"it holds no sound files, in {self.path}"
            raise UsageError(f"{self.path}: nothing to train on; {found}")
        return splits
