"""Where the audio commands write: one file, or a folder with the tree of the inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from toolkit.audio import io
from toolkit.commands.audio._files import Batch, Source
from toolkit.errors import UsageError

out_option = click.option("--out", required=True, metavar="PATH", help="A folder, or a file's name where FILES is one file.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
FILE_NAME = re.compile(r"\.[A-Za-z]\w{1,4}")  # an ending, which folders have none of
LOSSLESS = ("WAV", "FLAC", "AIFF", "CAF", "W64", "RF64", "AU")


@dataclass(frozen=True)
class Outputs:
    """The file that each source becomes."""

    targets: dict[Source, Path]
    overwrite: bool
    batch: Batch

    @contextmanager
    def writing(self, source: Source, rate: int, channels: int, subtype: str | None = None,
                mark: str = "") -> Iterator[tuple[Path, io.SoundWriter]]:
        """The target and what takes its blocks; it appears when all are written. Raises AudioError."""
        target = self.target_of(source, mark)
        with io.writing(target, rate, channels, subtype=subtype or kept_subtype(source, target), overwrite=True) as writer:
            yield target, writer
        if writer.beyond:
            self.batch.cut.append((writer.beyond, writer.samples * writer.channels, str(target)))

    def target_of(self, source: Source, mark: str = "") -> Path:
        """Where the source's file goes, its folder made. Raises AudioError where it exists and may not be replaced."""
        target = self.targets[source]
        target = target.with_name(f"{target.stem}{mark}{target.suffix}")
        if target.exists() and not self.overwrite:
            raise io.AudioError(f"{target} exists. Name another --out, or add --overwrite")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def outputs_of(sources: Sequence[Source], batch: Batch, out: str, overwrite: bool, suffix: str = "") -> Outputs:
    """Plan the outputs; ``batch`` hears of what is cut.

    Raises UsageError when two sources would become one file, or one would replace itself.
    """
    path = Path(out)
    single = len(sources) == 1 and path.suffix.lower() in io.SUFFIXES and not path.is_dir()
    if not single and FILE_NAME.fullmatch(path.suffix) and not path.is_dir() and not out.endswith("/"):
        raise UsageError(f"--out {out}: {len(sources)} files go into a folder: --out {path.stem}" if len(sources) != 1 else
                         f"--out {out}: no format of sound ends in {path.suffix}; allowed: {', '.join(io.SUFFIXES)}, or a folder")
    targets: dict[Source, Path] = {}
    taken: dict[Path, Source] = {}
    for source in sources:
        target = path if single else path / (source.name.with_suffix(suffix) if suffix else source.name)
        if target.resolve() == Path(source.clip.path).resolve():
            raise UsageError(f"{target} would replace the file that is read. Name another --out")
        if target in taken:
            raise UsageError(f"{taken[target].clip.path} and {source.clip.path} would both become {target}. "
                             "Give them in separate commands with other --out folders")
        targets[source], taken[target] = target, source
    return Outputs(targets, overwrite, batch)


def kept_subtype(source: Source, target: Path) -> str | None:
    """The source's own encoding where that is lossless and the target's format has it; else the format's usual one (None)."""
    subtype, kind = source.facts.subtype, io.SUFFIXES.get(target.suffix.lower())
    lossless = kind in LOSSLESS and (subtype.startswith("PCM_") or subtype in ("FLOAT", "DOUBLE"))
    return subtype if lossless and subtype in io.imported_soundfile().available_subtypes(kind) else None
